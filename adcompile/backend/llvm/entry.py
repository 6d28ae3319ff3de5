"""The C entry point of a compiled trace: Python objects in, Python objects out, no ctypes in between.

``entry(self, args, nargs)`` is a METH_FASTCALL function in the module of its kernel. It takes exactly the signature
that the trace was compiled for and returns ``NotImplemented`` for anything else, having done nothing. Addresses of the
C API are read from the table of the module, so the object code is the same in every process.

Layouts: CPython's float, tuple and NumPy's scalar hold their payload behind the object header; NumPy's public
``PyArrayObject_fields`` (NumPy 1.22 and later) is spelled in `FIELDS`.
"""

from __future__ import annotations

from adcompile.backend.llvm.code import LLVM, Code, Module, memory_type
from adcompile.ir import ANY, NOT_ONE, Array, Block, Trace, Type
from adcompile.ir.core import walk

HEADER = object.__basicsize__
TYPE = HEADER - 8
TUPLE_ITEMS = tuple.__basicsize__
FIELDS = {"data": 0, "rank": 8, "sizes": 16, "descr": 40, "flags": 48, "handler": 72}
CONTIGUOUS_ALIGNED = 0x0101
CARRAY = 0x0501
OWNDATA = 0x0004


def emit(trace: Trace, module: Module, slots: int, bare: bool) -> str:
    """The text of the entry's definition."""
    code = Code(module)
    _check(code, code.let(f"icmp eq i64 %nargs, {len(trace.params)}"))
    arguments = [part for i, p in enumerate(trace.params) for part in _unpack(code, i, p.type)]
    unlocked = any(isinstance(p.type, Array) for p in trace.params) or _loops(trace.block)
    thread = _call(code, "ptr", "PyEval_SaveThread") if unlocked else None
    status = code.let(f"call i64 @kernel({', '.join([*arguments, 'ptr %slots'])})")
    if thread:
        _call(code, "void", "PyEval_RestoreThread", f"ptr {thread}")
    good = code.label("good")
    code.do(f"br i1 {code.let(f'icmp eq i64 {status}, 0')}, label %{good}, label %failed")
    code.start(good)
    _pack(code, [r.type for r in trace.results], bare)
    _raise(code, status, slots - 2)
    code.start("mismatch")
    code.do(f"ret ptr {_shared(code, 'NotImplemented')}")
    head = ["define ptr @adcompile_entry(ptr %self, ptr %args, i64 %nargs) noinline optnone nounwind {", "entry:"]
    return "\n".join([*head, f"  %slots = alloca [{slots} x i64], align 8", *code.lines, "}"])


def _loops(block: Block) -> bool:
    return any(eqn.op in ("loop", "while", "empty", "copy") for eqn in walk(block))


def slot_count(trace: Trace) -> int:
    """The slots of the results and of the details of a failure."""
    return sum(1 + r.type.rank for r in trace.results) + 2


# -- pieces -------------------------------------------------------------------------------------------------------


def _check(code: Code, holds: str, otherwise: str = "mismatch") -> None:
    going_on = code.label("ok")
    code.do(f"br i1 {holds}, label %{going_on}, label %{otherwise}")
    code.start(going_on)


def _call(code: Code, type: str, name: str, *operands: str) -> str:
    function = code.address(name)
    text = f"call {type} {function}({', '.join(operands)})"
    return code.do(text) or "" if type == "void" else code.let(text)


def _shared(code: Code, name: str) -> str:
    """A new reference to an object of the table."""
    pointer = code.address(name)
    _call(code, "void", "Py_IncRef", f"ptr {pointer}")
    return pointer


def _slot(code: Code, position: int) -> str:
    return code.let(f"getelementptr i64, ptr %slots, i64 {position}")


# -- arguments ----------------------------------------------------------------------------------------------------


def _unpack(code: Code, index: int, type: Type) -> list[str]:
    """Check one argument and turn it into arguments of the kernel."""
    at = code.let(f"getelementptr ptr, ptr %args, i64 {index}")
    object = code.let(f"load ptr, ptr {at}")
    if isinstance(type, Array):
        return _unpack_array(code, object, type)
    if type.weak and type.dtype == "bool":
        true = code.let(f"icmp eq ptr {object}, {code.address('True')}")
        false = code.let(f"icmp eq ptr {object}, {code.address('False')}")
        _check(code, code.let(f"or i1 {true}, {false}"))
        return [f"i1 {true}"]
    name = {"float64": "float", "int64": "int"}[type.dtype] if type.weak else f"scalar {type.dtype}"
    _check(code, code.let(f"icmp eq ptr {code.at(object, TYPE, 'ptr')}, {code.address(name)}"))
    if type.weak and type.dtype == "int64":
        return [_unpack_int(code, object)]
    payload = code.at(object, HEADER, memory_type(type.dtype))
    if type.dtype == "bool":
        payload = code.let(f"trunc i8 {payload} to i1")
    return [f"{LLVM[type.dtype]} {payload}"]


def _unpack_int(code: Code, object: str) -> str:
    overflow = code.let("alloca i32, align 4")
    value = _call(code, "i64", "PyLong_AsLongLongAndOverflow", f"ptr {object}", f"ptr {overflow}")
    _check(code, code.let(f"icmp eq i32 {code.let(f'load i32, ptr {overflow}')}, 0"))
    return f"i64 {value}"


def _unpack_array(code: Code, object: str, type: Array) -> list[str]:
    _check(code, code.let(f"icmp eq ptr {code.at(object, TYPE, 'ptr')}, {code.address('ndarray')}"))
    rank = code.at(object, HEADER + FIELDS["rank"], "i32")
    flags = code.at(object, HEADER + FIELDS["flags"], "i32")
    fit = code.let(f"icmp eq i32 {code.let(f'and i32 {flags}, {CONTIGUOUS_ALIGNED}')}, {CONTIGUOUS_ALIGNED}")
    _check(code, code.let(f"and i1 {fit}, {code.let(f'icmp eq i32 {rank}, {type.rank}')}"))
    _check_dtype(code, code.at(object, HEADER + FIELDS["descr"], "ptr"), type.dtype)
    arguments = [f"ptr {code.at(object, HEADER + FIELDS['data'], 'ptr')}"]
    sizes = code.at(object, HEADER + FIELDS["sizes"], "ptr") if type.rank else ""
    for axis, known in enumerate(type.dims):
        size = code.at(sizes, 8 * axis, "i64")
        if known != ANY:
            predicate, bound = ("ne", 1) if known == NOT_ONE else ("eq", known)
            _check(code, code.let(f"icmp {predicate} i64 {size}, {bound}"))
        arguments.append(f"i64 {size}")
    return arguments


def _check_dtype(code: Code, descr: str, dtype: str) -> None:
    """NumPy's own descriptor of the dtype, or, rarely, one that is equivalent."""
    expected = code.address(f"dtype {dtype}")
    other, going_on = code.label("descr"), code.label("ok")
    code.do(f"br i1 {code.let(f'icmp eq ptr {descr}, {expected}')}, label %{going_on}, label %{other}")
    code.start(other)
    same = _call(code, "i8", "PyArray_EquivTypes", f"ptr {descr}", f"ptr {expected}")
    code.do(f"br i1 {code.let(f'icmp ne i8 {same}, 0')}, label %{going_on}, label %mismatch")
    code.start(going_on)


# -- results ------------------------------------------------------------------------------------------------------


def _pack(code: Code, types: list[Type], bare: bool) -> None:
    """Build the results; what cannot be built frees the buffers that no array owns yet."""
    single = bare and len(types) == 1
    tuple_object = None if single else _call(code, "ptr", "PyTuple_New", f"i64 {len(types)}")
    positions = _positions(types)
    if tuple_object:
        _guard(code, tuple_object, types, positions, 0, None)
    item = ""
    for index, type in enumerate(types):
        item = _box(code, type, positions[index])
        _guard(code, item, types, positions, index, tuple_object)
        if isinstance(type, Array):
            _own(code, item)
        if tuple_object:
            place = code.let(f"getelementptr i8, ptr {tuple_object}, i64 {TUPLE_ITEMS + 8 * index}")
            code.do(f"store ptr {item}, ptr {place}")
    code.do(f"ret ptr {tuple_object or item}")


def _positions(types: list[Type]) -> list[int]:
    positions = [0]
    for type in types:
        positions.append(positions[-1] + 1 + type.rank)
    return positions


def _guard(code: Code, made: str, types: list[Type], positions: list[int], index: int, owner: str | None) -> None:
    """Where an object could not be made: free what is left, drop what there is, return NULL."""
    lost, going_on = code.label("lost"), code.label("ok")
    code.do(f"br i1 {code.let(f'icmp eq ptr {made}, null')}, label %{lost}, label %{going_on}")
    code.start(lost)
    code.module.declare("declare void @free(ptr)")
    for later in range(index, len(types)):
        if isinstance(types[later], Array):
            code.do(f"call void @free(ptr {code.let(f'load ptr, ptr {_slot(code, positions[later])}')})")
    if owner:
        _call(code, "void", "Py_DecRef", f"ptr {owner}")
    code.do("ret ptr null")
    code.start(going_on)


def _box(code: Code, type: Type, position: int) -> str:
    """A new Python object of one result."""
    slot = _slot(code, position)
    if isinstance(type, Array):
        descr = _shared(code, f"dtype {type.dtype}")
        sizes, data = _slot(code, position + 1), code.let(f"load ptr, ptr {slot}")
        return _call(
            code, "ptr", "PyArray_NewFromDescr", f"ptr {code.address('ndarray')}", f"ptr {descr}", f"i32 {type.rank}",
            f"ptr {sizes}", "ptr null", f"ptr {data}", f"i32 {CARRAY}", "ptr null",
        )  # fmt: skip
    if type.dtype == "bool":
        return _box_bool(code, slot, ("True", "False") if type.weak else ("numpy True", "numpy False"))
    value = code.let(f"load {LLVM[type.dtype]}, ptr {slot}")
    if type.weak:
        return _call(code, "ptr", _BOXES[type.dtype], f"{LLVM[type.dtype]} {value}")
    made = _call(code, "ptr", "PyType_GenericAlloc", f"ptr {code.address(f'scalar {type.dtype}')}", "i64 0")
    filled, going_on = code.label("filled"), code.label("boxed")
    code.do(f"br i1 {code.let(f'icmp eq ptr {made}, null')}, label %{going_on}, label %{filled}")
    code.start(filled)
    code.do(f"store {LLVM[type.dtype]} {value}, ptr {code.let(f'getelementptr i8, ptr {made}, i64 {HEADER}')}")
    code.do(f"br label %{going_on}")
    code.start(going_on)
    return made


_BOXES = {"float64": "PyFloat_FromDouble", "int64": "PyLong_FromLongLong"}


def _box_bool(code: Code, slot: str, names: tuple[str, str]) -> str:
    true = code.let(f"icmp ne i64 {code.let(f'load i64, ptr {slot}')}, 0")
    chosen = code.let(f"select i1 {true}, ptr {code.address(names[0])}, ptr {code.address(names[1])}")
    _call(code, "void", "Py_IncRef", f"ptr {chosen}")
    return chosen


def _own(code: Code, array: str) -> None:
    """Let the array free its buffer, as NumPy's default memory handler does: with free()."""
    handler = _shared(code, "memory handler")
    place = code.let(f"getelementptr i8, ptr {array}, i64 {HEADER + FIELDS['handler']}")
    code.do(f"store ptr {handler}, ptr {place}")
    place = code.let(f"getelementptr i8, ptr {array}, i64 {HEADER + FIELDS['flags']}")
    flags = code.let(f"load i32, ptr {place}")
    code.do(f"store i32 {code.let(f'or i32 {flags}, {OWNDATA}')}, ptr {place}")


def _raise(code: Code, status: str, details: int) -> None:
    """Call ``fail(status, a, b)``, which raises."""
    code.start("failed")
    a, b = (code.let(f"load i64, ptr {_slot(code, details + k)}") for k in range(2))
    code.module.declare('@adcompile_format = internal constant [4 x i8] c"LLL\\00"')
    function, fail = code.address("PyObject_CallFunction"), code.address("fail")
    code.let(f"call ptr (ptr, ptr, ...) {function}(ptr {fail}, ptr @adcompile_format, i64 {status}, i64 {a}, i64 {b})")
    code.do("ret ptr null")

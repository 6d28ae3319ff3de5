"""``gemm``: matrix products through the BLAS that SciPy carries, small and integer ones as loops.

A row-major C = A B is a column-major Cᵀ = Bᵀ Aᵀ: BLAS is called with its operands exchanged.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adcompile.backend.llvm import scalars
from adcompile.backend.llvm.code import BYTES, LLVM, SUFFIX, Code, Module, literal, memory_type
from adcompile.backend.llvm.memory import Operand
from adcompile.ir import Eqn

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel

SMALL = 32
"""Products with at most this many multiplications are cheaper as loops than as a call."""

ALONE = 2**23
"""Products with fewer multiplications than this run on one thread."""
ROUTINES = {"float64": "dgemm", "float32": "sgemm"}


def address(name: str) -> int:
    """The address of a BLAS routine in the library that SciPy carries."""
    routine = getattr(_openblas(), f"scipy_{name}_", None)
    if routine is not None:
        return ctypes.cast(routine, ctypes.c_void_p).value or 0
    capsule = _module().__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get_pointer(capsule, get_name(capsule))


@functools.cache
def _openblas() -> Any:
    """The OpenBLAS of SciPy's wheels, without importing SciPy; None where it carries another BLAS."""
    spec = importlib.util.find_spec("scipy")
    folders = [Path(f) for f in (spec.submodule_search_locations or ())] if spec else []
    paths = [p for f in folders for p in sorted((f.parent / "scipy.libs").glob("libscipy_openblas*"))]
    return ctypes.CDLL(str(paths[0])) if paths else None


@functools.cache
def _module() -> Any:
    """SciPy's BLAS module alone: the package around it (scipy.linalg) takes eight times as long to import."""
    if "scipy.linalg.cython_blas" not in sys.modules and (package := importlib.util.find_spec("scipy")):
        loaders = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
        for folder in package.submodule_search_locations or ():
            spec = importlib.machinery.FileFinder(str(Path(folder) / "linalg"), loaders).find_spec("cython_blas")
            if spec and spec.loader:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return importlib.import_module("scipy.linalg.cython_blas")


@functools.cache
def thread_control() -> tuple[int, int] | None:
    """The addresses of OpenBLAS's get and set of its number of threads; None where SciPy carries another BLAS."""
    names = ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads")
    library = _openblas()
    if not all(hasattr(library, name) for name in names):
        return None
    get, set = (ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names)
    return get, set


def gemm(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """Call the helper of the dtype; ``C = op(A) op(B) [+ C]`` with sizes (m, n) and the inner size k."""
    c, a, b = (kernel.read(x) for x in eqn.args)
    attrs = eqn.attrs
    modes = [bool(attrs[name]) for name in ("trans_a", "trans_b", "accumulate")]
    inner = a.sizes[0] if attrs["trans_a"] else a.sizes[1]
    name = helper(kernel.module, eqn.args[0].type.dtype)
    operands = [f"ptr {x.pointer}" for x in (c, a, b)] + [f"i64 {n}" for n in (*c.sizes, inner)]
    operands += [f"i1 {str(mode).lower()}" for mode in modes]
    kernel.code.do(f"call void @{name}({', '.join(operands)})")
    return [c]


def helper(module: Module, dtype: str) -> str:
    """The product function of a dtype; floats call BLAS, and their loops are for small products: not optimised."""
    name = f"adcompile_gemm_{dtype}"
    if name not in module.functions:
        code = Code(module)
        if dtype in ROUTINES:
            _blas_path(code, dtype)
        _loops(code, dtype)
        effort = " optnone" if dtype in ROUTINES else ""
        pointers = "ptr noalias %c, ptr noalias readonly %a, ptr noalias readonly %b"
        modes = "i1 %trans_a, i1 %trans_b, i1 %accumulate"
        head = f"define internal void @{name}({pointers}, i64 %m, i64 %n, i64 %k, {modes}) noinline nounwind{effort} {{"
        module.functions[name] = "\n".join([head, "entry:", *code.lines, "}"])
    return name


def _choose(code: Code, test: str, type: str, yes: str, no: str) -> str:
    return code.let(f"select i1 %{test}, {type} {yes}, {type} {no}")


def variable(code: Code, type: str, value: str) -> str:
    """A pointer to a value, as Fortran takes its arguments."""
    place = code.let(f"alloca {type}, align 8")
    code.do(f"store {type} {value}, ptr {place}")
    return place


def _blas_path(code: Code, dtype: str) -> None:
    """Products that are large, and not empty, go to BLAS; sizes fit its 32-bit integers, or the loops take them.

    BLAS stores columns: it computes the transpose of C, from B and A.
    """
    work = code.let(f"mul i64 {code.let('mul i64 %m, %n')}, %k")
    large = code.let(f"icmp ugt i64 {work}, {SMALL}")
    widest = code.let(f"or i64 {code.let('or i64 %m, %n')}, %k")
    fits = code.let(f"icmp ult i64 {widest}, {2**31}")
    call, loops = code.label("blas"), code.label("loops")
    code.do(f"br i1 {code.let(f'and i1 {large}, {fits}')}, label %{call}, label %{loops}")
    code.start(call)
    widths = (
        "%n",
        "%m",
        "%k",
        _choose(code, "trans_b", "i64", "%k", "%n"),
        _choose(code, "trans_a", "i64", "%m", "%k"),
    )
    n, m, k, width_b, width_a = (variable(code, "i32", code.let(f"trunc i64 {w} to i32")) for w in widths)
    type, one, zero = LLVM[dtype], literal(1.0, dtype), literal(0.0, dtype)
    alpha, beta = variable(code, type, one), variable(code, type, _choose(code, "accumulate", type, one, zero))
    letters = (_choose(code, test, "i8", str(ord("T")), str(ord("N"))) for test in ("trans_b", "trans_a"))
    modes = [variable(code, "i8", letter) for letter in letters]
    operands = [*modes, n, m, k, alpha, "%b", width_b, "%a", width_a, beta, "%c", n]
    routine = code.address(f"blas {ROUTINES[dtype]}")
    restore = alone(code, work) if thread_control() else ""
    code.do(f"call void {routine}({', '.join(f'ptr {o}' for o in operands)})")
    if restore:
        code.do(restore)
    code.do("ret void")
    code.start(loops)


def alone(code: Code, work: str) -> str:
    """Keep a small product on this thread: OpenBLAS's threads wait busily, which costs more than they save.

    Returns the instruction that gives OpenBLAS its threads back.
    """
    before = code.let(f"call i32 {code.address('blas get threads')}()")
    small = code.let(f"icmp ult i64 {work}, {ALONE}")
    setter = code.address("blas set threads")
    code.do(f"call void {setter}(i32 {code.let(f'select i1 {small}, i32 1, i32 {before}')})")
    return f"call void {setter}(i32 {before})"


def _loops(code: Code, dtype: str) -> None:
    """Three loops; the inner one runs along the rows of B and C."""
    clear, begin = code.label("clear"), code.label("begin")
    code.do(f"br i1 %accumulate, label %{begin}, label %{clear}")
    code.start(clear)
    code.module.declare("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    size = code.let(f"mul i64 {code.let('mul i64 %m, %n')}, {BYTES[dtype]}")
    code.do(f"call void @llvm.memset.p0.i64(ptr %c, i8 0, i64 {size}, i1 false)")
    code.do(f"br label %{begin}")
    code.start(begin)
    strides = {
        "%a": (_choose(code, "trans_a", "i64", "1", "%k"), _choose(code, "trans_a", "i64", "%m", "1")),
        "%b": (_choose(code, "trans_b", "i64", "1", "%n"), _choose(code, "trans_b", "i64", "%k", "1")),
        "%c": ("%n", "1"),
    }
    _nest(code, "ilj", {"i": "%m", "j": "%n", "l": "%k"}, {}, dtype, strides)
    code.do("ret void")


def _nest(code: Code, order: str, sizes: dict, indices: dict, dtype: str, strides: dict) -> None:
    if not order:
        _multiply(code, indices, dtype, strides)
        return
    begin, leave, before = code.label(order[0]), code.label("done"), code.here
    code.do(f"br i1 {code.let(f'icmp sgt i64 {sizes[order[0]]}, 0')}, label %{begin}, label %{leave}")
    code.start(begin)
    index, line = code.let("phi"), len(code.lines) - 1
    _nest(code, order[1:], sizes, {**indices, order[0]: index}, dtype, strides)
    following = code.let(f"add nuw nsw i64 {index}, 1")
    code.lines[line] = f"  {index} = phi i64 [ 0, %{before} ], [ {following}, %{code.here} ]"
    again = code.let(f"icmp slt i64 {following}, {sizes[order[0]]}")
    code.do(f"br i1 {again}, label %{begin}, label %{leave}")
    code.start(leave)


def _multiply(code: Code, indices: dict, dtype: str, strides: dict) -> None:
    """c[i, j] += a[i, l] b[l, j]."""
    places, values = {}, {}
    for name, (row, column) in {"%a": "il", "%b": "lj", "%c": "ij"}.items():
        steps = [code.let(f"mul nsw i64 {indices[x]}, {s}") for x, s in zip((row, column), strides[name], strict=True)]
        offset = code.let(f"add nsw i64 {steps[0]}, {steps[1]}")
        places[name] = code.let(f"getelementptr inbounds {memory_type(dtype)}, ptr {name}, i64 {offset}")
        value = code.let(f"load {memory_type(dtype)}, ptr {places[name]}")
        values[name] = code.let(f"trunc i8 {value} to i1") if dtype == "bool" else value
    product = scalars.emit(code, "mul", dtype, [values["%a"], values["%b"]])
    if dtype in SUFFIX:
        total = code.let(f"fadd reassoc contract {LLVM[dtype]} {values['%c']}, {product}")
    else:
        total = scalars.emit(code, "add", dtype, [values["%c"], product])
    if dtype == "bool":
        total = code.let(f"zext i1 {total} to i8")
    code.do(f"store {memory_type(dtype)} {total}, ptr {places['%c']}")

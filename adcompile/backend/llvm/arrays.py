"""Equations on buffers: allocation, single elements, sizes, and the checks that raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import scalars
from adcompile.backend.llvm.code import BYTES, LLVM, Code, memory_type
from adcompile.backend.llvm.memory import Buffer, Operand
from adcompile.errors import MissingRule
from adcompile.ir import Atom, Const, Eqn, Value
from adcompile.ir.types import FLOATS

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel


def _empty(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    out = eqn.outs[0]
    sizes = tuple(
        str(known) if isinstance(known, int) else kernel.scalar(atom, "int64")
        for known, atom in zip(out.type.dims, eqn.args, strict=True)
    )
    for size in sizes:
        _require_size(kernel, eqn, size)
    return [_new(kernel, eqn, sizes)]


def _require_size(kernel: Kernel, eqn: Eqn, size: str) -> None:
    """A computed size must not be negative."""
    if size[0] == "-":
        kernel.fail_if("true", Failure("negative", eqn.loc))
    elif size[0] == "%" and size not in kernel.memory.trusted:
        kernel.fail_if(kernel.code.let(f"icmp slt i64 {size}, 0"), Failure("negative", eqn.loc))


def _new(kernel: Kernel, eqn: Eqn, sizes: tuple[str, ...]) -> Buffer:
    """Allocate a buffer, or leave with MemoryError."""
    out, code = eqn.outs[0], kernel.code
    pointer = kernel.memory.allocate(out, sizes, out.type.dtype)
    if out not in kernel.memory.on_stack:
        kernel.fail_if(code.let(f"icmp eq ptr {pointer}, null"), Failure("memory", eqn.loc))
    kernel.memory.announce(out, kernel.depth)
    return Buffer(pointer, sizes, out)


def _copy(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    source, code = kernel.read(eqn.args[0]), kernel.code
    buffer = _new(kernel, eqn, source.sizes)
    size = code.let(f"mul i64 {_elements(kernel, source)}, {BYTES[eqn.outs[0].type.dtype]}")
    code.module.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    code.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {buffer.pointer}, ptr {source.pointer}, i64 {size}, i1 false)")
    return [buffer]


def _elements(kernel: Kernel, buffer: Buffer) -> str:
    count = "1"
    for size in buffer.sizes:
        count = size if count == "1" else kernel.code.let(f"mul nsw i64 {count}, {size}")
    return count


def _dim(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    return [kernel.read(eqn.args[0]).sizes[eqn.attrs["axis"]]]


def _reshape(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    source = kernel.read(eqn.args[0])
    dims = eqn.outs[0].type.dims
    sizes = tuple(
        str(known) if isinstance(known, int) else kernel.scalar(a, "int64")
        for known, a in zip(dims, eqn.args[1:], strict=True)
    )
    return [Buffer(source.pointer, sizes, source.root)]


def _part(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """A place in a buffer, which is a root of its own."""
    whole, code, out = kernel.read(eqn.args[0]), kernel.code, eqn.outs[0]
    sizes = tuple(
        str(known) if isinstance(known, int) else kernel.scalar(a, "int64")
        for known, a in zip(out.type.dims, eqn.args[1:], strict=True)
    )
    count = _elements(kernel, Buffer(whole.pointer, sizes, out))
    offset = code.let(f"mul nsw i64 {count}, {eqn.attrs['place']}")
    pointer = code.let(f"getelementptr inbounds {memory_type(out.type.dtype)}, ptr {whole.pointer}, i64 {offset}")
    kernel.memory.announce(out, kernel.depth)
    return [Buffer(pointer, sizes, out)]


# -- single elements ----------------------------------------------------------------------------------------------


def _element(kernel: Kernel, eqn: Eqn, subscripts: tuple) -> tuple[Buffer, str, bool]:
    """The buffer, the address of one of its elements, and whether that is the same in every iteration."""
    if any(entry != ("int",) for entry in eqn.attrs["spec"]) or len(subscripts) != eqn.args[0].type.rank:
        raise MissingRule(f"{eqn.op} with slices or arrays is not in the loop dialect", eqn.loc)
    code, buffer = kernel.code, kernel.read(eqn.args[0])
    type, parts = memory_type(eqn.args[0].type.dtype), [_position(kernel, s) for s in subscripts]
    if len(parts) > 1 and any(part.is_data for part in parts):
        return buffer, *_far_address(kernel, buffer, type, parts)
    indices = [kernel.scalar(s, "int64") for s in subscripts]
    moves = [kernel.depths.get(i, 0) >= kernel.depth for i in indices]
    down_a_column = any(moves[:-1]) and not moves[-1]
    offset = indices[0] if indices else "0"
    for index, size in zip(indices[1:], buffer.sizes[1:], strict=True):
        stride = kernel.memory.strides.get(size, size) if down_a_column else size
        offset = code.let(f"add nsw i64 {code.let(f'mul nsw i64 {offset}, {stride}')}, {index}")
    address = code.let(f"getelementptr inbounds {type}, ptr {buffer.pointer}, i64 {offset}")
    return buffer, address, not any(moves)


@dataclass(frozen=True)
class _Position:
    """A subscript as an operand and a constant; whether the operand is data: neither an index nor a size."""

    operand: str
    constant: int
    is_data: bool


def _position(kernel: Kernel, atom: Atom) -> _Position:
    """A subscript taken apart."""
    constant, made = 0, kernel.made
    while isinstance(atom, Value) and atom in made and made[atom].op in ("add", "sub"):
        eqn, sign = made[atom], 1 if made[atom].op == "add" else -1
        if atom.type.dtype != "int64" or not isinstance(eqn.args[1], Const) or eqn.args[0].type.dtype != "int64":
            break
        atom, constant = eqn.args[0], constant + sign * int(eqn.args[1].value)
    is_data = isinstance(atom, Value) and atom in made and made[atom].op in ("index", "cast", "where", "mod")
    return _Position(kernel.scalar(atom, "int64"), constant, is_data)


def _far_address(kernel: Kernel, buffer: Buffer, type: str, parts: Sequence[_Position]) -> tuple[str, bool]:
    """The address of an element whose place is data, in terms that neighbours share; and whether it stays the same.

    What is the same in every iteration comes first, then the data, then a constant: the four corners of a cell, of the
    density and of its cotangent, are at two offsets from as many pointers.
    """
    code, strides = kernel.code, ["1"]
    for size in buffer.sizes[:0:-1]:
        strides.insert(0, size if strides[0] == "1" else code.let(f"mul nsw i64 {strides[0]}, {size}"))
    terms: dict[bool, list[str]] = {False: [], True: []}
    for part, stride in zip(parts, strides, strict=True):
        moves = kernel.depths.get(part.operand, 0) >= kernel.depth
        terms[moves].append(_times(code, part.operand, stride))
        if part.constant and stride != "1":
            terms[False].append(_times(code, str(part.constant), stride))
    address = buffer.pointer
    for group in (*terms.values(), [str(parts[-1].constant)]):
        total = "0"
        for term in group:
            total = term if total == "0" else code.let(f"add nsw i64 {total}, {term}")
        if total != "0":
            address = code.let(f"getelementptr {type}, ptr {address}, i64 {total}")
    return address, not terms[True]


def _times(code: Code, one: str, other: str) -> str:
    """A product of 64-bit integers."""
    return one if other == "1" else code.let(f"mul nsw i64 {one}, {other}")


def _load(kernel: Kernel, dtype: str, buffer: Buffer, address: str) -> str:
    loaded = kernel.code.let(f"load {memory_type(dtype)}, ptr {address}{kernel.memory.access(buffer.root)}")
    return kernel.code.let(f"trunc i8 {loaded} to i1") if dtype == "bool" else loaded


def _save(kernel: Kernel, dtype: str, value: str, buffer: Buffer, address: str) -> None:
    if dtype == "bool":
        value = kernel.code.let(f"zext i1 {value} to i8")
    kernel.code.do(f"store {memory_type(dtype)} {value}, ptr {address}{kernel.memory.access(buffer.root)}")


def _index(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    buffer, address, _ = _element(kernel, eqn, eqn.args[1:])
    return [_load(kernel, eqn.args[0].type.dtype, buffer, address)]


def _store(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    dtype = eqn.args[0].type.dtype
    value = kernel.scalar(eqn.args[1], dtype)
    buffer, address, _ = _element(kernel, eqn, eqn.args[2:])
    _save(kernel, dtype, value, buffer, address)
    return [buffer]


def _accumulate(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """An element that an innermost loop adds to again and again is a sum: LLVM may reorder it."""
    dtype, code = eqn.args[0].type.dtype, kernel.code
    value = kernel.scalar(eqn.args[1], dtype)
    buffer, address, still = _element(kernel, eqn, eqn.args[2:])
    old = _load(kernel, dtype, buffer, address)
    if dtype in FLOATS and still and kernel.depth:
        new = code.let(f"fadd reassoc {code.module.flags}{LLVM[dtype]} {old}, {value}")
    else:
        new = scalars.emit(code, "add", dtype, [old, value])
    _save(kernel, dtype, new, buffer, address)
    return [buffer]


# -- checks -------------------------------------------------------------------------------------------------------


def _check_same(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    a, b = (kernel.scalar(x, "int64") for x in eqn.args)
    if a != b:
        bad = kernel.code.let(f"icmp ne i64 {a}, {b}")
        kernel.fail_if(bad, Failure("same", eqn.loc, eqn.attrs["message"]), a, b)
    return []


def _check_index(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    (i, n), code = (kernel.scalar(x, "int64") for x in eqn.args), kernel.code
    wrapped, negative = code.let(f"add i64 {i}, {n}"), code.let(f"icmp slt i64 {i}, 0")
    position = code.let(f"select i1 {negative}, i64 {wrapped}, i64 {i}")
    kernel.fail_if(code.let(f"icmp uge i64 {position}, {n}"), Failure("index", eqn.loc), i, n)
    return []


def _check_nonzero(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    (n,) = eqn.args
    if not (isinstance(n, Const) and n.value):
        true = scalars.truth(kernel.code, n.type.dtype, kernel.scalar(n, n.type.dtype))
        kernel.fail_if(kernel.code.let(f"xor i1 {true}, true"), Failure("zero", eqn.loc))
    return []


def _check_true(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    (condition,) = eqn.args
    true = scalars.truth(kernel.code, condition.type.dtype, kernel.scalar(condition, condition.type.dtype))
    failure = Failure(f"raise {eqn.attrs['error']}", eqn.loc, eqn.attrs["message"])
    kernel.fail_if(kernel.code.let(f"xor i1 {true}, true"), failure)
    return []


HANDLERS = {
    "empty": _empty, "copy": _copy, "dim": _dim, "reshape": _reshape, "part": _part,
    "index": _index, "store": _store, "accumulate": _accumulate,
    "check_same": _check_same, "check_index": _check_index, "check_nonzero": _check_nonzero,
    "check_true": _check_true,
}  # fmt: skip

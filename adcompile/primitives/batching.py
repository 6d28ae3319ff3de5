"""Batching rules: one equation for every call of a batch at once.

A mapped value carries its batch in its first axis; any other value is the same in every call. A rule
``batch(op, args, mapped, attrs)`` gives the result with the batch first; it is asked where an argument is mapped. The
aim is what a NumPy user would write: a matrix times a mapped vector is one product ``x @ a.T``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from adcompile.errors import MissingRule
from adcompile.ir import Eqn, Scalar, Type
from adcompile.ir.types import FLOATS
from adcompile.primitives.registry import PRIMITIVES, Rule

FULL = ("slice", False, False, 1)
Flags = Sequence[bool]


def refuse_ragged() -> NoReturn:
    """The calls of a batch share one shape of every array."""
    raise MissingRule(
        "the size of an array would differ between the mapped calls",
        remedy="Compute on the whole array with np.where or a mask that multiplies, or loop over the calls.",
    )


def ragged(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> NoReturn:
    """The rule of a primitive whose result has a size that depends on mapped values."""
    refuse_ragged()


# -- axes -------------------------------------------------------------------------------------------------------


def batch_of(op: Any, args: Sequence[Any], mapped: Flags) -> tuple[Any, Any]:
    """The size of the batch, and what its type knows of it."""
    first = args[list(mapped).index(True)]
    return op.size(first, 0), first.type.dims[0]


def align(op: Any, x: Any, mapped: bool, rank: int) -> Any:
    """A mapped value with new axes of size 1 behind the batch, so that it broadcasts against ``rank`` dimensions."""
    missing = rank - (x.rank - 1)
    return op.unsqueeze(x, tuple(range(1, 1 + missing))) if mapped and missing > 0 else x


def repeated(op: Any, x: Any, size: Any, dim: Any) -> Any:
    """A value that is the same in every call, repeated along a new first axis."""
    eqn = op.builder.definition(x.atom)
    if eqn is not None and eqn.op == "full":
        return op("full", eqn.args[0], size, *eqn.args[1:], **{**eqn.attrs, "dims": (dim, *x.type.dims)})
    return op.broadcast(x, (size, *op.shape(x)), (dim, *x.type.dims))


def all_mapped(op: Any, args: Sequence[Any], mapped: Flags) -> list[Any]:
    """The arguments, every one with a batch axis."""
    size, dim = batch_of(op, args, mapped)
    return [x if m else repeated(op, x, size, dim) for x, m in zip(args, mapped, strict=True)]


def first_only(mapped: Flags) -> None:
    """Refuse what only knows a mapped array: its other arguments are sizes."""
    if any(mapped[1:]):
        refuse_ragged()


# -- rules that several primitives share ------------------------------------------------------------------------


def same(name: str) -> Rule:
    """The rule of a primitive that does not look at axes."""
    return lambda op, args, mapped, attrs: op(name, *args, **attrs)


def along(name: str) -> Rule:
    """The rule of a primitive along an axis or a tuple of axes, of one array."""

    def rule(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
        axis = attrs["axis"]
        moved = tuple(i + 1 for i in axis) if isinstance(axis, tuple) else axis + 1
        return op(name, *args, **{**attrs, "axis": moved})

    return rule


# -- elementwise ------------------------------------------------------------------------------------------------

_COUNTING = ("floordiv", "mod")


def elementwise(op: Any, eqn: Eqn, args: Sequence[Any], mapped: Flags) -> Any:
    """An elementwise equation on batches: broadcasting does it, in the dtypes that each call would compute in."""
    types = [a.type for a in eqn.args]
    if eqn.op in _COUNTING and all(_is_python_int(t) for t in types):
        _check_divisor(op, args[1], mapped[1])
    given = [align(op, x, m, eqn.outs[0].type.rank) for x, m in zip(args, mapped, strict=True)]
    values = slice(1, None) if eqn.op == "where" else slice(None)
    dtype = _common_dtype(types[values], eqn.outs[0].type)
    for k in range(len(given))[values]:
        if mapped[k] and _is_weak(types[k]) and dtype is not None:
            given[k] = op.cast(given[k], dtype=dtype)
    result = op(eqn.op, *given, **eqn.attrs)
    wanted = eqn.outs[0].type.dtype
    return result if result.type.dtype == wanted else op.cast(result, dtype=wanted)


def _check_divisor(op: Any, divisor: Any, mapped: bool) -> None:
    """Raise as Python does where it divides an int by zero; NumPy only warns."""
    condition = op.ne(divisor, 0)
    if mapped:
        condition = every(op, condition)
    if not getattr(condition.atom, "value", False):
        op("check_true", condition, error="ZeroDivisionError", message="integer division or modulo by zero")


def _common_dtype(types: Sequence[Type], out: Type) -> str | None:
    """What Python's own numbers are converted to before they are computed with; None where they stay as they are."""
    strong = [np.dtype(t.dtype) for t in types if not _is_weak(t)]
    if strong:
        python = {"float64": 1.0, "int64": 1, "bool": True}
        weak = [python[t.dtype] for t in types if _is_weak(t)]
        return np.result_type(*strong, *weak).name
    return out.dtype if out.dtype != "bool" and all(t.dtype == "bool" for t in types) else None


def _is_weak(type: Type) -> bool:
    return isinstance(type, Scalar) and type.weak


def _is_python_int(type: Type) -> bool:
    return _is_weak(type) and type.dtype != "float64"


def check_all(op: Any, condition: Any, error: str, message: str) -> None:
    """Let the program raise unless a condition holds in every call."""
    op("check_true", every(op, condition), error=error, message=message)


def every(op: Any, condition: Any) -> Any:
    """Whether a mapped condition holds in every call."""
    return op.eq(op.sum(op.logical_not(condition), axis=(0,), keepdims=False), 0)


def some(op: Any, condition: Any) -> Any:
    """Whether a mapped condition holds in some call."""
    return op.ne(op.sum(condition, axis=(0,), keepdims=False), 0)


def as_live(op: Any, live: Any, x: Any) -> Any:
    """A mapped value, in the calls that are not live the first live call's; no derivative flows through those."""
    first = op.argmax(op.cast(live, dtype="int64"), axis=0)
    stand_in = op("index", x, first, spec=(("int",), *(FULL,) * (x.rank - 1)))
    if stand_in.type.dtype in FLOATS:
        stand_in = op.stop_gradient(stand_in)
    return op.where(align(op, live, True, x.rank - 1), x, stand_in)


# -- making and moving ------------------------------------------------------------------------------------------


def full(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.full``; sizes may be mapped where only what was stored is read again (``room``): the largest one serves."""
    size, dim = batch_of(op, args, mapped)
    value, *sizes = args
    if any(mapped[1:]) and not attrs.get("room"):
        refuse_ragged()
    sizes = [largest(op, n) if m else n for n, m in zip(sizes, mapped[1:], strict=True)]
    dims = (dim, *(attrs.get("dims") or ("?",) * len(sizes)))
    if not mapped[0]:
        return op("full", value, size, *sizes, **{**attrs, "dims": dims})
    return op.broadcast(align(op, value, True, len(sizes)), (size, *sizes), dims)


def largest(op: Any, counts: Any) -> Any:
    """The largest of the mapped counts; 0 of none."""
    zero = op("full", op.zero(counts.type.dtype), 1, dims=(1,))
    return op.max(op.concatenate(counts, zero, axis=0), axis=(0,), keepdims=False)


def transpose(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.transpose``."""
    return op.transpose(args[0], perm=(0, *(i + 1 for i in attrs["perm"])))


def reshape(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.reshape``."""
    first_only(mapped)
    size, dim = batch_of(op, args, mapped)
    dims = (dim, *(attrs.get("dims") or ("?",) * (len(args) - 1)))
    return op("reshape", args[0], size, *args[1:], dims=dims)


def broadcast_to(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.broadcast_to``."""
    first_only(mapped)
    size, dim = batch_of(op, args, mapped)
    sizes = args[1:]
    dims = (dim, *(attrs.get("dims") or ("?",) * len(sizes)))
    return op.broadcast(align(op, args[0], True, len(sizes)), (size, *sizes), dims)


def vector(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """Scalars side by side: columns of a matrix."""
    return op.concatenate(*(op.unsqueeze(x, (1,)) for x in all_mapped(op, args, mapped)), axis=1)


def concatenate(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.concatenate``."""
    return op.concatenate(*all_mapped(op, args, mapped), axis=attrs["axis"] + 1)


def roll(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.roll``; by another shift in every call it is a gather."""
    x, shift = args
    axis = attrs["axis"]
    if not mapped[1]:
        return op.roll(x, shift, axis=axis + 1)
    count = op.size(x, axis + mapped[0])
    places = op("arange", 0, count, 1, dims=op.dims_of((count,))) - op.unsqueeze(shift, (1,))
    rank = x.rank - mapped[0]
    spec = tuple(("array",) if i == axis else FULL for i in range(rank))
    return PRIMITIVES["index"].batch(op, (x, places % count), (mapped[0], True), {"spec": spec})  # type: ignore[misc]


def grow(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """A tape that has room for the longest of the calls."""
    tape, length = args
    length = largest(op, length) if mapped[1] else length
    size, dim = batch_of(op, args, mapped)
    tape = tape if mapped[0] else repeated(op, tape, size, dim)
    swap = (1, 0, *range(2, tape.rank))
    return op.transpose(op("grow", op.transpose(tape, perm=swap), length), perm=swap)


def searchsorted(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.searchsorted``; in an array of each call's own it counts the elements on the left."""
    places, values = args
    if not mapped[0]:
        return op("searchsorted", places, values, **attrs)
    values = values if mapped[1] else op.unsqueeze(op.lift(values), (0,)) if values.rank else values
    rank = max(values.rank - 1, 0)
    if values.rank:
        values = op.unsqueeze(values, (values.rank,))
    before = op.lt if attrs["side"] == "left" else op.le
    return op.sum(before(align(op, places, True, rank + 1), values), axis=(rank + 1,), keepdims=False)


def check_true(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> tuple[()]:
    """Raise where the condition fails in any call."""
    check_all(op, args[0], attrs["error"], attrs["message"])
    return ()


# -- products ---------------------------------------------------------------------------------------------------


def matmul(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``np.matmul``: one product where one factor is the same in every call and its shape allows it."""
    a, b = args
    rank_a, rank_b = a.rank - mapped[0], b.rank - mapped[1]
    if not mapped[0] and rank_b == 1 and rank_a <= 2:
        return b @ (op.swap_last(a) if rank_a == 2 else a)
    if (not mapped[1] and rank_b <= 2) or (not mapped[0] and (rank_a, rank_b) == (1, 2)):
        return a @ b
    if rank_a == rank_b == 1:
        return _inner(op, a, b)
    return _stacked(op, a, b, mapped, (rank_a, rank_b))


def _inner(op: Any, a: Any, b: Any) -> Any:
    """The inner product of two vectors of each call, in the dtype of the product."""
    op.check_same(op.size(a, 1), op.size(b, 1), "matmul: inner sizes differ")
    product = a * b
    return op.cast(op.sum(product, axis=(1,), keepdims=False), dtype=product.type.dtype)


def _stacked(op: Any, a: Any, b: Any, mapped: Flags, ranks: tuple[int, int]) -> Any:
    """A stack of matrix products; vectors are rows or columns."""
    if ranks[0] == 1:
        a = op.unsqueeze(a, (a.rank - 1,))
    if ranks[1] == 1:
        b = op.unsqueeze(b, (b.rank,))
    rank = max(2, *ranks)
    product = align(op, a, mapped[0], rank) @ align(op, b, mapped[1], rank)
    if ranks[1] == 1:
        product = op.squeeze_axis(product, product.rank - 1)
    return op.squeeze_axis(product, product.rank - 2 + (ranks[1] == 1)) if ranks[0] == 1 else product

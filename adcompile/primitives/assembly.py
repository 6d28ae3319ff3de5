"""Primitives that put arrays together from parts: ``vector`` of scalars, ``concatenate``, and ``roll``.

`assemble` turns nested Python sequences of numbers and handles into one array, as ``np.array`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import ShapeMismatch
from adcompile.ir import ANY, NOT_ONE, Array, Const, Type
from adcompile.ir.types import join_dim
from adcompile.primitives import batching
from adcompile.primitives.array import axis_word
from adcompile.primitives.registry import Primitive, define

FULL = ("slice", False, False, 1)
_OBVIOUS = ("float64", "int64", "bool")


def _vector_text(texts: Sequence[str], eqn: Any) -> str:
    dtype = eqn.outs[0].type.dtype
    kind = "" if dtype in _OBVIOUS else f", dtype=np.{dtype}"
    return f"np.array([{', '.join(texts)}]{kind})"


define(
    Primitive(
        "vector",
        infer=lambda types, attrs: (Array(types[0].dtype, (len(types),)),),
        shape=lambda op, args, attrs: (len(args),),
        python=_vector_text,
        jvp=lambda op, tangents, outs, args, attrs: (
            op.vector(*(op.zero(outs[0].type.dtype) if t is None else t for t in tangents)),
        ),
        vjp=lambda op, cts, outs, args, attrs, wanted: tuple(
            op.index(cts[0], i, spec=(("int",),)) if want else None for i, want in enumerate(wanted)
        ),
        batch=batching.vector,
        doc="scalars of one dtype as a rank-1 array",
    )
)


# -- concatenate ------------------------------------------------------------------------------------------------


def _joined(dims: Sequence[Any]) -> Any:
    """What is known of a sum of sizes: it is one only where a single one meets zeros."""
    if all(isinstance(d, int) for d in dims):
        return sum(dims)
    return ANY if ANY in dims or 1 in dims else NOT_ONE


def _infer_concatenate(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    axis, first = attrs["axis"], types[0]
    if any(t.rank != first.rank for t in types):
        raise ShapeMismatch("all the input array dimensions must match: " + ", ".join(map(str, types)))
    dims: list[Any] = []
    for position, column in enumerate(zip(*(t.dims for t in types), strict=True)):
        if position == axis:
            dims.append(_joined(column))
            continue
        exact = {d for d in column if isinstance(d, int)}
        if len(exact) > 1 or (1 in exact and NOT_ONE in column):
            raise ShapeMismatch("all the input array dimensions must match: " + ", ".join(map(str, types)))
        dims.append(exact.pop() if exact else NOT_ONE if NOT_ONE in column else join_dim(column[0], column[-1]))
    return (Array(first.dtype, tuple(dims)),)


def _concatenate_shape(op: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> tuple:
    axis = attrs["axis"]
    total: Any = 0
    for part in args:
        total = add_sizes(total, op.size(part, axis))
    return tuple(total if i == axis else op.size(args[0], i) for i in range(args[0].rank))


def add_sizes(a: Any, b: Any) -> Any:
    """A sum of sizes, without an equation for adding zero."""
    return b if isinstance(a, int) and a == 0 else a if isinstance(b, int) and b == 0 else a + b


def _concatenate_vjp(op, cts, outs, args, attrs, wanted):
    axis = attrs["axis"]
    cotangents, start = [], 0
    for position, (part, want) in enumerate(zip(args, wanted, strict=True)):
        stop = add_sizes(start, op.size(part, axis))
        cotangents.append(
            _piece(op, cts[0], axis, start, None if position == len(args) - 1 else stop) if want else None
        )
        start = stop
    return tuple(cotangents)


def _piece(op: Any, x: Any, axis: int, start: Any, stop: Any) -> Any:
    """``x[start:stop]`` along an axis."""
    given = tuple(b for b in (start, stop) if not (b is None or (isinstance(b, int) and b == 0)))
    entry = ("slice", not (isinstance(start, int) and start == 0), stop is not None, 1)
    if stop is not None and isinstance(stop, int) and stop == 0:
        given = (*given, 0)
    return op("index", x, *given, spec=tuple(entry if i == axis else FULL for i in range(x.rank)))


def _concatenate_text(texts: Sequence[str], eqn: Any) -> str:
    axis = f", axis={eqn.attrs['axis']}" if eqn.attrs["axis"] else ""
    return f"np.concatenate(({', '.join(texts)}{',' if len(texts) == 1 else ''}){axis})"


define(
    Primitive(
        "concatenate",
        infer=_infer_concatenate,
        shape=_concatenate_shape,
        python=_concatenate_text,
        jvp=lambda op, tangents, outs, args, attrs: (
            op.concatenate(
                *(op.zeros_like(a) if t is None else t for t, a in zip(tangents, args, strict=True)), **attrs
            ),
        ),
        vjp=_concatenate_vjp,
        batch=batching.concatenate,
        doc="arrays of one dtype and rank, joined along axis",
    )
)


# -- roll -------------------------------------------------------------------------------------------------------

define(
    Primitive(
        "roll",
        infer=lambda types, attrs: (types[0],),
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=lambda texts, eqn: f"np.roll({', '.join(texts)}{axis_word(eqn.attrs['axis'], eqn.args[0].type.rank)})",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (op.roll(cts[0], -args[1], **attrs),),
        batch=batching.roll,
        doc="out[i] = a[(i - shift) mod n] along one static axis; the shift is an integer argument",
    )
)


# -- nested sequences -------------------------------------------------------------------------------------------


def common_dtype(types: Sequence[Type]) -> str:
    """The dtype of an array that holds values of these types; Python's own numbers count as NumPy's here."""
    return np.result_type(*(np.dtype(t.dtype) for t in types)).name


def assemble(op: Any, value: Any) -> Any:
    """The array that ``np.array`` makes of a nested sequence of numbers and handles, or of a constant array."""
    if isinstance(value, np.ndarray):
        leaves = [op.lift(v) for v in value.flat]
        return _array_of_leaves(op, leaves, value.shape, value.dtype.name)
    shape = _nesting(value)
    if shape is not None:
        leaves = [op.lift(v) for v in _leaves(value)]
        if all(leaf.rank == 0 for leaf in leaves):
            return _array_of_leaves(op, leaves, shape, "float64")
    parts = [op.lift(v) for v in value]
    dtype = common_dtype([p.type for p in parts])
    if any(p.rank != parts[0].rank for p in parts):
        raise ShapeMismatch("the sequence holds parts of different ranks")
    return op.concatenate(*(op.unsqueeze(op.cast(p, dtype=dtype), (0,)) for p in parts), axis=0)


def _array_of_leaves(op: Any, leaves: Sequence[Any], shape: tuple[int, ...], empty: str) -> Any:
    """Scalars in a static shape."""
    if not leaves:
        return op("full", op.zero(empty), *shape, dims=shape)
    dtype = common_dtype([leaf.type for leaf in leaves])
    scalars = [op.cast(leaf, dtype=dtype) for leaf in leaves]
    if not shape:
        return scalars[0]
    if len(leaves) > 1 and all(isinstance(s.atom, Const) and s.atom == scalars[0].atom for s in scalars):
        return op("full", scalars[0], *shape, dims=shape)
    flat = op.vector(*scalars)
    return flat if len(shape) == 1 else op("reshape", flat, *shape, dims=shape)


def _nesting(value: Any) -> tuple[int, ...] | None:
    """The static shape of a nested sequence; None where it is ragged."""
    if not isinstance(value, (tuple, list, range)):
        return ()
    inner = {_nesting(v) for v in value} or {()}
    if len(inner) != 1 or None in inner:
        return None
    return (len(value), *(inner.pop() or ()))


def _leaves(value: Any) -> list:
    """The scalars of a nested sequence, in order."""
    if not isinstance(value, (tuple, list, range)):
        return [value]
    return [leaf for v in value for leaf in _leaves(v)]

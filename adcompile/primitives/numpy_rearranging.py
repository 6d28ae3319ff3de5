"""NumPy's functions that rearrange elements: roll, flip, tile, repeat, pad, diag, tril, trace, take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, ShapeMismatch
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    FULL,
    array,
    as_dtype,
    axes_of,
    axis_of,
    constant_of,
    equals,
    filled,
    pick,
    refuse,
    size,
    sizes,
    static_int,
)
from adcompile.primitives.numpy_creation import counter
from adcompile.primitives.numpy_shapes import flatten, moveaxis, reshape
from adcompile.primitives.registry import expansion

# -- repeating and rolling --------------------------------------------------------------------------------------


@expansion(np.roll)
def roll(op, a, shift, axis=None):
    """``np.roll``; several axes one after the other."""
    x = op.lift(a)
    if axis is None:
        return reshape(op, roll(op, flatten(op, x), shift, 0), op.shape(x))
    places = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,) * len(places)
    places = tuple(places) * len(shifts) if len(places) == 1 else places
    if len(shifts) != len(places):
        raise InvalidArgument("shift and axis must have the same length")
    for amount, place in zip(shifts, places, strict=True):
        x = op.roll(x, size(op, amount), axis=axis_of(place, x.rank))
    return x


@expansion(np.flip)
def flip(op, m, axis=None):
    """``np.flip``."""
    x = op.lift(m)
    axes = axes_of(axis, x.rank)
    return op("index", x, spec=tuple(("slice", False, False, -1) if i in axes else FULL for i in range(x.rank)))


expansion(np.flipud)(lambda op, m: flip(op, m, 0))
expansion(np.fliplr)(lambda op, m: flip(op, m, 1))


@expansion(np.tile)
def tile(op, A, reps):
    """``np.tile``."""
    x, times = array(op, A), sizes(op, reps)
    rank = max(x.rank, len(times))
    x = op.unsqueeze(x, tuple(range(rank - x.rank))) if x.rank < rank else x
    times = (*(1,) * (rank - len(times)), *times)
    return _repeat_blocks(op, x, times, before=True)


@expansion(np.repeat)
def repeat(op, a, repeats, axis=None):
    """``np.repeat`` by one number."""
    x = array(op, a) if axis is not None else flatten(op, a)
    place = 0 if axis is None else axis_of(axis, x.rank)
    if isinstance(repeats, (tuple, list)) or (isinstance(repeats, Handle) and repeats.rank):
        raise MissingRule("np.repeat with a number per element is not supported", remedy="Repeat by one integer.")
    return _repeat_blocks(op, x, [size(op, repeats) if i == place else 1 for i in range(x.rank)], before=False)


def _repeat_blocks(op: Any, x: Handle, times: Sequence[Any], before: bool) -> Handle:
    """Every dimension a number of times, whole (``before``) or element by element."""
    shape, spec, wide = op.shape(x), [], []
    for n, k in zip(shape, times, strict=True):
        if equals(k, 1):
            spec.append(FULL)
            wide.append(n)
            continue
        spec += [("new",), FULL] if before else [FULL, ("new",)]
        wide += [k, n] if before else [n, k]
    if len(wide) == x.rank:
        return x
    x = op.broadcast(op("index", x, spec=tuple(spec)), wide, op.dims_of(wide))
    return reshape(op, x, tuple(n if equals(k, 1) else n * k for n, k in zip(shape, times, strict=True)))


# -- padding ----------------------------------------------------------------------------------------------------


@expansion(np.pad)
def pad(op, array, pad_width, mode="constant", constant_values=0):
    """``np.pad``: one constant, or the modes 'edge', 'wrap', 'reflect' and 'symmetric'."""
    x = op.lift(array)
    widths = _widths(op, pad_width, x.rank)
    if mode == "constant":
        return _pad_constant(op, x, widths, constant_values)
    if mode not in _PADS:
        raise MissingRule(f"np.pad with mode={mode!r} is not supported", remedy=f"Use constant, {', '.join(_PADS)}.")
    for axis, (before, after) in enumerate(widths):
        if not (equals(before, 0) and equals(after, 0)):
            n = op.size(x, axis)
            x = pick(op, x, axis, _PADS[mode](op, counter(op, n + before + after) - before, n))
    return x


_PADS: dict[str, Callable[..., Handle]] = {
    "edge": lambda op, i, n: op.minimum(op.maximum(i, 0), n - 1),
    "wrap": lambda op, i, n: i % n,
    "reflect": lambda op, i, n: (n - 1) - op.abs(i % (2 * n - 2) - (n - 1)),
    "symmetric": lambda op, i, n: op.minimum(i % (2 * n), 2 * n - 1 - i % (2 * n)),
}
"""Mode → which element of ``n`` stands at position ``i``, counted from the first element of the array."""


def _widths(op: Any, pad_width: Any, rank: int) -> list[tuple[Any, Any]]:
    """Sizes before and after every dimension."""
    if not isinstance(pad_width, (tuple, list)):
        return [(size(op, pad_width),) * 2] * rank
    rows = [sizes(op, p) for p in pad_width]
    if not any(isinstance(p, (tuple, list)) for p in pad_width):
        rows = [tuple(n for row in rows for n in row)]
    rows = [row * 2 if len(row) == 1 else row for row in rows]
    rows = rows * rank if len(rows) == 1 else rows
    if len(rows) != rank or any(len(row) != 2 for row in rows):
        raise ShapeMismatch(f"np.pad: widths {pad_width} do not fit {rank} dimensions")
    return rows


def _pad_constant(op: Any, x: Handle, widths: Sequence[tuple[Any, Any]], value: Any) -> Handle:
    if isinstance(value, (tuple, list)):
        raise MissingRule("np.pad with several constant_values is not supported", remedy="Give one number.")
    shape = op.shape(x)
    border = filled(
        op,
        as_dtype(op, value, x.type.dtype),
        [n + before + after for n, (before, after) in zip(shape, widths, strict=True)],
    )
    spec, bounds = [], []
    for n, (before, after) in zip(shape, widths, strict=True):
        used = not (equals(before, 0) and equals(after, 0))
        spec.append(("slice", True, True, 1) if used else FULL)
        bounds += [before, before + n] if used else []
    return op("store", border, x, *bounds, spec=tuple(spec))


# -- diagonals and triangles ------------------------------------------------------------------------------------


@expansion(np.diagonal)
def diagonal(op, a, offset=0, axis1=0, axis2=1):
    """``np.diagonal``: the diagonal comes last."""
    x = op.lift(a)
    if x.rank < 2:
        raise InvalidArgument("diag requires an array of at least two dimensions")
    one, two = axis_of(axis1, x.rank), axis_of(axis2, x.rank)
    x = moveaxis(op, x, (one, two), (-2, -1))
    k = static_int(offset, "offset")
    rows, columns = (op.size(x, x.rank - 2) - max(-k, 0), op.size(x, x.rank - 1) - max(k, 0))
    n = _smaller(op, rows, columns)
    i = counter(op, n)
    return op(
        "index", x, _shift(i, max(-k, 0)), _shift(i, max(k, 0)), spec=(*(FULL,) * (x.rank - 2), *(("array",),) * 2)
    )


def _smaller(op: Any, a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return max(min(a, b), 0)
    return a if op.atom(a) == op.atom(b) else op.minimum(a, b)


def _shift(i: Handle, k: int) -> Handle:
    return i if k == 0 else i + k


@expansion(np.diag)
def diag(op, v, k=0):
    """``np.diag``: a matrix from its diagonal, or a diagonal from its matrix."""
    x = op.lift(v)
    if x.rank == 2:
        return diagonal(op, x, k)
    if x.rank != 1:
        raise InvalidArgument("Input must be 1- or 2-d.")
    k = static_int(k, "k")
    n = op.size(x, 0)
    i, m = counter(op, n), n + abs(k)
    zeros = filled(op, op.zero(x.type.dtype), (m, m))
    return op("store", zeros, x, _shift(i, max(-k, 0)), _shift(i, max(k, 0)), spec=(("array",),) * 2)


@expansion(np.trace)
def trace(op, a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """``np.trace``."""
    refuse("np.trace", dtype=dtype, out=out)
    values = diagonal(op, a, offset, axis1, axis2)
    return op.sum(values, axis=(values.rank - 1,), keepdims=False)


def _triangle(op: Any, m: Any, k: Any, lower: bool) -> Handle:
    x = op.lift(m)
    rows = op.unsqueeze(counter(op, op.size(x, x.rank - 2)), (1,))
    columns = op.unsqueeze(counter(op, op.size(x, x.rank - 1)), (0,))
    distance = columns - rows
    k = size(op, k)
    return op.where(distance <= k if lower else distance >= k, x, op.zero(x.type.dtype))


expansion(np.tril)(lambda op, m, k=0: _triangle(op, m, k, True))
expansion(np.triu)(lambda op, m, k=0: _triangle(op, m, k, False))


# -- gathering --------------------------------------------------------------------------------------------------


@expansion(np.take)
def take(op, a, indices, axis=None, out=None, mode="raise"):
    """``np.take``."""
    refuse("np.take", out=out, mode=None if mode == "raise" else mode)
    x = array(op, a) if axis is not None else flatten(op, a)
    return pick(op, x, 0 if axis is None else axis_of(axis, x.rank), constant_of(op.lift(indices)))

"""NumPy's numerical calculus: gradient, convolve, correlate, polyval."""

from __future__ import annotations

from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, ShapeMismatch
from adcompile.ir.types import FLOATS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    array,
    as_dtype,
    as_float,
    axes_of,
    filled,
    firm,
    part,
    pick,
    require,
    size,
    static_int,
)
from adcompile.primitives.assembly import common_dtype
from adcompile.primitives.numpy_reductions import diff
from adcompile.primitives.registry import expansion

# -- differences ------------------------------------------------------------------------------------------------


@expansion(np.gradient)
def gradient(op, f, *varargs, axis=None, edge_order=1):
    """``np.gradient``: central differences inside, one-sided ones of order 1 or 2 at the ends."""
    x = as_float(op, f)
    axes = axes_of(axis, x.rank)
    spacings = list(varargs) * len(axes) if len(varargs) == 1 else list(varargs) or [1.0] * len(axes)
    if len(spacings) != len(axes):
        raise InvalidArgument("np.gradient needs one spacing, or one for each axis")
    order = static_int(edge_order, "edge_order")
    if order not in (1, 2):
        raise InvalidArgument("'edge_order' greater than 2 not supported")
    found = tuple(_along(op, x, firm(op, h), place, order) for h, place in zip(spacings, axes, strict=True))
    return found[0] if len(found) == 1 else found


def _along(op: Any, x: Handle, spacing: Handle, axis: int, order: int) -> Handle:
    """The derivative along one axis; ``spacing`` is a step, or the coordinates of the points."""
    if spacing.rank > 1:
        raise InvalidArgument("distances must be either scalars or 1d")
    n = op.size(x, axis)
    require(op, op.ge(n, order + 1), "np.gradient: the array is too small along an axis")
    if spacing.rank:
        op.check_same(op.size(spacing, 0), n, "when 1d, distances must match the length of the corresponding dimension")
        spacing = diff(op, spacing)
        beside = [i for i in range(x.rank) if i != axis]
        before, after = part(op, spacing, 0, stop=-1), part(op, spacing, 0, start=1)
        before, after = (op.unsqueeze(h, beside) if beside else h for h in (before, after))
        left, middle, right = _stencil(op, x, axis)
        inside = (
            -after / (before * (before + after)) * left
            + (after - before) / (before * after) * middle
            + before / (after * (before + after)) * right
        )
    else:
        left, _, right = _stencil(op, x, axis)
        inside = (right - left) / (2.0 * spacing)
    ends = [_end(op, x, spacing, axis, order, back) for back in (False, True)]
    first, last = (op.unsqueeze(end, (axis,)) for end in ends)
    return op.concatenate(*(as_dtype(op, p, x.type.dtype) for p in (first, inside, last)), axis=axis)


def _stencil(op: Any, x: Handle, axis: int) -> tuple[Handle, Handle, Handle]:
    """The neighbours before, the points, and the neighbours after, of the points inside."""
    return part(op, x, axis, stop=-2), part(op, x, axis, start=1, stop=-1), part(op, x, axis, start=2)


def _end(op: Any, x: Handle, spacing: Handle, axis: int, order: int, back: bool) -> Handle:
    """The one-sided difference at the first point, or backwards from the last."""
    at = [pick(op, x, axis, -1 - i if back else i) for i in range(order + 1)]
    near, far = (pick(op, spacing, 0, -1 - i if back else i) if spacing.rank else spacing for i in (0, order - 1))
    if order == 1:
        return ((at[0] - at[1]) if back else (at[1] - at[0])) / near
    total = near + far
    slope = -(near + total) / (near * total) * at[0] + total / (near * far) * at[1] - near / (far * total) * at[2]
    return -slope if back else slope


# -- sums of products -------------------------------------------------------------------------------------------


@expansion(np.convolve)
def convolve(op, a, v, mode="full"):
    """``np.convolve`` of vectors: one pass over the result for each element of ``v``."""
    a, v = _vectors(op, "np.convolve", a, v)
    n, m = op.size(a, 0), op.size(v, 0)
    return _convolved(op, a, v, mode, (_least(op, n, m) - 1) // 2)


@expansion(np.correlate)
def correlate(op, a, v, mode="valid"):
    """``np.correlate`` of vectors."""
    a, v = _vectors(op, "np.correlate", a, v)
    n, m = op.size(a, 0), op.size(v, 0)
    short = _least(op, n, m)
    exchanged = op.cast(op.gt(m, n), dtype="int64", weak=True)
    return _convolved(op, a, part(op, v, 0, step=-1), mode, (short - 1 + exchanged * (1 - short % 2)) // 2)


def _vectors(op: Any, function: str, a: Any, v: Any) -> list[Handle]:
    found = [array(op, x) for x in (a, v)]
    if any(x.rank != 1 for x in found):
        raise ShapeMismatch(f"{function} takes one-dimensional arrays")
    dtype = common_dtype([x.type for x in found])
    if dtype not in FLOATS:
        raise MissingRule(f"{function} of {dtype}", remedy="Convert an array to floats with .astype(float).")
    for x in found:
        require(op, op.ge(op.size(x, 0), 1), f"{function}: an array is empty")
    return [as_dtype(op, x, dtype) for x in found]


def _least(op: Any, n: Any, m: Any) -> Any:
    """The smaller of two sizes."""
    return min(n, m) if isinstance(n, int) and isinstance(m, int) else op.minimum(n, m)


def _convolved(op: Any, a: Handle, v: Handle, mode: Any, centre: Any) -> Handle:
    """The sums ``a[i - j] v[j]`` that a mode asks for; ``centre`` is where those of "same" begin among all."""
    n, m = op.size(a, 0), op.size(v, 0)
    total, short = n + m - 1, _least(op, n, m)
    windows = {"full": (0, total), "same": (centre, total + 1 - short), "valid": (short - 1, total + 2 - 2 * short)}
    if mode not in windows:
        raise InvalidArgument(f"mode must be 'full', 'same' or 'valid', not {mode!r}")
    start, count = (size(op, x) for x in windows[mode])
    zeros = filled(op, op.zero(a.type.dtype), (m - 1,))
    padded, last = op.concatenate(zeros, a, zeros, axis=0), start + m - 1

    def step(op: Any, j: Handle, out: Handle) -> list[Handle]:
        first = op.sub(last, j)
        return [out + pick(op, v, 0, j) * part(op, padded, 0, first, first + count)]

    return op.loop(m, [filled(op, op.zero(a.type.dtype), (count,))], step)[0]


@expansion(np.polyval)
def polyval(op, p, x):
    """``np.polyval``: Horner's rule, the highest power first."""
    p, x = array(op, p), firm(op, x)
    if p.rank != 1:
        raise ShapeMismatch("np.polyval takes a vector of coefficients")
    dtype = common_dtype([p.type, x.type])
    p, x = as_dtype(op, p, dtype), as_dtype(op, x, dtype)
    return op.loop(op.size(p, 0), [op.zeros_like(x)], lambda op, i, y: [y * x + pick(op, p, 0, i)])[0]

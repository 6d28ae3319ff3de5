"""NumPy's reductions and scans: sum, mean, var, max, argmax, any, norm, prod, cumsum, sort and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    array,
    as_dtype,
    as_float,
    axes_of,
    axis_of,
    constant_of,
    count,
    dtype_name,
    equals,
    filled,
    firm,
    part,
    refuse,
    static_bool,
    static_int,
)
from adcompile.primitives.array import sum_dtype
from adcompile.primitives.numpy_creation import counter
from adcompile.primitives.registry import expansion

# -- shared -----------------------------------------------------------------------------------------------------


def _reduce(op: Any, name: str, x: Any, axis: Any, keepdims: Any) -> Handle:
    """Emit a reduction primitive with NumPy's axis and keepdims; of a scalar it is the scalar."""
    scalar = op.lift(x).rank == 0
    axes_of(axis, 0) if scalar and axis is not None else None
    x = array(op, x)
    kept = static_bool(keepdims, "keepdims") and not scalar
    return op(name, x, axis=tuple(sorted(axes_of(None if scalar else axis, x.rank))), keepdims=kept)


def _counted(op: Any, x: Any, axis: Any) -> Any:
    """How many elements a reduction sees."""
    x = op.lift(x)
    return count(op, x, axes_of(axis, x.rank))


def _reshaped_axis(op: Any, x: Any, axis: Any) -> tuple[Handle, int]:
    """The array and axis of a scan; all elements in C order where the axis is None."""
    x = array(op, x)
    if axis is not None:
        return x, axis_of(axis, x.rank)
    if x.rank > 1:
        total = count(op, x)
        x = op("reshape", x, total, dims=op.dims_of((total,)))
    return x, 0


# -- sums -------------------------------------------------------------------------------------------------------


@expansion(np.sum)
def sum_(op, a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """``np.sum``."""
    refuse("np.sum", out=out, initial=initial, where=where)
    kind = None if dtype is None else dtype_name(dtype)
    total = _reduce(op, "sum", a if kind is None else as_dtype(op, a, kind), axis, keepdims)
    return total if kind is None else as_dtype(op, total, kind)


@expansion(np.mean)
def mean(op, a, axis=None, dtype=None, out=None, keepdims=False, *, where=None):
    """``np.mean``: of integers in float64."""
    refuse("np.mean", out=out, where=where)
    x = as_float(op, a) if dtype is None else as_dtype(op, a, dtype_name(dtype))
    return _reduce(op, "sum", x, axis, keepdims) / _counted(op, x, axis)


@expansion(np.average)
def average(op, a, axis=None, weights=None, returned=False, *, keepdims=False):
    """``np.average`` without weights, or with weights of the shape of ``a`` or, along one axis, of that axis."""
    refuse("np.average", returned=returned or None)
    if weights is None:
        return mean(op, a, axis, keepdims=keepdims)
    a, weights = as_float(op, a), as_float(op, weights)
    if a.rank != weights.rank:
        if weights.rank != 1 or not isinstance(axis, int):
            raise MissingRule("np.average with weights of another rank", remedy="Broadcast the weights first.")
        along = axis % a.rank
        op.check_same(op.size(weights, 0), op.size(a, along), "length of weights not compatible with specified axis")
        sizes = [op.size(weights, 0) if k == along else 1 for k in range(a.rank)]
        weights = op("reshape", weights, *sizes, dims=op.dims_of(sizes))
        return sum_(op, a * weights, axis, keepdims=keepdims) / sum_(op, weights)
    return sum_(op, a * weights, axis, keepdims=keepdims) / sum_(op, weights, axis, keepdims=keepdims)


@expansion(np.var)
def var(op, a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None):
    """``np.var``: the mean of squared deviations, ``ddof`` taken off the count."""
    refuse("np.var", out=out, where=where, mean=mean)
    x = as_float(op, a) if dtype is None else as_dtype(op, a, dtype_name(dtype))
    number = _counted(op, x, axis)
    deviation = x - _reduce(op, "sum", x, axis, True) / number
    taken = constant_of(ddof if correction is None else correction)
    number = number if equals(taken, 0) else number - taken
    return _reduce(op, "sum", deviation * deviation, axis, keepdims) / number


@expansion(np.std)
def std(op, a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **options):
    """``np.std``."""
    return op.sqrt(var(op, a, axis, dtype, out, ddof, keepdims, **options))


@expansion(np.any)
def any_(op, a, axis=None, out=None, keepdims=False, *, where=None):
    """``np.any``: whether some element is not zero."""
    refuse("np.any", out=out, where=where)
    return op.ne(_reduce(op, "sum", as_dtype(op, a, "bool"), axis, keepdims), 0)


@expansion(np.all)
def all_(op, a, axis=None, out=None, keepdims=False, *, where=None):
    """``np.all``: whether no element is zero."""
    refuse("np.all", out=out, where=where)
    return op.eq(_reduce(op, "sum", op.logical_not(firm(op, a)), axis, keepdims), 0)


@expansion(np.count_nonzero)
def count_nonzero(op, a, axis=None, *, keepdims=False):
    """``np.count_nonzero``."""
    return _reduce(op, "sum", as_dtype(op, a, "bool"), axis, keepdims)


# -- extrema ----------------------------------------------------------------------------------------------------


def _extremum(name: str) -> Callable[..., Handle]:
    def reduce(op, a, axis=None, out=None, keepdims=False, initial=None, where=None):
        refuse(f"np.{name}", out=out, initial=initial, where=where)
        return _reduce(op, name, a, axis, keepdims)

    expansion(getattr(np, name), getattr(np, f"a{name}"))(reduce)
    return reduce


def _position(name: str) -> Callable[..., Handle]:
    def find(op, a, axis=None, out=None, *, keepdims=False):
        refuse(f"np.{name}", out=out)
        x, place = _reshaped_axis(op, a, axis)
        found = op(name, x, axis=place)
        if not static_bool(keepdims, "keepdims"):
            return found
        return op.unsqueeze(found, (place,) if axis is not None else tuple(range(op.lift(a).rank)))

    expansion(getattr(np, name))(find)
    return find


max_, min_ = _extremum("max"), _extremum("min")
argmax, argmin = _position("argmax"), _position("argmin")


@expansion(np.ptp)
def ptp(op, a, axis=None, out=None, keepdims=False):
    """``np.ptp``: the range of the values."""
    return max_(op, a, axis, out, keepdims) - min_(op, a, axis, out, keepdims)


# -- products and scans: loops, whose derivatives are right at zeros too, to every order --------------------------


@expansion(np.prod)
def prod(op, a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """``np.prod`` as a loop over the elements along the axis."""
    refuse("np.prod", out=out, initial=initial, where=where)
    x = array(op, a)
    axes = tuple(sorted(axes_of(axis if op.lift(a).rank else None, x.rank)))
    kind = sum_dtype(x.type.dtype) if dtype is None else dtype_name(dtype)
    x, rest = _last_axis(op, as_dtype(op, x, kind), axes)
    one = filled(op, as_dtype(op, 1, kind), rest)
    (result,) = op.loop(op.size(x, x.rank - 1), [one], lambda op, i, acc: [acc * _last(op, x, i)])
    return op.unsqueeze(result, axes) if static_bool(keepdims, "keepdims") and op.lift(a).rank else result


def _last_axis(op: Any, x: Handle, axes: Sequence[int]) -> tuple[Handle, tuple]:
    """``x`` with some axes moved to the end and merged into one, and the sizes of the others."""
    others = tuple(i for i in range(x.rank) if i not in axes)
    shape = op.shape(x)
    rest = tuple(shape[i] for i in others)
    if (*others, *axes) != tuple(range(x.rank)):
        x = op.transpose(x, perm=(*others, *axes))
    if len(axes) != 1:
        merged = (*rest, count(op, x, range(len(others), x.rank)))
        x = op("reshape", x, *merged, dims=op.dims_of(merged))
    return x, rest


def _last(op: Any, x: Handle, i: Handle) -> Handle:
    return op("index", op.handle(x.atom), i, spec=(*(("slice", False, False, 1),) * (x.rank - 1), ("int",)))


@expansion(np.cumsum)
def cumsum(op, a, axis=None, dtype=None, out=None):
    """``np.cumsum``."""
    refuse("np.cumsum", out=out)
    x, place = _reshaped_axis(op, a if dtype is None else as_dtype(op, a, dtype_name(dtype)), axis)
    total = op.cumsum(x, axis=place)
    return total if dtype is None else as_dtype(op, total, dtype_name(dtype))


@expansion(np.cumprod)
def cumprod(op, a, axis=None, dtype=None, out=None):
    """``np.cumprod`` as a loop along the axis."""
    refuse("np.cumprod", out=out)
    x, place = _reshaped_axis(op, a, axis)
    x = as_dtype(op, x, sum_dtype(x.type.dtype) if dtype is None else dtype_name(dtype))
    spec = tuple(("int",) if i == place else ("slice", False, False, 1) for i in range(x.rank))
    one = filled(op, as_dtype(op, 1, x.type.dtype), [n for i, n in enumerate(op.shape(x)) if i != place])

    def step(op: Any, i: Handle, running: Handle, out: Handle) -> list[Handle]:
        running = running * op("index", x, i, spec=spec)
        return [running, op("store", out, running, i, spec=spec)]

    return op.loop(op.size(x, place), [one, op.zeros_like(x)], step)[1]


@expansion(np.diff)
def diff(op, a, n=1, axis=-1, prepend=None, append=None):
    """``np.diff``: differences of neighbours, ``n`` times."""
    refuse("np.diff", prepend=prepend, append=append)
    x = op.lift(a)
    axis = axis_of(axis, x.rank)
    for _ in range(static_int(n, "n")):
        high, low = part(op, x, axis, start=1), part(op, x, axis, stop=-1)
        x = op.ne(high, low) if x.type.dtype == "bool" else high - low
    return x


@expansion(*(getattr(np, name) for name in ("trapezoid", "trapz") if hasattr(np, name)))
def trapezoid(op, y, x=None, dx=1.0, axis=-1):
    """``np.trapezoid``."""
    y = op.lift(y)
    axis = axis_of(axis, y.rank)
    width = op.lift(dx) if x is None else op.lift(x)
    if x is not None:
        width = diff(op, width, axis=0 if width.rank == 1 else axis)
        if width.rank == 1 and y.rank > 1:
            width = op.unsqueeze(width, [i for i in range(y.rank) if i != axis])
    heights = part(op, y, axis, start=1) + part(op, y, axis, stop=-1)
    return op.sum(width * heights / 2.0, axis=(axis,), keepdims=False)


# -- norms ------------------------------------------------------------------------------------------------------

_NORMS: dict[Any, Callable[..., Handle]] = {
    2: lambda op, x, axis, keep: op.sqrt(_reduce(op, "sum", x * x, axis, keep)),
    1: lambda op, x, axis, keep: _reduce(op, "sum", op.abs(x), axis, keep),
    np.inf: lambda op, x, axis, keep: _reduce(op, "max", op.abs(x), axis, keep),
    -np.inf: lambda op, x, axis, keep: _reduce(op, "min", op.abs(x), axis, keep),
}


@expansion(np.linalg.norm)
def norm(op, x, ord=None, axis=None, keepdims=False):
    """``np.linalg.norm``: None and 'fro' for any rank, 1, 2, inf and -inf for vectors."""
    x = as_float(op, x)
    if x.rank == 0:
        return op.abs(x)
    axes = axes_of(axis, x.rank)
    vectors = len(axes) == 1
    if ord in (None, "fro", "f") and (ord is None or len(axes) == 2):
        return _NORMS[2](op, x, axis, keepdims)
    rule = _NORMS.get(ord) if vectors else None
    if rule is None:
        raise MissingRule(
            f"np.linalg.norm with ord={ord!r} over {len(axes)} axes is not supported",
            remedy="Use None, 1, 2 or np.inf.",
        )
    return rule(op, x, axis, keepdims)


# -- order ------------------------------------------------------------------------------------------------------


@expansion(np.argsort)
def argsort(op, a, axis=-1, kind=None, order=None, *, stable=None):
    """``np.argsort``, always stable."""
    refuse("np.argsort", order=order)
    x, place = _reshaped_axis(op, a, axis)
    return op.argsort(x, axis=place)


@expansion(np.sort)
def sort(op, a, axis=-1, kind=None, order=None, *, stable=None):
    """``np.sort``: the elements in the order that ``argsort`` finds."""
    refuse("np.sort", order=order)
    x, place = _reshaped_axis(op, a, axis)
    return take_along_axis(op, x, op.argsort(x, axis=place), place)


@expansion(np.take_along_axis)
def take_along_axis(op, arr, indices, axis=-1):
    """``np.take_along_axis``: one index per element, the other axes counted through."""
    x, place = _reshaped_axis(op, arr, axis)
    indices = op.lift(indices)
    if indices.rank != x.rank:
        raise InvalidArgument("`indices` and `arr` must have the same number of dimensions")
    subscripts = [
        indices if i == place else op.unsqueeze(counter(op, op.size(x, i)), [j for j in range(x.rank) if j != i])
        for i in range(x.rank)
    ]
    return op("index", x, *subscripts, spec=(("array",),) * x.rank)


@expansion(np.searchsorted)
def searchsorted(op, a, v, side="left", sorter=None):
    """``np.searchsorted``."""
    refuse("np.searchsorted", sorter=sorter)
    a, v = op.lift(a), firm(op, v)
    found = op.searchsorted(a, v if v.rank else op.unsqueeze(v, (0,)), side=side)
    return found if v.rank else op.squeeze_axis(found, 0)


@expansion(np.interp)
def interp(op, x, xp, fp, left=None, right=None, period=None):
    """``np.interp``: piecewise linear, constant outside."""
    refuse("np.interp", period=period)
    x, xp, fp = (as_dtype(op, v, "float64") for v in (x, xp, fp))
    last = op.size(xp, 0) - 1
    high = op.strong("minimum", op.strong("maximum", searchsorted(op, xp, x, side="right"), 1), last)
    spec = (("array",),) if x.rank else (("int",),)
    x_low, x_high = (op("index", xp, i, spec=spec) for i in (high - 1, high))
    f_low, f_high = (op("index", fp, i, spec=spec) for i in (high - 1, high))
    inside = (f_high - f_low) / (x_high - x_low) * (x - x_low) + f_low
    ends = [op("index", fp, i, spec=(("int",),)) for i in (0, -1)]
    below, above = (end if given is None else op.lift(given) for end, given in zip(ends, (left, right), strict=True))
    first, final = (op("index", xp, i, spec=(("int",),)) for i in (0, -1))
    return op.where(x < first, below, op.where(x > final, above, inside))


@expansion(np.nonzero)
def nonzero(op, a):
    """``np.nonzero``: a tuple of index arrays."""
    found = op.nonzero(as_dtype(op, array(op, a), "bool"))
    return found if isinstance(found, tuple) else (found,)

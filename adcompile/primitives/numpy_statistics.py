"""NumPy's statistics: median, quantile, percentile, cov."""

from __future__ import annotations

from typing import Any

import numpy as np

from adcompile.errors import MissingRule, ShapeMismatch
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    array,
    as_dtype,
    as_float,
    axis_of,
    pick,
    refuse,
    require,
    static_bool,
)
from adcompile.primitives.numpy_reductions import mean, sort
from adcompile.primitives.numpy_shapes import concatenate, flatten
from adcompile.primitives.registry import expansion

# -- order statistics -------------------------------------------------------------------------------------------


@expansion(np.median)
def median(op, a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """``np.median``: nan where an element is nan."""
    refuse("np.median", out=out)
    return _quantile(op, a, 0.5, axis, keepdims)


@expansion(np.quantile)
def quantile(op, a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, **options):
    """``np.quantile`` at one number, between neighbours linearly."""
    refuse("np.quantile", out=out, method=None if method == "linear" else method, **options)
    return _quantile(op, a, q, axis, keepdims)


@expansion(np.percentile)
def percentile(op, a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, **options):
    """``np.percentile`` at one number, between neighbours linearly."""
    refuse("np.percentile", out=out, method=None if method == "linear" else method, **options)
    return _quantile(op, a, op.lift(q) / 100.0, axis, keepdims)


def _quantile(op: Any, a: Any, q: Any, axis: Any, keepdims: Any) -> Handle:
    """A point between two neighbours in the sorted order."""
    q = op.lift(q)
    if q.rank:
        raise MissingRule("a quantile at several numbers is not supported", remedy="Call it once for each number.")
    if isinstance(axis, (tuple, list)):
        raise MissingRule("a quantile over several axes is not supported", remedy="Merge them with reshape.")
    x = as_float(op, array(op, a))
    whole = x.rank
    x = flatten(op, x) if axis is None else x
    place = axis_of(0 if axis is None else axis, x.rank)
    require(op, op.logical_and(op.ge(q, 0.0), op.le(q, 1.0)), "Quantiles must be in the range [0, 1]")
    ordered = sort(op, x, place)
    last = op.size(ordered, place) - 1
    position = q * last
    low = op.cast(op.floor(position), dtype="int64", weak=True)
    weight = as_dtype(op, position - low, x.type.dtype)
    below, above = (pick(op, ordered, place, i) for i in (low, op.minimum(low + 1, last)))
    greatest = pick(op, ordered, place, -1)
    found = op.where(op.isnan(greatest), greatest, below + (above - below) * weight)
    if not static_bool(keepdims, "keepdims"):
        return found
    return op.unsqueeze(found, tuple(range(whole)) if axis is None else (place,))


# -- covariance -------------------------------------------------------------------------------------------------


@expansion(np.cov)
def cov(op, m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    """``np.cov``: variables in rows, or in columns where ``rowvar`` is false; in float64."""
    refuse("np.cov", fweights=fweights, aweights=aweights, dtype=dtype)
    parts = [_rows(op, x, static_bool(rowvar, "rowvar")) for x in (m, y) if x is not None]
    x = parts[0] if len(parts) == 1 else concatenate(op, parts)
    freedom = (0 if static_bool(bias, "bias") else 1) if ddof is None else ddof
    centred = x - mean(op, x, 1, keepdims=True)
    total = centred @ op.swap_last(centred) / (op.size(x, 1) - freedom)
    return total if op.lift(m).rank > 1 or y is not None else pick(op, pick(op, total, 0, 0), 0, 0)


def _rows(op: Any, x: Any, rows: bool) -> Handle:
    x = as_dtype(op, x, "float64")
    if x.rank not in (1, 2):
        raise ShapeMismatch("np.cov takes arrays of one or two dimensions")
    if x.rank == 1:
        return op.unsqueeze(x, (0,))
    return x if rows else op.swap_last(x)

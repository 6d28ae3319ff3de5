"""NumPy's elementwise functions that are not primitives: clip, where, select, round, heaviside, deg2rad, isclose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.ir.types import FLOATS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import as_dtype, as_float, as_ufunc, boolean, firm, refuse, static_int
from adcompile.primitives.assembly import common_dtype
from adcompile.primitives.numpy_reductions import all_, nonzero
from adcompile.primitives.registry import expansion

# -- choosing ---------------------------------------------------------------------------------------------------


@expansion(np.where)
def where(op, condition, x=None, y=None):
    """``np.where``; of the condition alone, the positions where it holds."""
    if x is None and y is None:
        return nonzero(op, condition)
    if x is None or y is None:
        raise InvalidArgument("either both or neither of x and y should be given")
    return op.strong("where", boolean(op, condition), op.lift(x), op.lift(y))


@expansion(np.clip)
def clip(op, a, a_min=None, a_max=None, out=None, *, min=None, max=None):
    """``np.clip``: the smaller of ``a_max`` and the larger of ``a`` and ``a_min``."""
    refuse("np.clip", out=out)
    x = op.lift(a)
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    x = x if low is None else op.strong("maximum", x, op.lift(low))
    x = x if high is None else op.strong("minimum", x, op.lift(high))
    return firm(op, x)


@expansion(np.heaviside)
def heaviside(op, x1, x2):
    """``np.heaviside``: 0, ``x2`` or 1 by the sign."""
    x, middle = as_ufunc(op, np.heaviside, x1, x2)
    outside = op.where(x < 0, op.like(x, 0), op.where(x > 0, op.like(x, 1), x))
    return op.where(op.eq(x, 0), middle, outside)


@expansion(np.nan_to_num)
def nan_to_num(op, x, copy=True, nan=0.0, posinf=None, neginf=None):
    """``np.nan_to_num``."""
    refuse("np.nan_to_num", copy=None if copy is True else copy)
    x = firm(op, x)
    if x.type.dtype not in FLOATS:
        return x
    limit = float(np.finfo(x.type.dtype).max)
    bounds = (limit if posinf is None else posinf, -limit if neginf is None else neginf)
    high, low = (op.like(x, b) for b in bounds)
    infinite = op.where(x > 0, high, low)
    return op.where(op.isnan(x), op.like(x, nan), op.where(op.isinf(x), infinite, x))


@expansion(np.select)
def select(op, condlist, choicelist, default=0):
    """``np.select``: the choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not condlist:
        raise InvalidArgument("np.select needs as many choices as conditions, and one at least")
    choices = [firm(op, c) for c in (*choicelist, default)]
    dtype = common_dtype([c.type for c in choices])
    *choices, found = (as_dtype(op, c, dtype) for c in choices)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        found = op.where(condition, choice, found)
    return found


# -- rounding ---------------------------------------------------------------------------------------------------


@expansion(np.round, np.around)
def round_(op, a, decimals=0, out=None):
    """``np.round``: half to even, in NumPy's own order of operations."""
    refuse("np.round", out=out)
    x, places = firm(op, a), static_int(decimals, "decimals")
    if x.type.dtype not in FLOATS:
        if places < 0:
            raise MissingRule("np.round of integers to tens is not supported", remedy="Convert to float64 first.")
        return op.rint(x) if x.type.dtype == "bool" else x
    if places == 0:
        return op.rint(x)
    scale = 10.0 ** abs(places)
    return op.rint(x * scale) / scale if places > 0 else op.rint(x / scale) * scale


@expansion(np.fix)
def fix(op, x, out=None):
    """``np.fix``."""
    refuse("np.fix", out=out)
    return op.strong("trunc", op.lift(x))


# -- arithmetic -------------------------------------------------------------------------------------------------


@expansion(np.fabs)
def fabs(op, x):
    """``np.fabs``: in floating point."""
    return op.abs(*as_ufunc(op, np.fabs, x))


@expansion(np.positive)
def positive(op, x):
    """``np.positive``."""
    return firm(op, x)


@expansion(np.float_power)
def float_power(op, x1, x2):
    """``np.float_power``: in float64."""
    return op.pow(as_dtype(op, x1, "float64"), as_dtype(op, x2, "float64"))


@expansion(np.exp2)
def exp2(op, x):
    """``np.exp2`` as a power of two."""
    return op.pow(2.0, *as_ufunc(op, np.exp2, x))


@expansion(np.divmod)
def divmod_(op, x1, x2):
    """``np.divmod``."""
    x, y = op.lift(x1), op.lift(x2)
    return op.strong("floordiv", x, y), op.strong("mod", x, y)


def signed_like(op: Any, x: Handle, magnitude: Handle) -> Handle:
    """A magnitude with the sign of ``x``: the exact remainder of C's fmod from that of the absolute values."""
    return op.where(x < 0, -magnitude, magnitude)


@expansion(np.fmod)
def fmod(op, x1, x2):
    """``np.fmod``."""
    x, y = op.lift(x1), op.lift(x2)
    return signed_like(op, x, op.strong("mod", op.abs(x), op.abs(y)))


expansion(np.deg2rad, np.radians)(lambda op, x: as_ufunc(op, np.deg2rad, x)[0] * (math.pi / 180.0))
expansion(np.rad2deg, np.degrees)(lambda op, x: as_ufunc(op, np.rad2deg, x)[0] * (180.0 / math.pi))


@expansion(np.logaddexp2)
def logaddexp2(op, x1, x2):
    """``np.logaddexp2``."""
    x, y = (v * math.log(2.0) for v in as_ufunc(op, np.logaddexp2, x1, x2))
    return op.logaddexp(x, y) / math.log(2.0)


@expansion(np.real)
def real(op, val):
    """``np.real`` of real numbers."""
    return op.lift(val)


expansion(np.conjugate)(positive)


# -- logic ------------------------------------------------------------------------------------------------------


@expansion(np.logical_xor)
def logical_xor(op, x1, x2):
    """``np.logical_xor``."""
    return op.ne(boolean(op, x1), boolean(op, x2))


@expansion(np.invert)
def invert(op, x):
    """``np.invert``: not of bools, all bits of integers."""
    x = firm(op, x)
    if x.type.dtype == "bool":
        return op.logical_not(x)
    if x.type.dtype in FLOATS:
        raise InvalidArgument(f"ufunc 'invert' not supported for {x.type}")
    return op.bitxor(x, int(np.iinfo(x.type.dtype).max) if x.type.dtype.startswith("u") else -1)


@expansion(np.isclose)
def isclose(op, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """``np.isclose``."""
    refuse("np.isclose", equal_nan=equal_nan or None)
    x, y = as_float(op, a), as_float(op, b)
    near = op.logical_and(op.abs(x - y) <= atol + rtol * op.abs(y), op.isfinite(y))
    return op.logical_or(near, op.eq(x, y))


@expansion(np.allclose)
def allclose(op, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """``np.allclose``: a Python bool."""
    return op.cast(all_(op, isclose(op, a, b, rtol, atol, equal_nan)), dtype="bool", weak=True)

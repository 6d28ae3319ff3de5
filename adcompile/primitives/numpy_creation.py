"""NumPy's functions that make arrays: zeros, full, arange, linspace, eye, meshgrid, array, conversions of dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.ir.types import FLOATS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    as_dtype,
    constant_of,
    dtype_name,
    equals,
    filled,
    firm,
    refuse,
    size,
    sizes,
    static_bool,
)
from adcompile.primitives.assembly import common_dtype
from adcompile.primitives.registry import expansion

# -- one value everywhere ---------------------------------------------------------------------------------------


def _maker(name: str, number: int) -> Callable[..., Handle]:
    def make(op, shape, dtype=float, order=None, *, device=None, like=None):
        refuse(f"np.{name}", like=like)
        return filled(op, as_dtype(op, number, dtype_name(dtype)), sizes(op, shape))

    def make_like(op, a, dtype=None, order=None, subok=None, shape=None, *, device=None):
        a = op.lift(a)
        kind = a.type.dtype if dtype is None else dtype_name(dtype)
        return filled(op, as_dtype(op, number, kind), op.shape(a) if shape is None else sizes(op, shape))

    expansion(getattr(np, name))(make)
    expansion(getattr(np, f"{name}_like"))(make_like)
    return make


for _name, _number in (("zeros", 0), ("ones", 1), ("empty", 0)):  # an empty array holds zeros: any number is right
    _maker(_name, _number)


@expansion(np.full)
def full(op, shape, fill_value, dtype=None, order=None, *, device=None, like=None):
    """``np.full``: the fill value broadcasts."""
    refuse("np.full", like=like)
    value = firm(op, fill_value)
    value = value if dtype is None else as_dtype(op, value, dtype_name(dtype))
    shape = sizes(op, shape)
    return filled(op, value, shape) if value.rank == 0 else op.broadcast(value, shape, op.dims_of(shape))


@expansion(np.full_like)
def full_like(op, a, fill_value, dtype=None, order=None, subok=None, shape=None, *, device=None):
    """``np.full_like``."""
    a = op.lift(a)
    return full(op, op.shape(a) if shape is None else shape, fill_value, a.type.dtype if dtype is None else dtype)


# -- ranges -----------------------------------------------------------------------------------------------------


def counter(op: Any, n: Any) -> Handle:
    """``np.arange(n)`` for a size."""
    return op("arange", 0, n, 1, dims=op.dims_of((n,)))


@expansion(np.arange)
def arange(op, start, stop=None, step=1, dtype=None, *, device=None, like=None):
    """``np.arange``; of floats by NumPy's own formula, so that start and step carry derivatives."""
    refuse("np.arange", like=like)
    start, stop = (0, start) if stop is None else (start, stop)
    bounds = [op.lift(b) for b in (start, stop, 1 if step is None else step)]
    kind = None if dtype is None else dtype_name(dtype)
    if any(b.type.dtype in FLOATS for b in bounds):
        return _float_range(op, bounds, kind)
    first, last, stride = (size(op, b) for b in bounds)
    if equals(stride, 0):
        raise InvalidArgument("np.arange needs a step that is not zero")
    if isinstance(first, int) and isinstance(last, int) and isinstance(stride, int):
        known: dict[str, Any] = {"dims": (len(range(first, last, stride)),)}
    else:
        known = {"dims": op.dims_of((last,))} if equals(first, 0) and equals(stride, 1) else {}
    values = op("arange", first, last, stride, **known)
    return as_dtype(op, values, kind or common_dtype([firm(op, b).type for b in bounds]))


def _float_range(op: Any, bounds: Sequence[Handle], dtype: str | None) -> Handle:
    """``start + i * ((start + step) - start)``, as NumPy fills it."""
    if dtype not in (None, *FLOATS):
        raise MissingRule("np.arange of floats with an integer dtype", remedy="Use np.arange(...).astype(...).")
    dtype = dtype or "float64"
    start, stop, step = (op.cast(b, dtype="float64", weak=True) for b in bounds)
    number = op.cast(op.ceil((stop - start) / step), dtype="int64", weak=True)
    number = max(number.atom.value, 0) if isinstance(constant_of(number), int) else op.maximum(number, 0)
    first, second = (op.cast(v, dtype=dtype) for v in (start, start + step))
    return first + op.cast(counter(op, number), dtype=dtype) * (second - first)


@expansion(np.linspace)
def linspace(op, start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, device=None):
    """``np.linspace`` between scalars."""
    refuse("np.linspace", retstep=retstep or None, axis=axis or None)
    start, stop = firm(op, start), firm(op, stop)
    if start.rank or stop.rank:
        raise MissingRule("np.linspace between arrays is not supported", remedy="Give scalar bounds.")
    dtype = "float64" if dtype is None else dtype_name(dtype)
    work = _float_type(start, stop)
    start, stop = (op.cast(b, dtype=work) for b in (start, stop))
    num, closed = size(op, num), static_bool(endpoint, "endpoint")
    gaps = num - 1 if closed else num
    gaps = max(gaps, 1) if isinstance(gaps, int) else op.maximum(gaps, 1)
    points = op.cast(counter(op, num), dtype=work) * ((stop - start) / gaps) + start
    if closed and not (isinstance(num, int) and num < 2):
        last = stop if isinstance(num, int) else op.where(num > 1, stop, start)
        points = op("store", points, last, num - 1, spec=(("slice", True, False, 1),))
    return as_dtype(op, points, dtype if dtype not in FLOATS or work == "float64" else work)


def _float_type(*values: Handle) -> str:
    name = common_dtype([v.type for v in values])
    return name if name in FLOATS else "float64"


@expansion(np.eye)
def eye(op, N, M=None, k=0, dtype=float, order="C", *, device=None, like=None):
    """``np.eye``."""
    refuse("np.eye", like=like)
    rows = op.unsqueeze(counter(op, size(op, N)), (1,))
    columns = op.unsqueeze(counter(op, size(op, N if M is None else M)), (0,))
    shift = size(op, k)
    rows = rows if equals(shift, 0) else rows + shift
    return as_dtype(op, op.eq(rows, columns), dtype_name(dtype))


@expansion(np.identity)
def identity(op, n, dtype=None, *, like=None):
    """``np.identity``."""
    return eye(op, n, dtype=float if dtype is None else dtype, like=like)


@expansion(np.meshgrid)
def meshgrid(op, *xi, copy=True, sparse=False, indexing="xy"):
    """``np.meshgrid``: a tuple of arrays."""
    refuse("np.meshgrid", copy=None if copy is True else copy)
    if indexing not in ("xy", "ij"):
        raise InvalidArgument("Valid values for `indexing` are 'xy' and 'ij'.")
    vectors = [firm(op, x) for x in xi]
    rank = len(vectors)
    order = [1, 0, *range(2, rank)] if indexing == "xy" and rank > 1 else list(range(rank))
    spread = [op.unsqueeze(_flat(op, v), [i for i in range(rank) if i != order[k]]) for k, v in enumerate(vectors)]
    if sparse:
        return tuple(spread)
    shape = tuple(op.size(spread[order.index(i)], i) for i in range(rank))
    return tuple(op.broadcast(v, shape, op.dims_of(shape)) for v in spread)


def _flat(op: Any, x: Handle) -> Handle:
    if x.rank > 1:
        raise MissingRule("np.meshgrid of arrays of rank 2 or more is not supported", remedy="Use .ravel() first.")
    return x if x.rank else op.unsqueeze(x, (0,))


# -- conversions ------------------------------------------------------------------------------------------------


@expansion(np.array)
def array_(op, object, dtype=None, *, copy=True, order="K", subok=False, ndmin=0, like=None):
    """``np.array``: a copy of an array, or the array that a nested sequence stands for."""
    refuse("np.array", like=like, ndmin=ndmin or None, copy=None if copy is True else copy)
    x = firm(op, object)
    x = x if dtype is None else as_dtype(op, x, dtype_name(dtype))
    fresh = not isinstance(object, Handle) or x.atom is not object.atom
    return x if x.rank == 0 or fresh else op.copy(x)


@expansion(np.asarray, np.ascontiguousarray, np.asanyarray)
def asarray(op, a, dtype=None, order=None, **options):
    """``np.asarray``."""
    refuse("np.asarray", **options)
    x = firm(op, a)
    return x if dtype is None else as_dtype(op, x, dtype_name(dtype))


@expansion(np.copy)
def copy(op, a, order="K", subok=False):
    """``np.copy``."""
    x = firm(op, a)
    return op.copy(x) if x.rank else x


def astype(op, x, dtype, order="K", casting="unsafe", subok=True, copy=True):
    """``x.astype(dtype)``."""
    refuse("astype", casting=None if casting == "unsafe" else casting, copy=None if copy is True else copy)
    return array_(op, x, dtype)


def _converter(dtype: str) -> Callable[..., Handle]:
    return lambda op, x=0: as_dtype(op, x, dtype)


for _dtype in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
    expansion(np.dtype(_dtype).type)(_converter(_dtype))

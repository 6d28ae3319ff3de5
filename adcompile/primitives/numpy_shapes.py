"""NumPy's functions of shape: reshape, squeeze, transpose, concatenate, stack, split and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, ShapeMismatch, StaticValueRequired
from adcompile.ir import ANY
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import (
    FULL,
    array,
    as_dtype,
    axes_of,
    axis_of,
    count,
    dtype_name,
    equals,
    filled,
    firm,
    part,
    product,
    quotient,
    refuse,
    size,
    sizes,
    static_int,
)
from adcompile.primitives.assembly import common_dtype
from adcompile.primitives.registry import expansion

# -- shapes -----------------------------------------------------------------------------------------------------


@expansion(np.shape)
def shape(op, a):
    """``np.shape``: a tuple of sizes."""
    return op.shape(op.lift(a))


@expansion(np.size)
def size_(op, a, axis=None):
    """``np.size``."""
    a = op.lift(a)
    return count(op, a, axes_of(axis, a.rank))


@expansion(np.ndim)
def ndim(op, a):
    """``np.ndim``."""
    return op.lift(a).rank


@expansion(np.reshape)
def reshape(op, a, shape=None, order="C", *, copy=None):
    """``np.reshape`` in C order; one size may be -1."""
    refuse("np.reshape", order=None if order == "C" else order, copy=copy)
    x = firm(op, a)
    wanted = list(sizes(op, shape))
    open_places = [i for i, n in enumerate(wanted) if equals(n, -1)]
    if len(open_places) > 1:
        raise InvalidArgument("can only specify one unknown dimension")
    for place in open_places:
        wanted[place] = _remaining(op, x, wanted[:place] + wanted[place + 1 :])
    if not equals(quotient(op, op.shape(x), wanted), 1):
        op.check_same(product(wanted), count(op, x), "cannot reshape array")
    if x.rank == 0:
        return filled(op, x, wanted)
    if not wanted:
        return op.reshape_to(x, (), x.type)
    return op("reshape", x, *wanted, dims=op.dims_of(wanted))


def _remaining(op: Any, x: Handle, others: Sequence[Any]) -> Any:
    """The size that -1 stands for."""
    exact = quotient(op, op.shape(x), others)
    return count(op, x) // product(others) if exact is None else exact


def flatten(op: Any, x: Any) -> Handle:
    """All elements of an array in C order."""
    x = array(op, x)
    return x if x.rank == 1 else reshape(op, x, -1)


@expansion(np.ravel)
def ravel(op, a, order="C"):
    """``np.ravel``."""
    refuse("np.ravel", order=None if order in ("C", "K") else order)
    return flatten(op, a)


@expansion(np.expand_dims)
def expand_dims(op, a, axis):
    """``np.expand_dims``."""
    x = firm(op, a)
    extra = len(axis) if isinstance(axis, (tuple, list)) else 1
    return op.unsqueeze(x, axes_of(axis, x.rank + extra))


@expansion(np.squeeze)
def squeeze(op, a, axis=None):
    """``np.squeeze``; without an axis the sizes of one must be known while tracing."""
    x = firm(op, a)
    if axis is None:
        if ANY in x.type.dims:
            raise StaticValueRequired("which dimensions have size 1 is only known at run time", remedy="Give an axis.")
        axes = [i for i, d in enumerate(x.type.dims) if d == 1]
    else:
        axes = list(axes_of(axis, x.rank))
        for i in axes:
            op.check_same(op.size(x, i), 1, "cannot select an axis to squeeze out which has size not equal to one")
    if not axes:
        return x
    return op("index", x, *(0,) * len(axes), spec=tuple(("int",) if i in axes else FULL for i in range(x.rank)))


@expansion(np.broadcast_to)
def broadcast_to(op, array, shape, subok=False):
    """``np.broadcast_to``."""
    x, wanted = firm(op, array), sizes(op, shape)
    if len(wanted) < x.rank:
        raise ShapeMismatch("input operand has more dimensions than allowed by the axis remapping")
    for i, dim in enumerate(x.type.dims):
        if dim != 1:
            op.check_same(op.size(x, i), wanted[len(wanted) - x.rank + i])
    return op.broadcast(x, wanted, op.dims_of(wanted)) if wanted else x


def atleast(rank: int) -> Callable[..., Any]:
    """``np.atleast_1d`` and ``np.atleast_2d``."""

    def expand(op, *arrays):
        found = tuple(
            op.unsqueeze(x, tuple(range(rank - x.rank))) if x.rank < rank else x for x in map(_firm(op), arrays)
        )
        return found[0] if len(found) == 1 else found

    return expand


def _firm(op: Any) -> Callable[[Any], Handle]:
    return lambda x: firm(op, x)


expansion(np.atleast_1d)(atleast(1))
expansion(np.atleast_2d)(atleast(2))


# -- order of dimensions ----------------------------------------------------------------------------------------


@expansion(np.transpose, np.permute_dims)
def transpose(op, a, axes=None):
    """``np.transpose``."""
    x = firm(op, a)
    perm = tuple(range(x.rank))[::-1] if axes is None else axes_of(axes, x.rank)
    if len(perm) != x.rank:
        raise InvalidArgument("axes don't match array")
    return x if perm == tuple(range(x.rank)) else op.transpose(x, perm=perm)


@expansion(np.swapaxes)
def swapaxes(op, a, axis1, axis2):
    """``np.swapaxes``."""
    x = op.lift(a)
    one, two = axis_of(axis1, x.rank), axis_of(axis2, x.rank)
    perm = list(range(x.rank))
    perm[one], perm[two] = two, one
    return transpose(op, x, perm)


@expansion(np.moveaxis)
def moveaxis(op, a, source, destination):
    """``np.moveaxis``."""
    x = op.lift(a)
    sources, places = axes_of(source, x.rank), axes_of(destination, x.rank)
    if len(sources) != len(places):
        raise InvalidArgument("`source` and `destination` arguments must have the same number of elements")
    perm = [i for i in range(x.rank) if i not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        perm.insert(place, axis)
    return transpose(op, x, perm)


@expansion(np.matrix_transpose)
def matrix_transpose(op, x):
    """``np.matrix_transpose``."""
    return swapaxes(op, x, -1, -2)


# -- joining ----------------------------------------------------------------------------------------------------


def _parts(op: Any, arrays: Any, function: str) -> list[Handle]:
    """The arrays of a sequence as handles."""
    if not isinstance(arrays, (tuple, list)):
        raise MissingRule(f"{function} of an array", remedy="Give a tuple of arrays.")
    if not arrays:
        raise InvalidArgument("need at least one array")
    return [firm(op, a) for a in arrays]


@expansion(np.concatenate)
def concatenate(op, arrays, axis=0, out=None, *, dtype=None, casting=None):
    """``np.concatenate``."""
    refuse("np.concatenate", out=out, casting=casting)
    parts = _parts(op, arrays, "np.concatenate")
    if axis is None:
        parts, axis = [flatten(op, p) for p in parts], 0
    if any(p.rank == 0 for p in parts):
        raise ShapeMismatch("zero-dimensional arrays cannot be concatenated")
    kind = common_dtype([p.type for p in parts]) if dtype is None else dtype_name(dtype)
    return op.concatenate(*(as_dtype(op, p, kind) for p in parts), axis=axis_of(axis, parts[0].rank))


@expansion(np.stack)
def stack(op, arrays, axis=0, out=None, *, dtype=None, casting=None):
    """``np.stack``."""
    refuse("np.stack", out=out, casting=casting)
    parts = _parts(op, arrays, "np.stack")
    if len({p.rank for p in parts}) != 1:
        raise ShapeMismatch("all input arrays must have the same shape")
    place = axis_of(axis, parts[0].rank + 1)
    kind = common_dtype([p.type for p in parts]) if dtype is None else dtype_name(dtype)
    parts = [as_dtype(op, p, kind) for p in parts]
    if parts[0].rank == 0:
        return op.lift(parts)
    return op.concatenate(*(op.unsqueeze(p, (place,)) for p in parts), axis=place)


@expansion(np.hstack)
def hstack(op, tup, *, dtype=None, casting=None):
    """``np.hstack``."""
    parts = [array(op, p) for p in _parts(op, tup, "np.hstack")]
    return concatenate(op, parts, 0 if parts[0].rank == 1 else 1, dtype=dtype, casting=casting)


@expansion(np.vstack)
def vstack(op, tup, *, dtype=None, casting=None):
    """``np.vstack``."""
    parts = [atleast(2)(op, p) for p in _parts(op, tup, "np.vstack")]
    return concatenate(op, parts, 0, dtype=dtype, casting=casting)


@expansion(np.column_stack)
def column_stack(op, tup):
    """``np.column_stack``."""
    parts = [array(op, p) for p in _parts(op, tup, "np.column_stack")]
    return concatenate(op, [op.unsqueeze(p, (1,)) if p.rank == 1 else p for p in parts], 1)


@expansion(np.append)
def append(op, arr, values, axis=None):
    """``np.append``."""
    return concatenate(op, (arr, values), axis)


# -- splitting --------------------------------------------------------------------------------------------------


@expansion(np.split)
def split(op, ary, indices_or_sections, axis=0):
    """``np.split``: a list of parts; their number is static."""
    x = op.lift(ary)
    place = axis_of(axis, x.rank)
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [size(op, i) for i in indices_or_sections]
    else:
        sections, n = static_int(indices_or_sections, "the number of sections"), op.size(x, place)
        op.check_same((n // sections) * sections, n, "array split does not result in an equal division")
        cuts = [(n // sections) * i for i in range(1, sections)]
    return [part(op, x, place, start, stop) for start, stop in zip([None, *cuts], [*cuts, None], strict=True)]

"""Turns a Python subscript into the static ``spec`` and the arguments of ``index``, ``store`` and ``accumulate``.

In: a tuple of integers, slices, None, ``...``, integer arrays, boolean masks (handles or static), as NumPy takes them.
Out: no ``...``, one entry per dimension, masks as integer arrays of positions. Anything else raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, ShapeMismatch, UnsupportedSyntax
from adcompile.ir.types import INTEGERS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import FULL, constant_of, equals, is_weak
from adcompile.primitives.indexing import Spec

_TWO_WAYS = "Use an integer, a slice, None, an ellipsis, or an array of integers or bools."


def subscript(op: Any, x: Any, index: Any) -> Handle:
    """``x[index]``."""
    spec, args = resolve_subscript(op, x, index)
    return x if all(entry == FULL for entry in spec) else op("index", x, *args, spec=spec)


def store_subscript(op: Any, x: Any, index: Any, value: Any) -> Handle:
    """The new version of ``x`` after ``x[index] = value``; a whole mask with a scalar becomes ``where``."""
    value = op.lift(value)
    if _is_mask(index) and index.rank == x.rank and value.rank == 0:
        _check_mask(op, x, index, 0)
        return op.where(index, op.cast(value, dtype=x.type.dtype, weak=is_weak(value) and _same(value, x)), x)
    spec, args = resolve_subscript(op, x, index)
    return op("store", x, value, *args, spec=spec)


def resolve_subscript(op: Any, x: Any, index: Any) -> tuple[Spec, tuple[Any, ...]]:
    """The ``spec`` and the dynamic arguments of ``x[index]``.

    Raises
    ------
    ShapeMismatch
        Too many indices, or a mask of another shape.
    InvalidArgument
        An index that NumPy refuses too (a float, a bool scalar).
    UnsupportedSyntax
        A slice whose step is only known at run time.
    """
    if x.rank == 0:
        raise InvalidArgument(f"a scalar ({x.type}) cannot be subscripted")
    items = [_normal(op, i) for i in (index if isinstance(index, tuple) else (index,))]
    items = _expand_ellipsis(items, x.rank)
    spec: list[tuple] = []
    args: list[Any] = []
    axis = 0
    for item in items:
        entries, given = _entry(op, x, item, axis)
        spec += entries
        args += given
        axis += sum(entry[0] != "new" for entry in entries)
    return tuple(spec), tuple(args)


def _normal(op: Any, item: Any) -> Any:
    """Static sequences as array handles; constants as Python integers; the rest as it is."""
    if isinstance(item, (tuple, list, range, np.ndarray)):
        item = op.lift(np.array(item, dtype="int64") if isinstance(item, list) and not item else item)
    return constant_of(item)


def _width(item: Any) -> int:
    """How many dimensions an item consumes."""
    if item is None or item is Ellipsis:
        return 0
    return item.rank if _is_mask(item) else 1


def _expand_ellipsis(items: Sequence[Any], rank: int) -> list[Any]:
    """Full slices in place of ``...`` and after the last item."""
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise InvalidArgument("an index can only have a single ellipsis ('...')")
    used = sum(map(_width, items))
    if used > rank:
        raise ShapeMismatch(f"too many indices: array is {rank}-dimensional, but {used} were indexed")
    place = places[0] if places else len(items)
    return [*items[:place], *[slice(None)] * (rank - used), *items[place + 1 :]]


def _entry(op: Any, x: Any, item: Any, axis: int) -> tuple[list[tuple], list[Any]]:
    """The entries and arguments of one item at one axis."""
    if item is None:
        return [("new",)], []
    if isinstance(item, slice):
        return _slice_entry(item)
    if isinstance(item, Handle) and item.rank:
        return _array_entry(op, x, item, axis)
    return [("int",)], [_integer(item, "an index")]


def _slice_entry(item: slice) -> tuple[list[tuple], list[Any]]:
    step = constant_of(item.step)
    if isinstance(step, Handle):
        raise UnsupportedSyntax(
            "the step of a slice is only known at run time", remedy="Use a literal step, or index with np.arange."
        )
    step = 1 if step is None else _integer(step, "the step of a slice")
    if step == 0:
        raise InvalidArgument("slice step cannot be zero")
    bounds = [constant_of(b) for b in (item.start, item.stop)]
    if equals(bounds[0], 0) and step > 0:
        bounds[0] = None
    given = [_integer(b, "a slice bound") for b in bounds if b is not None]
    return [("slice", bounds[0] is not None, bounds[1] is not None, step)], given


def _integer(item: Any, what: str) -> Any:
    """An integer or an integer scalar handle."""
    if isinstance(item, Handle):
        if item.rank == 0 and item.type.dtype in INTEGERS:
            return item
        raise InvalidArgument(f"{what} must be an integer, not {item.type}", remedy=_TWO_WAYS)
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    raise InvalidArgument(f"{what} must be an integer, not {type(item).__name__}", remedy=_TWO_WAYS)


def _array_entry(op: Any, x: Any, item: Handle, axis: int) -> tuple[list[tuple], list[Any]]:
    """An integer array, or the positions where a mask is true."""
    if _is_mask(item):
        _check_mask(op, x, item, axis)
        positions = op.nonzero(item)
        positions = list(positions) if isinstance(positions, tuple) else [positions]
        return [("array",)] * len(positions), positions
    if item.type.dtype not in INTEGERS:
        raise InvalidArgument(f"arrays used as indices must be of integer or bool type, not {item.type}")
    return [("array",)], [item]


def _is_mask(item: Any) -> bool:
    return isinstance(item, Handle) and item.rank > 0 and item.type.dtype == "bool"


def _check_mask(op: Any, x: Any, mask: Handle, axis: int) -> None:
    for offset, size in enumerate(op.shape(mask)):
        op.check_same(size, op.size(x, axis + offset), "boolean index did not match indexed array")


def _same(value: Handle, x: Handle) -> bool:
    return value.type.dtype == x.type.dtype

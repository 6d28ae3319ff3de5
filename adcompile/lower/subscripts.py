"""Subscripts → the sizes they select and the position of each selected element; shared by reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.ir import Scalar
from adcompile.ir.types import INDEX
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import aligned, broadcast_sizes, convert
from adcompile.lower.indices import Index, is_one
from adcompile.primitives import Handle
from adcompile.primitives.indexing import advanced_position, split

Position = Callable[[tuple[Index, ...], tuple[Index, ...]], Index]
"""(indices along kept dimensions, indices along the dimensions of array subscripts) → index along one dimension."""


@dataclass(frozen=True)
class Selection:
    """What subscripts select: ``sizes`` of the part, ``at`` maps an element of the part to one of the array."""

    sizes: tuple[Index, ...]
    at: Callable[[Sequence[Index]], tuple[Index, ...]]
    arrays: tuple[Delayed, ...]
    whole: bool


def as_index(x: Any) -> Index:
    """An index scalar as an int where it is known."""
    if isinstance(x, int):
        return x
    known = getattr(x.atom, "value", None)
    if known is not None:
        return int(known)
    return x if x.type.dtype == "int64" else x.op.cast(x, dtype="int64", weak=True, types=(INDEX,))


def select(context: Context, base: Sequence[Index], spec: Sequence[tuple], args: Sequence[Lowered]) -> Selection:
    """Resolve subscripts of an array of the sizes ``base``."""
    kept: list[Index] = []
    positions: list[Position] = []
    arrays: list[Delayed] = []
    whole = True
    for entry, given in split(tuple(spec), args):
        size = base[len(positions)] if entry[0] != "new" else 1
        match entry[0]:
            case "new":
                kept.append(1)
                continue
            case "int":
                whole = whole and is_one(size)
                positions.append(_at_int(context, context.indices.normalise(as_index(given[0]), size)))
            case "slice":
                first, count = bounds(context, size, entry, list(map(as_index, given)))
                whole = whole and entry[3] == 1 and context.indices.equal(count, size)
                positions.append(_at_slice(context, len(kept), first, entry[3]))
                kept.append(count)
            case "part":
                first, count = map(as_index, given)
                whole = False
                positions.append(_at_slice(context, len(kept), first, 1))
                kept.append(count)
            case "array":
                whole = False
                arrays.append(given[0])
                positions.append(_at_array(context, given[0], size))
    return _selection(context, spec, kept, positions, arrays, whole)


def _selection(context: Context, spec: Any, kept: list, positions: list, arrays: list, whole: bool) -> Selection:
    place = advanced_position(tuple(spec))
    advanced = broadcast_sizes(context, arrays) if arrays else ()
    place = 0 if place is None else place
    count = len(advanced)

    def at(indices: Sequence[Index]) -> tuple[Index, ...]:
        among = tuple(indices[place : place + count])
        others = (*indices[:place], *indices[place + count :])
        return tuple(position(others, among) for position in positions)

    return Selection((*kept[:place], *advanced, *kept[place:]), at, tuple(arrays), whole)


def _at_int(context: Context, position: Index) -> Position:
    return lambda kept, advanced: position


def _at_slice(context: Context, axis: int, first: Index, step: int) -> Position:
    def position(kept: tuple[Index, ...], advanced: tuple[Index, ...]) -> Index:
        return context.indices.add(first, context.indices.mul(kept[axis], step))

    return position


def _at_array(context: Context, array: Delayed, size: Index) -> Position:
    def position(kept: tuple[Index, ...], advanced: tuple[Index, ...]) -> Index:
        element = context.at(array, aligned(array, advanced))
        return context.indices.normalise(as_index(convert(context, element, Scalar("int64"))), size)

    return position


def bounds(context: Context, size: Index, entry: tuple, given: list[Index]) -> tuple[Index, Index]:
    """The first index and the number of elements of a slice; the first is exact only where there are elements."""
    _, has_start, has_stop, step = entry
    start = given.pop(0) if has_start else None
    stop = given.pop(0) if has_stop else None
    indices = context.indices
    low, high = (0, size) if step > 0 else (-1, indices.sub(size, 1))
    first = (low if step > 0 else high) if start is None else _bound(context, start, size, low, high, step > 0)
    last = (high if step > 0 else low) if stop is None else _bound(context, stop, size, low, high, step < 0)
    span = indices.sub(last, first) if step > 0 else indices.sub(first, last)
    stride = abs(step)
    count: Any = indices.maximum(span, 0)
    if stride != 1:
        raised = indices.add(count, stride - 1)
        count = raised // stride
    return first, as_index(count) if isinstance(count, Handle) else count


def _bound(context: Context, bound: Index, size: Index, low: Index, high: Index, lower: bool) -> Index:
    """A slice bound by Python's rules; ``lower`` tells which end of the range it is.

    A constant is clipped only on the side where that can add elements: where the other clip would matter, no element
    is left, and the count says so.
    """
    indices = context.indices
    if not isinstance(bound, int):
        return indices.minimum(indices.maximum(indices.select_wrapped(bound, size), low), high)
    if bound < 0:
        shifted = indices.add(size, bound)
        return indices.maximum(shifted, low) if lower else shifted
    return bound if lower else indices.minimum(bound, high)

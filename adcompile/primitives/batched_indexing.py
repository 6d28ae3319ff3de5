"""Batching rules of ``index``, ``store`` and ``accumulate``.

Subscripts that are the same in every call get a full slice in front of them. Where a subscript is mapped, all of it is
advanced indexing, with the number of the call as one more index array. NumPy then puts the axes in an order of its own,
which `Moved` remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.primitives.batching import Flags, align, batch_of, check_all, refuse_ragged, repeated
from adcompile.primitives.specs import FULL, Spec, assembled, split

ARRAY = ("array",)


@dataclass(frozen=True)
class Moved:
    """A subscript of batches: ``order[i]`` is where axis i of (batch, axes of one call) is in what NumPy gives."""

    spec: Spec
    args: tuple[Any, ...]
    order: tuple[int, ...]

    @property
    def in_order(self) -> bool:
        """Whether NumPy gives the batch first and the axes of one call in order."""
        return self.order == tuple(range(len(self.order)))


def subscript(op: Any, x: Any, x_mapped: bool, args: Sequence[Any], mapped: Flags, spec: Spec) -> Moved:
    """The subscript of all calls; ``x`` and ``args`` are mapped where their flag says so."""
    entries = [
        (entry, given, flags) for (entry, given), (_, flags) in zip(split(spec, args), split(spec, mapped), strict=True)
    ]
    kept = [f"kept {i}" for i, entry in enumerate(spec) if entry[0] in ("slice", "new")]
    rank = max((given[0].rank - flags[0] for entry, given, flags in entries if entry[0] == "array"), default=0)
    advanced = [f"advanced {i}" for i in range(rank)]
    wanted = ["batch", *assembled(spec, kept, advanced)]
    if not any(mapped):
        moved = (FULL, *spec)
        return Moved(moved, tuple(args), _order(assembled(moved, ["batch", *kept], advanced), wanted))
    for place, (entry, given, flags) in enumerate(entries):
        if entry[0] == "slice" and any(flags):
            if advanced:
                refuse_ragged()
            entries[place] = (ARRAY, (_window(op, entry, given),), (True,))
            rank, advanced = 1, [f"kept {place}"]
            kept.remove(advanced[0])
    new_spec, new_args = [], []
    if x_mapped:
        new_spec, new_args = [ARRAY], [_numbers(op, args, mapped, rank)]
    for entry, given, flags in entries:
        new_spec.append(ARRAY if entry[0] == "int" and flags[0] else entry)
        new_args += [align(op, a, f, rank) for a, f in zip(given, flags, strict=True)]
    moved = tuple(new_spec)
    return Moved(moved, tuple(new_args), _order(assembled(moved, kept, ["batch", *advanced]), wanted))


def _window(op: Any, entry: tuple, bounds: Sequence[Any]) -> Any:
    """The places of a slice with as many elements in every call: ``i : i + n``, not out of range."""
    if not (entry[1] and entry[2] and entry[3] == 1):
        refuse_ragged()
    start, stop = bounds
    count = _difference(op, start, stop)
    if count is None:
        refuse_ragged()
    check_all(op, op.ge(start, 0), "IndexError", "a slice that differs between the mapped calls is out of range")
    places = op("arange", 0, count, 1, dims=op.dims_of((count,)))
    return op.unsqueeze(start, (1,)) + places


def _difference(op: Any, start: Any, stop: Any) -> Any:
    """``stop - start``, where it is seen to be the same in every call; else None."""
    (base, low), (other, high) = _offset(op, start), _offset(op, stop)
    if other == start.atom:
        return high
    return high - low if base == other else None


def _offset(op: Any, x: Any) -> tuple[Any, Any]:
    """A mapped index as something mapped and what is added to it, the same in every call."""
    eqn = op.builder.definition(x.atom)
    if eqn is None or eqn.op not in ("add", "sub"):
        return x.atom, 0
    one, two = map(op.handle, eqn.args)
    if one.rank == 0 and eqn.op == "add":
        one, two = two, one
    if two.rank or not one.rank:
        return x.atom, 0
    offset = getattr(two.atom, "value", two)
    return one.atom, offset if eqn.op == "add" else -offset


def _order(given: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    return tuple(given.index(axis) for axis in wanted)


def _numbers(op: Any, args: Sequence[Any], mapped: Flags, rank: int) -> Any:
    """The numbers of the calls, as an index array that broadcasts against ``rank`` dimensions."""
    size, dim = batch_of(op, args, mapped)
    return align(op, op("arange", 0, size, 1, dims=(dim,)), True, rank)


def index(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
    """``a[subscripts]``."""
    x, *subs = args
    moved = subscript(op, x, mapped[0], subs, mapped[1:], attrs["spec"])
    found = op("index", x, *moved.args, spec=moved.spec)
    return found if moved.in_order else op.transpose(found, perm=moved.order)


def update(name: str) -> Any:
    """The rule of ``store`` and ``accumulate``."""

    def rule(op: Any, args: Sequence[Any], mapped: Flags, attrs: Mapping[str, Any]) -> Any:
        x, value, *subs = args
        size, dim = batch_of(op, args, mapped)
        x = x if mapped[0] else repeated(op, x, size, dim)
        moved = subscript(op, x, True, subs, mapped[2:], attrs["spec"])
        value = _placed(op, value, mapped[1], moved)
        return op(name, x, value, *moved.args, spec=moved.spec)

    return rule


def _placed(op: Any, value: Any, mapped: bool, moved: Moved) -> Any:
    """What is written, its axes where NumPy looks for them."""
    rank = len(moved.order) - 1
    value = align(op, value, mapped, rank)
    if moved.in_order:
        return value
    missing = rank + 1 - value.rank
    value = op.unsqueeze(value, tuple(range(missing))) if missing else value
    return op.transpose(value, perm=tuple(moved.order.index(i) for i in range(rank + 1)))

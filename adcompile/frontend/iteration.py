"""What a ``for`` loop runs over at run time: ranges, arrays, and ``zip`` and ``enumerate`` of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.errors import InvalidArgument, StaticValueRequired
from adcompile.frontend.merging import same
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import Range, Reference
from adcompile.primitives import Handle
from adcompile.primitives.indexing import trip_count


@dataclass(frozen=True)
class Items:
    """The elements of an array along its first dimension."""

    __adcompile_leaf__ = True

    array: Reference

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return t.op.size(t.read(self.array), 0)

    def item(self, t: Tracer, index: Handle) -> Any:
        """One of them."""
        from adcompile.frontend.expressions import get_item

        return get_item(t, self.array, index)


@dataclass(frozen=True)
class Counted:
    """The numbers of a range, by their position."""

    __adcompile_leaf__ = True

    range: Range

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        atoms = [t.op.atom(x) for x in (self.range.start, self.range.stop, self.range.step)]
        return trip_count(t.op, atoms)

    def item(self, t: Tracer, index: Handle) -> Any:
        """One of them."""
        return index * self.range.step + self.range.start


@dataclass(frozen=True)
class Listed:
    """A container that every element of a loop takes whole: its items must be known while tracing."""

    __adcompile_leaf__ = True

    items: Sequence[Any]

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return len(self.items)

    def item(self, t: Tracer, index: Handle) -> Any:
        """Not at a run-time position."""
        raise StaticValueRequired("a container is looped over together with an array", t.loc, "Stack it first.")


@dataclass(frozen=True)
class Zipped:
    """Several things looped over together."""

    __adcompile_leaf__ = True

    parts: Sequence[Any]

    def length(self, t: Tracer) -> Any:
        """The length of the shortest."""
        lengths = [p.length(t) for p in self.parts]
        shortest = lengths[0]
        for length in lengths[1:]:
            shortest = shortest if same(shortest, length) else t.op.minimum(shortest, length)
        return shortest

    def item(self, t: Tracer, index: Handle) -> Any:
        """One element of each."""
        return tuple(p.item(t, index) for p in self.parts)


@dataclass(frozen=True)
class Numbered:
    """``enumerate``."""

    __adcompile_leaf__ = True

    part: Any
    start: Any

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return self.part.length(t)

    def item(self, t: Tracer, index: Handle) -> Any:
        """The number and the element."""
        return (index if same(self.start, 0) else index + self.start, self.part.item(t, index))


def iteration(t: Tracer, value: Any) -> Any:
    """What ``for`` does with a value that is not a plain container."""
    if isinstance(value, Items | Counted | Zipped | Numbered | Listed):
        return value
    if isinstance(value, Range):
        return Counted(value)
    if isinstance(value, Reference):
        return Items(value)
    if isinstance(value, tuple | list):
        return Listed(value)
    raise InvalidArgument(f"a {type(value).__name__} cannot be looped over", t.loc, "Use range, an array or a tuple.")

"""Tapes: how one value of a loop body is recorded in every forward iteration and read back in the reverse one.

A tape is an ordinary array that the forward loop carries. `Rows` keeps a value of one size per iteration at the number
of the iteration; `Stack` lays arrays of changing size end to end and keeps where each begins and how long it is.
Where the number of iterations is not known before the loop, tapes double when they are full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adcompile.ir import ANY, Atom, Value
from adcompile.ir.types import INDEX, Array
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import FULL

FIRST_ROOM = 8
"""What a growing tape has room for at first."""
BETWEEN = ("slice", True, True, 1)


def name_of(value: Value) -> str:
    """The name of a value's tape."""
    return f"{value.name}_tape" if value.name else "tape"


def _grown(op: Emitter, tape: Value, length: Any) -> Atom:
    """The tape with room for some elements."""
    grown = op("grow", tape, length).atom
    grown.name = tape.name
    return grown


class Rows:
    """A value of the same size in every iteration; ``count`` iterations, None where that is not known."""

    def __init__(self, outer: Emitter, value: Value, sizes: Sequence[Any], count: Any):
        self.value, self.sizes, self.count = value, sizes, count
        dims = (ANY if count is None else outer.dims_of([count])[0], *value.type.dims)
        room = FIRST_ROOM if count is None else count
        tape = outer("full", outer.zero(value.type.dtype), room, *sizes, dims=dims, room=True)
        tape.atom.name = name_of(value)
        self.inits = [tape.atom]
        self.params = [Value(tape.type, tape.atom.name)]
        self.spec = (("int",), *(FULL,) * value.type.rank)

    def record(self, op: Emitter, place: Any) -> list[Atom]:
        """Store the value of this iteration."""
        (tape,) = self.params
        tape = tape if self.count is not None else _grown(op, tape, place + 1)
        return [op("store", tape, self.value, place, spec=self.spec).atom]

    def read(self, op: Emitter, tapes: Sequence[Value], place: Any) -> Atom:
        """The value of an iteration."""
        found = op("index", tapes[0], place, spec=self.spec).atom
        found.name = found.name or self.value.name
        return found


class Stack:
    """An array of changing size: its elements end to end, and for each iteration where they begin and its sizes."""

    sizes = None

    def __init__(self, outer: Emitter, inner: Emitter, value: Value, count: Any):
        self.value = value
        dtype = value.type.dtype
        elements = outer("full", outer.zero(dtype), FIRST_ROOM, dims=(ANY,), room=True)
        elements.atom.name = name_of(value)
        self.top = Value(INDEX, f"{name_of(value)}_top")
        self.own_sizes = inner.shape(inner.handle(value))
        changing = [inner.atom(s) for s in self.own_sizes]
        self.rows = [Rows(outer, v, (), count) for v in (self.top, *changing) if isinstance(v, Value)]
        self.inits = [elements.atom, outer.atom(0), *(r.inits[0] for r in self.rows)]
        self.params = [Value(Array(dtype, (ANY,)), elements.atom.name), self.top, *(r.params[0] for r in self.rows)]

    def record(self, op: Emitter, place: Any) -> list[Atom]:
        """Push the elements of this iteration."""
        top = op.handle(self.top)
        count = _product(self.own_sizes)
        after = top + count
        tape = _grown(op, self.params[0], after)
        flat = op("reshape", self.value, count, dims=(ANY,))
        stored = op("store", tape, flat, top, after, spec=(BETWEEN,)).atom
        return [stored, after.atom, *(r.record(op, place)[0] for r in self.rows)]

    def read(self, op: Emitter, tapes: Sequence[Value], place: Any) -> Atom:
        """The array of an iteration."""
        rows = [op.handle(r.read(op, [t], place)) for r, t in zip(self.rows, tapes[2:], strict=True)]
        top, changing = rows[0], iter(rows[1:])
        sizes = [s if isinstance(s, int) else next(changing) for s in self.own_sizes]
        flat = op("index", tapes[0], top, top + _product(sizes), spec=(BETWEEN,))
        return op("reshape", flat, *sizes, dims=self.value.type.dims).atom


def _product(sizes: Sequence[Any]) -> Any:
    total = sizes[0]
    for size in sizes[1:]:
        total = total * size
    return total

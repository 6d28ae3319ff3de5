"""Tapes: how one value of a loop body is recorded in every forward iteration and read back in the reverse one.

A tape is an ordinary array that the forward loop carries. `Rows` keeps a value of one size per iteration at the number
of the iteration; `Stacks` lays arrays of changing size end to end and keeps where those of an iteration begin.
Where the number of iterations is not known before the loop, tapes double when they are full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from adcompile.ir import ANY, Atom, Value
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter
from adcompile.primitives.buffer import UP_TO
from adcompile.primitives.indexing import FULL
from adcompile.transform.continued import continue_tape

FIRST_ROOM = 8
"""What a growing tape has room for at first."""
BETWEEN = ("slice", True, True, 1)


def name_of(value: Value) -> str:
    """The name of a value's tape."""
    return f"{value.name}_tape" if value.name else "tape"


def grown(op: Emitter, tape: Value, length: Any) -> Atom:
    """The tape with room for some elements."""
    longer = op("grow", tape, length).atom
    longer.name = tape.name
    return longer


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
        tape = tape if self.count is not None else grown(op, tape, place + 1)
        return [op("store", tape, self.value, place, spec=self.spec).atom]

    def filled(self, tapes: Sequence[Value], count: Atom) -> dict[Value, Atom]:
        """How many rows the loop has filled, where there may be more."""
        return {} if self.count is not None else {tapes[0]: count}

    def read(self, op: Emitter, tapes: Sequence[Value], place: Any) -> Atom:
        """The value of an iteration."""
        found = op("index", tapes[0], place, spec=self.spec).atom
        found.name = found.name or self.value.name
        return found


class Stacks:
    """Arrays of one changing size: the rows of each end to end, and for each iteration where they begin.

    ``sizes`` is how the body of the forward loop knows their sizes, which are not kept here; ``rest`` is what those
    after the first are outside of it. Where they change too, a row is an element, and arrays are laid out flat.
    """

    def __init__(
        self, outer: Emitter, values: Sequence[Value], sizes: Sequence[Any], rest: Sequence[Any] | None, count: Any
    ):
        self.values, self.sizes, self.flat = values, sizes, rest is None
        tapes = [self._tape(outer, v, rest or ()) for v in values]
        self.top = Value(INDEX, f"{tapes[0].name}_top")
        self.row = Rows(outer, self.top, (), count)
        self.inits = [*tapes, outer.atom(0), *self.row.inits]
        self.params = [*(Value(t.type, t.name) for t in tapes), self.top, *self.row.params]

    def _tape(self, outer: Emitter, value: Value, rest: Sequence[Any]) -> Value:
        dims = (ANY, *(() if self.flat else value.type.dims[1:]))
        tape = outer("full", outer.zero(value.type.dtype), FIRST_ROOM, *rest, dims=dims, room=True).atom
        tape.name = value.name if value.name.endswith("tape") else name_of(value)
        return tape

    def _spec(self, value: Value) -> tuple:
        return (BETWEEN, *(() if self.flat else (FULL,) * (value.type.rank - 1)))

    def _rows(self, sizes: Sequence[Any]) -> Any:
        return math.prod(sizes[1:], start=sizes[0]) if self.flat else sizes[0]

    def record(self, op: Emitter, place: Any) -> list[Atom]:
        """Push the rows of this iteration, unless a loop in it pushes them itself."""
        top = op.handle(self.top)
        after = top + self._rows(self.sizes)
        stored = []
        for value, tape in zip(self.values, self.params, strict=False):
            if continue_tape(op.builder, value, tape, self.top):
                stored.append(value)
                continue
            rest = (FULL,) * (value.type.rank - 1)
            used = op("index", value, self.sizes[0], spec=(UP_TO, *rest)) if value in op.builder.filled else value
            rows = op("reshape", used, self._rows(self.sizes), dims=(ANY,)) if self.flat and rest else used
            stored.append(op("store", grown(op, tape, after), rows, top, after, spec=self._spec(value)).atom)
        return [*stored, after.atom, *self.row.record(op, place)]

    def filled(self, tapes: Sequence[Value], count: Atom) -> dict[Value, Atom]:
        """How many rows the loop has pushed, and where how many iterations begin."""
        elements, top = tapes[: len(self.values)], tapes[len(self.values)]
        return dict.fromkeys(elements, top) | self.row.filled(tapes[-1:], count)

    def begin(self, op: Emitter, tapes: Sequence[Value], place: Any) -> Atom:
        """Where the rows of an iteration begin."""
        return self.row.read(op, tapes[-1:], place)

    def read(self, op: Emitter, position: int, tape: Value, top: Atom, sizes: Sequence[Any]) -> Atom:
        """The array of an iteration at some position, given its sizes and where its rows begin."""
        value, first = self.values[position], op.handle(top)
        found = op("index", tape, first, first + self._rows(sizes), spec=self._spec(value))
        return op("reshape", found, *sizes, dims=value.type.dims).atom if self.flat and len(sizes) > 1 else found.atom

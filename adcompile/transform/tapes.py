"""Tapes: how one value of a loop body is recorded in every forward iteration and read back in the reverse one.

A tape is an ordinary array that the forward loop carries. `Rows` keeps a value of one size per iteration at the number
of the iteration; `Stacks` lays arrays of changing size end to end and keeps where those of an iteration begin.
Where the number of iterations is not known before the loop, tapes double when they are full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adcompile.ir import ANY, Atom, Block, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter
from adcompile.primitives.buffer import UP_TO
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

    def filled(self, tapes: Sequence[Value], count: Atom) -> dict[Value, Atom]:
        """How many rows the loop has filled, where there may be more."""
        return {} if self.count is not None else {tapes[0]: count}

    def read(self, op: Emitter, tapes: Sequence[Value], place: Any) -> Atom:
        """The value of an iteration."""
        found = op("index", tapes[0], place, spec=self.spec).atom
        found.name = found.name or self.value.name
        return found


class Stacks:
    """Arrays of one changing size: the elements of each end to end, and for each iteration where they begin.

    What the sizes were is not kept here; ``sizes`` is how the body of the forward loop knows them.
    """

    def __init__(self, outer: Emitter, values: Sequence[Value], sizes: Sequence[Any], count: Any):
        self.values, self.sizes = values, sizes
        elements = [outer("full", outer.zero(v.type.dtype), FIRST_ROOM, dims=(ANY,), room=True).atom for v in values]
        for value, tape in zip(values, elements, strict=True):
            tape.name = name_of(value)
        self.top = Value(INDEX, f"{elements[0].name}_top")
        self.row = Rows(outer, self.top, (), count)
        self.inits = [*elements, outer.atom(0), *self.row.inits]
        self.params = [*(Value(e.type, e.name) for e in elements), self.top, *self.row.params]

    def record(self, op: Emitter, place: Any) -> list[Atom]:
        """Push the elements of this iteration."""
        top = op.handle(self.top)
        count = _product(self.sizes)
        after = top + count
        stored = []
        for value, tape in zip(self.values, self.params, strict=False):
            if _fills_directly(op.builder, value, tape, self.top):
                stored.append(value)
                continue
            rest = (FULL,) * (value.type.rank - 1)
            used = op("index", value, self.sizes[0], spec=(UP_TO, *rest)) if value in op.builder.filled else value
            flat = op("reshape", used, count, dims=(ANY,)) if rest else used
            stored.append(op("store", _grown(op, tape, after), flat, top, after, spec=(BETWEEN,)).atom)
        return [*stored, after.atom, *self.row.record(op, place)]

    def filled(self, tapes: Sequence[Value], count: Atom) -> dict[Value, Atom]:
        """How many elements the loop has pushed, and how many rows it has filled."""
        elements, top = tapes[: len(self.values)], tapes[len(self.values)]
        return dict.fromkeys(elements, top) | self.row.filled(tapes[-1:], count)

    def read(self, op: Emitter, tapes: Sequence[Value], place: Any, sizes: Sequence[Any]) -> list[Atom]:
        """The arrays of an iteration, given their sizes."""
        top = op.handle(self.row.read(op, tapes[-1:], place))
        found = []
        for value, tape in zip(self.values, tapes, strict=False):
            flat = op("index", tape, top, top + _product(sizes), spec=(BETWEEN,))
            found.append(op("reshape", flat, *sizes, dims=value.type.dims).atom if len(sizes) > 1 else flat.atom)
        return found


def _fills_directly(builder: Builder, tape: Value, around: Value, top: Value) -> bool:
    """Let a loop whose tape grows from nothing fill the tape around it, from ``top`` on; False where it does not.

    The loop is replaced by one that starts with the tape around and has every subscript of its tape moved by ``top``.
    That is the same where its body does nothing with its tape but grow it and store to it once, both of its own: what
    is stored by a loop inside the body would stay where it is, and overwrite what earlier iterations have recorded.
    """
    loop = builder.definitions.get(tape)
    if loop is None or loop.op != "while" or tape.type.rank != 1 or tape not in builder.filled:
        return False
    place, body = loop.outs.index(tape), loop.regions[-1]
    start = builder.definitions.get(loop.args[place])  # type: ignore[arg-type]
    steps = _steps(body, place)
    if start is None or start.op != "full" or not steps or any(tape in eqn_inputs(e) for e in builder.eqns):
        return False
    eqns = [e for eqn in body.eqns for e in (_moved(eqn, top) if eqn in steps else [eqn])]
    args = (*loop.args[:place], around, *loop.args[place + 1 :])
    filled = replace(loop, args=args, regions=(*loop.regions[:-1], replace(body, eqns=tuple(eqns))))
    builder.eqns[builder.eqns.index(loop)] = filled
    builder.definitions.update(dict.fromkeys(loop.outs, filled))
    return True


def _steps(body: Block, place: int) -> list[Eqn]:
    """The equations by which a body grows a tape that it carries and stores to it; none if it does anything else."""
    version, steps = body.params[place], []
    for op in ("grow", "store"):
        readers = [e for e in body.eqns if version in eqn_inputs(e)]
        if len(readers) != 1 or readers[0].op != op or readers[0].args[0] is not version:
            return []
        steps += readers
        (version,) = readers[0].outs
    return steps if version is body.results[place] and not any(version in eqn_inputs(e) for e in body.eqns) else []


def _moved(eqn: Eqn, top: Value) -> list[Eqn]:
    """An equation of a tape with its length, or all its subscripts, moved by ``top``."""
    first = 1 if eqn.op == "grow" else 2
    sums = [Eqn("add", (top, a), (Value(INDEX),), {}, eqn.loc) for a in eqn.args[first:]]
    return [*sums, replace(eqn, args=(*eqn.args[:first], *(e.outs[0] for e in sums)))]


def _product(sizes: Sequence[Any]) -> Any:
    total = sizes[0]
    for size in sizes[1:]:
        total = total * size
    return total

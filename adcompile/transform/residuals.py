"""What the reverse of a loop body needs from each forward iteration: recomputed where cheap, recorded where not.

Turns the free values of a finished reverse body that the forward body defines into (a) equations copied into the
reverse body, when they are cheap scalar arithmetic on what is there already, and (b) tapes: arrays indexed by the
iteration, stored in the forward loop and read in the reverse one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adcompile.analysis.overwrites import survivors
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Value, free_values
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.primitives.indexing import trip_count
from adcompile.primitives.shapes import hoisted, sizes_by_branch
from adcompile.transform.continued import read_from
from adcompile.transform.tapes import Rows, Stacks

_DEAR = {
    "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "pow", "erf", "erfc", "expit", "sqrt", "cbrt",
}  # fmt: skip
"""Elementwise primitives dearer than reading a recorded value."""


def _is_view(eqn: Eqn) -> bool:
    """Whether an array is a part of another, picked by integers and slices: to take it again costs nothing."""
    return eqn.op == "index" and all(entry[0] in ("int", "slice") for entry in eqn.attrs["spec"])


class Recomputation:
    """Which values of a forward region a reverse region has again at little cost: scalar arithmetic, parts of arrays.

    ``inside`` are the values only the forward region has, ``given`` those of them that the reverse region gets anyway.
    """

    def __init__(self, builder: Builder, inside: set[Value], given: set[Value], may_load: Callable[[Atom], bool]):
        self.builder, self.inside, self.given, self.may_load = builder, inside, given, may_load
        self.routes: dict[Value, Eqn | None] = {}

    def cheap(self, value: Value) -> bool:
        """Whether a value follows by scalar arithmetic from what is at hand."""
        return self.route(value) is not None

    def route(self, value: Value) -> Eqn | None:
        """The equation that gives a value again from what is at hand: its own, or a read of where it survives."""
        if value not in self.routes:
            eqn, survived = self.builder.definitions.get(value), self.builder.survived.get(value)
            own = eqn is not None and self._is_cheap(eqn)
            again = survived is not None and all(map(self._at_hand, survived.args))
            self.routes[value] = eqn if own else survived if again else None
        return self.routes[value]

    def _is_cheap(self, eqn: Eqn) -> bool:
        if eqn.regions or eqn.op in _DEAR or (isinstance(eqn.outs[0].type, Array) and not _is_view(eqn)):
            return False
        if eqn.op == "index" and not self.may_load(eqn.args[0]):
            return False
        if not (PRIMITIVES[eqn.op].elementwise or eqn.op in ("index", "dim")):
            return False
        return all(map(self._at_hand, eqn.args))

    def _at_hand(self, atom: Atom) -> bool:
        if isinstance(atom, Const) or atom not in self.inside:
            return True
        if atom in self.given and isinstance(atom.type, Scalar):
            return True
        return self.cheap(atom)

    def equations(self, values: Sequence[Value], recorded: set[Value]) -> list[Eqn]:
        """The equations that compute some cheap values from what is at hand and ``recorded``, in order."""
        ordered: dict[Value, Eqn] = {}

        def visit(value: Value) -> None:
            eqn = self.route(value)
            if eqn is None or value in ordered:
                return
            for atom in eqn.args:
                if isinstance(atom, Value) and atom in self.inside and atom not in recorded:
                    visit(atom)
            ordered[value] = eqn

        for value in values:
            visit(value)
        places = {eqn: place for place, eqn in enumerate(self.builder.eqns)}
        found = list(dict.fromkeys(ordered.values()))
        return sorted(found, key=places.__getitem__) if all(eqn in places for eqn in found) else found


@dataclass(frozen=True)
class Surviving:
    """The scalars of a nest whose elements survive, and a stand-in for each array as the loop that carries it ends.

    Reverse regions read the stand-ins, until the loop has been emitted.
    """

    scalars: Mapping[Value, tuple[Value, tuple[Atom, ...]]]
    arrays: Mapping[tuple[Eqn, int], Value]

    def ends(self, loop: Eqn, outs: Sequence[Value]) -> dict[Value, Atom]:
        """What the stand-ins of one loop stand for."""
        return {array: outs[place] for (eqn, place), array in self.arrays.items() if eqn is loop}


def surviving(nest: Eqn) -> Surviving:
    """What survives in a loop nest (in none, for a ``while``)."""
    arrays: dict[tuple[Eqn, int], Value] = {}
    scalars = {}
    for result, where in survivors(nest).items() if nest.op == "loop" else ():
        out = where.loop.outs[where.place]
        array = arrays.setdefault((where.loop, where.place), Value(out.type, out.name))
        scalars[result] = (array, where.subscripts)
    return Surviving(scalars, arrays)


def note_survivor(op: Emitter, eqn: Eqn, env: Mapping[Value, Atom]) -> None:
    """Remember of a scalar that was just read or stored where it can be read again."""
    known = op.builder.survivors
    if known is None or not eqn.outs or eqn.outs[0] not in known.scalars:
        return
    array, subscripts = known.scalars[eqn.outs[0]]
    source = eqn.args[1] if eqn.op == "store" else eqn.outs[0]
    scalar, *at = (env.get(a, a) if isinstance(a, Value) else a for a in (source, *subscripts))
    if isinstance(scalar, Value):
        spec = (("int",),) * len(at)
        op.builder.survived[scalar] = Eqn("index", (array, *at), (scalar,), {"spec": spec}, eqn.loc)


def recompute(block: Block, builder: Builder) -> tuple[Block, list[Value]]:
    """A reverse branch with the scalars it can compute again from outside put in front; and what it still reads."""
    op = Emitter(builder)
    block = _with_sizes(block, set(builder.definitions), lambda array, axis: op.atom(op.size(array, axis)))
    inside = set(builder.definitions)
    needed = [v for v in free_values(block) if v in inside]
    again = Recomputation(builder, inside, set(), lambda array: False)
    wanted = [v for v in needed if again.cheap(v)]
    eqns = again.equations(wanted, set())
    return substitute(replace(block, eqns=(*eqns, *block.eqns)), {}), [v for v in needed if v not in wanted]


def _with_sizes(block: Block, inside: set[Value], size: Callable[[Value, int], Atom]) -> Block:
    """A reverse region that is handed the sizes of arrays, so that no array is recorded only for its sizes."""
    names: dict[Value, Atom] = {}

    def rebuilt(block: Block) -> Block:
        kept = []
        for eqn in block.eqns:
            if eqn.op == "dim" and eqn.args[0] in inside:
                names[eqn.outs[0]] = size(eqn.args[0], eqn.attrs["axis"])  # type: ignore[arg-type]
            else:
                kept.append(replace(eqn, regions=tuple(map(rebuilt, eqn.regions))))
        return Block(block.params, tuple(kept), block.results)

    kept = rebuilt(block)
    inner = substitute(Block((), kept.eqns, kept.results), names, lambda value: value)
    return Block(block.params, inner.eqns, inner.results)


class Residuals:
    """The plan for one loop. Built after the reverse body, before the forward loop is closed."""

    def __init__(
        self,
        outer: Emitter,
        forward: Emitter,
        params: Sequence[Value],
        bounds: Sequence[Atom] | None,
        block: Block,
    ):
        self.outer, self.forward, self.bounds, self.params = outer, forward, bounds, params
        self.block = _with_sizes(block, set(forward.builder.definitions) | set(params[1:]), self._size)
        inside = set(forward.builder.definitions) | set(params[1:])
        needed = [v for v in free_values(self.block) if v in inside or v is params[0]]
        self.count = None if bounds is None else trip_count(outer, bounds)
        stacked = self._changing([v for v in needed if isinstance(v.type, Array)])
        sizes = [a for _, group in stacked for a in map(forward.atom, group)]
        inside |= set(forward.builder.definitions)
        needed += [a for a in dict.fromkeys(sizes) if isinstance(a, Value) and a in inside and a not in needed]
        self.recomputed, recorded = self._divide(needed, inside)
        apart = {v for values, _ in stacked for v in values}
        self.rows = [v for v in recorded if v not in apart]
        rows = [self._row(v) for v in self.rows]
        self.stacks = [Stacks(outer, values, group, self._rest(group), self.count) for values, group in stacked]
        self.tapes: list[Rows | Stacks] = [*rows, *self.stacks]
        place = self._iteration(forward, params[0]) if self.tapes else None
        self.tape_inits = [a for tape in self.tapes for a in tape.inits]
        self.tape_params = [p for tape in self.tapes for p in tape.params]
        self.tape_results = [a for tape in self.tapes for a in tape.record(forward, place)]

    def _divide(self, needed: Sequence[Value], inside: set[Value]) -> tuple[list[Eqn], list[Value]]:
        """Equations to repeat in the reverse body, in order, and values to record."""
        index = self.params[0]
        again = Recomputation(self.forward.builder, inside - {index}, set(needed), self._may_load)
        recorded = [v for v in needed if v is not index and not again.cheap(v)]
        wanted = [v for v in needed if v is not index and v not in recorded]
        return again.equations(wanted, set(recorded)), recorded

    def _may_load(self, array: Atom) -> bool:
        """Whether elements may be read again from an array around the loop.

        Not from one that a loop further out writes, which would have to be recorded whole for it, unless this loop runs
        over all of it anyway, or that loop makes it anew in every iteration and as many loops as it has dimensions
        are between them.
        """
        if self.outer.builder.shape_source(array) is None or self._is_renewed(array):
            return True
        if self.bounds is None:
            return False
        size, stop = self.outer.size(array, 0), self.outer.handle(self.bounds[1])
        bound = self.outer.builder.definition(stop.atom)
        reached = stop.atom if bound is None or bound.op != "sub" else bound.args[0]
        return array.type.rank == 1 and self.outer.atom(size) == reached

    def _is_renewed(self, array: Atom) -> bool:
        """Whether loops over all of an array, as far as one can tell, are in one that makes it anew."""
        builder, between = self.outer.builder, 1
        while builder is not None and array not in builder.renewed:
            builder, between = builder.parent, between + 1
        return builder is not None and between >= array.type.rank

    def _size(self, array: Value, axis: int) -> Atom:
        """A size of an array of the body, from outside where it is known there."""
        size = self.forward.size(array, axis)
        hoisted = self._hoist(size)
        return self.forward.atom(size) if hoisted is None else self.outer.atom(hoisted)

    def _row(self, value: Value) -> Rows:
        return Rows(self.outer, value, [self._hoist(s) for s in self._sizes(value)], self.count)

    def _sizes(self, value: Value) -> tuple[Any, ...]:
        """The sizes of an array of the body; for one from a branch as its condition tells, if that is possible."""
        op = self.forward
        eqn = op.builder.definitions.get(value)
        if value in op.builder.filled:
            return (op.handle(op.builder.filled[value]), *(op.size(value, k) for k in range(1, value.type.rank)))
        plain = op.shape(op.handle(value))
        if eqn is not None and eqn.op == "if" and any(self._hoist(s) is None for s in plain):
            known = sizes_by_branch(op.builder, eqn, value)
            if known and all(isinstance(a, Const) or op.builder.definition(a) for pair in known for a in pair):
                return tuple(op.handle(a) if a == b else op.where(eqn.args[0], a, b) for a, b in known)
        return plain

    def _changing(self, arrays: Sequence[Value]) -> list[tuple[list[Value], tuple[Any, ...]]]:
        """The arrays whose sizes change from one iteration to the next, those of the same sizes together."""
        groups: dict[tuple[Atom, ...], list[Value]] = {}
        for array in arrays:
            sizes = self._sizes(array)
            if any(self._hoist(s) is None for s in sizes):
                groups.setdefault(tuple(map(self.forward.atom, sizes)), []).append(array)
        return [(values, tuple(map(self.forward.handle, sizes))) for sizes, values in groups.items()]

    def _rest(self, sizes: Sequence[Any]) -> list[Any] | None:
        """Sizes of the body after the first as they are outside; None where one of them changes."""
        rest = [self._hoist(s) for s in sizes[1:]]
        return None if any(s is None for s in rest) else rest

    def _hoist(self, size: Any) -> Any:
        """A size inside the loop as one outside it; None where it changes from one iteration to the next."""
        if isinstance(size, int):
            return size
        for same in self.forward.builder.checked_equal(size.atom):
            atom = hoisted(self.outer.builder, self.forward.builder, self.params, same)
            if atom is not None:
                return self.outer.handle(atom)
        return None

    def _iteration(self, op: Emitter, index: Value) -> Any:
        """The number of the iteration with a given index, from 0."""
        if self.bounds is None:
            return op.handle(index)
        start, step = op.handle(self.bounds[0]), op.handle(self.bounds[2])
        return (op.handle(index) - start) // step if step.atom != Const(1, step.type) else op.handle(index) - start

    def note_filled(self, tapes: Sequence[Value], count: Atom) -> None:
        """Remember how much of each growing tape the loop, emitted by now, has filled, and the sizes of rows."""
        rest = list(tapes)
        for tape in self.tapes:
            own = [rest.pop(0) for _ in tape.inits]
            self.outer.builder.filled.update(tape.filled(own, count))
            for kept, start in zip(own, tape.inits, strict=True):
                sizes = [self.outer.size(start, axis) for axis in range(1, start.type.rank)]
                self.outer.builder.sizes.update(
                    {(kept, axis): n for axis, n in enumerate(map(self.outer.atom, sizes), 1)}
                )

    def reverse_body(self, tapes: Sequence[Value]) -> Block:
        """The reverse body with every residual read from its tape or computed again."""
        op = Emitter(self.outer.builder.child())
        fresh = [Value(p.type, p.name) for p in self.block.params]
        env: dict[Value, Atom] = {self.params[0]: fresh[0], **dict(zip(self.block.params, fresh, strict=True))}
        place = self._iteration(op, fresh[0]) if self.tapes else None
        rest = list(tapes)
        own = [[rest.pop(0) for _ in tape.inits] for tape in self.tapes]
        for value, tape, held in zip(self.rows, self.tapes, own, strict=False):
            env[value] = tape.read(op, held, place)  # type: ignore[call-arg, assignment]
        for eqn in self.recomputed:
            args = [env.get(a, a) if isinstance(a, Value) else a for a in eqn.args]
            outs = op.builder.emit(
                eqn.op, args, [o.type for o in eqn.outs], eqn.attrs, names=[o.name for o in eqn.outs]
            )
            env.update(zip(eqn.outs, outs, strict=True))
        block = self.block
        for stack, held in zip(self.stacks, own[len(self.rows) :], strict=True):
            atoms = [env.get(s.atom, s.atom) if isinstance(s.atom, Value) else s.atom for s in stack.sizes]
            sizes, begin = [op.handle(a) for a in atoms], stack.begin(op, held, place)
            for position, (part, tape) in enumerate(zip(stack.values, held, strict=False)):
                direct = None if stack.flat and part.type.rank > 1 else read_from(block, part, tape, begin)
                block = direct or block
                if direct is None:
                    env[part] = stack.read(op, position, tape, begin, sizes)
        moved = substitute(Block((), block.eqns, block.results), env)
        return Block(tuple(fresh), (*op.builder.eqns, *moved.eqns), moved.results)

"""What the reverse of a loop body needs from each forward iteration: recomputed where cheap, recorded where not.

Turns the free values of a finished reverse body that the forward body defines into (a) equations copied into the
reverse body, when they are cheap scalar arithmetic on what is there already, and (b) tapes: arrays indexed by the
iteration, stored in the forward loop and read in the reverse one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adcompile.errors import MissingRule
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Value, free_values
from adcompile.ir.core import substitute
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.primitives.indexing import FULL, trip_count

_DEAR = {"exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "pow", "erf", "erfc", "sqrt", "cbrt", "div"}
"""Elementwise primitives dearer than reading a recorded value."""


class Residuals:
    """The plan for one loop. Built after the reverse body, before the forward loop is closed."""

    def __init__(
        self,
        outer: Emitter,
        forward: Emitter,
        params: Sequence[Value],
        inits: Sequence[Atom],
        bounds: Sequence[Atom],
        block: Block,
    ):
        self.outer, self.forward, self.block, self.bounds = outer, forward, block, bounds
        self.params, self.inits = params, inits
        inside = set(forward.builder.definitions) | set(params[1:])
        needed = [v for v in free_values(block) if v in inside or v is params[0]]
        self.recomputed, self.recorded = self._divide(needed, inside)
        self.tape_inits = [self._tape(v).atom for v in self.recorded]
        self.tape_params = [
            Value(t.type, f"{v.name}_tape" if v.name else "tape")
            for t, v in zip(self.tape_inits, self.recorded, strict=True)
        ]
        place = self._iteration(forward, params[0]) if self.recorded else None
        self.tape_results = [
            forward("store", t, v, place, spec=(("int",), *(FULL,) * v.type.rank)).atom
            for t, v in zip(self.tape_params, self.recorded, strict=True)
        ]

    def _divide(self, needed: Sequence[Value], inside: set[Value]) -> tuple[list[Eqn], list[Value]]:
        """Equations to repeat in the reverse body, in order, and values to record."""
        index = self.params[0]
        recorded = [v for v in needed if v is not index and not self._cheap(v, inside, set(needed))]
        repeat: dict[Eqn, None] = {}
        for value in needed:
            if value is not index and value not in recorded:
                self._collect(value, inside, set(recorded), repeat)
        order = {eqn: k for k, eqn in enumerate(self.forward.builder.eqns)}
        return sorted(repeat, key=order.__getitem__), recorded

    def _cheap(self, value: Value, inside: set[Value], needed: set[Value]) -> bool:
        """Whether a needed value follows by scalar arithmetic from the index, values around the loop and other needs."""
        eqn = self.forward.builder.definitions.get(value)
        if eqn is None or eqn.regions or isinstance(value.type, Array) or eqn.op in _DEAR:
            return False
        primitive = PRIMITIVES.get(eqn.op)
        if primitive is None or not (primitive.elementwise or eqn.op in ("index", "dim")):
            return False
        return all(self._at_hand(a, inside, needed) for a in eqn.args)

    def _at_hand(self, atom: Atom, inside: set[Value], needed: set[Value]) -> bool:
        if isinstance(atom, Const) or atom is self.params[0] or atom not in inside:
            return True
        if atom in needed and isinstance(atom.type, Scalar):
            return True
        return self._cheap(atom, inside, needed)

    def _collect(self, value: Value, inside: set[Value], recorded: set[Value], repeat: dict[Eqn, None]) -> None:
        eqn = self.forward.builder.definitions[value]
        for atom in eqn.args:
            if isinstance(atom, Value) and atom in inside and atom not in recorded:
                self._collect(atom, inside, recorded, repeat)
        repeat[eqn] = None

    def _tape(self, value: Value) -> Any:
        sizes = [self._hoist(size) for size in self.forward.shape(self.forward.handle(value))]
        count = trip_count(self.outer, self.bounds)
        dims = (*self.outer.dims_of([count]), *value.type.dims)
        return self.outer("full", self.outer.zero(value.type.dtype), count, *sizes, dims=dims)

    def _hoist(self, size: Any) -> Any:
        """A size inside the loop as one outside it."""
        if isinstance(size, int):
            return size
        return self.outer.handle(self._hoisted(size.atom))

    def _hoisted(self, atom: Atom) -> Atom:
        if isinstance(atom, Const):
            return atom
        eqn = self.forward.builder.definitions.get(atom)
        if atom is self.params[0] or atom in self.params:
            return self._refuse(atom)
        if eqn is None:
            return atom
        if eqn.op == "dim" and eqn.args[0] not in self.forward.builder.definitions and eqn.args[0] not in self.params:
            return self.outer.atom(self.outer.size(eqn.args[0], eqn.attrs["axis"]))
        if eqn.regions or not PRIMITIVES[eqn.op].elementwise:
            return self._refuse(atom)
        return self.outer(eqn.op, *(self._hoisted(a) for a in eqn.args), **eqn.attrs).atom

    def _refuse(self, atom: Atom) -> Atom:
        raise MissingRule(
            "an array whose size changes from one iteration to the next would have to be recorded",
            self.forward.builder.loc,
            "Give the array one size for all iterations.",
        )

    def _iteration(self, op: Emitter, index: Value) -> Any:
        """The number of the iteration with a given index, from 0."""
        start, step = op.handle(self.bounds[0]), op.handle(self.bounds[2])
        return (op.handle(index) - start) // step if step.atom != Const(1, step.type) else op.handle(index) - start

    def reverse_body(self, tapes: Sequence[Value]) -> Block:
        """The reverse body with every residual read from its tape or computed again."""
        op = Emitter(self.outer.builder.child())
        fresh = [Value(p.type, p.name) for p in self.block.params]
        env: dict[Value, Atom] = {self.params[0]: fresh[0], **dict(zip(self.block.params, fresh, strict=True))}
        place = self._iteration(op, fresh[0]) if self.recorded else None
        for value, tape in zip(self.recorded, tapes, strict=True):
            env[value] = op("index", tape, place, spec=(("int",), *(FULL,) * value.type.rank)).atom
            env[value].name = env[value].name or value.name  # type: ignore[union-attr]
        for eqn in self.recomputed:
            args = [env.get(a, a) if isinstance(a, Value) else a for a in eqn.args]
            outs = op.builder.emit(
                eqn.op, args, [o.type for o in eqn.outs], eqn.attrs, names=[o.name for o in eqn.outs]
            )
            env.update(zip(eqn.outs, outs, strict=True))
        rest = substitute(Block((), self.block.eqns, self.block.results), env)
        return Block(tuple(fresh), (*op.builder.eqns, *rest.eqns), rest.results)

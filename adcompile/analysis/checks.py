"""Size checks that NumPy makes anyway, found and left out of the readable program.

A ``check_same`` goes where an equation of the same block that stays compares the same two sizes; both must be known not
to be 1, or NumPy would broadcast instead of comparing. The check of a batch stays: NumPy's words would not explain it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from itertools import combinations

from adcompile.analysis.mapped import DIFFERENT_SIZES
from adcompile.ir import ANY, Atom, Block, Eqn, Trace
from adcompile.ir.builder import Builder
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.transform.simplify import drop_dead


def drop_implied(trace: Trace) -> Trace:
    """The trace without the checks that its other equations imply, where NumPy runs it."""
    builder = Builder()
    return replace(trace, block=drop_dead(_drop(trace.block, builder)))


def _drop(block: Block, builder: Builder) -> Block:
    op = Emitter(builder)
    equal = _Equal()
    for eqn in block.eqns:
        builder.append(eqn)
        if eqn.outs and not eqn.regions:
            for one, two in _compared(op, eqn):
                equal.join(one, two)
    kept = []
    for eqn in block.eqns:
        implied = eqn.op == "check_same" and eqn.attrs["message"] != DIFFERENT_SIZES
        if implied and equal.holds(*(_meaning(builder, a) for a in eqn.args)):
            continue
        regions = tuple(_drop(r, builder.child()) for r in eqn.regions)
        kept.append(replace(eqn, regions=regions) if regions else eqn)
    return replace(block, eqns=tuple(kept))


class _Equal:
    """Sizes known to be equal, also by way of others."""

    def __init__(self):
        self.same_as: dict[Hashable, Hashable] = {}

    def first(self, size: Hashable) -> Hashable:
        """The size that stands for all that are equal to ``size``."""
        while size in self.same_as:
            size = self.same_as[size]
        return size

    def join(self, one: Hashable, two: Hashable) -> None:
        """Note that two sizes are equal."""
        one, two = self.first(one), self.first(two)
        if one != two:
            self.same_as[one] = two

    def holds(self, one: Hashable, two: Hashable) -> bool:
        """Whether two sizes are known to be equal."""
        return self.first(one) == self.first(two)


Pairs = list[tuple[Hashable, Hashable]]


def _compared(op: Emitter, eqn: Eqn) -> Pairs:
    """The pairs of sizes that NumPy finds equal, or raises, when it runs an equation."""
    pairs: Pairs = []
    if eqn.op == "matmul":
        a, b = eqn.args
        _add(op, pairs, [(a, a.type.rank - 1), (b, max(b.type.rank - 2, 0))])
    elif PRIMITIVES[eqn.op].elementwise:
        rank = max(a.type.rank for a in eqn.args)
        for back in range(1, rank + 1):
            axes = [(a, a.type.rank - back) for a in eqn.args if a.type.rank >= back]
            _add(op, pairs, [(a, axis) for a, axis in axes if a.type.dims[axis] != 1])
    return pairs


def _add(op: Emitter, pairs: Pairs, axes: list[tuple[Atom, int]]) -> None:
    if len(axes) > 1 and all(a.type.dims[axis] != ANY for a, axis in axes):
        sizes = [_meaning(op.builder, op.atom(op.size(a, axis))) for a, axis in axes]
        pairs += combinations(sizes, 2)


def _meaning(builder: Builder, atom: Atom) -> Hashable:
    """What two atoms share that are the same size of the same array."""
    eqn = builder.definition(atom)
    return (eqn.args[0], eqn.attrs["axis"]) if eqn is not None and eqn.op == "dim" else atom

"""Size checks that NumPy makes anyway, found and left out of the readable program.

A ``check_same`` goes where an equation of the same block that stays compares the same two sizes; both must be known not
to be 1, or NumPy would broadcast instead of comparing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from itertools import combinations

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
    implied: set[frozenset[Hashable]] = set()
    for eqn in block.eqns:
        builder.append(eqn)
        if eqn.outs and not eqn.regions:
            implied |= _compared(op, eqn)
    kept = []
    for eqn in block.eqns:
        if eqn.op == "check_same" and frozenset(_meaning(builder, a) for a in eqn.args) in implied:
            continue
        regions = tuple(_drop(r, builder.child()) for r in eqn.regions)
        kept.append(replace(eqn, regions=regions) if regions else eqn)
    return replace(block, eqns=tuple(kept))


def _compared(op: Emitter, eqn: Eqn) -> set[frozenset[Hashable]]:
    """The pairs of sizes that NumPy finds equal, or raises, when it runs an equation."""
    pairs: set[frozenset[Hashable]] = set()
    if eqn.op == "matmul":
        a, b = eqn.args
        _add(op, pairs, [(a, a.type.rank - 1), (b, max(b.type.rank - 2, 0))])
    elif PRIMITIVES[eqn.op].elementwise:
        rank = max(a.type.rank for a in eqn.args)
        for back in range(1, rank + 1):
            axes = [(a, a.type.rank - back) for a in eqn.args if a.type.rank >= back]
            _add(op, pairs, [(a, axis) for a, axis in axes if a.type.dims[axis] != 1])
    return pairs


def _add(op: Emitter, pairs: set[frozenset[Hashable]], axes: list[tuple[Atom, int]]) -> None:
    if len(axes) > 1 and all(a.type.dims[axis] != ANY for a, axis in axes):
        sizes = [_meaning(op.builder, op.atom(op.size(a, axis))) for a, axis in axes]
        pairs |= {frozenset(pair) for pair in combinations(sizes, 2)}


def _meaning(builder: Builder, atom: Atom) -> Hashable:
    """What two atoms share that are the same size of the same array."""
    eqn = builder.definition(atom)
    return (eqn.args[0], eqn.attrs["axis"]) if eqn is not None and eqn.op == "dim" else atom

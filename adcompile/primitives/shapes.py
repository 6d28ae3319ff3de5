"""Which carried arrays of a loop keep their shape, found by assuming that all do and dropping those that do not.

By induction over the iterations: if, with every assumed parameter of the shape of its start value, every assumed result
has that shape again, then all of them have it always, and so has what the loop leaves behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from adcompile.ir import Array, Atom, Block, Eqn, Value
from adcompile.ir.builder import Builder


def keeping_shape(builder: Builder, inits: Sequence[Atom], params: Sequence[Value], body: Block) -> set[int]:
    """Positions of the carried arrays whose shape is that of their start value in every iteration."""
    kept = {k for k, init in enumerate(inits) if isinstance(init.type, Array)}
    while kept:
        op = _probe(builder, body.eqns, {params[k]: inits[k] for k in kept})
        still = {k for k in kept if _sizes(op, body.results[k]) == _sizes(op, inits[k])}
        if still == kept:
            break
        kept = still
    return kept


def loop_shape(builder: Builder, eqn: Eqn, out: Value) -> Atom | None:
    """A value of the same shape as a result of a loop: its start value, where the loop keeps the shape."""
    lead, first = (3, 1) if eqn.op == "loop" else (0, 0)
    body = eqn.regions[-1]
    place = eqn.outs.index(out)
    inits, params = eqn.args[lead:], body.params[first:]
    kept = builder.remembered(eqn, lambda: keeping_shape(builder, inits, params, body))
    return eqn.args[lead + place] if place in kept else None


def branch_sizes(builder: Builder, eqn: Eqn, out: Value) -> list[Atom] | None:
    """The sizes of a result of an ``if``, where both branches agree on sizes known outside."""
    return builder.remembered((eqn, out), lambda: _branch_sizes(builder, eqn, out))


def _branch_sizes(builder: Builder, eqn: Eqn, out: Value) -> list[Atom] | None:
    found = sizes_by_branch(builder, eqn, out)
    inside = {o for r in eqn.regions for e in r.eqns for o in e.outs}
    if found[0] != found[1] or any(a in inside or not _visible(builder, a) for a in found[0]):
        return None
    return found[0]


def sizes_by_branch(builder: Builder, eqn: Eqn, out: Value) -> list[list[Atom]]:
    """The sizes that a result of an ``if`` has from either branch; they may be known in the branch only."""
    return builder.remembered(("by branch", eqn, out), lambda: _sizes_by_branch(builder, eqn, out))


def _sizes_by_branch(builder: Builder, eqn: Eqn, out: Value) -> list[list[Atom]]:
    place = eqn.outs.index(out)
    return [_sizes(_probe(builder, r.eqns, {}), r.results[place]) for r in eqn.regions]


def _visible(builder: Builder, atom: Atom) -> bool:
    return not isinstance(atom, Value) or builder.definition(atom) is not None


def _probe(builder: Builder, eqns: Sequence[Eqn], shapes: dict[Value, Atom]):
    """An emitter that sees some equations as if they had been emitted, for asking about sizes only."""
    from adcompile.primitives.algebra import Emitter

    probe = builder.child()
    for eqn in eqns:
        probe.append(eqn)
    probe.shapes.update(shapes)
    return Emitter(probe)


def _sizes(op, atom: Atom) -> list[Atom]:
    return [op.atom(size) for size in op.shape(op.handle(atom))]

"""Which sizes of the carried arrays of a loop stay, found by assuming that all do and dropping those that do not.

By induction over the iterations: if, with every assumed parameter of the size of its start value, every assumed result
has that size again, then all of them have it always, and so has what the loop leaves behind.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.ir import Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute

_DIVISIONS = ("floordiv", "mod")
"""Integer arithmetic that fails for some operands."""


@dataclass(frozen=True)
class Steady:
    """What stays of the sizes of carried arrays: the start value whose shape one keeps, or single sizes."""

    shapes: Mapping[Value, Atom]
    sizes: Mapping[tuple[Atom, int], Atom]

    def tell(self, builder: Builder) -> None:
        """Let the builder of a body know."""
        builder.shapes.update(self.shapes)
        builder.sizes.update(self.sizes)


def steady(op: Any, starts: Sequence[Atom], params: Sequence[Value], kept: Container[tuple[int, int]]) -> Steady:
    """The facts behind the (position, axis) pairs that a loop keeps; ``op`` emits around the loop."""
    shapes: dict[Value, Atom] = {}
    sizes: dict[tuple[Atom, int], Atom] = {}
    for k, (start, param) in enumerate(zip(starts, params, strict=True)):
        axes = [axis for axis in range(start.type.rank) if (k, axis) in kept]
        if axes and len(axes) == start.type.rank:
            shapes[param] = start
        else:
            sizes |= {(param, axis): op.atom(op.size(start, axis)) for axis in axes}
    return Steady(shapes, sizes)


def keeping_sizes(
    builder: Builder, inits: Sequence[Atom], params: Sequence[Value], body: Block
) -> frozenset[tuple[int, int]]:
    """The (position, axis) pairs of the carried arrays whose size is that of their start value in every iteration."""
    kept = frozenset((k, axis) for k, init in enumerate(inits) for axis in range(init.type.rank))
    while kept:
        op = _probe(builder, body.eqns)
        steady(op, inits, params, kept).tell(op.builder)
        ends = {k: (_sizes(op, body.results[k]), _sizes(op, inits[k])) for k, _ in kept}
        still = frozenset((k, axis) for k, axis in kept if ends[k][0][axis] == ends[k][1][axis])
        if still == kept:
            break
        kept = still
    return kept


def keeping_shape(builder: Builder, inits: Sequence[Atom], params: Sequence[Value], body: Block) -> set[int]:
    """Positions of the carried arrays whose shape is that of their start value in every iteration."""
    kept = keeping_sizes(builder, inits, params, body)
    return {k for k, init in enumerate(inits) if init.type.rank and all((k, a) in kept for a in range(init.type.rank))}


def loop_shape(builder: Builder, eqn: Eqn, out: Value) -> Atom | None:
    """A value of the same shape as a result of a loop: its start value, where the loop keeps the shape."""
    lead, first = (3, 1) if eqn.op == "loop" else (0, 0)
    body = eqn.regions[-1]
    place = eqn.outs.index(out)
    inits, params = eqn.args[lead:], body.params[first:]
    home = builder.home(out)
    kept = home.remembered(eqn, lambda: keeping_shape(home, inits, params, body))
    return eqn.args[lead + place] if place in kept else None


def branch_sizes(builder: Builder, eqn: Eqn, out: Value) -> list[Atom] | None:
    """The sizes of a result of an ``if``, where both branches agree on sizes known outside."""
    home = builder.home(out)
    return home.remembered((eqn, out), lambda: _branch_sizes(home, eqn, out))


def _branch_sizes(builder: Builder, eqn: Eqn, out: Value) -> list[Atom] | None:
    pairs = sizes_by_branch(builder, eqn, out)
    return [a for a, _ in pairs] if pairs is not None and all(a == b for a, b in pairs) else None


def sizes_by_branch(builder: Builder, eqn: Eqn, out: Value) -> list[tuple[Atom, Atom]] | None:
    """The sizes that a result of an ``if`` has from either branch; None where one is known in the branch only."""
    return builder.remembered(("by branch", eqn, out), lambda: _sizes_by_branch(builder, eqn, out))


def _sizes_by_branch(builder: Builder, eqn: Eqn, out: Value) -> list[tuple[Atom, Atom]] | None:
    place = eqn.outs.index(out)
    op = builder.remembered(eqn, lambda: _probe(builder, [e for r in eqn.regions for e in r.eqns]))
    one, two = ([hoisted(builder, op.builder, (), a) for a in _sizes(op, r.results[place])] for r in eqn.regions)
    pairs = [(a, b) for a, b in zip(one, two, strict=True) if a is not None and b is not None]
    return pairs if len(pairs) == len(one) else None


def hoisted(outer: Builder, inner: Builder, params: Container[Atom], atom: Atom) -> Atom | None:
    """A size of a region (its ``params``, and what ``inner`` defines) as one outside it; None where there is none.

    The region may not run at all: no division leaves it, unless by a constant.
    """
    from adcompile.primitives.algebra import PRIMITIVES, Emitter

    if isinstance(atom, Const) or (atom not in inner.definitions and atom not in params):
        return atom
    eqn = inner.definitions.get(atom)
    if eqn is None or eqn.regions or (eqn.op in _DIVISIONS and not isinstance(eqn.args[1], Const)):
        return None
    op = Emitter(outer)
    if eqn.op == "dim" and eqn.args[0] not in inner.definitions and eqn.args[0] not in params:
        return op.atom(op.size(eqn.args[0], eqn.attrs["axis"]))
    args = [hoisted(outer, inner, params, a) for a in eqn.args]
    if not PRIMITIVES[eqn.op].elementwise or any(a is None for a in args):
        return None
    return op(eqn.op, *args, **eqn.attrs).atom


def call_size(builder: Builder, eqn: Eqn, out: Value, axis: int) -> Const | tuple[Value, int] | None:
    """A size of a result of a function that is one equation: a number, or which value outside has it on which axis."""
    home = builder.home(out)
    sizes = home.remembered((eqn, out), lambda: _call_sizes(home, eqn, out))
    return sizes[axis]


def _call_sizes(builder: Builder, eqn: Eqn, out: Value) -> list[Const | tuple[Value, int] | None]:
    region = eqn.regions[0]
    given = dict(zip(region.params, eqn.args, strict=True))
    body = substitute(Block((), region.eqns, region.results), given)
    inside = {o for e in body.eqns for o in e.outs}
    probe = _probe(builder, body.eqns)
    found: list[Const | tuple[Value, int] | None] = []
    for size in _sizes(probe, body.results[eqn.outs.index(out)]):
        source = probe.builder.definition(size)
        known = isinstance(size, Const) or (source is not None and source.op == "dim" and source.args[0] not in inside)
        found.append((size if source is None else (source.args[0], source.attrs["axis"])) if known else None)  # type: ignore[arg-type]
    return found


def _probe(builder: Builder, eqns: Sequence[Eqn]):
    """An emitter that sees some equations as if they had been emitted, for asking about sizes only."""
    from adcompile.primitives.algebra import Emitter

    probe = builder.child()
    for eqn in eqns:
        probe.append(eqn)
    return Emitter(probe)


def _sizes(op, atom: Atom) -> list[Atom]:
    return [_resolved(op, op.atom(size)) for size in op.shape(op.handle(atom))]


def _resolved(op, size: Atom) -> Atom:
    """A size that a body asks of its parameter, as that of the value whose shape the parameter has."""
    eqn = op.builder.definition(size)
    if eqn is None or eqn.op != "dim":
        return size
    source = op.builder.shape_source(eqn.args[0])
    return size if source is None else op.atom(op.size(source, eqn.attrs["axis"]))

"""Loop dialect → loop dialect: a loop that asks where it is gets an inner part that need not ask.

Conditions on the loop index (``i > 0``, ``i - 1 < 0``, ``(i + 1) % n``) hold, or fail, throughout all but a few
iterations at either end. The loop becomes three in a row; in the middle one the conditions are constants, so that
periodic neighbours and boundary cases cost nothing there and LLVM can vectorise it (index set splitting; Wolfe, High
Performance Compilers for Parallel Computing, 1996).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from adcompile.ir import Atom, Block, Const, Eqn, Scalar, Value
from adcompile.ir.affine import Affine
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute, walk
from adcompile.lower.context import Context
from adcompile.lower.indices import Index
from adcompile.lower.merge import is_vector, mergeable
from adcompile.primitives import Emitter

_LARGEST = 160
_ONE = Affine(1)


def split_loops(block: Block) -> Block:
    """Split every innermost loop of a block that LLVM could vectorise but for conditions on its index."""
    context = Context(Emitter(Builder()))
    return Block(block.params, _rebuilt(context, context.op.builder, block), block.results)


def _rebuilt(context: Context, builder: Builder, block: Block) -> tuple[Eqn, ...]:
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        parts = _split(context, eqn) if _worth(eqn) else None
        if parts is None:
            builder.append(replace(eqn, regions=tuple(_region(context, r) for r in eqn.regions)))
    return tuple(builder.eqns)


def _region(context: Context, block: Block) -> Block:
    with context.inside(context.op.builder.child()) as builder:
        return Block(block.params, _rebuilt(context, builder, block), block.results)


def _worth(eqn: Eqn) -> bool:
    """An innermost loop by steps of one, of moderate size, that may be vectorised."""
    if eqn.op != "loop" or eqn.args[2] != Const(1, eqn.args[2].type) or not mergeable(eqn) or not is_vector(eqn):
        return False
    body = list(walk(eqn.regions[0]))
    return len(body) <= _LARGEST and not any(e.op == "loop" for e in body)


# -- conditions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cut:
    """An equation that changes at ``place``, near the start (``early``) or the end, and is ``value`` in between."""

    eqn: Eqn
    place: Affine
    early: bool
    value: Atom


class _Body:
    """Finds the cuts of one loop; its equations must be in sight of the context."""

    def __init__(self, context: Context, eqn: Eqn):
        self.indices, (self.block,) = context.indices, eqn.regions
        self.index = self.block.params[0]
        self.start, self.stop = self.indices.form(eqn.args[0]), self.indices.form(eqn.args[1])
        self.inner = {*self.block.params, *(o for e in self.block.eqns for o in e.outs)}

    def cuts(self) -> Iterator[_Cut]:
        """Every equation that is constant, or plain, in the middle part."""
        for eqn in self.block.eqns:
            if eqn.op in ("lt", "le", "gt", "ge"):
                yield from self.order(eqn)
            elif eqn.op in ("eq", "ne"):
                yield from self.equality(eqn)
            elif eqn.op == "mod":
                yield from self.remainder(eqn)

    def offset(self, form: Affine) -> tuple[int, Affine] | None:
        """``form = factor·index + rest`` with a factor of 1 or -1 and a rest that does not change in the loop."""
        factor, rest = form.terms.get(self.index, 0), form.without(self.index)
        return (factor, rest) if abs(factor) == 1 and not self.inner.intersection(rest.terms) else None

    def is_early(self, place: Affine) -> bool | None:
        """Which end a place is near: the one it is told by fewer terms from; None where neither is."""
        first, last = place.plus(self.start, -1), self.stop.plus(place, -1)
        if len(first.terms) == len(last.terms) == 0:
            return first.constant <= last.constant
        return None if min(len(first.terms), len(last.terms)) > 1 else len(first.terms) <= len(last.terms)

    def order(self, eqn: Eqn) -> Iterator[_Cut]:
        """``a < b`` and its siblings: true on one side of a place."""
        a, b = eqn.args if eqn.op in ("lt", "le") else eqn.args[::-1]
        form = self.indices.form(a).plus(self.indices.form(b), -1)
        if eqn.op in ("le", "ge"):
            form = form.plus(_ONE, -1)
        found = self.offset(form)
        if found is None:
            return
        factor, rest = found
        below = factor > 0
        place = Affine().plus(rest, -1) if below else rest.plus(_ONE)
        early = self.is_early(place)
        if early is not None:
            yield _Cut(eqn, place, early, _truth(eqn, below != early))

    def equality(self, eqn: Eqn) -> Iterator[_Cut]:
        """``a == b``: at one place only."""
        found = self.offset(self.indices.form(eqn.args[0]).plus(self.indices.form(eqn.args[1]), -1))
        if found is None:
            return
        place = Affine().plus(found[1], -found[0])
        early = self.is_early(place)
        if early is not None:
            yield _Cut(eqn, place.plus(_ONE) if early else place, early, _truth(eqn, eqn.op == "ne"))

    def remainder(self, eqn: Eqn) -> Iterator[_Cut]:
        """``(index + rest) % n``: plain where it is in range."""
        found, divisor = self.offset(self.indices.form(eqn.args[0])), self.indices.form(eqn.args[1])
        if found is None or found[0] < 0 or self.inner.intersection(divisor.terms):
            return
        low, high = Affine().plus(found[1], -1), divisor.plus(found[1], -1)
        if self.is_early(low) is True and self.is_early(high) is False:
            yield _Cut(eqn, low, True, eqn.args[0])
            yield _Cut(eqn, high, False, eqn.args[0])


def _truth(eqn: Eqn, value: bool) -> Const:
    return Const(value, Scalar("bool", getattr(eqn.outs[0].type, "weak", False)))


# -- the three loops ------------------------------------------------------------------------------------------------


def _split(context: Context, eqn: Eqn) -> list[Eqn] | None:
    """Emit the parts of a loop and define its results; None where it has no cuts."""
    with context.inside(context.op.builder.child()) as scratch:
        for inner in eqn.regions[0].eqns:
            scratch.append(inner)
        cuts = list(_Body(context, eqn).cuts())
    if not cuts or not any(e.op in ("where", "mod") for e in eqn.regions[0].eqns):
        return None
    op, indices = context.op, context.indices
    start, stop = (op.handle(a) if isinstance(a, Value) else a.value for a in eqn.args[:2])
    low, high = start, stop
    for cut in cuts:
        if cut.early:
            low = indices.maximum(low, indices.emit(cut.place))
        else:
            high = indices.minimum(high, indices.emit(cut.place))
    low = indices.minimum(low, stop)
    high = indices.maximum(high, low)
    ends = [(start, low, False), (low, high, True), (high, stop, False)]
    apart = [end for end in ends if not indices.equal(end[0], end[1])]
    return _emit(context, eqn, apart, {c.eqn.outs[0]: c.value for c in cuts})


def _emit(context: Context, eqn: Eqn, ends: list[tuple[Index, Index, bool]], known: dict[Value, Atom]) -> list[Eqn]:
    carried, parts = eqn.args[3:], []
    for place, (start, stop, middle) in enumerate(ends):
        body = _resolved(eqn.regions[0], known) if middle else eqn.regions[0]
        body = substitute(body, {})
        outs = eqn.outs if place == len(ends) - 1 else tuple(Value(o.type, o.name) for o in eqn.outs)
        args = (context.op.atom(start), context.op.atom(stop), eqn.args[2], *carried)
        part = replace(eqn, args=args, outs=outs, regions=(body,))
        context.op.builder.append(part)
        carried = outs
        parts.append(part)
    return parts


def _resolved(body: Block, known: dict[Value, Atom]) -> Block:
    """The body with what is known put in, and selections by it made."""
    names: dict[Value, Atom] = {}
    kept = []
    for eqn in body.eqns:
        args = [names.get(a, a) if isinstance(a, Value) else a for a in eqn.args]
        if eqn.outs and eqn.outs[0] in known:
            value = known[eqn.outs[0]]
            names[eqn.outs[0]] = names.get(value, value) if isinstance(value, Value) else value
        elif eqn.op == "where" and isinstance(args[0], Const):
            names[eqn.outs[0]] = args[1] if args[0].value else args[2]
        else:
            kept.append(eqn)
    inner = substitute(Block((), tuple(kept), body.results), names, lambda value: value)
    return Block(body.params, inner.eqns, inner.results)

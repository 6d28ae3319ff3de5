"""Loop dialect → loop dialect: conditions and checks in a loop that its bounds decide are decided.

``i - 1 if i > 0 else n - 1`` is within ``[0, n)`` whichever way is taken: it needs neither a check nor Python's
wraparound. A statement about such a subscript holds where it holds on every path through its selections, with what the
path's conditions say of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from adcompile.ir import Atom, Block, Const, Eqn, Scalar, Value
from adcompile.ir.affine import Affine
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute
from adcompile.lower.context import Context
from adcompile.lower.indices import Index, Indices
from adcompile.primitives import Emitter

Statement = Callable[[Affine], bool]

_ONE = Affine(1)
_TRUE_WHERE: dict[str, Callable[[Affine, Affine], Affine]] = {
    "lt": lambda a, b: b.plus(a, -1).plus(_ONE, -1),
    "le": lambda a, b: b.plus(a, -1),
    "gt": lambda a, b: a.plus(b, -1).plus(_ONE, -1),
    "ge": lambda a, b: a.plus(b, -1),
}
"""Comparison → the form that is not negative exactly where it is true."""


def decide(block: Block) -> Block:
    """Decide what can be decided in the loops of a block."""
    context = Context(Emitter(Builder()))
    return _rebuilt(context, context.op.builder, block)


def _rebuilt(context: Context, builder: Builder, block: Block) -> Block:
    names: dict[Value, Atom] = {}
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        eqn = replace(eqn, args=tuple(names.get(a, a) if isinstance(a, Value) else a for a in eqn.args))
        known = _known(context, eqn)
        if known is not None:
            names.update(zip(eqn.outs, known, strict=True))
        elif eqn.regions:
            named = [substitute(r, names, lambda value: value) for r in eqn.regions]
            with inside_loop(context, eqn):
                builder.append(replace(eqn, regions=tuple(_region(context, r) for r in named)))
        else:
            builder.append(eqn)
    inner = substitute(Block((), tuple(builder.eqns), block.results), names, lambda value: value)
    return Block(block.params, inner.eqns, inner.results)


def _region(context: Context, block: Block) -> Block:
    with context.inside(context.op.builder.child()) as builder:
        return _rebuilt(context, builder, block)


@contextmanager
def inside_loop(context: Context, eqn: Eqn) -> Iterator[None]:
    """Inside, the index of a loop has the loop's bounds."""
    if eqn.op != "loop":
        yield
        return
    start, stop, step = (_index(context, a) for a in eqn.args[:3])
    with context.indices.loop(eqn.regions[0].params[0], start, stop, step):
        yield


def _index(context: Context, atom: Atom) -> Index:
    return int(atom.value) if isinstance(atom, Const) else context.op.handle(atom)


def _known(context: Context, eqn: Eqn) -> tuple[Atom, ...] | None:
    """What stands for the results of an equation; None where it has to stay."""
    paths, indices = Paths(context.indices), context.indices
    if not indices.bounds or eqn.regions or any(a.type.dtype != "int64" for a in eqn.args[: eqn.op != "where"]):
        return None
    if eqn.op in _TRUE_WHERE:
        truth = paths.truth(eqn)
        return None if truth is None else (Const(truth, Scalar("bool", getattr(eqn.outs[0].type, "weak", False))),)
    if eqn.op == "where" and isinstance(eqn.args[0], Const):
        return (eqn.args[1 if eqn.args[0].value else 2],)
    if eqn.op == "check_index" and paths.within(eqn.args[0], indices.form(eqn.args[1])):
        return ()
    if eqn.op == "check_nonzero" and indices.nonnegative(indices.form(eqn.args[0]).plus(_ONE, -1)):
        return ()
    return None


class Paths:
    """Proves statements about index scalars on every path through the selections they are made of."""

    def __init__(self, indices: Indices):
        self.indices = indices
        self.assumed: list[Affine] = []

    def truth(self, eqn: Eqn) -> bool | None:
        """The truth of a comparison, where it is the same on every path."""
        positive = lambda a, b: self.nonnegative(_TRUE_WHERE[eqn.op](a, b))
        negative = lambda a, b: self.nonnegative(_negated(_TRUE_WHERE[eqn.op](a, b)))
        for value, holds in ((True, positive), (False, negative)):
            if self.every(eqn.args[0], lambda a, h=holds: self.every(eqn.args[1], lambda b: h(a, b))):
                return value
        return None

    def within(self, atom: Atom, size: Affine) -> bool:
        """Whether a subscript is one of a dimension, from the end or from the start."""
        fits = lambda form: self.nonnegative(form.plus(size)) and self.nonnegative(size.plus(form, -1).plus(_ONE, -1))
        return self.every(atom, fits)

    def nonnegative(self, form: Affine) -> bool:
        """Whether a form is provably not negative on the path."""
        return self.indices.nonnegative(form) or any(
            self.indices.nonnegative(form.plus(fact, -1)) for fact in self.assumed
        )

    def every(self, atom: Atom, holds: Statement) -> bool:
        """Whether a statement about the form of an index scalar holds on every path."""
        eqn = self.indices.context.op.builder.definition(atom)
        if eqn is None or eqn.op not in ("where", "add", "sub", "mod") or atom.type.dtype != "int64":
            return holds(self.indices.form(atom))
        if eqn.op == "mod":
            return holds(self.indices.form(atom)) or self.remainder(eqn, holds)
        if eqn.op == "where":
            return self.choice(eqn, holds)
        sign = 1 if eqn.op == "add" else -1
        return self.every(eqn.args[0], lambda a: self.every(eqn.args[1], lambda b: holds(a.plus(b, sign))))

    def choice(self, eqn: Eqn, holds: Statement) -> bool:
        """The same of a selection by a comparison of index scalars."""
        condition = self.indices.context.op.builder.definition(eqn.args[0])
        if condition is None or condition.op not in _TRUE_WHERE or condition.args[0].type.dtype != "int64":
            return holds(self.indices.form(eqn.outs[0]))
        then, other = (lambda k=k: self.every(eqn.args[k], holds) for k in (1, 2))
        both = lambda a, b: self.cases(_TRUE_WHERE[condition.op](a, b), then, other)
        return self.every(condition.args[0], lambda a: self.every(condition.args[1], lambda b: both(a, b)))

    def remainder(self, eqn: Eqn, holds: Statement) -> bool:
        """The same of a remainder of what is at most one period outside the range."""

        def wrapped(a: Affine, n: Affine) -> bool:
            beyond = lambda: self.nonnegative(n.plus(n).plus(a, -1).plus(_ONE, -1)) and holds(a.plus(n, -1))
            below = lambda: self.nonnegative(a.plus(n)) and holds(a.plus(n))
            upwards = lambda: self.cases(n.plus(a, -1).plus(_ONE, -1), lambda: holds(a), beyond)
            return self.cases(a, upwards, below)

        return self.every(eqn.args[0], lambda a: self.every(eqn.args[1], lambda n: wrapped(a, n)))

    def cases(self, condition: Affine, then: Callable[[], bool], other: Callable[[], bool]) -> bool:
        """Whether something holds on both sides of a condition; a side that nobody takes does not count."""
        for fact, branch in ((condition, then), (_negated(condition), other)):
            if not self.nonnegative(_negated(fact)):
                with self.assuming(fact):
                    if not branch():
                        return False
        return True

    @contextmanager
    def assuming(self, fact: Affine) -> Iterator[None]:
        """Inside, a form is not negative; the bound of a loop's index that it gives takes the place of the loop's."""
        indices, saved = self.indices, dict(self.indices.bounds)
        for index in (a for a in fact.terms if a in indices.bounds and abs(fact.terms[a]) == 1):
            rest, (low, high) = fact.without(index), indices.bounds[index]
            limit = Affine().plus(rest, -fact.terms[index])
            indices.bounds[index] = (limit, high) if fact.terms[index] > 0 else (low, limit)
            break
        self.assumed.append(fact)
        indices.proofs.clear()
        yield
        self.assumed.pop()
        indices.bounds.clear()
        indices.bounds.update(saved)
        indices.proofs.clear()


def _negated(form: Affine) -> Affine:
    """What is not negative exactly where a form is."""
    return Affine(-1).plus(form, -1)

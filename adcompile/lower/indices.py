"""Index arithmetic: affine forms of index scalars, proofs that an index is in range, simplified emission.

An index scalar is written as ``constant + Σ factor·atom``. A form is proved non-negative by replacing loop indices by
their bounds and ``minimum`` / ``maximum`` / ``%`` by their operands, until only sizes (never negative) are left.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from adcompile.errors import ShapeMismatch
from adcompile.ir import Atom, Const, Eqn, Value
from adcompile.ir.affine import Affine
from adcompile.lower.ranges import is_truncated_upwards
from adcompile.primitives import Handle

Index = int | Handle
"""A size or a position: known, or an index scalar of the emitted program."""

_NEARBY = 2**31
"""An offset that leaves far out of range what is so."""
_FUEL = 12
_CHOICES = ("minimum", "maximum", "mod", "floordiv", "where")
_ORDERS = {"lt": -1, "gt": -1, "le": 0, "ge": 0}
"""Comparisons, and by how much the margin of what they compare falls short of one that may be zero."""


def is_one(size: Index) -> bool:
    """Whether a size is known to be 1."""
    return isinstance(size, int) and size == 1


class Indices:
    """Knows the bounds of the loop indices in sight; ``context.op`` is where arithmetic is emitted."""

    def __init__(self, context: Any):
        self.context = context
        self.bounds: dict[Value, tuple[Affine, Affine]] = {}
        self.depths: dict[Value, int] = {}
        self.facts: list[Affine] = []
        self.naturals: set[Value] = set()
        self.known: dict[Value, Affine] = {}
        self.proofs: dict[Hashable, float] = {}

    # -- what is known ----------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, index: Value, start: Index, stop: Index, step: Index = 1) -> Iterator[None]:
        """Inside, ``index`` runs from ``start`` to before ``stop``."""
        stride = self._static(step)
        if not stride:
            yield
            return
        first, last = self.form(start), self._end(start, stop).plus(Affine(-1 if stride > 0 else 1))
        with self.within(index, *((first, last) if stride > 0 else (last, first))):
            yield

    @contextmanager
    def within(self, index: Value, low: Affine, high: Affine) -> Iterator[None]:
        """Inside, ``index`` is one of the numbers from ``low`` to ``high``, and there are some."""
        self.bounds[index], self.depths[index] = (low, high), len(self.facts)
        self.facts.append(high.plus(low, -1))
        self.proofs.clear()
        yield
        self.facts.pop()
        self.proofs.clear()

    @contextmanager
    def region(self) -> Iterator[None]:
        """Inside, facts may be found that are not known to hold afterwards."""
        saved, facts, self.known = self.known, len(self.facts), dict(self.known)
        yield
        if self.known != saved or len(self.facts) > facts:
            self.proofs.clear()
        self.known = saved
        del self.facts[facts:]

    def learn(self, more: Index, less: Index) -> None:
        """From here on, in this region, ``more >= less``."""
        self.facts.append(self.form(more).plus(self.form(less), -1))
        self.proofs.clear()

    def _end(self, start: Index, stop: Index) -> Affine:
        """The form of ``stop``; below ``maximum(n, 0)`` from 0 means below n."""
        eqn = self.definition(stop)
        if eqn is not None and eqn.op == "maximum" and self.form(start) == self.form(eqn.args[1]):
            return self.form(eqn.args[0])
        return self.form(stop)

    def form(self, x: Any) -> Affine:
        """The affine form of an index."""
        atom = x.atom if isinstance(x, Handle) else x
        if isinstance(atom, Const):
            atom = int(atom.value)
        if isinstance(atom, int):
            return Affine(atom)
        if atom in self.known:
            return self.known[atom]
        eqn = self.definition(atom)
        if eqn is None or eqn.op not in _FORMS or {atom.type.dtype, eqn.args[0].type.dtype} != {"int64"}:
            return Affine(0, {atom: 1})
        return _FORMS[eqn.op](self, atom, eqn.args)

    def definition(self, x: Any) -> Eqn | None:
        """The equation that defines an index."""
        atom = x.atom if isinstance(x, Handle) else x
        return self.context.op.builder.definition(atom) if isinstance(atom, Value) else None

    def _static(self, x: Any) -> int | None:
        form = self.form(x)
        return None if form.terms else form.constant

    # -- proofs -----------------------------------------------------------------------------------------------

    def equal(self, a: Index, b: Index) -> bool:
        """Whether two indices are provably equal."""
        one, two = self.form(a), self.form(b)
        return one == two or (self.nonnegative(one.plus(two, -1)) and self.nonnegative(two.plus(one, -1)))

    def at_least(self, a: Index, b: Index) -> bool:
        """Whether ``a >= b`` is provable."""
        return self.nonnegative(self.form(a).plus(self.form(b), -1))

    def nonnegative(self, form: Affine) -> bool:
        """Whether a form is provably not negative, the loops around it not being empty."""
        return self._prove(form, _FUEL)

    def _prove(self, form: Affine, fuel: int) -> bool:
        """A proof with so much fuel, remembered while the facts are the same: found, or failed with how much."""
        if not form.terms or fuel == 0:
            return not form.terms and form.constant >= 0
        key = (form.constant, frozenset(form.terms.items()))
        failed = self.proofs.get(key, 0)
        if failed < fuel:
            failed = self.proofs[key] = inf if self._search(form, fuel) else fuel
        return failed == inf

    def _search(self, form: Affine, fuel: int) -> bool:
        for atom, factor in sorted(form.terms.items(), key=lambda term: self._rank(*term)):
            cases = self._cases(atom, factor > 0, fuel - 1)
            if cases is not None:
                rest = form.without(atom)
                return any(all(self._prove(rest.plus(b, factor), fuel - 1) for b in case) for case in cases)
        if form.constant >= 0 and all(f > 0 and self._is_size(a) for a, f in form.terms.items()):
            return True
        return any(self._prove(form.plus(fact, -1), fuel // 2) for fact in self.facts if self._helps(fact, form))

    def _helps(self, fact: Affine, form: Affine) -> bool:
        """Whether a fact may be part of a proof: what a form lacks must come from facts that lack it too.

        A sum of facts with no term of the sign that the form has there is no more than its constant: of no use.
        """
        if any(self._replaced(atom) for atom in fact.terms):
            return True
        lacking = [atom for atom, factor in form.terms.items() if factor < 0]
        if lacking:
            return fact.terms.get(lacking[0], 0) < 0
        return any(fact.terms.get(atom, 0) > 0 for atom in form.terms)

    def _replaced(self, atom: Value) -> bool:
        """Whether a proof replaces an atom by others."""
        eqn = self.definition(atom)
        return atom in self.bounds or (eqn is not None and eqn.op in _CHOICES)

    def _rank(self, atom: Value, factor: int) -> int:
        """Loop indices first, the innermost before those that its bounds depend on; then exact replacements."""
        if atom in self.bounds:
            return -self.depths[atom]
        eqn = self.definition(atom)
        exact = eqn is not None and eqn.op == ("minimum" if factor > 0 else "maximum")
        return 1 if exact else 2

    def _cases(self, atom: Value, below: bool, fuel: int) -> list[tuple[Affine, ...]] | None:
        """Alternatives of bounds, all of which an alternative needs: lower bounds of ``atom``, or upper ones."""
        if atom in self.bounds:
            low, high = self.bounds[atom]
            return [(low,)] if below else [(high,)]
        eqn = self.definition(atom)
        if eqn is None or eqn.op not in _CHOICES:
            return None
        if eqn.op == "where":
            return self._selected(eqn, below)
        a, b = map(self.form, eqn.args)
        if eqn.op in ("minimum", "maximum"):
            return [(a, b)] if below == (eqn.op == "minimum") else [(a,), (b,)]
        if eqn.op == "mod":
            return None if not self._prove(b, min(fuel, 2)) else [(Affine(),)] if below else [(b.plus(Affine(-1)),)]
        positive = not b.terms and b.constant > 0 and self._prove(a, min(fuel, 4))
        return None if not positive else [(Affine(),)] if below else [(a,)]

    def _selected(self, eqn: Eqn, below: bool) -> list[tuple[Affine, ...]]:
        """Bounds of a selection: both values, each also with what the condition says where it is taken."""
        x, y = map(self.form, eqn.args[1:])
        margin = self._margin(eqn.args[0])
        if margin is None:
            return [(x, y)]
        sign = -1 if below else 1
        held, failed = x.plus(margin, sign), y.plus(margin.plus(Affine(1)), -sign)
        return [(one, other) for one in (x, held) for other in (y, failed)]

    def _margin(self, condition: Atom) -> Affine | None:
        """A form that is not negative where a comparison of indices holds, and negative where it does not."""
        eqn = self.definition(condition)
        if eqn is None or eqn.op not in _ORDERS or any(a.type.dtype != "int64" for a in eqn.args):
            return None
        a, b = map(self.form, eqn.args if eqn.op in ("lt", "le") else eqn.args[::-1])
        return b.plus(a, -1).plus(Affine(_ORDERS[eqn.op]))

    def _is_size(self, atom: Value) -> bool:
        if atom in self.naturals:
            return True
        eqn = self.definition(atom)
        return eqn is not None and eqn.op == "dim"

    # -- emission ---------------------------------------------------------------------------------------------

    def emit(self, form: Affine) -> Index:
        """The index of a form, positive terms first."""
        op = self.context.op
        total: Any = None
        for atom, factor in sorted(form.terms.items(), key=lambda term: term[1] < 0):
            part = op.handle(atom) if abs(factor) == 1 else op.mul(op.handle(atom), abs(factor))
            if total is None:
                total = part if factor > 0 else -part
            else:
                total = total + part if factor > 0 else total - part
        if total is None:
            return form.constant
        if form.constant == 0:
            return total
        return total + form.constant if form.constant > 0 else total - -form.constant

    def add(self, a: Index, b: Index, factor: int = 1) -> Index:
        """``a + factor·b``."""
        return self.emit(self.form(a).plus(self.form(b), factor))

    def sub(self, a: Index, b: Index) -> Index:
        """``a - b``."""
        return self.add(a, b, -1)

    def mul(self, a: Index, b: Index) -> Index:
        """``a · b``."""
        one, two = self._static(a), self._static(b)
        if one is not None or two is not None:
            count, other = (one, b) if one is not None else (two, a)
            return self.emit(Affine().plus(self.form(other), count)) if count else 0
        return self.context.op.mul(a, b)

    def maximum(self, a: Index, b: Index) -> Index:
        """The larger of two, without an operation where one provably is."""
        if self.at_least(a, b):
            return a
        return b if self.at_least(b, a) else self.context.op.maximum(a, b)

    def minimum(self, a: Index, b: Index) -> Index:
        """The smaller of two, without an operation where one provably is."""
        if self.at_least(a, b):
            return b
        return a if self.at_least(b, a) else self.context.op.minimum(a, b)

    def select_wrapped(self, i: Index, n: Index) -> Index:
        """``i`` where it is not negative, else ``i + n``."""
        if self.at_least(i, 0) or self._is_cut(self.form(i)):
            return i
        shifted = self.add(i, n)
        if self.at_least(-1, i):
            return shifted
        return self.context.op.where(self.context.op.lt(i, 0), shifted, i)

    def _is_cut(self, form: Affine) -> bool:
        """Whether a form adds up to what is not negative, or is far out of range for being nan."""
        atoms = list(form.terms)
        single = len(atoms) == 1 and form.terms[atoms[0]] == 1 and 0 <= form.constant < _NEARBY
        return single and is_truncated_upwards(self, atoms[0])

    def select_below(self, i: Index, n: Index) -> Index:
        """``i`` where it is below ``n``, else ``i - n``."""
        if self.at_least(n, self.add(i, 1)):
            return i
        return self.context.op.where(self.context.op.lt(i, n), i, self.sub(i, n))

    def normalise(self, i: Index, n: Index) -> Index:
        """A subscript with Python's wraparound, checked at run time where it is not provably in range."""
        position = self.select_wrapped(i, n)
        room = self.form(n).plus(self.form(position), -1).plus(Affine(-1))
        if self.at_least(position, 0) and self.nonnegative(room):
            return position
        known, size = self._static(position), self._static(n)
        if known is not None and size is not None:
            raise ShapeMismatch(f"index {i} is out of bounds for size {size}", self.context.op.builder.loc)
        self.context.op.check_index(i, n)
        return position

    def check_same(self, a: Index, b: Index, message: str) -> None:
        """Check at run time that two sizes are equal, unless that is provable."""
        if self.equal(a, b):
            return
        self.context.op.check_same(a, b, message)
        one, two = self.form(a), self.form(b)
        for form, other in ((two, one), (one, two)):
            atom = next(iter(form.terms), None)
            if atom is not None and form == Affine(0, {atom: 1}) and atom not in other.terms:
                self.known[atom] = other
                self.proofs.clear()
                return


def _form_add(indices: Indices, atom: Value, args: tuple) -> Affine:
    return indices.form(args[0]).plus(indices.form(args[1]))


def _form_sub(indices: Indices, atom: Value, args: tuple) -> Affine:
    return indices.form(args[0]).plus(indices.form(args[1]), -1)


def _form_mul(indices: Indices, atom: Value, args: tuple) -> Affine:
    for one, other in (args, args[::-1]):
        if isinstance(one, Const):
            return Affine().plus(indices.form(other), int(one.value))
    return Affine(0, {atom: 1})


_FORMS = {
    "add": _form_add,
    "sub": _form_sub,
    "mul": _form_mul,
    "neg": lambda indices, atom, args: Affine().plus(indices.form(args[0]), -1),
    "cast": lambda indices, atom, args: indices.form(args[0]),
}

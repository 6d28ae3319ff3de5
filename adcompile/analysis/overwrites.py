"""Which elements, once read or written in a loop nest, nobody overwrites before the nest ends.

Turns a ``loop`` equation into the scalars that can be read again, at the same subscripts, from the arrays as the nest
leaves them. A reverse sweep needs no tape for these (Hascoët, Naumann and Pascual, "To be recorded" analysis in
reverse-mode automatic differentiation, 2005; here by element). Every access and every write that may follow it are
proved disjoint along one dimension: the difference of their subscripts, affine in loop indices, is bounded by replacing
indices by the bounds of their loops, innermost first (Banerjee, Dependence Analysis, 1997). Subscripts must be provably
not negative there, since negative ones count from the end. A write that follows shares the iterations of some outer
loops, is later in the next one, and anywhere in those inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from adcompile.ir import Array, Atom, Block, Const, Eqn, Value
from adcompile.lower.indices import Affine

WRITES = ("store", "accumulate")


@dataclass(frozen=True)
class Survivor:
    """Where a scalar can be read again: the subscripts in the ``place``-th array that ``loop`` carries."""

    loop: Eqn
    place: int
    subscripts: tuple[Atom, ...]


def survivors(nest: Eqn) -> dict[Value, Survivor]:
    """The surviving scalars of a loop nest.

    Parameters
    ----------
    nest : a ``loop`` equation of the array dialect, whatever is in it.

    Returns
    -------
    dict
        From the results of ``index`` and ``store`` equations to where the scalar that was read or stored survives.
    """
    found: dict[Value, Survivor] = {}
    made = _definitions(nest)
    for loop, around in _loops(nest, ()):
        for place, (param, start) in enumerate(zip(loop.regions[0].params[1:], loop.args[3:], strict=True)):
            if isinstance(param.type, Array) and not _is_carried_further_out(start, made, around):
                found |= _survivors(loop, place, param, made)
    return found


def _loops(eqn: Eqn, around: tuple[Eqn, ...]) -> Iterator[tuple[Eqn, tuple[Eqn, ...]]]:
    """The counted loops of a nest with the equations that hold them; nothing inside a ``while``."""
    if eqn.op == "loop":
        yield eqn, around
    if eqn.op in ("loop", "if"):
        for region in eqn.regions:
            for inner in region.eqns:
                yield from _loops(inner, (*around, eqn))


def _definitions(nest: Eqn) -> dict[Value, Eqn]:
    """Every value defined inside a nest; parameters of regions belong to the equation that has the region."""
    made: dict[Value, Eqn] = {}
    for region in nest.regions:
        made.update(dict.fromkeys(region.params, nest))
        for eqn in region.eqns:
            made.update(dict.fromkeys(eqn.outs, eqn))
            made.update(_definitions(eqn))
    return made


def _is_carried_further_out(start: Atom, made: Mapping[Value, Eqn], around: Sequence[Eqn]) -> bool:
    """Whether an array that a loop starts with is one that a loop around it carries, or a version of it."""
    while isinstance(start, Value) and start in made:
        eqn = made[start]
        if eqn in around:
            return True
        if eqn.op in WRITES:
            start = eqn.args[0]
        elif eqn.op == "loop":
            start = eqn.args[3 + eqn.outs.index(start)]
        else:
            return eqn.op in ("if", "while")
    return False


# -- accesses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Range:
    """A loop around an access: its index runs between two forms, inclusive, by steps of one sign."""

    index: Value
    low: Affine
    high: Affine
    step: int


@dataclass(frozen=True)
class _Access:
    """Elements at some subscripts, under some loops; ``order`` compares accesses of one iteration."""

    result: Value
    atoms: tuple[Atom, ...]
    subscripts: tuple[Affine, ...]
    ranges: tuple[_Range, ...]
    order: tuple[int, ...]


class _Untidy(Exception):
    """An array is used in a way that the analysis does not follow."""


@dataclass
class _Walk:
    """Collects the accesses to one carried array, all its versions, in the order of execution."""

    made: Mapping[Value, Eqn]
    family: set[Value] = field(default_factory=set)
    reads: list[_Access] = field(default_factory=list)
    writes: list[_Access] = field(default_factory=list)
    indices: set[Value] = field(default_factory=set)

    def loop(self, eqn: Eqn, place: int, ranges: tuple[_Range, ...], order: tuple[int, ...]) -> None:
        """The body of a loop that carries the array at ``place``."""
        (body,) = eqn.regions
        self.indices.add(body.params[0])
        end = self.block(body, body.params[1 + place], (*ranges, self.range(eqn)), order)
        if end is not body.results[place] or sum(r in self.family for r in body.results) != 1:
            raise _Untidy

    def range(self, eqn: Eqn) -> _Range:
        """The bounds of a loop."""
        start, stop, step = eqn.args[:3]
        if not isinstance(step, Const) or not step.value:
            raise _Untidy
        first, last = self.form(start), self.form(stop).plus(Affine(-1 if step.value > 0 else 1))
        low, high = (first, last) if step.value > 0 else (last, first)
        return _Range(eqn.regions[0].params[0], low, high, int(step.value))

    def block(self, block: Block, version: Value, ranges: tuple[_Range, ...], order: tuple[int, ...]) -> Value:
        """Follow the array through a block; its last version."""
        self.family.add(version)
        for turn, eqn in enumerate(block.eqns):
            here = (*order, turn)
            if eqn.op in WRITES and eqn.args[0] in self.family:
                self.write(eqn, version, ranges, here)
                version = eqn.outs[0]
                self.family.add(version)
            elif eqn.op == "index" and eqn.args[0] is version and _is_element(eqn):
                self.reads.append(self.access(eqn.outs[0], eqn.args[1:], ranges, here))
            elif eqn.regions:
                version = self.control(eqn, version, ranges, here)
        return version

    def write(self, eqn: Eqn, version: Value, ranges: tuple[_Range, ...], order: tuple[int, ...]) -> None:
        """A store to the newest version; what was stored is an access too."""
        if eqn.args[0] is not version or not _is_element(eqn):
            raise _Untidy
        access = self.access(eqn.outs[0], eqn.args[2:], ranges, order)
        self.writes.append(access)
        if eqn.op == "store" and eqn.args[1].type.dtype == version.type.dtype:
            self.reads.append(access)

    def control(self, eqn: Eqn, version: Value, ranges: tuple[_Range, ...], order: tuple[int, ...]) -> Value:
        """A control equation: a loop may carry the array on, a branch may read it, anything else is not followed."""
        carried = [k for k, a in enumerate(eqn.args) if a in self.family]
        if eqn.op == "loop" and carried:
            if len(carried) > 1 or eqn.args[carried[0]] is not version:
                raise _Untidy
            self.loop(eqn, carried[0] - 3, ranges, order)
            version = eqn.outs[carried[0] - 3]
            self.family.add(version)
        elif carried:
            raise _Untidy
        elif eqn.op == "loop":
            self.indices.add(eqn.regions[0].params[0])
            self.same(eqn.regions[0], version, (*ranges, self.range(eqn)), order)
        elif eqn.op == "if":
            for region in eqn.regions:
                self.same(region, version, ranges, order)
        elif any(v in self.family for region in eqn.regions for v in _touched(region)):
            raise _Untidy
        return version

    def same(self, block: Block, version: Value, ranges: tuple[_Range, ...], order: tuple[int, ...]) -> None:
        """A region that only reads the array."""
        if self.block(block, version, ranges, order) is not version or self.family.intersection(block.results):
            raise _Untidy

    def access(self, result: Value, atoms: Sequence[Atom], ranges: tuple[_Range, ...], order: tuple) -> _Access:
        """An access at some subscripts."""
        return _Access(result, tuple(atoms), tuple(map(self.form, atoms)), ranges, order)

    def form(self, atom: Atom) -> Affine:
        """An integer as an affine form of loop indices and of what is defined outside the nest."""
        if isinstance(atom, Const):
            return Affine(int(atom.value))
        eqn = self.made.get(atom)
        if eqn is None or atom.type.dtype != "int64" or eqn.op not in ("add", "sub", "mul") or eqn.regions:
            return Affine(0, {atom: 1})
        one, two = map(self.form, eqn.args)
        if eqn.op == "mul":
            one, two = (one, two) if not one.terms else (two, one)
            return Affine().plus(two, one.constant) if not one.terms else Affine(0, {atom: 1})
        return one.plus(two, 1 if eqn.op == "add" else -1)

    def is_clear(self, access: _Access) -> bool:
        """Whether subscripts and bounds hold nothing that varies in the nest but indices of the loops around."""
        allowed = {r.index for r in access.ranges}
        forms = [*access.subscripts, *(f for r in access.ranges for f in (r.low, r.high))]
        return all(v in allowed or v not in self.made for form in forms for v in form.terms)


def _is_element(eqn: Eqn) -> bool:
    return all(entry == ("int",) for entry in eqn.attrs["spec"])


def _touched(block: Block) -> Iterator[Atom]:
    for eqn in block.eqns:
        yield from eqn.args
        for region in eqn.regions:
            yield from _touched(region)
    yield from block.results


# -- proofs ---------------------------------------------------------------------------------------------------------


def _survivors(loop: Eqn, place: int, param: Value, made: Mapping[Value, Eqn]) -> dict[Value, Survivor]:
    """The scalars that survive in one carried array."""
    walk = _Walk(made)
    try:
        walk.loop(loop, place, (), ())
    except _Untidy:
        return {}
    if not all(map(walk.is_clear, walk.writes)):
        return {}
    return {
        read.result: Survivor(loop, place, read.atoms)
        for read in walk.reads
        if walk.is_clear(read) and all(_stays(read, write) for write in walk.writes)
    }


def _stays(read: _Access, write: _Access) -> bool:
    """Whether no later execution of a write touches what an access has read."""
    shared = 0
    while shared < min(len(read.ranges), len(write.ranges)) and (
        read.ranges[shared].index is write.ranges[shared].index
    ):
        shared += 1
    if write.order > read.order and not _disjoint(read, write, shared, None):
        return False
    return all(_disjoint(read, write, level, read.ranges[level]) for level in range(shared))


def _disjoint(read: _Access, write: _Access, shared: int, later: _Range | None) -> bool:
    """Whether an access and a write are apart.

    They share the iterations of the first loops; in the next one, ``later``, the write's iteration comes after.
    """
    renamed: dict[Value, Value] = {}
    ranges = []
    for turn, own in enumerate(write.ranges[shared:]):
        fresh = Value(own.index.type, own.index.name)
        low, high = (_renamed(f, renamed) for f in (own.low, own.high))
        if turn == 0 and later is not None:
            next_one = Affine(later.step, {later.index: 1})
            low, high = (next_one, high) if later.step > 0 else (low, next_one)
        ranges.append(replace(own, index=fresh, low=low, high=high))
        renamed[own.index] = fresh
    order = [*reversed(ranges), *reversed(read.ranges)]
    places = [(r, _renamed(w, renamed)) for r, w in zip(read.subscripts, write.subscripts, strict=True)]
    return any(
        (_at_least(1, w.plus(r, -1), order) or _at_least(1, r.plus(w, -1), order))
        and _at_least(0, r, order)
        and _at_least(0, w, order)
        for r, w in places
    )


def _renamed(form: Affine, names: Mapping[Value, Value]) -> Affine:
    return Affine(form.constant, {names.get(v, v): c for v, c in form.terms.items()})


def _at_least(least: int, form: Affine, ranges: Sequence[_Range]) -> bool:
    """Whether a form is that large wherever the loops run."""
    for own in ranges:
        factor = form.terms.get(own.index, 0)
        if factor:
            form = form.without(own.index).plus(own.low if factor > 0 else own.high, factor)
    return not form.terms and form.constant >= least

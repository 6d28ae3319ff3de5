"""Loop dialect → loop dialect: nests that scatter to neighbours gather from them instead.

The adjoint of a stencil adds to shifted elements: ``a[i - 1] += e(i); a[i + 1] += e(i)``. No vector instruction may do
that, for the next iteration reads what this one stored. With the loop over the elements that receive, each is written
once: ``a[p] += e(p + 1) + e(p - 1)`` (Hückelheim, Kukreja, Narayanan, Luporini, Gorman, Hovland: Automatic
differentiation for adjoint stencil loops, ICPP 2019). Near the borders some terms are missing: along the innermost loop
these elements are peeled off, along the others a term is selected or zero.

What else the nest does follows in a nest of its own; a term may therefore not read what an earlier iteration wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from adcompile.ir import Array, Atom, Block, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import FLOATS
from adcompile.lower.context import Context, elements
from adcompile.lower.fusion import HEAVY, own_cost
from adcompile.lower.indices import Affine, Index
from adcompile.lower.nests import Nest, along, is_allowed, needed_for, reads_old, see, without
from adcompile.primitives import PRIMITIVES, Emitter, Handle

_WIDEST = 4
"""How far apart, along one loop, the elements may be that an iteration adds to."""
_LARGEST = 160
"""How many equations the terms may have together."""


def gather_loops(block: Block) -> Block:
    """Turn every nest of a block that scatters to shifted elements of an array into one that gathers."""
    context = Context(Emitter(Builder()))
    return Block(block.params, _rebuilt(context, context.op.builder, block), block.results)


def may_gather(eqn: Eqn) -> bool:
    """Whether a loop is a nest that scatters to shifted elements of an array, and may gather instead."""
    nest = see(Context(Emitter(Builder())), eqn) if eqn.op == "loop" else None
    return nest is not None and find_scatter(nest) is not None


def _rebuilt(context: Context, builder: Builder, block: Block) -> tuple[Eqn, ...]:
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        nest = see(context, eqn) if eqn.op == "loop" else None
        scatter = find_scatter(nest) if nest else None
        if nest and scatter:
            _emit(context, nest, scatter)
        else:
            builder.append(replace(eqn, regions=tuple(_region(context, r) for r in eqn.regions)))
    return tuple(builder.eqns)


def _region(context: Context, block: Block) -> Block:
    with context.inside(context.op.builder.child()) as builder:
        return Block(block.params, _rebuilt(context, builder, block), block.results)


PlaceOf = Callable[[Nest, Atom], tuple[int | None, Affine]]


# -- which nests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scatter:
    """Everything that a nest adds to one carried array: the terms, and their shifts along each loop."""

    place: int
    array: Value
    subscripts: tuple[tuple[int | None, Affine], ...]
    terms: tuple[Atom, ...]
    shifts: tuple[tuple[int, ...], ...]

    def reach(self, level: int) -> tuple[int, int]:
        """The smallest and largest shift along a loop."""
        along = [s[level] for s in self.shifts]
        return min(along), max(along)


def find_scatter(nest: Nest, place_of: PlaceOf = along) -> Scatter | None:
    """A carried array whose scattered terms may be gathered; ``place_of`` says which loop a subscript follows.

    The innermost loop may not read what an outer one carries, for that is a version of an array that is not kept.
    """
    kept = {p for p, _ in nest.carried} | {level.index for level in nest.levels} | nest.scalars.keys()
    read = {*(a for e in nest.body.eqns for a in e.args), *nest.body.results}
    if not all(is_allowed(e) for e in nest.body.eqns) or read & nest.inside - kept:
        return None
    for place, (param, result) in enumerate(nest.carried):
        if isinstance(param.type, Array) and param.type.dtype in FLOATS:
            scatter = _scatter(nest, place, param, result, place_of)
            if scatter is not None and _may_move(nest, scatter):
                return scatter
    return None


def _scatter(nest: Nest, place: int, param: Value, result: Atom, place_of: PlaceOf) -> Scatter | None:
    """The additions to one array, where they are all that is done to it and shifts of one another.

    No equation may read any version of the array but the addition that makes the next one: it would see sums too early.
    """
    added: list[Eqn] = []
    version: Atom = param
    for eqn in nest.body.eqns:
        if any(a in eqn.args for a in (param, *(e.outs[0] for e in added)) if a is not version):
            return None
        if version not in eqn.args:
            continue
        if eqn.op != "accumulate" or eqn.args[0] is not version or version in eqn.args[1:]:
            return None
        if eqn.args[1].type.dtype != param.type.dtype:
            return None
        added.append(eqn)
        version = eqn.outs[0]
    if version is not result or nest.body.results.count(version) > 1 or len(added) < 2:
        return None
    split = [tuple(place_of(nest, a) for a in eqn.args[2:]) for eqn in added]
    base = tuple((level, rest if level is None else Affine(0, rest.terms)) for level, rest in split[0])
    if sorted(level for level, _ in base if level is not None) != list(range(len(nest.levels))):
        return None
    shifts = [_shift(one, base, len(nest.levels)) for one in split]
    if any(s is None for s in shifts) or len(set(shifts)) < 2:
        return None
    scatter = Scatter(place, param, base, tuple(e.args[1] for e in added), tuple(s for s in shifts if s is not None))
    reaches = [scatter.reach(k) for k in range(len(nest.levels))]
    return scatter if all(high - low <= _WIDEST for low, high in reaches) else None


def _shift(one: Sequence, base: Sequence, depth: int) -> tuple[int, ...] | None:
    """How far an element lies from that of ``base``, along each loop; None where that is not a constant."""
    shift = [0] * depth
    for (level, rest), (base_level, base_rest) in zip(one, base, strict=True):
        apart = rest.plus(base_rest, -1)
        if level != base_level or apart.terms or (level is None and apart.constant):
            return None
        if level is not None:
            shift[level] = apart.constant
    return tuple(shift)


def _may_move(nest: Nest, scatter: Scatter) -> bool:
    """Whether the terms, all together, may be computed before anything else that the nest does.

    They read the indices, what is known outside the nest, and elements that no earlier iteration has written.
    """
    known = {level.index for level in nest.levels} | {p for p, _ in nest.carried if isinstance(p.type, Array)}
    if any(nest.inside & form.terms.keys() for _, form in scatter.subscripts):
        return False
    size = 0
    for term in scatter.terms:
        needed = needed_for(nest, term)
        size += len(needed)
        reads = {term, *(a for e in needed for a in e.args)} - nest.scalars.keys()
        if any(own_cost(e) > HEAVY for e in needed) or not all(reads_old(nest, e) for e in needed if e.op == "index"):
            return False
        if any(e.op in ("store", "accumulate") for e in needed) or reads & nest.inside - known:
            return False
    return size <= _LARGEST


# -- the gathering nest ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A term at the element under the loops so far: where its iteration is, and whether there is such an iteration."""

    term: Atom
    shift: tuple[int, ...]
    at: tuple[Index, ...] = ()
    exists: Handle | None = None


class Terms:
    """Emits what an element receives."""

    def __init__(self, context: Context, nest: Nest, scatter: Scatter):
        self.context, self.nest, self.scatter = context, nest, scatter
        self.inits = {param: a for (param, _), a in zip(nest.carried, nest.eqn.args[3:], strict=True)}

    def bounds(self, depth: int) -> tuple[Index, Index]:
        """The bounds of a loop of the nest, emitted."""
        level = self.nest.levels[depth]
        return self.context.indices.emit(level.low), self.context.indices.emit(level.high)

    def moved(self, x: Index, by: int) -> Index:
        """``x + by``."""
        return self.context.indices.add(x, by)

    def value(self, term: Term) -> Handle:
        """The scalar of a term in its iteration."""
        env: dict[Value, Atom] = dict(self.inits)
        for level, at in zip(self.nest.levels, term.at, strict=True):
            env[level.index] = self.context.op.atom(at)
        wanted = set(needed_for(self.nest, term.term))
        for eqn in dict.fromkeys(self.nest.scalars.values()):
            if eqn in wanted:
                args = [env.get(a, a) if isinstance(a, Value) else a for a in eqn.args]
                types = [o.type for o in eqn.outs]
                outs = self.emit_again(eqn, args, types)
                env.update(zip(eqn.outs, outs, strict=True))
        return self.context.op.handle(env.get(term.term, term.term))  # type: ignore[arg-type]

    def emit_again(self, eqn: Eqn, args: list[Atom], types: list) -> Sequence[Atom]:
        """One equation of a term with other operands."""
        if PRIMITIVES[eqn.op].elementwise:
            return [self.context.op(eqn.op, *args, types=types, **eqn.attrs).atom]
        return self.context.op.builder.emit(eqn.op, args, types, eqn.attrs)


class _Gathering(Terms):
    """Emits the nest over the elements that receive."""

    def emit(self) -> Handle:
        """The array with all terms added."""
        terms = [Term(t, s) for t, s in zip(self.scatter.terms, self.scatter.shifts, strict=True)]
        array = self.context.op.handle(self.inits[self.scatter.array])
        return self.level(0, array, (), terms)

    def level(self, depth: int, array: Handle, at: tuple[Index, ...], terms: Sequence[Term]) -> Handle:
        """The loops from ``depth`` inwards."""
        if depth == len(self.nest.levels):
            return self.add(array, at, terms)
        low, high = self.bounds(depth)
        least, most = self.scatter.reach(depth)
        start, stop = self.moved(low, least), self.moved(high, most)
        if least == most:
            return self.loop(depth, start, stop, array, at, terms, False)
        op, indices = self.context.op, self.context.indices
        if depth < len(self.nest.levels) - 1:
            stop = op.where(op.lt(low, high), stop, start)
            return self.loop(depth, start, stop, array, at, terms, True)
        wide = op.ge(indices.sub(high, low), most - least)
        exist = {t.exists.atom: t.exists for t in terms if t.exists is not None}
        if not exist:
            return self.row(array, at, terms, wide)
        inside = [replace(t, exists=None) for t in terms]
        return self.either(
            reduce(op.logical_and, [*exist.values(), wide]),
            lambda: self.row(array, at, inside, None),
            lambda: self.row(array, at, terms, wide),
        )

    def either(self, condition: Handle, *sides: Callable[[], Handle]) -> Handle:
        """A branch that gives an array."""
        context, regions = self.context, []
        for side in sides:
            with context.inside(context.op.builder.child()) as builder:
                result = side()
                regions.append(builder.block((), [result.atom]))
        (out,) = context.op.builder.emit("if", (condition.atom,), [result.type], {}, regions)
        return context.op.handle(out)

    def row(self, array: Handle, at: tuple[Index, ...], terms: Sequence[Term], wide: Handle | None) -> Handle:
        """The innermost loop: the elements at either end, which some terms do not reach, and those in between.

        Where the loop is not ``wide`` (None: where it is known to be), every element asks which terms reach it.
        """
        op, depth = self.context.op, len(self.nest.levels) - 1
        (low, high), (least, most) = self.bounds(depth), self.scatter.reach(depth)
        once = op.where(wide, 1, 0) if wide is not None else None
        ends = [
            (self.moved(end, least + o), [t for t in terms if (t.shift[depth] <= least + o) == (end is low)])
            for end in (low, high)
            for o in range(most - least)
        ]
        for here, near in ends[: most - least]:
            array = self.element(array, at, here, near, once)
        array = self.loop(depth, self.moved(low, most), self.moved(high, least), array, at, terms, False)
        for here, near in ends[most - least :]:
            array = self.element(array, at, here, near, once)
        if wide is None:
            return array
        start, stop = self.moved(low, least), self.moved(high, most)
        stop = op.where(op.logical_or(wide, op.ge(low, high)), start, stop)
        return self.loop(depth, start, stop, array, at, terms, True)

    def element(self, array: Handle, at: tuple, here: Index, terms: Sequence[Term], times: Handle | None) -> Handle:
        """One element near an end: so many times, or once."""
        depth = len(self.nest.levels) - 1
        if times is not None:
            return self.loop(depth, here, self.context.indices.add(here, times), array, at, terms, False)
        return self.add(array, (*at, here), [self.reached(depth, t, here, False) for t in terms])

    def loop(
        self, depth: int, start: Index, stop: Index, array: Handle, at: tuple, terms: Sequence[Term], ends: bool
    ) -> Handle:
        """One loop over elements; with ``ends`` it meets some that a term does not reach."""
        context, level = self.context, self.nest.levels[depth]
        index, param = Value(level.index.type, level.index.name), Value(array.type, self.scatter.array.name)
        with context.inside(context.op.builder.child()) as inner:
            here = context.op.handle(index)
            reached = [self.reached(depth, t, here, ends) for t in terms]
            result = self.level(depth + 1, context.op.handle(param), (*at, here), reached)
            block = inner.block((index, param), [result.atom])
        args = tuple(map(context.op.atom, (start, stop, 1, array)))
        (out,) = context.op.builder.emit("loop", args, [param.type], {}, (block,), names=[param.name])
        return context.op.handle(out)

    def reached(self, depth: int, term: Term, here: Index, ends: bool) -> Term:
        """A term with its place along one more loop."""
        op, place = self.context.op, self.moved(here, -term.shift[depth])
        if not ends:
            return replace(term, at=(*term.at, place))
        low, high = self.bounds(depth)
        exists = op.logical_and(op.ge(place, low), op.lt(place, high))
        exists = exists if term.exists is None else op.logical_and(term.exists, exists)
        last = self.moved(high, -1)
        return replace(term, at=(*term.at, op.minimum(op.maximum(place, low), last)), exists=exists)

    def add(self, array: Handle, at: tuple[Index, ...], terms: Sequence[Term]) -> Handle:
        """Add the terms to one element."""
        op, indices = self.context.op, self.context.indices
        total = None
        for term in terms:
            value = self.value(term)
            if term.exists is not None:
                value = op.where(term.exists, value, op.zero(array.type.dtype))
            total = value if total is None else total + value
        place = [
            indices.emit(rest if k is None else indices.form(at[k]).plus(rest)) for k, rest in self.scatter.subscripts
        ]
        return op("accumulate", array, total, *place, spec=elements(len(place)))


def _emit(context: Context, nest: Nest, scatter: Scatter) -> None:
    """The gathering nest, then the loop without what it gathered."""
    gathered = _Gathering(context, nest, scatter).emit()
    args = list(nest.eqn.args)
    args[3 + scatter.place] = gathered.atom
    (region,) = nest.eqn.regions
    rest = without(region, nest.carried[scatter.place][0])
    context.op.builder.append(replace(nest.eqn, args=tuple(args), regions=(rest,)))

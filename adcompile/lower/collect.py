"""Loop dialect → loop dialect, for a GPU: nests that scatter to neighbours become nests over what receives.

`adcompile.lower.gather` does the same for a CPU. Here an element is a thread's, which asks which of the terms reach it:
it reads what it needs, adds up, and writes once, without an atomic. Periodic neighbours are inverted too:
``a[i - 1 if i > 0 else n - 1] += e(i)`` is ``a[p] += e(p + 1 if p < n - 1 else 0)``.

Two more things save a pass over memory each:

- where the nest before has filled the array with zeros, the sum is stored instead of added, and nothing is filled;
- where the nest also clears an array that its terms read, a new array is cleared in its place, in the same loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from adcompile.ir import Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.lower.context import Context, elements
from adcompile.lower.decided import Paths, inside_loop
from adcompile.lower.gather import Scatter, Term, Terms, find_scatter
from adcompile.lower.indices import Affine, Index
from adcompile.lower.nests import Level, Nest, along, rewritten, see
from adcompile.lower.searching import branch
from adcompile.primitives import Emitter, Handle

Range = tuple[Affine, Affine]
_ZERO, _ONE = Affine(), Affine(1)


def collect_loops(block: Block) -> Block:
    """Turn every nest of a block that scatters to neighbours into one over the elements that receive."""
    context = Context(Emitter(Builder()))
    return Block(block.params, _rebuilt(context, context.op.builder, block), block.results)


def _rebuilt(context: Context, builder: Builder, block: Block) -> tuple[Eqn, ...]:
    uses = Counter(v for e in block.eqns for v in eqn_inputs(e)) + Counter(
        r for r in block.results if isinstance(r, Value)
    )
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        if eqn.op == "dim":
            builder.sizes[eqn.args[0], eqn.attrs["axis"]] = eqn.outs[0]
        nest = see(context, eqn) if eqn.op == "loop" else None
        if nest is None or not _collect(context, nest, uses):
            with inside_loop(context, eqn):
                builder.append(replace(eqn, regions=tuple(rewritten(context, eqn, r, _rebuilt) for r in eqn.regions)))
    return tuple(builder.eqns)


def _collect(context: Context, nest: Nest, uses: Counter) -> bool:
    """Emit the collecting nest instead of one that scatters; False where it does not."""
    with _bounded(nest):
        scatter = find_scatter(nest, _place_of)
        wrapped = _wrapped(nest, scatter) if scatter else None
        if scatter is None or wrapped is None:
            return False
        levels = tuple(replace(level, high=_end(nest, level)) for level in nest.levels)
        filled = _filled(context, replace(nest, levels=levels), scatter, wrapped, uses)
    _Collecting(context, replace(nest, levels=levels), scatter, wrapped, filled).emit()
    return True


# -- which subscripts -------------------------------------------------------------------------------------------------


@contextmanager
def _bounded(nest: Nest) -> Iterator[None]:
    """Inside, questions about the nest know the bounds of its loops."""
    with ExitStack() as stack:
        for level in nest.levels:
            stack.enter_context(nest.context.indices.within(level.index, level.low, _end(nest, level).plus(_ONE, -1)))
        yield


def _end(nest: Nest, level: Level) -> Affine:
    """Where a loop that is not empty ends: below ``maximum(n, 0)`` means below ``n``."""
    if len(level.high.terms) == 1 and level.low == _ZERO:
        (atom,) = level.high.terms
        eqn = nest.context.op.builder.definition(atom)
        maximum = eqn is not None and eqn.op == "maximum" and level.high == Affine(0, {atom: 1})
        if eqn is not None and maximum and eqn.args[1] == Const(0, eqn.args[1].type):
            return nest.form(eqn.args[0])
    return level.high


def _place_of(nest: Nest, atom: Atom) -> tuple[int | None, Affine]:
    """A subscript as ``index of a loop + rest``, perhaps around the ends of the loop's range."""
    level, rest = along(nest, atom)
    if level is not None:
        return level, rest
    for k in range(len(nest.levels)):
        turn = _turn(nest, atom, k)
        if turn:
            return k, Affine(turn)
    return None, rest


def _turn(nest: Nest, atom: Atom, k: int) -> int:
    """1 or -1 where a subscript is the next or last number of a loop's range from 0, around its ends; else 0."""
    level, paths = nest.levels[k], Paths(nest.context.indices)
    size = _end(nest, level)
    if level.low != _ZERO:
        return 0

    def turns(form: Affine, by: int) -> bool:
        apart = form.plus(Affine(by, {level.index: 1}), -1)
        rounds = (apart, apart.plus(size), apart.plus(size, -1))
        equal = any(paths.nonnegative(r) and paths.nonnegative(_ZERO.plus(r, -1)) for r in rounds)
        return equal and paths.nonnegative(form) and paths.nonnegative(size.plus(form, -1).plus(_ONE, -1))

    return next((by for by in (1, -1) if paths.every(atom, lambda form, by=by: turns(form, by))), 0)


def _wrapped(nest: Nest, scatter: Scatter) -> frozenset[int] | None:
    """The loops whose neighbours are periodic; None where other subscripts follow them too."""
    periodic, shifted = set(), set()
    for eqn in nest.body.eqns:
        if eqn.op == "accumulate" and eqn.outs[0].type == scatter.array.type:
            for atom, (k, rest) in zip(eqn.args[2:], scatter.subscripts, strict=False):
                level, form = along(nest, atom)
                if level is None and k is not None:
                    periodic.add(k)
                if (level is not None and form.constant) or rest.terms:
                    shifted.add(k)
    return None if periodic & shifted else frozenset(periodic)


# -- arrays that were just cleared ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Filled:
    """A nest that has filled the array with zeros, and over which range along each loop of the scattering nest."""

    eqn: Eqn
    place: int
    ranges: tuple[Range, ...]


def _filled(context: Context, nest: Nest, scatter: Scatter, wrapped: frozenset[int], uses: Counter) -> _Filled | None:
    """What has filled the array with zeros just for this nest, everywhere that a term may reach."""
    init = nest.eqn.args[3 + scatter.place]
    eqn = context.op.builder.definitions.get(init) if isinstance(init, Value) else None
    if eqn is None or eqn.op != "loop" or uses[init] != 1 or any(rest != _ZERO for _, rest in scatter.subscripts):
        return None
    filling, place = see(context, eqn), eqn.outs.index(init)
    cleared = filling and _cleared(filling, place)
    if not cleared:
        return None
    ranges = [cleared[axis] for axis, _ in sorted(enumerate(scatter.subscripts), key=lambda pair: pair[1][0] or 0)]
    positive = nest.context.indices.nonnegative
    for k, (level, (low, high)) in enumerate(zip(nest.levels, ranges, strict=True)):
        least, most = (0, 0) if k in wrapped else scatter.reach(k)
        before, after = level.low.plus(Affine(least)).plus(low, -1), high.plus(level.high, -1).plus(Affine(-most))
        if not (positive(before) and positive(after)):
            return None
    return _Filled(eqn, place, tuple(ranges))


def _cleared(nest: Nest, place: int) -> list[Range] | None:
    """The range along each axis over which a nest stores zeros, where that is the last it does to an array."""
    param, result = nest.carried[place]
    stores = [e for e in nest.body.eqns if param in e.args and e.op != "index"]
    if len(stores) != 1 or stores[0].op != "store" or stores[0].outs[0] is not result:
        return None
    value, *at = stores[0].args[1:]
    reads = [e for e in nest.body.eqns if e.op == "index" and e.args[0] in (param, result)]
    if not isinstance(value, Const) or value.value != 0 or any(e.args[0] is result for e in reads):
        return None
    places = [along(nest, a) for a in at]
    own = sorted(k for k, rest in places if k is not None and rest == _ZERO) == list(range(len(nest.levels)))
    if not own or len(at) != len(nest.levels) or any(tuple(e.args[1:]) != tuple(at) for e in reads):
        return None
    return [(nest.levels[k].low, _end(nest, nest.levels[k])) for k, _ in places if k is not None]


def _leaving(loop: Eqn, place: int) -> Eqn:
    """A nest that leaves a carried array as it was before, and does not carry it."""
    (body,) = loop.regions
    names: dict[Value, Atom] = {body.params[1 + place]: loop.args[3 + place]}
    kept = []
    for eqn in body.eqns:
        if eqn.op == "loop":
            at = next((k for k, a in enumerate(eqn.args[3:]) if a in names), None)
            eqn = eqn if at is None else _leaving(eqn, at)
        if eqn.op in ("store", "accumulate") and eqn.args[0] in names:
            names[eqn.outs[0]] = loop.args[3 + place]
        elif eqn.outs:
            kept.append(eqn)
    inner = substitute(Block((), tuple(kept), _but(body.results, place)), names, lambda value: value)
    region = Block(_but(body.params, 1 + place), inner.eqns, inner.results)
    return replace(loop, args=_but(loop.args, 3 + place), outs=_but(loop.outs, place), regions=(region,))


def _but(items: tuple, place: int) -> tuple:
    """All items but one."""
    return items[:place] + items[place + 1 :]


# -- the collecting nest ----------------------------------------------------------------------------------------------


class _Collecting(Terms):
    """Emits the nest over the elements that receive, and what the scattering nest does besides."""

    def __init__(self, context: Context, nest: Nest, scatter: Scatter, wrapped: frozenset[int], filled: _Filled | None):
        super().__init__(context, nest, scatter)
        self.wrapped, self.filled = wrapped, filled
        self.renewed: list[int] = []

    def emit(self) -> None:
        """The collecting nest, then what is left of the other."""
        context, builder, eqn = self.context, self.context.op.builder, self.nest.eqn
        if self.filled:
            self.drop_filling(builder, self.filled)
        ranges = [self.range(k) for k in range(len(self.nest.levels))]
        self.renewed = self.to_renew(ranges)
        terms = [Term(t, s) for t, s in zip(self.scatter.terms, self.scatter.shifts, strict=True)]
        arrays = [context.op.handle(self.inits[self.scatter.array]), *map(self.new, self.renewed)]
        self.level(0, arrays, (), terms, ranges, [eqn.outs[k] for k in (self.scatter.place, *self.renewed)])
        if len(self.renewed) < len(eqn.outs) - 1:
            builder.append(_leaving(eqn, self.scatter.place))

    def drop_filling(self, builder: Builder, filled: _Filled) -> None:
        """Take the zeros out of the nest that stores them; the terms are stored to the array as it was before."""
        kept, at = _leaving(filled.eqn, filled.place), builder.eqns.index(filled.eqn)
        builder.eqns[at : at + 1] = [kept] if kept.outs else []
        builder.definitions.update(dict.fromkeys(kept.outs, kept))
        self.inits[self.scatter.array] = filled.eqn.args[3 + filled.place]

    def range(self, k: int) -> tuple[Index, Index]:
        """The elements that receive along a loop, or that zeros are stored to."""
        op, indices = self.context.op, self.context.indices
        if self.filled:
            low, high = self.filled.ranges[k]
            return indices.emit(low), indices.emit(high)
        low, high = self.bounds(k)
        if k in self.wrapped:
            return low, high
        least, most = self.scatter.reach(k)
        start, stop = self.moved(low, least), self.moved(high, most)
        return start, stop if least == most else op.where(op.lt(low, high), stop, start)

    # -- what is cleared ------------------------------------------------------------------------------------------

    def to_renew(self, ranges: Sequence[tuple[Index, Index]]) -> list[int]:
        """The arrays that the nest clears wholly, where it does nothing else."""
        others = [k for k in range(len(self.nest.carried)) if k != self.scatter.place]
        return others if all(self.is_cleared(k, ranges) for k in others) else []

    def is_cleared(self, k: int, ranges: Sequence[tuple[Index, Index]]) -> bool:
        """Whether every element of an array is set to zero, in the order of the elements that receive."""
        op, indices = self.context.op, self.context.indices
        init, cleared = self.nest.eqn.args[3 + k], _cleared(self.nest, k)
        if not cleared or not isinstance(init.type, Array) or init.type.rank != len(ranges):
            return False
        places = [level for level, _ in self.scatter.subscripts]
        if places != list(range(len(ranges))):
            return False
        sizes = [op.size(init, axis) for axis in range(init.type.rank)]
        whole = all(indices.equal(a, 0) and indices.equal(b, n) for (a, b), n in zip(ranges, sizes, strict=True))
        same = all((indices.form(a), indices.form(b)) == c for (a, b), c in zip(ranges, cleared, strict=True))
        return whole and same

    def new(self, k: int) -> Handle:
        """A new array of the shape of one that the nest clears."""
        init = self.nest.eqn.args[3 + k]
        sizes = [self.context.op.size(init, axis) for axis in range(init.type.rank)]
        assert isinstance(init.type, Array)
        return self.context.empty(init.type, sizes, self.nest.eqn.outs[k].name)

    # -- loops and elements ---------------------------------------------------------------------------------------

    def level(
        self,
        depth: int,
        carried: Sequence[Handle],
        at: tuple[Index, ...],
        terms: Sequence[Term],
        ranges: Sequence[tuple[Index, Index]],
        outs: Sequence[Value] = (),
    ) -> Sequence[Handle]:
        """The loops from ``depth`` inwards; the outermost defines ``outs``."""
        if depth == len(ranges):
            return self.element(carried, at, terms)
        context, builder, level = self.context, self.context.op.builder, self.nest.levels[depth]
        index = Value(level.index.type, level.index.name)
        params = [Value(c.type, c.atom.name if isinstance(c.atom, Value) else "") for c in carried]
        with context.inside(builder.child()) as inner, context.indices.loop(index, *ranges[depth]):
            here = context.op.handle(index)
            reached = [self.reached(depth, t, here) for t in terms]
            found = self.level(depth + 1, [*map(context.op.handle, params)], (*at, here), reached, ranges)
            block = inner.block((index, *params), [f.atom for f in found])
        outs = tuple(outs) or tuple(Value(p.type, p.name) for p in params)
        args = tuple(map(context.op.atom, (*ranges[depth], 1, *carried)))
        builder.append(Eqn("loop", args, outs, {}, builder.loc, (block,), builder.note))
        return [context.op.handle(out) for out in outs]

    def reached(self, depth: int, term: Term, here: Handle) -> Term:
        """A term with its place along one more loop, and the condition that there is such an iteration."""
        op, indices, shift = self.context.op, self.context.indices, term.shift[depth]
        place, (low, high) = self.moved(here, -shift), self.bounds(depth)
        if depth in self.wrapped:
            turned = indices.select_wrapped(place, high) if shift > 0 else indices.select_below(place, high)
            return replace(term, at=(*term.at, turned))
        exists = term.exists
        for inside, condition in (
            (indices.at_least(place, low), lambda: op.ge(place, low)),
            (indices.at_least(high, self.moved(place, 1)), lambda: op.lt(place, high)),
        ):
            if not inside:
                exists = condition() if exists is None else op.logical_and(exists, condition())
        return replace(term, at=(*term.at, place), exists=exists)

    def element(self, carried: Sequence[Handle], at: tuple[Index, ...], terms: Sequence[Term]) -> Sequence[Handle]:
        """What one element receives."""
        op, indices = self.context.op, self.context.indices
        total = None
        for term in terms:
            value = self.term(term)
            total = value if total is None else total + value
        place = [
            indices.emit(rest if k is None else indices.form(at[k]).plus(rest)) for k, rest in self.scatter.subscripts
        ]
        array, *cleared = carried
        update = "store" if self.filled else "accumulate"
        zeros = [op("store", c, op.zero(c.type.dtype), *at, spec=elements(len(at))) for c in cleared]
        return [op(update, array, total, *place, spec=elements(len(place))), *zeros]

    def term(self, term: Term) -> Handle:
        """A term, or zero where there is none."""
        if term.exists is None:
            return self.value(term)
        zero = self.context.op.zero(self.scatter.array.type.dtype)
        (value,) = branch(self.context, term.exists, [term.term.type], lambda: [self.value(term)], lambda: [zero])
        return value

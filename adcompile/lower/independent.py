"""Loop dialect → loop dialect: innermost loops whose iterations are independent run as vector instructions like them.

Iterations are independent where no element that one writes is touched by another, but for sums. Every pair of accesses
to an array that the loop writes is proved to be the same element of one iteration, or apart along one dimension, from
the bounds of the loops around (Allen and Kennedy, Optimizing Compilers for Modern Architectures, 2001, chapters 3 and
8). Such a loop

- keeps an element that all its iterations add to, or read, in a register (what else they only add to, they may meet);
- counts upwards, whichever way it ran: reverse sweeps run downwards;
- tests its subscripts once, before it begins; where a test would fail the loop as it was runs, and raises as it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute, walk
from adcompile.ir.types import FLOATS, INDEX
from adcompile.lower.context import Context
from adcompile.lower.indices import Affine, Index
from adcompile.primitives import PRIMITIVES, Emitter, Handle

_ACCESSES = ("index", "store", "accumulate")
_INDEPENDENT = {"independent": True}
"""The attribute of an innermost loop no iteration of which writes an element that another one touches."""
_LARGEST = 120
"""How many equations a body may have that is emitted twice."""


def free_iterations(block: Block) -> Block:
    """Rewrite every innermost loop of a block whose iterations are independent."""
    context = Context(Emitter(Builder()))
    return _rebuilt(context, context.op.builder, block)


def _rebuilt(context: Context, builder: Builder, block: Block) -> Block:
    names: dict[Value, Atom] = {}
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        plan = None
        with _around(context, eqn):
            plan = _plan(context, eqn) if eqn.op == "loop" else None
            if plan is None:
                upward = _upward(context, eqn) if eqn.op == "loop" else eqn.args
                regions = tuple(_region(context, r) for r in eqn.regions)
                builder.append(replace(eqn, args=upward, regions=regions))
        if plan is not None and plan.worth:
            names.update(zip(eqn.outs, _Rewriting(context, plan).emit(), strict=True))
        elif plan is not None:
            builder.append(replace(eqn, attrs={**eqn.attrs, **_INDEPENDENT}))
    inner = substitute(Block((), tuple(builder.eqns), block.results), names, lambda value: value)
    return Block(block.params, inner.eqns, inner.results)


def _around(context: Context, eqn: Eqn) -> AbstractContextManager:
    """What is known inside an equation: the bounds of a loop's index."""
    if eqn.op != "loop":
        return nullcontext()
    start, stop, step = (_index(context, a) for a in eqn.args[:3])
    return context.indices.loop(eqn.regions[0].params[0], start, stop, step)


def _region(context: Context, block: Block) -> Block:
    with context.inside(context.op.builder.child()) as builder:
        return _rebuilt(context, builder, block)


def _index(context: Context, atom: Atom) -> Index:
    return int(atom.value) if isinstance(atom, Const) else context.op.handle(atom)


# -- which loops ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Access:
    """One read or update of an element of the ``array``-th value that the loop carries."""

    eqn: Eqn
    array: int
    place: tuple[Affine, ...]


@dataclass
class _Plan:
    """What is known of a loop with independent iterations.

    ``sums`` are the additions to an element that stays the same, those to one element together; ``loads`` the reads of
    such elements; ``checks`` the tests of a subscript against a size.
    """

    eqn: Eqn
    sums: list[list[_Access]] = field(default_factory=list)
    loads: list[_Access] = field(default_factory=list)
    checks: list[tuple[Affine, Atom]] = field(default_factory=list)

    def add(self, access: _Access) -> None:
        """Put an addition with those to the same element."""
        for group in self.sums:
            if (group[0].array, group[0].place) == (access.array, access.place):
                group.append(access)
                return
        self.sums.append([access])

    @property
    def worth(self) -> bool:
        """Whether anything changes."""
        return bool(self.sums or self.loads or self.checks) or self.eqn.args[2] == Const(-1, self.eqn.args[2].type)


class _Looking:
    """Asks the questions about one loop; its equations must be in sight of the context.

    ``inner`` is what may differ from one iteration to the next in ways nobody knows: a proof must not use it.
    """

    def __init__(self, context: Context, eqn: Eqn):
        self.context, self.indices, self.eqn, (self.body,) = context, context.indices, eqn, eqn.regions
        self.index = self.body.params[0]
        self.nested: list[Value] = []
        around = [e for e in walk(self.body) if e.regions]
        carried = [p for e in (eqn, *around) for r in e.regions for p in r.params[1:]]
        self.inner = {*carried, *(o for e in walk(self.body) for o in e.outs)}
        self.other = Value(self.index.type, self.index.name)
        last = self.indices.bounds[self.index][1]
        self.indices.bounds[self.other] = (Affine(1, {self.index: 1}), last)
        self.indices.depths[self.other] = self.indices.depths[self.index] + 1

    def accesses(self, array: int) -> list[_Access] | None:
        """All accesses to a carried array; None where it is used in another way, or where subscripts are data."""
        found: list[_Access] = []
        end = self.follow(self.body, self.body.params[1 + array], array, found)
        return found if end is self.body.results[array] else None

    def follow(self, block: Block, version: Atom | None, array: int, found: list[_Access]) -> Atom | None:
        """Collect the accesses of a block; the last version of the array."""
        for eqn in block.eqns:
            if version not in eqn.args:
                if version in eqn_inputs(eqn):
                    return None
                continue
            if eqn.op == "loop" and eqn.args.index(version) > 2:
                version = self.enter(eqn, eqn.args.index(version) - 3, array, found)
            elif eqn.op in _ACCESSES and eqn.args.index(version) == 0:
                place = tuple(map(self.indices.form, eqn.args[1 if eqn.op == "index" else 2 :]))
                if any(self.inner.intersection(form.terms) for form in place):
                    return None
                found.append(_Access(eqn, array, place))
                version = version if eqn.op == "index" else eqn.outs[0]
            elif eqn.op != "dim":
                return None
        return version

    def enter(self, loop: Eqn, place: int, array: int, found: list[_Access]) -> Atom | None:
        """Collect the accesses of a loop inside; its result."""
        (body,) = loop.regions
        forms = [self.indices.form(a) for a in loop.args[:2]]
        if not isinstance(loop.args[2], Const) or any(self.inner.intersection(form.terms) for form in forms):
            return None
        self.nested.append(body.params[0])
        start, stop, step = (_index(self.context, a) for a in loop.args[:3])
        with self.indices.loop(body.params[0], start, stop, step):
            end = self.follow(body, body.params[1 + place], array, found)
        return loop.outs[place] if end is body.results[place] else None

    def moves(self, access: _Access) -> bool:
        """Whether every iteration has another element."""
        return any(self.index in form.terms for form in access.place)

    def apart(self, one: _Access, two: _Access) -> bool:
        """Whether two accesses never meet in different iterations."""
        return self._never_meet(one.place, two.place) and (one is two or self._never_meet(two.place, one.place))

    def _never_meet(self, one: tuple[Affine, ...], two: tuple[Affine, ...]) -> bool:
        """Whether an element of one iteration is none of a later one.

        Along one dimension a subscript is always larger than the other, whatever the indices of the loops inside are in
        either. Where ``two`` stays the same that includes the same iteration, as the index then runs over all of them.
        """
        names = {self.index: self.other}
        for inner in self.nested:
            if inner in self.indices.bounds:
                names[inner] = Value(inner.type, inner.name)
                low, high = (_renamed(f, names) for f in self.indices.bounds[inner])
                self.indices.bounds[names[inner]] = (low, high)
                self.indices.depths[names[inner]] = self.indices.depths[inner]
        for a, b in zip(one, two, strict=True):
            difference = a.plus(_renamed(b, names), -1)
            for form in (difference, Affine().plus(difference, -1)):
                if self.indices.nonnegative(form.plus(Affine(-1))):
                    return True
        return False

    def sort(self, plan: _Plan, found: Sequence[_Access]) -> bool:
        """Put the accesses to one array where they belong; False where iterations depend on each other."""
        writes = [a for a in found if a.eqn.op != "index"]
        if not writes:
            return True
        adds = all(a.eqn.op == "accumulate" for a in found)
        for access in found:
            still = not self.moves(access)
            if still and access.eqn.op == "store":
                return False
            others = [a for a in (writes if access.eqn.op == "index" else found) if a is not access]
            together = [a for a in others if still and a.place == access.place and a.eqn.op == access.eqn.op]
            together += [a for a in others if adds and (still or not self.moves(a))]
            if not all(a in together or self.apart(access, a) for a in others):
                return False
            if still:
                (plan.loads.append if access.eqn.op == "index" else plan.add)(access)
        added = [a.eqn for group in plan.sums for a in group]
        return all(e.args[1].type.dtype == e.args[0].type.dtype in FLOATS for e in added)

    def check(self, plan: _Plan, eqn: Eqn) -> bool:
        """Whether a test can be made before the loop."""
        if eqn.op != "check_index":
            return False
        form, size = self.indices.form(eqn.args[0]), eqn.args[1]
        if self.inner.intersection(form.terms) or size in self.inner or size is self.index:
            return False
        plan.checks.append((form, size))
        return abs(form.terms.get(self.index, 0)) <= 1

    def commute(self, found: Sequence[_Access]) -> bool:
        """Whether the accesses to one array are independent of the order of iterations, but for the order of sums."""
        return all(
            self.apart(one, two)
            for one in found
            for two in found
            if one.eqn.op != "index" and not one.eqn.op == two.eqn.op == "accumulate"
        )


def _renamed(form: Affine, names: Mapping[Value, Value]) -> Affine:
    return Affine(form.constant, {names.get(v, v): c for v, c in form.terms.items()})


def _upward(context: Context, eqn: Eqn) -> tuple[Atom, ...]:
    """The arguments of a loop around others, upwards where its iterations are independent."""
    (body,) = eqn.regions
    inside = list(walk(body))
    if eqn.args[2] != Const(-1, eqn.args[2].type) or not any(e.op == "loop" for e in body.eqns):
        return eqn.args
    effects = any(not e.regions and PRIMITIVES[e.op].effect for e in inside)
    if any(e.op in ("if", "while") for e in inside) or (effects and eqn.note != "adjoint"):
        return eqn.args
    with context.inside(context.op.builder.child()) as scratch:
        for inner in inside:
            scratch.definitions.update(dict.fromkeys(inner.outs, inner))
        looking = _Looking(context, eqn)
        for k, param in enumerate(body.params[1:]):
            found = looking.accesses(k) if isinstance(param.type, Array) else None
            if found is None or not looking.commute(found):
                return eqn.args
    start, stop = (_index(context, a) for a in eqn.args[:2])
    ends = (context.indices.add(x, 1) for x in (stop, start))
    return (*map(context.op.atom, (*ends, 1)), *eqn.args[3:])


def _plan(context: Context, eqn: Eqn) -> _Plan | None:
    """What is known of a loop; None where its iterations may depend on each other."""
    (body,) = eqn.regions
    if not isinstance(eqn.args[2], Const) or eqn.args[2].value not in (1, -1) or len(body.eqns) > _LARGEST:
        return None
    if any(e.regions or not (e.op in _ACCESSES or e.op == "dim" or _is_simple(e)) for e in body.eqns):
        return None
    plan = _Plan(eqn)
    with context.inside(context.op.builder.child()) as scratch:
        for inner in body.eqns:
            scratch.append(inner)
        looking = _Looking(context, eqn)
        for k, (param, result) in enumerate(zip(body.params[1:], body.results, strict=True)):
            if isinstance(param.type, Array):
                found = looking.accesses(k)
                if found is None or not looking.sort(plan, found):
                    return None
            elif not _is_sum(body, param, result):
                return None
        if not all(looking.check(plan, e) for e in body.eqns if PRIMITIVES[e.op].effect):
            return None
    return plan


def _is_simple(eqn: Eqn) -> bool:
    return PRIMITIVES[eqn.op].elementwise or eqn.op == "check_index"


def _is_sum(body: Block, param: Value, result: Atom) -> bool:
    """Whether a carried scalar only builds up by additions."""
    while param is not result:
        readers = [e for e in body.eqns if param in e.args]
        if len(readers) != 1 or readers[0].op not in ("add", "sub") or readers[0].args[1] is param:
            return False
        (param,) = readers[0].outs
    return not any(param in e.args for e in body.eqns)


# -- the loops that run instead -------------------------------------------------------------------------------------


class _Rewriting:
    """Emits a loop with independent iterations, and the loop as it was where tests are made before it."""

    def __init__(self, context: Context, plan: _Plan):
        self.context, self.plan, self.op, self.eqn = context, plan, context.op, plan.eqn
        (self.body,) = plan.eqn.regions
        self.start, self.stop, step = (_index(context, a) for a in plan.eqn.args[:3])
        add = context.indices.add
        self.low, self.high = (self.start, self.stop) if step == 1 else (add(self.stop, 1), add(self.start, 1))

    def emit(self) -> Sequence[Atom]:
        """The loop in its place; what its results are."""
        passed = self.tests()
        if passed is None:
            return self.run(self.high)
        outs = self.run(self.op.where(passed, self.high, self.low))
        rest = self.op.atom(self.op.where(passed, self.stop, self.start))
        types, names = [o.type for o in self.eqn.outs], [o.name for o in self.eqn.outs]
        args = (rest, *self.eqn.args[1:3], *outs)
        return self.op.builder.emit("loop", args, types, self.eqn.attrs, self.eqn.regions, names=names)

    def tests(self) -> Handle | None:
        """Whether all subscripts are in range; None without a test."""
        indices, op, index = self.context.indices, self.op, self.body.params[0]
        last = indices.form(self.high).plus(Affine(-1))
        total = None
        for form, size in self.plan.checks:
            factor, rest = form.terms.get(index, 0), form.without(index)
            ends = [rest.plus(end, factor) for end in (indices.form(self.low), last)]
            low, high = map(indices.emit, ends if factor >= 0 else ends[::-1])
            tests = [op.lt(high, _index(self.context, size))]
            tests += [] if indices.at_least(low, 0) else [op.ge(low, 0)]
            for test in tests:
                total = test if total is None else op.logical_and(total, test)
        return total

    def run(self, high: Index) -> Sequence[Atom]:
        """The loop upwards as far as ``high``, without tests, and what is added after it."""
        runs = self.op.lt(self.low, high)
        names: dict[Value, Atom] = {a.eqn.outs[0]: self.load(a, runs) for a in self.plan.loads}
        params = [Value(Scalar(group[0].eqn.args[0].type.dtype)) for group in self.plan.sums]
        totals: list[Atom] = list(params)
        sums = {access.eqn: k for k, group in enumerate(self.plan.sums) for access in group}
        kept: list[Eqn] = []
        for eqn in self.body.eqns:
            if eqn in sums:
                k = sums[eqn]
                total = Value(params[k].type)
                kept.append(replace(eqn, op="add", args=(totals[k], eqn.args[1]), outs=(total,), attrs={}))
                totals[k], names[eqn.outs[0]] = total, names.get(eqn.args[0], eqn.args[0])  # type: ignore[arg-type]
            elif eqn.op != "check_index" and eqn.outs[0] not in names:
                kept.append(eqn)
        moved = substitute(Block((), tuple(kept), (*self.body.results, *totals)), names, lambda value: value)
        block = substitute(replace(moved, params=(*self.body.params, *params)), {})
        args = [*map(self.op.atom, (self.low, high, 1)), *self.eqn.args[3:], *(Const(0.0, p.type) for p in params)]
        types = [*(o.type for o in self.eqn.outs), *(p.type for p in params)]
        names_of = [*(o.name for o in self.eqn.outs), *("" for _ in params)]
        attrs = {**self.eqn.attrs, **_INDEPENDENT}
        outs = list(self.op.builder.emit("loop", args, types, attrs, [block], names=names_of))
        for group, total in zip(self.plan.sums, outs[len(self.eqn.outs) :], strict=True):
            outs[group[0].array] = self.add(outs[group[0].array], total, group[0], runs)
        return outs[: len(self.eqn.outs)]

    def place(self, access: _Access) -> list[Index]:
        """The subscripts of an element that stays the same, outside the loop."""
        return [self.context.indices.emit(form) for form in access.place]

    def load(self, access: _Access, runs: Handle) -> Atom:
        """Read an element before the loop, if there are iterations that would."""
        op, array = self.op, self.eqn.args[3 + access.array]
        type = access.eqn.outs[0].type
        here, other = op.builder.child(), op.builder.child()
        with self.context.inside(here):
            loaded = self.context.load(op.handle(array), self.place(access))
        regions = [here.block((), [loaded.atom]), other.block((), [Const(0.0, type)])]
        return op.builder.emit("if", (runs.atom,), [type], {}, regions)[0]

    def add(self, array: Value, total: Value, access: _Access, runs: Handle) -> Value:
        """Add a sum to an element after the loop, if there were iterations: a loop, for arrays stay in place there."""
        op = self.op
        index, param = Value(INDEX), Value(array.type, array.name)
        with self.context.inside(op.builder.child()) as inner:
            added = self.context.accumulate(op.handle(param), op.handle(total), self.place(access))
            block = inner.block((index, param), [added.atom])
        args = [*map(op.atom, (0, op.where(runs, 1, 0), 1)), array]
        return op.builder.emit("loop", args, [array.type], {}, [block], names=[array.name])[0]

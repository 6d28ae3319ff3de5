"""Loop dialect → loop dialect: what no iteration of an outer loop changes is computed in its first one, and kept.

A solver's time loop runs over the same cells in every step. Positions, weights and coefficients that follow from what
the loop does not write are then the same in every step: the first one stores them, in a nest of their own, and every
step reads them (loop-invariant code motion with scalar expansion; Allen and Kennedy, Optimizing Compilers for Modern
Architectures, 2001, chapters 5 and 8). The tests of subscripts that follow from them are made in the first step too.

Only what is dear is kept: elementary functions, and positions that are data with what is computed from them. What is
kept has the size of an array that it was read from. Errors stay what they were: unless all tests of a nest move, in
their order, none does, and they are made where the nest was, so that nothing happens in a loop without iterations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from adcompile.ir import ANY, Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute, walk
from adcompile.ir.types import FLOATS
from adcompile.lower.context import Context
from adcompile.lower.fusion import HEAVY, own_cost
from adcompile.lower.indices import Affine, Index
from adcompile.primitives import PRIMITIVES, Emitter, Handle

_CHEAP = 6
"""Operations below which computing again beats reading what was kept."""
_CONVERSION = 4
"""What a position costs that is made an integer."""


def keep_invariants(block: Block) -> Block:
    """Move what is dear and the same in every iteration out of the nests in a block's loops."""
    context = Context(Emitter(Builder()))
    return Block(block.params, _rebuilt(context, context.op.builder, block), block.results)


def _rebuilt(context: Context, builder: Builder, block: Block) -> tuple[Eqn, ...]:
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        if eqn.op == "loop" and "parallel" not in eqn.attrs:
            eqn = _keeping(context, eqn)
        builder.append(replace(eqn, regions=tuple(_region(context, r) for r in eqn.regions)))
    return tuple(builder.eqns)


def _region(context: Context, block: Block) -> Block:
    with context.inside(context.op.builder.child()) as builder:
        return Block(block.params, _rebuilt(context, builder, block), block.results)


# -- which nests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Nest:
    """Loops in one another, in the body of an outer loop, over ranges that do not change there.

    ``fixed`` are the equations that are the same in every iteration of the outer loop, those of all levels; ``kept``
    the values of the innermost body that are worth keeping.
    """

    loops: tuple[Eqn, ...]
    ranges: tuple[tuple[Affine, Affine], ...]
    fixed: frozenset[int]
    kept: tuple[Value, ...]

    @property
    def body(self) -> Block:
        """The innermost body."""
        return self.loops[-1].regions[0]

    def is_fixed(self, eqn: Eqn) -> bool:
        """Whether an equation is the same in every iteration of the outer loop."""
        return id(eqn) in self.fixed


def _see(context: Context, outer: Eqn, eqn: Eqn) -> _Nest | None:
    """The nest that a loop begins, where it holds something worth keeping; its equations must be in sight."""
    (body,) = outer.regions
    inside: set[Atom] = {
        *body.params,
        *(v for e in walk(body) for v in (*e.outs, *(p for r in e.regions for p in r.params))),
    }
    loops = tuple(_chain(eqn))
    ranges = [_range(context, loop) for loop in loops]
    if any(r is None or inside & {*r[0].terms, *r[1].terms} for r in ranges):
        return None
    indices = [loop.regions[0].params[0] for loop in loops]
    same: set[Atom] = set(indices)
    fixed = []
    for inner in (e for loop in loops for e in loop.regions[0].eqns):
        if _is_simple(inner) and all(a in same or a not in inside for a in inner.args):
            same.update(inner.outs)
            fixed.append(inner)
    tests = [e for e in walk(Block((), (eqn,), ())) if not e.regions and PRIMITIVES[e.op].effect]
    found = frozenset(map(id, fixed))
    if any(id(e) not in found for e in tests) or not _reads_as_much(context, fixed, indices):
        return None
    kept = tuple(_worth(loops[-1].regions[0], found))
    return _Nest(loops, tuple(r for r in ranges if r), found, kept) if kept else None


def _chain(eqn: Eqn) -> Iterator[Eqn]:
    """A loop, the only loop in it, and so on."""
    yield eqn
    regions = [e for e in eqn.regions[0].eqns if e.regions]
    if len(regions) == 1 and regions[0].op == "loop":
        yield from _chain(regions[0])


def _range(context: Context, loop: Eqn) -> tuple[Affine, Affine] | None:
    """The first index and the one after the last, upwards, of a loop by steps of 1 or -1."""
    start, stop, step = loop.args[:3]
    if not isinstance(step, Const) or step.value not in (1, -1):
        return None
    low, high = context.indices.form(start), context.indices.form(stop)
    return (low, high) if step.value == 1 else (high.plus(Affine(1)), low.plus(Affine(1)))


def _is_simple(eqn: Eqn) -> bool:
    return not eqn.regions and (PRIMITIVES[eqn.op].elementwise or eqn.op in ("index", "dim", "check_index"))


def _reads_as_much(context: Context, fixed: Sequence[Eqn], indices: Sequence[Value]) -> bool:
    """Whether what is kept is no larger than an array that is read: one with a subscript for every loop."""
    forms = [[context.indices.form(a) for a in e.args[1:]] for e in fixed if e.op == "index"]
    return any(all(any(form.terms.get(i) in (1, -1) for form in place) for i in indices) for place in forms)


def _worth(body: Block, fixed: frozenset[int]) -> Iterator[Value]:
    """The values of a body to keep: those that are dear, and what the others need that is not cheap from these."""
    made = {e.outs[0]: e for e in body.eqns if e.outs and id(e) in fixed}
    needed = {a for e in body.eqns if id(e) not in fixed for a in eqn_inputs(e)} | {*body.results}
    kept: set[Value] = set()
    costs = {v: _cost(v, made, kept) for v in made if v in needed}
    if not any(_is_dear(e) for v in costs for e in _cone(v, made)):
        return
    for value in costs:
        if _cost(value, made, kept) > _CHEAP:
            kept.add(value)
            yield value


def _cone(value: Atom, made: dict[Value, Eqn], until: Set[Value] = frozenset()) -> list[Eqn]:
    """The equations that a value follows from, each once."""
    found: dict[Value, Eqn] = {}
    waiting = [value]
    while waiting:
        atom = waiting.pop()
        if isinstance(atom, Value) and atom in made and atom not in found and atom not in until:
            found[atom] = made[atom]
            waiting += made[atom].args
    return list(found.values())


def _cost(value: Value, made: dict[Value, Eqn], kept: set[Value]) -> int:
    """Operations to compute a value, given some that are read."""
    return sum(
        1 if e.op == "index" else _CONVERSION if _is_position(e) else own_cost(e) for e in _cone(value, made, kept)
    )


def _is_dear(eqn: Eqn) -> bool:
    return own_cost(eqn) > HEAVY or _is_position(eqn)


def _is_position(eqn: Eqn) -> bool:
    """Whether an integer is made of a floating-point number."""
    return eqn.op == "cast" and eqn.args[0].type.dtype in FLOATS and eqn.outs[0].type.dtype not in FLOATS


# -- the loop that keeps --------------------------------------------------------------------------------------------


def _keeping(context: Context, outer: Eqn) -> Eqn:
    """A loop whose first iteration stores what all of them read, after the arrays for it; or the loop as it was."""
    (body,) = outer.regions
    with context.inside(context.op.builder.child()) as scratch:
        for eqn in walk(body):
            scratch.definitions.update(dict.fromkeys(eqn.outs, eqn))
        nests = {id(e): nest for e in body.eqns if e.op == "loop" and (nest := _see(context, outer, e))}
    if not nests:
        return outer
    arrays = {key: [_array(context, nest, v) for v in nest.kept] for key, nest in nests.items()}
    params = {key: [Value(a.type, a.name) for a in group] for key, group in arrays.items()}
    results: list[Value] = []
    with context.inside(context.op.builder.child()) as inner:
        is_first = context.op.eq(context.op.handle(body.params[0]), _index(context, outer.args[0]))
        for eqn in body.eqns:
            inner.loc, inner.note = eqn.loc, eqn.note
            nest = nests.get(id(eqn))
            if nest is not None:
                stored = _stored(context, nest, is_first, params[id(eqn)])
                results += stored
                eqn = _reading(context, nest, stored)
            inner.append(eqn)
        carried = (*body.params, *(p for group in params.values() for p in group))
        block = inner.block(carried, (*body.results, *results))
    inits = [a for group in arrays.values() for a in group]
    outs = (*outer.outs, *(Value(a.type, a.name) for a in inits))
    return replace(outer, args=(*outer.args, *inits), outs=outs, regions=(block,))


def _index(context: Context, atom: Atom) -> Index:
    return int(atom.value) if isinstance(atom, Const) else context.op.handle(atom)


def _array(context: Context, nest: _Nest, value: Value) -> Value:
    """The array for one value of every iteration of a nest."""
    indices = context.indices
    sizes = [indices.maximum(indices.emit(high.plus(low, -1)), 0) for low, high in nest.ranges]
    type = Array(value.type.dtype, (ANY,) * len(sizes))
    made = context.empty(type, sizes, f"{value.name}_kept" if value.name else "kept").atom
    assert isinstance(made, Value)
    return made


def _place(context: Context, nest: _Nest) -> list[Index]:
    """Where the values of an iteration are, from the indices of the loops."""
    forms = [Affine(0, {loop.regions[0].params[0]: 1}) for loop in nest.loops]
    return [context.indices.emit(form.plus(low, -1)) for form, (low, _) in zip(forms, nest.ranges, strict=True)]


def _stored(context: Context, nest: _Nest, is_first: Handle, arrays: Sequence[Value]) -> list[Value]:
    """Emit the nest that computes and stores, in the first iteration alone."""

    def level(depth: int, arrays: Sequence[Value]) -> tuple[Value, ...]:
        loop = nest.loops[depth]
        (body,) = loop.regions
        params = [Value(a.type, a.name) for a in arrays]
        results: Sequence[Atom] = params
        with context.inside(context.op.builder.child()) as inner:
            for eqn in body.eqns:
                if eqn in nest.loops:
                    results = level(depth + 1, params)
                elif nest.is_fixed(eqn):
                    inner.append(eqn)
            if loop is nest.loops[-1]:
                at, pairs = _place(context, nest), zip(params, nest.kept, strict=True)
                results = [context.store(context.op.handle(p), context.op.handle(v), at).atom for p, v in pairs]  # type: ignore[misc]
            block = inner.block((body.params[0], *params), results)
        start, stop, step = loop.args[:3]
        if depth == 0:
            stop = context.op.atom(context.op.where(is_first, _index(context, stop), _index(context, start)))
        regions = (substitute(block, {}),) if depth == 0 else (block,)
        names = [a.name for a in arrays]
        return context.op.builder.emit(
            "loop", (start, stop, step, *arrays), [a.type for a in arrays], {}, regions, names=names
        )

    return list(level(0, arrays))


def _reading(context: Context, nest: _Nest, arrays: Sequence[Value]) -> Eqn:
    """The nest that reads what was stored, without the tests."""
    held = dict(zip(nest.kept, arrays, strict=True))

    def level(depth: int) -> Eqn:
        loop = nest.loops[depth]
        (body,) = loop.regions
        with context.inside(context.op.builder.child()) as inner:
            at = _place(context, nest) if loop is nest.loops[-1] else []
            for eqn in body.eqns:
                if eqn in nest.loops:
                    inner.append(level(depth + 1))
                elif at and eqn.outs and eqn.outs[0] in held:
                    places = tuple(map(context.op.atom, at))
                    spec = {"spec": (("int",),) * len(at)}
                    inner.append(replace(eqn, op="index", args=(held[eqn.outs[0]], *places), attrs=spec))
                elif not (nest.is_fixed(eqn) and PRIMITIVES[eqn.op].effect):
                    inner.append(eqn)
            return replace(loop, regions=(inner.block(body.params, body.results),))

    return level(0)

"""Blocks and control equations: every equation by the rule of its primitive; arrays that regions carry are buffers.

A carried array is first assumed to keep its sizes; where its body turns out to change them, the body is lowered again
with sizes that it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adcompile.errors import MissingRule
from adcompile.ir import Array, Atom, Block, Const, Eqn, Value, free_values
from adcompile.ir.core import eqn_inputs, walk
from adcompile.lower.context import Context, Delayed, Lowered, last_uses
from adcompile.lower.elementwise import elementwise
from adcompile.lower.fusion import to_force
from adcompile.lower.growth import growth
from adcompile.lower.indices import Index
from adcompile.lower.products import fuse_sums
from adcompile.lower.subscripts import as_index
from adcompile.primitives import PRIMITIVES, Handle
from adcompile.primitives.indexing import FULL, trip_count

Rule = Callable[..., Any]
Rules = Mapping[str, Rule]


def lower_block(context: Context, block: Block, rules: Rules, params: Mapping[Value, Lowered]) -> list[Lowered]:
    """Emit a block's equations; its results, arrays in buffers."""
    block = fuse_sums(block)
    outer, last = context.is_live, last_uses(block)
    context.env.update(params)
    forced = to_force(block)
    for position, eqn in enumerate(block.eqns):
        context.is_live = lambda value, position=position: last.get(value, -1) > position or outer(value)
        _equation(context, eqn, rules, forced)
    context.is_live = outer
    return [_result(context, r) for r in block.results]


def _result(context: Context, atom: Atom) -> Lowered:
    found = read(context, atom)
    return context.force(found, getattr(atom, "name", "")) if isinstance(found, Delayed) else found


def read(context: Context, atom: Atom) -> Lowered:
    """What an atom became."""
    return context.env[atom] if isinstance(atom, Value) else context.op.handle(atom)


def _equation(context: Context, eqn: Eqn, rules: Rules, forced: set[Value]) -> None:
    builder = context.op.builder
    builder.loc, builder.note = eqn.loc or builder.loc, eqn.note
    args = [read(context, a) for a in eqn.args]
    if eqn.op in _CONTROL:
        outs = _CONTROL[eqn.op](context, eqn, rules, args)
    elif eqn.op in rules or PRIMITIVES[eqn.op].elementwise:
        found = rules.get(eqn.op, elementwise)(context, eqn, *args)
        outs = found if isinstance(found, tuple) else (found,)
    elif PRIMITIVES[eqn.op].effect:
        context.op(eqn.op, *args, **eqn.attrs)
        outs = ()
    else:
        raise MissingRule(f"{eqn.op} cannot be lowered to loops", eqn.loc, "Use backend='python'.")
    for out, value in zip(eqn.outs, outs, strict=True):
        if isinstance(value, Delayed) and out in forced:
            value = context.force(value, out.name)
        context.env[out] = value
        _name(value, out.name)


def _name(value: Lowered, name: str) -> None:
    """Keep the user's word for a value."""
    atom = value.atom if isinstance(value, Handle) else value.buffer
    if name and isinstance(atom, Value) and not atom.name:
        atom.name = name


# -- regions ------------------------------------------------------------------------------------------------------


def _enter(context: Context, eqn: Eqn, inits: Sequence[Lowered]) -> list[Handle]:
    """Buffers and scalars to carry in; what reads a buffer that the regions may overwrite is forced before."""
    carried = [_carried_in(context, eqn, k, x) for k, x in enumerate(inits)]
    written = _written(eqn.regions)
    touched: set[Value] = set()
    for x in (*carried, *(context.env[v] for v in free_values_of(eqn) if v in written)):
        touched |= x.sources if isinstance(x, Delayed) else set()
    inner = set(free_values_of(eqn))
    live = context.is_live
    context.is_live = lambda value: value in inner or live(value)
    context.protect(touched)
    context.is_live = live
    return [context.buffer(x) for x in carried]


def _carried_in(context: Context, eqn: Eqn, k: int, x: Lowered) -> Lowered:
    """The buffer that a carried array starts in; a tape that the loop fills need not hold anything before."""
    if not isinstance(x, Delayed):
        return x
    if x.buffer is None and eqn.op == "loop" and _fills(context, eqn, k, x):
        return context.leaf(context.empty(x.type, x.sizes, eqn.outs[k].name), x.sizes)
    return context.force(x, eqn.outs[k].name)


def _fills(context: Context, eqn: Eqn, k: int, x: Delayed) -> bool:
    """Whether a loop stores row 0, 1, … of a carried array, all of them, and does nothing else with it."""
    (body,) = eqn.regions
    param, uses = body.params[1 + k], [e for e in body.eqns if body.params[1 + k] in eqn_inputs(e)]
    if len(uses) != 1 or uses[0].op != "store" or uses[0].args[1] is param or body.results[k] is not uses[0].outs[0]:
        return False
    if any(uses[0].outs[0] in eqn_inputs(e) for e in body.eqns) or uses[0].attrs["spec"] != (
        ("int",),
        *(FULL,) * (x.rank - 1),
    ):
        return False
    start, stop, step = (read(context, a) for a in eqn.args[:3])
    if not _is_count(body, uses[0].args[2], eqn.args[0], eqn.args[2]):
        return False
    bounds = [h.atom for h in (start, stop, step) if isinstance(h, Handle)]
    return context.indices.equal(x.sizes[0], as_index(trip_count(context.op, bounds)))


def _is_count(body: Block, place: Atom, start: Atom, step: Atom) -> bool:
    """Whether ``place`` is the number of the iteration: ``(index - start) // step``."""
    defined = {o: e for e in body.eqns for o in e.outs}
    eqn = defined.get(place) if isinstance(place, Value) else None
    if eqn is not None and eqn.op == "floordiv" and eqn.args[1] == step:
        place, step = eqn.args[0], Const(1, step.type)
        eqn = defined.get(place) if isinstance(place, Value) else None
    if not (isinstance(step, Const) and step.value == 1):
        return False
    if eqn is not None and eqn.op == "sub" and eqn.args[1] == start:
        return eqn.args[0] is body.params[0]
    return place is body.params[0] and isinstance(start, Const) and start.value == 0


def free_values_of(eqn: Eqn) -> list[Value]:
    """What the regions of an equation read of the program around them, in order."""
    return list(dict.fromkeys(v for region in eqn.regions for v in free_values(region)))


def _written(regions: Sequence[Block]) -> set[Value]:
    """The arrays that some equation in the regions updates."""
    found: set[Value] = set()
    for region in regions:
        for eqn in walk(region):
            lead = {"loop": 3}.get(eqn.op, 0)
            if eqn.op in ("store", "accumulate", "gemm"):
                found.update(a for a in eqn.args[:1] if isinstance(a, Value))
            elif eqn.regions:
                found.update(a for a in eqn.args[lead:] if isinstance(a, Value))
    return found


def _region(
    context: Context,
    block: Block,
    rules: Rules,
    lead: Sequence[Lowered],
    carried: Sequence[tuple[Value, Any]],
    always: bool,
) -> tuple[Block, list[Lowered], list[bool]]:
    """Emit one region; ``carried`` pairs its array and scalar parameters with their sizes, None where it must ask.

    Also tells which of its results are never negative.
    """
    saved, live = dict(context.env), context.is_live
    inner_free = set(free_values(block)) if always else set()
    context.is_live = lambda value: value in inner_free or live(value)
    with context.inside(context.op.builder.child()) as builder:
        values = [_parameter(context, p, sizes) for p, sizes in carried]
        params = dict(zip(block.params, (*lead, *values), strict=True))
        results = lower_block(context, block, rules, params)
        new = [*(x.atom for x in lead if isinstance(x, Handle)), *(p for p, _ in carried)]
        finished = builder.block(new, [context.buffer(r).atom for r in results])
        natural = [_is_natural(context, r) for r in results]
    context.env, context.is_live = saved, live
    return finished, results, natural


def _is_natural(context: Context, x: Lowered) -> bool:
    """Whether a value is an index that is provably not negative."""
    return isinstance(x, Handle) and x.type.dtype == "int64" and context.indices.at_least(as_index(x), 0)


def _parameter(context: Context, value: Value, sizes: Any) -> Lowered:
    """A value that a control equation defines."""
    handle = context.op.handle(value)
    if not isinstance(value.type, Array):
        return handle
    return context.leaf(handle, context.op.shape(handle) if sizes is None else sizes)


def _sizes(x: Lowered) -> tuple[Index, ...] | None:
    return x.sizes if isinstance(x, Delayed) else None


Assumed = tuple[tuple[Index, ...] | None, bool]
"""What a loop is assumed to keep of a carried value: the sizes of an array, and that a number is never negative."""


def _assume(
    context: Context, params: Sequence[Value], assumed: Sequence[Assumed]
) -> list[tuple[Value, tuple[Index, ...] | None]]:
    """New parameters of a region, of which it may assume what the loop is assumed to keep."""
    fresh = [Value(p.type, p.name) for p in params]
    context.indices.naturals.update(p for p, (_, natural) in zip(fresh, assumed, strict=True) if natural)
    return [(p, sizes) for p, (sizes, _) in zip(fresh, assumed, strict=True)]


def _settle(
    context: Context, inits: Sequence[Lowered], attempt: Callable[[list[Assumed]], tuple[list[Block], list[Assumed]]]
) -> tuple[list[Block], list[Assumed]]:
    """The regions of a loop, emitted again with less assumed until an iteration confirms all that is assumed."""
    assumed = [(_sizes(x), _is_natural(context, x)) for x in inits]
    while True:
        blocks, kept = attempt(assumed)
        if kept == assumed:
            return blocks, assumed
        assumed = kept


def _confirmed(
    context: Context, assumed: Sequence[Assumed], results: Sequence[Lowered], natural: Sequence[bool]
) -> list[Assumed]:
    """What of the assumptions holds after an iteration too."""
    return [
        (sizes if _has_sizes(context, r, sizes) else None, before and after)
        for (sizes, before), r, after in zip(assumed, results, natural, strict=True)
    ]


def _has_sizes(context: Context, x: Lowered, sizes: tuple[Index, ...] | None) -> bool:
    return sizes is not None and isinstance(x, Delayed) and all(map(context.indices.equal, sizes, x.sizes))


def _results(context: Context, outs: Sequence[Value], assumed: Sequence[Assumed]) -> list[Lowered]:
    """The results of a loop, and what is known of them."""
    context.indices.naturals.update(o for o, (_, natural) in zip(outs, assumed, strict=True) if natural)
    return [_parameter(context, o, sizes) for o, (sizes, _) in zip(outs, assumed, strict=True)]


# -- the control equations ------------------------------------------------------------------------------------


def _if(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    _enter(context, eqn, ())
    done = [_region(context, region, rules, (), (), always=False) for region in eqn.regions]
    inner = {o for block, *_ in done for e in block.eqns for o in e.outs}
    outs = _emit(context, eqn, args, [block for block, *_ in done])
    one, two = (results for _, results, _ in done)
    sizes = [_agreed(context, [_sizes(x), _sizes(y)], inner) for x, y in zip(one, two, strict=True)]
    context.indices.naturals.update(o for o, *both in zip(outs, *(n for *_, n in done), strict=True) if all(both))
    return [_parameter(context, o, s) for o, s in zip(outs, sizes, strict=True)]


def _agreed(context: Context, sizes: Sequence[Any], inner: set[Value]) -> Any:
    """Sizes that both branches have and that are known outside them."""
    one, two = sizes
    if one is None or two is None or not all(map(context.indices.equal, one, two)):
        return None
    return None if any(isinstance(s, Handle) and s.atom in inner for s in one) else one


def _loop(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    start, stop, step = map(as_index, args[:3])
    carried = _enter(context, eqn, args[3:])
    (body,) = eqn.regions
    index = Value(body.params[0].type, body.params[0].name)
    lead = (context.op.handle(index),)

    def attempt(assumed: list[Assumed]) -> tuple[list[Block], list[Assumed]]:
        with context.indices.loop(index, start, stop, step):
            params = _assume(context, body.params[1:], assumed)
            block, results, natural = _region(context, body, rules, lead, params, always=True)
            return [block], _confirmed(context, assumed, results, natural)

    blocks, assumed = _settle(context, args[3:], attempt)
    return _results(context, _emit(context, eqn, (*args[:3], *carried), blocks), assumed)


def _while(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    carried = _enter(context, eqn, args)

    def attempt(assumed: list[Assumed]) -> tuple[list[Block], list[Assumed]]:
        done = [_region(context, r, rules, (), _assume(context, r.params, assumed), always=True) for r in eqn.regions]
        return [block for block, *_ in done], _confirmed(context, assumed, *done[-1][1:])

    blocks, assumed = _settle(context, args, attempt)
    return _results(context, _emit(context, eqn, carried, blocks), assumed)


def _grow(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    """A tape that is as long as it has to be."""
    for step in growth(eqn):
        _equation(context, step, rules, set())
    grown = context.env[eqn.outs[0]]
    assert isinstance(grown, Delayed)
    context.indices.learn(grown.sizes[0], as_index(args[1]))
    return [grown]


def _emit(context: Context, eqn: Eqn, args: Sequence[Lowered], regions: Sequence[Block]) -> list[Value]:
    """The control equation itself."""
    atoms = [context.buffer(a).atom for a in args]
    types, names = [o.type for o in eqn.outs], [o.name for o in eqn.outs]
    return list(context.op.builder.emit(eqn.op, atoms, types, eqn.attrs, regions, names=names))


_CONTROL = {"if": _if, "loop": _loop, "while": _while, "grow": _grow}

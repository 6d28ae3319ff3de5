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
) -> tuple[Block, list[Lowered]]:
    """Emit one region; ``carried`` pairs its array and scalar parameters with their sizes, None where it must ask."""
    saved, live = dict(context.env), context.is_live
    inner_free = set(free_values(block)) if always else set()
    context.is_live = lambda value: value in inner_free or live(value)
    with context.inside(context.op.builder.child()) as builder:
        values = [_parameter(context, p, sizes) for p, sizes in carried]
        params = dict(zip(block.params, (*lead, *values), strict=True))
        results = lower_block(context, block, rules, params)
        new = [*(x.atom for x in lead if isinstance(x, Handle)), *(p for p, _ in carried)]
        finished = builder.block(new, [context.buffer(r).atom for r in results])
    context.env, context.is_live = saved, live
    return finished, results


def _parameter(context: Context, value: Value, sizes: Any) -> Lowered:
    """A value that a control equation defines."""
    handle = context.op.handle(value)
    if not isinstance(value.type, Array):
        return handle
    return context.leaf(handle, context.op.shape(handle) if sizes is None else sizes)


def _sizes(x: Lowered) -> tuple[Index, ...] | None:
    return x.sizes if isinstance(x, Delayed) else None


def _kept(context: Context, before: Sequence[Any], results: Sequence[Lowered]) -> list[Any]:
    """The assumed sizes that the results of a body confirm; None for the others."""
    return [
        sizes
        if sizes is not None and isinstance(r, Delayed) and all(map(context.indices.equal, sizes, r.sizes))
        else None
        for sizes, r in zip(before, results, strict=True)
    ]


# -- the three control equations ------------------------------------------------------------------------------------


def _if(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    _enter(context, eqn, ())
    done = [_region(context, region, rules, (), (), always=False) for region in eqn.regions]
    inner = {o for block, _ in done for e in block.eqns for o in e.outs}
    outs = _emit(context, eqn, args, [block for block, _ in done])
    sizes = [
        _agreed(context, [_sizes(x) for x in branches], inner) for branches in zip(*(r for _, r in done), strict=True)
    ]
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
    assumed = [_sizes(x) for x in args[3:]]
    while True:
        params = [Value(p.type, p.name) for p in body.params[1:]]
        with context.indices.loop(index, start, stop, step):
            lead = (context.op.handle(index),)
            block, results = _region(context, body, rules, lead, list(zip(params, assumed, strict=True)), always=True)
            kept = _kept(context, assumed, results)
        if kept == assumed:
            break
        assumed = kept
    outs = _emit(context, eqn, (*args[:3], *carried), [block])
    return [_parameter(context, o, s) for o, s in zip(outs, assumed, strict=True)]


def _while(context: Context, eqn: Eqn, rules: Rules, args: Sequence[Lowered]) -> list[Lowered]:
    carried = _enter(context, eqn, args)
    condition, body = eqn.regions
    assumed = [_sizes(x) for x in args]
    while True:
        pairs = [
            [(Value(p.type, p.name), s) for p, s in zip(r.params, assumed, strict=True)] for r in (condition, body)
        ]
        test, _ = _region(context, condition, rules, (), pairs[0], always=True)
        block, results = _region(context, body, rules, (), pairs[1], always=True)
        kept = _kept(context, assumed, results)
        if kept == assumed:
            break
        assumed = kept
    outs = _emit(context, eqn, carried, [test, block])
    return [_parameter(context, o, s) for o, s in zip(outs, assumed, strict=True)]


def _emit(context: Context, eqn: Eqn, args: Sequence[Lowered], regions: Sequence[Block]) -> list[Value]:
    """The control equation itself."""
    atoms = [context.buffer(a).atom for a in args]
    types, names = [o.type for o in eqn.outs], [o.name for o in eqn.outs]
    return list(context.op.builder.emit(eqn.op, atoms, types, eqn.attrs, regions, names=names))


_CONTROL = {"if": _if, "loop": _loop, "while": _while}

"""The reverse of branches and loops.

A branch returns from its forward region what its reverse region reads. A loop keeps a tape per such value; where the
number of iterations is not known before (``while``), the tapes grow and the iterations are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adcompile.ir import Atom, Block, Const, Eqn, Value, free_values, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import trip_count
from adcompile.transform.forward import Env, emit_whole, name_after, read, steady_shapes
from adcompile.transform.residuals import Residuals, Surviving, recompute, surviving
from adcompile.transform.reverse import (
    ADJOINT,
    SWEEPS,
    Bars,
    Step,
    Sweep,
    accumulate,
    backward,
    bar_name,
    or_zeros,
    sweep,
    sweeps,
    varies,
)

# -- branches ---------------------------------------------------------------------------------------------------


def _captured(blocks: Sequence[Block], env: Env, varied: set[Value]) -> list[Value]:
    """The varied values around some regions whose elements they read, as the emitted program knows them."""
    read_sizes_only = {"dim"}
    atoms: dict[Atom, None] = {}
    for block in blocks:
        eqns = tuple(e for e in block.eqns if e.op not in read_sizes_only)
        defined = {o for e in block.eqns for o in e.outs}
        atoms |= dict.fromkeys(read(env, v) for v in free_values(replace(block, eqns=eqns)) if v not in defined)
    return [a for a in atoms if isinstance(a, Value) and a in varied and is_float(a.type)]


def _reverse_region(
    parent: Builder,
    swept: Sweep,
    seeds: Mapping[int, Value],
    captured: Sequence[Value],
    starts: Sequence[Atom | None],
    alike: Mapping[Value, Atom],
) -> tuple[Emitter, list[Atom | None]]:
    """Emit a region's reverse sweep on its own; the cotangents it leaves for ``captured``."""
    op = Emitter(Builder(parent))
    op.builder.shapes.update(alike)
    op.builder.note = ADJOINT
    bars: Bars = {v: s for v, s in zip(captured, starts, strict=True) if s is not None}
    for position, seed in seeds.items():
        accumulate(op, bars, swept.results[position], seed)
    backward(op, swept.steps, bars)
    return op, [bars.get(v) for v in captured]


@sweeps("if")
def _sweep_if(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    inner = [Emitter(op.builder.child()) for _ in eqn.regions]
    swept = [sweep(o, region, env, varied) for o, region in zip(inner, eqn.regions, strict=True)]
    active = [
        k for k, out in enumerate(eqn.outs) if is_float(out.type) and any(varies(s.results[k], varied) for s in swept)
    ]
    predicate = read(env, eqn.args[0])
    captured = _captured(eqn.regions, env, varied) if active else []
    seeds = {k: Value(eqn.outs[k].type, bar_name(eqn.outs[k])) for k in active}
    incoming = [Value(v.type, bar_name(v)) for v in captured]
    blocks = [_reverse_branch(op.builder, s, seeds, captured, incoming) for s in swept] if captured else []
    divided = [recompute(b, o.builder) for b, o in zip(blocks, inner, strict=False)]
    blocks, slots = [d[0] for d in divided], [d[1] for d in divided]
    outs = _emit_forward_if(op, eqn, predicate, inner, swept, slots)
    for old, new in zip(eqn.outs, outs, strict=False):
        name_after(new, old.name)
        env[old] = new
    varied.update(outs[k] for k in active)
    if not captured:
        return None
    kept: dict[Value, Atom] = dict(zip([v for s in slots for v in s], outs[len(eqn.outs) :], strict=True))

    def back(op: Emitter, bars: Bars) -> None:
        given = {k: bars.pop(outs[k], None) for k in active}
        if all(g is None for g in given.values()):
            return
        mapping = dict(kept)
        for k, seed in seeds.items():
            mapping[seed] = or_zeros(op, given[k], outs[k])
        for value, before in zip(captured, incoming, strict=True):
            mapping[before] = or_zeros(op, bars.get(value), value)
        branches = [substitute(b, mapping) for b in blocks]
        after = op.builder.emit("if", (predicate,), [v.type for v in captured], {}, branches)
        for value, cotangent in zip(captured, after, strict=True):
            name_after(cotangent, bar_name(value))
            bars[value] = cotangent

    return Step(eqn, back)


def _reverse_branch(
    parent: Builder, swept: Sweep, seeds: Mapping[int, Value], captured: Sequence[Value], incoming: Sequence[Value]
) -> Block:
    """The reverse of one branch: from the cotangents of its results and those of ``captured`` so far to these."""
    alike = dict(zip(incoming, captured, strict=True))
    op, found = _reverse_region(parent, swept, seeds, captured, incoming, alike)
    return op.builder.block((), [before if c is None else c for before, c in zip(incoming, found, strict=True)])


def _emit_forward_if(
    op: Emitter,
    eqn: Eqn,
    predicate: Atom,
    inner: Sequence[Emitter],
    swept: Sequence[Sweep],
    slots: Sequence[Sequence[Value]],
) -> tuple[Value, ...]:
    """The branch of the forward sweep, which also returns what its reverse reads (placeholders on the other side)."""
    regions = []
    for k, (o, s) in enumerate(zip(inner, swept, strict=True)):
        filled = [v if group is slots[k] else _nothing(o, v) for group in slots for v in group]
        regions.append(o.builder.block((), [*s.results, *filled]))
    types = [o.type for o in eqn.outs] + [v.type for group in slots for v in group]
    return op.builder.emit("if", (predicate,), types, eqn.attrs, regions)


def _nothing(op: Emitter, value: Value) -> Atom:
    """A placeholder for a residual of the branch not taken."""
    if value.type.rank == 0:
        return op.zeros_like(op.handle(value)).atom
    sizes = [d if isinstance(d, int) else 0 for d in value.type.dims]
    return op("full", op.zero(value.type.dtype), *sizes, dims=value.type.dims, room=True).atom


# -- loops ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Loop:
    """A loop of the source, seen alike whether it is counted (``bounds``) or not (``condition``)."""

    eqn: Eqn
    body: Block
    index: Value
    carried: tuple[Value, ...]
    bounds: list[Atom] | None
    starts: tuple[Atom, ...]
    inits: list[Atom]
    condition: Block | None


def _see(eqn: Eqn, env: Env) -> _Loop:
    body = eqn.regions[-1]
    if eqn.op == "loop":
        bounds, starts = [read(env, a) for a in eqn.args[:3]], eqn.args[3:]
        inits = [read(env, a) for a in starts]
        return _Loop(eqn, body, body.params[0], body.params[1:], bounds, starts, inits, None)
    inits = [read(env, a) for a in eqn.args]
    return _Loop(eqn, body, Value(INDEX, "k"), body.params, None, eqn.args, inits, eqn.regions[0])


@sweeps("loop")
@sweeps("while")
def _sweep_loop(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    if "snapshots" in eqn.attrs:
        return SWEEPS["checkpointed loop"](op, eqn, env, varied)
    loop = _see(eqn, env)
    active = _varied_carried(op, loop, env, varied)
    if not active and not _captured([loop.body], env, varied):
        return emit_whole(op, eqn, env)
    inner = Emitter(op.builder.child())
    known = inner.builder.survivors = op.builder.survivors or surviving(eqn)
    index = Value(INDEX, loop.index.name)
    params = tuple(Value(p.type, p.name) for p in loop.carried)
    renamed = {loop.index: index, **dict(zip(loop.carried, params, strict=True))}
    steady = steady_shapes(op, loop.body, loop.carried, loop.starts, env, renamed)
    inner.builder.shapes.update(steady)
    varied.update(params[k] for k in active)
    swept = sweep(inner, loop.body, {**env, **renamed}, varied)
    captured = _captured([loop.body], env, varied)
    block = _reverse_body(op.builder, swept, index, [params[k] for k in active], active, captured, steady)
    plan = Residuals(op, inner, (index, *params), loop.bounds, block)
    outs, count = _emit_forward_loop(op, loop, env, index, params, inner, swept, plan)
    for old, new in zip(eqn.outs, outs, strict=False):
        name_after(new, old.name)
        env[old] = new
    varied.update(outs[k] for k in active)
    plan.note_filled(outs[len(eqn.outs) :], count)
    final = plan.reverse_body(outs[len(eqn.outs) :])
    likes = [*(outs[k] for k in active), *captured]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(outs[k], None) for k in active]
        if all(g is None for g in given):
            return
        carried = [or_zeros(op, g, v) for v, g in zip(likes, [*given, *map(bars.get, captured)], strict=True)]
        for like, start in zip(likes, carried, strict=True):
            name_after(start, bar_name(like))
        span = _reversed_range(op, loop.bounds or [op.atom(0), count, op.atom(1)])
        types = [c.type for c in likes]
        body = substitute(final, known.ends(eqn, outs))
        ended = op.builder.emit("loop", [*span, *carried], types, eqn.attrs, [body])
        for value, cotangent in zip(captured, ended[len(active) :], strict=True):
            name_after(cotangent, bar_name(value))
            bars[value] = cotangent
        for k, cotangent in zip(active, ended, strict=False):
            accumulate(op, bars, loop.inits[k], cotangent)

    return Step(eqn, back)


def _varied_carried(op: Emitter, loop: _Loop, env: Env, varied: set[Value]) -> list[int]:
    """Which carried values vary, by iterating the body's activity to a fixed point on a scratch builder."""
    active = {k for k, a in enumerate(loop.inits) if varies(a, varied) and is_float(a.type)}
    while True:
        scratch, seen = Emitter(op.builder.child()), set(varied)
        scratch.builder.survivors = op.builder.survivors or Surviving({}, {})
        params = tuple(Value(p.type) for p in loop.carried)
        renamed = {loop.index: Value(INDEX), **dict(zip(loop.carried, params, strict=True))}
        scratch.builder.shapes.update(dict(zip(params, loop.inits, strict=True)))
        seen.update(params[k] for k in active)
        swept = sweep(scratch, loop.body, {**env, **renamed}, seen)
        grown = active | {k for k, r in enumerate(swept.results) if varies(r, seen) and is_float(r.type)}
        if grown == active:
            return sorted(active)
        active = grown


def _reverse_body(
    parent: Builder,
    swept: Sweep,
    index: Value,
    varied: Sequence[Value],
    active: Sequence[int],
    captured: Sequence[Value],
    steady: Mapping[Value, Atom],
) -> Block:
    """The reverse of one iteration: from the cotangents of what it hands on to those of what it was given.

    On the way it adds to the cotangents of ``captured``.
    """
    seeds = {k: Value(p.type, bar_name(p)) for k, p in zip(active, varied, strict=True)}
    sums = [Value(v.type, bar_name(v)) for v in captured]
    alike = {s: steady[p] for s, p in zip(seeds.values(), varied, strict=True) if p in steady}
    alike |= dict(steady) | dict(zip(sums, captured, strict=True))
    watched = [*varied, *captured]
    op, found = _reverse_region(parent, swept, seeds, watched, [None] * len(varied) + list(sums), alike)
    results = [or_zeros(op, c, v) for v, c in zip(watched, found, strict=True)]
    return op.builder.block((Value(INDEX, index.name), *seeds.values(), *sums), results)


def _emit_forward_loop(
    op: Emitter,
    loop: _Loop,
    env: Env,
    index: Value,
    params: tuple[Value, ...],
    inner: Emitter,
    swept: Sweep,
    plan: Residuals,
) -> tuple[tuple[Value, ...], Atom]:
    """The loop of the forward sweep, with its tapes; its results (tapes last), and how often it ran where not known."""
    eqn = loop.eqn
    types = [*(o.type for o in eqn.outs), *(t.type for t in plan.tape_inits)]
    names = [*(o.name for o in eqn.outs), *(t.name for t in plan.tape_params)]
    inits = [*loop.inits, *plan.tape_inits]
    if loop.bounds is not None:
        block = inner.builder.block([index, *params, *plan.tape_params], [*swept.results, *plan.tape_results])
        outs = op.builder.emit("loop", [*loop.bounds, *inits], types, eqn.attrs, [block], names=names)
        return outs, op.atom(0)
    following = (inner.handle(index) + 1).atom
    block = inner.builder.block([index, *params, *plan.tape_params], [following, *swept.results, *plan.tape_results])
    condition = _condition(loop, env, block.params)
    outs = op.builder.emit(
        "while", [op.atom(0), *inits], [INDEX, *types], eqn.attrs, [condition, block], names=["k", *names]
    )
    return outs[1:], outs[0]


def _condition(loop: _Loop, env: Env, params: Sequence[Value]) -> Block:
    """The condition of the source over the longer list of carried values."""
    assert loop.condition is not None
    fresh = [Value(p.type, p.name) for p in params]
    inside = {**env, **dict(zip(loop.condition.params, fresh[1:], strict=False))}
    moved = substitute(Block((), loop.condition.eqns, loop.condition.results), inside)
    return Block(tuple(fresh), moved.eqns, moved.results)


def _reversed_range(op: Emitter, bounds: Sequence[Atom]) -> tuple[Atom, Atom, Atom]:
    """The bounds of ``reversed(range(start, stop, step))``."""
    start, stop, step = map(op.handle, bounds)
    if isinstance(step.atom, Const) and step.atom.value in (1, -1):
        return tuple(op.atom(x) for x in (stop - step, start - step, -step))  # type: ignore[return-value]
    last = start + (trip_count(op, bounds) - 1) * step
    return tuple(op.atom(x) for x in (last, start - step, -step))  # type: ignore[return-value]

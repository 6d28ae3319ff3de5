"""The reverse of branches and loops.

A branch returns from its forward region what its reverse region reads. A loop keeps a tape per such value; where the
number of iterations is not known before (``while``), the tapes grow and the iterations are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adcompile.ir import Atom, Block, Const, Eqn, Value, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import trip_count
from adcompile.transform.forward import Env, emit_whole, name_after, read, steady_sizes
from adcompile.transform.loops import (
    Loop,
    captured_floats,
    longer_condition,
    loop_step,
    renewed,
    see_loop,
    varied_carried,
)
from adcompile.transform.residuals import Residuals, recompute, surviving
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
    captured = captured_floats(eqn.regions, env, varied) if active else []
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


@sweeps("loop")
@sweeps("while")
def _sweep_loop(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    if "snapshots" in eqn.attrs:
        return SWEEPS["checkpointed loop"](op, eqn, env, varied)
    loop = see_loop(eqn, env)
    active = varied_carried(op, loop, env, varied)
    if not active and not captured_floats([loop.body], env, varied):
        return emit_whole(op, eqn, env)
    inner = Emitter(op.builder.child())
    known = inner.builder.survivors = op.builder.survivors or surviving(eqn)
    index = Value(INDEX, loop.index.name)
    params = tuple(Value(p.type, p.name) for p in loop.carried)
    renamed = {loop.index: index, **dict(zip(loop.carried, params, strict=True))}
    steady = steady_sizes(op, loop.body, loop.carried, loop.starts, env, renamed)
    steady.tell(inner.builder)
    inner.builder.renewed.update(params[k] for k in renewed(loop.body))
    varied.update(params[k] for k in active)
    swept = sweep(inner, loop.body, {**env, **renamed}, varied)
    captured = captured_floats([loop.body], env, varied)
    block = _reverse_body(op.builder, swept, index, [params[k] for k in active], active, captured, steady.shapes)
    plan = Residuals(op, inner, (index, *params), loop.bounds, block)
    outs, count = _emit_forward_loop(op, loop, env, index, params, inner, swept, plan)
    plan.note_filled(outs[len(eqn.outs) :], count)
    final = plan.reverse_body(outs[len(eqn.outs) :])

    def reverse(op: Emitter, starts: list[Atom]) -> Sequence[Atom]:
        span = _reversed_range(op, loop.bounds or [op.atom(0), count, op.atom(1)])
        body = substitute(final, known.ends(eqn, outs))
        return op.builder.emit("loop", [*span, *starts], [p.type for p in body.params[1:]], eqn.attrs, [body])

    return loop_step(loop, env, varied, outs, active, captured, reverse)


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
    loop: Loop,
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
    condition = longer_condition(loop, env, block.params)
    outs = op.builder.emit(
        "while", [op.atom(0), *inits], [INDEX, *types], eqn.attrs, [condition, block], names=["k", *names]
    )
    return outs[1:], outs[0]


def _reversed_range(op: Emitter, bounds: Sequence[Atom]) -> tuple[Atom, Atom, Atom]:
    """The bounds of ``reversed(range(start, stop, step))``."""
    start, stop, step = map(op.handle, bounds)
    if isinstance(step.atom, Const) and step.atom.value in (1, -1):
        return tuple(op.atom(x) for x in (stop - step, start - step, -step))  # type: ignore[return-value]
    last = start + (trip_count(op, bounds) - 1) * step
    return tuple(op.atom(x) for x in (last, start - step, -step))  # type: ignore[return-value]

"""Reverse mode: a forward sweep that emits the primal, and a reverse sweep that runs its equations backwards.

Griewank & Walther, Evaluating Derivatives (2008), section 3.2. Every control equation becomes two: one in the forward
sweep that also returns what its reverse needs (residuals), one in the reverse sweep. What a reverse region needs is
found, not declared: the free values of the finished region that its forward region defines. A loop keeps one tape per
residual, an ordinary array indexed by the iteration; residuals that are cheap to compute from others are recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from adcompile.errors import MissingRule
from adcompile.ir import Atom, Block, Const, Eqn, Value, free_values, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import substitute
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import trip_count
from adcompile.transform.forward import (
    Env,
    check_sizes,
    emit_copy,
    emit_whole,
    name_after,
    read,
    require_rule,
    steady_shapes,
)
from adcompile.transform.residuals import Residuals, recompute
from adcompile.transform.rules import cotangents_of

Bars = dict[Value, Atom]
"""The cotangent of each value so far; absent means zero."""


@dataclass(frozen=True)
class Step:
    """One equation of the forward sweep and what runs it backwards: ``back(op, bars)``."""

    eqn: Eqn
    back: Callable[[Emitter, Bars], None]


@dataclass(frozen=True)
class Sweep:
    """The forward sweep of a block: its results, and its steps in order."""

    results: tuple[Atom, ...]
    steps: tuple[Step, ...]


def sweep(op: Emitter, block: Block, env: Env, varied: set[Value]) -> Sweep:
    """Emit the forward sweep of ``block``; ``varied`` (values of the emitted program) grows on the way."""
    env = dict(env)
    steps: list[Step] = []
    for eqn in block.eqns:
        op.builder.loc = eqn.loc or op.builder.loc
        step = _SWEEPS.get(eqn.op, _sweep_plain)(op, eqn, env, varied)
        if step is not None:
            steps.append(step)
    return Sweep(tuple(read(env, r) for r in block.results), tuple(steps))


def backward(op: Emitter, steps: Sequence[Step], bars: Bars) -> None:
    """Emit the reverse sweep; ``bars`` starts with the cotangents of the results and ends with those of the inputs."""
    for step in reversed(steps):
        op.builder.loc = step.eqn.loc or op.builder.loc
        step.back(op, bars)


def accumulate(op: Emitter, bars: Bars, atom: Atom, cotangent: Atom | None) -> None:
    """Add to the cotangent of a value."""
    if cotangent is None or not isinstance(atom, Value):
        return
    total = op.handle(cotangent)
    if atom in bars:
        total = op.handle(bars[atom]) + total
    name_after(total.atom, f"{atom.name}_bar" if atom.name else "")
    bars[atom] = total.atom


def varies(atom: Atom, varied: set[Value]) -> bool:
    """Whether a derivative flows through an atom."""
    return isinstance(atom, Value) and atom in varied


# -- equations without regions ----------------------------------------------------------------------------------


def _sweep_plain(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    args = tuple(read(env, a) for a in eqn.args)
    outs = emit_copy(op, eqn, env)
    wanted = tuple(varies(a, varied) and is_float(a.type) for a in args)
    if not any(wanted) or eqn.op == "stop_gradient":
        return None
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))
    if not any(varies(o, varied) for o in outs):
        return None
    if all(o in args for o in outs):
        return None

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in outs]
        if all(g is None for g in given):
            return
        if eqn.op == "index":
            _read_back(op, bars, args, given[0], eqn)
            return
        handles = [None if g is None else op.handle(g) for g in given]
        found = cotangents_of(op, eqn, [*map(op.handle, args)], [*map(op.handle, outs)], handles, wanted)
        for arg, cotangent in zip(args, found, strict=True):
            accumulate(op, bars, arg, None if cotangent is None else cotangent.atom)

    return Step(eqn, back)


def _read_back(op: Emitter, bars: Bars, args: Sequence[Atom], cotangent: Atom | None, eqn: Eqn) -> None:
    """The adjoint of reading elements adds to them where they are, without a zero array of its own."""
    base = args[0]
    if cotangent is None or not isinstance(base, Value):
        return
    total = op.handle(bars[base]) if base in bars else op.zeros_like(op.handle(base))
    added = op("accumulate", total, op.handle(cotangent), *args[1:], **eqn.attrs).atom
    name_after(added, f"{base.name}_bar" if base.name else "")
    bars[base] = added


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
    bars: Bars = {v: s for v, s in zip(captured, starts, strict=True) if s is not None}
    for position, seed in seeds.items():
        accumulate(op, bars, swept.results[position], seed)
    backward(op, swept.steps, bars)
    return op, [bars.get(v) for v in captured]


def _sweep_if(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    inner = [Emitter(op.builder.child()) for _ in eqn.regions]
    swept = [sweep(o, region, env, varied) for o, region in zip(inner, eqn.regions, strict=True)]
    active = [
        k for k, out in enumerate(eqn.outs) if is_float(out.type) and any(varies(s.results[k], varied) for s in swept)
    ]
    predicate = read(env, eqn.args[0])
    captured = _captured(eqn.regions, env, varied) if active else []
    seeds = {k: Value(eqn.outs[k].type, _bar(eqn.outs[k])) for k in active}
    incoming = [Value(v.type, _bar(v)) for v in captured]
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
            mapping[seed] = _or_zeros(op, given[k], outs[k])
        for value, before in zip(captured, incoming, strict=True):
            mapping[before] = _or_zeros(op, bars.get(value), value)
        branches = [substitute(b, mapping) for b in blocks]
        after = op.builder.emit("if", (predicate,), [v.type for v in captured], {}, branches)
        for value, cotangent in zip(captured, after, strict=True):
            name_after(cotangent, _bar(value))
            bars[value] = cotangent

    return Step(eqn, back)


def _reverse_branch(
    parent: Builder, swept: Sweep, seeds: Mapping[int, Value], captured: Sequence[Value], incoming: Sequence[Value]
) -> Block:
    """The reverse of one branch: from the cotangents of its results and those of ``captured`` so far to the latter's."""
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
    """The branch of the forward sweep, which also returns what the reverse branches read (placeholders on the other side)."""
    regions = []
    for k, (o, s) in enumerate(zip(inner, swept, strict=True)):
        filled = [v if group is slots[k] else _nothing(o, v) for group in slots for v in group]
        regions.append(o.builder.block((), [*s.results, *filled]))
    types = [o.type for o in eqn.outs] + [v.type for group in slots for v in group]
    return op.builder.emit("if", (predicate,), types, eqn.attrs, regions)


def _or_zeros(op: Emitter, cotangent: Atom | None, like: Atom) -> Atom:
    return op.zeros_like(op.handle(like)).atom if cotangent is None else cotangent


def _nothing(op: Emitter, value: Value) -> Atom:
    """A placeholder for a residual of the branch not taken."""
    if value.type.rank == 0:
        return op.zeros_like(op.handle(value)).atom
    sizes = [d if isinstance(d, int) else 0 for d in value.type.dims]
    return op("full", op.zero(value.type.dtype), *sizes, dims=value.type.dims).atom


# -- counted loops ----------------------------------------------------------------------------------------------


def _sweep_loop(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    (body,) = eqn.regions
    bounds = [read(env, a) for a in eqn.args[:3]]
    inits = [read(env, a) for a in eqn.args[3:]]
    active = _varied_carried(op, eqn, env, varied, inits)
    if not active and not _captured([body], env, varied):
        return emit_whole(op, eqn, env)
    inner = Emitter(op.builder.child())
    params = tuple(Value(p.type, p.name) for p in body.params)
    renamed = dict(zip(body.params, params, strict=True))
    steady = steady_shapes(op, body, body.params[1:], eqn.args[3:], env, renamed)
    inner.builder.shapes.update(steady)
    varied.update(params[1 + k] for k in active)
    swept = sweep(inner, body, {**env, **renamed}, varied)
    captured = _captured([body], env, varied)

    seeds = {k: Value(params[1 + k].type, _bar(params[1 + k])) for k in active}
    sums = [Value(v.type, _bar(v)) for v in captured]
    watched = [*(params[1 + k] for k in active), *captured]
    starts: list[Atom | None] = [None] * len(active) + list(sums)
    alike = {seed: steady[params[1 + k]] for k, seed in seeds.items() if params[1 + k] in steady}
    alike |= steady | dict(zip(sums, captured, strict=True))
    reverse, found = _reverse_region(op.builder, swept, seeds, watched, starts, alike)
    results = [
        reverse.zeros_like(reverse.handle(v)).atom if c is None else c for v, c in zip(watched, found, strict=True)
    ]
    index = Value(params[0].type, params[0].name)
    block = reverse.builder.block((index, *seeds.values(), *sums), results)

    plan = Residuals(op, inner, params, inits, bounds, block)
    outs = op.builder.emit(
        "loop",
        [*bounds, *inits, *plan.tape_inits],
        [*(o.type for o in eqn.outs), *(t.type for t in plan.tape_inits)],
        eqn.attrs,
        [inner.builder.block([*params, *plan.tape_params], [*swept.results, *plan.tape_results])],
    )
    count = len(eqn.outs)
    for old, new in zip(eqn.outs, outs[:count], strict=True):
        name_after(new, old.name)
        env[old] = new
    varied.update(outs[k] for k in active)
    final = plan.reverse_body(outs[count:])

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(outs[k], None) for k in active]
        into = [bars.get(v) for v in captured]
        if all(g is None for g in given):
            return
        likes = [*(outs[k] for k in active), *captured]
        carried = [_or_zeros(op, g, v) for v, g in zip(likes, [*given, *into], strict=True)]
        for like, start in zip(likes, carried, strict=True):
            name_after(start, _bar(like))
        start, stop, step = _reversed_range(op, bounds)
        ended = op.builder.emit(
            "loop", [start, stop, step, *carried], [c.type for c in likes], eqn.attrs, [substitute(final, {})]
        )
        for value, cotangent in zip(captured, ended[len(active) :], strict=True):
            name_after(cotangent, _bar(value))
            bars[value] = cotangent
        for k, cotangent in zip(active, ended, strict=False):
            accumulate(op, bars, inits[k], cotangent)

    return Step(eqn, back)


def _bar(value: Value) -> str:
    return f"{value.name}_bar" if value.name else ""


def _varied_carried(op: Emitter, eqn: Eqn, env: Env, varied: set[Value], inits: Sequence[Atom]) -> list[int]:
    """Which carried values vary, by iterating the body's activity to a fixed point on a scratch builder."""
    (body,) = eqn.regions
    active = {k for k, a in enumerate(inits) if varies(a, varied) and is_float(a.type)}
    while True:
        scratch, seen = Emitter(op.builder.child()), set(varied)
        params = tuple(Value(p.type) for p in body.params)
        seen.update(params[1 + k] for k in active)
        swept = sweep(scratch, body, {**env, **dict(zip(body.params, params, strict=True))}, seen)
        grown = active | {k for k, r in enumerate(swept.results) if varies(r, seen) and is_float(r.type)}
        if grown == active:
            return sorted(active)
        active = grown


def _reversed_range(op: Emitter, bounds: Sequence[Atom]) -> tuple[Atom, Atom, Atom]:
    """The bounds of ``reversed(range(start, stop, step))``."""
    start, stop, step = map(op.handle, bounds)
    if isinstance(step.atom, Const) and step.atom.value in (1, -1):
        return tuple(op.atom(x) for x in (stop - step, start - step, -step))  # type: ignore[return-value]
    last = start + (trip_count(op, bounds) - 1) * step
    return tuple(op.atom(x) for x in (last, start - step, -step))  # type: ignore[return-value]


def _sweep_while(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> None:
    inits = [read(env, a) for a in eqn.args]
    if any(varies(a, varied) for a in inits) or _captured(eqn.regions, env, varied):
        raise MissingRule(
            "reverse mode through a while loop is not supported yet", eqn.loc, "Use a for loop over range, or jvp."
        )
    emit_whole(op, eqn, env)


# -- user rules -------------------------------------------------------------------------------------------------


def _sweep_custom_vjp(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The user's forward function in the forward sweep, the user's backward function in the reverse sweep."""
    args = [read(env, a) for a in eqn.args]
    if not any(varies(a, varied) for a in args):
        return emit_whole(op, eqn, env)
    require_rule(eqn)
    _, forward, back_block = eqn.regions
    swept = sweep(op, forward, {**env, **dict(zip(forward.params, args, strict=True))}, set())
    outs = swept.results[: len(eqn.outs)]
    kept = swept.results[len(eqn.outs) :]
    outs = _renewed(op, eqn, outs, env)
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))
    floats = [o for o in outs if is_float(o.type)]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in floats]
        if all(g is None for g in given):
            return
        cotangents = [op.zeros_like(op.handle(o)).atom if g is None else g for o, g in zip(floats, given, strict=True)]
        inside = {**env, **dict(zip(back_block.params, [*kept, *cotangents], strict=True))}
        found = sweep(op, back_block, inside, set()).results
        for arg, cotangent in zip([args[k] for k in eqn.attrs["cotangents"]], found, strict=True):
            if varies(arg, varied):
                check_sizes(op, cotangent, arg, f"the cotangent that the rule of {eqn.attrs['name']} returns")
                accumulate(op, bars, arg, op.match(op.handle(cotangent), arg.type, arg).atom)

    return Step(eqn, back)


def _renewed(op: Emitter, eqn: Eqn, outs: Sequence[Atom], env: Env) -> tuple[Atom, ...]:
    """Results of a custom rule as values of their own, so that their cotangents are not those of an argument."""
    fresh = tuple(op("identity", o).atom if isinstance(o, Value) else o for o in outs)
    for old, new in zip(eqn.outs, fresh, strict=True):
        name_after(new, old.name)
        env[old] = new
    return fresh


def _sweep_custom_jvp(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The reverse of a custom tangent: the transpose of the rule, which is linear in its tangents."""
    args = [read(env, a) for a in eqn.args]
    if not any(varies(a, varied) for a in args):
        return emit_whole(op, eqn, env)
    require_rule(eqn)
    _, rule = eqn.regions
    emit_whole(op, eqn, env)
    outs = [env[o] for o in eqn.outs]
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))
    floats = [o for o in outs if is_float(o.type)]
    inputs = [a for a in args if is_float(a.type)]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in floats]
        if all(g is None for g in given):
            return
        tangents = [op("identity", op.zeros_like(op.handle(a))).atom for a in inputs]
        inside = {**env, **dict(zip(rule.params, [*args, *tangents], strict=True))}
        swept = sweep(op, rule, inside, {t for t in tangents if isinstance(t, Value)})
        inner: Bars = {}
        for result, out, cotangent in zip(swept.results[len(outs) :], floats, given, strict=True):
            if isinstance(result, Value):
                check_sizes(op, result, out, f"the tangent that the rule of {eqn.attrs['name']} returns")
            accumulate(op, inner, result, cotangent)
        backward(op, swept.steps, inner)
        for arg, tangent in zip(inputs, tangents, strict=True):
            if varies(arg, varied) and isinstance(tangent, Value):
                accumulate(op, bars, arg, inner.get(tangent))

    return Step(eqn, back)


_SWEEPS = {
    "if": _sweep_if,
    "loop": _sweep_loop,
    "while": _sweep_while,
    "custom_vjp": _sweep_custom_vjp,
    "custom_jvp": _sweep_custom_jvp,
}

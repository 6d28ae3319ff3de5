"""What the reverse of every kind of loop shares: how the loop is seen, what varies in it, what its step leaves behind.

`adcompile.transform.reverse_control` records iterations on tapes; `adcompile.transform.checkpoints` runs them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from adcompile.ir import Array, Atom, Block, Eqn, Value, free_values, is_float
from adcompile.ir.core import substitute
from adcompile.ir.types import INDEX
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.transform.forward import Env, name_after, read
from adcompile.transform.residuals import Surviving
from adcompile.transform.reverse import Bars, Step, accumulate, bar_name, or_zeros, sweep, varies


@dataclass(frozen=True)
class Loop:
    """A loop of the source, seen alike whether it is counted (``bounds``) or not (``condition``)."""

    eqn: Eqn
    body: Block
    index: Value
    carried: tuple[Value, ...]
    bounds: list[Atom] | None
    starts: tuple[Atom, ...]
    inits: list[Atom]
    condition: Block | None


def see_loop(eqn: Eqn, env: Env) -> Loop:
    """A loop equation, with its start values as the emitted program has them."""
    body = eqn.regions[-1]
    if eqn.op == "loop":
        bounds, starts = [read(env, a) for a in eqn.args[:3]], eqn.args[3:]
        inits = [read(env, a) for a in starts]
        return Loop(eqn, body, body.params[0], body.params[1:], bounds, starts, inits, None)
    inits = [read(env, a) for a in eqn.args]
    return Loop(eqn, body, Value(INDEX, "k"), body.params, None, eqn.args, inits, eqn.regions[0])


def renewed(body: Block) -> set[int]:
    """The positions of carried arrays of which every iteration hands on a new one, whole.

    That is the result of an array equation, or what another carried value is as well, which makes a copy of it.
    """
    made = {out: eqn for eqn in body.eqns for out in eqn.outs}
    roots = [_root(r, made) for r in body.results]
    origins = [made.get(r) for r in roots]  # type: ignore[arg-type]
    whole = [o is not None and (o.op == "copy" or (not o.regions and PRIMITIVES[o.op].elementwise)) for o in origins]
    arrays = (k for k, r in enumerate(body.results) if isinstance(r.type, Array))
    first = len(body.params) - len(body.results)
    return {k for k in arrays if roots[k] is not body.params[first + k] and (whole[k] or roots.count(roots[k]) > 1)}


def _root(value: Atom, made: Mapping[Value, Eqn]) -> Atom:
    """The array that a version of it began as, before the stores and loops of a block."""
    while isinstance(value, Value) and value in made:
        eqn = made[value]
        if eqn.op in ("store", "accumulate"):
            value = eqn.args[0]
        elif eqn.op == "loop":
            value = eqn.args[3 + eqn.outs.index(value)]
        else:
            break
    return value


def captured_floats(blocks: Sequence[Block], env: Env, varied: set[Value]) -> list[Value]:
    """The varied values around some regions whose elements they read, as the emitted program knows them."""
    read_sizes_only = {"dim"}
    atoms: dict[Atom, None] = {}
    for block in blocks:
        eqns = tuple(e for e in block.eqns if e.op not in read_sizes_only)
        defined = {o for e in block.eqns for o in e.outs}
        atoms |= dict.fromkeys(read(env, v) for v in free_values(replace(block, eqns=eqns)) if v not in defined)
    return [a for a in atoms if isinstance(a, Value) and a in varied and is_float(a.type)]


def varied_carried(op: Emitter, loop: Loop, env: Env, varied: set[Value]) -> list[int]:
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


def longer_condition(loop: Loop, env: Env, params: Sequence[Value]) -> Block:
    """The condition of the source over the longer list of carried values."""
    assert loop.condition is not None
    fresh = [Value(p.type, p.name) for p in params]
    inside = {**env, **dict(zip(loop.condition.params, fresh[1:], strict=False))}
    moved = substitute(Block((), loop.condition.eqns, loop.condition.results), inside)
    return Block(tuple(fresh), moved.eqns, moved.results)


def loop_step(
    loop: Loop,
    env: Env,
    varied: set[Value],
    outs: Sequence[Value],
    active: Sequence[int],
    captured: Sequence[Value],
    reverse: Callable[[Emitter, list[Atom]], Sequence[Atom]],
) -> Step:
    """Bind what the forward loop gave; its reverse takes cotangents of ``active`` results and of ``captured`` values.

    ``reverse`` emits the loops that carry these backwards, from their start values, and gives what they end with.
    """
    for old, new in zip(loop.eqn.outs, outs, strict=False):
        name_after(new, old.name)
        env[old] = new
    varied.update(outs[k] for k in active)
    likes = [*(outs[k] for k in active), *captured]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(outs[k], None) for k in active]
        if all(g is None for g in given):
            return
        starts = [or_zeros(op, g, v) for v, g in zip(likes, [*given, *map(bars.get, captured)], strict=True)]
        for like, start in zip(likes, starts, strict=True):
            name_after(start, bar_name(like))
        ended = reverse(op, starts)
        for value, cotangent in zip(captured, ended[len(active) :], strict=True):
            name_after(cotangent, bar_name(value))
            bars[value] = cotangent
        for k, cotangent in zip(active, ended, strict=False):
            accumulate(op, bars, loop.inits[k], cotangent)

    return Step(loop.eqn, back)

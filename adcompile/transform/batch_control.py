"""Batching of branches, loops, checkpointed functions and user-ruled calls.

What no mapped value decides stays a branch or a loop. A branch on a mapped value computes both sides and selects; a
loop runs until the last call has finished, and finished calls keep what they have.

A side that could raise, loop for ever or give nan for calls that do not take it is guarded: it runs only where some
call takes it, and there the others compute with the values of the first that does (`as_live`), so that nothing is
computed that no single call computes. No derivative flows through such a stand-in. Sides of scalar arithmetic need no
guard: derivatives select before they multiply (`adcompile.transform.rules`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adcompile.errors import MissingRule
from adcompile.ir import Array, Atom, Block, Const, Eqn, Value, free_values, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import walk
from adcompile.ir.types import INDEX
from adcompile.primitives import PRIMITIVES, Emitter, Handle
from adcompile.primitives.batching import align, as_live, largest, some
from adcompile.primitives.indexing import trip_count
from adcompile.primitives.shapes import hoisted, keeping_shape
from adcompile.transform.batch import Batching, batches
from adcompile.transform.continued import filling
from adcompile.transform.forward import Env, emit_whole, read

# -- branches ---------------------------------------------------------------------------------------------------


@batches("if")
def _batch_if(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    if batching.is_mapped(eqn.args[0]):
        _select(batching, op, source, eqn, env)
        return
    regions = []
    for region in eqn.regions:
        inner = Emitter(op.builder.child())
        results = batching.block(inner, source.child(), region, dict(env))
        regions.append(inner.builder.block((), batching.results(inner, eqn.outs, region, results)))
    _emit(batching, op, eqn, env, [read(env, eqn.args[0])], regions)


def _emit(batching: Batching, op: Emitter, eqn: Eqn, env: Env, args: Sequence[Atom], regions: Sequence[Block]) -> None:
    """Emit a control equation of the same kind, and bind its results."""
    types = [batching.type(o) for o in eqn.outs]
    outs = op.builder.emit(eqn.op, args, types, eqn.attrs, regions, names=[o.name for o in eqn.outs])
    for old, new in zip(eqn.outs, outs, strict=True):
        batching.bind(op, env, old, new)


def _select(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    """Both sides, and for each call the one that it takes."""
    condition = op.handle(read(env, eqn.args[0]))
    sides = []
    for region, taken in zip(eqn.regions, (True, False), strict=True):
        if is_harmless(region):
            results = batching.block(op, source.child(), region, dict(env))
        else:
            live = condition if taken else op.logical_not(condition)
            results = _guarded(batching, op, source, region, env, live)
        sides.append(results)
    for k, out in enumerate(eqn.outs):
        olds, news = [r.results[k] for r in eqn.regions], [side[k] for side in sides]
        ways = list(zip(olds, news, strict=True))
        kept = [w for w, region in zip(ways, eqn.regions, strict=True) if not _is_room(source, region, w[0])]
        chosen = _chosen(batching, op, condition, out, ways) if len(kept) != 1 else batching.spread(op, *kept[0])
        batching.bind(op, env, out, chosen)


def _chosen(batching: Batching, op: Emitter, condition: Handle, out: Value, ways: Sequence[tuple[Atom, Atom]]) -> Atom:
    """``np.where`` of two values of each call, each given with the value of a single call that it stands for."""
    if ways[0][1] == ways[1][1]:
        return batching.spread(op, *ways[0])
    rank = out.type.rank
    given = [align(op, op.handle(new), batching.is_mapped(old), rank) for old, new in ways]
    given = [g if g.type.dtype == out.type.dtype else op.cast(g, dtype=out.type.dtype) for g in given]
    return op.where(align(op, condition, True, rank), *given).atom


def _is_room(source: Builder, region: Block, result: Atom) -> bool:
    """Whether a result is a placeholder that nobody reads."""
    eqns = {o: e for e in region.eqns for o in e.outs}
    eqn = eqns.get(result) if isinstance(result, Value) else None
    eqn = eqn or source.definition(result)
    return eqn is not None and eqn.op == "full" and bool(eqn.attrs.get("room"))


# -- guarded regions --------------------------------------------------------------------------------------------

_FAILING = {"floordiv", "mod", "lshift", "rshift", "pow"}
"""Elementwise primitives that raise, or are undefined, for some integers."""


def is_harmless(region: Block) -> bool:
    """Whether a region is arithmetic on scalars that cannot raise, so that any call may run it."""
    return all(_is_harmless(eqn) for eqn in region.eqns)


def _is_harmless(eqn: Eqn) -> bool:
    if eqn.op == "if":
        return all(is_harmless(region) for region in eqn.regions)
    primitive = PRIMITIVES.get(eqn.op)
    if primitive is None or not primitive.elementwise or any(o.type.rank for o in eqn.outs):
        return False
    if eqn.op == "cast":
        return not (is_float(eqn.args[0].type) and is_float(eqn.outs[0].type))
    return eqn.op not in _FAILING or is_float(eqn.outs[0].type)


def _guarded(batching: Batching, op: Emitter, source: Builder, region: Block, env: Env, live: Handle) -> list[Atom]:
    """A side of a branch, run only where some call takes it, the others in the place of the first that does."""
    inner, other = Emitter(op.builder.child()), Emitter(op.builder.child())
    guarded, inside = _stand_in(batching, inner, [region], env, live)
    results = guarded.block(inner, source.child(), region, inside)
    nothing = [_nothing(other, inner, r) for r in results]
    if None in nothing:
        raise MissingRule(
            "the size of a result is only known inside a branch that mapped values decide",
            remedy="Make the array before the branch, or use np.where.",
        )
    blocks = [inner.builder.block((), results), other.builder.block((), [n for n in nothing if n is not None])]
    taken = some(op, op.handle(live.atom))
    outs = op.builder.emit("if", (taken.atom,), [r.type for r in results], {}, blocks)
    for old, new in zip(region.results, outs, strict=True):
        if batching.is_mapped(old):
            op.builder.sizes[new, 0] = batching.size
    return list(outs)


def _nothing(op: Emitter, inner: Emitter, result: Atom) -> Atom | None:
    """Zeros in the shape of a result that a region would have given; None where the shape is known inside only."""
    if not isinstance(result.type, Array):
        return result if isinstance(result, Const) else op.zeros_like(op.handle(result)).atom
    sizes = [hoisted(op.builder, inner.builder, (), inner.atom(n)) for n in inner.shape(inner.handle(result))]
    if None in sizes:
        return None
    return op("full", op.zero(result.type.dtype), *sizes, dims=result.type.dims).atom


def _stand_in(
    batching: Batching, op: Emitter, regions: Sequence[Block], env: Env, live: Handle
) -> tuple[Batching, Env]:
    """What regions read, as the first live call has it where a call is not live.

    Arrays that are only subscripted stay as they are: what is read from them is replaced instead.
    """
    free = dict.fromkeys(v for region in regions for v in free_values(region) if batching.is_mapped(v))
    only_read = [v for v in free if isinstance(v.type, Array) and _only_read(v, regions)]
    reads = {v: _both(op, batching.read_live.get(v), live) for v in only_read}
    inside = dict(env)
    for value in free:
        if value not in reads:
            inside[value] = as_live(op, live, op.handle(read(env, value))).atom
            op.builder.sizes[inside[value], 0] = batching.size  # type: ignore[index]
    return replace(batching, read_live={**batching.read_live, **reads}), inside


def _both(op: Emitter, around: Atom | None, live: Handle) -> Atom:
    """The calls that are live in a guarded region and, where one is around it, there too."""
    return live.atom if around is None else op.logical_and(op.handle(around), live).atom


def _only_read(value: Value, regions: Sequence[Block]) -> bool:
    """Whether every use of an array is a subscript of it, or a size."""
    for region in regions:
        if value in region.results:
            return False
        for eqn in walk(region):
            places = [k for k, a in enumerate(eqn.args) if a is value]
            if places and not (eqn.op in ("index", "dim") and places == [0]):
                return False
            if any(value in inner.results for inner in eqn.regions):
                return False
    return True


# -- loops ------------------------------------------------------------------------------------------------------


@batches("loop", "while")
def _batch_loop(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    lead = 3 if eqn.op == "loop" else 0
    decided = any(map(batching.is_mapped, (*eqn.args[:lead], *(eqn.regions[0].results if eqn.op == "while" else ()))))
    if decided:
        (_count_together if lead else _repeat_together)(batching, op, source, eqn, env)
        return
    body = eqn.regions[-1]
    first = 1 if eqn.op == "loop" else 0
    steady = _steady(source, eqn)
    carried = body.params[first:]
    starts = [
        batching.spread(op, old, read(env, old)) if batching.is_mapped(p) else read(env, old)
        for p, old in zip(carried, eqn.args[lead:], strict=True)
    ]
    regions = []
    for region in eqn.regions:
        inner = Emitter(op.builder.child())
        params = [batching.param(inner, p) for p in region.params]
        own = params[len(params) - len(carried) :]
        inner.builder.shapes.update({own[k]: starts[k] for k in steady})
        results = batching.block(inner, _see(source, eqn, region, steady), region, {**env, **_paired(region, params)})
        if region is body:
            results = batching.results(inner, carried, region, results)
        regions.append(inner.builder.block(params, results))
    _emit(batching, op, eqn, env, [*(read(env, a) for a in eqn.args[:lead]), *starts], regions)


def _paired(region: Block, params: Sequence[Atom]) -> Env:
    return dict(zip(region.params, params, strict=True))


def _steady(source: Builder, eqn: Eqn) -> list[int]:
    """Which carried arrays keep the shape of their start value."""
    lead, first = (3, 1) if eqn.op == "loop" else (0, 0)
    body = eqn.regions[-1]
    return sorted(keeping_shape(source, eqn.args[lead:], body.params[first:], body))


def _see(source: Builder, eqn: Eqn, region: Block, steady: Sequence[int]) -> Builder:
    """The builder of the single call's region, which knows the shapes that stay."""
    lead, first = (3, 1) if eqn.op == "loop" else (0, 0)
    inside = source.child()
    params = region.params[first:]
    inside.shapes.update({params[k]: eqn.args[lead + k] for k in steady})
    return inside


class _Together:
    """The body of a loop that calls leave at different times: what goes in, and what finished calls keep."""

    def __init__(self, batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env):
        self.batching, self.op, self.source, self.eqn, self.env = batching, op, source, eqn, env
        lead, first = (3, 1) if eqn.op == "loop" else (0, 0)
        self.body = eqn.regions[-1]
        self.carried = self.body.params[first:]
        olds = eqn.args[lead:]
        self.starts = [batching.spread(op, old, read(env, old)) for old in olds]
        self.steady = _steady(source, eqn)
        self.filled = {k: steps for k in range(len(olds)) if (steps := filling(eqn, k))}
        self.tapes = {k for k, old in enumerate(olds) if k not in self.filled and _is_tape(source, old)}
        self._refuse_late_arrays(olds)
        self.harmless = all(is_harmless(region) for region in eqn.regions)

    def _refuse_late_arrays(self, olds: Sequence[Atom]) -> None:
        """An array that only the loop makes has no elements before: finished calls would have nothing to keep."""
        keeping = self.tapes | self.filled.keys() | set(self.steady)
        if any(_is_empty(self.source, old) for k, old in enumerate(olds) if k not in keeping):
            raise MissingRule(
                "an array is first made in a loop that the mapped calls leave at different times",
                remedy="Leave the loop with break and make the array after it, or make it before the loop.",
            )

    def params(self, inner: Emitter) -> list[Value]:
        """New parameters for what is carried."""
        params = [self.batching.param(inner, p) for p in self.carried]
        inner.builder.shapes.update({params[k]: self.starts[k] for k in self.steady})
        return params

    def inside(self, inner: Emitter, live: Handle, params: Sequence[Value]) -> tuple[Batching, Env]:
        """The environment of the body: finished calls stand in for a live one, unless the body is harmless."""
        env = {**self.env, **dict(zip(self.carried, params, strict=True))}
        if self.harmless:
            return self.batching, env
        batching, env = _stand_in(self.batching, inner, self.eqn.regions, env, live)
        for k, (old, param) in enumerate(zip(self.carried, params, strict=True)):
            if k not in self.tapes and k not in self.filled:
                env[old] = as_live(inner, live, inner.handle(param)).atom
        return replace(batching, write_live=batching.write_live | self.writes(inner, live)), env

    def writes(self, inner: Emitter, live: Handle) -> dict[Value, Atom]:
        """The versions of arrays that the body only writes, with the calls that write: those that do not stand in."""
        around = self.batching.write_live
        versions = [version for steps in self.filled.values() for version in steps.values()]
        return {version: _both(inner, around.get(version), live) for version in versions}

    def kept(self, inner: Emitter, live: Handle, params: Sequence[Value], results: Sequence[Atom]) -> list[Atom]:
        """The results for live calls, the parameters for finished ones; on tapes those write what nobody reads."""
        olds = self.body.results
        return [
            self.batching.spread(inner, olds[k], new)
            if k in self.tapes or k in self.filled
            else _chosen(self.batching, inner, live, p, [(olds[k], new), (p, param)])
            for k, (p, param, new) in enumerate(zip(self.carried, params, results, strict=True))
        ]

    def bind(self, outs: Sequence[Value]) -> None:
        """Name the results of the loop and let them stand for those of a single call."""
        for old, new in zip(self.eqn.outs, outs, strict=True):
            self.batching.bind(self.op, self.env, old, new)


def _is_empty(source: Builder, start: Atom) -> bool:
    """Whether an array is seen to have no elements."""
    op = Emitter(source.child())
    sizes = map(op.atom, op.shape(op.handle(start))) if isinstance(start.type, Array) else ()
    return any(isinstance(n, Const) and n.value == 0 for n in sizes)


def _is_tape(source: Builder, start: Atom) -> bool:
    eqn = source.definition(start)
    return eqn is not None and eqn.op == "full" and bool(eqn.attrs.get("room"))


def _count_together(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    """A counted loop whose bounds are mapped: as many iterations as the longest call has."""
    together = _Together(batching, op, source, eqn, env)
    bounds = [op.handle(read(env, a)) for a in eqn.args[:3]]
    counts = op.handle(op.atom(trip_count(op, [b.atom for b in bounds])))
    inner = Emitter(op.builder.child())
    turn, params = Value(INDEX), together.params(inner)
    live = inner.handle(turn) < inner.handle(counts.atom)
    guarded, inside = together.inside(inner, live, params)
    start, _, step = (inner.handle(b.atom) for b in bounds)
    place, index = inner.handle(turn) * step + start, together.body.params[0]
    if batching.is_mapped(index) and not together.harmless:
        place = as_live(inner, live, place)
    batching.bind(inner, inside, index, place.atom)
    see = _see(source, eqn, together.body, together.steady)
    results = guarded.block(inner, see, together.body, inside)
    block = inner.builder.block([turn, *params], together.kept(inner, live, params, results))
    args = [op.atom(0), op.atom(largest(op, counts)), op.atom(1), *together.starts]
    types, names = [p.type for p in params], [o.name for o in eqn.outs]
    together.bind(op.builder.emit("loop", args, types, eqn.attrs, [block], names=names))


def _repeat_together(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    """A ``while`` whose condition is mapped: on while it holds in some call."""
    together = _Together(batching, op, source, eqn, env)
    condition, body = eqn.regions
    see = [_see(source, eqn, region, together.steady) for region in (condition, condition, body)]
    starting = {**env, **_paired(condition, together.starts)}
    (start,) = batching.block(op, see[0], condition, starting)
    inner = Emitter(op.builder.child())
    live = Value(start.type, "live")
    inner.builder.sizes[live, 0] = batching.size
    params = together.params(inner)
    guarded, inside = together.inside(inner, inner.handle(live), params)
    results = guarded.block(inner, see[2], body, inside)
    spread = [guarded.spread(inner, old, new) for old, new in zip(body.results, results, strict=True)]
    (again,) = guarded.block(inner, see[1], condition, {**inside, **_paired(condition, spread)})
    still = inner.logical_and(inner.handle(live), inner.handle(again))
    kept = together.kept(inner, inner.handle(live), params, results)
    block = inner.builder.block([live, *params], [still.atom, *kept])
    test = Emitter(op.builder.child())
    fresh = [Value(p.type, p.name) for p in block.params]
    decision = test.builder.block(fresh, [some(test, test.handle(fresh[0])).atom])
    types, names = [p.type for p in block.params], ["live", *(o.name for o in eqn.outs)]
    outs = op.builder.emit("while", [start, *together.starts], types, eqn.attrs, [decision, block], names=names)
    together.bind(outs[1:])


# -- functions that are one equation -----------------------------------------------------------------------------


@batches("checkpoint")
def _batch_checkpoint(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    (region,) = eqn.regions
    inner = Emitter(op.builder.child())
    results = batching.block(inner, source.child(), region, dict(env))
    block = inner.builder.block((), batching.results(inner, eqn.outs, region, results))
    _emit(batching, op, eqn, env, (), [block])


@batches("custom_jvp", "custom_vjp")
def _batch_ruled(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    if not any(map(batching.is_mapped, eqn.outs)):
        emit_whole(op, eqn, env)
        return
    regions = [_batch_region(batching, op, source, eqn, env, place, region) for place, region in enumerate(eqn.regions)]
    _emit(batching, op, eqn, env, [read(env, a) for a in eqn.args], regions)


def _batch_region(
    batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env, place: int, region: Block
) -> Block:
    """One block of a ruled call; everything it returns is mapped."""
    inner = Emitter(op.builder.child())
    params = [batching.param(inner, p) for p in region.params]
    found = batching.block(inner, source.child(), region, {**env, **_paired(region, params)})
    results = [batching.spread(inner, old, new) for old, new in zip(region.results, found, strict=True)]
    if eqn.op == "custom_vjp" and place == 2:
        owners = [eqn.args[k] for k in eqn.attrs["cotangents"]]
        results = [
            bar if batching.is_mapped(arg) else inner.sum(inner.handle(bar), axis=(0,), keepdims=False).atom
            for arg, bar in zip(owners, results, strict=True)
        ]
    return inner.builder.block(params, results)

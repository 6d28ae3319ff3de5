"""The reverse of what is run again instead of recorded: checkpointed functions, and loops that keep k snapshots.

A checkpointed loop records no iteration. Its forward sweep keeps at most k states on a stack; its reverse sweep, for
each iteration backwards, runs the primal on from the youngest snapshot, pushes further ones into the slots that are
free, and differentiates one iteration. Where the trip count is known before the loop, snapshots go where the binomial
schedule has them (Griewank & Walther, Algorithm 799: revolve, 2000): `steps_to_snapshot`. Where it is not, they go
where that schedule has them if the loop ends at its longest for some number of repetitions; a loop that runs on
allows one repetition more and keeps the oldest snapshot alone, so that the number of repetitions is the least possible
for every trip count, as in Wang, Moin & Iaccarino (2009). Both schedules are equations on a few integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adcompile.errors import InvalidArgument
from adcompile.ir import Array, Atom, Block, Eqn, Type, Value, free_values, is_float
from adcompile.ir.core import substitute
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter, Handle
from adcompile.primitives.indexing import FULL, trip_count
from adcompile.transform.forward import Env, emit_whole, name_after, read, steady_sizes
from adcompile.transform.loops import Loop, captured_floats, longer_condition, loop_step, see_loop, varied_carried
from adcompile.transform.reverse import (
    Bars,
    Step,
    accumulate,
    backward,
    or_zeros,
    sweep,
    sweeps,
    varies,
)

# -- functions --------------------------------------------------------------------------------------------------


@sweeps("checkpoint")
def _sweep_checkpoint(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The function in the forward sweep; the function again, and its reverse, in the reverse sweep."""
    (block,) = eqn.regions
    around = free_values(block)
    atoms = [read(env, v) for v in around]
    emit_whole(op, eqn, env)
    if not any(varies(a, varied) for a in atoms):
        return None
    outs = [env[o] for o in eqn.outs]
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in outs]
        if all(g is None for g in given):
            return
        again = {a: op("again", a).atom for a in dict.fromkeys(atoms) if isinstance(a, Value)}
        for atom, copy in again.items():
            name_after(copy, atom.name)
        inside = {v: again[a] if isinstance(a, Value) else a for v, a in zip(around, atoms, strict=True)}
        swept = sweep(op, block, {**env, **inside}, {again[a] for a in again if a in varied})
        inner: Bars = {}
        for result, cotangent in zip(swept.results, given, strict=True):
            accumulate(op, inner, result, cotangent)
        backward(op, swept.steps, inner)
        for atom, copy in again.items():
            if atom in varied:
                accumulate(op, bars, atom, inner.get(copy))

    return Step(eqn, back)


# -- schedules --------------------------------------------------------------------------------------------------


def steps_to_snapshot(op: Emitter, steps: Handle, slots: Handle) -> Handle:
    """How far to run from a snapshot, ``steps`` before the end, to the next one; ``slots`` counts the snapshot's own.

    With β(s, r) = (s + r)! / (s! r!) steps at most can be reversed from s slots in r repetitions. The least r with
    β(s, r) ≥ steps is enough, and it stays so where β(s, r - 1) steps or fewer come before the next snapshot, and
    β(s - 1, r) or fewer, but no fewer than β(s - 1, r - 1), after it. (With one slot there is no next.)
    """
    inner, test = Emitter(op.builder.child()), Emitter(op.builder.child())
    params = [Value(INDEX, name) for name in ("repeats", "before", "reach")]
    repeats, _, reach = map(inner.handle, params)
    grown = reach * (repeats + 1 + slots) // (repeats + 1)
    body = inner.builder.block(params, [(repeats + 1).atom, reach.atom, grown.atom])
    own = [Value(p.type, p.name) for p in params]
    more = test.logical_and(test.handle(own[2]) < steps, test.lt(1, slots))
    condition = test.builder.block(own, [more.atom])
    starts = [op.atom(1), op.atom(1), (slots + 1).atom]
    found = op.builder.emit("while", starts, [INDEX] * 3, {}, [condition, body], names=[p.name for p in params])
    repeats, before, _ = map(op.handle, found)
    return op.minimum(before, steps - before * slots // (slots + repeats - 1))


def _longest(op: Emitter, slots: Handle, repeats: Handle) -> Handle:
    """β(slots, repeats): the most steps that can be reversed."""
    inner = Emitter(op.builder.child())
    count, reach = Value(INDEX, "q"), Value(INDEX, "reach")
    q = inner.handle(count)
    block = inner.builder.block([count, reach], [(inner.handle(reach) * (q + slots) // q).atom])
    bounds = [op.atom(1), (repeats + 1).atom, op.atom(1)]
    return op.handle(op.builder.emit("loop", [*bounds, op.atom(1)], [INDEX], {}, [block], names=["reach"])[0])


# -- the stack of snapshots -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stack:
    """Snapshots of a loop's state as values of a program.

    ``rows`` holds an array per carried value, ``places`` the iteration each snapshot is of, ``used`` how many there
    are, ``following`` the iteration of the next.
    """

    rows: tuple[Atom, ...]
    places: Atom
    used: Atom
    following: Atom

    @property
    def values(self) -> tuple[Atom, ...]:
        """All of it, to be carried by a loop."""
        return (*self.rows, self.places, self.used, self.following)

    @property
    def types(self) -> list[Type]:
        """The types of `values`."""
        return [a.type for a in self.values]

    @property
    def names(self) -> list[str]:
        """The names of `values`."""
        rows = [r.name if isinstance(r, Value) else "" for r in self.rows]
        return [*rows, "places", "used", "following"]

    @staticmethod
    def of(values: Sequence[Atom]) -> _Stack:
        """A stack from `values`."""
        *rows, places, used, following = values
        return _Stack(tuple(rows), places, used, following)

    def params(self, op: Emitter) -> list[Value]:
        """Parameters of a loop that carries the stack, for the emitter of its body."""
        found = [Value(t, n) for t, n in zip(self.types, self.names, strict=True)]
        op.builder.shapes.update({p: a for p, a in zip(found, self.values, strict=True) if isinstance(p.type, Array)})
        return found

    def pop(self, op: Emitter) -> tuple[Handle, list[Atom], _Stack]:
        """The iteration and the state of the youngest snapshot, and the others; a further one is due at once."""
        used = op.handle(self.used) - 1
        state = [op("index", row, used, spec=_row(row)) for row in self.rows]
        state = [op("copy", s).atom if s.rank else s.atom for s in state]
        for value, row in zip(state, self.rows, strict=True):
            name_after(value, row.name.removesuffix("_snapshots"))
        place = op("cast", op("index", self.places, used, spec=(("int",),)), dtype="int64", weak=True)
        return place, state, _Stack(self.rows, self.places, used.atom, place.atom)

    def push(self, op: Emitter, here: Atom, state: Sequence[Atom], steps: Callable[[Handle], Handle]) -> _Stack:
        """The stack with one more snapshot; ``steps`` says how far it is to the next."""
        used = op.handle(self.used)
        rows = [op("store", r, v, used, spec=_row(r)).atom for r, v in zip(self.rows, state, strict=True)]
        places = op("store", self.places, here, used, spec=(("int",),)).atom
        return _Stack(tuple(rows), places, (used + 1).atom, (op.handle(here) + steps(used + 1)).atom)


def _row(rows: Atom) -> tuple:
    return (("int",), *(FULL,) * (rows.type.rank - 1))


def _empty(op: Emitter, loop: Loop, snapshots: int) -> _Stack:
    """A stack without snapshots; the first is due at once."""
    rows = []
    for param, start in zip(loop.carried, loop.inits, strict=True):
        sizes = op.shape(op.handle(start))
        row = op("full", op.zero(start.type.dtype), snapshots, *sizes, dims=(snapshots, *param.type.dims)).atom
        row.name = f"{param.name}_snapshots" if param.name else "snapshots"
        rows.append(row)
    places = op("full", op.zero("int64"), snapshots, dims=(snapshots,)).atom
    places.name = "places"
    return _Stack(tuple(rows), places, op.atom(0), op.atom(0))


def _push_if(
    op: Emitter, due: Handle, stack: _Stack, push: Callable[[Emitter], Sequence[Atom]], more: Sequence[Atom] = ()
) -> tuple[Value, ...]:
    """The stack, and ``more`` values, as ``push`` gives them where a snapshot is due, else as they are."""
    name_after(due.atom, "due")
    inner, kept = Emitter(op.builder.child()), [*stack.values, *more]
    regions = [inner.builder.block((), push(inner)), Block((), (), tuple(kept))]
    names = [*stack.names, *(a.name if isinstance(a, Value) else "" for a in more)]
    return op.builder.emit("if", (due.atom,), [a.type for a in kept], {}, regions, names=names)


# -- loops ------------------------------------------------------------------------------------------------------


@sweeps("checkpointed loop")
def _sweep_checkpointed(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The reverse of a loop with ``snapshots``: see the module."""
    loop = see_loop(eqn, env)
    active = varied_carried(op, loop, env, varied)
    captured = captured_floats([loop.body], env, varied)
    if not active and not captured:
        return emit_whole(op, eqn, env)
    run = _Run(loop, env, eqn.attrs["snapshots"], _steady(op, loop, env))
    outs, stack, count = run.forward_counted(op) if loop.bounds is not None else run.forward_uncounted(op)

    def reverse(op: Emitter, starts: list[Atom]) -> Sequence[Atom]:
        return run.reverse(op, stack, count, starts, active, captured, varied)

    return loop_step(loop, env, varied, outs, active, captured, reverse)


def _steady(op: Emitter, loop: Loop, env: Env) -> dict[Value, Atom]:
    """The start value whose shape each carried array keeps; snapshots of one slot have one shape."""
    renamed = {loop.index: Value(INDEX), **{p: Value(p.type, p.name) for p in loop.carried}}
    kept = steady_sizes(op, loop.body, loop.carried, loop.starts, env, renamed).shapes
    for param in loop.carried:
        if isinstance(param.type, Array) and renamed[param] not in kept:
            raise InvalidArgument(
                f"{param.name or 'an array'!r} changes its shape in a checkpointed loop",
                loop.eqn.loc,
                "Give it its final shape before the loop.",
            )
    return {p: kept[renamed[p]] for p in loop.carried if isinstance(p.type, Array)}


@dataclass(frozen=True)
class _Run:
    """A checkpointed loop of the source; ``steady`` are values of the shapes of its carried arrays."""

    loop: Loop
    env: Env
    snapshots: int
    steady: dict[Value, Atom]

    def state(self, op: Emitter, atoms: Sequence[Value] | None = None) -> list[Value]:
        """Values for the state, new ones or those given, whose shapes the emitter is told."""
        carried = self.loop.carried
        found = [Value(p.type, p.name) for p in carried] if atoms is None else list(atoms)
        op.builder.shapes.update({v: self.steady[p] for p, v in zip(carried, found, strict=True) if p in self.steady})
        return found

    def inside(self, op: Emitter, iteration: Atom, state: Sequence[Atom]) -> Env:
        """What the body's values stand for in some iteration, counted from 0."""
        index = op.handle(iteration)
        if self.loop.bounds is not None:
            index = index * op.handle(self.loop.bounds[2]) + op.handle(self.loop.bounds[0])
        return {**self.env, self.loop.index: index.atom, **dict(zip(self.loop.carried, state, strict=True))}

    def slots(self, used: Handle) -> Handle:
        """How many slots there are from the youngest snapshot on, its own counted."""
        slots = self.snapshots + 1 - used
        name_after(slots.atom, "slots")
        return slots

    def primal(self, op: Emitter, iteration: Atom, state: Sequence[Atom]) -> list[Atom]:
        """Emit an iteration; the state after it."""
        body = self.loop.body
        moved = substitute(Block((), body.eqns, body.results), self.inside(op, iteration, state))
        for eqn in moved.eqns:
            op.builder.append(eqn)
        return list(moved.results)

    def advance(self, op: Emitter, stack: _Stack, state: Sequence[Atom], first: Atom, end: Atom) -> list[Value]:
        """Run iterations ``first`` to ``end``, pushing snapshots where due; the state after them, and the stack."""
        inner, loop = Emitter(op.builder.child()), self.loop
        index = Value(INDEX, loop.index.name)
        own, kept = self.state(inner), stack.params(inner)
        here, held = inner.handle(index), _Stack.of(kept)

        def push(op: Emitter) -> Sequence[Atom]:
            left = op.handle(end) - op.handle(index)
            name_after(left.atom, "left")
            return held.push(op, index, own, lambda used: steps_to_snapshot(op, left, self.slots(used))).values

        room = inner.handle(held.used) < self.snapshots
        kept = _push_if(inner, inner.logical_and(here == held.following, room), held, push)
        after = self.primal(inner, index, own)
        block = inner.builder.block([index, *own, *held.values], [*after, *kept])  # type: ignore[list-item]
        types, names = [*(p.type for p in loop.carried), *stack.types], [*(p.name for p in loop.carried), *stack.names]
        args = [first, end, op.atom(1), *state, *stack.values]
        return list(op.builder.emit("loop", args, types, {}, [block], names=names))

    def forward_counted(self, op: Emitter) -> tuple[list[Value], _Stack, Atom]:
        """The forward sweep of a loop with a known trip count: its results, the snapshots left, and the count."""
        assert self.loop.bounds is not None
        count = op.atom(trip_count(op, self.loop.bounds))
        found = self.advance(op, _empty(op, self.loop, self.snapshots), self.loop.inits, op.atom(0), count)
        width = len(self.loop.carried)
        return found[:width], _Stack.of(found[width:]), count

    def forward_uncounted(self, op: Emitter) -> tuple[list[Value], _Stack, Atom]:
        """The forward sweep of a loop that ends by a condition."""
        loop = self.loop
        stack = _empty(op, loop, self.snapshots)
        inner = Emitter(op.builder.child())
        index, repeats = Value(INDEX, "k"), Value(INDEX, "repeats")
        own, kept = self.state(inner), stack.params(inner)
        here, held = inner.handle(index), _Stack.of(kept)

        def push(op: Emitter) -> Sequence[Atom]:
            full = op.handle(held.used) == self.snapshots
            more = op.handle(repeats) + op.where(full, 1, 0)
            emptied = _Stack(held.rows, held.places, op.where(full, 1, held.used).atom, held.following)
            return [
                *emptied.push(op, index, own, lambda used: _longest(op, self.slots(used), more - 1)).values,
                more.atom,
            ]

        due: Handle = here == held.following  # type: ignore[assignment]
        due = inner.logical_and(due, inner.handle(held.used) < 1) if self.snapshots == 1 else due
        ended = _push_if(inner, due, held, push, [repeats])
        after = self.primal(inner, index, own)
        params = [index, *own, *held.values, repeats]
        block = inner.builder.block(params, [(here + 1).atom, *after, *ended])  # type: ignore[arg-type]
        types = [INDEX, *(p.type for p in loop.carried), *stack.types, INDEX]
        names = ["k", *(p.name for p in loop.carried), *stack.names, "repeats"]
        regions = [longer_condition(loop, self.env, block.params), block]
        args = [op.atom(0), *loop.inits, *stack.values, op.atom(1)]
        count, *rest = op.builder.emit("while", args, types, {}, regions, names=names)
        width = len(loop.carried)
        return rest[:width], _Stack.of(rest[width:-1]), count

    def reverse(
        self,
        op: Emitter,
        stack: _Stack,
        count: Atom,
        starts: Sequence[Atom],
        active: Sequence[int],
        captured: Sequence[Value],
        varied: set[Value],
    ) -> tuple[Value, ...]:
        """The reverse sweep: the cotangents of the active state and of what the body reads from around it."""
        inner = Emitter(op.builder.child())
        index = Value(INDEX, self.loop.index.name)
        held = stack.params(inner)
        seeds = [Value(s.type, s.name if isinstance(s, Value) else "") for s in starts]
        inner.builder.shapes.update({p: s for p, s in zip(seeds, starts, strict=True) if isinstance(p.type, Array)})
        state, after = self.back_to(inner, index, _Stack.of(held))
        found = self.reverse_iteration(inner, index, state, seeds, active, captured, varied)
        block = inner.builder.block([index, *held[:-1], *seeds], [*after.values[:-1], *found])
        types, names = [*stack.types[:-1], *(s.type for s in seeds)], [*stack.names[:-1], *(s.name for s in seeds)]
        span = [(op.handle(count) - 1).atom, op.atom(-1), op.atom(-1)]
        ended = op.builder.emit("loop", [*span, *stack.values[:-1], *starts], types, {}, [block], names=names)
        return ended[len(held) - 1 :]

    def back_to(self, op: Emitter, iteration: Value, stack: _Stack) -> tuple[list[Value], _Stack]:
        """The state before an iteration, and the snapshots of those before it."""
        first, state, stack = stack.pop(op)
        found = self.advance(op, stack, state, first.atom, iteration)
        width = len(self.loop.carried)
        return self.state(op, found[:width]), _Stack.of(found[width:])

    def reverse_iteration(
        self,
        op: Emitter,
        iteration: Value,
        state: Sequence[Value],
        seeds: Sequence[Value],
        active: Sequence[int],
        captured: Sequence[Value],
        varied: set[Value],
    ) -> list[Atom]:
        """One iteration forward and back."""
        wanted = [state[k] for k in active]
        swept = sweep(op, self.loop.body, self.inside(op, iteration, state), varied | set(wanted))
        bars: Bars = dict(zip(captured, seeds[len(active) :], strict=True))
        for k, seed in zip(active, seeds, strict=False):
            accumulate(op, bars, swept.results[k], seed)
        backward(op, swept.steps, bars)
        return [or_zeros(op, bars.get(v), v) for v in (*wanted, *captured)]

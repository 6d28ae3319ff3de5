"""Reverse mode: a forward sweep that emits the primal, and a reverse sweep that runs its equations backwards.

Griewank & Walther, Evaluating Derivatives (2008), section 3.2. Every control equation becomes two: one in the forward
sweep that also returns what its reverse needs (residuals), one in the reverse sweep. What a reverse region needs is
found, not declared: the free values of the finished region that its forward region defines. A loop keeps one tape per
residual, an ordinary array indexed by the iteration; residuals that are cheap to compute from others are recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adcompile.ir import Atom, Block, Eqn, Value, is_float
from adcompile.primitives import Emitter
from adcompile.primitives.specs import undone
from adcompile.transform.forward import Env, emit_copy, name_after, read
from adcompile.transform.residuals import note_survivor
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


ADJOINT = "adjoint"
"""The note on equations of reverse sweeps, where a zero that is added may go (and the sign of a zero with it)."""
SWEEPS: dict[str, Callable[[Emitter, Eqn, Env, set[Value]], Step | None]] = {}
"""How equations with regions are swept: filled by `reverse_control` and `reverse_custom`."""


def sweeps(name: str) -> Callable[[Callable], Callable]:
    """Register how an equation with regions is swept."""

    def register(rule: Callable) -> Callable:
        SWEEPS[name] = rule
        return rule

    return register


def sweep(op: Emitter, block: Block, env: Env, varied: set[Value]) -> Sweep:
    """Emit the forward sweep of ``block``; ``varied`` (values of the emitted program) grows on the way."""
    env = dict(env)
    steps: list[Step] = []
    for eqn in block.eqns:
        op.builder.loc = eqn.loc or op.builder.loc
        step = SWEEPS.get(eqn.op, _sweep_plain)(op, eqn, env, varied)
        if step is not None:
            steps.append(step)
    return Sweep(tuple(read(env, r) for r in block.results), tuple(steps))


def backward(op: Emitter, steps: Sequence[Step], bars: Bars) -> None:
    """Emit the reverse sweep; ``bars`` starts with the cotangents of the results and ends with those of the inputs."""
    op.builder.note = ADJOINT
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
    name_after(total.atom, bar_name(atom))
    bars[atom] = total.atom


def bar_name(value: Value) -> str:
    """The name of a value's cotangent."""
    return f"{value.name}_bar" if value.name else ""


def or_zeros(op: Emitter, cotangent: Atom | None, like: Atom) -> Atom:
    """A cotangent, its zero made explicit."""
    return op.zeros_like(op.handle(like)).atom if cotangent is None else cotangent


def varies(atom: Atom, varied: set[Value]) -> bool:
    """Whether a derivative flows through an atom."""
    return isinstance(atom, Value) and atom in varied


# -- equations without regions ----------------------------------------------------------------------------------


def _sweep_plain(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    args = tuple(read(env, a) for a in eqn.args)
    outs = emit_copy(op, eqn, env)
    note_survivor(op, eqn, env)
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
        if eqn.op == "index" and undone(eqn.attrs["spec"], args[1:], args[0].type.dims) is None:
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
    name_after(added, bar_name(base))
    bars[base] = added

"""The lecture's three tables: evaluation trace, forward tangent trace, reverse adjoint trace.

Griewank & Walther, Evaluating Derivatives (2008), chapter 1. Each mode has the table of what it does; rows are written
by `adcompile.inspect.sheet.Sheet` while the transforms emit one equation of the function after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from adcompile.inspect.sheet import Sheet
from adcompile.inspect.subject import Subject
from adcompile.inspect.table import Table
from adcompile.ir import Atom, Block, Eqn, Trace, Value, is_float
from adcompile.modes import Batched, Gradient, HessianVector, Jacobian, Primal, Pullback, Tangent
from adcompile.transform.derivatives import gradient_trace
from adcompile.transform.forward import forward, read
from adcompile.transform.reverse import Step, accumulate, backward, sweep
from adcompile.transform.simplify import drop_dead


def table(subject: Subject) -> Table:
    """The table of a transform's mode."""
    return _TABLES[type(subject.mode)](subject)


# -- the function and its tangent -------------------------------------------------------------------------------


def _primal_table(subject: Subject) -> Table:
    sheet, trace = _start(subject.primal, subject)
    _forward_rows(sheet, trace.block, {})
    return _finish(sheet, f"{trace.name}: evaluation trace")


def _forward_table(subject: Subject) -> Table:
    return _tangent_table(subject, subject.primal)


def _second_table(subject: Subject) -> Table:
    """Forward over reverse: the tangent of the gradient program."""
    return _tangent_table(subject, gradient_trace(subject.primal, subject.chosen, value=False, aux=False))


def _tangent_table(subject: Subject, program: Trace) -> Table:
    sheet, trace = _start(program, subject, rows=False)
    dots: dict[Value, Atom] = {}
    seeded = trace.params[subject.chosen[0]]
    for k, param in enumerate(trace.params):
        sheet.given(param)
        if k in subject.varied:
            dots[param] = sheet.seed(param, f"{sheet.names[param]}_dot", _unit if param is seeded else _zero)
    _forward_rows(sheet, trace.block, dots)
    return _finish(sheet, f"{trace.name}: forward tangent trace, {sheet.names[seeded]}_dot seeded")


def _forward_rows(sheet: Sheet, block: Block, dots: dict[Value, Atom]) -> None:
    """Each equation, then its tangent."""
    env: dict[Value, Atom] = {}
    sheet.rule()
    for eqn, single in _singly(block):
        start = len(sheet.op.builder.eqns)
        results, tangents = forward(sheet.op, single, env, dots)
        names = _dotted(sheet, eqn, results, tangents)
        sheet.regions(start, names)
        for out, atom, tangent in zip(eqn.outs, results, tangents, strict=True):
            sheet.primal(out, atom, eqn.loc)
            env[out] = atom
            if tangent is not None:
                dots[out] = sheet.derived(f"{sheet.names[out]}_dot", tangent, eqn.loc)
    sheet.rule()
    for name, result in _results(sheet, block):
        sheet.line(name, read(env, result))
        if dots and is_float(result.type):
            sheet.line(f"{name}_dot", read(dots, result) if result in dots else sheet.op.zeros_like(result).atom)


def _dotted(sheet: Sheet, eqn: Eqn, results: Sequence[Atom], tangents: Sequence[Atom | None]) -> dict[Value, str]:
    """The names that results of control equations get."""
    names = {a: sheet.names[o] for o, a in zip(eqn.outs, results, strict=True) if isinstance(a, Value)}
    for out, tangent in zip(eqn.outs, tangents, strict=True):
        if isinstance(tangent, Value):
            names[tangent] = f"{sheet.names[out]}_dot"
    return names


# -- the adjoint ------------------------------------------------------------------------------------------------


def _reverse_table(subject: Subject) -> Table:
    sheet, trace = _start(subject.primal, subject)
    wanted = [trace.params[k] for k in subject.chosen]
    env, steps = _sweep_rows(sheet, trace.block, set(wanted))
    bars = _seed_rows(sheet, trace.block, env, _unit if isinstance(subject.mode, Jacobian) else _one)
    sheet.rule()
    sheet.speller.leading.update(v for v in bars.values() if isinstance(v, Value))
    for step in reversed(steps):
        _reverse_step(sheet, step, bars)
    for param in reversed(wanted):
        if param not in bars:
            sheet.derived(f"{sheet.names[param]}_bar", sheet.op.zeros_like(param).atom, None)
    return _finish(sheet, f"{trace.name}: reverse adjoint trace")


def _sweep_rows(sheet: Sheet, block: Block, varied: set[Value]) -> tuple[dict[Value, Atom], list[Step]]:
    """The forward sweep."""
    env: dict[Value, Atom] = {}
    steps: list[Step] = []
    sheet.rule()
    for eqn, single in _singly(block):
        start = len(sheet.op.builder.eqns)
        swept = sweep(sheet.op, single, env, varied)
        sheet.regions(start, _dotted(sheet, eqn, swept.results, [None] * len(eqn.outs)))
        for out, atom in zip(eqn.outs, swept.results, strict=True):
            sheet.primal(out, atom, eqn.loc)
            env[out] = atom
        steps += swept.steps
    return env, steps


def _seed_rows(sheet: Sheet, block: Block, env: dict[Value, Atom], of: Callable[[Any], Any]) -> dict[Value, Atom]:
    """``y = v6``, ``y_bar = 1`` and ``v6_bar = y_bar``: the cotangent of the first float result."""
    bars: dict[Value, Atom] = {}
    sheet.rule()
    named = {result: name for name, result in _results(sheet, block)}
    for result, name in named.items():
        sheet.line(name, read(env, result))
    for result in block.results:
        atom = read(env, result)
        if not is_float(atom.type):
            continue
        own = f"{sheet.labels.of[atom]}_bar" if isinstance(atom, Value) else ""
        seed = sheet.seed(atom, f"{named[result]}_bar" if result in named else own, of)
        accumulate(sheet.op, bars, atom, sheet.derived(own, seed, None) if result in named and own else seed)
        break
    return bars


def _reverse_step(sheet: Sheet, step: Step, bars: dict[Value, Atom]) -> None:
    """The rows of one equation run backwards, the youngest of its arguments first."""
    before, start = dict(bars), len(sheet.op.builder.eqns)
    backward(sheet.op, [step], bars)
    age = {v: k for k, v in enumerate(sheet.labels.of)}
    changed = [v for v in bars if bars[v] is not before.get(v)]
    changed.sort(key=lambda v: age[v], reverse=True)
    names = {bars[v]: f"{sheet.labels.of[v]}_bar" for v in changed}
    sheet.regions(start, {a: n for a, n in names.items() if isinstance(a, Value) and a not in sheet.labels.of})
    for value in changed:
        bars[value] = sheet.derived(f"{sheet.labels.of[value]}_bar", bars[value], step.eqn.loc)
    sheet.speller.leading.update(v for v in bars.values() if isinstance(v, Value))


# -- shared -----------------------------------------------------------------------------------------------------


def _start(program: Trace, subject: Subject, rows: bool = True) -> tuple[Sheet, Trace]:
    sheet = Sheet(program, subject.values)
    for param in program.params if rows else ():
        sheet.given(param)
    return sheet, program


def _finish(sheet: Sheet, title: str) -> Table:
    return Table(title, tuple(tuple(section) for section in sheet.sections if section))


def _singly(block: Block) -> Iterator[tuple[Eqn, Block]]:
    """Each equation that the results need and that has results, as a block of its own."""
    for eqn in drop_dead(block).eqns:
        if eqn.outs:
            yield eqn, Block((), (eqn,), eqn.outs)


def _results(sheet: Sheet, block: Block) -> list[tuple[str, Atom]]:
    """The results that have no name of the user's, as y, or y1, y2, …."""
    base = "y" if "y" not in sheet.labels.taken else "out"
    numbered = [f"{base}{k + 1}" if len(block.results) > 1 else base for k in range(len(block.results))]
    return [
        (name, result)
        for name, result in zip(numbered, block.results, strict=True)
        if not isinstance(result, Value) or re.fullmatch(r"v\d+", sheet.names[result]) or result in block.params
    ]


def _one(like: Any) -> Any:
    """One in every element."""
    return np.ones_like(like) if isinstance(like, np.ndarray) else type(like)(1)


def _zero(like: Any) -> Any:
    return np.zeros_like(like) if isinstance(like, np.ndarray) else type(like)(0)


def _unit(like: Any) -> Any:
    """One in the first element, zero in the others."""
    unit = _zero(like)
    if not isinstance(like, np.ndarray):
        return _one(like)
    unit.flat[:1] = 1
    return unit


def _jacobian_table(subject: Subject) -> Table:
    """A Jacobian's first column or row."""
    forward_mode = isinstance(subject.mode, Jacobian) and subject.mode.direction == "forward"
    return (_forward_table if forward_mode else _reverse_table)(subject)


_TABLES: dict[type, Callable[[Subject], Table]] = {
    Primal: _primal_table,
    Batched: _primal_table,
    Tangent: _forward_table,
    Gradient: _reverse_table,
    Pullback: _reverse_table,
    Jacobian: _jacobian_table,
    HessianVector: _second_table,
}

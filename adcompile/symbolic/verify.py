"""Checks the generated tangent and adjoint programs of a function against SymPy's derivative of the function itself.

Each derivative program is run on symbols, equation by equation, and every entry of the Jacobian it stands for is proved
equal to `sympy.diff` of the primal run on the same symbols. What has no expression (arrays too large, positions that
depend on values) is checked numerically, and the report says so.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from adcompile.errors import MissingRule
from adcompile.ir import Trace
from adcompile.modes import Argnums
from adcompile.primitives.evaluate import run
from adcompile.symbolic.algebra import ALGEBRA, is_small
from adcompile.symbolic.evaluate import Evaluator, Inexpressible
from adcompile.symbolic.proofs import NUMERIC, POINTS, SIMPLIFIED, equal_at, is_zero
from adcompile.symbolic.report import Finding, Report
from adcompile.symbolic.subject import Subject, Symbols, elements_of, symbolic, symbols_like
from adcompile.testing import DIRECTIONS, assert_close, assert_dual, difference, direction, tolerance

ELEMENTS = 8
EVALUABLE = 20000
"""Nodes of a derivative, counted as a tree, beyond which it is not evaluated."""
EXACT = 1e-30
"""Relative error of 50-digit evaluation, cancellation allowed for."""


def verify(
    f: Callable[..., Any], *args: Any, argnums: Argnums | None = None, modes: Sequence[str] = ("jvp", "vjp", "grad"),
    elements: int = ELEMENTS,
) -> Report:  # fmt: skip
    """Prove the generated derivative programs of a function, with SymPy where expressible and numerically elsewhere.

    Parameters
    ----------
    f : callable
        Anything that `adcompile.grad` takes; a derivative function such as ``adcompile.grad(g)`` gives second order.
    *args
        Arguments. Floats and float arrays become symbols of the signs that they have here; ints stay, so that loops
        run; conditions take the branch that they take here.
    argnums : int, str, or a tuple of them, optional
        The arguments to differentiate with respect to; by default all that hold floats.
    modes : sequence of {"jvp", "vjp", "grad"}
        The programs to check: tangent, adjoint, and gradient where there is one float result.
    elements : int
        The largest array to be expanded into symbols; with a larger one the check is numeric.

    Returns
    -------
    Report
        ``ok``, ``how`` per (mode, output, input), a table when printed; `Report.raise_if_failed` for tests. Equality is
        meant away from ties and jumps.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> print(adcompile.verify(lambda x: x * np.sin(x), 0.5, modes=("grad",)))
    f: verified
      ok  primal  out          equal to CPython
      ok  grad    out          simplify
      ok  grad    d out / d x  simplify
    """
    subject = Subject.of(f, args, argnums)
    notes: list[str] = []
    findings = [subject.against_python(f, args)]
    if not subject.floats or not subject.wanted:
        notes.append("nothing to differentiate: no float among the results or the arguments")
    symbols = symbolic(subject, elements, notes)
    for mode in modes:
        if mode == "grad" and not subject.has_gradient:
            continue
        try:
            program = subject.program(mode)
        except MissingRule as error:
            notes.append(f"{mode}: {error.fact}")
            continue
        findings += _check(subject, symbols, mode, program, notes)
    return Report(subject.trace.name, tuple(findings), tuple(dict.fromkeys(notes)))


# -- a derivative program on symbols ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """The results of a derivative program on symbols.

    ``entries(output, argument)`` is the block of the Jacobian that the program stands for, and
    ``rest(output, argument)`` what must vanish because the program is linear in its seeds.
    """

    values: Sequence[Any]
    entries: Callable[[int, int], list[list[Any]]]
    rest: Callable[[int, int], list[Any]]


def _run_jvp(subject: Subject, symbols: Symbols, program: Trace) -> _Run:
    point = dict(symbols.point)
    dots = {k: symbols_like(f"{subject.input(k)}'", subject.flat[k] * 0, point) for k in subject.wanted}
    found = Evaluator(ALGEBRA, symbols.point).run(program, [*symbols.args, *dots.values()])
    count = len(subject.trace.results)
    tangents = dict(zip(subject.floats, found[count:], strict=True))
    nothing = {d: 0 for dot in dots.values() for d in elements_of(dot)}
    return _Run(
        found[:count],
        lambda o, k: [[sympy.diff(e, d) for d in elements_of(dots[k])] for e in elements_of(tangents[o])],
        lambda o, k: [e.xreplace(nothing) for e in elements_of(tangents[o])],
    )


def _run_vjp(subject: Subject, symbols: Symbols, program: Trace) -> _Run:
    point = dict(symbols.point)
    seeds = {o: symbols_like(f"{subject.outputs[o]}'", _zeros_like(symbols.values[o]), point) for o in subject.floats}
    found = Evaluator(ALGEBRA, symbols.point).run(program, [*symbols.args, *seeds.values()])
    count = len(subject.trace.results)
    bars = dict(zip(subject.wanted, found[count:], strict=True))
    nothing = {s: 0 for seed in seeds.values() for s in elements_of(seed)}
    return _Run(
        found[:count],
        lambda o, k: [[sympy.diff(e, s) for e in elements_of(bars[k])] for s in elements_of(seeds[o])],
        lambda o, k: [e.xreplace(nothing) for e in elements_of(bars[k])],
    )


def _run_grad(subject: Subject, symbols: Symbols, program: Trace) -> _Run:
    value, *found = Evaluator(ALGEBRA, symbols.point).run(program, symbols.args)
    bars = dict(zip(subject.wanted, found, strict=True))
    return _Run([value], lambda o, k: [elements_of(bars[k])], lambda o, k: [])


_RUNS = {"jvp": _run_jvp, "vjp": _run_vjp, "grad": _run_grad}


def _zeros_like(value: Any) -> Any:
    return np.zeros(value.shape) if isinstance(value, np.ndarray) else 0.0


# -- proofs -----------------------------------------------------------------------------------------------------


def _check(subject: Subject, symbols: Symbols | None, mode: str, program: Trace, notes: list[str]) -> Iterator[Finding]:
    """The findings about one derivative program: for each result its value, then its derivatives."""
    results = None
    if symbols is not None:
        try:
            results = _RUNS[mode](subject, symbols, program)
        except Inexpressible as error:
            notes.append(f"{mode}: numeric, because {error}")
    for output, position in itertools.product(subject.floats, (None, *subject.wanted)):
        found = None
        if results is not None and symbols is not None:
            try:
                found = _prove(subject, symbols, results, output, position)
            except Inexpressible as error:
                notes.append(f"{mode} {subject.outputs[output]}: numeric, because {error}")
        ok, how = found or _compare(subject, mode, program, output, position)
        yield Finding(mode, subject.outputs[output], "" if position is None else subject.input(position), ok, how)


def _prove(subject: Subject, symbols: Symbols, results: _Run, output: int, position: int | None) -> tuple[bool, str]:
    """Whether a value, or the block of the Jacobian for one argument, is right; and how that is known."""
    if position is None:
        pairs = list(zip(elements_of(results.values[output]), symbols.value(output), strict=True))
    else:
        found, expected = results.entries(output, position), symbols.jacobian(output, position)
        pairs = [p for rows in zip(found, expected, strict=True) for p in zip(*rows, strict=True)]
        pairs += [(r, sympy.Integer(0)) for r in results.rest(output, position)]
    hard = [(a, b) for a, b in pairs if not is_zero(a - b, simplify=False)]
    if not hard:
        return True, SIMPLIFIED
    ok, how = _evaluate(hard, _points(symbols, hard), subject.rounding)
    simple = ok and all(is_zero(a - b) or is_zero(symbols.signed(a - b)) for a, b in hard)
    return ok, SIMPLIFIED if simple else how


def _evaluate(pairs: Sequence[tuple[Any, Any]], points: list[dict[Any, Any]], rounding: float) -> tuple[bool, str]:
    """Compare in 50 digits; constants that the program folded may be off by the rounding of its dtype."""
    if not all(is_small(side, EVALUABLE) for pair in pairs for side in pair):
        raise Inexpressible(f"a derivative has more than {EVALUABLE} nodes")
    try:
        worst = max(equal_at(pairs, points))
    except (TypeError, ValueError, NameError, ZeroDivisionError) as error:
        raise Inexpressible(f"it cannot be evaluated ({error})") from error
    if worst < EXACT:
        return True, NUMERIC
    if worst < rounding:
        return True, f"{NUMERIC}, to the rounding of constants"
    return False, f"differs by {float(worst):.3g} (relative) at one of {POINTS} points"


def _points(symbols: Symbols, pairs: Sequence[tuple[Any, Any]]) -> list[dict[Any, Any]]:
    """Rational points around the arguments, of the same signs; reproducible."""
    rng = random.Random(0)
    free = sorted({s for pair in pairs for side in pair for s in side.free_symbols} | set(symbols.point), key=str)

    def near(symbol: Any) -> Any:
        value, move = symbols.point.get(symbol, 0), sympy.Rational(rng.randint(-250, 250), 1000)
        return value * (1 + move) if value else move

    return [{s: near(s) for s in free} for _ in range(POINTS)]


# -- numbers ----------------------------------------------------------------------------------------------------


def _compare(subject: Subject, mode: str, program: Trace, output: int, position: int | None) -> tuple[bool, str]:
    """The numeric check of what has no expression, in random directions of one argument."""
    place = subject.floats.index(output)
    try:
        for seed in range(DIRECTIONS):
            _COMPARE[mode](subject, program, output, place, position, seed)
    except AssertionError as error:
        return False, str(error)
    if position is None:
        return True, "equal at the arguments"
    return True, f"{_WORDS[mode]} in {DIRECTIONS} directions"


_WORDS = {
    "jvp": "central differences",
    "vjp": "dot-product test with central differences",
    "grad": "central differences",
}


def _direction(subject: Subject, position: int | None, seed: int) -> tuple[Any, ...]:
    """A direction that moves one argument; zero along the other wanted ones, None for the rest."""
    moves = direction(subject.flat, seed)
    return tuple((d if k == position else d * 0) if k in subject.wanted else None for k, d in enumerate(moves))


def _slope(subject: Subject, dots: tuple[Any, ...], output: int) -> Any:
    eps = tolerance(subject.flat).eps
    return difference(lambda *flat: subject.value(flat), subject.flat, dots, eps)[output]


def _compare_jvp(subject: Subject, program: Trace, output: int, place: int, position: int | None, seed: int) -> None:
    dots = _direction(subject, position, seed)
    found = run(program, [*subject.flat, *(dots[k] for k in subject.wanted)])
    if position is None:
        _same_value(subject, found[output], output)
        return
    tangent = found[len(subject.trace.results) + place]
    assert_close(tangent, _slope(subject, dots, output), tolerance(subject.flat), "differs from central differences")


def _compare_vjp(subject: Subject, program: Trace, output: int, place: int, position: int | None, seed: int) -> None:
    results = subject.value(subject.flat)
    seeds = direction([results[k] for k in subject.floats], seed + DIRECTIONS)
    seeds = [s if j == place else s * 0 for j, s in enumerate(seeds)]
    found = run(program, [*subject.flat, *seeds])
    if position is None:
        _same_value(subject, found[output], output)
        return
    bar = found[len(results) + subject.wanted.index(position)]
    _dual(subject, seeds[place], output, bar, position, seed)


def _compare_grad(subject: Subject, program: Trace, output: int, place: int, position: int | None, seed: int) -> None:
    value, *bars = run(program, subject.flat)
    if position is None:
        _same_value(subject, value, output)
        return
    _dual(subject, 1.0, output, bars[subject.wanted.index(position)], position, seed)


_COMPARE = {"jvp": _compare_jvp, "vjp": _compare_vjp, "grad": _compare_grad}


def _same_value(subject: Subject, found: Any, output: int) -> None:
    assert_close(found, subject.value(subject.flat)[output], tolerance(subject.flat), "differs from the primal")


def _dual(subject: Subject, out_bar: Any, output: int, bar: Any, position: int, seed: int) -> None:
    dots = _direction(subject, position, seed)
    slope = _slope(subject, dots, output)
    assert_dual(out_bar, slope, bar, dots[position], tolerance(subject.flat), "differs from central differences")

"""Every elementwise derivative record against SymPy's derivative of its own ``primal``.

A partial is refuted at a point, or proved: by simplifying its difference from the derivative to zero, else by 50-digit
evaluation at 20 rational points of the record's domain. At the points where the derivative does not exist the record
follows a policy (docs/rules.md), which is no theorem; there the claim says what is left out.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy
from sympy.core.relational import Relational

from adcompile.ir.types import PYTHON_FLOAT, Type
from adcompile.primitives import PRIMITIVES, Primitive
from adcompile.primitives.registry import Rule
from adcompile.symbolic.algebra import ALGEBRA, exact, is_small

DIGITS = 50
POINTS = 20
SIMPLIFIED = "simplify"
NUMERIC = f"{DIGITS} digits at {POINTS} points"
STEP = sympy.Rational(1, 10**20)
"""Of the difference quotient for functions that SymPy leaves undifferentiated (floor): its error is of order 1e-40."""


@dataclass(frozen=True)
class Proof:
    """What is known of one partial derivative.

    Attributes
    ----------
    primitive, argument : the record, and the name of the argument differentiated with respect to.
    derivative, partial : SymPy's and the record's expression, as text.
    how : "simplify" or "50 digits at 20 points"; for a refuted one, the point and the two values.
    claim : where it holds.
    ok : False where it is refuted.
    """

    primitive: str
    argument: str
    derivative: str
    partial: str
    how: str
    claim: str
    ok: bool


class RefutedPartial(AssertionError):
    """A derivative record that differs from the derivative of its primal."""


def prove_partials() -> list[Proof]:
    """Proofs for every differentiable elementwise primitive, in order of definition.

    Raises
    ------
    RefutedPartial
        If any partial is wrong; `prove_primitive` returns the refutation instead.
    """
    records = [p for p in PRIMITIVES.values() if p.elementwise and p.differentiable]
    proofs = [proof for record in records for proof in prove_primitive(record)]
    refuted = [p for p in proofs if not p.ok]
    if refuted:
        raise RefutedPartial("\n".join(f"{p.primitive} in {p.argument}: {p.how}" for p in refuted))
    return proofs


def prove_primitive(record: Primitive) -> list[Proof]:
    """One proof or refutation per argument that a derivative is claimed for."""
    prove = _prove_rules if record.jvp is not None else _prove_partial
    names = list(inspect.signature(_rule(record.primal)).parameters)[1 : 1 + len(record.domain)]
    symbols = [_symbol(n, d) for n, d in zip(names, _domain(record), strict=True)]
    varying = [k for k, partial in enumerate(record.partials or ()) if partial is not None]
    if record.name == "stop_gradient":
        return []  # it is defined by its partial, which is not the derivative of its primal
    return [prove(record, symbols, k) for k in varying]


def _rule(rule: Rule | None) -> Rule:
    """A rule that the record is known to have."""
    assert rule is not None
    return rule


WIDER = {
    "abs": ((-4.0, 4.0),), "sign": ((-4.0, 4.0),), "reciprocal": ((-4.0, 4.0),), "div": ((-2.0, 2.0), (-4.0, 4.0)),
    "floordiv": ((-2.0, 2.0), (-4.0, 4.0)), "mod": ((-2.0, 2.0), (-4.0, 4.0)), "arctan2": ((-2.0, 2.0), (-4.0, 4.0)),
}  # fmt: skip
"""Domains on both sides of a singular point that the float tests keep away from."""


def _domain(record: Primitive) -> tuple[tuple[float, float], ...]:
    return WIDER.get(record.name, record.domain)


def _symbol(name: str, interval: tuple[float, float]) -> sympy.Symbol:
    return sympy.Symbol(name, positive=True) if interval[0] > 0 else sympy.Symbol(name, real=True)


def _prove_partial(record: Primitive, symbols: Sequence[sympy.Symbol], k: int) -> Proof:
    primal = exact(_rule(record.primal)(ALGEBRA, *symbols))
    found = _rule((record.partials or ())[k])(ALGEBRA, primal, *symbols)
    return _prove(record, symbols, k, primal, sympy.Integer(0) if found is None else exact(found))


@dataclass(frozen=True)
class _Result:
    """A result as rules see it: with a type, and as its expression in arithmetic."""

    expression: Any
    type: Type = PYTHON_FLOAT

    def _sympy_(self) -> Any:
        return self.expression


def _prove_rules(record: Primitive, symbols: Sequence[sympy.Symbol], k: int) -> Proof:
    """A record with rules for whole tangents and cotangents (where, cast): both along one argument."""
    primal, attrs, one = exact(_rule(record.primal)(ALGEBRA, *symbols)), {"dtype": "float64"}, sympy.Integer(1)
    wanted = [j == k for j in range(len(symbols))]
    seeds, outs = [one if w else None for w in wanted], (_Result(primal),)
    (tangent,) = _rule(record.jvp)(ALGEBRA, seeds, outs, symbols, attrs)
    cotangent = _rule(record.vjp)(ALGEBRA, (one,), outs, symbols, attrs, wanted)[k]
    proofs = [_prove(record, symbols, k, primal, exact(found)) for found in (tangent, cotangent)]
    return min(proofs, key=lambda proof: proof.ok)


def _prove(record: Primitive, symbols: Sequence[sympy.Symbol], k: int, primal: Any, partial: Any) -> Proof:
    x = symbols[k]
    derivative = sympy.diff(primal, x)
    claim = _claim(symbols, derivative, partial)
    away, given = _away_from_ties(derivative), _away_from_ties(partial)
    how, ok = None, True
    if not undifferentiated(away):
        how = SIMPLIFIED if is_zero(away - given) else None
    if how is None:
        how, ok = _at_points(record, symbols, k, primal, given)
    text = "difference quotient" if undifferentiated(away) else str(away)
    return Proof(record.name, str(x), text, str(given), how, claim, ok)


# -- ties and jumps ---------------------------------------------------------------------------------------------


def undifferentiated(expression: Any) -> bool:
    """Whether SymPy left a derivative standing."""
    return expression.has(sympy.Derivative, sympy.Subs, sympy.DiracDelta)


def _ties(expression: Any) -> list[sympy.Eq]:
    return sorted(expression.atoms(sympy.Eq), key=str)


def _away_from_ties(expression: Any) -> Any:
    """The expression where no equality between arguments holds."""
    return expression.xreplace(dict.fromkeys(_ties(expression), sympy.false))


def _claim(symbols: Sequence[sympy.Symbol], derivative: Any, partial: Any) -> str:
    positive = [f"{s} > 0" for s in symbols if s.is_positive]
    ties = [f"{tie.lhs} = {tie.rhs}" for tie in _ties(partial)]
    away = ["jumps"] if undifferentiated(derivative) else ties + ["0"] * derivative.has(sympy.sign)
    words = positive + [f"away from {', '.join(away)}"] * bool(away)
    return ", ".join(words) or "where defined"


# -- proofs of equality -----------------------------------------------------------------------------------------

SIMPLIFIABLE = 60
"""Nodes beyond which `sympy.simplify` takes too long; a bound on size and not on time keeps results reproducible."""
EXPANDABLE = 1500
"""Nodes beyond which expanding does."""
CASES = 5
"""Conditions beyond which a piecewise expression is not split into cases."""


def is_zero(difference: Any, simplify: bool = True) -> bool:
    """Whether an expression can be transformed to zero, in every case of a piecewise one, by expansion at least."""
    if difference == 0:
        return True
    if not is_small(difference, EXPANDABLE):
        return False
    parts = split_cases(difference, CASES)
    return parts is not None and all(_is_zero_case(part, simplify) for part in parts)


def _is_zero_case(difference: Any, simplify: bool) -> bool:
    if difference == 0 or sympy.expand(difference) == 0:
        return True
    return simplify and is_small(difference, SIMPLIFIABLE) and sympy.simplify(difference) == 0


def split_cases(expression: Any, depth: int) -> list[Any] | None:
    """The expressions that a piecewise one consists of, ties left out; None where there are too many conditions."""
    relations = sorted(expression.atoms(Relational), key=lambda r: (r.has(sympy.Piecewise), str(r)))
    if not relations:
        return [expression]
    if depth == 0:
        return None
    gap = relations[0].lhs - relations[0].rhs
    signs = (1, -1, 0) if isinstance(relations[0], sympy.Ne) else (1, -1)
    cases = []
    for sign in signs:
        case = expression.xreplace({r: _truth(r, gap, sign) for r in relations})
        parts = split_cases(case, depth - 1)
        if parts is None:
            return None
        cases += parts
    return cases


def _truth(relation: Any, gap: Any, sign: int) -> Any:
    """A relation where ``gap`` has a sign; unchanged where it compares something else."""
    ratio = sympy.cancel((relation.lhs - relation.rhs) / gap)
    return relation.func(ratio * sign, 0) if ratio.is_number and ratio != 0 else relation


def _at_points(
    record: Primitive, symbols: Sequence[sympy.Symbol], k: int, primal: Any, partial: Any
) -> tuple[str, bool]:
    """Compare at rational points of the domain; the refutation where one differs."""
    for point in _points(record, symbols):
        expected, found = _slope(primal, symbols[k], point), _value(partial, point, DIGITS)
        if abs(expected - found) > sympy.Float(10) ** -(DIGITS - 15) * (1 + abs(expected)):
            where = ", ".join(f"{s} = {v}" for s, v in point.items())
            return f"refuted at {where}: {found.evalf(8)} instead of {expected.evalf(8)}", False
    return NUMERIC, True


def _points(record: Primitive, symbols: Sequence[sympy.Symbol]) -> Iterator[dict[Any, Any]]:
    """Reproducible rational points inside the domain, with denominators that avoid integers and halves."""
    rng = random.Random(record.name)
    for _ in range(POINTS):
        yield {
            s: sympy.Rational(round((low + (high - low) * rng.uniform(0.02, 0.98)) * 997), 997)
            for s, (low, high) in zip(symbols, _domain(record), strict=True)
        }


def _slope(primal: Any, x: Any, point: dict[Any, Any]) -> Any:
    """The derivative at a point: SymPy's, or a difference quotient of step 1e-20 in three times the digits."""
    derivative = sympy.diff(primal, x)
    if not undifferentiated(derivative):
        return _value(derivative, point, DIGITS)
    ahead, behind = ({**point, x: point[x] + sign * STEP} for sign in (1, -1))
    return (_value(primal, ahead, 3 * DIGITS) - _value(primal, behind, 3 * DIGITS)) / (2 * STEP)


def _value(expression: Any, point: dict[Any, Any], digits: int) -> Any:
    return expression.xreplace(point).evalf(digits)


def equal_at(pairs: Sequence[tuple[Any, Any]], points: Sequence[dict[Any, Any]]) -> list[Any]:
    """The largest difference of each pair over some points, relative to the second; infinite where it is nan."""
    symbols = sorted(points[0], key=str)
    flat = [side for pair in pairs for side in pair]
    with mpmath.workdps(DIGITS):
        evaluate = sympy.lambdify(symbols, flat, modules="mpmath", cse=True)
        worst = [mpmath.mpf(0)] * len(pairs)
        for point in points:
            values = evaluate(*(mpmath.mpf(point[s].p) / point[s].q for s in symbols))
            for k in range(len(pairs)):
                worst[k] = max(worst[k], _relative(values[2 * k], values[2 * k + 1]))
    return worst


def _relative(a: Any, b: Any) -> Any:
    error = abs(mpmath.mpmathify(a) - b) / (1 + abs(b))
    return mpmath.inf if mpmath.isnan(error) else error


# -- the table of the documentation -----------------------------------------------------------------------------


def proof_table() -> str:
    """The proofs as a Markdown table: primitive, argument, derivative, how it was proved, where it holds."""
    lines = ["| primitive | argument | partial derivative | proved by | holds |", "|---|---|---|---|---|"]
    for proof in prove_partials():
        partial = proof.partial.replace("|", "\\|")
        lines.append(f"| `{proof.primitive}` | {proof.argument} | `{partial}` | {proof.how} | {proof.claim} |")
    return "\n".join(lines) + "\n"

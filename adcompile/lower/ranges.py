"""How small a floating-point scalar of the loop dialect may be, for positions that are data.

``int(min(max(x, 0.0), n - 1.001))`` is a subscript that needs no wraparound. Bounds hold unless the value is nan, which
as an integer is far out of any array's range.
"""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING

from adcompile.ir import Atom, Const, Eqn, Value
from adcompile.ir.types import FLOATS

if TYPE_CHECKING:
    from adcompile.lower.indices import Indices

_DEPTH = 12
_GREATER = {"gt": (0, 1), "ge": (0, 1), "lt": (1, 0), "le": (1, 0)}
"""Comparisons, and which operand is the greater one where they hold."""


def is_truncated_upwards(indices: Indices, atom: Value) -> bool:
    """Whether an integer is a floating-point number, cut, that is nan or above -1 whatever the rounding."""
    eqn = indices.definition(atom)
    if eqn is None or eqn.op != "cast" or eqn.args[0].type.dtype not in FLOATS or atom.type.dtype != "int64":
        return False
    return least(indices, eqn.args[0]) >= -0.5


def least(indices: Indices, atom: Atom, depth: int = _DEPTH) -> float:
    """A lower bound of a scalar."""
    if isinstance(atom, Const):
        value = float(atom.value)
        return -inf if isnan(value) else value
    if atom.type.dtype == "int64":
        return next((bound for bound in (1, 0) if indices.at_least(indices.context.op.handle(atom), bound)), -inf)
    eqn = indices.definition(atom)
    rule = _RULES.get(eqn.op) if eqn is not None and depth else None
    return rule(indices, eqn, depth - 1) if rule else -inf  # type: ignore[arg-type]


def _each(indices: Indices, eqn: Eqn, depth: int) -> list[float]:
    return [least(indices, a, depth) for a in eqn.args]


def _difference(indices: Indices, eqn: Eqn, depth: int) -> float:
    a, b = eqn.args
    return least(indices, a, depth) - float(b.value) if isinstance(b, Const) else -inf


def _selection(indices: Indices, eqn: Eqn, depth: int) -> float:
    """The smaller of two bounds; what was compared, and not chosen away, is bounded by what it was compared with."""
    condition, *choices = eqn.args
    test = indices.definition(condition)
    bounds = []
    for taken, choice in zip((True, False), choices, strict=True):
        bound = least(indices, choice, depth)
        if test is not None and test.op in _GREATER:
            greater, smaller = (test.args[k] for k in _GREATER[test.op][:: 1 if taken else -1])
            bound = max(bound, least(indices, smaller, depth)) if choice is greater else bound
        bounds.append(bound)
    return min(bounds)


_RULES = {
    "cast": lambda indices, eqn, depth: least(indices, eqn.args[0], depth),
    "add": lambda indices, eqn, depth: sum(_each(indices, eqn, depth)),
    "sub": _difference,
    "maximum": lambda indices, eqn, depth: max(_each(indices, eqn, depth)),
    "minimum": lambda indices, eqn, depth: min(_each(indices, eqn, depth)),
    "where": _selection,
    "floor": lambda indices, eqn, depth: least(indices, eqn.args[0], depth) // 1,
    "abs": lambda indices, eqn, depth: 0.0,
}

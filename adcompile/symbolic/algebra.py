"""The algebra of SymPy expressions: ``op.sin(x)`` is SymPy's, so that derivative records run on symbols.

The counterpart of `adcompile.primitives.algebra.Emitter`. Numbers are exact: a float is the simple fraction it is the
rounding of, or the decimal number it is written as. Needs real arguments; nan and signed zeros do not exist here.
"""

from __future__ import annotations

import fractions
import functools
import math
from typing import Any

import sympy
from sympy.logic.boolalg import Boolean


def exact(value: Any) -> Any:
    """A SymPy object with every float in it replaced by a rational number."""
    expression = sympy.sympify(value)
    floats = expression.atoms(sympy.Float) if isinstance(expression, sympy.Basic) else ()
    return expression.xreplace({f: _rational(float(f)) for f in floats}) if floats else expression


@functools.lru_cache(maxsize=4096)
def _rational(value: float) -> Any:
    """``0.1`` is one tenth and ``0.3333333333333333`` one third."""
    if not math.isfinite(value):
        return sympy.nan if math.isnan(value) else sympy.oo * int(math.copysign(1, value))
    simple = fractions.Fraction(value).limit_denominator(1000)
    if float(simple) == value:
        return sympy.Rational(simple.numerator, simple.denominator)
    return sympy.Rational(repr(value))


def is_small(expression: Any, limit: int) -> bool:
    """Whether an expression has at most ``limit`` nodes, counted as a tree."""
    return all(k < limit for k, _ in enumerate(sympy.preorder_traversal(expression)))


def is_boolean(value: Any) -> bool:
    """Whether a SymPy object is a truth value; symbols stand for numbers."""
    return isinstance(value, Boolean) and not isinstance(value, sympy.Symbol)


def condition(value: Any) -> Any:
    """A Boolean: Python's and SymPy's as they are, numbers by being nonzero."""
    value = sympy.sympify(value)
    return value if is_boolean(value) else sympy.Ne(value, 0)


def where(chosen: Any, x: Any, y: Any) -> Any:
    """``x`` where the condition holds, else ``y``; Booleans stay Booleans."""
    chosen, x, y = condition(chosen), exact(x), exact(y)
    if is_boolean(x) and is_boolean(y):
        return sympy.ITE(chosen, x, y)
    return sympy.Piecewise((number(x), chosen), (number(y), True))


def number(value: Any) -> Any:
    """An expression; a Boolean becomes one or zero."""
    value = exact(value)
    return sympy.Piecewise((1, value), (0, True)) if is_boolean(value) else value


def _truncated(x: Any) -> Any:
    x = exact(x)
    return sympy.sign(x) * sympy.floor(sympy.Abs(x))


def _rounded(x: Any) -> Any:
    """To the nearest integer, ties to even."""
    x = exact(x)
    down = sympy.floor(x)
    rest = x - down
    even = 2 * sympy.floor((down + 1) / 2)
    return sympy.Piecewise((down, rest < sympy.S.Half), (down + 1, rest > sympy.S.Half), (even, True))


_FUNCTIONS = {
    "exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt, "abs": sympy.Abs, "sign": sympy.sign,
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "arctan2": sympy.atan2,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "arcsinh": sympy.asinh, "arccosh": sympy.acosh, "arctanh": sympy.atanh,
    "erf": sympy.erf, "erfc": sympy.erfc, "expit": lambda x: 1 / (1 + sympy.exp(-x)),
    "cbrt": lambda x: sympy.sign(x) * sympy.Abs(x) ** sympy.Rational(1, 3),
    "floor": sympy.floor, "ceil": sympy.ceiling, "trunc": _truncated, "rint": _rounded,
    "maximum": lambda x, y: where(x > y, x, y), "minimum": lambda x, y: where(x < y, x, y),
    "lt": sympy.Lt, "le": sympy.Le, "gt": sympy.Gt, "ge": sympy.Ge, "eq": sympy.Eq, "ne": sympy.Ne,
    "isfinite": lambda x: sympy.true, "isnan": lambda x: sympy.false, "isinf": lambda x: sympy.false,
}  # fmt: skip
_LOGIC = {
    "logical_and": sympy.And, "logical_or": sympy.Or, "logical_not": sympy.Not,
    "bitand": sympy.And, "bitor": sympy.Or, "bitxor": sympy.Xor,
}  # fmt: skip


class Algebra:
    """``op`` over SymPy expressions; stateless."""

    pi = sympy.pi
    where = staticmethod(where)

    def __getattr__(self, name: str) -> Any:
        if name in _LOGIC:
            return lambda *args: _LOGIC[name](*map(condition, args))
        if name in _FUNCTIONS:
            return lambda *args: exact(_FUNCTIONS[name](*map(number, args)))
        raise AttributeError(f"{name} has no SymPy counterpart")

    def __call__(self, name: str, *args: Any, **attrs: Any) -> Any:
        """The emitter's other spelling, ``op("sin", x)``; attributes say only dtypes and shapes."""
        return getattr(self, name)(*args)

    def cast(self, x: Any, **attrs: Any) -> Any:
        """The same number; a Boolean becomes one or zero."""
        return number(x)

    def like(self, x: Any, value: Any) -> Any:
        """The value: there are no dtypes here."""
        return exact(value)

    def zeros_like(self, x: Any) -> Any:
        """Zero."""
        return sympy.Integer(0)

    def zero(self, dtype: str) -> Any:
        """Zero."""
        return sympy.Integer(0)


ALGEBRA = Algebra()

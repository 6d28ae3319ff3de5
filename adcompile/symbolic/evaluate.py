"""Runs traces on SymPy symbols: one equation on object arrays of expressions.

Elementwise equations go through their records' ``primal``, structural ones through the ordinary NumPy spelling, which
works on object arrays. Integers stay integers, so loops run. A condition that decides the control flow takes the value
it has at the given arguments: what is computed is the program on their path.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import sympy

from adcompile.ir import Const, Eqn, Scalar, Trace, Type
from adcompile.ir.core import Block, substitute
from adcompile.ir.interpreter import interpret
from adcompile.ir.types import PYTHON_BOOL
from adcompile.primitives import PRIMITIVES
from adcompile.primitives import evaluate as numeric
from adcompile.primitives.registry import Rule
from adcompile.symbolic.algebra import ALGEBRA, Algebra, condition, exact, is_boolean, is_small, number

NODES = 1000
"""Size of an expression, counted as a tree, beyond which SymPy takes too long."""


class Inexpressible(Exception):
    """A program, or part of one, that has no SymPy expression; the message says what and why."""


class Frozen(Algebra):
    """The algebra in which piecewise constant functions are constants: their derivative is zero away from jumps.

    SymPy leaves ``floor`` undifferentiated. Each value becomes a symbol, which `thaw` replaces after differentiation.
    """

    def __init__(self):
        self.values: dict[Any, Any] = {}

    def freeze(self, value: Any) -> Any:
        """A constant that stands for a value."""
        if not getattr(value, "free_symbols", None):
            return value
        constant = sympy.Dummy(f"c{len(self.values)}", real=True)
        self.values[constant] = value
        return constant

    def thaw(self, expression: Any) -> Any:
        """The expression with the values back in it."""
        for constant, value in reversed(self.values.items()):
            expression = expression.xreplace({constant: value})
        return expression


def _frozen(name: str) -> Callable[..., Any]:
    return lambda self, x: self.freeze(getattr(ALGEBRA, name)(x))


for _name in ("floor", "ceil", "trunc", "rint", "sign"):
    setattr(Frozen, _name, _frozen(_name))


class Decided:
    """A symbolic condition that is as true as at the given arguments; ``path`` collects what was decided."""

    def __init__(self, expression: Any, point: Mapping[Any, Any], path: dict[str, None]):
        self.expression, self.point, self.path = expression, point, path

    def __bool__(self) -> bool:
        value = self.expression.xreplace(self.point)
        if value not in (sympy.true, sympy.false):
            raise Inexpressible(f"the condition {self.expression} has no value at the arguments")
        self.path[str(self.expression if value else sympy.Not(self.expression))] = None
        return bool(value)


class Evaluator:
    """Evaluates the equations of traces.

    Parameters
    ----------
    algebra : how elementwise functions are computed: `ALGEBRA`, or `Frozen` for what is to be differentiated.
    point : the values of the symbols at the given arguments.

    Attributes
    ----------
    path : the conditions that decided the control flow so far, as they hold at the arguments.
    """

    def __init__(self, algebra: Algebra, point: Mapping[Any, Any]):
        self.algebra, self.point = algebra, point
        self.path: dict[str, None] = {}

    def run(self, trace: Trace, args: Sequence[Any]) -> tuple[Any, ...]:
        """The results of a trace; elements are SymPy expressions where the type is a float."""
        found = interpret(_without_rules(trace), args, self.equation, constant)
        return tuple(r.expression if isinstance(r, Decided) else r for r in found)

    def equation(self, eqn: Eqn, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results of one equation."""
        values = [v.expression if isinstance(v, Decided) else v for v in values]
        if not any(map(is_symbolic, values)):
            return numeric.evaluate(eqn, values)
        try:
            outs = self._symbolic(eqn, values)
        except (TypeError, AttributeError, IndexError) as error:
            place = f" at {eqn.loc.short}" if eqn.loc else ""
            raise Inexpressible(f"{eqn.op}{place} cannot be computed on symbols") from error
        for out in outs:
            _require_small(out, eqn)
        return tuple(self._settle(out, o.type) for out, o in zip(outs, eqn.outs, strict=True))

    def _symbolic(self, eqn: Eqn, values: Sequence[Any]) -> tuple[Any, ...]:
        special = _SPECIAL.get(eqn.op)
        if special is not None:
            return (special(eqn, *values),)
        if not PRIMITIVES[eqn.op].elementwise:
            return numeric.evaluate(eqn, values)
        if eqn.op == "stop_gradient" and isinstance(self.algebra, Frozen):
            return (np.frompyfunc(self.algebra.freeze, 1, 1)(*values),)
        return (_elementwise(self.algebra, eqn.op, values),)

    def _settle(self, value: Any, type: Type) -> Any:
        """A result in the form that its type says: plain where it is an int or bool that is known."""
        if isinstance(value, np.ndarray) and isinstance(type, Scalar):
            value = value.item()
        if type.dtype.startswith("float"):
            return value
        if isinstance(value, np.ndarray):
            known = all(isinstance(v, int | sympy.Integer) or v in (sympy.true, sympy.false) for v in value.flat)
            return value.astype(type.dtype) if known else value
        if is_boolean(value):
            return bool(value) if value in (sympy.true, sympy.false) else Decided(value, self.point, self.path)
        return int(value) if isinstance(value, sympy.Integer) else value


def constant(value: Any, type: Type) -> Any:
    """A constant: exact where it is a float."""
    return exact(value) if type.dtype.startswith("float") else numeric.number(value, type)


def is_symbolic(value: Any) -> bool:
    """Whether a value holds SymPy expressions."""
    return isinstance(value, sympy.Basic) or (isinstance(value, np.ndarray) and value.dtype == object)


def _require_small(value: Any, eqn: Eqn) -> None:
    """Refuse expressions that swell: SymPy works on trees, in which a value that is read twice stands twice."""
    elements = value.flat if isinstance(value, np.ndarray) else (value,)
    if not all(is_small(e, NODES) for e in elements if isinstance(e, sympy.Basic)):
        place = f" at {eqn.loc.short}" if eqn.loc else ""
        raise Inexpressible(f"the expression{place} has more than {NODES} nodes")


def _without_rules(trace: Trace) -> Trace:
    """Calls with rules of the user's as what they compute, in the one form the interpreter knows: a branch taken."""
    return Trace(trace.name, _inlined(trace.block), trace.header)


def _inlined(block: Block) -> Block:
    eqns = []
    for eqn in block.eqns:
        regions = tuple(map(_inlined, eqn.regions))
        if eqn.op in ("custom_jvp", "custom_vjp"):
            primal = regions[0]
            body = substitute(Block((), primal.eqns, primal.results), dict(zip(primal.params, eqn.args, strict=True)))
            eqns.append(Eqn("if", (Const(True, PYTHON_BOOL),), eqn.outs, {}, eqn.loc, (body, body)))
        else:
            eqns.append(Eqn(eqn.op, eqn.args, eqn.outs, eqn.attrs, eqn.loc, regions, eqn.note))
    return Block(block.params, tuple(eqns), block.results)


# -- equations that need more than NumPy's spelling -------------------------------------------------------------

_ON_BOOLEANS = {
    "where",
    "cast",
    "stop_gradient",
    "logical_and",
    "logical_or",
    "logical_not",
    "bitand",
    "bitor",
    "bitxor",
}


def _elementwise(algebra: Algebra, name: str, values: Sequence[Any]) -> Any:
    primal, convert = cast(Rule, PRIMITIVES[name].primal), sympy.sympify if name in _ON_BOOLEANS else number
    finish = exact if _has_literal(name) else lambda x: x
    return np.frompyfunc(
        lambda *args: finish(primal(algebra, *map(convert, args))),
        len(values),
        1,
    )(*values)


@functools.cache
def _has_literal(name: str) -> bool:
    """Whether a record writes a float literal, which SymPy would keep as a rounded number."""
    symbols = sympy.symbols(f"a:{len(PRIMITIVES[name].domain)}", real=True)
    return sympy.sympify(cast(Rule, PRIMITIVES[name].primal)(ALGEBRA, *symbols)).has(sympy.Float)


def _cast(eqn: Eqn, x: Any) -> Any:
    """A conversion: to a float the same number, to a bool being nonzero, to an int only where the number is known."""
    dtype = eqn.attrs["dtype"]
    convert = number if dtype.startswith("float") else condition if dtype == "bool" else _integer
    return np.frompyfunc(convert, 1, 1)(x)


def _integer(x: Any) -> int:
    if not (isinstance(x, int | np.integer) or getattr(x, "is_Rational", False)):
        raise TypeError("a symbol has no integer part")
    return int(x)


def _full(eqn: Eqn, value: Any, *sizes: Any) -> Any:
    return np.full(tuple(map(int, sizes)), value, dtype=object)


def _extremum(eqn: Eqn, x: Any) -> Any:
    """The maximum or minimum over axes, pair by pair."""
    pairwise = np.frompyfunc(getattr(ALGEBRA, f"{eqn.op}imum"), 2, 1)
    for axis in sorted(eqn.attrs["axis"], reverse=True):
        x = pairwise.reduce(x, axis=axis, keepdims=eqn.attrs["keepdims"])
    return x


def _refuse(eqn: Eqn, *values: Any) -> Any:
    raise TypeError(f"{eqn.op} depends on the order of values")


_SPECIAL: dict[str, Callable[..., Any]] = {
    "cast": _cast,
    "full": _full,
    "max": _extremum,
    "min": _extremum,
    **dict.fromkeys(("argmax", "argmin", "argsort", "searchsorted", "nonzero"), _refuse),
}

"""The function that `adcompile.verify` checks: its trace at some arguments, and the same on symbols."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from adcompile.api import argument_names
from adcompile.frontend.trace import Traced, signature_of, trace
from adcompile.ir import Scalar, Trace, is_float
from adcompile.modes import Argnums
from adcompile.positions import leaf_positions
from adcompile.primitives.evaluate import run
from adcompile.symbolic.algebra import exact
from adcompile.symbolic.evaluate import Evaluator, Frozen, Inexpressible
from adcompile.symbolic.proofs import undifferentiated
from adcompile.symbolic.report import Finding
from adcompile.testing import Tolerance, assert_close
from adcompile.transform.derivatives import gradient_trace, jvp_trace, vjp_trace
from adcompile.transform.simplify import simplify

ROUNDED = {"float64": 1e-12, "float32": 1e-5}
"""Relative error that constants folded in a dtype may cause."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A traced function at some arguments."""

    traced: Traced
    flat: tuple[Any, ...]
    wanted: tuple[int, ...]

    @classmethod
    def of(cls, f: Any, args: Sequence[Any], argnums: Argnums | None) -> Subject:
        """Trace a function for some arguments."""
        signature, leaves = signature_of(args, {})
        labels = argument_names(f, args, {})
        traced = trace(f, signature, labels)
        positions = leaf_positions(signature, labels, len(traced.captures))
        given = [*(c.get() for c in traced.captures), *(leaves[k] for k in signature.dynamic)]
        flat = tuple(x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in given)
        if argnums is None:
            every = range(len(traced.captures), len(flat))
            wanted = [k for k in every if is_float(traced.trace.params[k].type)]
        else:
            chosen = (argnums,) if isinstance(argnums, int | str) else argnums
            wanted = [k for which in chosen for k in positions.floats(which)]
        return cls(traced, flat, tuple(wanted))

    @property
    def trace(self) -> Trace:
        """The trace of the function."""
        return self.traced.trace

    @property
    def floats(self) -> list[int]:
        """The positions of the float results."""
        return [k for k, r in enumerate(self.trace.results) if is_float(r.type)]

    @property
    def outputs(self) -> list[str]:
        """The names of the results."""
        single = len(self.trace.results) == 1
        return ["out" if single else f"out[{k}]" for k in range(len(self.trace.results))]

    @property
    def has_gradient(self) -> bool:
        """Whether the result is one float."""
        results = self.trace.results
        return len(results) == 1 and isinstance(results[0].type, Scalar) and is_float(results[0].type)

    def input(self, position: int) -> str:
        """The name of a parameter."""
        return self.trace.params[position].name

    def program(self, mode: str) -> Trace:
        """The derivative program, as it would be compiled."""
        if mode == "grad":
            made = gradient_trace(self.trace, self.wanted, value=True)
        else:
            made = {"jvp": jvp_trace, "vjp": vjp_trace}[mode](self.trace, self.wanted)
        return simplify(made, final=True)

    def value(self, flat: Sequence[Any]) -> tuple[Any, ...]:
        """The results at some flat arguments, by NumPy."""
        return run(simplify(self.trace, final=True), flat)

    def against_python(self, f: Any, args: Sequence[Any]) -> Finding:
        """The trace against the function itself, run by CPython on a copy of the arguments."""
        expected = f(*copy.deepcopy(args))
        found = self.traced.results.rebuild(self.value(self.flat))
        try:
            assert_close(found, expected, Tolerance(self.rounding, self.rounding, 0.0), "not equal to CPython")
        except AssertionError as error:
            return Finding("primal", ", ".join(self.outputs), "", False, str(error))
        return Finding("primal", ", ".join(self.outputs), "", True, "equal to CPython")

    @property
    def rounding(self) -> float:
        """The relative error of the coarsest float dtype among the parameters."""
        return ROUNDED["float32" if any(p.type.dtype == "float32" for p in self.trace.params) else "float64"]


# -- symbols ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Symbols:
    """The primal run on symbols, and its Jacobian."""

    args: tuple[Any, ...]
    values: tuple[Any, ...]
    point: Mapping[Any, Any]
    frozen: Frozen

    def signed(self, expression: Any) -> Any:
        """An expression in symbols that know the signs they have at the arguments."""
        signs = {s: "positive" if v > 0 else "negative" for s, v in self.point.items() if v != 0}
        return expression.xreplace({s: sympy.Symbol(s.name, **{sign: True}) for s, sign in signs.items()})

    def value(self, output: int) -> list[Any]:
        """The elements of a result."""
        return [self.frozen.thaw(e) for e in elements_of(self.values[output])]

    def jacobian(self, output: int, position: int) -> list[list[Any]]:
        """SymPy's derivatives of the elements of a result with respect to those of an argument."""
        rows = elements_of(self.values[output])
        found = [[self.frozen.thaw(sympy.diff(e, x)) for x in elements_of(self.args[position])] for e in rows]
        if any(undifferentiated(e) for row in found for e in row):
            raise Inexpressible("SymPy has no derivative of it")
        return found


def symbolic(subject: Subject, elements: int, notes: list[str]) -> Symbols | None:
    """The primal on symbols; None, with a note, where it has no expression."""
    large = [subject.input(k) for k in subject.wanted if np.size(subject.flat[k]) > elements]
    if large:
        notes.append(f"numeric, because {', '.join(large)} has more than {elements} elements")
        return None
    args = list(map(exactly, subject.flat))
    point: dict[Any, Any] = {}
    for k in subject.wanted:
        args[k] = symbols_like(subject.input(k), subject.flat[k], point)
    frozen = Frozen()
    evaluator = Evaluator(frozen, point)
    try:
        values = evaluator.run(subject.trace, args)
    except Inexpressible as error:
        notes.append(f"numeric, because {error}")
        return None
    if evaluator.path:
        first, *others = evaluator.path
        more = f" and {len(others)} more conditions" if others else ""
        notes.append(f"on the path that the arguments take, where {first}{more}")
    return Symbols(tuple(args), values, point, frozen)


def exactly(value: Any) -> Any:
    """A known argument: floats as exact numbers."""
    if np.asarray(value).dtype.kind != "f":
        return value
    return np.frompyfunc(exact, 1, 1)(value)


def symbols_like(name: str, value: Any, point: dict[Any, Any]) -> Any:
    """Real symbols for the numbers in ``value``; ``point`` gets their values.

    Names of elements hold brackets, so that no two arguments share a symbol. No symbol knows its sign: SymPy would
    isolate roots of polynomials at every step to find out the signs of expressions.
    """
    if not isinstance(value, np.ndarray):
        return _symbol(name, value, point)
    made = np.empty(value.shape, dtype=object)
    for index in np.ndindex(value.shape):
        made[index] = _symbol(f"{name}[{','.join(map(str, index))}]", value[index], point)
    return made


def _symbol(name: str, value: Any, point: dict[Any, Any]) -> Any:
    symbol = sympy.Symbol(name, real=True)
    point[symbol] = exact(float(value))
    return symbol


def elements_of(value: Any) -> list[Any]:
    """The expressions of an array in C order, or of a scalar."""
    return list(value.flat) if isinstance(value, np.ndarray) else [sympy.sympify(value)]

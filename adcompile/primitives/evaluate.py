"""Runs one equation with NumPy, by the very text the code generator writes for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.ir import Atom, Const, Eqn, Scalar, Trace, Type, Value
from adcompile.ir.interpreter import interpret
from adcompile.primitives import runtime
from adcompile.primitives.registry import PRIMITIVES

_PYTHON = {"float64": "float", "int64": "int", "bool": "bool"}


def infix_of(eqn: Eqn) -> tuple[str, float] | None:
    """The operator and precedence of an equation; None where NumPy's function is meant although Python's numbers go in.

    ``np.add(1.0, 2.0)`` is a NumPy scalar and ``1.0 + 2.0`` is not, which decides later dtypes.
    """
    infix = PRIMITIVES[eqn.op].infix
    if infix is None or not isinstance(eqn.outs[0].type, Scalar) or eqn.outs[0].type.weak:
        return infix
    return None if all(isinstance(a.type, Scalar) and a.type.weak for a in eqn.args) else infix


def spell(eqn: Eqn, texts: Sequence[str]) -> str:
    """The Python text of an equation, its arguments given as texts (parenthesised where the caller must)."""
    primitive, infix = PRIMITIVES[eqn.op], infix_of(eqn)
    if infix:
        return f"{texts[0]} {infix[0]} {texts[1]}" if len(texts) == 2 else f"{infix[0]}{texts[0]}"
    if callable(primitive.python):
        return primitive.python(texts, eqn)
    type = eqn.outs[0].type if eqn.outs else None
    if not (primitive.elementwise and isinstance(type, Scalar) and type.weak):
        return primitive.python.format(*texts, **eqn.attrs)
    if primitive.scalar_python:
        return primitive.scalar_python.format(*texts)
    return f"{_PYTHON[type.dtype]}({primitive.python.format(*texts)})"


@functools.lru_cache(maxsize=4096)
def _statement(text: str):
    return compile(text, "<equation>", "exec")


@functools.lru_cache(maxsize=4096)
def _compiled(text: str, count: int):
    return eval(f"lambda {', '.join(f'a{i}' for i in range(count))}: {text}", runtime.NAMESPACE)


def evaluate(eqn: Eqn, values: Sequence[Any]) -> tuple[Any, ...]:
    """The results of an equation without regions, computed by NumPy; arrays are never written in place."""
    if eqn.op in ("store", "accumulate", "gemm"):
        target = np.array(values[0])
        exec(
            _statement(spell(eqn, [f"a{i}" for i in range(len(values))])),
            dict(runtime.NAMESPACE),
            {"a0": target, **{f"a{i}": v for i, v in enumerate(values) if i}},
        )
        return (target,)
    text = spell(eqn, [f"a{i}" for i in range(len(values))])
    result = _compiled(text, len(values))(*values)
    return tuple(result) if len(eqn.outs) > 1 else (result,) if eqn.outs else ()


def number(value: Any, type: Type) -> Any:
    """A constant as the Python or NumPy scalar that its type says."""
    if isinstance(type, Scalar) and type.weak:
        return {"float64": float, "int64": int, "bool": bool}[type.dtype](value)
    return np.dtype(type.dtype).type(value)


def evaluate_constant(name: str, atoms: Sequence[Atom], type: Type, attrs: Mapping[str, Any]) -> Any:
    """The value of an elementwise primitive on constants; None where it has none (a domain error, nan or inf)."""
    eqn = Eqn(name, tuple(atoms), (Value(type),), attrs)
    values = [number(a.value, a.type) for a in atoms if isinstance(a, Const)]
    try:
        with np.errstate(all="ignore"):
            result = number(evaluate(eqn, values)[0], type)
    except (ArithmeticError, ValueError):
        return None
    result = result.item() if isinstance(result, np.generic) else result
    return result if not isinstance(result, float) or math.isfinite(result) else None


def run(trace: Trace, args: Sequence[Any]) -> tuple[Any, ...]:
    """Interpret a trace with NumPy: the oracle of the tests."""
    return interpret(trace, args, evaluate, number)


def infer(eqn: Eqn) -> tuple[Type, ...]:
    """The types an equation's results must have, for the verifier."""
    return PRIMITIVES[eqn.op].infer(tuple(a.type for a in eqn.args), eqn.attrs)

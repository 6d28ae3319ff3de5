"""Runs one equation with NumPy, by the very text the code generator writes for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.ir import Atom, Const, Eqn, Scalar, Trace, Type, Value
from adcompile.ir.interpreter import interpret
from adcompile.primitives.registry import PRIMITIVES
from adcompile.primitives import runtime


def spell(eqn: Eqn, texts: Sequence[str]) -> str:
    """The Python text of an equation, its arguments given as texts (parenthesised where the caller must)."""
    primitive = PRIMITIVES[eqn.op]
    weak = bool(eqn.outs) and isinstance(eqn.outs[0].type, Scalar) and eqn.outs[0].type.weak
    if primitive.infix:
        return f"{texts[0]} {primitive.infix[0]} {texts[1]}" if len(texts) == 2 else f"{primitive.infix[0]}{texts[0]}"
    python = primitive.scalar_python if weak and primitive.scalar_python else primitive.python
    if callable(python):
        return python(texts, eqn)
    return python.format(*texts, **eqn.attrs)


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

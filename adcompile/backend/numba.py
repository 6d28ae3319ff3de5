"""The Numba backend: the Python source of the loop dialect under ``njit``.

Slower to compile than the LLVM backend, but what it makes can be called from the user's own njit functions
(`adcompile.api.Transform.njit`).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba.extending import overload, register_jitable

from adcompile.backend.python import located, register
from adcompile.codegen import Source, emit
from adcompile.ir import Array, Scalar, Trace, Type


@register_jitable
def check_same(a, b, message, line):
    """Raise ValueError unless two sizes are equal."""
    if a != b:
        raise ValueError(line, message, a, b)


@register_jitable
def check_index(i, n, line):
    """Raise IndexError unless ``-n <= i < n``."""
    if not -n <= i < n:
        raise IndexError(line, i, n)


@register_jitable
def check_nonzero(n, line):
    """Raise ZeroDivisionError on zero."""
    if n == 0:
        raise ZeroDivisionError(line)


CHECKS = {"check_same": check_same, "check_index": check_index, "check_nonzero": check_nonzero}
"""The checks of `adcompile.primitives.runtime`; each gets the line of its call, which njit code cannot find out."""
_WORDS = {
    ValueError: "{}: sizes {} and {}",
    IndexError: "index {} is out of bounds for size {}",
    ZeroDivisionError: "integer division or modulo by zero",
}


def _with_lines(tree: ast.Module) -> ast.Module:
    """Give every check the line that it stands on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CHECKS:
            node.args.append(ast.copy_location(ast.Constant(node.lineno), node))
    return tree


def _worded(error: Exception, written: Source) -> Exception:
    """The exception of a failed check with its words and the user's line; any other one as it is."""
    words = _WORDS.get(type(error))
    if words is None or not error.args or not isinstance(error.args[0], int):
        return error
    line, *facts = error.args
    return located(type(error)(words.format(*facts)), written, line)


def expit(x: Any) -> Any:
    """The logistic function; see `_expit_of`."""
    raise NotImplementedError("only in njit code")


@overload(expit)
def _expit_of(x):
    """The logistic function for a dtype, without overflow on either side."""
    one = np.float32(1.0) if x == numba.types.float32 else np.float64(1.0)

    def logistic(x):
        small = math.exp(-abs(x))
        return (small if x < 0 else one) / (one + small)

    return logistic


SPECIAL = ModuleType("special", "The special functions that Numba knows, under SciPy's names.")
SPECIAL.__dict__.update(erf=math.erf, erfc=math.erfc, expit=expit)


def compile(trace: Trace, *, fastmath: bool = False) -> Callable[..., tuple[Any, ...]]:
    """A function from flat arguments to a tuple of flat results."""
    function, written = dispatcher(trace, fastmath=fastmath)

    def run(*args: Any) -> tuple[Any, ...]:
        try:
            found = function(*args)
        except tuple(_WORDS) as error:
            found = _worded(error, written)
            raise found from (None if found is error else error)
        return tuple(_exact(v, r.type) for v, r in zip(found, trace.results, strict=True))

    return run


def bare(trace: Trace, *, fastmath: bool = False) -> Callable[..., Any]:
    """A dispatcher for callers in njit code; a single result is given itself, not in a tuple."""
    function, _ = dispatcher(trace, fastmath=fastmath)
    if len(trace.results) != 1:
        return function

    @numba.njit
    def first(*args):
        return function(*args)[0]

    return first


def dispatcher(trace: Trace, *, fastmath: bool = False) -> tuple[Callable[..., Any], Source]:
    """The jitted function of a loop-dialect trace, callable from other njit functions, and its source."""
    written = emit(trace)
    space = {"np": np, "math": math, "special": SPECIAL, **CHECKS}
    exec(register(written, _with_lines), space)
    options = {"error_model": "numpy", "nogil": True, "fastmath": True if fastmath else {"contract"}}
    return numba.njit(**options)(space[written.name]), written


def _exact(value: Any, type: Type) -> Any:
    """A result as the Python or NumPy number that its type says (Numba returns Python's own)."""
    if isinstance(type, Array):
        return value
    if isinstance(type, Scalar) and type.weak:
        return {"float64": float, "int64": int, "bool": bool}[type.dtype](value)
    return np.dtype(type.dtype).type(value)

"""The Numba backend: the Python source of the loop dialect under ``njit``.

Slower to compile than the LLVM backend, but what it makes can be called from the user's own njit functions
(`adcompile.api.Transform.njit`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable

from adcompile.backend.python import located, register
from adcompile.codegen import Source, emit
from adcompile.ir import Array, Scalar, Trace, Type


@register_jitable
def check_same(a, b, message):
    """Raise ValueError unless two sizes are equal."""
    if a != b:
        raise ValueError("operands could not be broadcast together or do not fit: sizes differ")


@register_jitable
def check_index(i, n):
    """Raise IndexError unless ``0 <= i < n``."""
    if not 0 <= i < n:
        raise IndexError("index is out of bounds")


@register_jitable
def check_nonzero(n):
    """Raise ZeroDivisionError on zero."""
    if n == 0:
        raise ZeroDivisionError("integer division or modulo by zero")


class _Special:
    """The special functions that Numba knows, under SciPy's names."""

    erf = staticmethod(math.erf)
    erfc = staticmethod(math.erfc)


def compile(trace: Trace, *, fastmath: bool = False) -> Callable[..., tuple[Any, ...]]:
    """A function from flat arguments to a tuple of flat results."""
    function, written = dispatcher(trace, fastmath=fastmath)

    def run(*args: Any) -> tuple[Any, ...]:
        try:
            found = function(*args)
        except ValueError as error:
            raise located(error, written) from error
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
    space = {
        "np": np,
        "math": math,
        "special": _Special,
        "check_same": check_same,
        "check_index": check_index,
    }
    space |= {"check_nonzero": check_nonzero}
    exec(register(written), space)
    options = {"error_model": "numpy", "nogil": True, "fastmath": True if fastmath else {"contract"}}
    return numba.njit(**options)(space[written.name]), written


def _exact(value: Any, type: Type) -> Any:
    """A result as the Python or NumPy number that its type says (Numba returns Python's own)."""
    if isinstance(type, Array):
        return value
    if isinstance(type, Scalar) and type.weak:
        return {"float64": float, "int64": int, "bool": bool}[type.dtype](value)
    return np.dtype(type.dtype).type(value)

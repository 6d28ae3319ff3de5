"""The names that generated Python source uses beside NumPy's: small, total functions with NumPy's meaning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_same(a: int, b: int, message: str) -> None:
    """Raise ValueError unless two sizes are equal."""
    if a != b:
        raise ValueError(f"{message}: sizes {a} and {b}")


def check_true(condition: bool, error: type[Exception], message: str) -> None:
    """Raise ``error`` unless the condition holds."""
    if not condition:
        raise error(message)


def check_index(i: int, n: int) -> None:
    """Raise IndexError unless ``-n <= i < n``."""
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for size {n}")


def check_nonzero(n: int) -> None:
    """Raise ZeroDivisionError on zero."""
    if n == 0:
        raise ZeroDivisionError("integer division or modulo by zero")


def grow(array: np.ndarray, length: int) -> np.ndarray:
    """An array of at least ``length`` elements that begins with ``array``: itself, or one more than twice as long."""
    if length <= array.shape[0]:
        return array
    longer = np.zeros((array.shape[0] + length, *array.shape[1:]), array.dtype)
    longer[: array.shape[0]] = array
    return longer


class _Special:
    """SciPy's special functions, imported when a program first uses one."""

    def __getattr__(self, name: str) -> Any:
        import scipy.special

        return getattr(scipy.special, name)


NAMESPACE: dict[str, Any] = {
    "np": np,
    "math": math,
    "special": _Special(),
    "check_same": check_same,
    "check_true": check_true,
    "grow": grow,
    "check_index": check_index,
    "check_nonzero": check_nonzero,
}
"""Globals of every generated module."""

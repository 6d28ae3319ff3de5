"""Values as the tables print them: four decimals; arrays by their elements or their range."""

from __future__ import annotations

from typing import Any

import numpy as np

SHOWN = 4
"""Arrays of up to so many elements are written out."""


def show_value(value: Any) -> str:
    """The text of a number or an array."""
    return _show_array(value) if isinstance(value, np.ndarray) and value.ndim else show_number(value)


def show_number(value: Any) -> str:
    """A float with four decimals, or in scientific notation where those would hide it; any other number as it is."""
    if not isinstance(value, float | np.floating):
        return str(value)
    size = abs(float(value))
    if size == 0.0 or not np.isfinite(size):
        return "0.0000" if size == 0.0 else str(float(value))
    return f"{float(value):.4f}" if 5e-4 <= size < 1e6 else f"{float(value):.4e}"


def _show_array(array: np.ndarray) -> str:
    if array.ndim == 1 and array.size <= SHOWN:
        return f"[{' '.join(map(show_number, array))}]"
    shape = "×".join(map(str, array.shape))
    if array.size == 0 or array.dtype.kind == "b":
        return f"({shape} {array.dtype})"
    return f"({shape}: {show_number(array.min())} … {show_number(array.max())})"

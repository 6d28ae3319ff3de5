"""`math` as a GPU has it, for kernels in Numba's simulator: NumPy's functions, which keep float32 and do not raise."""

from __future__ import annotations

from typing import Any

import numpy as np

from adcompile.primitives.runtime import NAMESPACE

floor, ceil, fmod, copysign, log1p, expm1, exp = np.floor, np.ceil, np.fmod, np.copysign, np.log1p, np.expm1, np.exp
log, log2, log10, sqrt, hypot = np.log, np.log2, np.log10, np.sqrt, np.hypot
sin, cos, tan, sinh, cosh, tanh = np.sin, np.cos, np.tan, np.sinh, np.cosh, np.tanh
asin, acos, atan, atan2, asinh, acosh, atanh = (
    np.arcsin, np.arccos, np.arctan, np.arctan2, np.arcsinh, np.arccosh, np.arctanh,
)  # fmt: skip
isnan, isinf, isfinite = np.isnan, np.isinf, np.isfinite


def erf(x: Any) -> Any:
    """The error function, in the dtype of its argument."""
    return NAMESPACE["special"].erf(x)


def erfc(x: Any) -> Any:
    """Its complement."""
    return NAMESPACE["special"].erfc(x)

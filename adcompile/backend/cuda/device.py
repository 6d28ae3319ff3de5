"""Device functions that generated kernels call: NumPy's meaning where CUDA's `math` has none, for each float dtype.

Every constant in them has the dtype of the arguments, so that a float32 kernel stays float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba.cuda
import numpy as np

cuda: Any = numba.cuda
device = cuda.jit(device=True, inline="always")


def _rounding(real: Any) -> tuple[Callable[..., Any], ...]:
    """Functions to whole numbers; from ``whole`` on every float is one, and nan is none either."""
    whole = real(2.0 ** np.finfo(real).nmant)

    def floor(x):
        return real(math.floor(x)) if abs(x) < whole else x

    def ceil(x):
        return real(math.ceil(x)) if abs(x) < whole else x

    def trunc(x):
        return real(np.int64(x)) if abs(x) < whole else x

    def rint(x):
        return math.copysign((abs(x) + whole) - whole, x) if abs(x) < whole else x

    return floor, ceil, trunc, rint


def _division(real: Any) -> tuple[Callable[..., Any], ...]:
    """Quotient and remainder towards minus infinity."""
    zero, half, one, whole = real(0.0), real(0.5), real(1.0), real(2.0 ** np.finfo(real).nmant)

    def mod(x, y):
        rest = math.fmod(x, y)
        if rest == zero:
            return math.copysign(zero, y)
        return rest + y if (rest < zero) != (y < zero) else rest

    def floordiv(x, y):
        if y == zero:
            return x / y
        rest = math.fmod(x, y)
        quotient = (x - rest) / y
        if rest != zero and (rest < zero) != (y < zero):
            quotient = quotient - one
        if not abs(quotient) < whole:
            return quotient
        below = real(math.floor(quotient))
        return below + one if quotient - below > half else below

    return mod, floordiv


def _choices(real: Any) -> tuple[Callable[..., Any], ...]:
    """Functions that choose; nan goes through."""
    zero, one = real(0.0), real(1.0)

    def sign(x):
        return one if x > zero else -one if x < zero else x

    def maximum(x, y):
        return x if x >= y or x != x else y

    def minimum(x, y):
        return x if x <= y or x != x else y

    return sign, maximum, minimum


def _functions(real: Any) -> tuple[Callable[..., Any], ...]:
    """The others."""
    zero, one, log_two = real(0.0), real(1.0), real(math.log(2.0))

    def logaddexp(x, y):
        if x == y:
            return x + log_two
        high, low = (x, y) if x > y else (y, x)
        return high + math.log1p(math.exp(low - high)) if low == low and high == high else x + y

    def square(x):
        return x * x

    def reciprocal(x):
        return one / x

    def cbrt(x):
        return cuda.cbrt(x)

    def expit(x):
        small = math.exp(-abs(x))
        return (small if x < zero else one) / (one + small)

    return logaddexp, square, reciprocal, cbrt, expit


for _real in (np.float32, np.float64):
    for _make in (_rounding, _division, _choices, _functions):
        globals().update({f"{f.__name__}_{_real.__name__}": device(f) for f in _make(_real)})


@device
def sign_int64(x):
    """The sign of an integer."""
    return 1 if x > 0 else -1 if x < 0 else 0


@device
def fail(failed, number, a, b):
    """Note the first check that fails, by number, with two integers for its message."""
    if cuda.atomic.compare_and_swap(failed, 0, number) == 0:
        failed[1] = a
        failed[2] = b

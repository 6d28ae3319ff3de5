"""Functions of ``scipy.special``, found by name once the user's program has imported SciPy."""

from __future__ import annotations

import numpy as np

from adcompile.primitives.arguments import as_float, as_ufunc, axes_of, refuse
from adcompile.primitives.registry import lazy_expansion

lazy_expansion("scipy.special:erf")(lambda op, x: op.erf(*as_ufunc(op, np.exp, x)))
lazy_expansion("scipy.special:erfc")(lambda op, x: op.erfc(*as_ufunc(op, np.exp, x)))
lazy_expansion("scipy.special:expit")(lambda op, x: op.expit(*as_ufunc(op, np.exp, x)))


@lazy_expansion("scipy.special:log_expit")
def log_expit(op, x):
    """The logarithm of the logistic function."""
    (x,) = as_ufunc(op, np.exp, x)
    return -op.logaddexp(op.like(x, 0), -x)


@lazy_expansion("scipy.special:logit")
def logit(op, x):
    """The inverse of the logistic function."""
    (x,) = as_ufunc(op, np.log, x)
    return op.log(x / (1.0 - x))


@lazy_expansion("scipy.special:xlogy")
def xlogy(op, x, y):
    """``x * log(y)``, zero where ``x`` is zero."""
    x, y = as_ufunc(op, np.logaddexp, x, y)
    zero = op.eq(x, 0)
    return op.where(zero, op.like(x, 0), x * op.log(op.where(zero, op.like(y, 1), y)))


@lazy_expansion("scipy.special:logsumexp")
def logsumexp(op, a, axis=None, b=None, keepdims=False, return_sign=False):
    """The logarithm of a sum of exponentials, shifted by the largest."""
    refuse("scipy.special.logsumexp", b=b, return_sign=return_sign or None)
    x = as_float(op, a)
    axes = tuple(sorted(axes_of(axis, x.rank)))
    shift, total = _shifted_sum(op, x, axes)
    result = op.log(total) + shift
    return result if keepdims else _without(op, result, axes)


@lazy_expansion("scipy.special:softmax")
def softmax(op, x, axis=None):
    """Exponentials over their sum."""
    x = as_float(op, x)
    shift, total = _shifted_sum(op, x, tuple(sorted(axes_of(axis, x.rank))))
    return op.exp(x - shift) / total


@lazy_expansion("scipy.special:log_softmax")
def log_softmax(op, x, axis=None):
    """The logarithm of `softmax`."""
    x = as_float(op, x)
    shift, total = _shifted_sum(op, x, tuple(sorted(axes_of(axis, x.rank))))
    return (x - shift) - op.log(total)


def _shifted_sum(op, x, axes):
    """A shift that takes no part in derivatives, and the sum of ``exp(x - shift)``, dimensions kept."""
    largest = op.stop_gradient(op.max(x, axis=axes, keepdims=True))
    shift = op.where(op.isfinite(largest), largest, op.like(largest, 0))
    return shift, op.sum(op.exp(x - shift), axis=axes, keepdims=True)


def _without(op, x, axes):
    """Drop dimensions of size one."""
    full = ("slice", False, False, 1)
    return op("index", x, *(0,) * len(axes), spec=tuple(("int",) if i in axes else full for i in range(x.rank)))

"""Converged iterations, x = step(x), differentiated by the implicit function theorem instead of through the iteration.

With x* = step(x*, a), the cotangent of x* becomes that of a by one linear system, (1 - ∂step/∂x)ᵀ λ = x̄*, solved by the
same kind of iteration, λ = x̄* + (∂step/∂x)ᵀ λ, and ā = (∂step/∂a)ᵀ λ: nothing of the iteration is recorded.
Christianson, Reverse accumulation and attractive fixed points (1994); Griewank & Walther (2008), chapter 15.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.custom import custom_vjp
from adcompile.frontend.calls import INLINE, call_function
from adcompile.frontend.tracer import Tracer
from adcompile.functions import vjp


def fixed_point(step: Callable[..., Any], start: Any, *args: Any, tolerance: float = 1e-10, most: int = 10_000) -> Any:
    """The fixed point ``x = step(x, *args)`` that the iteration from ``start`` converges to.

    Reverse mode solves the linear system of the implicit function theorem at the fixed point, by an iteration too; its
    memory does not depend on the number of iterations. The fixed point does not depend on ``start``, whose gradient is
    zero. There is no forward mode, hence no ``jvp`` and no ``hvp``; reverse mode of the gradient goes through the
    iterations.

    Parameters
    ----------
    step : callable
        ``step(x, *args)`` returns the next ``x``, of the shape and dtype of ``x``, without writing into its arguments.
        It must be a contraction around the fixed point. What it reads from a function around it and is to be
        differentiated must be passed in ``args``.
    start : float or array
        Where the iteration starts.
    *args : numbers, arrays, containers of them
        What the fixed point depends on.
    tolerance : float
        The iteration ends when no element changes by more than this; that for the cotangents, when no element changes
        by more than this times the greatest of the cotangents given.
    most : int
        How many iterations are allowed.

    Returns
    -------
    float or array
        The last iterate.

    Raises
    ------
    ArithmeticError
        If an iteration does not converge, that of the reverse sweep included.

    References
    ----------
    Christianson, B. (1994). Reverse accumulation and attractive fixed points. Optim. Methods Softw. 3, 311–326.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> def root(a):
    ...     return adcompile.fixed_point(lambda x, a: 0.5 * (x + a / x), 1.0, a)
    >>> round(float(adcompile.grad(root)(4.0)), 12)
    0.25
    """
    return iterate(step, start, args, tolerance, most)


def iterate(step, x, args, tolerance, most):
    """The iteration itself, in Python and traced."""
    following = step(x, *args)
    count = 1
    while not np.max(np.abs(following - x)) <= tolerance and count < most:
        x = following
        following = step(x, *args)
        count += 1
    if not np.max(np.abs(following - x)) <= tolerance:
        raise ArithmeticError("fixed_point did not converge")
    return following


def cotangents(step, x, args, x_bar, tolerance, most):
    """The cotangents of ``args`` at the fixed point ``x``; traced."""
    _, pullback = vjp(lambda x: step(x, *args), x)
    scale = np.max(np.abs(x_bar))
    total = x_bar
    change = x_bar
    count = 0
    while not np.max(np.abs(change)) <= tolerance * scale and count < most:
        (change,) = pullback(change)
        total = total + change
        count += 1
    if not np.max(np.abs(change)) <= tolerance * scale:
        raise ArithmeticError("fixed_point: the iteration for the cotangents did not converge")
    _, pullback = vjp(lambda args: step(x, *args), args)
    return pullback(total)[0]


class _Traced:
    """A rule of this module that traces itself: ``rule(tracer, *args)``."""

    __name__ = "fixed_point"

    def __init__(self, rule: Callable[..., Any]):
        self.rule = rule

    def __call__(self, *args: Any) -> Any:
        """What it looks like to `inspect.signature`; only traces run it."""
        raise NotImplementedError

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Trace it in place of the call."""
        return self.rule(t, *args)


def _inline(t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """One equation with a rule: `adcompile.custom_vjp`."""
    step, start, *rest = args
    tolerance, most = keywords.get("tolerance", 1e-10), keywords.get("most", 10_000)

    def solve(t: Tracer, x: Any, args: tuple[Any, ...]) -> Any:
        return call_function(t, iterate, (step, x, args, tolerance, most), {})

    def forward(t: Tracer, x: Any, args: tuple[Any, ...]) -> Any:
        x = solve(t, x, args)
        return x, (x, args)

    def backward(t: Tracer, residuals: Any, x_bar: Any) -> Any:
        x, args = residuals
        return None, call_function(t, cotangents, (step, x, args, x_bar, tolerance, most), {})

    ruled = custom_vjp(_Traced(solve))
    ruled.defvjp(_Traced(forward), _Traced(backward))
    return ruled.__adcompile_inline__(t, (start, tuple(rest)), {})


setattr(fixed_point, INLINE, _inline)

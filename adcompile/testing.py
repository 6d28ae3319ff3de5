"""Checks of derivatives against what they must equal: central differences, and each other.

Forward mode must agree with differences of the function run by CPython; reverse mode with forward mode by the
dot-product test ``<ȳ, J ẋ> = <Jᵀ ȳ, ẋ>`` (Griewank & Walther, section 3.3) in random directions. Orders above the first
check the derivative functions in the same way. Directions are drawn from a fixed seed: a check that fails fails again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.frontend.calls import call
from adcompile.frontend.tracer import Tracer
from adcompile.functions import jit, jvp, vjp
from adcompile.tree import flatten, map_leaves, unflatten

DIRECTIONS = 2


@dataclass(frozen=True)
class Tolerance:
    """How closely derivatives of a dtype must agree with differences of step ``eps``."""

    rtol: float
    atol: float
    eps: float


TOLERANCES = {"float64": Tolerance(1e-6, 1e-6, 1e-4), "float32": Tolerance(5e-3, 5e-3, 1e-2)}
"""For the fourth-order difference: its truncation is ``eps⁴``, its rounding ``machine epsilon / eps``."""


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    **options: Any,
) -> None:
    """Check the derivatives of a function at one point, as `jax.test_util.check_grads`.

    Parameters
    ----------
    f : callable
        A function of scalars, arrays and containers of them; anything that `adcompile.grad` takes, returning anything.
        It must be smooth at ``args``: a difference across a kink is no derivative.
    args : sequence
        Where to check. Ints, bools and other leaves that are no floats stay as they are.
    order : int
        The highest order of derivatives to check.
    modes : sequence of {"fwd", "rev"}
        Forward mode is compared with central differences; reverse mode with forward mode (with central differences
        where the function has a `custom_vjp` rule and hence no forward mode).
    rtol, atol, eps : float, optional
        Tolerances and step of the differences; by default those of the coarsest dtype among ``args`` (`TOLERANCES`).
    **options
        ``backend`` and others, as for `adcompile.grad`.

    Raises
    ------
    AssertionError
        Says which check failed, in which order, and by how much.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> adcompile.check_grads(lambda x: np.sin(x) * x, (1.3,))
    """
    unknown = set(modes) - {"fwd", "rev"}
    if unknown:
        raise InvalidArgument(f"unknown mode {sorted(unknown)[0]!r}", remedy='Use "fwd" and "rev".')
    table = tolerance(args)
    given = Tolerance(
        table.rtol if rtol is None else rtol, table.atol if atol is None else atol, table.eps if eps is None else eps
    )
    check = Check(getattr(f, "__name__", "f"), given, options)
    check.orders(f, f, tuple(args), order, tuple(modes))


@dataclass(frozen=True)
class Check:
    """How to check, and the name of what is checked."""

    name: str
    tolerance: Tolerance
    options: Mapping[str, Any]

    def orders(self, f: Any, plain: Any, args: tuple, order: int, modes: Sequence[str]) -> None:
        """Check ``f`` and, up to an order, its derivatives; ``plain`` is ``f`` as differences evaluate it."""
        if order < 1:
            return
        for mode in modes:
            check, derivative, seed = _MODES[mode]
            check(self, f, plain, args)
            inner_f = derivative(f)
            inner_args = (args, direction(args if mode == "fwd" else plain(*args), seed))
            deeper = Check(f"{mode} of {self.name}", self.tolerance, self.options)
            deeper.orders(inner_f, jit(inner_f, **self.options), inner_args, order - 1, modes)

    def jvp(self, f: Any, plain: Any, args: tuple) -> None:
        """Forward mode against central differences."""
        for seed in range(DIRECTIONS):
            dots = direction(args, seed)
            expected = difference(plain, args, dots, self.tolerance.eps)
            _, found = jvp(f, args, dots, **self.options)
            assert_close(found, expected, self.tolerance, f"{self.name}: forward mode against central differences")

    def vjp(self, f: Any, plain: Any, args: tuple) -> None:
        """Reverse mode against forward mode, by the dot-product test."""
        for seed in range(DIRECTIONS):
            dots = direction(args, seed)
            out, pullback = vjp(f, *args, **self.options)
            try:
                out_dot, against = jvp(f, args, dots, **self.options)[1], "forward mode"
            except MissingRule:
                out_dot, against = difference(plain, args, dots, self.tolerance.eps), "central differences"
            out_bar = direction(out, seed + DIRECTIONS)
            what = f"{self.name}: reverse mode against {against}"
            assert_dual(out_bar, out_dot, pullback(out_bar), dots, self.tolerance, what)


class _Pushforward:
    """``(primals, tangents) → (out, out_dot)`` of a function, traceable again."""

    kind = "jvp"

    def __init__(self, f: Any):
        self.f = f
        self.__name__ = f"{getattr(f, '__name__', 'f').strip('<>')}_{self.kind}"

    def __call__(self, primals: tuple, tangents: tuple) -> Any:
        return jvp(self.f, primals, tangents)

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        return call(t, jvp, [self.f, *args], keywords)


class _Pulled(_Pushforward):
    """``(primals, out_bar) → (out, cotangents)`` of a function, traceable again."""

    kind = "vjp"

    def __call__(self, primals: tuple, out_bar: Any) -> Any:
        out, pullback = vjp(self.f, *primals)
        return out, pullback(out_bar)

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        primals, out_bar = args
        out, pullback = call(t, vjp, [self.f, *primals], {})
        return out, call(t, pullback, [out_bar], {})


_MODES = {"fwd": (Check.jvp, _Pushforward, 1), "rev": (Check.vjp, _Pulled, 2)}
"""Per mode: the check, the derivative as a function, the seed of its direction."""


# -- directions, differences, products --------------------------------------------------------------------------


def is_float(leaf: Any) -> bool:
    """Whether a leaf carries a derivative."""
    return isinstance(leaf, float) or (isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f")


def direction(tree: Any, seed: int) -> Any:
    """Normal random numbers in the structure, shapes and dtypes of the float leaves; None for the others."""
    rng = np.random.default_rng(seed)
    return map_leaves(lambda leaf: _normal(rng, leaf) if is_float(leaf) else None, tree)


def _normal(rng: np.random.Generator, leaf: Any) -> Any:
    draw = rng.standard_normal(np.shape(leaf))
    if isinstance(leaf, np.ndarray):
        return np.asarray(draw, dtype=leaf.dtype)
    return leaf.dtype.type(draw) if isinstance(leaf, np.generic) else float(draw)


def difference(f: Callable[..., Any], args: tuple, dots: tuple, eps: float) -> Any:
    """The derivative of ``f`` along ``dots`` by the fourth-order central difference; None for what is no float."""
    leaves, structure = flatten(args)
    moves = flatten(dots)[0]

    def at(step: float) -> tuple[list[Any], Any]:
        moved = [_moved(x, d, step) for x, d in zip(leaves, moves, strict=True)]
        return flatten(f(*unflatten(structure, moved)))

    (one, kind), (minus, _), (two, _), (minus_two, _) = (at(k * eps) for k in (1, -1, 2, -2))
    found = [
        (8.0 * (a - b) - (c - d)) / (12.0 * eps) if is_float(a) else None
        for a, b, c, d in zip(one, minus, two, minus_two, strict=True)
    ]
    return unflatten(kind, found)


def _moved(x: Any, dot: Any, step: float) -> Any:
    if dot is None:
        return np.array(x) if isinstance(x, np.ndarray) else x
    moved = x + step * dot
    return moved.astype(x.dtype) if isinstance(x, np.ndarray | np.generic) else moved


def inner(a: Any, b: Any) -> float:
    """The inner product of two trees over the leaves that both have."""
    pairs = zip(flatten(a)[0], flatten(b)[0], strict=True)
    return float(sum(np.vdot(np.float64(x), np.float64(y)) for x, y in pairs if x is not None and y is not None))


def tolerance(tree: Any) -> Tolerance:
    """The tolerances for the coarsest dtype in a tree."""
    single = any(getattr(leaf, "dtype", None) == np.float32 for leaf in flatten(tree)[0])
    return TOLERANCES["float32" if single else "float64"]


def assert_close(found: Any, expected: Any, tolerance: Tolerance, what: str) -> None:
    """Raise AssertionError unless two trees agree leaf by leaf: ``|found - expected| <= atol + rtol max|expected|``."""
    found_leaves, structure = flatten(found)
    expected_leaves, other = flatten(expected)
    assert structure == other, f"{what}: {structure} instead of {other}"
    for k, (a, b) in enumerate(zip(found_leaves, expected_leaves, strict=True)):
        if a is None or b is None:
            assert a is b, f"{what}: result {k} is {a} instead of {b}"
            continue
        _assert_leaf(np.asarray(a, float), np.asarray(b, float), tolerance, f"{what} in result {k}")


def assert_dual(out_bar: Any, out_dot: Any, bars: Any, dots: Any, tolerance: Tolerance, what: str) -> None:
    """Raise AssertionError unless ``<ȳ, ẏ> = <x̄, ẋ>``, relative to the sizes of ``ȳ`` and ``ẏ``."""
    forward, reverse = inner(out_bar, out_dot), inner(bars, dots)
    scale = np.sqrt(inner(out_bar, out_bar) * inner(out_dot, out_dot))
    error, bound = abs(forward - reverse), tolerance.atol + tolerance.rtol * scale
    assert error <= bound, (
        f"{what} in the dot-product test: "
        f"{reverse:.9g} instead of {forward:.9g}, off by {error:.3g} (allowed {bound:.3g})"
    )


def _assert_leaf(a: np.ndarray, b: np.ndarray, tolerance: Tolerance, what: str) -> None:
    assert a.shape == b.shape, f"{what}: shape {a.shape} instead of {b.shape}"
    if not a.size:
        return
    bound = tolerance.atol + tolerance.rtol * np.max(np.abs(b))
    error = np.abs(a - b)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), a.shape)
    place = f" at index {tuple(map(int, worst))}" if a.ndim else ""
    assert error[worst] <= bound, (
        f"{what}{place}: {a[worst]:.9g} instead of {b[worst]:.9g}, off by {error[worst]:.3g} (allowed {bound:.3g})"
    )


__all__ = ["TOLERANCES", "Check", "Tolerance", "assert_close", "assert_dual", "check_grads", "difference", "direction"]

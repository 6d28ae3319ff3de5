"""What must hold of every program and backend; each check raises AssertionError.

References come from CPython and NumPy running the function itself: its value, and fourth-order central differences.
Reverse mode is tied to forward mode by the dot-product test.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import adcompile
from adcompile.tree import flatten, unflatten


@dataclass(frozen=True)
class Tolerance:
    """How closely values, differences of step ``eps`` and dot products of one dtype must agree."""

    value: float
    rtol: float
    atol: float
    eps: float
    dot: float


TOLERANCES = {
    "float64": Tolerance(value=1e-12, rtol=2e-7, atol=2e-8, eps=1e-3, dot=1e-10),
    "float32": Tolerance(value=2e-5, rtol=1e-2, atol=1e-2, eps=3e-2, dot=2e-4),
}


def is_float(leaf: Any) -> bool:
    """Whether a leaf has tangents: a float, or an array of floats."""
    return isinstance(leaf, float) or (isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f")


def tolerance(*trees: Any) -> Tolerance:
    """The tolerances of the coarsest dtype among the float leaves."""
    coarse = any(getattr(leaf, "dtype", None) == np.float32 for leaf in leaves(trees) if is_float(leaf))
    return TOLERANCES["float32" if coarse else "float64"]


def leaves(tree: Any) -> list[Any]:
    """The leaves of nested containers."""
    return flatten(tree)[0]


def fresh(tree: Any) -> Any:
    """A copy whose arrays share no memory with the original."""
    found, structure = flatten(tree)
    return unflatten(structure, [copy.deepcopy(x) if isinstance(x, np.ndarray) else x for x in found])


def direction(tree: Any, seed: int) -> Any:
    """Random numbers in the structure, shapes and dtypes of the float leaves; None in the place of others."""
    found, structure = flatten(tree)
    r = np.random.default_rng(seed)
    return unflatten(structure, [_random(r, leaf) if is_float(leaf) else None for leaf in found])


def _random(r: np.random.Generator, like: Any) -> Any:
    values = r.uniform(0.3, 1.0, np.shape(like)) * r.choice([-1.0, 1.0], np.shape(like))
    return values.astype(like.dtype) if isinstance(like, np.ndarray) else type(like)(values)


def moved(tree: Any, dots: Any, step: float) -> Any:
    """``tree + step * dots`` at the float leaves, in fresh arrays."""
    found, structure = flatten(tree)
    out = []
    for leaf, dot in zip(found, leaves(dots), strict=True):
        if not is_float(leaf):
            out.append(copy.deepcopy(leaf) if isinstance(leaf, np.ndarray) else leaf)
            continue
        shifted = leaf + step * dot
        out.append(shifted.astype(leaf.dtype) if isinstance(leaf, np.ndarray) else type(leaf)(shifted))
    return unflatten(structure, out)


def difference(f: Callable[..., Any], args: tuple, dots: tuple, eps: float) -> list[Any]:
    """The directional derivative of the float leaves of ``f``, by a fourth-order central difference."""
    steps = ((1.0, 8.0 / 12.0), (-1.0, -8.0 / 12.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))
    total: list[Any] | None = None
    for step, weight in steps:
        out = [np.asarray(x, np.float64) * weight for x in leaves(f(*moved(args, dots, step * eps))) if is_float(x)]
        total = out if total is None else [a + b for a, b in zip(total, out, strict=True)]
    return [x / eps for x in total or []]


def floats(tree: Any) -> list[Any]:
    """The float leaves."""
    return [x for x in leaves(tree) if is_float(x)]


def assert_near(found: Any, expected: Sequence[Any], rtol: float, atol: float, what: str) -> None:
    """Float leaves near given arrays, shapes included; ``atol`` is scaled by the largest expected element."""
    got = floats(found)
    assert len(got) == len(expected), f"{what}: {len(got)} float leaves, expected {len(expected)}"
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert np.shape(a) == np.shape(b), f"{what}, leaf {k}: shape {np.shape(a)}, expected {np.shape(b)}"
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(
            np.asarray(a, np.float64), b, rtol=rtol, atol=atol * scale, equal_nan=False, err_msg=f"{what}, leaf {k}"
        )


def assert_same_type(found: Any, expected: Any, what: str) -> None:
    """The same containers; leaf by leaf the same dtype and shape, and an array where an array is expected."""
    got, structure = flatten(found)
    want, wanted = flatten(expected)
    assert structure == wanted, f"{what}: structure {structure}, expected {wanted}"
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        if isinstance(b, np.ndarray | np.generic | float | int):
            assert np.asarray(a).dtype == np.asarray(b).dtype, f"{what}, leaf {k}: {a!r}, expected the dtype of {b!r}"
            assert np.shape(a) == np.shape(b), f"{what}, leaf {k}: shape {np.shape(a)}, expected {np.shape(b)}"
            arrays = (
                isinstance(a, np.ndarray),
                isinstance(b, np.ndarray) and b.ndim > 0,
            )  # a 0-d array comes as a number
            assert arrays[0] == arrays[1], f"{what}, leaf {k}: {type(a)}, expected {type(b)}"
        else:
            assert a is b or a == b, f"{what}, leaf {k}: {a!r}, expected {b!r}"


def assert_gradient_type(found: Any, argument: Any, what: str) -> None:
    """A cotangent has the structure, dtypes and shapes of its argument; None in the place of what is no float."""
    got, structure = flatten(found)
    want, wanted = flatten(argument)
    assert structure == wanted, f"{what}: structure {structure}, expected {wanted}"
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        if not is_float(b):
            assert a is None, f"{what}, leaf {k}: {a!r} for {b!r}"
            continue
        assert np.asarray(a).dtype == np.asarray(b).dtype, f"{what}, leaf {k}: {a!r}, expected the dtype of {b!r}"
        assert np.shape(a) == np.shape(b), f"{what}, leaf {k}: shape {np.shape(a)}, expected {np.shape(b)}"


def assert_equal(found: Any, expected: Any, rtol: float, what: str) -> None:
    """The same numbers, exactly where ``rtol`` is 0."""
    for k, (a, b) in enumerate(zip(leaves(found), leaves(expected), strict=True)):
        if isinstance(b, np.ndarray | np.generic | float | int):
            scale = float(np.max(np.abs(np.nan_to_num(b)), initial=0.0)) if is_float(b) else 0.0
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=f"{what}, leaf {k}")


def assert_unmodified(args: Any, before: Any) -> None:
    """Arguments hold what they held."""
    for a, b in zip(leaves(args), leaves(before), strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg="an argument was modified")


def assert_no_alias(results: Any, *others: Any) -> None:
    """No array of ``results`` shares memory with another of them or with ``others``."""
    mine = [x for x in leaves(results) if isinstance(x, np.ndarray) and x.size]
    foreign = [x for x in leaves(others) if isinstance(x, np.ndarray)]
    for a, b in [*itertools.product(mine, foreign), *itertools.combinations(mine, 2)]:
        assert not np.shares_memory(a, b), "a result shares memory with an argument or another result"
    for a in mine:
        assert a.flags.writeable, "a result is read-only"


def dot(a: Any, b: Any) -> tuple[float, float]:
    """The inner product over float leaves, and the sum of the magnitudes of its terms."""
    terms = [np.asarray(x, np.float64) * np.asarray(y, np.float64) for x, y in zip(floats(a), floats(b), strict=True)]
    return sum(float(np.sum(t)) for t in terms), sum(float(np.sum(np.abs(t))) for t in terms)


def assert_dual(left: tuple[Any, Any], right: tuple[Any, Any], rtol: float, what: str) -> None:
    """``<left> = <right>`` relative to the size of the terms."""
    (a, size_a), (b, size_b) = dot(*left), dot(*right)
    assert np.isfinite(a), f"{what}: {a}"
    assert np.isfinite(b), f"{what}: {b}"
    assert abs(a - b) <= rtol * max(size_a, size_b, 1e-3), f"{what}: {a!r} against {b!r}"


# -- the checks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A function at one point on one backend."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    backend: str = "llvm"
    writes: bool = False
    exact: bool = True

    def plain(self) -> Any:
        """What CPython gives."""
        return self.f(*fresh(self.args))

    @property
    def near(self) -> Tolerance:
        """The tolerances of the arguments and the result."""
        return tolerance(self.args, self.plain())

    def check_value(self) -> None:
        """The compiled function gives CPython's result: numbers, types, no aliases; arguments stay."""
        args = fresh(self.args)
        expected = self.plain()
        if self.writes:
            found, _ = adcompile.jvp(self.f, args, direction(args, 1), backend=self.backend)
        else:
            found = adcompile.jit(self.f, backend=self.backend)(*args)
        assert_same_type(found, expected, "value")
        exact = self.exact and self.backend == "python"
        assert_equal(found, expected, 0.0 if exact else self.near.value, "value")
        assert_unmodified(args, self.args)
        assert_no_alias(found, args)

    def check_forward(self) -> None:
        """Forward mode against central differences of CPython's own runs."""
        args, dots = fresh(self.args), direction(self.args, 1)
        found, out_dot = adcompile.jvp(self.f, args, dots, backend=self.backend)
        assert_same_type(found, self.plain(), "value of jvp")
        near = self.near
        assert_near(out_dot, difference(self.f, args, dots, near.eps), near.rtol, near.atol, "jvp against differences")
        assert_unmodified(args, self.args)
        assert_no_alias((found, out_dot), args, dots)

    def check_reverse(self) -> None:
        """Reverse mode against forward mode; the cotangents have the types of the arguments."""
        args, dots = fresh(self.args), direction(self.args, 2)
        out, out_dot = adcompile.jvp(self.f, args, dots, backend=self.backend)
        out_bar = direction(out, 3)
        bars = self.pull(args, out_bar)
        assert_dual((out_bar, out_dot), (bars, dots), self.near.dot, "vjp against jvp")
        assert_gradient_type(bars, args, "vjp")
        assert_unmodified(args, self.args)
        assert_no_alias(bars, args, out_bar)

    def pull(self, args: tuple, out_bar: Any) -> Any:
        """The cotangents of the arguments."""
        return adcompile.vjp(self.f, *args, backend=self.backend)[1](out_bar)

    def check_gradient(self) -> None:
        """``grad`` and ``value_and_grad`` of a function with one float result."""
        out = self.plain()
        if not is_float(out) or isinstance(out, np.ndarray):
            return
        args = fresh(self.args)
        wanted = tuple(k for k, a in enumerate(args) if floats(a) and all(map(_may_vary, leaves(a))))
        found = adcompile.grad(self.f, wanted, backend=self.backend)(*args)
        for k, part in zip(wanted, found, strict=True):
            assert_gradient_type(part, args[k], f"grad of argument {k}")
        value, again = adcompile.value_and_grad(self.f, wanted, backend=self.backend)(*args)
        assert_equal(value, out, self.near.value, "value of value_and_grad")
        assert_equal(again, found, self.near.value, "gradient of value_and_grad")
        dots = direction(args, 4)
        expected = difference(self.f, args, _only(dots, wanted), self.near.eps)
        got, _ = dot(found, tuple(dots[k] for k in wanted))
        assert_near(got, expected, self.near.rtol, self.near.atol, "grad against differences")
        assert_unmodified(args, self.args)
        assert_no_alias(found, args)

    def check_second(self, differences: bool = True) -> None:
        """The derivative of the pullback: against differences, symmetric, and reverse over reverse."""
        args, out_bar = fresh(self.args), direction(self.plain(), 5)
        u, v = direction(args, 6), direction(args, 7)
        pull = lambda *a: adcompile.vjp(self.f, *a)[1](out_bar)
        along = [adcompile.jvp(pull, args, d, backend=self.backend)[1] for d in (u, v)]
        near = self.near
        if differences:
            expected = difference(lambda *a: self.pull(a, out_bar), args, u, near.eps)
            assert_near(along[0], expected, 4 * near.rtol, 4 * near.atol, "jvp of vjp against differences of vjp")
        assert_dual((v, along[0]), (u, along[1]), 10 * near.dot, "symmetry of second derivatives")
        back = adcompile.vjp(pull, *args, backend=self.backend)[1](v)
        assert_dual((back, u), (v, along[0]), 10 * near.dot, "vjp of vjp against jvp of vjp")
        assert_unmodified(args, self.args)

    def checks(self) -> Iterator[Callable[[], None]]:
        """All of them."""
        yield from (self.check_value, self.check_forward, self.check_reverse, self.check_gradient, self.check_second)


def _may_vary(leaf: Any) -> bool:
    """Whether grad accepts the leaf in an argument it differentiates: a float, or what is no number."""
    return is_float(leaf) or not isinstance(leaf, bool | int | np.ndarray | np.generic)


def _only(dots: tuple, wanted: Sequence[int]) -> tuple:
    """The direction with zeros where an argument is not wanted."""
    return tuple(d if k in wanted else _zero(d) for k, d in enumerate(dots))


def _zero(tree: Any) -> Any:
    found, structure = flatten(tree)
    return unflatten(structure, [None if x is None else x * 0 for x in found])

"""Gradients of loops in loops that mapped values end: every call fills its tapes to another length."""

import math

import numpy as np
import pytest

import adcompile
from tests.vmap.common import assert_stacked

R = np.random.default_rng(0)


def growth(x, limit):
    """Few long inner loops for a small x, many short ones for a large one."""
    s = k = 0.0
    while s < limit:
        step = x
        while step < 1.0:
            step = step * (1.0 + x) + 0.01 * np.sin(s)
        s += step * x
        k += 1.0
    return s * k + x


def three_deep(x, limit):
    s = x
    while s < limit:
        t = x
        while t < 2.0:
            r = t * x
            while r < 1.0:
                r = r * 1.5 + 0.01 * s
            t = t + 0.3 * r
        s = s + 0.2 * t * x
    return s


def recorded_arrays(v, limit):
    w = v.copy()
    total = 0.0
    while total < limit:
        u = w * 0.5
        while np.sum(u) < 1.0:
            u = u * (1.0 + v)
        w = np.sin(u) + v
        total += np.sum(u * w)
    return total + np.sum(w)


def search_in_rows(x, n, m):
    s = x
    for i in range(n):
        t = x
        j = 0
        while t < 3.0 and j < m - i:
            t = t * (1.0 + 0.2 * x) + 0.1 * math.sin(s)
            j += 1
        s += t * 0.1
        if s > 4.0:
            break
    return s * s


def triangle(v, n):
    s = 1.0
    for i in range(n):
        for j in range(i, n):
            s = s + math.sin(s * v[j % 4]) * v[i % 4]
    return s


GROWTH = (np.array([0.05, 0.9, 0.3, 0.02, 1.2]), np.array([3.0, 9.0, 20.0, 0.5, -1.0]))
PROGRAMS = [
    (growth, GROWTH),
    (three_deep, (np.array([0.2, 0.7, 0.5, 0.9]), np.array([3.0, 2.0, 1.0, 0.0]))),
    (recorded_arrays, (R.uniform(0.1, 0.9, (4, 3)), np.array([5.0, 30.0, 1.0, 0.0]))),
    (search_in_rows, (np.array([0.2, 1.0, 0.6]), np.array([12, 3, 5]), np.array([20, 30, 4]))),
    (triangle, (R.uniform(0.3, 1.5, (4, 4)), np.array([7, 0, 3, 5]))),
]


def singles(function, columns):
    gradient = adcompile.grad(function, backend="python")
    return [gradient(*elements) for elements in zip(*columns, strict=True)]


@pytest.mark.parametrize(("function", "columns"), PROGRAMS, ids=lambda x: getattr(x, "__name__", ""))
def test_gradients_are_those_of_the_calls(function, columns):
    """Whichever call comes first: finished calls compute with the values of the first that is not."""
    for order in (slice(None), slice(None, None, -1)):
        given = [c[order] for c in columns]
        mapped = adcompile.vmap(adcompile.grad(function), backend="python")
        assert_stacked(mapped(*given), singles(function, given), 1e-10)


@pytest.mark.parametrize("backend", ["python", "llvm"])
def test_gradient_of_a_sum_over_the_calls(backend):
    total = adcompile.grad(lambda x, limit: np.sum(adcompile.vmap(growth)(x, limit)), backend=backend)
    assert_stacked(total(*GROWTH), singles(growth, GROWTH), 1e-10)


@pytest.mark.parametrize(("function", "columns"), PROGRAMS[:2], ids=lambda x: getattr(x, "__name__", ""))
def test_products_with_hessians_are_those_of_the_calls(function, columns):
    """Forward mode over the tapes: the tangent of a tape is a tape."""
    single = adcompile.hvp(function, backend="python")
    expected = [single(x, limit, 1.0) for x, limit in zip(*columns, strict=True)]
    mapped = adcompile.vmap(adcompile.hvp(function), backend="python")
    assert_stacked(mapped(*columns, np.ones_like(columns[0])), expected, 1e-9)


def test_no_calls():
    assert adcompile.vmap(adcompile.grad(growth), backend="python")(np.zeros(0), np.zeros(0)).shape == (0,)


def test_second_derivatives_are_refused():
    """Reverse mode over the tapes has no rule for lengths that differ."""
    with pytest.raises(adcompile.MissingRule, match="size of an array would differ"):
        adcompile.vmap(adcompile.grad(adcompile.grad(growth)), backend="python")(*GROWTH)

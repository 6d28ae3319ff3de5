"""Adjoints of slice updates: cotangents stay in place, scatters of slices gather, and every size is right."""

import re

import numpy as np
import pytest

import adcompile
from tests.lower.test_gather import by_complex_steps


def smooth(u, steps):
    u, v = u.copy(), 0.5 * u
    for _ in range(steps):
        v[1:-1] = (u[:-2] + u[1:-1] + 2.0 * u[2:]) / 3.0
        u[1:-1] = (v[:-2] + v[1:-1] * v[1:-1] + v[2:]) / 3.0
    return np.sum(u * u * v)


def staggered(e, steps):
    e, h = e.copy(), 0.3 * e
    for t in range(steps):
        h[0, :] = 0.1 * t
        h[1:, :] -= 0.5 * (e[1:, :] - e[:-1, :])
        e[:, 1:] = e[:, 1:] - 0.4 * (h[:, 1:] - h[:, :-1])
        e[:-1, :-1] += 0.2 * (h[1:, :-1] - h[:-1, 1:])
    return np.sum(e * h)


def overlapping(u, steps):
    u = u.copy()
    for _ in range(steps):
        u[1:] += 0.3 * u[:-1]
        u[1:-1] -= u[2:] * u[:-2]
        u[2:] = 0.5
        u[::2] += 0.1 * u[1]
    return np.sum(u**3)


SIZES = {
    smooth: [(n,) for n in (2, 3, 4, 5, 9)],
    staggered: [(2, 2), (2, 5), (3, 3), (4, 3), (3, 4), (6, 7)],
    overlapping: [(n,) for n in (3, 4, 5, 9)],
}


def last_downward_loop(text):
    """The lines of the last loop of a program that runs down to 0."""
    lines = text[text.rindex("-1, -1):") :].splitlines()[1:]
    return "\n".join(lines[: next(k for k, line in enumerate(lines) if not line.startswith(" " * 8))])


@pytest.mark.parametrize("kernel", SIZES, ids=lambda f: f.__name__)
def test_every_size(kernel):
    both = adcompile.value_and_grad(kernel)
    for sizes in SIZES[kernel]:
        u = np.random.default_rng(0).standard_normal(sizes)
        for steps in (0, 1, 3):
            value, gradient = both(u, steps)
            assert value == pytest.approx(kernel(u, steps), rel=1e-12)
            np.testing.assert_allclose(gradient, by_complex_steps(kernel, u, steps), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("kernel", "sizes"), [(smooth, (9,)), (staggered, (6, 7))])
def test_every_array_is_added_to_where_it_is(kernel, sizes):
    """One addition per element and no copy of a cotangent."""
    body = last_downward_loop(adcompile.grad(kernel).stages(np.ones(sizes), 2)["lowered"])
    assert not re.search(r"_bar\w*\[[^\]\n]*[+-] 1[^\]\n]*\] [+-]= ", body)
    assert "np.empty" not in body and ".copy()" not in body


def test_a_slice_that_is_added_to_keeps_its_cotangent():
    source = adcompile.grad(staggered, backend="python").source(np.ones((3, 4)), 2)
    reverse = last_downward_loop(source)
    assert reverse.count(" = 0.0") == 1 and "h_bar[0] = 0.0" in reverse
    assert ".copy()" not in reverse


def stretched(a, column):
    a = a.copy()
    a[:, 1:] = a[:, 1:] + column
    a[:1, :] += np.sin(a[1:2, :])
    return np.sum(a**3)


def test_what_is_added_may_stretch():
    a, column = np.arange(1.0, 7.0).reshape(2, 3), np.array([[0.5], [2.0]])
    for backend in ("python", "llvm"):
        bars = adcompile.grad(stretched, argnums=(0, 1), backend=backend)(a, column)
        np.testing.assert_allclose(bars[0], by_complex_steps(stretched, a, column), rtol=1e-12)
        np.testing.assert_allclose(
            bars[1], by_complex_steps(lambda c, a: stretched(a.astype(complex), c), column, a), rtol=1e-12
        )


def sweep(a):
    m = a.shape[1]
    p, q = 0.1 * a, a.copy()
    for j in range(1, m):
        pivot = 2.0 + p[:, j - 1] * 0.4
        p[:, j] = -0.4 / pivot
        q[:, j] = (a[:, j] - 0.3 * q[:, j - 1]) / pivot
    for j in range(m - 2, -1, -1):
        q[:, j] = p[:, j] * q[:, j + 1] + q[:, j]
    return np.sum(q * q)


def test_a_column_that_is_made_of_another_needs_no_copy():
    lowered = adcompile.jit(sweep).stages(np.ones((3, 4)))["lowered"]
    last = last_downward_loop(lowered)
    assert "np.empty" not in last and last.count("for i in") == 1
    for sizes in ((3, 5), (1, 4), (4, 1), (2, 2), (5, 9)):
        a = np.random.default_rng(1).uniform(0.2, 1.0, sizes)
        value, gradient = adcompile.value_and_grad(sweep)(a)
        assert value == pytest.approx(sweep(a), rel=1e-12)
        np.testing.assert_allclose(gradient, by_complex_steps(sweep, a), rtol=1e-11, atol=1e-12)


def meets_itself(a):
    a = a.copy()
    for j in range(1, 4):
        a[1:, j] = a[:-1, j] * 0.5 + a[1:, j - 1]
        a[j, 1:] = a[j, :-1] * a[j - 1, 1:]
    return np.sum(a * a)


def test_a_column_that_is_made_of_itself_reads_the_old_one():
    a = np.random.default_rng(2).uniform(0.2, 1.0, (5, 6))
    value, gradient = adcompile.value_and_grad(meets_itself)(a)
    assert value == pytest.approx(meets_itself(a), rel=1e-12)
    np.testing.assert_allclose(gradient, by_complex_steps(meets_itself, a), rtol=1e-11)

"""Adjoints of stencils gather: no loop adds to shifted elements any more, and every size, empty ones too, is right."""

import re

import numpy as np
import pytest

import adcompile


def by_complex_steps(f, u, *args):
    """The gradient of a real polynomial."""
    found = np.zeros(u.shape)
    for place in np.ndindex(u.shape):
        moved = u.astype(complex)
        moved[place] += 1e-20j
        found[place] = f(moved, *args).imag / 1e-20
    return found


def line(u, steps):
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(1, u.shape[0] - 1):
            v[i] = 0.5 * u[i - 1] + 0.3 * u[i] - 0.2 * u[i + 1]
        u, v = v, u
    return np.sum(u * u * u)


def wide(u, steps):
    u = u.copy()
    for _ in range(steps):
        v = u.copy()
        for i in range(u.shape[0] - 4, 1, -1):
            v[i] = u[i - 2] * u[i + 1] - 3.0 * u[i + 2]
        u = v
    return np.sum(u * u)


def plane(u, steps):
    n, m = u.shape
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                v[i, j] = u[i, j] + 0.25 * (u[i - 1, j] + u[i + 1, j] - u[i, j - 1] * u[i, j + 1])
        u, v = v, u
    return np.sum(u * u)


def box(u, steps):
    n, m, k = u.shape
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                for l in range(1, k - 1):
                    v[i, j, l] = u[i - 1, j, l] + u[i + 1, j + 1, l] + u[i, j, l - 1] - u[i, j - 1, l + 1]
        u, v = v, u
    return np.sum(u * u)


SIZES = {
    line: [(n,) for n in (2, 3, 4, 5, 9)],
    wide: [(n,) for n in (2, 5, 6, 7, 12)],
    plane: [(2, 5), (3, 3), (4, 3), (3, 4), (4, 4), (6, 7)],
    box: [(2, 4, 5), (3, 3, 3), (4, 3, 5), (5, 4, 3), (5, 5, 6)],
}


@pytest.mark.parametrize("kernel", SIZES, ids=lambda f: f.__name__)
def test_every_size(kernel):
    gradient = adcompile.grad(kernel)
    for sizes in SIZES[kernel]:
        u = np.random.default_rng(0).standard_normal(sizes)
        for steps in (0, 1, 3):
            np.testing.assert_allclose(gradient(u, steps), by_complex_steps(kernel, u, steps), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("kernel", "sizes"), [(line, (9,)), (plane, (6, 7)), (box, (5, 5, 6))])
def test_no_loop_scatters(kernel, sizes):
    lowered = adcompile.grad(kernel).stages(np.ones(sizes), 2)["lowered"]
    assert re.search(r"_bar\w*\[[^\]\n]*\] [+-]= ", lowered)
    assert not re.search(r"_bar\w*\[[^\]\n]*[+-] 1[^\]\n]*\] [+-]= ", lowered)


def update_that_reads(u):
    for i in range(1, u.shape[0] - 1):
        u[i - 1] += 2.0 * u[i]
        u[i + 1] += u[i]
    return u


def test_a_loop_that_reads_what_it_adds_to_stays():
    f = lambda u: np.sum(update_that_reads(u.copy()) ** 2)
    u = np.linspace(0.2, 1.0, 7)
    assert adcompile.jit(f)(u) == pytest.approx(np.sum(update_that_reads(u.copy()) ** 2))
    np.testing.assert_allclose(adcompile.grad(f)(u), by_complex_steps(f, u), rtol=1e-11)

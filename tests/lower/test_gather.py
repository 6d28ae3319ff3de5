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


def sweeps_in_place(u):
    for i in range(1, u.shape[0] - 1):
        u[i] = u[i] + u[i - 1] * u[i + 1]
    return u


def other_array_written_behind(u):
    v, w = u.copy(), u * u
    for i in range(1, u.shape[0] - 1):
        v[i] = u[i - 1] * w[i] + u[i + 1] * w[i - 1]
        w[i] = v[i] * u[i]
    return v + w


def places_are_data(u):
    k, v = np.array([1, 1, 3, 2, 5, 1, 1]), u.copy()
    for i in range(7):
        v[i] = u[k[i] - 1] * u[k[i] + 1]
    return v


def place_is_carried(u):
    k, v = 1, u.copy()
    for i in range(u.shape[0] - 2):
        v[i] = u[k - 1] * u[k + 1]
        k = 1 + (2 * k + i) % 3
    return v


def same_places_from_many_iterations(u):
    w, v = np.outer(u, u), np.zeros((7, 7))
    for i in range(3):
        for j in range(3):
            v[i, j] = w[i - j + 3, j - i + 3] * w[i - j + 2, j - i + 3]
    return np.sum(v, 0)


def triangle(u):
    w, v = np.outer(u, u), np.zeros((7, 7))
    for i in range(1, 6):
        for j in range(i):
            v[i, j] = w[i - 1, j] * w[i + 1, j]
    return np.sum(v, 1)


def branches(u):
    v = u.copy()
    for i in range(1, u.shape[0] - 1):
        if u[i] > 0.57:
            v[i] = u[i - 1] * u[i + 1]
    return v


def every_second(u):
    v = u.copy()
    for i in range(1, u.shape[0] - 1, 2):
        v[i] = u[i - 1] * u[i + 1]
    return v


def strided_view(u):
    w, v = u[::2], u.copy()
    for i in range(w.shape[0] - 2, 0, -1):
        v[i] = w[i - 1] * w[i + 1]
    return v


def overlapping_views(u):
    left, right = u[:-1], u[1:]
    for i in range(1, left.shape[0] - 1):
        left[i] = right[i - 1] * right[i + 1] + left[i + 1]
    return u


NEIGHBOURS = (
    sweeps_in_place, other_array_written_behind, places_are_data, place_is_carried, same_places_from_many_iterations,
    triangle, branches, every_second, strided_view, overlapping_views,
)  # fmt: skip


@pytest.mark.parametrize("kernel", NEIGHBOURS, ids=lambda f: f.__name__)
def test_what_may_not_be_gathered_is_right(kernel):
    f = lambda u: np.sum(kernel(u.copy()) ** 2)
    u = np.linspace(0.2, 1.1, 7)
    moved = np.eye(7) * 1e-5
    expected = [(f(u + h) - f(u - h)) / 2e-5 for h in moved]
    np.testing.assert_allclose(adcompile.grad(f)(u), expected, rtol=1e-7, atol=1e-9)

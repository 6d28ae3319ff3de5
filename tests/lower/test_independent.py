"""Loops with independent iterations: sums in registers, counted upwards, subscripts tested once; errors as before."""

import numpy as np
import pytest

import adcompile


def lu(a0):
    n = a0.shape[0]
    a = a0.copy()
    for k in range(n):
        for i in range(k + 1, n):
            a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    total = 0.0
    for k in range(n):
        total += np.log(abs(a[k, k]))
    return total


def matrix(n):
    return np.random.default_rng(n).standard_normal((n, n)) + n * np.eye(n)


def test_lu_is_recorded_nowhere_and_right():
    gradient = adcompile.grad(lu)
    for n in (0, 1, 2, 3, 9):
        a = matrix(n)
        np.testing.assert_allclose(gradient(a), np.linalg.inv(a).T if n else a, rtol=1e-10, atol=1e-12)
    assert "# recorded: nothing" in gradient.source(matrix(3))


def test_lu_adds_in_a_register():
    lowered = adcompile.grad(lu).stages(matrix(3))["lowered"]
    innermost = lowered[lowered.index("a_bar[k, j] -=") :].splitlines()[:2]
    assert "a_bar" not in innermost[1]


@pytest.mark.parametrize("shape", [(4, 3), (4, 2)])
def test_a_subscript_out_of_range_is_reported_as_numpy_does(shape):
    a = np.ones(shape) + np.eye(*shape)
    with pytest.raises(IndexError) as expected:
        lu(a)
    for f in (adcompile.jit(lu), adcompile.grad(lu)):
        with pytest.raises(IndexError) as found:
            f(a)
        words = str(expected.value).split(" for axis")[0]
        assert str(found.value).startswith(words)


def tail(a, start, stop):
    b = a.copy()
    for i in range(start, stop):
        b[i] = 2.0 * a[i] + b[0]
    return np.sum(b)


@pytest.mark.parametrize("bounds", [(1, 5), (5, 1), (1, 1), (-2, 1), (7, 7), (9, 9)])
def test_ranges_that_are_empty_or_negative(bounds):
    a = np.arange(1.0, 6.0)
    assert adcompile.jit(tail)(a, *bounds) == pytest.approx(tail(a, *bounds))


def test_a_range_that_ends_too_late():
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        adcompile.jit(tail)(np.ones(5), 1, 7)


def prefix(a):
    b = a.copy()
    for i in range(1, a.shape[0]):
        b[i] = b[i - 1] + a[i]
    return np.sum(b)


def last_wins(a):
    b = a.copy()
    for i in range(a.shape[0] - 1, -1, -1):
        b[i // 2] = a[i]
    return b[0] + 2.0 * b[1]


@pytest.mark.parametrize("f", [prefix, last_wins], ids=lambda f: f.__name__)
def test_dependent_iterations_keep_their_order(f):
    a = np.arange(1.0, 7.0)
    assert adcompile.jit(f)(a) == pytest.approx(f(a))


def inner_loop_carries_the_place(a):
    b = np.zeros(2 * a.shape[0] + 2)
    for i in range(a.shape[0] - 1, -1, -1):
        k = 3 * i % 4
        for j in range(3):
            b[i + k] = a[i] * (j + 1)
            k = (k + i) % 5
    return np.sum(b * np.arange(b.shape[0]))


def shared_between_iterations(a):
    b = a.copy()
    for i in range(a.shape[0] - 1, -1, -1):
        for j in range(2):
            b[i + j - 1] = a[i] + 2.0 * j
    return np.sum(b * np.arange(b.shape[0]))


def reads_what_one_iteration_writes(a):
    b, s = a.copy(), 0.0
    for i in range(a.shape[0]):
        b[i] = 2.0 * a[i]
        s += b[0] + b[3]
    return s


@pytest.mark.parametrize(
    "f", [inner_loop_carries_the_place, shared_between_iterations, reads_what_one_iteration_writes]
)
def test_iterations_that_meet_keep_their_order(f):
    a = np.arange(1.0, 6.0)
    assert adcompile.jit(f)(a) == pytest.approx(f(a))
    expected = [(f(a + h) - f(a - h)) / 2e-5 for h in 1e-5 * np.eye(5)]
    np.testing.assert_allclose(adcompile.grad(f)(a), expected, rtol=1e-7, atol=1e-8)

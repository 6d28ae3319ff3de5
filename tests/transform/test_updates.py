"""Updates in their place: what is one and what only looks like one; values as NumPy's, derivatives by differences."""

import numpy as np
import pytest

import adcompile


def added(a, k):
    a[1] = a[1] + np.sin(a[2]) * a[0]
    a[2] = a[0] * a[3] + a[2]
    a[3] = a[3] - a[1] * a[2]
    return a


def other_element(a, k):
    for i in range(3):
        a[i] = a[i + 1] + a[i] * a[0]
    return a


def other_version(a, k):
    b = a.copy()
    a[1] = 2.0 * a[1]
    a[1] = b[1] + a[0]
    return a * b


def read_before_another_write(a, k):
    old = a[1]
    a[1] = 3.0 * a[0]
    a[1] = old + a[2]
    return a


def sum_used_again(a, k):
    for i in range(3):
        s = a[i] + a[i + 1] * a[3]
        a[i] = s
        a[3] = a[3] + s * s
    return a


def subtracted_from(a, k):
    a[1] = a[0] * a[2] - a[1]
    return a


def doubled(a, k):
    a[1] = a[1] + a[1]
    return a


def same_place_twice(a, k):
    a[k] = a[k] + a[0] * a[3]
    return a


def in_a_branch(a, k):
    for i in range(3):
        if a[i] > 0.37:
            a[i] = a[i] + a[3] * a[i + 1]
    return a


FUNCTIONS = (
    added, other_element, other_version, read_before_another_write, sum_used_again, subtracted_from, doubled,
    same_place_twice, in_a_branch,
)  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives_by_differences(f):
    k = np.array([1, 1, -2])
    whole = lambda a, k: np.sum(f(a.copy(), k) ** 2)
    a = np.array([0.3, 0.7, 0.45, 0.9])
    value, gradient = adcompile.value_and_grad(whole, backend="python")(a, k)
    assert value == whole(a, k)
    expected = [(whole(a + h, k) - whole(a - h, k)) / 2e-5 for h in 1e-5 * np.eye(4)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8)


def test_a_sum_in_a_wider_type_is_rounded_once():
    def f(a, x):
        a = a.copy()
        a[0] = a[0] + x
        return a

    a, x = np.array([0.1], np.float32), 1e-9 + 1.0
    (bar, x_bar) = adcompile.vjp(f, a, np.float64(x), backend="python")[1](np.ones(1, np.float32))
    assert bar.dtype == np.float32
    assert x_bar == 1.0


def test_zeros_that_stretch_a_cotangent_stay():
    def f(column, plane, n):
        total = np.sum(plane) * 0.0
        for _ in range(n):
            plane = plane + column * column
            total = total + np.sum(plane * plane)
        return total

    column, plane = np.array([[0.5], [2.0]]), np.arange(6.0).reshape(2, 3)
    for n in (0, 1, 3):
        found = adcompile.grad(f, argnums=(0, 1), backend="python")(column, plane, n)
        for which, bar in enumerate(found):
            expected = np.zeros(bar.shape)
            for place in np.ndindex(bar.shape):
                args = [column.astype(complex), plane.astype(complex)]
                args[which][place] += 1e-20j
                expected[place] = np.imag(f(*args, n)) / 1e-20
            np.testing.assert_allclose(bar, expected, rtol=1e-12)

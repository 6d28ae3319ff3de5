"""What survives in a loop nest is read again, what is overwritten is not: told by the source and by differences."""

import numpy as np
import pytest

import adcompile


def final(a, n):
    for i in range(n):
        a[i] = a[i] * a[i]
        for j in range(i):
            a[i] = a[i] + np.sin(a[j]) * a[j]
    return np.sum(a)


def overwritten(a, n):
    for i in range(1, n):
        a[i] = np.sin(a[i - 1]) * a[i - 1]
        a[i - 1] = 1.0
    return np.sum(a)


def overwritten_later(a, n):
    for i in range(1, n):
        a[i] = a[i] + np.sin(a[i - 1])
        for j in range(i):
            a[j] = 0.5 * a[j] * a[j]
    return np.sum(a)


def wraps(a, n):
    for i in range(n):
        a[i] = np.sin(a[i - 1]) * a[i - 1]
    return np.sum(a)


def swapped(a, n):
    b = 2.0 * a
    for i in range(1, n):
        b[i] = np.sin(b[i - 1]) * a[i]
        a, b = b, a
    return np.sum(a * b)


def alternative(a, n):
    for i in range(1, n):
        a[i] = np.sin(a[i - 1])
        if a[i] > 0.3:
            a[i - 1] = a[i] * a[i]
    return np.sum(a)


def downwards(a, n):
    for i in range(n - 2, -1, -1):
        a[i] = a[i] * np.sin(a[i + 1]) * a[i + 1]
    return np.sum(a)


KERNELS = (final, overwritten, overwritten_later, wraps, swapped, alternative, downwards)


@pytest.mark.parametrize("f", KERNELS, ids=lambda f: f.__name__)
def test_derivatives_by_differences(f):
    a = np.linspace(0.2, 0.9, 6)
    whole = lambda a, n: f(a.copy(), n)
    gradient = adcompile.grad(whole, backend="python")(a, 6)
    for k, unit in enumerate(np.eye(6)):
        expected = (whole(a + 1e-6 * unit, 6) - whole(a - 1e-6 * unit, 6)) / 2e-6
        assert gradient[k] == pytest.approx(expected, rel=1e-7, abs=1e-8)


def triangular(a):
    n = a.shape[0]
    a = a.copy()
    for k in range(n):
        for i in range(k + 1, n):
            a[i] = a[i] * np.sin(a[k]) * a[k]
    return np.sum(a)


def test_what_survives_is_not_recorded():
    source = adcompile.grad(triangular, backend="python").source(np.ones(4))
    assert source.count("= a_2[k]") == 2, "once in each sweep"

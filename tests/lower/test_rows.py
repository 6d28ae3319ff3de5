"""Tapes of inner loops are rows of those around them: stored once, nowhere in between, and read right."""

import numpy as np
import pytest

import adcompile


def pairs(x, steps):
    n = x.shape[0]
    x = x.copy()
    for _ in range(steps):
        for i in range(n):
            force = 0.0
            for j in range(n):
                d = x[j] - x[i]
                force += d / np.sqrt(d * d + 0.5)
            x[i] += 0.1 * force * x[i]
    return np.sum(x**3)


def triangle(x, steps):
    x, total = x.copy(), 0.0
    for k in range(1, steps):
        for i in range(0, x.shape[0], k):
            for j in range(i):
                total += np.exp(x[i] * x[j]) * total * 0.01 + x[j]
            x[i] = 0.5 * x[i] * total
    return total


def skipped(x, steps):
    x, total = x.copy(), 1.0
    for k in range(steps):
        if k % 2:
            for i in range(x.shape[0]):
                total += np.sin(total * x[i])
                x[i] = x[i] * total
    return total + np.sum(x)


def differences(f, x, *args):
    moves = 1e-6 * np.eye(x.size)
    return [(f(x + h, *args) - f(x - h, *args)) / 2e-6 for h in moves]


@pytest.mark.parametrize("f", [pairs, triangle, skipped], ids=lambda f: f.__name__)
def test_gradients(f):
    gradient = adcompile.grad(f)
    for n in (2, 3, 5):
        x = np.random.default_rng(n).uniform(0.2, 0.9, n)
        for steps in (0, 1, 4):
            np.testing.assert_allclose(gradient(x, steps), differences(f, x, steps), rtol=1e-6, atol=1e-7)


def test_second_derivatives():
    x, v = np.array([0.3, 0.8, 0.5]), np.array([1.0, -0.5, 0.25])
    along = lambda h: adcompile.grad(pairs)(x + h * v, 2)
    np.testing.assert_allclose(adcompile.hvp(pairs)(x, 2, v), (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-7)


def test_rows_are_not_copied():
    lowered = adcompile.grad(pairs).stages(np.ones(3), 2)["lowered"]
    forward = lowered[lowered.index("for ") : lowered.index("_bar")]
    assert "np.empty" not in forward
    tapes = [line for line in forward.splitlines() if "_tape" in line and "] = " in line]
    assert tapes and not any("_tape" in line.split(" = ")[1] for line in tapes)


def bodies(x, weight):
    n, total = x.shape[0], 0.0
    for i in range(n):
        for j in range(n):
            dx, dy = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1]
            total += weight[j] / np.sqrt(dx * dx + dy * dy + 0.1)
    return total


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_sums_that_meet_the_elements_of_other_iterations(n):
    """The reverse adds to row i in a register while it adds to row j, which is row i once."""
    rng = np.random.default_rng(n)
    x, weight = rng.standard_normal((n, 2)), rng.uniform(0.5, 1.5, n)
    apart = x[None] - x[:, None]
    cubes = (np.sum(apart**2, axis=2) + 0.1) ** 1.5
    pull = (weight[None] + weight[:, None]) / cubes
    expected = np.sum(pull[:, :, None] * apart, axis=1)
    lowered = adcompile.grad(bodies).stages(x, weight)["lowered"]
    assert "+= t" in lowered[lowered.index("x_bar[i, ") :]
    np.testing.assert_allclose(adcompile.grad(bodies)(x, weight), expected, rtol=1e-11, atol=1e-11)

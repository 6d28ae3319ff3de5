"""What no step changes is computed in the first one and kept; the tests of subscripts with it, or none of them."""

import numpy as np
import pytest

import adcompile


def shifted(density, velocity, steps):
    n, m = density.shape
    density = density.copy()
    moved = np.empty_like(density)
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                x = min(max(i - velocity[i, j], 0.0), n - 1.001)
                k = int(x)
                moved[i, j] = (k + 1.0 - x) * density[k, j] + (x - k) * density[k + 1, j]
        density[:] = moved
    return density


def bound_by_density(density, velocity, steps):
    n, m = density.shape
    density = density.copy()
    moved = np.empty_like(density)
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                k = int(max(density[i, j] + velocity[i, j], 0.0))
                moved[i, j] = density[k, j]
        density[:] = moved
    return density


def oscillating(x, steps):
    total = 0.0
    for _ in range(steps):
        for j in range(x.size):
            total += np.sin(0.1 * j)
    return total


def arguments(seed=0, shape=(5, 4)):
    random = np.random.default_rng(seed)
    return random.uniform(0.5, 1.5, shape), random.uniform(-2.0, 2.0, shape)


def lowered(function, *args):
    compiled = adcompile.jit(function)
    compiled(*args)
    return compiled.stages(*args)["lowered"]


def test_positions_and_weights_are_kept_with_their_tests():
    text = lowered(shifted, *arguments(), 3)
    first, rest = text.split("k_2_kept[i, j] =" if "k_2_kept[i, j] =" in text else "k_kept[i, j] =")
    assert "check_index(" in first and "int(" in first
    assert "check_index(" not in rest and "int(" not in rest
    assert "< 0" not in text, "a position cut from a number above zero needs no wraparound"


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_values_are_those_of_cpython(steps):
    args = arguments()
    np.testing.assert_allclose(adcompile.jit(shifted)(*args, steps), shifted(*args, steps), rtol=1e-14)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_derivatives_are_those_of_differences(steps):
    density, velocity = arguments(1)
    loss = lambda d, v: np.sum(np.sin(shifted(d, v, steps)))
    found = adcompile.grad(loss, argnums=(0, 1))(density, velocity)
    random, h = np.random.default_rng(2), 1e-6
    for k, bar in enumerate(found):
        step = random.standard_normal(density.shape)
        ends = [[a + s * h * step if m == k else a for m, a in enumerate((density, velocity))] for s in (1, -1)]
        expected = (loss(*ends[0]) - loss(*ends[1])) / (2 * h)
        np.testing.assert_allclose(np.sum(bar * step), expected, rtol=1e-7, atol=1e-7)


def test_what_the_loop_writes_is_not_kept():
    text = lowered(bound_by_density, *arguments(), 3)
    assert "kept" not in text


def test_nothing_is_kept_that_no_array_is_as_large_as():
    assert "kept" not in lowered(oscillating, np.zeros(3), 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [shifted, bound_by_density])
def test_a_position_that_is_no_number_is_never_read(function, value):
    density, velocity = arguments(3)
    velocity[2, 1] = value
    beyond = np.isnan(value) or (function is bound_by_density and value > 0)
    for f in (adcompile.jit(function), adcompile.grad(lambda d, v, n: np.sum(function(d, v, n)))):
        if beyond:
            with pytest.raises(IndexError):
                f(density, velocity, 2)
        else:
            assert np.all(np.isfinite(f(density, velocity, 2)))


def test_a_loop_without_steps_meets_no_error():
    density, velocity = arguments(4)
    velocity[0, 0] = np.nan
    np.testing.assert_array_equal(adcompile.jit(shifted)(density, velocity, 0), density)
    np.testing.assert_array_equal(adcompile.jit(shifted)(density, velocity[:2], 0), density)


def test_errors_are_those_of_the_first_step():
    density, velocity = arguments(5)
    for f in (adcompile.jit(shifted), adcompile.grad(lambda d, v, n: np.sum(shifted(d, v, n)))):
        with pytest.raises(IndexError, match="index 2 is out of bounds for size 2"):
            f(density, velocity[:2], 3)
        with pytest.raises(IndexError, match="index 1 is out of bounds for size 1"):
            f(density[:1], velocity, 3)

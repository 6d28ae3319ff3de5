"""Products that are transposes of one another: what is shared and what only looks like it; values by complex steps."""

import numpy as np
import pytest

import adcompile
from tests.lower.test_gather import by_complex_steps


def covariance(x):
    centred = x - np.mean(x, axis=0)
    return np.sum((centred.T @ centred / (x.shape[0] - 1)) ** 3)


def rows(x):
    s = np.exp(0.1 * (x @ x.T))
    return np.sum(s * s.T) + np.sum((s @ x) ** 2)


def not_symmetric(x):
    s = x.T @ (2.0 * x + 1.0)
    return np.sum((s * np.arange(1.0, 1.0 + x.shape[1])) ** 2)


def scaled(x):
    s = (x.T @ x) * np.arange(1.0, 1.0 + x.shape[1])
    return np.sum((s @ s.T) ** 2)


def product_outside_a_loop(x):
    p, total = x @ x[:3, :], 0.0
    for k in range(3):
        total += np.sum((p.T * (k + 1.0)) ** 2 @ p)
    return total


@pytest.mark.parametrize(
    "f", [covariance, rows, not_symmetric, scaled, product_outside_a_loop], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("backend", ["python", "llvm"])
def test_gradients(f, backend):
    both = adcompile.value_and_grad(f, backend=backend)
    for sizes in ((5, 3), (4, 3)):
        x = np.random.default_rng(0).uniform(-0.5, 0.5, sizes)
        value, gradient = both(x)
        assert value == pytest.approx(f(x), rel=1e-12)
        np.testing.assert_allclose(gradient, by_complex_steps(f, x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("f", "products"), [(covariance, 2), (not_symmetric, 3)])
def test_how_many_products(f, products):
    source = adcompile.grad(f, backend="python").source(np.ones((5, 3)))
    assert source.count(" @ ") == products


@pytest.mark.parametrize("n", [1, 3, 95, 96, 97, 130])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gram_matrices(n, dtype):
    x = np.random.default_rng(n).standard_normal((n, 70)).astype(dtype)
    tolerance = {"float64": 1e-12, "float32": 1e-4}[dtype]
    for found in (adcompile.jit(lambda x: x @ x.T)(x), adcompile.jit(lambda x: x.T @ x)(x.T.copy())):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, x @ x.T, rtol=tolerance, atol=70 * tolerance)
        assert np.array_equal(found, found.T)

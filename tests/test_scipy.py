"""SciPy's optimisers take the compiled derivatives as they are."""

import numpy as np
import pytest

import adcompile

special = pytest.importorskip("scipy.special")
optimize = pytest.importorskip("scipy.optimize")


def rosenbrock(x, scale):
    return np.sum(scale * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def decay(p, t):
    return p[0] * np.exp(-p[1] * t)


def equations(x):
    return np.stack((x[0] ** 2 + x[1] ** 2 - 4.0, x[0] - x[1] ** 3))


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG", "TNC"])
def test_minimize_with_value_and_gradient(method):
    gradient = adcompile.value_and_grad(rosenbrock)
    found = optimize.minimize(gradient, np.zeros(5), args=(100.0,), jac=True, method=method, tol=1e-10)
    np.testing.assert_allclose(found.x, np.ones(5), atol=1e-4)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-krylov", "trust-constr"])
def test_minimize_with_hessian_products(method):
    product = adcompile.hvp(lambda x: rosenbrock(x, 100.0))
    gradient = adcompile.value_and_grad(lambda x: rosenbrock(x, 100.0))
    found = optimize.minimize(gradient, np.zeros(3), jac=True, hessp=product, method=method, tol=1e-8)
    np.testing.assert_allclose(found.x, np.ones(3), atol=1e-4)


def test_minimize_with_a_hessian():
    f = lambda x: rosenbrock(x, 100.0)
    found = optimize.minimize(
        f, np.zeros(3), jac=adcompile.grad(f), hess=adcompile.hessian(f), method="trust-exact", tol=1e-10
    )
    np.testing.assert_allclose(found.x, np.ones(3), atol=1e-6)


def test_least_squares_with_a_jacobian():
    t = np.linspace(0.0, 2.0, 20)
    residuals = lambda p, y: decay(p, t) - y
    jacobian = adcompile.jacfwd(residuals)
    found = optimize.least_squares(residuals, [1.0, 1.0], jac=jacobian, args=(decay(np.array([3.0, 0.7]), t),))
    np.testing.assert_allclose(found.x, [3.0, 0.7], rtol=1e-8)
    exact = np.stack((np.exp(-0.7 * t), -3.0 * t * np.exp(-0.7 * t)), axis=1)
    np.testing.assert_allclose(found.jac, exact, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", ["hybr", "lm"])
@pytest.mark.parametrize("transform", [adcompile.jacfwd, adcompile.jacrev])
def test_root_with_a_jacobian(method, transform):
    found = optimize.root(adcompile.jit(equations), np.ones(2), jac=transform(equations), method=method)
    np.testing.assert_allclose(equations(found.x), 0.0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", ["llvm", "numba", "python"])
def test_special_functions_on_every_backend(backend, dtype):
    x = np.array([-120.0, -2.0, -0.0, 0.5, 120.0], dtype)
    functions = adcompile.jit(lambda x: (special.erf(x), special.erfc(x), special.expit(x)), backend=backend)
    for found, function in zip(functions(x), (special.erf, special.erfc, special.expit), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, function(x), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("backend", ["llvm", "python"])
def test_the_derivative_of_the_logistic_function_does_not_cancel(backend):
    x = np.array([-700.0, -40.0, 0.0, 40.0, 700.0])
    found = adcompile.grad(lambda x: np.sum(special.expit(x)), backend=backend)(x)
    np.testing.assert_allclose(found, 1 / (2 + np.exp(x) + np.exp(-x)), rtol=1e-14)

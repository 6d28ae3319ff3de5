"""Fixed points against closed forms, against differentiation through the iteration, and against differences."""

import doctest

import numpy as np
import pytest

import adcompile
from adcompile import fixed_point, grad, value_and_grad

BACKENDS = pytest.mark.parametrize("backend", ["python", "llvm"])
A = np.array([[0.2, 0.1, 0.0], [0.1, 0.3, -0.2], [0.3, 0.0, 0.1]])
P = {"b": np.array([0.3, 0.2, -0.5]), "c": 0.9}


def step(x, A, p):
    return np.tanh(A @ x + p["b"]) * p["c"]


def implicit(A, p):
    x = fixed_point(step, np.zeros(3), A, p, tolerance=1e-14)
    return np.sum(x * x)


def through(A, p):
    x = np.zeros(3)
    for _ in range(80):
        x = step(x, A, p)
    return np.sum(x * x)


def sweep(x, b):
    """Jacobi's iteration for the matrix with 4 on the diagonal and -1 beside it."""
    padded = np.concatenate((np.zeros(1), x, np.zeros(1)))
    return 0.25 * (b + padded[:-2] + padded[2:])


@BACKENDS
def test_a_linear_system(backend):
    """x = M⁻¹ b, so that the gradient of c·x is M⁻ᵀ c."""
    size = 6
    matrix = 4.0 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1)
    b, c = np.linspace(-1.0, 2.0, size), np.cos(np.arange(size))
    value, gradient = value_and_grad(
        lambda b: c @ fixed_point(sweep, np.zeros(size), b, tolerance=1e-14), backend=backend
    )(b)
    np.testing.assert_allclose(value, c @ np.linalg.solve(matrix, b), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.linalg.solve(matrix.T, c), rtol=1e-12)


@BACKENDS
def test_against_the_gradient_through_the_iteration(backend, verified):
    for found, expected in zip(
        value_and_grad(implicit, (0, 1), backend=backend)(A, P), value_and_grad(through, (0, 1))(A, P), strict=True
    ):
        for x, y in zip(*(adcompile.tree.flatten(t)[0] for t in (found, expected)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def test_against_differences():
    adcompile.check_grads(implicit, (A, P), order=1, modes=("rev",))


def test_reverse_over_reverse():
    slope = lambda f: grad(lambda A: np.sum(grad(f)(A, P) * A), backend="python")(A)
    np.testing.assert_allclose(slope(implicit), slope(through), rtol=1e-9, atol=1e-11)


def test_nothing_is_recorded():
    source = grad(implicit).source(A, P)
    assert "# recorded: nothing" in source
    assert "_tape" not in source


def test_the_start_has_no_gradient():
    f = lambda start, a: fixed_point(lambda x, a: 0.5 * (x + a / x), start, a)
    assert grad(f)(1.0, 9.0) == 0.0
    np.testing.assert_allclose(grad(f, argnums=1)(1.0, 9.0), 1 / 6, rtol=1e-10)


def test_plain_python_iterates():
    assert fixed_point(np.cos, 1.0) == pytest.approx(0.7390851332151607, abs=1e-10)


def test_no_convergence_is_an_error():
    f = lambda a: fixed_point(lambda x, a: 2.0 * x + a, 1.0, a, most=50)
    for run in (f, grad(f), grad(f, backend="python")):
        with pytest.raises(ArithmeticError, match="fixed_point did not converge"):
            run(1.0)


def test_cotangents_that_do_not_converge_are_an_error():
    """From the fixed point itself the iteration ends at once, but its derivative there is no contraction."""
    f = lambda a: fixed_point(lambda x, a: x**2 + a - 1.0, 1.0, a, most=50)
    assert f(1.0) == 1.0
    with pytest.raises(ArithmeticError, match="cotangents did not converge"):
        grad(f)(1.0)


def test_nan_is_no_fixed_point():
    with pytest.raises(ArithmeticError, match="did not converge"):
        fixed_point(lambda x: x * np.nan, 1.0, most=5)


def test_forward_mode_is_refused():
    with pytest.raises(adcompile.MissingRule, match="no forward rule"):
        adcompile.jvp(implicit, (A, P), (A, P))


def test_what_is_differentiated_must_be_an_argument():
    with pytest.raises(adcompile.MissingRule, match="reads a from the function around it"):
        grad(lambda a: fixed_point(lambda x: 0.5 * x + a, 1.0))(1.0)


def test_docstring():
    from adcompile import fixed_points

    assert doctest.testmod(fixed_points).failed == 0

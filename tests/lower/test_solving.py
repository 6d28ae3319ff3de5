"""Linear systems and determinants in loops, against NumPy's LAPACK."""

import numpy as np
import pytest

import adcompile

RNG = np.random.default_rng(3)


def systems():
    """Matrices that need pivots: zero on the diagonal, rows to be exchanged, tiny pivots, one row, none."""
    yield np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([3.0, 4.0])
    yield np.array([[1e-20, 1.0], [1.0, 1.0]]), np.array([1.0, 2.0])
    yield np.array([[4.0]]), np.array([2.0])
    yield np.zeros((0, 0)), np.zeros(0)
    for n in (3, 17, 64):
        yield RNG.normal(size=(n, n)), RNG.normal(size=n)
        yield RNG.normal(size=(n, n))[::-1].T, RNG.normal(size=(n, 3))
    yield RNG.normal(size=(2, 4, 5, 5)), RNG.normal(size=(2, 4, 5, 2))


@pytest.mark.parametrize("backend", ["llvm", "numba"])
def test_solve(backend):
    solve = adcompile.jit(np.linalg.solve, backend=backend)
    for a, b in systems():
        np.testing.assert_allclose(solve(a, b), np.linalg.solve(a, b), rtol=1e-9, atol=1e-11)


def test_solve_in_float32():
    a, b = (RNG.normal(size=s).astype(np.float32) for s in ((6, 6), 6))
    found = adcompile.jit(np.linalg.solve)(a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.linalg.solve(a, b), rtol=1e-4)


@pytest.mark.parametrize("backend", ["llvm", "python", "numba"])
def test_a_singular_matrix_is_an_error_as_in_numpy(backend):
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        adcompile.jit(np.linalg.solve, backend=backend)(np.ones((3, 3)), np.ones(3))


def test_determinants():
    det, slogdet = adcompile.jit(np.linalg.det), adcompile.jit(np.linalg.slogdet)
    for a in [*(a for a, _ in systems()), np.ones((3, 3)), np.zeros((2, 2)), np.diag([1.0, 0.0, 2.0])]:
        np.testing.assert_allclose(det(a), np.linalg.det(a), rtol=1e-9)
        with np.errstate(divide="ignore"):
            for got, want in zip(slogdet(a), np.linalg.slogdet(a), strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_no_derivative_of_a_singular_determinant():
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        adcompile.grad(np.linalg.det)(np.ones((2, 2)))

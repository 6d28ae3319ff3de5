"""The tiles of a batch are shared: each thread adds the cotangents of the weights up in arrays of its own."""

import ctypes

import numpy as np
import pytest

import adcompile
from adcompile.backend.llvm import blas
from adcompile.lower import tiles
from benchmarks import pinn, pinn_adjoint
from tests.parallel.common import THREADS, assert_same, lowered, on_threads

WIDTHS = (2, 5, 5, 5, 1)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of a few rows, for small networks too."""
    for name, value in {"PRODUCTS": 3, "CACHE": 1, "REUSE": 0, "LEAST_ROWS": 8}.items():
        monkeypatch.setattr(tiles, name, value)


def network(params, h):
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    return h @ w + b


def tile_loops(text):
    return [line.strip() for line in text.splitlines() if "for row" in line]


@pytest.fixture(scope="module")
def residual_gradient():
    return adcompile.value_and_grad(pinn.loss, parallel=True, cache=False)


@pytest.mark.parametrize("count", [2, 7, 40, 301])
def test_residual_gradient_against_the_hand_written_one(residual_gradient, count):
    args = pinn.data("float64", WIDTHS, count)
    (value, bars), flat = pinn_adjoint.value_and_gradient(*args, pinn.VISCOSITY), adcompile.tree.flatten
    for threads in THREADS:
        found = on_threads(threads, residual_gradient, *args)
        assert_same(found, flat((value, bars))[0])
    assert tile_loops(lowered(residual_gradient, *args))[0].startswith("for row in prange(")
    assert len(residual_gradient.compiled) == 1  # a new batch size compiles nothing


def test_rows_that_leave_the_tiles():
    """Values of all rows are kept beside the sum: no two tiles write the same row."""

    def loss(params, x):
        y = network(params, x)
        return np.sum(np.sin(y) ** 2), y

    (params, _, _), x = pinn.data("float64", WIDTHS, 1), np.random.default_rng(3).standard_normal((61, 2))
    together = adcompile.value_and_grad(loss, has_aux=True, parallel=True)
    expected = on_threads(1, adcompile.value_and_grad(loss, has_aux=True), params, x)
    assert tile_loops(lowered(together, params, x))[0].startswith("for row in prange(")
    for threads in THREADS:
        assert_same(on_threads(threads, together, params, x), expected)


def test_a_batch_by_vmap():
    (params, _, _), x = pinn.data("float64", WIDTHS, 1), np.random.default_rng(4).standard_normal((50, 2))
    one = lambda params, x: network(params, x)[0]
    together = adcompile.vmap(adcompile.grad(one, argnums=1), in_axes=(None, 0), parallel=True)
    expected = on_threads(1, adcompile.vmap(adcompile.grad(one, argnums=1), in_axes=(None, 0)), params, x)
    for threads in THREADS:
        assert_same(on_threads(threads, together, params, x), expected)


def test_blas_gets_its_threads_back(residual_gradient):
    """Products in a shared loop take one thread; afterwards BLAS has as many as before."""
    control = blas.thread_control()
    if control is None:
        pytest.skip("SciPy carries another BLAS than OpenBLAS")
    get, put = ctypes.CFUNCTYPE(ctypes.c_int)(control[0]), ctypes.CFUNCTYPE(None, ctypes.c_int)(control[1])
    before = get()
    put(2)
    on_threads(3, residual_gradient, *pinn.data("float64", WIDTHS, 300))
    after = get()
    put(before)
    assert after == 2

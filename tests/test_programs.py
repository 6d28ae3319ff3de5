"""Every small program, on every backend, against CPython and central differences, in both modes and twice over."""

import numpy as np
import pytest

import adcompile
from adcompile.ir.verifier import verify
from adcompile.primitives.evaluate import infer
from tests.programs import POINT, PROGRAMS, STEPS

BACKENDS = ("python", "llvm")
NUMBA = (
    "control.triangular",
    "control.jumps_nested",
    "control.newton",
    "arrays.swaps",
    "arrays.row_views",
    "helpers.recursion",
)
CASES = [(name, backend) for name in PROGRAMS for backend in BACKENDS] + [(name, "numba") for name in NUMBA]


def central(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for i in range(x.size):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_value_gradient_and_tangent(name, backend):
    function = PROGRAMS[name]
    x = POINT.copy()
    value, gradient = adcompile.value_and_grad(function, backend=backend)(x, STEPS)
    np.testing.assert_array_equal(x, POINT, err_msg="the argument was changed")
    assert not np.shares_memory(gradient, x)
    assert gradient.dtype == x.dtype and gradient.shape == x.shape
    rtol = 1e-15 if backend == "python" else 1e-11
    np.testing.assert_allclose(value, function(POINT.copy(), STEPS), rtol=rtol)
    reference = central(lambda p: function(p, STEPS), POINT)
    np.testing.assert_allclose(gradient, reference, rtol=1e-6, atol=1e-8)
    direction = np.cos(np.arange(6.0))
    _, tangent = adcompile.jvp(function, (x, STEPS), (direction, None), backend=backend)
    np.testing.assert_allclose(tangent, gradient @ direction, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_order(name):
    function = PROGRAMS[name]
    hessian = adcompile.hessian(function)(POINT, STEPS)
    gradient = adcompile.grad(function)
    reference = np.stack([central(lambda p, k=k: gradient(p, STEPS)[k], POINT) for k in range(6)])
    np.testing.assert_allclose(hessian, reference, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-10)
    reverse = adcompile.jacrev(adcompile.grad(function, backend="python"), backend="python")(POINT, STEPS)
    np.testing.assert_allclose(reverse, hessian, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", PROGRAMS)
def test_traces_are_well_formed(name):
    compiled = adcompile.value_and_grad(PROGRAMS[name], backend="python").specialisation(POINT, STEPS)
    verify(compiled.primal.trace, infer)
    verify(compiled.program.trace, infer)


def test_float32_stays_float32():
    for name in ("control.multiplies", "arrays.slices", "arrays.views_of_views", "helpers.local_function"):
        for backend in BACKENDS:
            x = POINT.astype(np.float32)
            value, gradient = adcompile.value_and_grad(PROGRAMS[name], backend=backend)(x, STEPS)
            assert gradient.dtype == np.float32, name
            np.testing.assert_allclose(value, PROGRAMS[name](x.copy(), STEPS), rtol=2e-5)
            np.testing.assert_allclose(gradient, adcompile.grad(PROGRAMS[name])(POINT, STEPS), rtol=2e-4)


def renamed_in_a_loop_that_may_not_run(x, n):
    u = x.copy()
    v = u
    for _ in range(n):
        u = u * 1.1
    v[0] = x[1] * 3
    return np.sum(u * u)


def test_a_write_that_a_loop_could_hide_is_refused():
    with pytest.raises(adcompile.UnsupportedAlias, match="decided at run time"):
        adcompile.grad(renamed_in_a_loop_that_may_not_run)(POINT, STEPS)

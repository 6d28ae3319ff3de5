"""Values, shapes and structures of what every transform gives."""

import math

import numpy as np
import pytest

import adcompile
from tests.api.common import ALL_BACKENDS, BACKENDS, P, Pair, cubes

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def mapped(x):
    return np.sin(A @ x)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
def test_jacobian_of_a_vector(jacobian, backend):
    found = jacobian(mapped, backend=backend)(P)
    np.testing.assert_allclose(found, np.cos(A @ P)[:, None] * A, rtol=1e-14)
    assert found.shape == (2, 3)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
@pytest.mark.parametrize(
    ("function", "x", "shape"),
    [(lambda x: x, 2.0, ()), (lambda x: x * P, 2.0, (3,)), (lambda x: np.sum(x * x), P, (3,)),
     (lambda x: x[:2] * x[1:], P, (2, 3)), (lambda x: np.outer(x, x), P, (3, 3, 3)), (lambda x: x.T, A, (3, 2, 2, 3)),
     (lambda x: x @ P, A, (2, 2, 3)), (lambda x: x * 2.0, np.ones((0,)), (0, 0)), (lambda x: x[:0], P, (0, 3)),
     (lambda x: np.ones(2), P, (2, 3))],
    ids=["number", "number-vector", "vector-number", "vectors", "outer", "transpose", "product", "empty", "no rows",
         "constant"],
)  # fmt: skip
def test_jacobian_shapes(function, x, shape, jacobian, backend):
    found = np.asarray(jacobian(function, backend=backend)(x))
    assert found.shape == shape
    assert found.dtype == np.float64
    flat, step = np.ravel(x), 1e-6
    for k in range(flat.size):
        moved = [np.reshape(flat + sign * step * (np.arange(flat.size) == k), np.shape(x)) for sign in (1, -1)]
        up, down = (np.asarray(function(m if np.ndim(x) else float(m))) for m in moved)
        column = found.reshape((*up.shape, flat.size))[..., k]
        np.testing.assert_allclose(column, (up - down) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
def test_jacobian_of_containers(jacobian):
    def f(p, s):
        return {"out": p["w"] * s, "total": np.sum(p["w"]) * p["b"] * s}

    p = {"w": P, "b": 2.0}
    found = jacobian(f)(p, 3.0)
    assert set(found) == {"out", "total"}
    assert {k: set(v) for k, v in found.items()} == {"out": {"w", "b"}, "total": {"w", "b"}}
    np.testing.assert_allclose(found["out"]["w"], 3.0 * np.eye(3))
    np.testing.assert_allclose(found["out"]["b"], np.zeros(3))
    np.testing.assert_allclose(found["total"]["w"], np.full(3, 6.0))
    assert found["total"]["b"] == 4.5
    both = jacobian(f, argnums=(1, 0))(p, 3.0)
    assert isinstance(both["out"], tuple)
    np.testing.assert_allclose(both["out"][0], P)
    np.testing.assert_allclose(both["out"][1]["w"], 3.0 * np.eye(3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_hessian_values(backend):
    y = np.array([2.0, 3.0])
    np.testing.assert_allclose(adcompile.hessian(cubes, backend=backend)(P, y), np.diag(12.0 * P), rtol=1e-14)
    xy = adcompile.hessian(cubes, argnums=(0, 1), backend=backend)(P, y)
    np.testing.assert_allclose(xy[0][0], np.diag(12.0 * P), rtol=1e-14)
    np.testing.assert_allclose(xy[0][1], np.array([[0.75, 6.0], [3.0, 0.0], [12.0, 0.0]]), rtol=1e-14)
    np.testing.assert_allclose(xy[1][0], xy[0][1].T, rtol=1e-14)
    np.testing.assert_allclose(xy[1][1], [[0.0, 0.0], [0.0, 1.0]], rtol=1e-14)
    assert adcompile.hessian(lambda x: x**3, backend=backend)(2.0) == 12.0
    assert adcompile.hessian(lambda m: np.sum(m**2), backend=backend)(A).shape == (2, 3, 2, 3)


def test_hessian_of_a_container():
    found = adcompile.hessian(lambda p: np.sum(p["w"] ** 2) * p["b"])({"w": P, "b": 3.0})
    np.testing.assert_allclose(found["w"]["w"], 6.0 * np.eye(3))
    np.testing.assert_allclose(found["w"]["b"], 2.0 * P)
    np.testing.assert_allclose(found["b"]["w"], 2.0 * P)
    assert found["b"]["b"] == 0.0


@pytest.mark.parametrize("compose", [
    lambda f: adcompile.jacfwd(adcompile.jacrev(f)), lambda f: adcompile.jacrev(adcompile.jacfwd(f)),
    lambda f: adcompile.jacrev(adcompile.grad(f)), lambda f: adcompile.jacfwd(adcompile.jacfwd(f)),
    lambda f: adcompile.jit(adcompile.hessian(f)), lambda f: adcompile.hessian(adcompile.jit(f)),
    lambda f: adcompile.jacfwd(lambda x, y: adcompile.value_and_grad(f)(x, y)[1]),
])  # fmt: skip
def test_hessian_is_a_composition(compose):
    found = compose(cubes)(P, np.array([2.0, 3.0]))
    np.testing.assert_allclose(found, np.diag(12.0 * P), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hvp_values(backend):
    y, v = np.array([2.0, 3.0]), np.array([1.0, -2.0, 0.5])
    product = adcompile.hvp(cubes, backend=backend)
    np.testing.assert_allclose(product(P, y, v), 12.0 * P * v, rtol=1e-14)
    np.testing.assert_allclose(product(P, y, 2 * v), 24.0 * P * v, rtol=1e-14)
    x_bar, y_bar = adcompile.hvp(cubes, argnums=(0, 1), backend=backend)(P, y, (v, np.array([1.0, 1.0])))
    np.testing.assert_allclose(x_bar, 12.0 * P * v + [6.75, 3.0, 12.0], rtol=1e-14)
    np.testing.assert_allclose(y_bar, [3.0 * np.sum(P**2 * v), 6.0 * v[0] + 1.0], rtol=1e-14)
    found = adcompile.hvp(lambda p: np.sum(p["w"] ** 3) * p["b"], backend=backend)(
        {"w": P, "b": 2.0}, {"w": v, "b": 1.0}
    )
    np.testing.assert_allclose(found["w"], 12.0 * P * v + 3.0 * P**2, rtol=1e-14)
    np.testing.assert_allclose(found["b"], 3.0 * np.sum(P**2 * v), rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_jvp_and_vjp_structures(backend):
    def f(p, n, s):
        return {"a": p["w"] * s, "k": n + 1, "pair": Pair(np.sum(p["w"]) * n, "text")}

    primals = ({"w": P}, 3, 2.0)
    out, dot = adcompile.jvp(f, primals, ({"w": np.ones(3)}, None, 1.0), backend=backend)
    assert isinstance(out["pair"], Pair)
    assert (out["k"], out["pair"].n) == (4, "text")
    np.testing.assert_allclose(dot["a"], 2.0 + P)
    assert dot["k"] is None
    np.testing.assert_allclose(dot["pair"].w, 9.0)
    out, pullback = adcompile.vjp(f, *primals, backend=backend)
    np.testing.assert_allclose(out["a"], 2.0 * P)
    bars = pullback({"a": np.ones(3), "k": None, "pair": Pair(1.0, None)})
    assert isinstance(bars, tuple)
    assert len(bars) == 3
    np.testing.assert_allclose(bars[0]["w"], np.full(3, 5.0))
    assert bars[1] is None
    np.testing.assert_allclose(bars[2], np.sum(P))


@pytest.mark.parametrize("backend", BACKENDS)
def test_jvp_and_vjp_are_adjoint(backend):
    x, v, u = P, np.array([0.3, 0.1, -0.7]), np.array([2.0, -1.0])
    _, out_dot = adcompile.jvp(mapped, (x,), (v,), backend=backend)
    _, pullback = adcompile.vjp(mapped, x, backend=backend)
    np.testing.assert_allclose(u @ out_dot, pullback(u)[0] @ v, rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_stop_gradient(backend):
    def f(x):
        return adcompile.stop_gradient(x * x) * x * x

    def g(p):
        held = adcompile.stop_gradient(p)
        return np.sum(held["w"] * p["w"]) * held["b"]

    assert adcompile.grad(f, backend=backend)(3.0) == 54.0
    assert adcompile.grad(adcompile.grad(f), backend=backend)(3.0) == 18.0
    assert adcompile.grad(adcompile.grad(adcompile.grad(f)), backend=backend)(3.0) == 0.0
    assert adcompile.hessian(f, backend=backend)(3.0) == 18.0
    assert adcompile.hvp(f, backend=backend)(3.0, 2.0) == 36.0
    assert adcompile.jvp(f, (3.0,), (1.0,), backend=backend) == (81.0, 54.0)
    assert adcompile.jacfwd(f, backend=backend)(3.0) == 54.0
    found = adcompile.grad(g, backend=backend)({"w": P, "b": 2.0})
    np.testing.assert_allclose(found["w"], 2.0 * P)
    assert found["b"] == 0.0
    assert adcompile.stop_gradient(3.0) == 3.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_nested_transforms(backend):
    """A gradient step inside a function, differentiated through; perturbations are not confused."""

    def loss(w, x):
        return np.sum((w * x - 1.0) ** 2)

    def outer(w, x):
        return loss(w - 0.1 * adcompile.grad(loss)(w, x), x)

    x = np.array([1.0, 2.0])
    w = 0.7
    step = w - 0.1 * np.sum(2 * (w * x - 1) * x)
    expected = np.sum(2 * (step * x - 1) * x) * (1 - 0.2 * np.sum(x * x))
    np.testing.assert_allclose(adcompile.grad(outer, backend=backend)(w, x), expected, rtol=1e-13)
    confusing = adcompile.grad(lambda a: a * adcompile.grad(lambda b: a + b)(1.0), backend=backend)
    assert confusing(5.0) == 1.0
    mixed = adcompile.grad(lambda a: a * adcompile.jvp(lambda b: a * b * b, (2.0,), (1.0,))[1], backend=backend)
    assert mixed(3.0) == 24.0
    pulled = adcompile.grad(lambda a: adcompile.vjp(lambda b: a * b * b, a)[1](1.0)[0], backend=backend)
    assert pulled(3.0) == 12.0


def test_grad_of_grad_four_times():
    derivative, expected = math.sin, [math.cos, lambda x: -math.sin(x), lambda x: -math.cos(x), math.sin]
    for value in expected:
        derivative = adcompile.grad(derivative)
        np.testing.assert_allclose(derivative(0.4), value(0.4), rtol=1e-14)

"""Differential equations with known solutions, by derivatives inside vmap; and what these derivatives cost.

The residual of an exact solution is zero to rounding; that of a slightly wrong one is not.
"""

import collections
import itertools
import math

import numpy as np
import pytest

import adcompile
from adcompile.ir.core import walk
from adcompile.tree import flatten

BACKENDS = ("python", "llvm")
R = np.random.default_rng(8)
X, Y = R.uniform(-1.0, 1.0, 20), R.uniform(-0.5, 1.0, 20)


def along_x(u):
    """The derivative by the first coordinate, forward mode."""
    return lambda x, y, k: adcompile.jvp(lambda s: u(s, y, k), (x,), (1.0,))[1]


def along_y(u):
    """The derivative by the second coordinate, reverse mode."""
    return adcompile.grad(u, 1)


# -- exact solutions: each takes a point and a parameter that is 1 in the exact one ---------------------------------


def allen_cahn(x, t, k):
    """u_t = u_xx + u - u³: a front that runs at speed 3/√2 (Allen & Cahn, 1979)."""

    def u(x, t, k):
        return 0.5 * (1.0 - np.tanh((x - k * 3.0 / math.sqrt(2.0) * t) / (2.0 * math.sqrt(2.0))))

    value = u(x, t, k)
    return along_y(u)(x, t, k) - along_x(along_x(u))(x, t, k) - value + value**3


def helmholtz(x, y, k):
    """Δu + u = q with u = sin(πx) sin(4πy) (Wang, Teng & Perdikaris, 2021)."""

    def u(point):
        return np.sin(math.pi * point[0]) * np.sin(4.0 * math.pi * point[1])

    point = np.array([x, y])
    q = (k - 17.0 * math.pi**2) * u(point)
    return np.trace(adcompile.hessian(u)(point)) + u(point) - q


def beam(x, t, k):
    """u_tt + u_xxxx = 0 with u = sin(πx) cos(π²t) (Euler and Bernoulli)."""

    def u(x, t, k):
        return np.sin(math.pi * x) * np.cos(k * math.pi**2 * t)

    fourth = along_x(along_x(along_x(along_x(u))))
    return along_y(along_y(u))(x, t, k) + fourth(x, t, k)


RE = 40.0
LAMBDA = RE / 2.0 - math.sqrt(RE**2 / 4.0 + 4.0 * math.pi**2)


def kovasznay(x, y, k):
    """The steady Navier–Stokes equations behind a grid (Kovasznay, 1948): two momenta and the divergence."""

    def u(x, y, k):
        return 1.0 - np.exp(k * LAMBDA * x) * np.cos(2.0 * math.pi * y)

    def v(x, y, k):
        return LAMBDA / (2.0 * math.pi) * np.exp(LAMBDA * x) * np.sin(2.0 * math.pi * y)

    def p(x, y, k):
        return 0.5 * (1.0 - np.exp(2.0 * LAMBDA * x))

    here = (x, y, k)
    convection = [u(*here) * along_x(w)(*here) + v(*here) * along_y(w)(*here) for w in (u, v)]
    friction = [along_x(along_x(w))(*here) + along_y(along_y(w))(*here) for w in (u, v)]
    momenta = [c + d(p)(*here) - f / RE for c, d, f in zip(convection, (along_x, along_y), friction, strict=True)]
    return np.array([*momenta, along_x(u)(*here) + along_y(v)(*here)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("equation", [allen_cahn, helmholtz, beam, kovasznay], ids=lambda f: f.__name__)
def test_residual_of_the_exact_solution(equation, backend):
    residual = adcompile.vmap(equation, (0, 0, None), backend=backend)
    scale = 17.0 * math.pi**2 if equation is helmholtz else math.pi**4 if equation is beam else 10.0
    np.testing.assert_allclose(residual(X, Y, 1.0), 0.0, atol=1e-14 * scale * 10)
    assert np.max(np.abs(residual(X, Y, 1.001))) > 1e-4


# -- what derivatives of a network cost -----------------------------------------------------------------------------

SIZES = (2, 6, 6, 6, 1)
PARAMS = [(R.normal(size=(n, m)) / math.sqrt(m), 0.1 * R.normal(size=n)) for m, n in itertools.pairwise(SIZES)]


def network(params, x, t):
    h = np.array([x, t])
    for w, b in params[:-1]:
        h = np.tanh(w @ h + b)
    w, b = params[-1]
    return (w @ h + b)[0]


def forward(u):
    return lambda params, x, t: adcompile.jvp(lambda s: u(params, s, t), (x,), (1.0,))[1]


def reverse(u):
    return adcompile.grad(u, 1)


def nested(derivative, order):
    u = network
    for _ in range(order):
        u = derivative(u)
    return u


def costs(function):
    """How many products of whole batches, and evaluations of tanh, a mapped function has."""
    mapped = adcompile.vmap(function, (None, 0, 0), backend="python")
    program = mapped.specialisation(PARAMS, X, Y).program.trace
    count = collections.Counter(e.op for e in walk(program.block) if e.outs and e.outs[0].type.rank == 2)
    return count["matmul"], count["tanh"]


LAYERS = len(SIZES) - 1


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_forward_over_forward_is_taylor_mode(order):
    """A new order is one more channel through the layers, not twice as many; no tanh is computed again."""
    value, highest, middle = LAYERS - 1, LAYERS - 1, LAYERS - 2
    assert costs(nested(forward, order)) == (value + (order - 1) * middle + highest, LAYERS - 1)


@pytest.mark.parametrize(("order", "products"), [(1, 6), (2, 10), (3, 18), (4, 34)])
def test_reverse_over_reverse_doubles(order, products):
    assert costs(nested(reverse, order)) == (products, LAYERS - 1)


def test_value_and_two_derivatives_are_three_channels():
    def channels(params, x, t):
        return network(params, x, t), forward(network)(params, x, t), nested(forward, 2)(params, x, t)

    assert costs(channels) == (LAYERS + 2 * (LAYERS - 1), LAYERS - 1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_orders_agree(order):
    one = adcompile.vmap(nested(forward, order), (None, 0, 0), backend="python")(PARAMS, X, Y)
    two = adcompile.vmap(nested(reverse, order), (None, 0, 0), backend="python")(PARAMS, X, Y)
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-11)
    below = adcompile.vmap(nested(forward, order - 1), (None, 0, 0), backend="python")
    difference = (below(PARAMS, X + 1e-5, Y) - below(PARAMS, X - 1e-5, Y)) / 2e-5
    np.testing.assert_allclose(one, difference, rtol=1e-6, atol=1e-8)


def burgers_loss(params, x, t):
    """A PINN's loss: derivatives of the network inside the residual, the residual mapped over points."""

    def residual(x, t):
        u, u_x = network(params, x, t), forward(network)(params, x, t)
        return adcompile.grad(network, 2)(params, x, t) + u * u_x - 0.01 * nested(forward, 2)(params, x, t)

    return np.mean(adcompile.vmap(residual)(x, t) ** 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_of_a_loss_with_derivatives_inside(backend):
    value, gradient = adcompile.value_and_grad(burgers_loss, backend=backend)(PARAMS, X, Y)
    assert value > 0
    step, direction = 1e-5, [(np.cos(w), np.sin(b)) for w, b in PARAMS]

    def moved(k):
        return [(w + k * v, b + k * c) for (w, b), (v, c) in zip(PARAMS, direction, strict=True)]

    loss = adcompile.jit(burgers_loss)
    difference = (loss(moved(step), X, Y) - loss(moved(-step), X, Y)) / (2 * step)
    pairs = zip(flatten(gradient)[0], flatten(direction)[0], strict=True)
    product = sum(np.sum(bar * move) for bar, move in pairs)
    np.testing.assert_allclose(product, difference, rtol=1e-7)

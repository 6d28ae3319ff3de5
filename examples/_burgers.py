"""What the examples on Burgers' equation share: the exact solution, a network, its residual, and the training.

u_t + u u_x = nu u_xx on [-1, 1] × [0, 1] with nu = 0.01 / pi, u(x, 0) = -sin(pi x), u(±1, t) = 0: the setting of
M. Raissi, P. Perdikaris, G. E. Karniadakis, Physics-informed neural networks, J. Comput. Phys. 378 (2019).
"""

import time
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc
from tqdm import tqdm

import adcompile

VISCOSITY = 0.01 / np.pi
SPAN = (0, 1, -1, 1)
"""Of a picture with t to the right and x upwards."""


class Training(NamedTuple):
    """The parameters found, what was recorded at every iteration, the number of gradients, and the time in seconds."""

    theta: np.ndarray
    history: np.ndarray
    gradients: int
    seconds: float


def exact(x, t):
    """Cole's and Hopf's solution, its integrals over the heat kernel by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(80)
    y = x[..., None] - np.sqrt(4 * VISCOSITY * t)[..., None] * nodes
    density = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY))
    return -np.sum(density * np.sin(np.pi * y), axis=-1) / np.sum(density, axis=-1)


def hypercube(count):
    """Points (x, t) from a Latin hypercube, as two arrays."""
    unit = qmc.LatinHypercube(2, seed=np.random.default_rng(0)).random(count)
    return np.ascontiguousarray(2 * unit[:, 0] - 1), np.ascontiguousarray(unit[:, 1])


def network(layers, x, t):
    h = np.stack([x, 2 * t - 1], axis=1)
    for w, b in layers[:-1]:
        h = np.tanh(h @ w + b)
    w, b = layers[-1]
    return (h @ w + b)[:, 0]


def residual(layers, x, t, advection=1.0, viscosity=VISCOSITY):
    """What is left of Burgers' equation; each point depends on its own x and t alone, so the direction is all ones."""
    one = np.ones_like(x)

    def along_x(x):
        return adcompile.jvp(lambda x: network(layers, x, t), (x,), (one,))

    (u, u_x), (_, u_xx) = adcompile.jvp(along_x, (x,), (one,))
    _, u_t = adcompile.jvp(lambda t: network(layers, x, t), (t,), (one,))
    return u_t + advection * u * u_x - viscosity * u_xx


def glorot(random, sizes):
    """Normal weights by the rule of Glorot and Bengio, zero biases."""
    return tuple((random.normal(size=(a, b)) * np.sqrt(2 / (a + b)), np.zeros(b)) for a, b in pairwise(sizes))


def pack(layers):
    return np.concatenate([a.ravel() for layer in layers for a in layer])


def unpack(theta, sizes):
    layers, start = [], 0
    for a, b in pairwise(sizes):
        w, start = theta[start : start + a * b].reshape(a, b), start + a * b
        bias, start = theta[start : start + b], start + b
        layers.append((w, bias))
    return tuple(layers)


def adam(objective, theta, steps, note, rate=2e-3):
    """Kingma and Ba's method with a rate that falls to a tenth."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        value, gradient = objective(theta)
        note(value, theta)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        falling = rate * 0.1 ** (step / steps)
        theta = theta - falling * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return theta


def train(objective, theta, adam_steps, lbfgs_steps, watch=lambda theta: ()):
    """Adam, then SciPy's L-BFGS, with a progress bar; of every iteration the loss and what ``watch`` gives."""
    history = []
    began = time.perf_counter()
    with tqdm(total=adam_steps + lbfgs_steps, desc="training", mininterval=1) as progress:

        def note(value, theta):
            history.append((value, *watch(theta)))
            progress.update()
            if len(history) % 20 == 0:
                progress.set_postfix(loss=f"{value:.2e}", refresh=False)

        theta = adam(objective, theta, adam_steps, note)
        found = minimize(
            objective,
            theta,
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: note(intermediate_result.fun, intermediate_result.x),
            options={"maxiter": lbfgs_steps, "maxfun": 2 * lbfgs_steps, "maxcor": 50, "ftol": 0.0, "gtol": 1e-9},
        )
    return Training(found.x, np.array(history), adam_steps + found.nfev, time.perf_counter() - began)


def relative_error(found, truth):
    """In the Euclidean norm over all points."""
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)

"""The three programs that the GPU backend is for, small: a multi-layer perceptron, a Burgers solver, a PINN."""

import itertools
import math

import numpy as np

import adcompile


def perceptron(params, x, y):
    for w, b in params[:-1]:
        x = np.tanh(x @ w + b)
    w, b = params[-1]
    return np.mean((x @ w + b - y) ** 2)


def burgers(v0, target, steps, a, c):
    """Diffusion, then semi-Lagrangian advection, periodic."""
    n = v0.shape[0]
    v = v0.copy()
    u = np.empty_like(v)
    for _ in range(steps):
        for i in range(n):
            left = v[i - 1] if i > 0 else v[n - 1]
            right = v[i + 1] if i < n - 1 else v[0]
            u[i] = v[i] + a * (left - 2.0 * v[i] + right)
        for i in range(n):
            position = i - u[i] * c
            cell = math.floor(position)
            w = position - cell
            j = int(cell) % n
            k = j + 1 if j < n - 1 else 0
            v[i] = (1.0 - w) * u[j] + w * u[k]
    total = 0.0
    for i in range(n):
        total += (v[i] - target[i]) ** 2
    return total


def network(params, x, t):
    w, b = params[0]
    h = np.tanh(np.outer(x, w[0]) + np.outer(t, w[1]) + b)
    for w, b in params[1:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    return (h @ w + b)[:, 0]


def pinn(params, x, t, viscosity):
    """The mean squared residual of Burgers' equation."""
    ones, zeros = np.ones_like(x), np.zeros_like(x)

    def u(x, t):
        return network(params, x, t)

    def slope(x, t):
        return adcompile.jvp(u, (x, t), (ones, zeros))

    (value, u_x), (_, u_xx) = adcompile.jvp(slope, (x, t), (ones, zeros))
    _, u_t = adcompile.jvp(u, (x, t), (zeros, ones))
    return np.mean((u_t + value * u_x - viscosity * u_xx) ** 2)


def layers(r, sizes, dtype):
    """Weights and biases."""
    return [
        ((r.normal(size=(a, b)) / np.sqrt(a)).astype(dtype), (0.1 * r.normal(size=b)).astype(dtype))
        for a, b in itertools.pairwise(sizes)
    ]


def arguments(name, dtype=np.float64):
    """Small arguments of a program, sizes no multiple of a block."""
    r = np.random.default_rng(3)
    if name == "burgers":
        return r.normal(size=19).astype(dtype), np.zeros(19, dtype), 3, dtype(0.1), dtype(0.3)
    if name == "perceptron":
        return layers(r, (3, 6, 2), dtype), r.normal(size=(11, 3)).astype(dtype), r.normal(size=(11, 2)).astype(dtype)
    points = r.uniform(-1.0, 1.0, size=(2, 9)).astype(dtype)
    return layers(r, (2, 5, 4, 1), dtype), points[0], np.abs(points[1]), dtype(0.02)


MISSION = {"perceptron": perceptron, "burgers": burgers, "pinn": pinn}

"""Functions whose generated adjoints are kept as golden files: what a reader should find readable."""

import math

import numpy as np


def lecture(x1, x2):
    return (np.sin(x1 / x2) + (x1 / x2 - np.exp(x2))) * (x1 / x2 - np.exp(x2))


def perceptron(layers, x, y):
    h = x
    for w, b in layers:
        h = np.tanh(h @ w + b)
    return np.mean((h - y) ** 2)


def accumulate(x, n):
    s = 1.0
    for i in range(n):
        s = s + np.sin(s * x[i])
    return s


def heat(u0, nu, steps):
    u = u0.copy()
    for step in range(steps):
        u[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2]) ** 2
    return np.sum(u**2)


def swap(u0, steps):
    u = u0.copy()
    v = np.zeros_like(u)
    for step in range(steps):
        for i in range(1, u.shape[0] - 1):
            v[i] = u[i] + 0.1 * (u[i + 1] - 2 * u[i] + u[i - 1]) * u[i]
        u, v = v, u
    return np.sum(u**2)


def burgers(v0, target, steps, nu, dt):
    n = v0.shape[0]
    a = nu * dt / (2.0 / n) ** 2
    c = dt / (2.0 / n)
    v = v0.copy()
    v1 = np.empty_like(v)
    for step in range(steps):
        for i in range(n):
            left = v[i - 1] if i > 0 else v[n - 1]
            right = v[i + 1] if i < n - 1 else v[0]
            v1[i] = v[i] + a * (left - 2 * v[i] + right)
        for i in range(n):
            position = i - v1[i] * c
            floor = math.floor(position)
            w = position - floor
            j = floor % n
            k = j + 1 if j < n - 1 else 0
            v[i] = (1 - w) * v1[j] + w * v1[k]
    loss = 0.0
    for i in range(n):
        loss += (v[i] - target[i]) ** 2
    return loss * 2.0 / n


def newton(a):
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


def roots(a):
    total = 0.0
    for i in range(a.shape[0]):
        x = a[i]
        while abs(x * x - a[i]) > 1e-12:
            x = 0.5 * (x + a[i] / x)
        total += x * x * x
    return total


def first_above(x, limit):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] ** 2
        if total > limit:
            return total * x[i]
    return total


def branch(x, y):
    if x > y:
        z = np.sqrt(x - y)
        return z * y
    return x * y


N = np.linspace(0.5, 1.0, 6)
LAYERS = [(np.full((2, 3), 0.1), np.zeros(3)), (np.full((3, 1), 0.2), np.zeros(1, dtype=float))]
PROGRAMS = {
    "lecture": (lecture, (1.5, 0.5), (0, 1)),
    "perceptron": (perceptron, (LAYERS, np.ones((4, 2)), np.ones((4, 1))), 0),
    "accumulate": (accumulate, (N, 6), 0),
    "heat": (heat, (N, 0.3, 4), 0),
    "swap": (swap, (N, 3), 0),
    "burgers": (burgers, (N * 0.3, N, 3, 0.01, 0.05), 0),
    "newton": (newton, (2.0,), 0),
    "roots": (roots, (N,), 0),
    "first_above": (first_above, (N, 1.0), 0),
    "branch": (branch, (2.0, 1.0), (0, 1)),
}
"""Name → (function, arguments, argnums)."""

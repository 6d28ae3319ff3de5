"""Kernels and their adjoints written by hand for Numba: what is attainable.

Linear stencils need no tape and gather in the reverse sweep; LU reads its own factors; Newton tapes every iterate.
"""

from __future__ import annotations

import numpy as np

from benchmarks.burgers_adjoint import compiled
from benchmarks.kernels import heat, jacobi, lu, newton

PRIMALS = {"jacobi": compiled(jacobi), "heat": compiled(heat), "newton": compiled(newton), "lu": compiled(lu)}


@compiled
def sum_of_squares(u):
    total, u_bar = 0.0, np.empty_like(u)
    flat, flat_bar = u.ravel(), u_bar.reshape(u.size)
    for i in range(flat.size):
        total += flat[i] ** 2
        flat_bar[i] = 2.0 * flat[i]
    return total, u_bar


@compiled
def jacobi_states(u0, steps):
    n, m = u0.shape
    u, v = u0.copy(), u0.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                v[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
        u, v = v, u
    return u


@compiled
def jacobi_gradient(u0, steps):
    """The reverse of a step gathers from a frame of zeros around the interior."""
    n, m = u0.shape
    total, u_bar = sum_of_squares(jacobi_states(u0, steps))
    v_bar, inner = np.zeros((n, m)), np.zeros((n + 2, m + 2))
    for _ in range(steps):
        u_bar, v_bar = v_bar, u_bar
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                inner[i + 1, j + 1] = 0.25 * v_bar[i, j]
                v_bar[i, j] = 0.0
        for i in range(n):
            for j in range(m):
                u_bar[i, j] += inner[i, j + 1] + inner[i + 2, j + 1] + inner[i + 1, j] + inner[i + 1, j + 2]
    return total, u_bar + v_bar


@compiled
def heat_states(u0, a, steps):
    n, m, k = u0.shape
    u, v = u0.copy(), u0.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                for l in range(1, k - 1):
                    around = u[i - 1, j, l] + u[i + 1, j, l] + u[i, j - 1, l] + u[i, j + 1, l]
                    around += u[i, j, l - 1] + u[i, j, l + 1]
                    v[i, j, l] = u[i, j, l] + a * (around - 6.0 * u[i, j, l])
        u, v = v, u
    return u


@compiled
def heat_gradient(u0, a, steps):
    n, m, k = u0.shape
    total, u_bar = sum_of_squares(heat_states(u0, a, steps))
    v_bar, inner = np.zeros((n, m, k)), np.zeros((n + 2, m + 2, k + 2))
    for _ in range(steps):
        u_bar, v_bar = v_bar, u_bar
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                for l in range(1, k - 1):
                    inner[i + 1, j + 1, l + 1] = v_bar[i, j, l]
                    v_bar[i, j, l] = 0.0
        for i in range(n):
            for j in range(m):
                for l in range(k):
                    around = inner[i, j + 1, l + 1] + inner[i + 2, j + 1, l + 1] + inner[i + 1, j, l + 1]
                    around += inner[i + 1, j + 2, l + 1] + inner[i + 1, j + 1, l] + inner[i + 1, j + 1, l + 2]
                    u_bar[i, j, l] += a * around + (1.0 - 6.0 * a) * inner[i + 1, j + 1, l + 1]
    return total, u_bar + v_bar


@compiled
def newton_gradient(a):
    total, a_bar, iterates = 0.0, np.empty_like(a), np.empty(100)
    for i in range(a.size):
        x, count = a[i], 0
        while abs(x * x - a[i]) > 1e-12:
            iterates[count] = x
            x, count = 0.5 * (x + a[i] / x), count + 1
        total += x * x * x
        x_bar, bar = 3.0 * x * x, 0.0
        for k in range(count - 1, -1, -1):
            inverse = 1.0 / iterates[k]
            x_bar *= 0.5
            bar += x_bar * inverse
            x_bar -= x_bar * a[i] * inverse * inverse
        a_bar[i] = bar + x_bar
    return total, a_bar


@compiled
def lu_factors(a0):
    n, a = a0.shape[0], a0.copy()
    for k in range(n):
        for i in range(k + 1, n):
            a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    return a


@compiled
def lu_gradient(a0):
    n, a, total, a_bar = a0.shape[0], lu_factors(a0), 0.0, np.zeros_like(a0)
    for k in range(n):
        total += np.log(abs(a[k, k]))
        a_bar[k, k] = 1.0 / a[k, k]
    for k in range(n - 1, -1, -1):
        for i in range(n - 1, k, -1):
            factor, bar = a[i, k], 0.0
            for j in range(k + 1, n):
                bar += a[k, j] * a_bar[i, j]
                a_bar[k, j] -= factor * a_bar[i, j]
            bar = (a_bar[i, k] - bar) / a[k, k]
            a_bar[k, k] -= factor * bar
            a_bar[i, k] = bar
    return total, a_bar


GRADIENTS = {"jacobi": jacobi_gradient, "heat": heat_gradient, "newton": newton_gradient, "lu": lu_gradient}

"""The Burgers solver and its adjoint written by hand for Numba: the time to beat. One state is taped per step."""

from __future__ import annotations

import math

import numba
import numpy as np

compiled = numba.njit(error_model="numpy", fastmath={"contract"})


@compiled
def diffuse(v, a, u):
    n = v.size
    for i in range(n):
        left = v[i - 1] if i > 0 else v[n - 1]
        right = v[i + 1] if i < n - 1 else v[0]
        u[i] = v[i] + a * (left - 2.0 * v[i] + right)


@compiled
def locate(i, u, c):
    """The cell that point ``i`` comes from, the next one, and how far it lies between them."""
    n = u.size
    position = i - u[i] * c
    cell = math.floor(position)
    j = int(cell)
    if not 0 <= j < n:  # a division takes longer than all the rest
        j = j % n
    return j, (j + 1 if j < n - 1 else 0), position - cell


@compiled
def advect(u, c, v):
    for i in range(u.size):
        j, k, w = locate(i, u, c)
        v[i] = (1.0 - w) * u[j] + w * u[k]


@compiled
def primal(v0, target, steps, a, c):
    v, u = v0.copy(), np.empty_like(v0)
    for _ in range(steps):
        diffuse(v, a, u)
        advect(u, c, v)
    total = 0.0
    for i in range(v.size):
        total += (v[i] - target[i]) ** 2
    return total * 2.0 / v.size


@compiled
def gradient(v0, target, steps, a, c):
    n = v0.size
    v, tape = v0.copy(), np.empty((steps, n), v0.dtype)
    for s in range(steps):
        diffuse(v, a, tape[s])
        advect(tape[s], c, v)
    total, v_bar, u_bar = 0.0, np.empty_like(v), np.empty_like(v)
    for i in range(n):
        difference = v[i] - target[i]
        total += difference**2
        v_bar[i] = 4.0 * difference / n
    for s in range(steps - 1, -1, -1):
        u = tape[s]
        u_bar[:] = 0.0
        for i in range(n):
            j, k, w = locate(i, u, c)
            u_bar[j] += (1.0 - w) * v_bar[i]
            u_bar[k] += w * v_bar[i]
            u_bar[i] -= c * (u[k] - u[j]) * v_bar[i]
        diffuse(u_bar, a, v_bar)
    return total * 2.0 / n, v_bar

"""The transport of a density and its adjoint written by hand for Numba: the time to beat.

The velocity is the same in every step, so cells and weights are computed once; one density is taped per step. The
adjoint of a step is two loops, one that gathers and one that scatters: the first is a loop for vector registers.
"""

from __future__ import annotations

import numpy as np

from benchmarks.burgers_adjoint import compiled


@compiled
def locate(velocity, cell, a, b):
    """The cell that each one's density comes from, and how far from its corner."""
    n = velocity.shape[1]
    for i in range(n):
        for j in range(n):
            x = min(max(i - velocity[0, i, j], 0.0), n - 1.001)
            y = min(max(j - velocity[1, i, j], 0.0), n - 1.001)
            k, l = int(x), int(y)
            cell[i * n + j], a[i * n + j], b[i * n + j] = k * n + l, x - k, y - l


@compiled
def advance(n, cell, a, b, density, moved):
    for e in range(n * n):
        p = cell[e]
        left = (1.0 - b[e]) * density[p] + b[e] * density[p + 1]
        right = (1.0 - b[e]) * density[p + n] + b[e] * density[p + n + 1]
        moved[e] = (1.0 - a[e]) * left + a[e] * right


@compiled
def primal(velocity, start, target, steps):
    n = start.shape[0]
    cell, a, b = np.empty(n * n, np.uint64), np.empty(n * n), np.empty(n * n)
    locate(velocity, cell, a, b)
    density, moved = start.copy().reshape(n * n), np.empty(n * n)
    for _ in range(steps):
        advance(n, cell, a, b, density, moved)
        density, moved = moved, density
    return np.sum((density - target.reshape(n * n)) ** 2)


@compiled
def reverse(n, cell, a, b, density, moved_bar, density_bar, a_bar, b_bar):
    for e in range(n * n):
        p = cell[e]
        left_slope, right_slope = density[p + 1] - density[p], density[p + n + 1] - density[p + n]
        right_bar = a[e] * moved_bar[e]
        left_bar = moved_bar[e] - right_bar
        a_bar[e] += moved_bar[e] * (density[p + n] + b[e] * right_slope - density[p] - b[e] * left_slope)
        b_bar[e] += left_bar * left_slope + right_bar * right_slope
    for e in range(n * n):
        p = cell[e]
        right_bar = a[e] * moved_bar[e]
        left_bar = moved_bar[e] - right_bar
        density_bar[p] += left_bar - b[e] * left_bar
        density_bar[p + 1] += b[e] * left_bar
        density_bar[p + n] += right_bar - b[e] * right_bar
        density_bar[p + n + 1] += b[e] * right_bar


@compiled
def gradient(velocity, start, target, steps):
    n = start.shape[0]
    cell, a, b = np.empty(n * n, np.uint64), np.empty(n * n), np.empty(n * n)
    locate(velocity, cell, a, b)
    tape = np.empty((steps + 1, n * n))
    tape[0] = start.reshape(n * n)
    for s in range(steps):
        advance(n, cell, a, b, tape[s], tape[s + 1])
    difference = tape[steps] - target.reshape(n * n)
    moved_bar, density_bar = 2.0 * difference, np.empty(n * n)
    a_bar, b_bar = np.zeros(n * n), np.zeros(n * n)
    for s in range(steps - 1, -1, -1):
        density_bar[:] = 0.0
        reverse(n, cell, a, b, tape[s], moved_bar, density_bar, a_bar, b_bar)
        moved_bar, density_bar = density_bar, moved_bar
    velocity_bar = np.empty_like(velocity)
    for i in range(n):
        for j in range(n):
            x, y = i - velocity[0, i, j], j - velocity[1, i, j]
            velocity_bar[0, i, j] = -a_bar[i * n + j] if 0.0 <= x <= n - 1.001 else 0.0
            velocity_bar[1, i, j] = -b_bar[i * n + j] if 0.0 <= y <= n - 1.001 else 0.0
    return np.sum(difference**2), velocity_bar

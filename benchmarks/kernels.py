"""Explicit-loop kernels of the kind scientists write for Numba: what a gradient costs beside the kernel itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Case, Competitor, Workload


def jacobi(u0, steps):
    n, m = u0.shape
    u = u0.copy()
    v = u0.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                v[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
        u, v = v, u
    total = 0.0
    for i in range(n):
        for j in range(m):
            total += u[i, j] ** 2
    return total


def heat(u0, a, steps):
    n, m, k = u0.shape
    u = u0.copy()
    v = u0.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                for l in range(1, k - 1):
                    around = u[i - 1, j, l] + u[i + 1, j, l] + u[i, j - 1, l] + u[i, j + 1, l]
                    around += u[i, j, l - 1] + u[i, j, l + 1]
                    v[i, j, l] = u[i, j, l] + a * (around - 6.0 * u[i, j, l])
        u, v = v, u
    total = 0.0
    for i in range(n):
        for j in range(m):
            for l in range(k):
                total += u[i, j, l] ** 2
    return total


def gauss_seidel(u0, f, steps):
    n, m = u0.shape
    u = u0.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    total = 0.0
    for i in range(n):
        for j in range(m):
            total += u[i, j] ** 2
    return total


def bodies(x0, v0, mass, dt, steps):
    n = x0.shape[0]
    x = x0.copy()
    v = v0.copy()
    for _ in range(steps):
        for i in range(n):
            ax = 0.0
            ay = 0.0
            for j in range(n):
                dx = x[j, 0] - x[i, 0]
                dy = x[j, 1] - x[i, 1]
                r2 = dx * dx + dy * dy + 0.01
                w = mass[j] / (r2 * np.sqrt(r2))
                ax += w * dx
                ay += w * dy
            v[i, 0] += dt * ax
            v[i, 1] += dt * ay
        for i in range(n):
            x[i, 0] += dt * v[i, 0]
            x[i, 1] += dt * v[i, 1]
    return np.sum(x * x)


def newton(a):
    total = 0.0
    for i in range(a.shape[0]):
        x = a[i]
        while abs(x * x - a[i]) > 1e-12:
            x = 0.5 * (x + a[i] / x)
        total += x * x * x
    return total


def lu(a0):
    n = a0.shape[0]
    a = a0.copy()
    for k in range(n):
        for i in range(k + 1, n):
            a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    total = 0.0
    for k in range(n):
        total += np.log(abs(a[k, k]))
    return total


def _data(name: str) -> tuple[Callable[..., float], tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((64, 64))
    return {
        "jacobi": (jacobi, (grid, 50)),
        "heat": (heat, (rng.standard_normal((24, 24, 24)), 0.1, 20)),
        "gauss-seidel": (gauss_seidel, (grid, 0.01 * grid, 20)),
        "n-body": (
            bodies,
            (rng.standard_normal((40, 2)), np.zeros((40, 2)), rng.uniform(0.5, 1.5, 40), 0.01, 20),
        ),
        "newton": (newton, (rng.uniform(0.5, 2.0, 2000),)),
        "lu": (lu, (rng.standard_normal((60, 60)) + 60.0 * np.eye(60),)),
    }[name]


def ours(backend: str, name: str) -> Case:
    import adcompile

    kernel, args = _data(name)
    adcompile.grad(lambda x: x * x, backend=backend, cache=False)(2.0)
    gradient = adcompile.value_and_grad(kernel, backend=backend, cache=False)
    primal = adcompile.jit(kernel, backend=backend, cache=False)
    return Case(lambda: gradient(*args), lambda: primal(*args))


def hand_numba(name: str) -> Case:
    from benchmarks.kernels_adjoint import GRADIENTS, PRIMALS

    gradient, primal, args = GRADIENTS[name], PRIMALS[name], _data(name)[1]
    return Case(lambda: gradient(*args), lambda: primal(*args))


BY_HAND = ("jacobi", "heat", "newton", "lu")
NAMES = ("jacobi", "heat", "gauss-seidel", "n-body", "newton", "lu")


def workload(name: str) -> Workload:
    competitors = tuple(
        Competitor(f"adcompile {backend}", partial(ours, backend, name)) for backend in ("llvm", "numba")
    )
    if name in BY_HAND:
        competitors += (Competitor("hand-written Numba", partial(hand_numba, name)),)
    return Workload(f"kernel-{name}", f"{name} kernel in loops, value and gradient", "float64", competitors, pause=0.01)


WORKLOADS = tuple(map(workload, NAMES))

"""Loop and stencil kernels of the PolyBench kind, in NumPy as scientists write it: explicit loops, slices, updates.

The JAX versions are in `benchmarks.kernels_jax`.

References
----------
L.-N. Pouchet, T. Yuki: PolyBench/C, the polyhedral benchmark suite.
"""

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


def jacobi_1d(u0, steps):
    u = u0.copy()
    v = u0.copy()
    for _ in range(steps):
        v[1:-1] = (u[:-2] + u[1:-1] + u[2:]) / 3.0
        u[1:-1] = (v[:-2] + v[1:-1] + v[2:]) / 3.0
    return np.sum(u**2)


def fdtd(ex0, ey0, hz0, steps):
    ex = ex0.copy()
    ey = ey0.copy()
    hz = hz0.copy()
    for t in range(steps):
        ey[0, :] = np.sin(0.1 * t)
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return np.sum(hz**2)


def adi(u0, a, b, steps):
    u = u0.copy()
    n = u.shape[0]
    v = np.zeros((n, n))
    p = np.zeros((n, n))
    q = np.zeros((n, n))
    for _ in range(steps):
        v[0, 1:-1] = 1.0
        p[1:-1, 0] = 0.0
        q[1:-1, 0] = 1.0
        for j in range(1, n - 1):
            pivot = b + a * p[1:-1, j - 1]
            p[1:-1, j] = -a / pivot
            explicit = (1.0 + 2.0 * a) * u[j, 1:-1] - a * (u[j, :-2] + u[j, 2:])
            q[1:-1, j] = (explicit - a * q[1:-1, j - 1]) / pivot
        v[-1, 1:-1] = 1.0
        for j in range(n - 2, 0, -1):
            v[j, 1:-1] = p[1:-1, j] * v[j + 1, 1:-1] + q[1:-1, j]
        u[1:-1, 0] = 1.0
        q[1:-1, 0] = 1.0
        for j in range(1, n - 1):
            pivot = b + a * p[1:-1, j - 1]
            p[1:-1, j] = -a / pivot
            explicit = (1.0 + 2.0 * a) * v[1:-1, j] - a * (v[:-2, j] + v[2:, j])
            q[1:-1, j] = (explicit - a * q[1:-1, j - 1]) / pivot
        u[1:-1, -1] = 1.0
        for j in range(n - 2, 0, -1):
            u[1:-1, j] = p[1:-1, j] * u[1:-1, j + 1] + q[1:-1, j]
    return np.sum(u**2)


def gemm_chain(a, b, c, d):
    return np.sum(((a @ b) @ (c @ d)) ** 2)


def atax(a, x):
    return np.sum((a.T @ (a @ x)) ** 2)


def covariance(data):
    centred = data - np.mean(data, axis=0)
    return np.sum((centred.T @ centred / (data.shape[0] - 1)) ** 2)


def arguments(name: str) -> tuple[Any, ...]:
    """The arguments of a kernel; the gradient is with respect to the first."""
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((64, 64))
    normal = rng.standard_normal
    return {
        "jacobi-1d": lambda: (normal(4000), 100),
        "jacobi": lambda: (grid, 50),
        "heat": lambda: (normal((24, 24, 24)), 0.1, 20),
        "gauss-seidel": lambda: (grid, 0.01 * grid, 20),
        "fdtd": lambda: (normal((80, 100)), normal((80, 100)), normal((80, 100)), 50),
        "adi": lambda: (grid, -0.4, 1.8, 10),
        "gemm": lambda: tuple(normal((120, 120)) / 11.0 for _ in range(4)),
        "atax": lambda: (normal((390, 410)) / 20.0, normal(410)),
        "covariance": lambda: (normal((260, 240)),),
        "lu": lambda: (normal((60, 60)) + 60.0 * np.eye(60),),
        "n-body": lambda: (normal((40, 2)), np.zeros((40, 2)), rng.uniform(0.5, 1.5, 40), 0.01, 20),
        "newton": lambda: (rng.uniform(0.5, 2.0, 2000),),
    }[name]()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "jacobi-1d": jacobi_1d, "jacobi": jacobi, "heat": heat, "gauss-seidel": gauss_seidel, "fdtd": fdtd, "adi": adi,
    "gemm": gemm_chain, "atax": atax, "covariance": covariance, "lu": lu, "n-body": bodies, "newton": newton,
}  # fmt: skip


def ours(backend: str, name: str) -> Case:
    import adcompile

    kernel, args = FUNCTIONS[name], arguments(name)
    adcompile.grad(lambda x: x * x, backend=backend)(2.0)
    gradient, primal = adcompile.value_and_grad(kernel, backend=backend), adcompile.jit(kernel, backend=backend)
    return Case(lambda: gradient(*args), lambda: primal(*args))


def hand_numba(name: str) -> Case:
    from benchmarks.kernels_adjoint import GRADIENTS, PRIMALS

    gradient, primal, args = GRADIENTS[name], PRIMALS[name], arguments(name)
    return Case(lambda: gradient(*args), lambda: primal(*args))


BY_HAND = ("jacobi", "heat", "newton", "lu")


def jax_jit(name: str) -> Case:
    import jax

    from benchmarks import kernels_jax

    jax.config.update("jax_enable_x64", True)
    kernel, args = kernels_jax.bound(name, arguments(name))
    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.value_and_grad(kernel)), jax.jit(kernel)
    return Case(lambda: jax.block_until_ready(gradient(*args)), lambda: jax.block_until_ready(primal(*args)))


def workload(name: str) -> Workload:
    competitors = (
        Competitor("JAX jit", partial(jax_jit, name)),
        Competitor("adcompile llvm", partial(ours, "llvm", name)),
    )
    if name in BY_HAND:
        competitors += (Competitor("hand-written Numba", partial(hand_numba, name)),)
    return Workload(f"kernel-{name}", f"{name} kernel, value and gradient", "float64", competitors, pause=0.01)


WORKLOADS = tuple(map(workload, FUNCTIONS))

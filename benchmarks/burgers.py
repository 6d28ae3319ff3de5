"""An unrolled Burgers solver (diffusion, then semi-Lagrangian advection), periodic: gradient over the initial state.

adcompile differentiates explicit loops with stores, and the same in NumPy's array operations; JAX runs `lax.scan` over
array steps; PyTorch unrolls in Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.harness import THREADS, Case, Competitor, Workload

VISCOSITY = 0.01 / np.pi


def solve(v0, target, steps, a, c):
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
    return total * 2.0 / n


def solve_arrays(v0, target, steps, a, c):
    n = v0.shape[0]
    cells = np.arange(n)
    v = v0
    for _ in range(steps):
        u = v + a * (np.roll(v, 1) - 2.0 * v + np.roll(v, -1))
        position = cells - u * c
        cell = np.floor(position)
        w = position - cell
        j = cell.astype(np.int64) % n
        v = (1.0 - w) * u[j] + w * u[(j + 1) % n]
    return np.sum((v - target) ** 2) * 2.0 / n


def data(n: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Initial state, target, and the two numbers of the scheme."""
    dx, dt = 2.0 / n, 1 / 32 if n < 1000 else 1e-6
    return -np.sin(np.pi * np.linspace(-1, 1, n, endpoint=False)), np.zeros(n), VISCOSITY * dt / dx**2, dt / dx


def ours(backend: str, function: Callable, n: int, steps: int, *, parallel: bool = False) -> Case:
    import adcompile

    adcompile.set_num_threads(THREADS)
    v0, target, a, c = data(n)
    adcompile.grad(lambda x: x * x, backend=backend)(2.0)
    gradient = adcompile.value_and_grad(function, backend=backend, parallel=parallel)
    primal = adcompile.jit(function, backend=backend, parallel=parallel)
    return Case(lambda: gradient(v0, target, steps, a, c), lambda: primal(v0, target, steps, a, c))


def jax_jit(n: int, steps: int) -> Case:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    v0, target, a, c = data(n)
    v0, target, points = jnp.asarray(v0), jnp.asarray(target), jnp.arange(n, dtype=jnp.float64)

    def step(v, _):
        u = v + a * (jnp.roll(v, 1) - 2 * v + jnp.roll(v, -1))
        position = (points - u * c) % n
        cell = jnp.floor(position)
        w, j = position - cell, cell.astype(jnp.int32) % n
        return (1 - w) * u[j] + w * u[(j + 1) % n], None

    def loss(v0, target):
        v, _ = jax.lax.scan(step, v0, None, length=steps)
        return jnp.sum((v - target) ** 2) * 2.0 / n

    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.value_and_grad(loss)), jax.jit(loss)
    return Case(lambda: jax.block_until_ready(gradient(v0, target)), lambda: jax.block_until_ready(primal(v0, target)))


def torch_eager(n: int, steps: int) -> Case:
    import torch

    torch.set_num_threads(THREADS)
    start, target, a, c = data(n)
    v0, target = torch.tensor(start, requires_grad=True), torch.tensor(target)
    points = torch.arange(n, dtype=torch.float64)

    def loss():
        v = v0
        for _ in range(steps):
            u = v + a * (torch.roll(v, 1) - 2 * v + torch.roll(v, -1))
            position = torch.remainder(points - u * c, n)
            cell = torch.floor(position).detach()
            w, j = position - cell, cell.long() % n
            v = (1 - w) * u[j] + w * u[(j + 1) % n]
        return ((v - target) ** 2).sum() * 2.0 / n

    def primal():
        with torch.no_grad():
            return loss()

    def gradient():
        value = loss()
        return value, torch.autograd.grad(value, v0)

    return Case(gradient, primal)


def hand_numba(n: int, steps: int) -> Case:
    from benchmarks.burgers_adjoint import gradient, primal

    v0, target, a, c = data(n)
    return Case(lambda: gradient(v0, target, steps, a, c), lambda: primal(v0, target, steps, a, c))


BUILDS = {
    "JAX jit": jax_jit,
    "adcompile llvm": partial(ours, "llvm", solve),
    "adcompile llvm, NumPy style": partial(ours, "llvm", solve_arrays),
    "adcompile llvm, parallel": partial(ours, "llvm", solve, parallel=True),
    "adcompile numba": partial(ours, "numba", solve),
    "PyTorch eager": torch_eager,
    "hand-written Numba": hand_numba,
}


def workload(n: int, steps: int) -> Workload:
    competitors = tuple(Competitor(who, partial(build, n, steps)) for who, build in BUILDS.items())
    title = f"Burgers N={n}, {steps} steps, value and gradient"
    return Workload(f"burgers-{n}-{steps}", title, "float64", competitors, pause=0.01)


WORKLOADS = (workload(128, 32), workload(128, 1000), workload(16384, 100))

"""Transport of a density by a velocity field, 64 × 64 cells, 32 semi-Lagrangian steps: gradient over the field.

The computation of ``examples/density_transport.py``. adcompile differentiates explicit loops with stores, and
the same in NumPy's array operations; JAX runs `lax.scan` over steps of gathers; PyTorch unrolls in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.harness import THREADS, Case, Competitor, Workload

CELLS, STEPS = 64, 32


def distance(velocity, start, target):
    n = start.shape[0]
    density = start.copy()
    moved = np.empty_like(density)
    for _ in range(STEPS):
        for i in range(n):
            for j in range(n):
                x = min(max(i - velocity[0, i, j], 0.0), n - 1.001)
                y = min(max(j - velocity[1, i, j], 0.0), n - 1.001)
                k, l = int(x), int(y)
                a, b = x - k, y - l
                left = (1.0 - b) * density[k, l] + b * density[k, l + 1]
                right = (1.0 - b) * density[k + 1, l] + b * density[k + 1, l + 1]
                moved[i, j] = (1.0 - a) * left + a * right
        density[:] = moved
    total = 0.0
    for i in range(n):
        for j in range(n):
            total += (density[i, j] - target[i, j]) ** 2
    return total


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smooth velocity field, the density at the start, and the target."""
    grid = np.linspace(-1.0, 1.0, CELLS)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    velocity = 0.4 * np.stack((np.cos(2 * y + x), np.sin(2 * x - y)))
    blob = lambda a, b: 0.5 - 0.5 * np.tanh((np.hypot(x - a, y - b) - 0.35) / 0.1)
    return velocity, blob(-0.4, -0.3), blob(0.2, 0.1)


def distance_arrays(velocity, start, target):
    n = start.shape[0]
    cells = np.arange(n)
    density = start
    for _ in range(STEPS):
        x = np.clip(cells[:, None] - velocity[0], 0.0, n - 1.001)
        y = np.clip(cells - velocity[1], 0.0, n - 1.001)
        k, l = x.astype(np.int64), y.astype(np.int64)
        a, b = x - k, y - l
        left = (1.0 - b) * density[k, l] + b * density[k, l + 1]
        right = (1.0 - b) * density[k + 1, l] + b * density[k + 1, l + 1]
        density = (1.0 - a) * left + a * right
    return np.sum((density - target) ** 2)


def ours(backend: str, function: Callable) -> Case:
    import adcompile

    args = data()
    adcompile.grad(lambda x: x * x, backend=backend)(2.0)
    gradient = adcompile.value_and_grad(function, backend=backend)
    primal = adcompile.jit(function, backend=backend)
    return Case(lambda: gradient(*args), lambda: primal(*args))


def jax_jit() -> Case:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    velocity, start, target = map(jnp.asarray, data())
    rows, columns = jnp.meshgrid(jnp.arange(CELLS), jnp.arange(CELLS), indexing="ij")

    def loss(velocity, start, target):
        def step(density, _):
            x = jnp.clip(rows - velocity[0], 0.0, CELLS - 1.001)
            y = jnp.clip(columns - velocity[1], 0.0, CELLS - 1.001)
            k, l = x.astype(jnp.int32), y.astype(jnp.int32)
            a, b = x - k, y - l
            left = (1 - b) * density[k, l] + b * density[k, l + 1]
            right = (1 - b) * density[k + 1, l] + b * density[k + 1, l + 1]
            return (1 - a) * left + a * right, None

        return jnp.sum((jax.lax.scan(step, start, None, length=STEPS)[0] - target) ** 2)

    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.value_and_grad(loss)), jax.jit(loss)
    args = (velocity, start, target)
    return Case(lambda: jax.block_until_ready(gradient(*args)), lambda: jax.block_until_ready(primal(*args)))


def torch_eager() -> Case:
    import torch

    torch.set_num_threads(THREADS)
    velocity, start, target = map(torch.tensor, data())
    velocity.requires_grad_()
    line = torch.arange(CELLS, dtype=torch.float64)
    rows, columns = torch.meshgrid(line, line, indexing="ij")

    def loss():
        density = start
        for _ in range(STEPS):
            x = torch.clamp(rows - velocity[0], 0.0, CELLS - 1.001)
            y = torch.clamp(columns - velocity[1], 0.0, CELLS - 1.001)
            k, l = x.detach().long(), y.detach().long()
            a, b = x - k, y - l
            left = (1 - b) * density[k, l] + b * density[k, l + 1]
            right = (1 - b) * density[k + 1, l] + b * density[k + 1, l + 1]
            density = (1 - a) * left + a * right
        return ((density - target) ** 2).sum()

    def primal():
        with torch.no_grad():
            return loss()

    def gradient():
        value = loss()
        return value, torch.autograd.grad(value, velocity)

    return Case(gradient, primal)


def hand_numba() -> Case:
    from benchmarks.transport_adjoint import gradient, primal

    args = data()
    return Case(lambda: gradient(*args, STEPS), lambda: primal(*args, STEPS))


BUILDS = {
    "JAX jit": jax_jit,
    "adcompile llvm": partial(ours, "llvm", distance),
    "adcompile llvm, NumPy style": partial(ours, "llvm", distance_arrays),
    "PyTorch eager": torch_eager,
    "hand-written Numba": hand_numba,
}
WORKLOADS = (
    Workload(
        "transport",
        f"Density transport {CELLS} × {CELLS}, {STEPS} steps, value and gradient",
        "float64",
        tuple(Competitor(who, build) for who, build in BUILDS.items()),
        pause=0.01,
    ),
)

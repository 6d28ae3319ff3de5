"""The lecture's function of two scalars: what one gradient call costs, entry included."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.harness import Case, Competitor, Workload

POINT = (1.5, 0.5)


def function(x1, x2):
    return (np.sin(x1 / x2) + x1 / x2 - np.exp(x2)) * (x1 / x2 - np.exp(x2))


def ours(backend: str) -> Case:
    import adcompile

    adcompile.grad(lambda x: x * x, backend=backend)(2.0)
    gradient = adcompile.grad(function, (0, 1), backend=backend)
    primal = adcompile.jit(function, backend=backend)
    return Case(lambda: gradient(*POINT), lambda: primal(*POINT))


def jax_jit() -> Case:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def f(x1, x2):
        return (jnp.sin(x1 / x2) + x1 / x2 - jnp.exp(x2)) * (x1 / x2 - jnp.exp(x2))

    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.grad(f, (0, 1))), jax.jit(f)
    return Case(lambda: jax.block_until_ready(gradient(*POINT)), lambda: jax.block_until_ready(primal(*POINT)))


def torch_eager() -> Case:
    import torch

    torch.set_num_threads(2)
    x1, x2 = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in POINT)

    def f():
        return (torch.sin(x1 / x2) + x1 / x2 - torch.exp(x2)) * (x1 / x2 - torch.exp(x2))

    def primal():
        with torch.no_grad():
            return f()

    return Case(lambda: torch.autograd.grad(f(), (x1, x2)), primal)


def hand_numba() -> Case:
    import numba

    @numba.njit
    def primal(x1, x2):
        v1 = x1 / x2
        v4 = v1 - math.exp(x2)
        return (math.sin(v1) + v4) * v4

    @numba.njit
    def gradient(x1, x2):
        v1 = x1 / x2
        v3 = math.exp(x2)
        v4 = v1 - v3
        v5 = math.sin(v1) + v4
        v4_bar = v5 + v4
        v1_bar = v4_bar + v4 * math.cos(v1)
        return v1_bar / x2, -v4_bar * v3 - v1_bar * v1 / x2

    numba.njit(lambda x: x * x)(2.0)
    return Case(lambda: gradient(*POINT), lambda: primal(*POINT))


WORKLOADS = (
    Workload(
        "lecture",
        "lecture function, gradient per call",
        "float64",
        (
            Competitor("JAX jit", jax_jit),
            Competitor("adcompile llvm", lambda: ours("llvm")),
            Competitor("adcompile numba", lambda: ours("numba")),
            Competitor("adcompile python", lambda: ours("python")),
            Competitor("PyTorch eager", torch_eager),
            Competitor("hand-written Numba", hand_numba),
        ),
    ),
)

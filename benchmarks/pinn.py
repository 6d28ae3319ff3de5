"""Burgers' equation as the residual of a network: value and gradient of the mean squared residual for its weights.

u_t + u u_x - nu u_xx at 10,000 points, of a network 2-20×8-1 with tanh. Every competitor is given its best formulation:
JAX takes the derivatives in three ways (reverse inside forward, forward inside forward, Taylor mode).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import mlp, pinn_adjoint
from benchmarks.harness import THREADS, Case, Competitor, Workload

VISCOSITY = 0.01 / np.pi
SIZES = (2, *[20] * 8, 1)
POINTS = 10_000


def residual(params, x, t):
    import adcompile

    one = np.ones_like(x)

    def u(x, t):
        return mlp.network(params, np.stack([x, t], axis=1))[:, 0]

    def along_x(x):
        return adcompile.jvp(lambda x: u(x, t), (x,), (one,))

    (value, u_x), (_, u_xx) = adcompile.jvp(along_x, (x,), (one,))
    _, u_t = adcompile.jvp(lambda t: u(x, t), (t,), (one,))
    return u_t + value * u_x - VISCOSITY * u_xx


def loss(params, x, t):
    return np.mean(residual(params, x, t) ** 2)


def data(dtype: str, sizes: tuple[int, ...] = SIZES, points: int = POINTS) -> tuple[Any, np.ndarray, np.ndarray]:
    """Weights, and points in [-1, 1] × [0, 1], from a fixed seed."""
    params, _, _ = mlp.data(sizes, 1, dtype)
    rng = np.random.default_rng(1)
    return params, rng.uniform(-1, 1, points).astype(dtype), rng.uniform(0, 1, points).astype(dtype)


def ours(dtype: str, *, parallel: bool = False) -> Case:
    import adcompile

    adcompile.set_num_threads(THREADS)
    arguments = data(dtype)
    adcompile.grad(lambda x: x * x)(2.0)
    gradient = adcompile.value_and_grad(loss, parallel=parallel)
    primal = adcompile.jit(loss, parallel=parallel)
    return Case(lambda: gradient(*arguments), lambda: primal(*arguments))


def by_hand(dtype: str) -> Case:
    params, x, t = data(dtype)
    return Case(lambda: pinn_adjoint.value_and_gradient(params, x, t, VISCOSITY))


def jax_jit(formulation: str, dtype: str) -> Case:
    import jax
    import jax.numpy as jnp
    from jax.experimental import jet

    jax.config.update("jax_enable_x64", dtype == "float64")

    def u(params, x, t):
        h = jnp.stack([x, t])
        for w, b in params[:-1]:
            h = jnp.tanh(h @ w + b)
        w, b = params[-1]
        return (h @ w + b)[0]

    def derivatives(params, x, t):
        one = jnp.ones_like(x)
        at_x = lambda x: u(params, x, t)
        if formulation == "reverse":
            value, (u_x, u_xx) = at_x(x), jax.jvp(jax.grad(at_x), (x,), (one,))
        elif formulation == "forward":
            (value, u_x), (_, u_xx) = jax.jvp(lambda x: jax.jvp(at_x, (x,), (one,)), (x,), (one,))
        else:
            value, (u_x, u_xx) = jet.jet(at_x, (x,), ((1.0, 0.0),))
        return value, u_x, u_xx, jax.jvp(lambda t: u(params, x, t), (t,), (one,))[1]

    def point(params, x, t):
        value, u_x, u_xx, u_t = derivatives(params, x, t)
        return u_t + value * u_x - VISCOSITY * u_xx

    def jax_loss(params, x, t):
        return jnp.mean(jax.vmap(point, (None, 0, 0))(params, x, t) ** 2)

    arguments = jax.tree.map(jnp.asarray, data(dtype))
    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.value_and_grad(jax_loss)), jax.jit(jax_loss)
    return Case(lambda: jax.block_until_ready(gradient(*arguments)), lambda: jax.block_until_ready(primal(*arguments)))


def torch_eager(dtype: str) -> Case:
    import torch

    torch.set_num_threads(THREADS)
    arrays, *points = data(dtype)
    x, t = (torch.tensor(p[:, None], requires_grad=True) for p in points)
    params = [tuple(torch.tensor(a, requires_grad=True) for a in layer) for layer in arrays]
    leaves = [a for layer in params for a in layer]

    def torch_loss():
        u = torch.cat([x, t], 1)
        for w, b in params[:-1]:
            u = torch.tanh(u @ w + b)
        w, b = params[-1]
        u = u @ w + b
        one = torch.ones_like(u)
        u_x, u_t = torch.autograd.grad(u, (x, t), one, create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x, x, one, create_graph=True)
        return ((u_t + u * u_x - VISCOSITY * u_xx) ** 2).mean()

    def gradient():
        value = torch_loss()
        return value, torch.autograd.grad(value, leaves)

    return Case(gradient, torch_loss)


BUILDS: dict[str, Callable[..., Case]] = {
    "JAX jit, reverse in forward": partial(jax_jit, "reverse"),
    "JAX jit, forward in forward": partial(jax_jit, "forward"),
    "JAX jit, Taylor mode": partial(jax_jit, "taylor"),
    "adcompile llvm": ours,
    "adcompile llvm, parallel": partial(ours, parallel=True),
    "PyTorch eager": torch_eager,
    "hand-written NumPy": by_hand,
}
WORKLOADS = tuple(
    Workload(
        f"pinn-{dtype}",
        "Burgers PINN 2-20×8-1, 10,000 points, value and gradient",
        dtype,
        tuple(Competitor(name, partial(build, dtype=dtype)) for name, build in BUILDS.items()),
        pause=0.06,
    )
    for dtype in ("float64", "float32")
)

"""Multi-layer perceptrons with tanh: value and gradient of the mean squared error over a list of (weights, bias)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.harness import THREADS, Case, Competitor, Workload


def network(params, x):
    for w, b in params[:-1]:
        x = np.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def loss(params, x, y):
    return np.mean((network(params, x) - y) ** 2)


def data(sizes: tuple[int, ...], batch: int, dtype: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """Glorot weights and random inputs and targets, from a fixed seed."""
    rng = np.random.default_rng(0)
    params = [
        ((rng.standard_normal((a, b)) * np.sqrt(2 / (a + b))).astype(dtype), np.zeros(b, dtype))
        for a, b in pairwise(sizes)
    ]
    x, y = (rng.standard_normal((batch, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
    return params, x, y


def ours(backend: str, *made: Any) -> Case:
    import adcompile

    params, x, y = data(*made)
    adcompile.grad(lambda x: x * x, backend=backend)(2.0)
    gradient = adcompile.value_and_grad(loss, backend=backend)
    primal = adcompile.jit(loss, backend=backend)
    return Case(lambda: gradient(params, x, y), lambda: primal(params, x, y))


def jax_jit(*made: Any) -> Case:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", made[-1] == "float64")

    def jax_loss(params, x, y):
        for w, b in params[:-1]:
            x = jnp.tanh(x @ w + b)
        w, b = params[-1]
        return jnp.mean((x @ w + b - y) ** 2)

    arguments = jax.tree.map(jnp.asarray, data(*made))
    jax.block_until_ready(jax.jit(jax.grad(lambda x: x * x))(2.0))
    gradient, primal = jax.jit(jax.value_and_grad(jax_loss)), jax.jit(jax_loss)
    return Case(lambda: jax.block_until_ready(gradient(*arguments)), lambda: jax.block_until_ready(primal(*arguments)))


def torch_eager(*made: Any) -> Case:
    import torch

    torch.set_num_threads(THREADS)
    arrays, x, y = data(*made)
    x, y = torch.tensor(x), torch.tensor(y)
    params = [tuple(torch.tensor(a, requires_grad=True) for a in layer) for layer in arrays]
    leaves = [a for layer in params for a in layer]

    def torch_loss():
        h = x
        for w, b in params[:-1]:
            h = torch.tanh(h @ w + b)
        w, b = params[-1]
        return ((h @ w + b - y) ** 2).mean()

    def primal():
        with torch.no_grad():
            return torch_loss()

    def gradient():
        value = torch_loss()
        return value, torch.autograd.grad(value, leaves)

    return Case(gradient, primal)


BUILDS: dict[str, Callable[..., Case]] = {
    "JAX jit": jax_jit,
    "adcompile llvm": partial(ours, "llvm"),
    "adcompile numba": partial(ours, "numba"),
    "adcompile python": partial(ours, "python"),
    "PyTorch eager": torch_eager,
}


def workload(name: str, sizes: tuple[int, ...], batch: int, dtype: str) -> Workload:
    competitors = tuple(Competitor(who, partial(build, sizes, batch, dtype)) for who, build in BUILDS.items())
    title = f"MLP {'-'.join(map(str, sizes))}, batch {batch}, value and gradient"
    return Workload(f"{name}-{dtype}", title, dtype, competitors, pause=0.06)


WORKLOADS = tuple(
    workload(*shape, dtype)
    for shape in (("mlp-small", (1, 64, 64, 1), 256), ("mlp-large", (784, 512, 512, 10), 128))
    for dtype in ("float64", "float32")
)

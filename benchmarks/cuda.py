"""For a machine with an NVIDIA GPU: ``python -m benchmarks.cuda`` checks the cuda backend, then times it.

Value and gradient of a perceptron and of the Burgers solver, in float32, all arrays on the device: first compared with
the llvm backend, then timed, the perceptron beside JAX and PyTorch where these are installed and see the GPU. A run
ends when the device has finished.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import adcompile
from adcompile.backend.cuda import is_simulated
from adcompile.tree import flatten, map_leaves
from benchmarks import burgers, mlp

ROUNDS = 20
SIZES = {"perceptron": ((784, 512, 512, 10), 4096, "float32"), "burgers": (1 << 20, 100)}


def cases() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """Name, function and NumPy arguments."""
    yield "perceptron", mlp.loss, mlp.data(*SIZES["perceptron"])
    n, steps = SIZES["burgers"]
    v0, target, a, c = burgers.data(n)
    yield (
        "burgers",
        burgers.solve,
        (v0.astype(np.float32), target.astype(np.float32), steps, np.float32(a), np.float32(c)),
    )


def moved(args: Any) -> Any:
    """The arguments with their arrays on the device."""
    from numba import cuda

    return map_leaves(lambda leaf: cuda.to_device(leaf) if isinstance(leaf, np.ndarray) else leaf, args)


def seconds(run: Callable[[], Any], finish: Callable[[], Any]) -> float:
    """The shortest of several runs, after one to warm up."""
    run()
    finish()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        finish()
        times.append(time.perf_counter() - start)
    return min(times)


def disagreement(function: Callable[..., Any], args: Any, on_device: Any) -> float:
    """The largest difference to the CPU, relative to the largest element of each result."""
    found = flatten(adcompile.value_and_grad(function, backend="cuda")(*on_device))[0]
    expected = flatten(adcompile.value_and_grad(function)(*args))[0]
    host = [a.copy_to_host() if hasattr(a, "copy_to_host") else a for a in found]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(host, expected, strict=True))


def torch_perceptron(params: Any, x: Any, y: Any) -> float:
    import torch

    if not torch.cuda.is_available():
        raise ImportError("PyTorch sees no GPU")
    to = lambda array: torch.tensor(array, device="cuda")
    layers = [tuple(to(a).requires_grad_() for a in layer) for layer in params]
    leaves, x, y = [a for layer in layers for a in layer], to(x), to(y)

    def run():
        h = x
        for w, b in layers[:-1]:
            h = torch.tanh(h @ w + b)
        w, b = layers[-1]
        return torch.autograd.grad(((h @ w + b - y) ** 2).mean(), leaves)

    return seconds(run, torch.cuda.synchronize)


def jax_perceptron(params: Any, x: Any, y: Any) -> float:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # it would take the memory of those after it
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "gpu":
        raise ImportError("JAX sees no GPU")
    jax.config.update("jax_default_matmul_precision", "highest")  # float32, as the others compute

    def loss(params, x, y):
        for w, b in params[:-1]:
            x = jnp.tanh(x @ w + b)
        w, b = params[-1]
        return jnp.mean((x @ w + b - y) ** 2)

    gradient, args = jax.jit(jax.value_and_grad(loss)), jax.tree.map(jnp.asarray, (params, x, y))
    return seconds(lambda: jax.block_until_ready(gradient(*args)), lambda: None)


PEERS = {"perceptron": {"PyTorch": torch_perceptron, "JAX": jax_perceptron}, "burgers": {}}


def main() -> int:
    from numba import cuda

    if not cuda.is_available() or is_simulated():
        print("no CUDA GPU and driver were found", file=sys.stderr)
        return 1
    print(cuda.get_current_device().name)
    for name, function, args in cases():
        on_device = moved(args)
        print(f"{name}: largest difference to the CPU {disagreement(function, args, on_device):.1e}")
        gradient = adcompile.value_and_grad(function, backend="cuda")
        print(f"  adcompile cuda  {seconds(lambda g=gradient, a=on_device: g(*a), cuda.synchronize) * 1e3:9.3f} ms")
        for who, peer in PEERS[name].items():
            try:
                print(f"  {who:15s} {peer(*args) * 1e3:9.3f} ms")
            except (ImportError, RuntimeError) as error:
                print(f"  {who:15s} not measured: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

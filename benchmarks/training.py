"""The same steps of Adam on the Burgers PINN, by adcompile and by PyTorch: ``python -m benchmarks.training 500``.

Network 2-20×8-1, residual at 10,000 points, 100 values of the initial state and the walls, float64. Both start from the
same weights and take the same steps, in turns of ten; that their losses stay together is checked. The optimiser is part
of the time: NumPy on one vector here, ``torch.optim.Adam`` there. Time is that of one core, one thread each, so that
it means something on a shared machine; run it with ``OPENBLAS_NUM_THREADS=1``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import mlp, pinn

STEPS, TURN, RATE = 500, 10, 1e-3
TOGETHER = 100
"""Steps over which the losses must agree to eight digits; later, rounding errors have grown."""


def loss(params, interior, data):
    x, t, u = data
    misfit = np.mean((mlp.network(params, np.stack([x, t], axis=1))[:, 0] - u) ** 2)
    return misfit + pinn.loss(params, *interior)


def points() -> tuple[Any, Any, Any]:
    """Weights, collocation points, and the initial state and the walls as (x, t, u)."""
    params, *interior = pinn.data("float64")
    start, wall = np.linspace(-1, 1, 50), np.tile(np.linspace(0, 1, 25), 2)
    data = (
        np.concatenate([start, np.repeat([-1.0, 1.0], 25)]),
        np.concatenate([np.zeros(50), wall]),
        np.concatenate([-np.sin(np.pi * start), np.zeros(50)]),
    )
    return params, tuple(interior), data


def ours() -> Callable[[], float]:
    """A function that takes one step and returns the loss before it."""
    import adcompile

    params, interior, data = points()
    shapes = [a.shape for layer in params for a in layer]
    ends = np.cumsum([np.prod(s, dtype=int) for s in shapes])
    theta = np.concatenate([a.ravel() for layer in params for a in layer])
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    arrays = [part.reshape(s) for part, s in zip(np.split(theta, ends[:-1]), shapes, strict=True)]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    gradient_of = adcompile.value_and_grad(loss)
    count = 0

    def step() -> float:
        nonlocal count, mean, square
        value, bars = gradient_of(layers, interior, data)
        gradient = np.concatenate([a.ravel() for layer in bars for a in layer])
        count += 1
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        theta[:] -= RATE * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
        return value

    return step


def torch_eager() -> Callable[[], float]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(1)
    arrays, interior, data = points()
    layers = [tuple(torch.tensor(a, requires_grad=True) for a in layer) for layer in arrays]
    x, t = (torch.tensor(p[:, None], requires_grad=True) for p in interior)
    data_x, data_t, data_u = (torch.tensor(p[:, None]) for p in data)
    adam = torch.optim.Adam([a for layer in layers for a in layer], lr=RATE)

    def network(x, t):
        h = torch.cat([x, t], 1)
        for w, b in layers[:-1]:
            h = torch.tanh(h @ w + b)
        w, b = layers[-1]
        return h @ w + b

    def step() -> float:
        adam.zero_grad()
        u = network(x, t)
        one = torch.ones_like(u)
        u_x, u_t = torch.autograd.grad(u, (x, t), one, create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x, x, one, create_graph=True)
        value = ((u_t + u * u_x - pinn.VISCOSITY * u_xx) ** 2).mean()
        value = value + ((network(data_x, data_t) - data_u) ** 2).mean()
        value.backward(inputs=[a for layer in layers for a in layer])
        adam.step()
        return value.item()

    return step


def main(steps: int) -> None:
    competitors = {"adcompile": ours(), "PyTorch eager": torch_eager()}
    losses = {name: [step()] for name, step in competitors.items()}  # the first step compiles
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(steps // TURN):
        for name, step in competitors.items():
            for _ in range(TURN):
                began = time.process_time()
                losses[name].append(step())
                seconds[name].append(time.process_time() - began)
    one, other = map(np.array, losses.values())
    apart = np.abs(one / other - 1)
    assert np.max(apart[:TOGETHER]) <= 1e-8, f"the losses differ by {np.max(apart[:TOGETHER]):.1e}"
    print("| Adam on the Burgers PINN | steps | loss | a step, min / median | all steps |")
    print("|---|---|---|---|---|")
    for name, times in seconds.items():
        low, middle = (1e3 * f(times) for f in (np.min, np.median))
        print(f"| {name} | {steps} | {losses[name][-1]:.6e} | {low:.1f} / {middle:.1f} ms | {sum(times):.1f} s |")
    print(f"losses apart by {np.max(apart[:TOGETHER]):.1e} in {TOGETHER} steps, {apart[-1]:.1e} at the end")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)

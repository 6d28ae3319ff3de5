"""Differentiable physics: the motion that transforms one density into another.

dd/dt + u . grad d = 0 on a square with an unknown velocity field u(x, y), from the lecture (F. Rousseau, Introduction
to Deep Learning and Differentiable Physics). Each of 32 semi-Lagrangian steps takes the density where the flow comes
from, by linear interpolation between four cells, in explicit loops. The field is found by L-BFGS (SciPy) on the
distance of the final density from the target, with a penalty on the roughness of the field and the gradient of the
whole by the generated adjoint: 8,192 unknowns through 32 steps. The penalty is strong at first, so that the field is
smooth before it is exact.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer iterations.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import BLUE, FAST, ORANGE, check, save
from scipy.optimize import minimize
from tqdm import tqdm

import adcompile

CELLS, STEPS = 64, 32
ROUGHNESS = (0.1, 0.01) if FAST else (0.1, 0.01, 0.001)
ITERATIONS = 40 if FAST else 150


def transport(density, velocity, steps):
    """The density after some steps; ``velocity`` holds both components, in cells per step."""
    n = density.shape[0]
    density = density.copy()
    moved = np.empty_like(density)
    for _ in range(steps):
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
    return density


def distance(velocity, start, target, roughness):
    """Half the mean squared distance from the target, and a penalty on the roughness of the field."""
    final = transport(start, velocity, STEPS)
    rough = np.sum(np.diff(velocity, axis=1) ** 2) + np.sum(np.diff(velocity, axis=2) ** 2)
    return 0.5 * np.mean((final - target) ** 2) + roughness * rough / CELLS**2


def disc(x, y):
    return 0.5 - 0.5 * np.tanh((np.hypot(x + 0.4, y + 0.3) - 0.35) / 0.1)


def clover(x, y):
    x, y = x - 0.25, y - 0.15
    edge = 0.4 + 0.12 * np.cos(3.0 * np.arctan2(y, x))
    return 0.5 - 0.5 * np.tanh((np.hypot(x, y) - edge) / 0.1)


grid = np.linspace(-1.0, 1.0, CELLS)
x, y = np.meshgrid(grid, grid, indexing="ij")
start, target = disc(x, y), clover(x, y)

gradient = adcompile.value_and_grad(distance)
shape = (2, CELLS, CELLS)
history = []


def objective(flat, roughness):
    value, slope = gradient(flat.reshape(shape), start, target, roughness)
    return value, slope.ravel()


def error(velocity):
    return np.mean((transport_compiled(start, velocity, STEPS) - target) ** 2)


transport_compiled = adcompile.jit(transport)
velocity = np.zeros(shape)
with tqdm(total=len(ROUGHNESS) * ITERATIONS, desc="iterations", mininterval=0.5) as progress:

    def report(intermediate_result):
        history.append(error(intermediate_result.x.reshape(shape)))
        progress.update()

    for roughness in ROUGHNESS:
        options = {"maxiter": ITERATIONS, "ftol": 1e-12, "gtol": 1e-9}
        found = minimize(
            objective, velocity.ravel(), (roughness,), jac=True, method="L-BFGS-B", callback=report, options=options
        )
        velocity = found.x.reshape(shape)

result = transport_compiled(start, velocity, STEPS)

figure, axes = plt.subplots(2, 3, figsize=(12, 7.6))
for axis, density, title in zip(
    axes.flat, (start, target, result), ("start", "target", f"result after {STEPS} steps"), strict=False
):
    image = axis.imshow(density.T, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", vmin=0, vmax=1)
    axis.set(title=title, xlabel="x", ylabel="y")
    axis.grid(False)
figure.colorbar(image, ax=axes[0, 2], label="density", shrink=0.8)
coarse = slice(None, None, 3)
speed = np.hypot(*velocity)
below = axes[1, 0].imshow(speed.T, origin="lower", extent=(-1, 1, -1, 1), cmap="Greys")
axes[1, 0].quiver(
    x[coarse, coarse], y[coarse, coarse], *velocity[:, coarse, coarse], color=BLUE, scale_units="xy", scale=5
)
axes[1, 0].set(title="velocity field, and its speed", xlabel="x", ylabel="y")
axes[1, 0].grid(False)
figure.colorbar(below, ax=axes[1, 0], label="cells per step", shrink=0.8)
difference = axes[1, 1].imshow(
    (result - target).T, origin="lower", extent=(-1, 1, -1, 1), cmap="RdBu_r", vmin=-0.2, vmax=0.2
)
axes[1, 1].set(title="result − target", xlabel="x", ylabel="y")
axes[1, 1].grid(False)
figure.colorbar(difference, ax=axes[1, 1], shrink=0.8)
axes[1, 2].semilogy(history, color=ORANGE, linewidth=2)
axes[1, 2].set(title="mean squared error of the density", xlabel="iteration of L-BFGS")
save(figure, "density_transport")

random = np.random.default_rng(0)
direction = random.normal(size=shape)
h = 1e-7
point = velocity + random.uniform(0.1, 0.4, size=shape)
along = (
    distance(point + h * direction, start, target, 0.01) - distance(point - h * direction, start, target, 0.01)
) / (2 * h)
apart = abs(np.sum(gradient(point, start, target, 0.01)[1] * direction) / along - 1.0)
ratio = error(np.zeros(shape)) / error(velocity)
check(f"gradient against a central difference: relative difference {apart:.1e} ≤ 1e-5", apart <= 1e-5)
check(f"error of the density down {ratio:.0f} times, at least 100", ratio >= 100)

"""A physics-informed network solves Burgers' equation, and is held against the exact solution.

u_t + u u_x = nu u_xx on [-1, 1] × [0, 1] with nu = 0.01 / pi, u(x, 0) = -sin(pi x), u(±1, t) = 0: the setting of
M. Raissi, P. Perdikaris, G. E. Karniadakis, Physics-informed neural networks, J. Comput. Phys. 378 (2019): 100 points
on the boundary and at t = 0, 10,000 collocation points from a Latin hypercube, eight hidden layers of 20 units, Adam,
then L-BFGS. The residual takes u_x, u_t and u_xx by forward mode inside the loss; reverse mode over that gives the
gradient for the weights. The exact solution is Cole's and Hopf's, its integrals by Gauss-Hermite quadrature.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for a smaller network, fewer points, a tenth of the
steps, and a much looser check: the front is then still beside x = 0.
"""

import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, ORANGE, RED, check, save
from scipy.optimize import minimize
from scipy.stats import qmc
from tqdm import tqdm

import adcompile

VISCOSITY = 0.01 / np.pi
WALL_POINTS, INITIAL_POINTS = 25, 50
COLLOCATION_POINTS = 2_000 if FAST else 10_000
SIZES = (2, *[20] * (4 if FAST else 8), 1)
ADAM_STEPS, LBFGS_STEPS = (500, 1_500) if FAST else (2_000, 20_000)
ALLOWED = 0.3 if FAST else 1e-3


def exact(x, t):
    """Cole's and Hopf's solution, its integrals over the heat kernel by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(80)
    y = x[..., None] - np.sqrt(4 * VISCOSITY * t)[..., None] * nodes
    density = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY))
    return -np.sum(density * np.sin(np.pi * y), axis=-1) / np.sum(density, axis=-1)


def network(parameters, x, t):
    h = np.stack([x, 2 * t - 1], axis=1)
    for w, b in parameters[:-1]:
        h = np.tanh(h @ w + b)
    w, b = parameters[-1]
    return (h @ w + b)[:, 0]


def residual(parameters, x, t):
    """What is left of Burgers' equation; each point depends on its own x and t alone, so the direction is all ones."""
    one = np.ones_like(x)

    def along_x(x):
        return adcompile.jvp(lambda x: network(parameters, x, t), (x,), (one,))

    (u, u_x), (_, u_xx) = adcompile.jvp(along_x, (x,), (one,))
    _, u_t = adcompile.jvp(lambda t: network(parameters, x, t), (t,), (one,))
    return u_t + u * u_x - VISCOSITY * u_xx


@adcompile.value_and_grad
def loss(parameters, interior, data):
    x, t, u = data
    misfit = np.mean((network(parameters, x, t) - u) ** 2)
    return misfit + np.mean(residual(parameters, *interior) ** 2)


def glorot(random, sizes):
    """Normal weights by the rule of Glorot and Bengio, zero biases."""
    return tuple((random.normal(size=(a, b)) * np.sqrt(2 / (a + b)), np.zeros(b)) for a, b in pairwise(sizes))


def pack(parameters):
    return np.concatenate([a.ravel() for layer in parameters for a in layer])


def unpack(theta):
    layers, start = [], 0
    for a, b in pairwise(SIZES):
        w, start = theta[start : start + a * b].reshape(a, b), start + a * b
        bias, start = theta[start : start + b], start + b
        layers.append((w, bias))
    return tuple(layers)


def objective(theta):
    """The loss and its gradient as one vector, for the optimisers."""
    value, gradient = loss(unpack(theta), interior, data)
    return value, pack(gradient)


def adam(theta, steps, progress):
    """Kingma and Ba's method with a rate that falls to a tenth."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        value, gradient = objective(theta)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 2e-3 * 0.1 ** (step / steps)
        theta = theta - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        note(value, progress)
    return theta


def note(value, progress):
    history.append(value)
    progress.update()
    if len(history) % 20 == 0:
        progress.set_postfix(loss=f"{value:.2e}", refresh=False)


random = np.random.default_rng(1)
start, wall = np.linspace(-1, 1, INITIAL_POINTS), np.tile(np.linspace(0, 1, WALL_POINTS), 2)
sides = np.repeat([-1.0, 1.0], WALL_POINTS)
data = (
    np.concatenate([start, sides]),
    np.concatenate([np.zeros(INITIAL_POINTS), wall]),
    np.concatenate([-np.sin(np.pi * start), np.zeros(2 * WALL_POINTS)]),
)
hypercube = qmc.LatinHypercube(2, seed=np.random.default_rng(0)).random(COLLOCATION_POINTS)
interior = (np.ascontiguousarray(2 * hypercube[:, 0] - 1), np.ascontiguousarray(hypercube[:, 1]))

history = []
began = time.perf_counter()
with tqdm(total=ADAM_STEPS + LBFGS_STEPS, desc="training", mininterval=1) as progress:
    theta = adam(pack(glorot(random, SIZES)), ADAM_STEPS, progress)
    found = minimize(
        objective,
        theta,
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: note(intermediate_result.fun, progress),
        options={"maxiter": LBFGS_STEPS, "maxfun": 2 * LBFGS_STEPS, "maxcor": 50, "ftol": 0.0, "gtol": 1e-9},
    )
seconds = time.perf_counter() - began

grid_x, grid_t = np.linspace(-1, 1, 257), np.linspace(0, 1, 101)
points_x, points_t = np.meshgrid(grid_x, grid_t, indexing="ij")
truth = exact(points_x, points_t)
found_u = network(unpack(found.x), points_x.ravel(), points_t.ravel()).reshape(truth.shape)
error = np.linalg.norm(found_u - truth) / np.linalg.norm(truth)

figure, axes = plt.subplots(2, 3, figsize=(14, 7.6))
extent = (0, 1, -1, 1)
picture = axes[0, 0].imshow(found_u, origin="lower", extent=extent, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
axes[0, 0].plot(data[1], data[0], "x", color=BLACK, markersize=5, clip_on=False, label="100 data points")
axes[0, 0].set(xlabel="t", ylabel="x", title="Network u(x, t)")
axes[0, 0].legend(loc="upper right", frameon=True)
axes[0, 0].grid(False)
figure.colorbar(picture, ax=axes[0, 0])
picture = axes[0, 1].imshow(
    np.log10(np.abs(found_u - truth) + 1e-12), origin="lower", extent=extent, aspect="auto", cmap="viridis", vmin=-6
)
axes[0, 1].set(xlabel="t", ylabel="x", title="log₁₀ |error|")
axes[0, 1].grid(False)
figure.colorbar(picture, ax=axes[0, 1])
axes[0, 2].semilogy(history, color=BLUE, linewidth=0.8)
axes[0, 2].axvline(ADAM_STEPS, color=RED, linestyle=":", linewidth=2, label="Adam → L-BFGS")
axes[0, 2].set(xlabel="iteration", ylabel="loss", title="Training")
axes[0, 2].legend()
for axis, moment in zip(axes[1], (0.25, 0.5, 0.75), strict=True):
    column = int(np.argmin(np.abs(grid_t - moment)))
    axis.plot(grid_x, truth[:, column], color=BLACK, linewidth=1.5, label="exact")
    axis.plot(grid_x, found_u[:, column], color=ORANGE, linestyle="--", linewidth=2.5, label="network")
    axis.set(xlabel="x", ylabel="u", title=f"t = {moment}", ylim=(-1.15, 1.15))
axes[1, 0].legend()
save(figure, "burgers_pinn")

print(
    f"{found.nfev + ADAM_STEPS:,} gradients at {COLLOCATION_POINTS:,} points in {seconds:.0f} s: loss {found.fun:.2e}"
)
check(f"relative L2 error against the exact solution {error:.2e} ≤ {ALLOWED:.0e}", error <= ALLOWED)

"""A physics-informed network finds the coefficients of Burgers' equation from scattered values of its solution.

u_t + lambda u u_x = nu u_xx, of which only the form is known; given are 2,000 points (x, t, u) without noise, but no
initial state and no boundary. One loss holds the misfit at these points and the residual there; its unknowns are the
weights, lambda, and log nu, so that nu stays positive. The setting is that of M. Raissi, P. Perdikaris, G. E.
Karniadakis, Physics-informed neural networks, J. Comput. Phys. 378 (2019), for the discovery of equations: eight hidden
layers of 20 units, and lambda = 0, nu = exp(-6) to start from. The data are Cole's and Hopf's solution, for which
lambda = 1 and nu = 0.01 / pi.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for half the layers, half the points, and a fifth of the steps; both
coefficients must then be a fifth as wrong as the guess or less, where the long run allows one per cent.
"""

import matplotlib.pyplot as plt
import numpy as np
from _burgers import SPAN, VISCOSITY, exact, glorot, hypercube, network, pack, relative_error, residual, train, unpack
from _common import BLACK, BLUE, FAST, ORANGE, RED, check, save

import adcompile

POINTS = 1_000 if FAST else 2_000
SIZES = (2, *[20] * (4 if FAST else 8), 1)
ADAM_STEPS, LBFGS_STEPS = (1_000, 3_000) if FAST else (2_000, 20_000)
GUESS = np.array([0.0, -6.0])


@adcompile.value_and_grad
def loss(unknown, x, t, u):
    (advection, log_viscosity), layers = unknown
    misfit = np.mean((network(layers, x, t) - u) ** 2)
    return misfit + np.mean(residual(layers, x, t, advection, np.exp(log_viscosity)) ** 2)


def objective(theta):
    """The loss and its gradient as one vector, for the optimisers: the two coefficients, then the weights."""
    value, (coefficients, layers) = loss((tuple(theta[:2]), unpack(theta[2:], SIZES)), *data)
    return value, np.concatenate([coefficients, pack(layers)])


data_x, data_t = hypercube(POINTS)
data = (data_x, data_t, exact(data_x, data_t))
start = np.concatenate([GUESS, pack(glorot(np.random.default_rng(1), SIZES))])
trained = train(objective, start, ADAM_STEPS, LBFGS_STEPS, lambda theta: theta[:2])
advections, viscosities = trained.history[:, 1], np.exp(trained.history[:, 2])

grid_x, grid_t = np.meshgrid(np.linspace(-1, 1, 257), np.linspace(0, 1, 101), indexing="ij")
truth = exact(grid_x, grid_t)
found = network(unpack(trained.theta[2:], SIZES), grid_x.ravel(), grid_t.ravel()).reshape(truth.shape)

figure, axes = plt.subplots(2, 2, figsize=(12, 8))
points = axes[0, 0].scatter(data_t, data_x, c=data[2], s=5, cmap="RdBu_r", vmin=-1, vmax=1)
axes[0, 0].set(xlabel="t", ylabel="x", title=f"Data: {POINTS:,} points", xlim=(0, 1), ylim=(-1, 1))
figure.colorbar(points, ax=axes[0, 0], label="u")
picture = axes[0, 1].imshow(
    np.log10(np.abs(found - truth) + 1e-12), origin="lower", extent=SPAN, aspect="auto", cmap="viridis", vmin=-6
)
axes[0, 1].set(xlabel="t", ylabel="x", title="log₁₀ |error| of the network")
axes[0, 1].grid(False)
figure.colorbar(picture, ax=axes[0, 1])
ratios = {"λ": (advections, BLUE), "ν": (viscosities / VISCOSITY, ORANGE)}
for label, (ratio, colour) in ratios.items():
    axes[1, 0].plot(ratio, color=colour, linewidth=2, label=f"{label} / true {label}")
    axes[1, 1].semilogy(np.abs(ratio - 1), color=colour, linewidth=1, label=f"{label}")
axes[1, 0].axhline(1, color=BLACK, linestyle="--", linewidth=1)
axes[1, 1].axhline(0.01, color=BLACK, linestyle="--", linewidth=1.5, label="1 %")
for axis in axes[1]:
    axis.axvline(ADAM_STEPS, color=RED, linestyle=":", linewidth=2, label="Adam → L-BFGS")
    axis.set_xlabel("iteration")
    axis.legend()
axes[1, 0].set(ylabel="coefficient / truth", title="Coefficients")
axes[1, 1].set(ylabel="relative error", title="Their errors")
save(figure, "burgers_inverse")

loss_reached = trained.history[-1, 0]
print(f"{trained.gradients:,} gradients at {POINTS:,} points in {trained.seconds:.0f} s: loss {loss_reached:.2e}")
print(f"lambda = {advections[-1]:.6f}, nu = {viscosities[-1]:.7f}; true: 1, {VISCOSITY:.7f}")
print(f"relative L2 error of u {relative_error(found, truth):.1e}")
for name, (ratio, _) in ratios.items():
    first, last = abs(ratio[0] - 1), abs(ratio[-1] - 1)
    allowed = 0.2 * first if FAST else 0.01
    check(f"{name} is wrong by {last:.2%} ≤ {allowed:.1%}, at first by {first:.0%}", last <= allowed)

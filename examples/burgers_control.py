"""Differentiable physics: the initial state of Burgers' equation that leads to a given state later.

u_t + u u_x = nu u_xx on a periodic interval, as in the lecture (F. Rousseau, Introduction to Deep Learning and
Differentiable Physics) and in the notebook that it shows (Thuerey et al., Physics-based Deep Learning, chapter
"Burgers Optimization with a Differentiable Physics Gradient"). Each step diffuses explicitly, then moves the state
along itself: the value at a cell is interpolated where the flow comes from. From u = 0, gradient descent on the misfit
at step 16 finds an initial state. The solver is written twice, in explicit loops and in NumPy's array operations;
adcompile differentiates both as they are.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, GREEN, ORANGE, check, save
from tqdm import trange

import adcompile

CELLS, STEPS, OBSERVED = 128, 32, 16
DX, DT = 2.0 / CELLS, 1.0 / STEPS
VISCOSITY = 0.01 / (CELLS * np.pi)
RATE = 5.0
ITERATIONS = 50 if FAST else 200
KNOWN = (
    0.402366803275554,
    0.34397257750904925,
    0.2961377652732831,
    0.2562187810985779,
    0.22261809741326474,
    0.19415079575593935,
    0.16989433899585174,
    0.14911908720799485,
    0.13124111680269407,
    0.11578837388785465,
)
"""The first ten losses by another implementation, ``python -m benchmarks.burgers_control``."""


def run_loops(u, steps):
    """The state after some steps, in explicit loops."""
    n = len(u)
    u = u.copy()
    diffused = np.empty_like(u)
    for _ in range(steps):
        for i in range(n):
            curvature = (u[i - 1] - 2.0 * u[i] + u[(i + 1) % n]) / DX**2
            diffused[i] = u[i] + DT * VISCOSITY * curvature
        for i in range(n):
            origin = i - diffused[i] * DT / DX
            cell = math.floor(origin)
            weight = origin - cell
            u[i] = (1.0 - weight) * diffused[cell % n] + weight * diffused[(cell + 1) % n]
    return u


def run_arrays(u, steps):
    """The same with ``np.roll``, ``np.floor`` and arrays of indices."""
    n = len(u)
    cells = np.arange(n)
    for _ in range(steps):
        u = u + DT * VISCOSITY * (np.roll(u, 1) - 2.0 * u + np.roll(u, -1)) / DX**2
        origin = cells - u * DT / DX
        cell = np.floor(origin)
        weight = origin - cell
        left = cell.astype(np.int64) % n
        u = (1.0 - weight) * u[left] + weight * u[(left + 1) % n]
    return u


@adcompile.value_and_grad
def misfit_loops(u, reference):
    return 2.0 / CELLS * 0.5 * np.sum((run_loops(u, OBSERVED) - reference) ** 2)


@adcompile.value_and_grad
def misfit_arrays(u, reference):
    return 2.0 / CELLS * 0.5 * np.sum((run_arrays(u, OBSERVED) - reference) ** 2)


def descend(misfit, reference, iterations):
    """Gradient descent from zero: the states it visits, the losses and the gradients there."""
    u = np.zeros(CELLS)
    states, losses, gradients = [u], [], []
    for _ in trange(iterations, desc="iterations", mininterval=0.5):
        loss, gradient = misfit(u, reference)
        u = u - RATE * gradient
        states.append(u)
        losses.append(loss)
        gradients.append(gradient)
    return states, np.array(losses), gradients


x = -1.0 + DX * (np.arange(CELLS) + 0.5)
truth = -np.sin(np.pi * x)
reference = run_arrays(truth, OBSERVED)

states, losses, gradients = descend(misfit_loops, reference, ITERATIONS)
_, losses_arrays, _ = descend(misfit_arrays, reference, 10)
print(misfit_arrays.source(truth, reference))

figure, ((top, right), (below, corner)) = plt.subplots(2, 2, figsize=(11, 8))
top.plot(x, gradients[0], color=ORANGE, linewidth=2, label="at u = 0")
top.plot(x, gradients[9], color=GREEN, linestyle="--", linewidth=2, label="after 9 iterations")
top.set(xlabel="x", ylabel="gradient", title="Gradient of the misfit at step 16")
top.legend()
right.plot(x, truth, color=BLACK, linestyle="--", linewidth=2, label="truth: −sin πx")
right.plot(x, states[10], color=ORANGE, linewidth=1.5, label="after 10 iterations")
right.plot(x, states[-1], color=BLUE, linewidth=2, label=f"after {ITERATIONS}")
right.set(xlabel="x", ylabel="u", title="Initial state", ylim=(-1.5, 1.5))
right.legend(loc="upper right", ncols=1)
below.semilogy(losses, color=BLUE, linewidth=2)
below.set(xlabel="iteration", ylabel="misfit", title="Gradient descent, learning rate 5")
history = np.stack([run_arrays(states[-1], k) for k in range(STEPS + 1)])
image = corner.imshow(
    history.T, origin="lower", extent=(0, STEPS, -1, 1), aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1
)
corner.axvline(OBSERVED, color=BLACK, linestyle=":", linewidth=1.5)
corner.set(xlabel="step (dotted: where it is observed)", ylabel="x", title="Solution from the recovered state")
corner.grid(False)
figure.colorbar(image, ax=corner, label="u")
save(figure, "burgers_control")

known = np.array(KNOWN)
apart = np.max(np.abs(losses[: len(known)] - known))
between = np.max(np.abs(losses[:10] - losses_arrays))
print("losses:", *losses[:10])
check(f"the first {len(known)} losses are those of the JAX version, to {apart:.1e} ≤ 1e-10", apart <= 1e-10)
check(f"loops and arrays give the same losses, to {between:.1e} ≤ 1e-12", between <= 1e-12)
share = 0.05 if FAST else 0.002
check(f"misfit {losses[-1]:.2e} ≤ {share:g} × that of u = 0, {losses[0]:.2e}", losses[-1] <= share * losses[0])

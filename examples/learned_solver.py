"""A learned solver: a small network corrects the fluxes of a coarse solver, and is trained through the solver.

The three parts of the lecture (F. Rousseau, Introduction to Deep Learning and Differentiable Physics) in one program:
differentiation, a network, and physics. Burgers' equation u_t + (u^2 / 2)_x = 0 on 32 cells smears its fronts; the
network sees four neighbouring cells and adds to the flux between them, so that what one cell loses another gains. The
loss is the distance of 24 steps from the averages of a solution on 512 cells; its gradient over the weights runs back
through all steps. New initial states, and three times as many steps, test what was learned.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer iterations and a looser check.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, GREEN, ORANGE, check, save
from tqdm import trange

import adcompile

CELLS, FINER, STEPS = 32, 16, 24
DX, DT = 2 * np.pi / CELLS, 0.4 * 2 * np.pi / CELLS / 2.0
ITERATIONS = 250 if FAST else 1500


def flux(left, right):
    """Rusanov's flux: the mean, and as much diffusion as the faster side needs."""
    speed = np.maximum(np.abs(left), np.abs(right))
    return 0.25 * (left**2 + right**2) - 0.5 * speed * (right - left)


def correction(weights, u):
    """What the network adds to the flux between each cell and the next, from two cells on either side."""
    w1, b1, w2, b2, w3 = weights
    around = np.stack((np.roll(u, 1, axis=1), u, np.roll(u, -1, axis=1), np.roll(u, -2, axis=1)), axis=-1)
    hidden = np.tanh(around @ w1 + b1)
    hidden = np.tanh(hidden @ w2 + b2)
    return (hidden @ w3)[:, :, 0] * (np.roll(u, -1, axis=1) - u)


def advance(weights, u):
    """One coarse step of a batch of states."""
    between = flux(u, np.roll(u, -1, axis=1)) + correction(weights, u)
    return u - DT / DX * (between - np.roll(between, 1, axis=1))


@adcompile.value_and_grad
def loss(weights, u, references):
    """The mean squared distance from the references, over all steps."""
    total = 0.0
    for reference in references:
        u = advance(weights, u)
        total += np.mean((u - reference) ** 2)
    return total / len(references)


def fine_solution(u, steps):
    """Averages over coarse cells of what fine cells do, after each coarse step."""
    averages = []
    for _ in range(steps):
        for _ in range(FINER):
            between = flux(u, np.roll(u, -1, axis=1))
            u = u - DT / DX * (between - np.roll(between, 1, axis=1))
        averages.append(u.reshape(len(u), CELLS, FINER).mean(axis=2))
    return np.stack(averages)


def initial(random, count):
    """Smooth random states on the fine cells."""
    x = (np.arange(CELLS * FINER) + 0.5) * DX / FINER
    waves = np.arange(1, 4)[:, None]
    amplitudes, phases = random.normal(size=(count, 3, 1)) / waves, random.uniform(0, 2 * np.pi, size=(count, 3, 1))
    return 0.7 * np.sum(amplitudes * np.sin(waves * x + phases), axis=1) + random.uniform(-0.5, 0.5, size=(count, 1))


def coarse(u):
    return u.reshape(len(u), CELLS, FINER).mean(axis=2)


def run(weights, u, steps):
    states = []
    for _ in range(steps):
        u = advance(weights, u)
        states.append(u)
    return np.stack(states)


random = np.random.default_rng(0)
fine, test = initial(random, 24), initial(random, 24)
references, test_references = fine_solution(fine, STEPS), fine_solution(test, 3 * STEPS)

weights = [
    random.normal(size=(4, 16)) / 2.0,
    np.zeros(16),
    random.normal(size=(16, 16)) / 4.0,
    np.zeros(16),
    np.zeros((16, 1)),
]
untrained = [w.copy() for w in weights]
mean, square = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
losses = []
progress = trange(1, ITERATIONS + 1, desc="iterations", mininterval=0.5)
for k in progress:
    value, slopes = loss(weights, coarse(fine), references)
    rate = 5e-3 * 0.5 * (1.0 + np.cos(np.pi * k / ITERATIONS))
    for w, m, s, g in zip(weights, mean, square, slopes, strict=True):  # Adam
        m += 0.1 * (g - m)
        s += 0.01 * (g**2 - s)
        w -= rate * (m / (1 - 0.9**k)) / (np.sqrt(s / (1 - 0.99**k)) + 1e-8)
    losses.append(value)
    progress.set_postfix(loss=f"{value:.2e}", refresh=False)

plain, learned = (run(w, coarse(test), 3 * STEPS) for w in (untrained, weights))
errors = [np.mean((states - test_references) ** 2, axis=(1, 2)) for states in (plain, learned)]

x = (np.arange(CELLS) + 0.5) * DX
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4))
left.semilogy(losses, color=BLUE, linewidth=1.5)
left.axhline(losses[0], color=ORANGE, linestyle=":", linewidth=2, label="coarse solver alone")
left.set(xlabel="iteration of Adam", title="Loss: 24 states, 24 steps")
left.legend()
worst = int(np.argmax(np.mean((plain[STEPS - 1] - test_references[STEPS - 1]) ** 2, axis=1)))
middle.plot(x, test_references[STEPS - 1, worst], color=BLACK, linewidth=2, linestyle="--", label="512 cells, averaged")
middle.plot(x, plain[STEPS - 1, worst], color=ORANGE, linewidth=1.5, marker=".", label="32 cells")
middle.plot(x, learned[STEPS - 1, worst], color=BLUE, linewidth=1.5, marker=".", label="32 cells, learned flux")
middle.set(xlabel="x", ylabel="u", title=f"A new state after {STEPS} steps")
middle.legend()
steps = np.arange(1, 3 * STEPS + 1)
right.semilogy(steps, errors[0], color=ORANGE, linewidth=2, label="32 cells")
right.semilogy(steps, errors[1], color=BLUE, linewidth=2, label="32 cells, learned flux")
right.axvline(STEPS, color=GREEN, linestyle=":", linewidth=2, label="trained up to here")
right.set(xlabel="step", ylabel="mean squared error", title="24 new states")
right.legend()
save(figure, "learned_solver")

direction = [random.normal(size=w.shape) for w in weights]
h, point = 1e-6, [w + 0.1 * random.normal(size=w.shape) for w in weights]
ends = [
    loss([w + s * h * d for w, d in zip(point, direction, strict=True)], coarse(fine), references)[0] for s in (1, -1)
]
slope = sum(np.sum(g * d) for g, d in zip(loss(point, coarse(fine), references)[1], direction, strict=True))
apart = abs(slope / ((ends[0] - ends[1]) / (2 * h)) - 1.0)
check(f"gradient against a central difference: relative difference {apart:.1e} ≤ 1e-5", apart <= 1e-5)
gain, longer = errors[0][:STEPS].mean() / errors[1][:STEPS].mean(), errors[0].mean() / errors[1].mean()
least = 2 if FAST else 5
check(f"error on new states down {gain:.1f} times, at least {least}", gain >= least)
check(f"over three times as many steps: down {longer:.1f} times, at least {least}", longer >= least)
drift = np.max(np.abs(learned.sum(axis=2) - coarse(test).sum(axis=1)))
check(f"the sum over all cells is conserved, to {drift:.1e} ≤ 1e-11", drift <= 1e-11)

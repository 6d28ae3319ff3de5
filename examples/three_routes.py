"""Three routes to one solution of Burgers' equation: supervised learning, a physics-informed network, a solver.

The problem is that of Thuerey et al., Physics-based Deep Learning, the chapters on Burgers' equation: from the state at
t = 0.5 alone, given at 128 points, reconstruct u(x, t) for all t in [0, 1]. u_t + u u_x = nu u_xx on [-1, 1] with
nu = 0.01 / pi, u = 0 at the walls. The truth is Cole's and Hopf's solution for u(x, 0) = -sin(pi x); its front has
swallowed half of the initial state by then, so forwards it is easy, and backwards no route can be exact. All get the
same observation and the same equation, and are compared with the same truth. They differ in where the physics enters:

- supervised: in the training data. The solver below makes solutions from random initial states (three sine waves);
  a network learns to give the state at any time from that at t = 0.5. It sees the observation only when it is asked.
- physics-informed: in the loss. A network u(x, t) is fitted to the observation and the walls, and its residual at
  scattered points is driven to zero.
- differentiable physics: in the program. The unknown is the initial state; its misfit at t = 0.5 is differentiated
  through the lecture's solver (diffuse, then move along itself; F. Rousseau, Introduction to Deep Learning and
  Differentiable Physics).

What the observation leaves open, each fills with what it prefers: the average over its training data, what a small
network likes, and a smooth initial state (Tikhonov's term; its weight was chosen among three powers of ten, and leaves
a misfit below the solver's own error, as Morozov's principle asks).

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer steps.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from _burgers import (
    SPAN,
    VISCOSITY,
    adam,
    exact,
    glorot,
    hypercube,
    network,
    pack,
    relative_error,
    residual,
    train,
    unpack,
)
from _common import BLACK, BLUE, FAST, GREEN, ORANGE, check, save
from scipy.optimize import minimize

import adcompile

CELLS, STEPS = 128, 64
DX, DT, HALF = 2.0 / CELLS, 1.0 / STEPS, STEPS // 2
WAVES, RUNS, BATCH = 3, 2_000, 256
LEARNING_STEPS = 500 if FAST else 3_000
SURROGATE = (CELLS + 1, 64, 64, CELLS)
FIELD = (2, *[20] * 4, 1)
COLLOCATION_POINTS = 500 if FAST else 2_000
ADAM_STEPS, LBFGS_STEPS = (300, 1_000) if FAST else (1_000, 6_000)
SMOOTHNESS, DESCENTS = 1e-4, 200


# -- the solver ----------------------------------------------------------------------------------------------------


def step(u):
    """One step of the lecture's solver: diffuse, then take at each cell the value from where the flow comes."""
    n = len(u)
    u = u + DT * VISCOSITY * (np.roll(u, 1) - 2.0 * u + np.roll(u, -1)) / DX**2
    origin = np.arange(n) - u * DT / DX
    cell = np.floor(origin)
    weight = origin - cell
    left = cell.astype(np.int64) % n
    return (1.0 - weight) * u[left] + weight * u[(left + 1) % n]


def run(u):
    """The states at all times, one in each row."""
    states = np.empty((STEPS + 1, len(u)))
    states[0] = u
    for k in range(STEPS):
        u = step(u)
        states[k + 1] = u
    return states


# -- supervised ----------------------------------------------------------------------------------------------------


def surrogate(layers, h):
    for w, b in layers[:-1]:
        h = np.tanh(h @ w + b)
    w, b = layers[-1]
    return h @ w + b


@adcompile.value_and_grad
def mistake(layers, questions, answers):
    return np.mean((surrogate(layers, questions) - answers) ** 2)


def supervised():
    """The surrogate's answers for the observation, after training on runs of the solver."""
    random = np.random.default_rng(0)
    waves = np.arange(1, WAVES + 1)
    starts = random.normal(size=(RUNS, WAVES)) / waves @ np.sin(np.pi * waves[:, None] * x)
    runs = adcompile.jit(adcompile.vmap(run))(starts)

    def objective(theta):
        which, when = random.integers(RUNS, size=BATCH), random.integers(STEPS + 1, size=BATCH)
        questions = np.concatenate([runs[which, HALF], 2 * times[when, None] - 1], axis=1)
        value, gradient = mistake(unpack(theta, SURROGATE), questions, runs[which, when])
        return value, pack(gradient)

    theta = adam(objective, pack(glorot(random, SURROGATE)), LEARNING_STEPS, lambda value, theta: None)
    questions = np.concatenate([np.tile(observed, (STEPS + 1, 1)), 2 * times[:, None] - 1], axis=1)
    return surrogate(unpack(theta, SURROGATE), questions), len(theta), LEARNING_STEPS


# -- physics-informed ----------------------------------------------------------------------------------------------


@adcompile.value_and_grad
def informed_loss(layers, interior, data):
    x, t, u = data
    return np.mean((network(layers, x, t) - u) ** 2) + np.mean(residual(layers, *interior) ** 2)


def informed():
    """The field of a network that fits the observation and the equation."""
    wall = np.tile(np.linspace(0, 1, 33), 2)
    data = (
        np.concatenate([x, np.repeat([-1.0, 1.0], 33)]),
        np.concatenate([np.full(CELLS, 0.5), wall]),
        np.concatenate([observed, np.zeros(len(wall))]),
    )
    interior = hypercube(COLLOCATION_POINTS)

    def objective(theta):
        value, gradient = informed_loss(unpack(theta, FIELD), interior, data)
        return value, pack(gradient)

    start = pack(glorot(np.random.default_rng(1), FIELD))
    trained = train(objective, start, ADAM_STEPS, LBFGS_STEPS)
    found = network(unpack(trained.theta, FIELD), points_x.ravel(), points_t.ravel())
    return found.reshape(truth.shape), len(start), trained.gradients


# -- differentiable physics ----------------------------------------------------------------------------------------


@adcompile.value_and_grad
def misfit(start, observed):
    u = start
    for _ in range(HALF):
        u = step(u)
    return np.mean((u - observed) ** 2) + SMOOTHNESS * np.mean(((start - np.roll(start, 1)) / DX) ** 2)


def physics():
    """The solver's states from the initial state that fits best."""
    options = {"maxiter": DESCENTS, "maxfun": 2 * DESCENTS, "maxcor": 20, "ftol": 1e-12}
    found = minimize(misfit, np.zeros(CELLS), args=(observed,), jac=True, method="L-BFGS-B", options=options)
    return run(found.x), CELLS, found.nfev


# -- side by side --------------------------------------------------------------------------------------------------

x, times = -1.0 + DX * (np.arange(CELLS) + 0.5), np.linspace(0, 1, STEPS + 1)
points_x, points_t = np.meshgrid(x, times)
truth = exact(points_x, points_t)
observed = truth[HALF]

routes = {"supervised": supervised, "physics-informed": informed, "differentiable physics": physics}
colours = dict(zip(routes, (ORANGE, BLUE, GREEN), strict=True))
fields = {}
columns = f"{'t = 0':>8} {'t = 0.5':>8} {'t = 1':>8} {'all':>8} {'unknowns':>9} {'gradients':>9} {'s':>6}"
print(f"{'relative error':24} {columns}")
for name, route in routes.items():
    began = time.perf_counter()
    fields[name], unknowns, gradients = route()
    at = [relative_error(fields[name][k], truth[k]) for k in (0, HALF, STEPS)]
    errors = "".join(f" {error:8.2%}" for error in (*at, relative_error(fields[name], truth)))
    print(f"{name:24}{errors} {unknowns:9,} {gradients:9,} {time.perf_counter() - began:6.1f}")
unmoved = relative_error(np.broadcast_to(observed, truth.shape), truth)
own = relative_error(run(-np.sin(np.pi * x)), truth)
print(f"for comparison: the observation taken for all times {unmoved:.2%}, the solver from the true start {own:.2%}")

figure, axes = plt.subplots(2, 4, figsize=(17, 7.6))
for axis, (name, field) in zip(axes[0], {"truth": truth, **fields}.items(), strict=True):
    picture = axis.imshow(field.T, origin="lower", extent=SPAN, aspect="auto", cmap="RdBu_r", vmin=-1.3, vmax=1.3)
    axis.axvline(0.5, color=BLACK, linestyle=":", linewidth=1.5)
    axis.set(xlabel="t (dotted: observed)" if name == "truth" else "t", ylabel="x", title=name.capitalize())
    axis.grid(False)
figure.colorbar(picture, ax=axes[0], label="u")
scale = np.linalg.norm(truth, axis=1)
for name, field in fields.items():
    axes[1, 0].semilogy(times, np.linalg.norm(field - truth, axis=1) / scale, color=colours[name], linewidth=2)
axes[1, 0].semilogy(
    times, np.linalg.norm(observed - truth, axis=1) / scale, color=BLACK, linestyle="--", label="observation"
)
axes[1, 0].set(xlabel="t", ylabel="relative error", title="Error over time", ylim=(1e-4, 2))
axes[1, 0].legend(loc="lower left", fontsize=9)
for axis, moment in zip(axes[1, 1:], (0, STEPS // 4, STEPS), strict=True):
    axis.plot(x, truth[moment], color=BLACK, linewidth=1.5, label="truth")
    for name, field in fields.items():
        axis.plot(x, field[moment], color=colours[name], linewidth=1.5, label=name)
    axis.set(xlabel="x", ylabel="u", title=f"t = {times[moment]:g}", ylim=(-1.6, 1.6))
axes[1, 3].legend(loc="upper right", fontsize=8)
save(figure, "three_routes")

for name, field in fields.items():
    error = relative_error(field, truth)
    check(f"{name}: error {error:.2%} < {unmoved:.2%}, that of the observation taken for all times", error < unmoved)
for name in ("physics-informed", "differentiable physics"):
    error = relative_error(fields[name][HALF], observed)
    check(f"{name} meets the observation to {error:.2%} ≤ {own:.2%}, the error of the solver", error <= own)

"""Differentiable physics: implicit solvers that iterate to a tolerance, differentiated in two ways.

The heat equation u_t = (k u_x)_x and the wave equation u_tt = (k u_x)_x between fixed ends, with a conductivity k that
varies in space. Each time step solves a linear system in a ``while`` loop that ends at a tolerance: for heat by
Gauss-Seidel sweeps in place, for the wave by conjugate gradients. The gradient over all k of an observation at the end
is taken through the iterations, which are recorded, and by `adcompile.fixed_point`, which records none of them.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer points and steps.
"""

import re

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, ORANGE, check, save

import adcompile

POINTS, STEPS = (33, 10) if FAST else (65, 40)
TOLERANCE, SNAPSHOTS = 1e-13, 5
DX, DT = 1.0 / (POINTS - 1), 0.01


def sweep(u, b, k, factor):
    """One Gauss-Seidel sweep, in place, for u - factor (k u_x)_x = b; the greatest change."""
    change = 0.0
    for i in range(1, len(u) - 1):
        left, right = factor * k[i - 1] / DX**2, factor * k[i] / DX**2
        new = (b[i] + left * u[i - 1] + right * u[i + 1]) / (1.0 + left + right)
        change = max(change, abs(new - u[i]))
        u[i] = new
    return change


def by_sweeps(b, k, factor):
    u = b.copy()
    change = 1.0
    while change > TOLERANCE:
        change = sweep(u, b, k, factor)
    return u


def product(u, k, factor):
    """The left side of the linear system, u - factor (k u_x)_x."""
    flux = k * np.diff(u) / DX
    out = u.copy()
    out[1:-1] -= factor * np.diff(flux) / DX
    return out


def by_conjugate_gradients(b, k, factor):
    u = b.copy()
    residual = b - product(u, k, factor)
    direction = residual.copy()
    square = residual @ residual
    while square > TOLERANCE**2:
        image = product(direction, k, factor)
        length = square / (direction @ image)
        u += length * direction
        residual -= length * image
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return u


def swept(u, b, k, factor):
    """A sweep as a function of what it starts from, for `adcompile.fixed_point`."""
    u = u.copy()
    u[0], u[-1] = b[0], b[-1]  # the ends too must follow from the arguments: a sweep leaves them as they are
    sweep(u, b, k, factor)
    return u


def by_fixed_point(b, k, factor):
    return adcompile.fixed_point(swept, b, b, k, factor, tolerance=TOLERANCE)


def heat(k, u, steps, solve):
    """Implicit Euler steps."""
    for _ in adcompile.checkpointed(range(steps), snapshots=SNAPSHOTS):
        u = solve(u, k, DT)
    return u


def wave(k, u, steps, solve):
    """Steps of second order that conserve energy: the mean of the new and the old state is what is bent."""
    before = u.copy()
    for _ in adcompile.checkpointed(range(steps), snapshots=SNAPSHOTS):
        u, before = solve(2.0 * u, k, 0.5 * DT**2) - before, u
    return u


def observe(run, solve):
    """Twice as much where x > 1/2: an observation of the final state, and its gradient over k."""
    weights = np.where(np.linspace(0.0, 1.0, POINTS) > 0.5, 2.0, 1.0)
    return adcompile.value_and_grad(lambda k, u: np.sum(weights * run(k, u, STEPS, solve) ** 2) * DX)


def differences(f, k, u, places, h):
    slopes = []
    for i in places:
        shift = np.zeros_like(k)
        shift[i] = h
        slopes.append((f(k + shift, u)[0] - f(k - shift, u)[0]) / (2.0 * h))
    return np.array(slopes)


def recorded(f, k, u):
    """What the adjoint says that it records."""
    return re.search("# recorded: (.*)", f.source(k, u)).group(1)


x = np.linspace(0.0, 1.0, POINTS)
between = 0.5 * (x[1:] + x[:-1])
conductivity = {"heat": 0.1 + 0.05 * np.sin(4 * np.pi * between), "wave": 1.0 + 0.5 * (between > 0.6)}
start = {"heat": np.sin(np.pi * x) + 0.5 * np.sin(3 * np.pi * x), "wave": np.exp(-(((x - 0.3) / 0.07) ** 2))}
start = {name: np.where((x == 0) | (x == 1), 0.0, u) for name, u in start.items()}
solvers = {"heat": (heat, by_sweeps), "wave": (wave, by_conjugate_gradients)}
PLACES = np.arange(2, POINTS - 1, 6)

figure, axes = plt.subplots(2, 2, figsize=(11, 7.6))
for row, (name, (run, iterate)) in zip(axes, solvers.items(), strict=True):
    k, u = conductivity[name], start[name]
    through, implicit = observe(run, iterate), observe(run, by_fixed_point)
    one, other = through(k, u)[1], implicit(k, u)[1]
    slopes = differences(implicit, k, u, PLACES, 1e-5)
    frame = adcompile.jit(lambda k, u, steps, run=run, iterate=iterate: run(k, u, steps, iterate))
    history = np.stack([frame(k, u, n) for n in range(STEPS + 1)])
    image = row[0].imshow(
        history, origin="lower", extent=(0, 1, 0, STEPS * DT), aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1
    )
    row[0].set(xlabel="x", ylabel="t", title=f"{name}: u")
    row[0].grid(False)
    figure.colorbar(image, ax=row[0])
    row[1].plot(between, one, color=ORANGE, linewidth=4, alpha=0.7, label="through the iterations")
    row[1].plot(between, other, color=BLUE, linewidth=1.5, label="fixed_point")
    row[1].plot(between[PLACES], slopes, ".", color=BLACK, markersize=7, label="central differences")
    row[1].set(xlabel="x", ylabel="gradient", title=f"{name}: an observation at the end, over k")
    row[1].legend()
    scale = np.max(np.abs(one))
    apart, off = np.max(np.abs(one - other)) / scale, np.max(np.abs(other[PLACES] - slopes)) / scale
    print(f"{name}: through the iterations, recorded: {recorded(through, k, u)}")
    print(f"{name}: by fixed_point, recorded: {recorded(implicit, k, u)}")
    check(f"{name}: both gradients agree to {apart:.1e} ≤ 1e-6", apart <= 1e-6)
    check(f"{name}: central differences agree to {off:.1e} ≤ 1e-6", off <= 1e-6)
save(figure, "heat_and_wave")

uniform = np.full(POINTS - 1, 0.1)
mode = np.sin(np.pi * x) * (1.0 - (x == 1))


@adcompile.value_and_grad
def amplitude(k):
    """How much is left of the first mode."""
    return 2.0 * DX * np.sum(heat(k, mode, STEPS, by_fixed_point) * mode)


rate = 4.0 / DX**2 * np.sin(0.5 * np.pi * DX) ** 2
left, slope = amplitude(uniform)
exact = (1.0 + DT * rate * 0.1) ** -STEPS
exact_slope = -STEPS * DT * rate * (1.0 + DT * rate * 0.1) ** (-STEPS - 1)
error = max(abs(left / exact - 1.0), abs(np.sum(slope) / exact_slope - 1.0))
check(f"decay of the first mode and its derivative over a uniform k: {error:.1e} ≤ 1e-9 off", error <= 1e-9)

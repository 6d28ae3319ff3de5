"""Loop code as it is written for Numba goes in unchanged: Burgers' equation with in-place updates, and its adjoint.

u_t + u u_x = nu u_xx on a periodic interval (from the differentiable-physics part of the lecture: F. Rousseau,
Introduction to Deep Learning and Differentiable Physics), by upwind differences in explicit loops. The solver keeps its
``@njit``, writes into arrays, and swaps two of them. The initial state is recovered from noisy observations of the
final one, with the gradient of the misfit by the generated adjoint, in which the loops are loops that run backwards.
Where a front has formed, several initial states lead to one final state, and the noise decides between them.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, GREEN, ORANGE, check, save
from numba import njit
from scipy.optimize import minimize

import adcompile

POINTS, STEPS = 128, 40
DX = 2 * np.pi / POINTS
DT = 0.4 * DX
VISCOSITY = 0.02
NOISE = 0.02


@njit
def solve(u, steps, dt, dx, viscosity):
    """The state after a number of upwind steps; the argument is not changed."""
    n = len(u)
    u = u.copy()
    v = np.empty_like(u)
    for _ in range(steps):
        for i in range(n):
            left, right = u[i - 1], u[(i + 1) % n]
            if u[i] > 0.0:
                slope = (u[i] - left) / dx
            else:
                slope = (right - u[i]) / dx
            v[i] = u[i] - dt * u[i] * slope
            v[i] += dt * viscosity * (left - 2.0 * u[i] + right) / dx**2
        u, v = v, u
    return u


def misfit(initial, observed):
    """Half the mean squared distance of the computed final state from the observed one."""
    final = solve(initial, STEPS, DT, DX, VISCOSITY)
    return 0.5 * np.mean((final - observed) ** 2)


def directional_error(random, u, observed):
    """The relative difference of a directional derivative from a central difference."""
    direction = random.normal(size=POINTS)
    h = 1e-6
    difference = (misfit(u + h * direction, observed) - misfit(u - h * direction, observed)) / (2 * h)
    return abs(adcompile.grad(misfit)(u, observed) @ direction / difference - 1)


random = np.random.default_rng(0)
x = np.arange(POINTS) * DX
truth = np.sin(x) + 0.4 * np.cos(2 * x + 0.5)
observed = solve(truth, STEPS, DT, DX, VISCOSITY) + NOISE * random.normal(size=POINTS)
guess = np.zeros(POINTS) + 0.01

loss = adcompile.value_and_grad(misfit)
value, gradient = loss(guess, observed)
print(loss.source(guess, observed))

error = max(directional_error(random, u, observed) for u in (truth, 0.5 * truth + 0.1))

level = 0.5 * NOISE**2


def stop(intermediate_result):
    """End when the misfit is at the level of the noise (Morozov's principle): what is left to fit is noise."""
    if intermediate_result.fun <= level:
        raise StopIteration


found = minimize(loss, guess, args=(observed,), jac=True, method="L-BFGS-B", callback=stop)
final = solve(found.x, STEPS, DT, DX, VISCOSITY)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
left.plot(x, truth, color=BLACK, linestyle="--", linewidth=2, label="truth")
left.plot(x, guess, color=GREEN, linestyle=":", linewidth=2.5, label="first guess")
left.plot(x, found.x, color=BLUE, linewidth=2, label="recovered")
left.set(xlabel="x", ylabel="u", title="Initial state", ylim=(-1.8, 1.8))
left.legend(loc="upper center", ncols=3)
right.plot(x, observed, ".", color=ORANGE, markersize=6, label="observed, with noise")
right.plot(x, final, color=BLUE, linewidth=2, label="from the recovered state")
right.set(xlabel="x", title=f"Final state, t = {STEPS * DT:.1f}")
right.legend(loc="upper center", ncols=2)
save(figure, "burgers_loop")

print(f"misfit {value:.2e} → {found.fun:.2e} in {found.nit} iterations of L-BFGS")
check(f"gradient against central differences: relative difference {error:.1e} ≤ 1e-6", error <= 1e-6)
check(f"misfit {found.fun:.2e} ≤ {level:.2e}, half the variance of the noise", found.fun <= level)

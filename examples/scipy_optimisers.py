"""SciPy's optimisers with compiled derivatives: minimize, least_squares and root.

A gradient goes in as ``jac``, a Hessian-vector product as ``hessp``, a Jacobian as ``jac`` of residuals or equations.
Rosenbrock's function is minimised by methods of first and second order, a damped oscillation is fitted to noisy points,
and Bratu's equation u'' + e^u = 0 is solved as a system of equations; each is compared with what is known.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, GREEN, ORANGE, RED, check, save
from scipy.optimize import brentq, least_squares, minimize, root

import adcompile


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


gradient = adcompile.value_and_grad(rosenbrock)
product = adcompile.hvp(rosenbrock)
point = np.zeros(10)
histories, found = {}, {}
METHODS = {
    "BFGS": {"options": {"gtol": 1e-9}},
    "L-BFGS-B": {"options": {"ftol": 1e-15, "gtol": 1e-10}},
    "Newton-CG": {"hessp": product},
}
for method, more in METHODS.items():
    history = histories.setdefault(method, [rosenbrock(point)])
    found[method] = minimize(
        gradient, point, jac=True, method=method, callback=lambda x, h=history: h.append(rosenbrock(x)), **more
    )


def oscillation(p, t):
    return p[0] * np.exp(-p[1] * t) * np.cos(p[2] * t + p[3])


def residuals(p, t, y):
    return oscillation(p, t) - y


random = np.random.default_rng(0)
truth = np.array([2.0, 0.3, 4.0, 0.5])
t = np.linspace(0.0, 8.0, 200)
y = oscillation(truth, t) + 0.1 * random.normal(size=t.shape)
compiled, jacobian = adcompile.jit(residuals), adcompile.jacfwd(residuals)
fit = least_squares(compiled, [1.0, 0.1, 3.7, 0.0], jac=jacobian, args=(t, y))
deviation = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)) * 2.0 * fit.cost / (len(t) - len(truth)))

POINTS = 99
STEP = 1.0 / (POINTS + 1)


def bratu(u):
    """What is left of u'' + e^u = 0 with u = 0 at both ends, by central differences at the inner points."""
    around = np.concatenate((np.zeros(1), u, np.zeros(1)))
    return (around[2:] - 2.0 * u + around[:-2]) / STEP**2 + np.exp(u)


solution = root(adcompile.jit(bratu), np.zeros(POINTS), jac=adcompile.jacrev(bratu))
x = np.linspace(STEP, 1.0 - STEP, POINTS)
theta = brentq(lambda s: s - np.sqrt(2.0) * np.cosh(s / 4.0), 1.0, 2.0)
exact = -2.0 * np.log(np.cosh(theta * (x - 0.5) / 2.0) / np.cosh(theta / 4.0))

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4))
for (method, history), colour in zip(histories.items(), (ORANGE, GREEN, BLUE), strict=True):
    left.semilogy(
        np.maximum(history, 1e-30), color=colour, linewidth=2, label=f"{method}, {len(history) - 1} iterations"
    )
left.set(xlabel="iteration", ylabel="value", title="minimize: Rosenbrock in 10 variables")
left.legend()
middle.plot(t, y, ".", color=ORANGE, markersize=4, label="noisy points")
middle.plot(t, oscillation(truth, t), color=BLACK, linestyle="--", label="truth")
middle.plot(t, oscillation(fit.x, t), color=BLUE, linewidth=2, label="fit")
middle.set(xlabel="t", title="least_squares: a damped oscillation")
middle.legend()
right.plot(x, exact, color=BLACK, linestyle="--", linewidth=2, label="closed form")
right.plot(x, solution.x, color=RED, linewidth=1, label="root")
right.set(xlabel="x", title="root: Bratu's equation, 99 unknowns")
right.legend()
save(figure, "scipy_optimisers")

for method, result in found.items():
    off = np.max(np.abs(result.x - 1.0))
    check(f"{method}: the minimum is at (1, …, 1), to {off:.1e} ≤ 1e-5, with {result.nfev} gradients", off <= 1e-5)
off = np.max(np.abs(fit.x - truth) / deviation)
check(f"least_squares: the parameters are {off:.1f} ≤ 3 standard deviations from the truth", off <= 3.0)
step = 1e-6
columns = np.stack(
    [(residuals(fit.x + d, t, y) - residuals(fit.x - d, t, y)) / (2 * step) for d in step * np.eye(4)], 1
)
off = np.max(np.abs(fit.jac - columns))
check(f"least_squares: the Jacobian is that of differences, to {off:.1e} ≤ 1e-7", off <= 1e-7)
off, residual = np.max(np.abs(solution.x - exact)), np.max(np.abs(bratu(solution.x)))
check(f"root: residual {residual:.1e} ≤ 1e-8, closed form to {off:.1e} ≤ 1e-5", residual <= 1e-8 and off <= 1e-5)

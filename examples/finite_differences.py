"""Finite differences have a truncation error and a rounding error; automatic differentiation has neither.

The function is that of the lecture (F. Rousseau, Introduction to Deep Learning and Differentiable Physics),
y = [sin(x1/x2) + x1/x2 - exp(x2)] [x1/x2 - exp(x2)] at x1 = 1.5, x2 = 0.5. The error of dy/dx1 by a forward difference
falls like h (central: like h^2) until rounding, which grows like 1/h, takes over. The reference has 50 digits (SymPy).
"""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import sympy
from _common import BLUE, GREEN, ORANGE, check, save

import adcompile

X1, X2 = 1.5, 0.5
EPSILON = np.finfo(float).eps


def f(x1, x2):
    return (math.sin(x1 / x2) + x1 / x2 - math.exp(x2)) * (x1 / x2 - math.exp(x2))


def reference():
    """dy/dx1 to 50 digits."""
    x1, x2 = sympy.symbols("x1 x2")
    y = (sympy.sin(x1 / x2) + x1 / x2 - sympy.exp(x2)) * (x1 / x2 - sympy.exp(x2))
    return sympy.diff(y, x1).evalf(50, subs={x1: sympy.Rational(3, 2), x2: sympy.Rational(1, 2)})


def slope(h, error, low, high):
    """The exponent p of error = C h^p between two step lengths; the median of each half decade stands against noise."""
    edges = np.arange(math.log10(low), math.log10(high) + 0.01, 0.5)
    inside = [(np.log10(h) >= a) & (np.log10(h) < b) for a, b in pairwise(edges)]
    middles = [np.median(np.log10(h[k])) for k in inside]
    errors = [np.median(np.log10(error[k])) for k in inside]
    return np.polyfit(middles, errors, 1)[0]


exact = reference()


def relative_error(derivative):
    """Distance from the 50-digit value, relative to it."""
    return float(abs(sympy.Float(derivative, 50) - exact) / abs(exact))


steps = np.logspace(-15, 0, 301)
forward = np.array([relative_error((f(X1 + h, X2) - f(X1, X2)) / h) for h in steps])
central = np.array([relative_error((f(X1 + h, X2) - f(X1 - h, X2)) / (2 * h)) for h in steps])
forward, central = np.maximum(forward, EPSILON / 100), np.maximum(central, EPSILON / 100)

by_grad = adcompile.grad(f)(X1, X2)
_, by_jvp = adcompile.jvp(f, (X1, X2), (1.0, 0.0))
error_ad = max(relative_error(by_grad), relative_error(by_jvp))

print(f"reference             {exact}")
print(f"adcompile, reverse    {by_grad:.17g}")
print(f"adcompile, forward    {by_jvp:.17g}")
print(f"best forward difference: relative error {np.min(forward[steps > 1e-10]):.1e}")
print(f"best central difference: relative error {np.min(central[steps > 1e-10]):.1e}")

orders = {
    "forward difference, truncation": (slope(steps, forward, 1e-6, 1e-2), 1, 0.1),
    "central difference, truncation": (slope(steps, central, 1e-4, 1e-1), 2, 0.1),
    "forward difference, rounding": (slope(steps, forward, 1e-14, 1e-10), -1, 0.2),
    "central difference, rounding": (slope(steps, central, 1e-14, 1e-8), -1, 0.2),
}

figure, axes = plt.subplots(figsize=(7.5, 5))
axes.loglog(steps, forward, ".", color=ORANGE, markersize=4, label="forward difference")
axes.loglog(steps, central, ".", color=BLUE, markersize=4, label="central difference")
axes.axhline(max(error_ad, EPSILON / 100), color=GREEN, linewidth=2.5, label="adcompile")
axes.text(1e-4, 2e-3, "slope 1", color=ORANGE, rotation=32, ha="center", va="center")
axes.text(6e-2, 3e-6, "slope 2", color=BLUE, rotation=52, ha="center", va="center")
axes.text(1e-12, 1e-2, "slope −1\n(rounding)", ha="center")
axes.axhline(EPSILON, color="grey", linestyle=":", linewidth=1)
axes.text(1.0, EPSILON * 2, "machine epsilon", color="grey", fontsize=10, ha="right")
axes.set(xlabel="step length h", ylabel="relative error of ∂y/∂x₁", xlim=(7e-16, 1.5), ylim=(1e-18, 30))
axes.set_title("Differences must balance truncation against rounding; AD need not")
axes.legend(loc="upper center", ncols=3, columnspacing=1.2, handletextpad=0.4)
save(figure, "finite_differences")

for what, (found, expected, tolerance) in orders.items():
    check(f"{what}: slope {found:+.3f}, expected {expected:+d}", abs(found - expected) < tolerance)
check(f"automatic differentiation: relative error {error_ad:.1e} ≤ 1e-15", error_ad <= 1e-15)

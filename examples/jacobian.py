"""A Jacobian by columns (forward mode) and by rows (reverse mode), and which of the two to choose.

The lecture's rule (F. Rousseau, Introduction to Deep Learning and Differentiable Physics): one forward pass gives a
column of the Jacobian, one reverse pass gives a row. So a function with few inputs wants `jacfwd` and a function with
few outputs wants `jacrev`; a loss has one output, which is why networks are trained in reverse mode.
"""

import timeit

import matplotlib.pyplot as plt
import numpy as np
from _common import BLUE, FAST, ORANGE, check, save

import adcompile

# -- a function from R^3 to R^2 -----------------------------------------------------------------------------------


def f(x):
    return np.array([x[0] * x[1] + np.sin(x[2]), np.exp(x[0] - x[1]) * x[2]])


def jacobian_by_hand(x):
    e = np.exp(x[0] - x[1])
    return np.array([[x[1], x[0], np.cos(x[2])], [e * x[2], -e * x[2], e]])


x = np.array([0.5, -1.2, 2.0])
columns = [adcompile.jvp(f, (x,), (unit,))[1] for unit in np.eye(3)]
_, pullback = adcompile.vjp(f, x)
rows = [pullback(unit)[0] for unit in np.eye(2)]

print("J, three columns by jvp:")
print(np.column_stack(columns))
print("J, two rows by vjp:")
print(np.vstack(rows))

expected = jacobian_by_hand(x)
found = {
    "columns by jvp": np.column_stack(columns),
    "rows by vjp": np.vstack(rows),
    "jacfwd": adcompile.jacfwd(f)(x),
    "jacrev": adcompile.jacrev(f)(x),
}
for name, jacobian in found.items():
    error = np.max(np.abs(jacobian - expected))
    check(f"{name}: largest difference from the closed form {error:.1e} ≤ 1e-15", error <= 1e-15)

# -- the same number of entries, wide to tall ---------------------------------------------------------------------


def layer(x, a):
    return np.tanh(a @ x)


def microseconds(function, *args):
    """The best time of a call."""
    function(*args)
    return min(timeit.repeat(lambda: function(*args), number=1, repeat=5 if FAST else 20)) * 1e6


random = np.random.default_rng(0)
forward, reverse = adcompile.jacfwd(layer), adcompile.jacrev(layer)
shapes = [(1, 4096), (4, 1024), (16, 256), (64, 64), (256, 16), (1024, 4), (4096, 1)]
times = []
worst = 0.0
print("\n  outputs × inputs      jacfwd        jacrev")
for outputs, inputs in shapes:
    a, x = random.normal(size=(outputs, inputs)) / np.sqrt(inputs), random.normal(size=inputs)
    expected = (1 - np.tanh(a @ x) ** 2)[:, None] * a
    worst = max(worst, *(np.max(np.abs(jacobian(x, a) - expected)) for jacobian in (forward, reverse)))
    times.append((microseconds(forward, x, a), microseconds(reverse, x, a)))
    print(f"  {outputs:7d} × {inputs:<6d} {times[-1][0]:9.1f} µs  {times[-1][1]:9.1f} µs")
check(f"all shapes: largest difference from the closed form {worst:.1e} ≤ 1e-14", worst <= 1e-14)
check("wide (one output): jacrev is faster", times[0][1] < times[0][0])
check("tall (one input): jacfwd is faster", times[-1][0] < times[-1][1])

figure, axes = plt.subplots(figsize=(7.5, 4.6))
by_columns, by_rows = np.array(times).T
places = np.arange(len(shapes))
axes.semilogy(places, by_columns, "o-", color=ORANGE, linewidth=2, label="jacfwd: one pass for each input")
axes.semilogy(places, by_rows, "s-", color=BLUE, linewidth=2, label="jacrev: one pass for each output")
axes.set_xticks(places, [f"{outputs} × {inputs}" for outputs, inputs in shapes])
axes.set(xlabel="shape of the Jacobian: outputs × inputs (4,096 entries each)", ylabel="time of one Jacobian (µs)")
axes.set_title("Jacobian of tanh(A x): choose the mode by the shorter side")
axes.legend(loc="upper center")
save(figure, "jacobian")

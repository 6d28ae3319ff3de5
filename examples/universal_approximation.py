"""Universal approximation: one hidden layer comes as close to a curve as its width allows.

The theorem named in the lecture (F. Rousseau, Introduction to Deep Learning and Differentiable Physics; Cybenko, 1989):
f(x) = sum_j c_j tanh(a_j x + b_j) + d is dense in the continuous functions on an interval. Each width is fitted by
L-BFGS (SciPy), to which `value_and_grad` hands the loss and its gradient; all widths share one compilation, since sizes
are symbolic.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer widths and iterations.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, GREEN, ORANGE, RED, check, save
from scipy.optimize import minimize
from tqdm import tqdm

import adcompile

WIDTHS = [2, 4, 8, 16] if FAST else [2, 4, 8, 16, 32, 64]
ITERATIONS = 500 if FAST else 2000
STARTS = 1 if FAST else 3


def truth(x):
    return np.sin(6 * x) + 0.5 * np.sin(17 * x + 1)


def network(theta, x):
    width = (len(theta) - 1) // 3
    a, b, c, d = theta[:width], theta[width : 2 * width], theta[2 * width : 3 * width], theta[3 * width]
    return np.tanh(x[:, None] * a + b) @ c + d


@adcompile.value_and_grad
def loss(theta, x, y):
    return np.mean((network(theta, x) - y) ** 2)


def fit(width, x, y, seed):
    """What L-BFGS finds from one random start, with the centres of the tanh steps spread over the interval."""
    random = np.random.default_rng(seed)
    a = random.choice([-1.0, 1.0], size=width) * random.uniform(0.5, 1.5, size=width) * max(3.0, width / 8)
    centres = np.linspace(-2, 2, width + 2)[1:-1] + 0.3 * random.normal(size=width)
    start = np.concatenate([a, -a * centres, random.normal(size=width) / np.sqrt(width), [0.0]])
    options = {"maxiter": ITERATIONS, "maxfun": 10 * ITERATIONS, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-10}
    return minimize(loss, start, args=(x, y), jac=True, method="L-BFGS-B", options=options)


x = np.linspace(-2, 2, 401)
y = truth(x)
fits = {}
for width in tqdm(WIDTHS, desc="widths"):
    fits[width] = min((fit(width, x, y, seed) for seed in range(STARTS)), key=lambda found: found.fun)

between = np.linspace(-2, 2, 1000)
errors = {width: np.sqrt(np.mean((network(f.x, between) - truth(between)) ** 2)) for width, f in fits.items()}
for width, error in errors.items():
    print(f"width {width:3d}: {fits[width].nit:5d} iterations, root mean square error between the points {error:.2e}")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
left.plot(x, y, color=BLACK, linewidth=4, alpha=0.35, label="truth")
for width, colour, style in zip(WIDTHS[1:], (ORANGE, GREEN, RED), ("--", "-.", ":"), strict=False):
    left.plot(between, network(fits[width].x, between), style, color=colour, linewidth=2, label=f"width {width}")
left.set(xlabel="x", ylabel="y", ylim=(-1.7, 2.1), title="Fits by narrow networks")
left.legend(loc="upper center", ncols=4, columnspacing=1.2, handlelength=1.8)
right.loglog(list(errors), list(errors.values()), "o-", color=BLUE, linewidth=2)
right.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
right.minorticks_off()
right.set(xlabel="width of the hidden layer", ylabel="root mean square error", title="Error against width")
save(figure, "universal_approximation")

falling = list(errors.values())
check("the error falls with every width", all(b < a for a, b in pairwise(falling)))
limit = 0.3 if FAST else 5e-3
check(f"widest network: error {falling[-1]:.1e} ≤ {limit:.0e}", falling[-1] <= limit)

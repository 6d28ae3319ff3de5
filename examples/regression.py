"""Regression: a small network learns a curve from noisy points by stochastic gradient descent.

The regression part of the lecture (F. Rousseau, Introduction to Deep Learning and Differentiable Physics):
min over theta of the mean of (f(x_i; theta) - y_i)^2, by theta <- theta - rate dJ/dtheta on small batches. The gradient
is compiled once for all batches. A good fit has a test error close to the variance of the noise;
no model can beat it.

Run with ``--quick`` (or ADCOMPILE_EXAMPLE_FAST=1) for fewer epochs and a looser check.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from _common import BLACK, BLUE, FAST, GREEN, ORANGE, check, save
from tqdm import trange

import adcompile

NOISE = 0.15
EPOCHS = 150 if FAST else 600
BATCH = 32


def truth(x):
    return np.sin(3 * x) + 0.3 * x


def network(parameters, x):
    w1, b1, w2, b2, w3, b3 = parameters
    h = np.tanh(x @ w1 + b1)
    h = np.tanh(h @ w2 + b2)
    return h @ w3 + b3


@adcompile.value_and_grad
def loss(parameters, x, y):
    return np.mean((network(parameters, x) - y) ** 2)


random = np.random.default_rng(0)
x = random.uniform(-2, 2, size=(1024, 1))
y = truth(x) + NOISE * random.normal(size=x.shape)
x_test = random.uniform(-2, 2, size=(2000, 1))
y_test = truth(x_test) + NOISE * random.normal(size=x_test.shape)

sizes = [1, 32, 32, 1]
parameters = []
for inputs, outputs in pairwise(sizes):
    parameters += [random.normal(size=(inputs, outputs)) / np.sqrt(inputs), np.zeros(outputs)]

train_error, test_error = [], []
progress = trange(EPOCHS, desc="epochs", mininterval=0.5)
for epoch in progress:
    rate = 0.1 * (1 - epoch / EPOCHS) + 0.001
    order = random.permutation(len(x))
    errors = []
    for start in range(0, len(x), BATCH):
        batch = order[start : start + BATCH]
        error, gradient = loss(tuple(parameters), x[batch], y[batch])
        parameters = [p - rate * g for p, g in zip(parameters, gradient, strict=True)]
        errors.append(error)
    train_error.append(np.mean(errors))
    test_error.append(np.mean((network(parameters, x_test) - y_test) ** 2))
    if epoch % 10 == 0:
        progress.set_postfix(loss=f"{train_error[-1]:.4f}", test=f"{test_error[-1]:.4f}", refresh=False)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
grid = np.linspace(-2, 2, 400)[:, None]
left.plot(x, y, ".", color=ORANGE, markersize=4, alpha=0.6, label="1,024 noisy points")
left.plot(grid, truth(grid), color=BLACK, linewidth=1.5, linestyle="--", label="truth: sin 3x + 0.3 x")
left.plot(grid, network(parameters, grid), color=BLUE, linewidth=2.5, label="network 1–32–32–1, tanh")
left.set(xlabel="x", ylabel="y", ylim=(-1.9, 2.6), title="Data and fit")
left.legend(loc="upper left")
right.semilogy(train_error, color=ORANGE, linewidth=0.8, label="training")
right.semilogy(test_error, color=BLUE, linewidth=1, label="test (2,000 new points)")
right.axhline(NOISE**2, color=GREEN, linestyle=":", linewidth=2.5, label=f"variance of the noise {NOISE**2:.4f}")
right.set(xlabel="epoch", ylabel="mean squared error", title="Stochastic gradient descent, batches of 32")
right.set_yticks([0.02, 0.05, 0.1, 0.2, 0.4], ["0.02", "0.05", "0.1", "0.2", "0.4"])
right.minorticks_off()
right.legend()
save(figure, "regression")

allowed = 1.5 if FAST else 1.1
ratio = test_error[-1] / NOISE**2
check(f"test error {test_error[-1]:.5f} = {ratio:.3f} × variance of the noise, at most {allowed}", ratio < allowed)

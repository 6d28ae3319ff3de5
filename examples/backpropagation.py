"""Back-propagation written by hand, and the adjoint that adcompile generates: the same numbers, the same steps.

The two-layer sigmoid network of the lecture (F. Rousseau, Introduction to Deep Learning and Differentiable Physics):

    in_j = sum_i w_ij x_i, h_j = s(in_j)        in_k = sum_j w_jk h_j, f_k = s(in_k)
    Loss = 1/2 sum_k (f_k - y_k)^2
    delta_k = [s(in_k) - y_k] s'(in_k)          dLoss/dw_jk = delta_k h_j
    delta_j = [sum_k delta_k w_jk] s'(in_j)     dLoss/dw_ij = delta_j x_i
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import check, save

import adcompile


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def loss(w_ij, w_jk, x, y):
    in_j = x @ w_ij
    h = sigmoid(in_j)
    in_k = h @ w_jk
    f = sigmoid(in_k)
    return 0.5 * np.sum((f - y) ** 2)


def back_propagate(w_ij, w_jk, x, y):
    """The deltas and gradients by the formulas of the lecture."""
    in_j = x @ w_ij
    h = sigmoid(in_j)
    in_k = h @ w_jk
    slope_j, slope_k = sigmoid(in_j) * (1 - sigmoid(in_j)), sigmoid(in_k) * (1 - sigmoid(in_k))
    delta_k = (sigmoid(in_k) - y) * slope_k
    delta_j = (w_jk @ delta_k) * slope_j
    return delta_j, delta_k, np.outer(x, delta_j), np.outer(h, delta_k)


random = np.random.default_rng(1)
w_ij, w_jk = random.normal(size=(4, 3)), random.normal(size=(3, 2))
x, y = np.array([0.9, -0.4, 0.7, 0.2]), np.array([1.0, 0.0])

delta_j, delta_k, by_hand_ij, by_hand_jk = back_propagate(w_ij, w_jk, x, y)
gradient = adcompile.grad(loss, argnums=(0, 1))
generated_ij, generated_jk = gradient(w_ij, w_jk, x, y)

print("weight               by hand            adcompile")
for name, by_hand, generated in (("w_ij", by_hand_ij, generated_ij), ("w_jk", by_hand_jk, generated_jk)):
    for place in np.ndindex(by_hand.shape):
        index = f"{name}[{place[0] + 1},{place[1] + 1}]"
        print(f"{index}  {by_hand[place]:20.16f} {generated[place]:20.16f}")

print("\nThe generated adjoint: in_k_bar is the delta_k of the lecture, in_j_bar its delta_j.\n")
print(gradient.source(w_ij, w_jk, x, y))


def draw():
    """The network with its activations and deltas; edges in the colour of their gradient."""
    h = sigmoid(x @ w_ij)
    f = sigmoid(h @ w_jk)
    columns = [
        (0.0, [f"x{i + 1} = {a:.2f}" for i, a in enumerate(x)]),
        (1.0, [f"h{j + 1} = {a:.2f}\nδ = {d:+.3f}" for j, (a, d) in enumerate(zip(h, delta_j, strict=True))]),
        (2.0, [f"f{k + 1} = {a:.2f}\nδ = {d:+.3f}" for k, (a, d) in enumerate(zip(f, delta_k, strict=True))]),
    ]
    heights = [np.linspace(1, -1, len(nodes)) * (1.2 if len(nodes) == 4 else 0.8) for _, nodes in columns]
    figure, axes = plt.subplots(figsize=(8, 5))
    largest = max(np.max(np.abs(generated_ij)), np.max(np.abs(generated_jk)))
    colour = plt.cm.ScalarMappable(plt.Normalize(-largest, largest), "PuOr")
    for layer, weights in enumerate((generated_ij, generated_jk)):
        for (a, b), value in np.ndenumerate(weights):
            ends = [columns[layer][0], columns[layer + 1][0]], [heights[layer][a], heights[layer + 1][b]]
            width = 1 + 6 * abs(value) / largest
            axes.plot(*ends, color="0.85", linewidth=width + 1, zorder=1, solid_capstyle="butt")
            axes.plot(*ends, color=colour.to_rgba(value), linewidth=width, zorder=2, solid_capstyle="butt")
    for (place, nodes), rows in zip(columns, heights, strict=True):
        for text, height in zip(nodes, rows, strict=True):
            box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "black"}
            axes.text(place, height, text.replace("-", "−"), ha="center", va="center", bbox=box, zorder=3)
    for place, text in ((0, "inputs"), (1, "hidden units"), (2, "outputs")):
        axes.text(place, 1.6, text, ha="center", fontweight="bold")
    axes.set(xlim=(-0.35, 2.35), ylim=(-1.5, 1.8), title="Back-propagation: δ of each unit, gradient of each weight")
    axes.axis("off")
    figure.colorbar(colour, ax=axes, label="∂Loss/∂w = δ × activation", shrink=0.8)
    save(figure, "backpropagation")


draw()
difference = max(np.max(np.abs(generated_ij - by_hand_ij)), np.max(np.abs(generated_jk - by_hand_jk)))
check(f"largest difference of the 18 gradients {difference:.1e} ≤ 1e-16", difference <= 1e-16)

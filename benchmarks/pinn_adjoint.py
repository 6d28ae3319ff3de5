"""The gradient of the Burgers residual by hand: four channels per layer (u, u_x, u_t, u_xx), in tiles of rows.

With s = tanh z and d = 1 - s², a layer maps the channels z, z_x, z_t, z_xx of its product to s, d z_x, d z_t and
d z_xx - 2 s d z_x²; the adjoint of each is written out below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = 64


def value_and_gradient(params: Any, x: np.ndarray, t: np.ndarray, viscosity: float) -> tuple[Any, Any]:
    """The mean squared residual and its cotangents, tile by tile."""
    bars = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    total = x.dtype.type(0)
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        total += tile(params, bars, x[part], t[part], viscosity, len(x))
    return total / len(x), bars


def tile(params: Any, bars: Any, x: np.ndarray, t: np.ndarray, viscosity: float, points: int) -> Any:
    """The sum of squares of some rows; their share is added to the cotangents."""
    rows, dtype = len(x), x.dtype
    channels = np.zeros((4, rows, 2), dtype)
    channels[0, :, 0], channels[0, :, 1], channels[1, :, 0], channels[2, :, 1] = x, t, 1, 1
    kept = []
    for w, b in params[:-1]:
        z = (channels.reshape(4 * rows, -1) @ w).reshape(4, rows, -1)
        s = np.tanh(z[0] + b)
        d = 1 - s * s
        inputs, channels = channels, np.empty_like(z)
        channels[0] = s
        np.multiply(d, z[1:], out=channels[1:])
        channels[3] -= 2 * s * d * z[1] ** 2
        kept.append((inputs, z, s, d))
    w, b = params[-1]
    u, u_x, u_t, u_xx = (channels.reshape(4 * rows, -1) @ w).reshape(4, rows)
    u = u + b
    residual = u_t + u * u_x - dtype.type(viscosity) * u_xx
    bar = residual * dtype.type(2 / points)
    out_bar = np.stack([bar * u_x, bar * u, bar, -dtype.type(viscosity) * bar]).reshape(4 * rows, 1)
    bars[-1][0][...] += channels.reshape(4 * rows, -1).T @ out_bar
    bars[-1][1][...] += np.sum(bar * u_x)
    channels_bar = (out_bar @ w.T).reshape(4, rows, -1)
    for (w, _), (w_bar, b_bar), saved in zip(params[-2::-1], bars[-2::-1], kept[::-1], strict=True):
        inputs, *layer = saved
        z_bar = activation_adjoint(channels_bar, *layer)
        w_bar += inputs.reshape(4 * rows, -1).T @ z_bar.reshape(4 * rows, -1)
        b_bar += z_bar[0].sum(axis=0)
        channels_bar = (z_bar.reshape(4 * rows, -1) @ w.T).reshape(4, rows, -1)
    return residual @ residual


def activation_adjoint(bar: np.ndarray, z: np.ndarray, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The cotangents of z, z_x, z_t, z_xx from those of what the activation makes of them."""
    z_bar = d * bar
    z_bar[1] -= 4 * s * d * z[1] * bar[3]
    d_bar = bar[1] * z[1] + bar[2] * z[2] + bar[3] * (z[3] - 2 * s * z[1] ** 2)
    z_bar[0] += d * (-2 * s * d_bar - 2 * d * z[1] ** 2 * bar[3])
    return z_bar

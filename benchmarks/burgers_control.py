"""The scheme of ``examples/burgers_control.py`` in JAX: ``python -m benchmarks.burgers_control`` prints ten losses.

Written independently of the example, which checks its own losses against these to 1e-10.
"""

from __future__ import annotations

import numpy as np


def losses(count: int) -> list[float]:
    """The first losses of the gradient descent from zero."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    n, dt, viscosity = 128, 1 / 32, 0.01 / (128 * np.pi)
    dx = 2 / n
    centres = jnp.linspace(-1, 1, n, endpoint=False) + dx / 2

    def interpolate(values, at):
        """Linear interpolation between cell centres, periodic; ``at`` in cells."""
        below = jnp.floor(at)
        share = at - below
        first = jnp.mod(below.astype(jnp.int32), n)
        return values[first] * (1 - share) + values[jnp.mod(first + 1, n)] * share

    def step(u, _):
        u = u + viscosity * dt / dx**2 * (jnp.roll(u, -1) + jnp.roll(u, 1) - 2 * u)
        return interpolate(u, jnp.arange(n) - dt / dx * u), None

    def after_half(u):
        return lax.scan(step, u, None, length=16)[0]

    reference = after_half(-jnp.sin(jnp.pi * centres))
    misfit = jax.jit(jax.value_and_grad(lambda u: 2 / n * 0.5 * jnp.sum((after_half(u) - reference) ** 2)))
    u, found = jnp.zeros(n), []
    for _ in range(count):
        loss, gradient = misfit(u)
        found.append(float(loss))
        u = u - 5 * gradient
    return found


if __name__ == "__main__":
    print(*(repr(loss) for loss in losses(10)), sep=",\n")

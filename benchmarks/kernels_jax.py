"""The kernels of `benchmarks.kernels` as a JAX user writes them: whole arrays, ``.at[].set``, ``lax`` loops.

Loops have a known number of iterations, so that reverse mode works; recurrences along a row are inner scans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def _repeat(step: Callable[[Any], Any], state: Any, steps: int) -> Any:
    return lax.scan(lambda carried, _: (step(carried), None), state, None, length=steps)[0]


def jacobi_1d(u0, steps):
    def smooth(u):
        return u.at[1:-1].set((u[:-2] + u[1:-1] + u[2:]) / 3.0)

    return jnp.sum(_repeat(lambda u: smooth(smooth(u)), u0, steps) ** 2)


def jacobi(u0, steps):
    def step(u):
        return u.at[1:-1, 1:-1].set(0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]))

    return jnp.sum(_repeat(step, u0, steps) ** 2)


def heat(u0, a, steps):
    def step(u):
        inner = u[1:-1, 1:-1, 1:-1]
        around = u[:-2, 1:-1, 1:-1] + u[2:, 1:-1, 1:-1] + u[1:-1, :-2, 1:-1] + u[1:-1, 2:, 1:-1]
        around = around + u[1:-1, 1:-1, :-2] + u[1:-1, 1:-1, 2:]
        return u.at[1:-1, 1:-1, 1:-1].set(inner + a * (around - 6.0 * inner))

    return jnp.sum(_repeat(step, u0, steps) ** 2)


def gauss_seidel(u0, f, steps):
    def row(above, given):
        old, below, source = given
        right = 0.25 * (above[1:-1] + below[1:-1] + old[2:] - source[1:-1])

        def cell(left, r):
            value = r + 0.25 * left
            return value, value

        inner = lax.scan(cell, old[0], right)[1]
        new = old.at[1:-1].set(inner)
        return new, new

    def step(u):
        return u.at[1:-1].set(lax.scan(row, u[0], (u[1:-1], u[2:], f[1:-1]))[1])

    return jnp.sum(_repeat(step, u0, steps) ** 2)


def fdtd(ex0, ey0, hz0, steps):
    def step(fields, t):
        ex, ey, hz = fields
        ey = ey.at[0, :].set(jnp.sin(0.1 * t))
        ey = ey.at[1:, :].add(-0.5 * (hz[1:, :] - hz[:-1, :]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        hz = hz.at[:-1, :-1].add(-0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]))
        return (ex, ey, hz), None

    (_, _, hz), _ = lax.scan(step, (ex0, ey0, hz0), jnp.arange(steps))
    return jnp.sum(hz**2)


def adi(u0, a, b, steps):
    """Both sweeps solve tridiagonal systems along one axis, for all lines of the other at once."""

    def sweep(u):
        explicit = (1.0 + 2.0 * a) * u[1:-1, 1:-1] - a * (u[1:-1, :-2] + u[1:-1, 2:])

        def forward(before, line):
            p, q = before
            pivot = b + a * p
            after = (-a / pivot, (line - a * q) / pivot)
            return after, after

        ones = jnp.ones(u.shape[0] - 2)
        _, (p, q) = lax.scan(forward, (0.0 * ones, ones), explicit)

        def backward(later, factors):
            value = factors[0] * later + factors[1]
            return value, value

        return lax.scan(backward, ones, (p, q), reverse=True)[1]

    def step(u):
        v = jnp.zeros_like(u).at[0, 1:-1].set(1.0).at[-1, 1:-1].set(1.0).at[1:-1, 1:-1].set(sweep(u))
        u = u.at[1:-1, 0].set(1.0).at[1:-1, -1].set(1.0)
        return u.at[1:-1, 1:-1].set(sweep(v.T).T)

    return jnp.sum(_repeat(step, u0, steps) ** 2)


def gemm_chain(a, b, c, d):
    return jnp.sum(((a @ b) @ (c @ d)) ** 2)


def atax(a, x):
    return jnp.sum((a.T @ (a @ x)) ** 2)


def covariance(data):
    centred = data - jnp.mean(data, axis=0)
    return jnp.sum((centred.T @ centred / (data.shape[0] - 1)) ** 2)


def lu(a0):
    n = a0.shape[0]
    places = jnp.arange(n)

    def step(a, k):
        below = places > k
        factors = jnp.where(below, a[:, k] / a[k, k], 0.0)
        a = a - jnp.outer(factors, jnp.where(below, a[k], 0.0))
        return a.at[:, k].set(jnp.where(below, factors, a[:, k])), None

    a, _ = lax.scan(step, a0, places)
    return jnp.sum(jnp.log(jnp.abs(jnp.diag(a))))


def bodies(x0, v0, mass, dt, steps):
    def step(state):
        x, v = state
        apart = x[None, :, :] - x[:, None, :]
        r2 = jnp.sum(apart**2, axis=2) + 0.01
        v = v + dt * jnp.einsum("ij,ijk->ik", mass / (r2 * jnp.sqrt(r2)), apart)
        return x + dt * v, v

    return jnp.sum(_repeat(step, (x0, v0), steps)[0] ** 2)


def newton(a):
    def root(c):
        return lax.while_loop(lambda x: jnp.abs(x * x - c) > 1e-12, lambda x: 0.5 * (x + c / x), c)

    return jnp.sum(jax.vmap(root)(a) ** 3)


FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "jacobi-1d": (jacobi_1d, 1), "jacobi": (jacobi, 1), "heat": (heat, 2), "gauss-seidel": (gauss_seidel, 2),
    "fdtd": (fdtd, 3), "adi": (adi, 3), "gemm": (gemm_chain, 4), "atax": (atax, 2), "covariance": (covariance, 1),
    "lu": (lu, 1), "n-body": (bodies, 4), "newton": (newton, 1),
}  # fmt: skip
"""Each kernel, and how many of its arguments are traced; the others are known when JAX compiles."""


def bound(name: str, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A kernel of its traced arguments, and these on JAX's device."""
    function, count = FUNCTIONS[name]
    known = args[count:]
    return lambda *traced: function(*traced, *known), tuple(map(jnp.asarray, args[:count]))

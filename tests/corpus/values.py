"""Programs without loops that return one float: scalars, shapes, dtypes, containers, functions, inner transforms."""

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

import adcompile
from tests.corpus.program import add, scalar

COEFFICIENTS = np.cos(np.arange(60.0)) + 0.2


def points(*shapes, low=0.4, high=1.4, extra=()):
    """Numbers and arrays away from zero, then inactive values."""
    return lambda r: (*(r.uniform(low, high) if s == () else r.uniform(low, high, size=s) for s in shapes), *extra)


def weigh(*arrays):
    """A number that tells every element of the arrays from every other."""
    total = 0.0
    for a in arrays:
        flat = np.ravel(a)
        total += np.sum(flat * COEFFICIENTS[: flat.size]) + 0.2 * np.sum(np.sin(flat))
    return total


@scalar(points((), ()), (0, 1), "numba")
def scalar_mix(x, y):
    z = x**y - y ** (-x) + divmod(x * 7.3, 1.0)[1] * y
    z *= round(3.7) + int(y) + bool(z)
    return abs(-z) / (1 + x) + pow(x, 3) - min(x, 5.0, y + 9) * max(0, y)


@scalar(points((), ()), (0, 1))
def powers_with_zero(x, y):
    zero = x - x
    return zero**2 + (y + zero) ** 0 + 0.0**y + x * zero**1 + (zero + x) ** y


@scalar(points((), 3), (0, 1))
def zero_rank_arrays(x, y):
    s = np.array(x * 2.0)
    t = np.sum(y, keepdims=True)
    return weigh(s * y, t + s, np.expand_dims(s, 0) * t) + float(s) * t.item() + s.item() ** 2


@scalar(points((3, 1), (2, 1, 4), (1,)), (0, 1, 2))
def broadcast_of_ones(a, b, c):
    d = a * b + c
    return weigh(np.sum(d * a, axis=(0, 2)), np.mean(d, axis=1, keepdims=True) * b, np.broadcast_to(c, (3, 4)) / d[0])


@scalar(points((2, 3), extra=(3, True, np.array([1, 2, 3]), np.array([True, False]))))
def inactive_mix(a, n, flag, k, mask):
    b = a * k / n + (a.T * mask).T * (flag + 1)
    return weigh(b // 0.25 * a, b * (k % 2 == 1), k.astype(np.float32) * a, a ** (k - 1), a * ~mask[:, None])


class Body(NamedTuple):
    place: Any
    mass: float


@dataclass(frozen=True)
class System:
    bodies: list
    constants: dict
    label: str = "s"

    def energy(self):
        a, b = self.bodies
        gap = a.place - b.place
        return self.constants["g"] * a.mass * b.mass / np.sqrt(gap @ gap + 0.1) + self.constants["k"][0] @ gap


@scalar(
    lambda r: (
        System(
            [Body(r.normal(size=3), 1.2), Body(r.normal(size=3), 0.7)], {"g": 1.1, "k": (r.normal(size=3), r.normal())}
        ),
    )
)
def dataclass_of_everything(system):
    moved = Body(system.bodies[0].place * 2.0, system.bodies[1].mass)
    return system.energy() + System([moved, system.bodies[0]], {**system.constants}).energy() * system.constants["k"][1]


@scalar(lambda r: ({"w": [r.normal(size=(2, 2)), r.normal(size=2)], "s": (r.normal(), {"t": r.normal()})}, 2))
def nested_dict(params, n):
    (w, b), (s, inner) = params["w"], params["s"]
    out = {"a": np.tanh(w @ b * s * n), "b": [inner["t"], inner["t"]]}
    out["c"] = out["a"] * out["b"][1]
    return weigh(*(out[key] for key in out if key != "b")) + sum(out["b"])


@scalar(lambda r: ([(0.5 * r.normal(size=(3, 3)), r.normal(size=3)) for _ in range(3)], r.normal(size=(4, 3))), (0, 1))
def residual_network(layers, x):
    skips = []
    for depth, (w, b) in enumerate(layers):
        skips = [*skips, x]
        x = x + np.tanh(x @ w + b) / (depth + 1)
        x = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-3)
    return np.mean((x - skips[-1]) ** 2) + np.mean(x * skips[0])


@scalar(points((3, 4)))
def keyword_reductions(a):
    return weigh(
        np.sum(a, axis=-1), a.sum(axis=(0, 1), keepdims=True), np.var(a, axis=0, ddof=1), np.std(a), np.prod(a, axis=1),
        a.cumsum(), np.cumprod(a, axis=0), np.max(a, axis=0), a.min(axis=1, keepdims=True) * a, np.ptp(a, axis=1),
        np.average(a, axis=0, weights=a * a), np.trapezoid(a, dx=0.5), np.linalg.norm(a, axis=1), np.sort(a, axis=0),
    )  # fmt: skip


@scalar(points(7, 3, (4, 5), ()), (0, 1, 2, 3))
def numerical_calculus(u, w, a, s):
    return weigh(
        np.gradient(u, s), np.gradient(u, np.cumsum(1.0 + u * u), edge_order=2), *np.gradient(a, 0.5, s, edge_order=2),
        np.convolve(u, w), np.convolve(w, u, "same"), np.convolve(u, w, "valid"), np.correlate(u, w, "full"),
        np.correlate(w, u), np.polyval(w, u), np.polyval(u, s), np.kron(w, a), np.median(a, axis=1), np.median(u),
        np.quantile(a, 0.3, axis=0), np.percentile(u, 20.0), np.cov(a), np.cov(u, u * u),
        np.select([u > 0.5, u > -0.5], [u * u, u * s], s),
    )  # fmt: skip


@scalar(points((3, 4), (4, 2), (2, 3, 4)), (0, 1, 2))
def products_of_all_kinds(a, b, c):
    return weigh(
        a @ b, c @ b, np.einsum("ij,jk,kij->i", a, b, c), np.einsum("kij,kij->ij", c, c), np.tensordot(c, a, 2),
        np.tensordot(a, b, axes=((1,), (0,))), np.outer(a[0], b[:, 0]), np.dot(a[1], b), np.inner(a, c[0]),
        np.cross(a[:, :3], b[:3, 0]), np.trace(a @ a.T), np.einsum("ij,ij", a @ a.T, a @ a.T), np.matmul(a[0], b),
        np.vdot(a, c[1]),
    )  # fmt: skip


@scalar(points((3, 4), 4, ()), (0, 1, 2))
def joined_and_moved(a, v, s):
    return weigh(
        np.concatenate([a, v[None], a[:1] * s]), np.stack((v, a[0], v * s), axis=-1), np.roll(a, (1, -2), axis=(0, 1)),
        np.pad(a, ((1, 0), (0, 2)), constant_values=2.0), np.vstack([v, a]), np.hstack([v, a[:, 0]]),
        np.tile(v, (2, 2)), np.repeat(a, 2, axis=1), np.flip(a), np.diff(a, axis=0), np.tril(a), np.diag(v),
        np.append(v, s), np.triu(a, 1), np.array([v, a[1]]), np.array([s, v[1], 3.0]), np.column_stack((v, v * s)),
        np.diff(v, n=2),
    )  # fmt: skip


@scalar(points((4, 5), extra=(2, np.array([0, 3, 3, -1]))), 0)
def reads_of_all_kinds(a, i, k):
    return weigh(
        a[i], a[-i, ::2], a[i:, i], a[::-1, 3:0:-1], a[k], a[k, k], a[:, k][k], a[k, i], a[k[:, None], k[None, :2]],
        a[..., None, 1], a[a > 0.9], a[[True, False, False, True]], np.take(a, k, axis=1), a[1:1], a[i - 4 :: 2, k],
        np.where(a > 0.8)[0] * 1.0 * i, a[k > 0, :], a[np.argmax(a[:, 0])], a.flatten()[7:2:-2], a.T[k],
    )  # fmt: skip


@scalar(lambda r: (np.array([-1.0, -0.3, 0.6, 2.0]), np.array([0.3, 0.5, 0.0, 1.0])), 0)
def where_with_nan_untaken(x, y):
    a = np.where(x > 0, np.sqrt(x) * np.log(x), x * x)
    b = np.where(x > 0.0, y / x, np.where(x < 0, x**3, x * y))
    return np.sum(a * b) + np.sum(np.where(y > 0, x * np.log(y), np.array([1.0, 2.0, 3.0, 4.0])))


@scalar(points(5))
def branchless_choices(x):
    return weigh(
        np.clip(x, 0.55, 1.2), np.maximum(x, 0.77 * x[::-1]), np.minimum(x, 0.9), np.abs(x - 0.91),
        np.sign(x - 0.9) * x, np.where(x > np.mean(x), x, -x), np.fmod(x, 0.37), x % 0.53, np.floor(3 * x) * x,
        np.nan_to_num(x), x.clip(0.7),
    )  # fmt: skip


@scalar(lambda r: (r.uniform(0.5, 1.5, (3, 2)).astype(np.float32), np.float32(0.7)), (0, 1), "float32")
def float32_chain(a, s):
    b = np.exp(-a * s) + np.float32(0.5) * a**2 / (1 + a)
    return np.sum(b @ b.T, dtype=np.float32) * s + np.mean(b)


@scalar(lambda r: (r.uniform(0.5, 1.5, 4).astype(np.float32), r.uniform(0.5, 1.5, 4)), (0, 1), "float32")
def float32_meets_float64(a, b):
    c = a * b + np.float32(2) * a
    return np.sum(c.astype(np.float32) * a) + np.sum(c * b)


def scaled(x, scale=2.0, *extra, power=2, **names):
    return scale * x**power + sum(extra) + sum(v * len(k) for k, v in names.items())


@scalar(points((), ()), (0, 1))
def arguments_of_all_kinds(x, y):
    return scaled(x) + scaled(x, y, y, x, power=3) + scaled(y, bb=x * y, a=y) + scaled(*(x, y), power=1)


@scalar(points((), 3), (0, 1))
def keyword_defaults(x, v, scale=1.5, kind="sin"):
    table = {"sin": np.sin, "exp": np.exp}
    return weigh(table[kind](v * x) * scale)


def chain(*functions):
    return lambda x: functions[-1](chain(*functions[:-1])(x)) if functions else x


add(
    "composed_closures",
    chain(np.sin, lambda v: v * COEFFICIENTS[:4], functools.partial(scaled, power=3), np.sum),
    points(4),
    argnums=0,
)


@numba.njit
def rational(x, p, q):
    num, den = 0.0, 1.0
    for i in range(p.shape[0]):
        num = num * x + p[i]
        den = den * x + q[i] ** 2
    return num / den


@scalar(points((), 3, 3), (0, 1, 2), "numba")
def njit_rational(x, p, q):
    return rational(x, p, q) + rational(rational(x, q, p), p, q)


@scalar(points((), (), ()), (0, 1, 2), "numba")
def conditional_chain(x, y, z):
    a = x * y if x > 100.0 else (y * z if y < 50.0 and z > 0.0 else z)
    b = math.sqrt(a) if a >= 0.0 else math.sqrt(-a)
    return (b or 1.0) * (x and y) + (z if not (a > b or a < b) else x)


@scalar(points((), 3), (0, 1), "transforms")
def gradient_step_inside(s, x):
    loss = lambda v: np.sum(np.sin(v * s) * v[0])
    for _ in range(3):
        x = x - 0.1 * adcompile.grad(loss)(x)
    return loss(x)


@scalar(points((), ()), (0, 1), "transforms")
def third_derivative_inside(x, y):
    f = lambda v: np.exp(v * y) * np.sin(v)
    third = adcompile.grad(adcompile.grad(adcompile.grad(f)))
    return third(x) + adcompile.jvp(f, (x,), (y,))[1]


@scalar(points(3), 0, "transforms")
def hessian_and_pullback_inside(x):
    f = lambda v: np.tanh(v) * v[::-1] * v[1]
    out, pull = adcompile.vjp(f, x)
    h = adcompile.hessian(lambda v: np.sum(f(v)))(x)
    return np.sum(pull(out)[0] * x) + x @ h @ out

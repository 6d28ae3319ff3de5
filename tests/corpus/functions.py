"""Containers as arguments and results, functions in functions, transforms inside."""

import functools
import math
import operator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

import adcompile
from tests.corpus.program import add, normals, program, vector

# -- containers -------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    w: Any
    b: Any


@dataclass
class Model:
    first: Layer
    scale: float
    name: str = "model"

    def apply(self, x):
        return np.tanh(x @ self.first.w + self.first.b) * self.scale


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any

    @property
    def norm(self):
        return self.x * self.x + self.y * self.y

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)


@program(lambda r: (Layer(r.normal(size=(2, 3)), r.normal(size=3)), r.normal(size=(4, 2))))
def namedtuple_argument(layer, x):
    return Layer(layer.w * 2, x @ layer.w + layer[1])


@program(lambda r: (Model(Layer(r.normal(size=(2, 3)), r.normal(size=3)), r.normal()), r.normal(size=(4, 2))))
def dataclass_argument(model, x):
    return np.sum(model.apply(x) ** 2)


@program(lambda r: ({"a": r.normal(), "b": (r.normal(size=3), 2)}, [r.normal(), r.normal(size=2)]))
def nested_containers(d, pair):
    s, v = pair
    a, n = d["b"]
    return {"u": a * s * n, "w": [d["a"] * v, d.get("a") + s]}


@program(normals((), ()))
def dataclass_made_inside(x, y):
    p = Point(x, y)
    return p, p.norm


@program(
    lambda r: (
        [(r.normal(size=(2, 4)), r.normal(size=4)), (r.normal(size=(4, 1)), r.normal(size=1))],
        r.normal(size=(3, 2)),
    )
)
def layers(params, x):
    for w, b in params[:-1]:
        x = np.tanh(x @ w + b)
    w, b = params[-1]
    return np.mean((x @ w + b) ** 2)


@program(lambda r: ({"u": r.normal(), "v": r.normal(), "w": None},))
def dictionary_loop(d):
    total = 0.0
    for key, value in d.items():
        if value is not None:
            total = total + value * len(key) * 2.0
    return total + sum(v**2 for v in d.values() if v is not None)


@program(normals((), (), ()))
def star_arguments(*xs):
    first, *rest = xs
    return first * sum(rest) + operator.mul(*rest)


# -- functions in functions -------------------------------------------------------------------------------------

FACTOR = 1.5
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def helper(x, scale=2.0, *, power=2):
    return scale * x**power + FACTOR


@numba.njit
def compiled_helper(x, y):
    s = 0.0
    for i in range(x.shape[0]):
        s += x[i] * y
    return s


@program(normals(()))
def default_and_keyword(x, y=3.0):
    return helper(x) + helper(x, 3.0) + helper(scale=x, x=y, power=3) + helper(x, power=1)


@program(vector())
def global_array(x):
    return np.sum(x * WEIGHTS) * FACTOR


@program(vector())
def njit_helper(x):
    return compiled_helper(x, x[0]) + compiled_helper(2.0 * x, 3.0)


def _make_closure(scale, array):
    def inside(x):
        return np.sum(x * array) * scale

    return inside


add("closure", _make_closure(2.5, np.arange(3.0)), vector(3))
add("lambda_function", lambda x, y: x * np.sin(y), normals((), 3))
add("partial_function", functools.partial(helper, scale=3.0, power=3), normals(()))
add("numpy_function", np.sinh, normals(4))
add("njit_function", compiled_helper, normals(4, ()))


@program(normals((), ()))
def local_functions(x, y):
    def inner(z):
        return z * x

    square = lambda v: v * v
    x = x + 1.0
    return inner(y) + square(inner(x))


@program(normals(()))
def returned_closure(x):
    def adder(n):
        return lambda v: v * n + x

    return adder(2.0)(x) * adder(x)(3.0)


@program(normals(()))
def recursion(x):
    def power(v, n):
        return 1.0 if n == 0 else v * power(v, n - 1)

    return power(x, 5)


@program(vector(4))
def comprehensions(x):
    squares = [x[i] ** 2 for i in range(4)]
    table = {k: v * k for k, v in enumerate(squares)}
    return sum(squares) + table[2] * sum(x[i] for i in range(4) if i % 2 == 0), [v + 1 for v in squares]


@program(normals(()))
def higher_order_function(x):
    def twice(f, v):
        return f(f(v))

    return twice(np.sin, x) + twice(lambda v: v * x, 2.0) + sum(map(math.exp, (x, 2 * x)))


@program(normals(3))
def functools_reduce_by_hand(x):
    total = x[0]
    for f in (np.sin, np.cos, np.tanh):
        total = f(total) * x[1] + x[2]
    return total


# -- transforms inside ------------------------------------------------------------------------------------------


def cubic(x, y):
    return x**3 * y + np.sin(x * y)


@program(normals((), ()), "transforms")
def grad_inside(x, y):
    return adcompile.grad(cubic)(x, y) * y


@program(normals((), ()), "transforms")
def grad_of_grad_inside(x, y):
    return adcompile.grad(adcompile.grad(cubic), argnums=1)(x, y)


@program(normals((), ()), "transforms")
def jvp_inside(x, y):
    out, dot = adcompile.jvp(cubic, (x, y), (1.0, x))
    return out * dot


@program(vector(3), "transforms")
def jvp_of_grad_inside(x):
    loss = lambda v: np.sum(np.sin(v) * v[0])
    return adcompile.jvp(adcompile.grad(loss), (x,), (x * 2,))[1]


@program(vector(3), "transforms")
def vjp_inside(x):
    out, pullback = adcompile.vjp(lambda v: np.tanh(v) * v[1], x)
    return pullback(out * x)[0]


@program(vector(3), "transforms")
def hessian_inside(x):
    return adcompile.hessian(lambda v: np.sum(v**3) * v[0])(x) @ x


@program(vector(3), "transforms")
def hvp_inside(x):
    return adcompile.hvp(lambda v: np.sum(v**3) * v[0])(x, np.ones(3))


@program(vector(3), "transforms")
def jacobians_inside(x):
    f = lambda v: np.array([v[0] * v[1], np.sin(v[2]), v[0] ** 2])
    return adcompile.jacrev(f)(x) + adcompile.jacfwd(f)(x) * x


@program(normals((), ()), "transforms")
def grad_captures(x, y):
    return adcompile.grad(lambda z: z**2 * y + x * z)(x * y)


@program(normals((), ()), "transforms")
def value_and_grad_inside(x, y):
    value, (a, b) = adcompile.value_and_grad(cubic, (0, 1))(x, y)
    return value * a - b


# -- order and identity, as CPython has them --------------------------------------------------------------------


@program(normals((), ()))
def numbers_joined_by_or(x, y):
    return (x or 2.0) * 3.0 + (x and y) + (y > 100.0 and x < 0.0) * x


@program(vector(3))
def target_is_loaded_first(x):
    y = x.copy()

    def change():
        y[0] = 10.0 * x[1]
        return x[2]

    y[0] += change()
    y[1:] += change()
    return y


@program(normals((), ()))
def lists_grow_in_place(x, y):
    items = [x]
    alias = items
    alias += [y * x]
    alias *= 2
    return sum(items), len(items)


@program(vector())
def reduced(x):
    return functools.reduce(lambda total, item: total * item + 1.0, [x[0], x[1], x[2]], 0.5)


@program(lambda r: ({"b": r.normal(), "a": r.normal()},))
def sorted_keys(parameters):
    return sum(parameters[key] ** (k + 1) for k, key in enumerate(sorted(parameters)))

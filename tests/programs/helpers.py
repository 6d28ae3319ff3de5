"""Functions that call functions: helpers that write, closures, recursion, nested derivatives."""

import functools

import numba
import numpy as np

import adcompile

_SCALE = 1.5
_WEIGHTS = np.array([0.3, -0.2, 0.5, 0.1, 0.7, -0.4])


def _scale_into(out, a, k):
    for i in range(a.shape[0]):
        out[i] = a[i] * k


def _filled(out, a):
    out[:] = a * a
    return out


@numba.njit
def _jitted(a):
    return np.sin(a) * a


def writes_into_argument(x, n):
    y = np.zeros(6)
    _scale_into(y, x, x[0])
    _scale_into(y, y, 2.0)
    row = y[1:3]
    row += x[:2]
    return np.sum(y * y)


def returns_its_argument(x, n):
    y = np.empty(6)
    z = _filled(y, x)
    z[0] += x[1]
    return np.sum(y * z)


def calls_njit(x, n):
    return np.sum(_jitted(x))


def global_values(x, n):
    return np.sum(_WEIGHTS * x * x) * _SCALE


def local_function(x, n):
    def step(s, k):
        return s + 0.1 * np.sin(s * x[k])

    s = x[0]
    for k in range(n):
        s = step(s, k)
    return s


def closures_and_lambdas(x, n):
    a = x[0]
    f = lambda v: v * a
    g = functools.partial(lambda u, v: u * u + v, x[1])
    return f(x[2]) * g(x[3])


def recursion(x, n):
    def power(v, k):
        return v if k == 0 else v * power(v, k - 1)

    return power(x[0], 3) + power(x[1], 2)


def comprehension(x, n):
    parts = [x[k] ** (k + 1) for k in range(3)]
    parts.append(x[3] * x[4])
    return sum(parts) * np.prod(np.array(parts))


def nested_gradient(x, n):
    def f(v):
        return np.sum(np.sin(v) * v)

    return np.sum(adcompile.grad(f)(x) ** 2)


def nested_tangent(x, n):
    _, dot = adcompile.jvp(lambda v: np.tanh(v * x[1]), (x[0],), (1.0,))
    return dot * x[2]


def second_derivative(x, n):
    u = lambda t: np.tanh(t * x[0] + x[1])
    return adcompile.grad(adcompile.grad(u))(x[2]) ** 2


def gradient_inside_loop(x, n):
    s = x[0]
    for k in range(n):
        s = s - 0.1 * adcompile.grad(lambda v: np.cos(v) * v)(s) * x[k]
    return s


def bookkeeping(x, n):
    order = np.zeros(6, dtype=np.int64)
    seen = np.zeros(6, dtype=bool)
    for i in range(6):
        order[i] = (2 * i) % 5
        seen[order[i]] = True
    s = 0.0
    for i in range(6):
        if seen[i]:
            s += x[order[i]] * x[i]
    return s


def matrix_products(x, n):
    a = x.reshape(2, 3)
    b = np.tanh(a @ a.T)
    return np.trace(b @ b) + np.einsum("ij,kj->", a, a)


def statistics(x, n):
    return np.var(x) + np.linalg.norm(x) * np.mean(x) + np.max(x) * np.min(x) + np.cumsum(x)[3]


def local_function_writes(x, n):
    y = x.copy()

    def bump(k, amount):
        y[k] += amount * y[k - 1]

    for k in range(1, 5):
        bump(k, x[0])
    return np.sum(y * y)


def arrays_in_containers(x, n):
    boxes = [np.zeros(2), x * 1.0]
    table = {"a": boxes[1]}
    boxes[1] *= 2.0
    table["a"][0] += x[1]
    boxes[0] += table["a"][:2]
    return np.sum(boxes[1] ** 2) + np.sum(boxes[0] * table["a"][1:3])

"""Programs of several functions that return one float: procedures, closures, comprehensions, recursion, bookkeeping."""

import math

import numba
import numpy as np

from tests.corpus.program import scalar

TABLE = np.linspace(0.5, 1.5, 8)
RATES = {"slow": 0.1, "fast": 0.7}


def points(*shapes, low=0.4, high=1.4, extra=()):
    """Numbers and arrays away from zero, then inactive values."""
    return lambda r: (*(r.uniform(low, high) if s == () else r.uniform(low, high, size=s) for s in shapes), *extra)


def axpy(a, x, y):
    for i in range(len(y)):
        y[i] += a * x[i]


def normalise(v):
    v /= np.sqrt(v @ v)
    return v


def smooth_into(out, source, weight):
    out[0], out[-1] = source[0], source[-1]
    out[1:-1] = source[1:-1] + weight * (source[2:] - 2.0 * source[1:-1] + source[:-2])
    return out


@numba.njit
def sweep(u, factor):
    for i in range(1, u.shape[0]):
        u[i] += factor * u[i - 1] * u[i]
    return u


@scalar(points(5, 5, ()), (0, 1, 2))
def procedures_on_parts(x, y, a):
    z = y.copy()
    axpy(a, x, z)
    axpy(z[0], z[1:4], z[2:])
    axpy(0.5, z[::-1].copy(), z)
    return z @ x


@scalar(points(5, extra=(3,)), 0)
def result_is_what_was_written(x, n):
    v = x.copy()
    w = v
    for _ in range(n):
        w = normalise(v)
        w[0] += 0.5 * w[1]
    return np.sum(v * np.arange(5.0)) + w[0]


@scalar(points(6, extra=(4,)))
def result_into_other_buffer(x, n):
    a, b = x.copy(), np.zeros(6)
    for k in range(n):
        new = smooth_into(b, a, 0.2 + 0.1 * k)
        new *= x[k]
        a, b = new, a
    return np.sum(a**2) - b[2]


@scalar(points((3, 4)))
def procedure_on_rows_and_columns(m):
    a = m.copy()
    for i in range(3):
        sweep(a[i], 0.3)
        axpy(a[i, 0], a[0], a[i])
    for j in range(4):
        normalise(a[:, j])
    return np.sum(a * m)


@scalar(points(5, ()), (0, 1))
def closure_over_active_values(x, s):
    y = x.copy()

    def update(k):
        y[k] = y[k] * s + y[k - 1]
        return y[k] * RATES["fast"]

    total = 0.0
    for k in range(1, 5):
        total += update(k) * TABLE[k]
    s = s * 2.0
    return total + update(0) * s


@scalar(points(4))
def functions_that_return_functions(x):
    def shifted(c):
        def inner(v, k=1):
            return v * c + x[k] ** 2

        return inner

    steps = [shifted(c) for c in (1.0, x[0], x[1] * x[2])]
    value = 1.0
    for k, step in enumerate(steps):
        value = step(value, k=k + 1)
    return value * (lambda *v: sum(v))(x[0], *(x[1], x[2]))


@scalar(points(6, 6), (0, 1))
def comprehensions_of_active_values(x, y):
    pairs = [(a * b, i) for i, (a, b) in enumerate(zip([x[0], x[1], x[2], x[3]], (y[0], y[1], y[2], y[3]))) if i != 2]
    table = {f"k{i}": v**2 for v, i in pairs}
    nested = [[x[i] * y[j] for j in range(i)] for i in range(4)]
    return sum(table.values()) + sum(sum(row) for row in nested) * np.array([p for p, _ in pairs]) @ x[:3]


@scalar(points(8))
def divide_and_conquer(x):
    def total(v, depth):
        if depth == 0:
            return v[0]
        half = len(v) // 2
        return math.sin(total(v[:half], depth - 1)) + 0.5 * total(v[half:], depth - 1) ** 2

    return total(x, 3)


@scalar(points((), ()), (0, 1))
def mutual_recursion(x, y):
    def even(n, v):
        return v if n == 0 else odd(n - 1, v * x + 0.1)

    def odd(n, v):
        return y if n == 0 else even(n - 1, math.sin(v) + y)

    return even(5, x) * odd(5, y)


@scalar(points(6, extra=(np.array([4, 1, 5, 0, 3, 2]),)), 0, "numba")
def permutation_cycles(x, order):
    seen = np.zeros(6, dtype=bool)
    count = np.zeros(6, dtype=np.int64)
    y = x.copy()
    for start in range(6):
        k = start
        while not seen[k]:
            seen[k] = True
            count[start] += 1
            y[k] += 0.5 * y[order[k]] * x[start]
            k = order[k]
    return np.sum(y * count) + y[count[0]]


@scalar(points(7))
def sorting_network(x):
    keys = x.copy()
    place = np.arange(7)
    for i in range(1, 7):
        key, at, j = keys[i], place[i], i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            place[j + 1] = place[j]
            j -= 1
        keys[j + 1] = key
        place[j + 1] = at
    return np.sum(keys * np.arange(7.0)) + x[place[2]] * x[place[4]]


@scalar(points((4, 4), extra=(2,)))
def shortest_path(cost, goal):
    far = np.full(4, 100.0)
    far[0] = 0.0
    done = np.zeros(4, dtype=bool)
    for _ in range(4):
        here = -1
        for k in range(4):
            if not done[k] and (here < 0 or far[k] < far[here]):
                here = k
        done[here] = True
        for k in range(4):
            if far[here] + cost[here, k] < far[k]:
                far[k] = far[here] + cost[here, k]
    return far[goal] ** 2 + far[3]


@scalar(lambda r: (r.uniform(0.5, 1.5, 3), r.standard_normal((5, 3)), r.integers(0, 3, size=5)))
def drawn_noise(p, noise, pick):
    x = np.zeros(3)
    for k in range(5):
        x = x * 0.8 + p * noise[k] * 0.3
        x[pick[k]] += p[pick[k]] ** 2
    return np.sum(x**2)


@scalar(lambda r: (r.uniform(0.5, 1.5, (2, 2)), r.uniform(0.5, 1.5, 2), [0, 1, 1, 0]))
def hidden_markov(a, p, seen):
    emit = a / np.sum(a, axis=1, keepdims=True)
    alpha = p * emit[:, seen[0]]
    log = 0.0
    for s in seen[1:]:
        alpha = (alpha @ emit) * emit[:, s]
        c = np.sum(alpha)
        alpha /= c
        log += np.log(c)
    return log


@scalar(points((3, 3), 3, extra=(3,)), (0, 1))
def structure_of_arrays(w, h, n):
    def cell(state, k):
        h, c = state["h"], state["c"]
        gate = 1.0 / (1.0 + np.exp(-(w @ h)))
        c = gate * c + (1.0 - gate) * np.tanh(h * TABLE[k])
        return {"h": gate * np.tanh(c), "c": c}

    state = {"h": h, "c": np.zeros(3)}
    for k in range(n):
        state = cell(state, k)
    return np.sum(state["h"]) + state["c"][0] ** 2


@scalar(points(5, extra=(3,)))
def early_returns_in_helpers(x, n):
    def find(v, level):
        s = 0.0
        for i in range(len(v)):
            s += v[i]
            if s > level:
                return s * v[i]
        return s - level

    def pick(v, k):
        if k == 0:
            return v
        if v > 0.9:
            return v * v
        return math.sin(v)

    total = 0.0
    for k in range(n):
        total += pick(find(x, 0.9 + k), k)
    return total

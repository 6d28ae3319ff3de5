"""Loops and branches: every way to count, zero trips, nests, jumps, conditions on active values."""

import math

import numpy as np

from tests.corpus.program import add, normals, program

# -- counted loops ----------------------------------------------------------------------------------------------


def steps(*counts, scale=1.0):
    """A float and some ints."""
    return lambda r: (scale * r.normal(), *counts)


def array_and(*rest, n=6):
    """An array of n, then inactive values."""
    return lambda r: (r.normal(size=n), *rest)


def accumulated_product(x, n):
    y = 1.0
    for _ in range(n):
        y *= x
    return y


def accumulated_sum(x, n):
    s = 0.0
    for k in range(n):
        s += x * k + math.sin(s)
    return s


for _count in (0, 1, 4):
    add(f"accumulated_product_{_count}", accumulated_product, steps(_count))
    add(f"accumulated_sum_{_count}", accumulated_sum, steps(_count))


def range_of_three(x, start, stop, step):
    y = 0.5
    for k in range(start, stop, step):
        y = math.sin(y * x + k)
    return y


for _bounds in ((0, 5, 1), (5, 0, -1), (7, -2, -3), (1, 9, 4), (3, 3, 1), (5, 2, 1), (2, 5, -1)):
    add(f"range_{'_'.join(map(str, _bounds)).replace('-', 'm')}", range_of_three, steps(*_bounds))


@program(lambda r: (r.normal(size=(2, 4)), 0.5 * r.normal(size=(3, 4, 4)), r.normal(size=(3, 4))))
def layers_in_one_array(x, weights, biases):
    """The inner size stays because every product checks it."""
    for k in range(weights.shape[0]):
        x = np.tanh(x @ weights[k] + biases[k])
    return np.sum(x * x)


@program(lambda r: (r.normal(size=6), r.normal(size=(3, 8))))
def rows_of_a_forcing(x, forcing):
    """Rows are taken again in the reverse, also after the caller's own array was written."""
    rows = forcing.copy()
    for k in range(3):
        x = x * rows[k, 1:-1] + np.sin(rows[k, 2:]) * rows[k, :-2]
    rows[:] = 0.0
    return np.sum(x * x) + np.sum(rows)


@program(lambda r: (r.normal(size=(2, 3)),))
def one_size_grows(x):
    """The rows stay as many, the columns do not."""
    for k in range(3):
        x = np.concatenate((x, np.sin(x[:, :2]) * k), axis=1)
    return np.sum(x * x * x)


@program(array_and())
def set_before_a_break(x):
    """A name that the first iteration sets for sure may be read after the loop."""
    for k in range(20):
        residual = x * x - 2.0
        if np.sum(np.abs(residual)) < 0.5 or k > 3:
            break
        x = x - 0.3 * residual / (1.0 + x * x)
    return np.sum(residual * x)


@program(array_and())
def power_iteration(x):
    y = x
    for _ in range(3):
        y = np.sin(y) * np.sum(y * y) / 6
    return y


@program(array_and())
def loop_over_elements(x):
    s = 1.0
    for v in x:
        s = s * math.cos(v) + v
    return s


@program(lambda r: (r.normal(size=(3, 4)),))
def loop_over_rows(a):
    s = np.zeros(4)
    for row in a:
        s = np.tanh(s + row * row)
    return s


@program(array_and())
def loop_over_tuple(x):
    s = 0.0
    for w in (1.0, 2, -0.5):
        s = s * w + np.sum(x * w)
    return s


@program(lambda r: (r.normal(size=5), r.normal(size=7)))
def loop_over_zip(x, y):
    s = 0.0
    for a, b in zip(x, y):
        s += a * b * s + a
    return s


@program(array_and())
def loop_over_enumerate(x):
    s = 0.0
    for k, v in enumerate(x, 2):
        s += v**2 * k
    return s


@program(lambda r: (r.normal(size=(3, 2)), r.normal(size=3)))
def loop_enumerate_zip(a, x):
    s = 0.0
    for k, (row, v) in enumerate(zip(a, x)):
        s += row[k % 2] * v + s * row[0]
    return s


@program(array_and())
def loop_reversed(x):
    s = 0.1
    for k in reversed(range(len(x))):
        s = math.sin(s + x[k])
    return s


@program(lambda r: (r.normal(size=6), np.array([0, 3, 3, 5])))
def loop_over_integers(x, places):
    s = 0.3
    for k in places:
        s = s * x[k] + math.sin(x[k - 1])
    return s


@program(array_and(2, n=7))
def strided_loop(x, step):
    s = 0.0
    for k in range(1, x.shape[0], step):
        s += x[k] * x[k - 1]
    return s


@program(lambda r: (r.normal(size=(4, 5)),))
def nested_loops(a):
    s = 0.0
    for i in range(a.shape[0]):
        t = 1.0
        for j in range(a.shape[1]):
            t *= math.sin(a[i, j]) + 1.5
            s += t * a[i, 0]
    return s


@program(lambda r: (r.normal(size=(4, 4)),))
def triangular_loops(a):
    s = 0.0
    for i in range(len(a)):
        for j in range(i):
            s += a[i, j] * a[j, i] + s * a[i, i]
    return s


@program(lambda r: (r.normal(size=(4, 4)), 3))
def triangular_from_end(a, n):
    s = 0.2
    for i in range(n, -1, -1):
        for j in range(i + 1, 4):
            s = s * math.cos(a[i, j]) + a[j, i]
    return s


@program(lambda r: (r.normal(size=5), np.array([2, 0, 3, 1])))
def trips_from_an_array(x, counts):
    s = 0.1
    for k in range(len(counts)):
        for j in range(counts[k]):
            s = math.sin(s * x[j] + x[k])
    return s


@program(steps(3))
def loop_in_loop_in_loop(x, n):
    y = x
    for i in range(n):
        for j in range(i + 1):
            for k in range(j):
                y = math.sin(y + x * k)
            y = y * 0.9
    return y


@program(normals((), ()))
def two_carried_swap(a, b):
    for _ in range(5):
        a, b = b, a * 0.5 + math.sin(b)
    return a - b


@program(normals((), ()))
def fibonacci(a, b):
    for _ in range(6):
        a, b = b, a + b * 0.3
    return b * a


@program(steps(4))
def integer_accumulator(x, n):
    k = 0
    y = x
    for i in range(n):
        k += i
        y = y * x + k
    return y / (k + 1)


@program(steps(3))
def integer_becomes_float(x, n):
    s = 0
    for k in range(n):
        s = s + x * k
    return s


@program(array_and(4))
def index_after_loop(x, n):
    y, k = x[0], 0
    for k in range(n):
        y = x[k] * k
    return y * x[k]


@program(array_and(3))
def loop_variable_assigned(x, n):
    s = 0.0
    for k in range(n):
        k = k * 2
        s += x[k % 6] * k
    return s


@program(array_and(3))
def index_carried(x, n):
    k = 0
    s = 0.0
    for _ in range(n):
        s += x[k] * x[k]
        k = (k + 2) % 5
    return s


@program(lambda r: (r.normal(size=4), 3))
def invariant_work(x, n):
    total = 0.0
    for k in range(n):
        w = np.exp(x)
        total += np.sum(w * w[k])
    return total


@program(lambda r: (0.3 * r.normal(size=(3, 3)), r.normal(size=3), 4))
def rnn(w, h, n):
    for _ in range(n):
        h = np.tanh(w @ h)
    return h


@program(lambda r: (r.normal(size=8), 5))
def burgers(u, n):
    for _ in range(n):
        u = u + 0.1 * (np.roll(u, 1) - 2 * u + np.roll(u, -1)) - 0.05 * u * (u - np.roll(u, 1))
    return np.sum(u**2)


@program(lambda r: ((r.normal(size=3), r.normal()), 3))
def tuple_state(state, n):
    for k in range(n):
        u, s = state
        state = (np.sin(u) * s, s + u[0] * k)
    return state


@program(lambda r: ({"x": r.normal(), "v": r.normal()}, 4))
def dict_state(state, n):
    for _ in range(n):
        state = {"x": state["x"] + 0.1 * state["v"], "v": state["v"] - 0.1 * math.sin(state["x"])}
    return state


@program(lambda r: ([(0.4 * r.normal(size=(3, 3)), r.normal(size=3)) for _ in range(3)], r.normal(size=3), 2))
def layers_in_time(params, x, n):
    for _ in range(n):
        for w, b in params:
            x = np.tanh(w @ x + b)
    return x


@program(lambda r: (np.float32(r.normal()), 4), "float32")
def float32_loop(x, n):
    y = np.float32(1.0)
    for _ in range(n):
        y = y * x + np.float32(0.5)
    return y


@program(lambda r: (r.normal(), 5))
def constants_in_loop(x, n):
    y = 0.0
    for k in range(n):
        z = 2.0
        if k == 0:
            z = 3.0
        y += z * x
    return y


@program(array_and(4))
def dead_code_in_loop(x, n):
    s = 0.0
    dead = 1.0
    for k in range(n):
        dead = dead * x[k]
        s = s + x[k]
    return s


@program(array_and(3))
def stays_inactive(x, n):
    y = 1.0
    for _ in range(n):
        y = y * 2.0
    return y * x[0]


@program(steps(3))
def becomes_active_late(x, n):
    a, b, c = 1.0, 2.0, 3.0
    for _ in range(n):
        a, b, c = b, c * a, x * c
    return a + b


@program(array_and())
def for_else(x):
    s = 0.0
    for k in range(4):
        s += x[k]
    else:
        s *= x[5]
    return s

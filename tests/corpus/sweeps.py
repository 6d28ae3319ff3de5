"""In-place updates in loops and helpers: sweeps over arrays, time loops, swaps, scatters."""

import math

import numba
import numpy as np

from tests.corpus.program import normals, program


def matrix(*more, n=4, m=4):
    """A matrix, then inactive values."""
    return lambda r: (r.normal(size=(n, m)), *more)


def array(*more, n=6):
    """A vector, then inactive values."""
    return lambda r: (r.normal(size=n), *more)


# -- loops with stores ------------------------------------------------------------------------------------------


@program(array(3))
def prefix_sums(x, n):
    y = x.copy()
    for k in range(1, len(y)):
        y[k] += y[k - 1] * n
    return y


@program(array())
def products_in_place(x):
    y = x + 2.0
    for k in range(len(y)):
        y[k] *= y[k - 1]
    return y


@program(array(4, n=7))
def heat_in_place(u, n):
    u = u.copy()
    for _ in range(n):
        u[1:-1] += 0.2 * (u[:-2] - 2 * u[1:-1] + u[2:])
    return u


@program(array(3, n=6))
def heat_by_loops(u0, n):
    u = u0.copy()
    v = np.zeros_like(u)
    for _ in range(n):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + 0.2 * (u[i - 1] - 2 * u[i] + u[i + 1]) - 0.1 * u[i] * (u[i] - u[i - 1])
        u[:] = v
    return np.sum(u * u)


@program(array(3, n=6))
def swap_buffers(u0, n):
    u = u0.copy()
    v = u0.copy()
    for _ in range(n):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + 0.3 * math.sin(u[i - 1] - u[i + 1])
        u, v = v, u.copy()
    return u * v


@program(array(5, n=6))
def gauss_seidel(u, n):
    u = u.copy()
    for _ in range(n):
        for i in range(1, 5):
            u[i] = 0.5 * (u[i - 1] + u[i + 1]) + 0.1 * u[i] ** 2
    return u


@program(matrix(2))
def nested_stores(a, n):
    y = a.copy()
    for _ in range(n):
        for i in range(1, 3):
            for j in range(1, 3):
                y[i, j] = 0.25 * (y[i - 1, j] + y[i + 1, j] + y[i, j - 1] + y[i, j + 1]) * y[i, j]
    return y


@program(matrix())
def cholesky_by_hand(m):
    a = m @ m.T + 4.0 * np.eye(4)
    low = np.zeros((4, 4))
    for i in range(4):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i == j:
                low[i, i] = math.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    return low


@program(matrix())
def gaussian_elimination(m):
    a = m + 5.0 * np.eye(4)
    b = m[0].copy()
    n = len(b)
    for k in range(n):
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            a[i, k:] -= factor * a[k, k:]
            b[i] -= factor * b[k]
    x = np.zeros(n)
    for i in range(n - 1, -1, -1):
        x[i] = (b[i] - a[i, i + 1 :] @ x[i + 1 :]) / a[i, i]
    return x


@program(normals((3, 2), (2, 4)))
def matmul_by_hand(a, b):
    c = np.zeros((3, 4))
    for i in range(3):
        for j in range(4):
            for k in range(2):
                c[i, j] += a[i, k] * b[k, j]
    return c


@program(array(n=7))
def stores_under_branches(x):
    y = x.copy()
    for k in range(1, len(y)):
        if y[k] > y[k - 1]:
            y[k] *= y[k - 1]
        elif k % 2:
            y[k] = 0.5
        else:
            y[k - 1] += y[k]
    return y


@program(array(n=7))
def stores_with_continue(x):
    y = x.copy()
    for k in range(1, len(y)):
        if x[k] < 0:
            continue
        y[k] += y[k - 1] * x[k]
        if y[k] > 4.0:
            break
    return y


@program(array(n=5))
def bubble_sort(x):
    y = x.copy()
    for i in range(len(y)):
        for j in range(len(y) - 1 - i):
            if y[j] > y[j + 1]:
                y[j], y[j + 1] = y[j + 1], y[j]
    return y * np.arange(5)


@program(lambda r: (r.normal(size=6), np.array([0, 1, 0, 2, 1, 0])))
def histogram(x, place):
    y = np.zeros(3)
    for k in range(len(x)):
        y[place[k]] += x[k] * x[k]
    return y


@program(lambda r: (r.normal(size=6), np.array([3, 1, 3, 2])))
def scatter_overwrites(x, place):
    y = np.zeros(6)
    for k in range(len(place)):
        y[place[k]] = x[k] * y[place[k] - 1] + x[k]
    return y


@program(array(n=6))
def while_with_stores(x):
    y = x.copy()
    k = 0
    while k < 5:
        y[k + 1] += math.sin(y[k])
        k += 1
    return y


@program(array(0, n=4))
def stores_zero_trips(x, n):
    y = x.copy()
    for k in range(n):
        y[k] = 0.0
    return y * x


@program(array(3, n=4))
def trajectory(u, n):
    path = np.zeros((n + 1, 4))
    path[0] = u
    for k in range(n):
        path[k + 1] = path[k] + 0.1 * np.sin(path[k][::-1])
    return path


@program(array(3, n=4))
def array_made_in_loop(x, n):
    s = 0.0
    for k in range(n):
        y = x * k
        y[0] = s
        y[1:] += y[:-1]
        s += np.sum(y * y) * 0.1
    return s


@program(matrix(3))
def leapfrog(state, n):
    q, p = state[0].copy(), state[1].copy()
    for _ in range(n):
        p -= 0.05 * np.sin(q)
        q += 0.1 * p
        p -= 0.05 * np.sin(q)
    return q, p


@program(array(4, n=5))
def rolled_storage(x, n):
    ring = np.zeros((2, 5))
    ring[0] = x
    for k in range(n):
        ring[(k + 1) % 2] = ring[k % 2] * np.cos(ring[k % 2])
    return ring


@program(array(3, n=6))
def view_in_loop(x, n):
    y = x.copy()
    for k in range(n):
        part = y[k : k + 3]
        part *= part[0]
        part[1] = y[k] + 1.0
    return y


@program(array(3, n=5))
def shrinking_slices(x, n):
    y = x.copy()
    for k in range(n):
        y[k:] = np.sin(y[k:]) * y[k]
    return y


@program(array(3, n=4))
def array_rebound_then_stored(x, n):
    y = x
    for k in range(n):
        y = y * 1.1
        y[k] = x[k] * y[0]
    return y


# -- helpers that write -----------------------------------------------------------------------------------------


def fill_row(out, k, value):
    out[k] = value
    out[k, 0] = out[k, 1]


@numba.njit
def advance(u, v, c):
    for i in range(1, u.shape[0] - 1):
        v[i] = u[i] + c * (u[i - 1] - 2.0 * u[i] + u[i + 1])


@program(matrix())
def helper_writes(a):
    y = np.zeros((4, 4))
    for k in range(4):
        fill_row(y, k, a[k] * k)
    fill_row(y.T, 1, a[0])
    return y


@program(array(3, n=6))
def njit_helper_writes(x, n):
    u, v = x.copy(), x.copy()
    for k in range(n):
        advance(u, v, x[k])
        advance(v, u, 0.1)
    return u * v


@program(array())
def local_function_writes(x):
    y = x.copy()

    def bump(k, amount):
        y[k] += amount * y[k - 1]

    for k in range(1, 5):
        bump(k, x[0])
    return y


@program(array(n=5), "writes")
def writes_argument(x):
    x[1:] *= x[:-1]
    x[0] = 2.0
    return np.sum(x**2)


@program(normals(5, 5), "writes")
def writes_one_of_two(x, y):
    y += x
    x[0] = y[1]
    return x * y


@program(normals((3, 3)), "writes")
def writes_in_loop(a):
    for i in range(3):
        a[i] /= 1.0 + a[i, i] ** 2
    return np.sum(a)


# -- tapes of loops inside loops --------------------------------------------------------------------------------


@program(lambda r: (r.uniform(1.5, 1.9), 3))
def while_in_while_in_while(x, n):
    total = 0.0
    for i in range(n):
        a = x + i
        while a > 1.0:
            b = a
            while b > 0.5:
                c = b
                while c > 0.3:
                    c = 0.7 * np.tanh(c) * x / (x + 0.01)
                    total += np.sin(c) * x
                b = b * 0.6 + 0.001 * np.sin(c)
            a = 0.7 * a + 0.01 * np.sin(b) * b
        total += a * a
    return total


@program(array(3, n=4))
def arrays_of_a_while_in_a_for(v, n):
    a = v.copy()
    for i in range(n):
        x = 3.0
        while x > 1.0:
            b = np.sin(a) * x
            a = a + 0.1 * b * b[0]
            x = 0.6 * x + 0.01 * np.tanh(np.sum(a[: i + 1]))
    return a


@program(lambda r: (*normals(3, 3)(r), r.normal(size=(3, 3)) - 2.0, np.array([4, -2, 2])))
def rows_until_a_return_in_nested_loops(u, v, m, k):
    a, b = u.copy(), v * 1.0
    w = m.copy()
    for i in k % 3:
        for _ in w:
            if w[0, i] < -0.91:
                return w @ a
            b = np.tanh(m[2 - i])
    return a + b


@program(lambda r: (r.normal(size=3), r.normal(size=3), r.normal(size=(3, 3)), 3))
def arrays_of_a_loop_after_a_continue(u, v, m, n):
    c = np.zeros(len(u))
    w, g = m.copy(), np.outer(u, v) * 0.5
    for i in range(n):
        if c[i] > 0.4 or i == 1:
            continue
        for j in range(3):
            r = w[:, (j + 1) % 3]
            r += np.sin((c[::-1] + g[0]) * g[:, -1])
    return w


@program(array(3, 0, n=3))
def size_divided_in_a_branch(x, n, k):
    s = x[0]
    for _ in range(n):
        if k > 0:
            b = np.sin(x[0] * np.ones(n // k)) * s + x[1]
            s = s + np.sum(b * b)
        else:
            s = s * x[2]
    return s


@program(lambda r: (r.uniform(0.5, 2.0, 3), r.uniform(0.6, 1.4)))
def tapes_that_grow_in_while_in_while(a, s):
    total, y = 0.0, s
    while y < 3.0:
        x = y
        while x < 5.0:
            z = x
            while z < 6.0:
                z = z + np.sin(z) ** 2 + 0.3 + 0.1 * a[0]
            x = x + 0.5 + 0.1 * a[1] ** 2 + 0.01 * z
        y = y + 0.4 * np.cos(a[2]) ** 2 + 0.3 + 0.01 * x * y
        total += x * y
    return total


@program(lambda r: (r.uniform(0.5, 2.0, 4), r.uniform(0.6, 0.9)))
def rows_of_a_while_in_a_for(a, s):
    total = 0.0
    for i in range(len(a)):
        b = a * s
        while np.sum(b * b) > 0.01:
            b = 0.9 * b - 0.1 * np.sin(b) * b
        total += np.sum(b**3) * a[i]
    return total


@program(lambda r: (r.uniform(0.5, 1.0, 5), r.uniform(0.6, 1.0)))
def break_in_while_in_triangle(a, s):
    total = s
    for i in range(len(a)):
        p = a[i]
        for j in range(i + 1):
            p = np.sin(p * s) + p * a[j]
            q = p
            while q * q < 400.0:
                q = 1.3 * q + 0.1 * np.sin(p * q) + 0.2
                if q > 15.0:
                    break
            p = np.tanh(p + 0.1 * q)
        total += 0.1 * p * total
    return total

"""In-place programs that return one float: compositions of stores, views, aliases and buffers in loops."""

import numpy as np

from tests.corpus.program import normals, program, scalar


def points(*shapes, low=0.4, high=1.4, extra=()):
    """Arrays away from zero, then inactive values."""
    return lambda r: (*(r.uniform(low, high, size=s) for s in shapes), *extra)


WEIGHTS = np.cos(np.arange(40.0))


def weigh(a):
    """A sum that tells every element from every other."""
    flat = a.ravel()
    return np.sum(flat * WEIGHTS[: flat.size]) + 0.3 * np.sum(np.sin(flat))


@scalar(points(5, extra=(4,)), 0, "numba")
def store_in_reversed_view(x, n):
    y = x.copy()
    back = y[::-1]
    for i in range(n):
        back[i] = back[i + 1] * y[i]
    return weigh(y)


@scalar(points((3, 4)))
def store_in_view_of_transposed_slice(a):
    y = a.copy()
    part = y.T[1:, ::2]
    part[0] *= part[2, ::-1]
    part[:, 1] += y[2, 0]
    y[0] *= 2.0
    part -= y[0, 0] * part
    return weigh(y)


@scalar(points((2, 6)))
def store_in_reshape_of_row(a):
    y = a.copy()
    cell = y.reshape(2, 2, 3)[1]
    cell[:, 0] = cell[:, 2] * y[0, :2]
    y[1, 5] = cell[0, 1] ** 2
    cell[1] *= cell[0]
    return weigh(y)


@scalar(points((2, 3, 2)))
def store_rank_three(a):
    y = a.copy()
    y[0, :, 1] = y[1, ::-1, 0] * a[0, :, 0]
    y[:, 1] += y[:, 2] * y[0, 0]
    y[-1, 1:, ::-1] *= y[0, :2]
    y[..., 0] -= y[..., 1] ** 2
    plane = y[:, 0]
    plane[1] = plane[0] * plane[1]
    return weigh(y)


@scalar(points(6, 6), (0, 1))
def repeated_indices_last_wins(x, y):
    z = x * y
    k = np.array([1, 4, 1, 0, 4])
    z[k] = x[1:] * y[:5]
    z[k] += z[k] * x[0]
    return weigh(z)


@scalar(points(6))
def add_at_repeated_from_self(x):
    y = x.copy()
    k = np.array([0, 3, 3, 0, 5])
    np.add.at(y, k, y[1:] * x[:5])
    np.add.at(y, k[:2], y[2])
    return weigh(y * y)


@scalar(points((3, 3)))
def add_at_rows_and_pairs(a):
    y = a.copy()
    np.add.at(y, np.array([0, 2, 0]), a * a)
    np.add.at(y, (np.array([1, 1]), np.array([2, 2])), a[0, :2])
    np.add.at(y, np.array([1]), y[:1] * -0.5)
    return weigh(y)


@scalar(points((3, 4), extra=(np.array([True, False, True]),)))
def mask_of_rows(a, rows):
    y = a * 1.5
    y[rows] *= a[~rows][0]
    y[rows, 1] = a[1, 1]
    y[:, np.array([True, False, False, True])] += 0.5 * y[:, :2]
    return weigh(y)


@scalar(points(6, 6), (0, 1))
def mask_of_varying_size(x, y):
    z = x.copy()
    for _ in range(3):
        z[z > 0.9] *= 0.5 * y[z > 0.9]
        z[z < 0.5] = y[0] + z[z < 0.5]
    return weigh(z)


@scalar(points(7, extra=(3,)), 0)
def overlapping_shift_in_loop(x, n):
    y = x.copy()
    for k in range(n):
        y[1:] = y[:-1] * y[1:]
        y[0] = y[k + 1] ** 2
    return weigh(y)


@scalar(points(6))
def overlapping_views_both_ways(x):
    y = x.copy()
    left, right = y[:-2], y[2:]
    right += left
    left *= right
    right[:] = left[::-1]
    left[1:] = left[:-1]
    return weigh(y)


@scalar(points(5, 5, extra=(4,)), (0, 1), "numba")
def ping_pong(x, y, n):
    u, v = x.copy(), np.empty_like(x)
    for k in range(n):
        v[0] = u[-1]
        v[1:] = u[:-1] * y[1:] + u[1:]
        v *= 0.5
        u, v = v, u
    return weigh(u) + 0.5 * weigh(v)


@scalar(points(5, extra=(3,)))
def three_buffers(x, n):
    a, b, c = x.copy(), x * 0.5, np.zeros(5)
    for k in range(n):
        c[:] = a * b
        c[k] += a[k + 1]
        a, b, c = b, c, a
    return weigh(a) + weigh(b * b) + weigh(c * a)


@scalar(points(5, extra=(3,)))
def swap_under_condition(x, n):
    u, v = x.copy(), 2.0 * x
    for k in range(n):
        u[k] = v[k + 1] * u[k]
        if k % 2 == 0:
            u, v = v * 1.0, u * 1.0
    return weigh(u * u) - weigh(v)


@scalar(points((3, 5), extra=(3,)))
def buffers_are_rows(a, n):
    u, v = a[0].copy(), a[1].copy()
    for k in range(n):
        for i in range(1, 4):
            v[i] = u[i - 1] * u[i + 1] + a[2, k]
        u, v = v, u
    return weigh(u) + weigh(v)


@scalar(points(6))
def out_arguments(x):
    y = np.empty_like(x)
    np.sqrt(x, out=y)
    np.multiply(y, x, out=y)
    np.add(y[1:], y[:-1], out=y[1:])
    np.dot(np.outer(x, x), y.copy(), out=y)
    np.divide(y, 1.0 + x, out=y)
    return weigh(y)


@scalar(points(6, ()), (0, 1))
def fill_and_copyto(x, s):
    y = np.zeros(6)
    y.fill(s)
    y[2:4].fill(x[0] * s)
    z = np.empty((2, 6))
    z[0] = y * x
    np.copyto(z[1], z[0] * s)
    z[:] = z[::-1] * z
    return weigh(z)


@scalar(points(6))
def aliases_of_parts(x):
    y = x.copy()
    z, w = y, y[1:4]
    t = w
    z[2] = x[0] * x[1]
    t *= z[2]
    y[1] += w[2]
    z = z * w[0]
    z[0] = 4.0
    return weigh(y) + weigh(z) + np.sum(t * w)


@scalar(points((3, 3), extra=(3,)), 0)
def row_view_written_while_reading(a, n):
    y = a.copy()
    for i in range(n):
        row = y[i]
        column = y[:, i]
        row += column * 0.5
        column[i] *= row[(i + 1) % 3]
    return weigh(y)


@scalar(points((4, 4)))
def diagonal_by_index(a):
    y = a.copy()
    k = np.arange(4)
    y[k, k] = np.sum(a, axis=1)
    y[k, 3 - k] *= y[k, k]
    y[k[1:], k[:-1]] += y[0, 1:]
    return weigh(y)


@scalar(points((4, 3), extra=(np.array([2, 0, 2, 1]),)))
def rows_by_integer_arrays(a, k):
    y = np.zeros((4, 3))
    for i in range(4):
        y[k[i]] += a[i] * y[k[i], 0] + a[i]
        y[i, k[i]] *= 2.0
    return weigh(y)


@scalar(points(6, extra=(2,)))
def powers_in_place(x, n):
    y = x.copy()
    y **= 3
    y[1:] **= 0.5
    for k in range(n):
        y[k] **= 2
        y[k + 2] /= y[k] + 1.0
        y[-1] -= y[k]
    return weigh(y)


@scalar(points(6), 0)
def stores_never_read(x):
    y = x.copy()
    y[0] = np.sin(x[1])
    y[0] = x[2] * y[1]
    z = y.copy()
    y[:] = 0.0
    y[3] = z[0]
    return weigh(z) * y[3]


@scalar(points(5, extra=(3,)))
def array_reset_in_loop(x, n):
    y = np.zeros(5)
    s = 0.0
    for k in range(n):
        y[:] = 0.0
        for i in range(k, 5):
            y[i] += x[i] * x[k]
            y[i - k] += y[i] ** 2
        s += np.sum(y) * x[k]
    return s


@scalar(points((2, 4), extra=(4,)), 0, "numba")
def history_read_back(a, n):
    path = np.zeros((n + 2, 4))
    path[:2] = a
    for k in range(2, n + 2):
        path[k] = path[k - 1] * 0.5 + path[k - 2] * path[k - 1, ::-1]
    return np.sum(path[::2] ** 2) + path[-1, 0]


@scalar(points(4, extra=(3,)))
def list_of_arrays(x, n):
    fields = [x.copy(), x * 2.0, np.zeros(4)]
    for k in range(n):
        fields[2][:] = fields[0] * fields[1]
        fields[0] += 0.1 * fields[2][::-1]
        for f in fields:
            f[k] *= 0.9
    return weigh(fields[0]) + weigh(fields[1] * fields[2])


@scalar(lambda r: (r.uniform(0.5, 1.5, 6).astype(np.float32), 3), 0, "float32")
def float32_in_place(x, n):
    y = x.copy()
    for k in range(n):
        y[k + 1] += y[k] * x[k]
        y[k:] *= np.float32(0.75)
    return np.sum(y * y)


@program(normals(4, 4))
def positional_out(x, y):
    z = np.zeros(4)
    np.multiply(x, y, z)
    np.subtract(z, x[0], z)
    return z * x


@program(normals(4, 3))
def subtract_at_repeated_places(x, v):
    z = x * 2.0
    np.subtract.at(z, np.array([0, 1, 0]), v)
    return z * z


@program(normals((3, 4), ()))
def reshape_of_a_row(a, s):
    y = a * 1.0
    block = y[1].reshape(2, 2)
    block[0, 1] = s
    return y * a


@program(normals(4))
def empty_subscript_of_a_number(x):
    return np.array(x[0] * 2.0)[()] * x


@program(normals((3, 3)))
def reshape_of_an_array_in_fortran_order(a):
    y = np.sin(a.T).copy()
    flat = y.reshape(-1)
    flat[1] = a[0, 0]
    return y * a

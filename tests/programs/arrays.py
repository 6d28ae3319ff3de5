"""In-place updates, views and aliases."""

import numpy as np


def element(x, n):
    y = np.zeros(6)
    for i in range(6):
        y[i] = x[i] * x[i - 1]
    return np.sum(y * y)


def element_add(x, n):
    y = x * 2.0
    for i in range(1, 6):
        y[i] += y[i - 1] * x[i]
    return np.sum(y)


def element_multiply(x, n):
    y = x.copy()
    for _ in range(n):
        for i in range(6):
            y[i] *= y[i - 1]
    return np.sum(y)


def write_after_read(x, n):
    y = x.copy()
    for i in range(5):
        a = y[i]
        y[i] = y[i + 1] * a
        y[i + 1] = a * a
    return np.sum(y * y)


def two_dimensions(x, n):
    a = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            a[i, j] += x[i] * x[j + 3]
            a[j, i] -= x[j] * a[i, j]
    return np.sum(a * a)


def slices(x, n):
    u = x.copy()
    for _ in range(n):
        u[1:-1] = u[1:-1] + 0.3 * (u[2:] - 2 * u[1:-1] + u[:-2]) ** 2
    return np.sum(u**2)


def overlapping(x, n):
    z = x * 1.0
    z[1:] = z[:-1]
    z[:-2] = z[2:] * z[:-2]
    return np.sum(z**2 * np.arange(6))


def strided_slices(x, n):
    z = x * 1.0
    z[::2] *= x[1]
    z[::-1][0] = x[3]
    z[4::-2] += x[:3]
    return np.sum(z**3)


def masks(x, n):
    w = x.copy()
    w[w > 0.75] = w[w > 0.75] ** 2
    w[x < 0.65] *= x[0]
    return np.sum(w * w)


def integer_arrays(x, n):
    z = x.copy()
    idx = np.array([0, 2, 2])
    z[idx] = x[:3] * x[3]
    return np.sum(z * z)


def add_at(x, n):
    y = np.zeros(3)
    np.add.at(y, np.array([0, 1, 1, 2, 0, 2]), x * x)
    return np.sum(y**2)


def whole(x, n):
    y = np.empty(6)
    y[:] = x * x
    y[...] = y * x
    y += x
    y *= y
    return np.sum(y)


def into_out(x, n):
    y = np.empty_like(x)
    np.multiply(x, x, out=y)
    np.exp(y, out=y)
    return np.sum(y)


def filled(x, n):
    y = np.zeros(4)
    y.fill(x[0])
    y[1:] = y[:-1] * x[1]
    np.copyto(y, y * y)
    return np.sum(y)


def row_views(x, n):
    z = x.reshape(3, 2) * 1.0
    for i in range(3):
        row = z[i]
        row += x[i]
        row[1] *= row[0]
    return np.sum(z * z)


def views_of_views(x, n):
    z = x * 1.5
    a = z[1:]
    b = a[1:]
    b *= x[0]
    a[0] = b[0] * x[1]
    z[-1] += a[0]
    return np.sum(z * z * z)


def transposed_view(x, n):
    z = (x * 2.0).reshape(2, 3).copy()
    y = z.T
    y[1, 0] = x[0] * 7
    y[2] = y[1] * x[1]
    return np.sum(z**3)


def reshaped_view(x, n):
    z = x * 1.0
    y = z.reshape(2, 3)
    y[0] = y[1] * y[0]
    return np.sum(z * z * np.arange(6))


def same_object(x, n):
    z = x * 2.0
    w = np.asarray(z)
    v = w
    v[1] = x[0] * x[2]
    return np.sum(z**3)


def unary_plus_copies(x, n):
    z = x * 2.0
    w = +z
    w[0] = 5.0 * x[1]
    return np.sum(z * z) + w[0]


def swaps(x, n):
    u = x.copy()
    v = np.zeros(6)
    for _ in range(n):
        for i in range(1, 5):
            v[i] = u[i] + 0.1 * (u[i + 1] - 2 * u[i] + u[i - 1]) * u[i]
        u, v = v, u
    return np.sum(u**2)


def alias_in_loop(x, n):
    u = x * 1.0
    v = u
    for i in range(n):
        u[i] = u[i] * v[i - 1]
    return np.sum(v)


def linspace_store(x, n):
    y = np.linspace(x[0], x[1], 5)
    y[2:] = x[2]
    return np.sum(y * y)


def split_parts(x, n):
    a, b = np.split(x * 2.0, 2)
    return np.sum(a**2 * b)


def gathered(x, n):
    u = x.copy()
    for _ in range(n):
        p = np.arange(6) - 0.3 * u
        j = np.floor(p)
        w = p - j
        k = j.astype(np.int64) % 6
        u = (1 - w) * u[k] + w * u[(k + 1) % 6]
    return np.sum(u * u)


def changing_sizes(x, n):
    s = 0.0
    for i in range(1, n):
        y = x[:i] * x[i]
        s += np.sum(y * y * np.sin(s + y))
    return s


def two_cotangents_of_one_name(x, n):
    u = np.append(x, 0.4)
    m = np.outer(x, x)
    k = np.outer(x, x)
    for e in u:
        m[1:, ::2] = u[n]
        if not e <= e:
            k[n, 1:] += np.tanh(m[n, 1:])
    return np.sum(m * np.outer(x, x[::-1])) + np.sum(k)


def many_masks(x, n):
    v = np.append(x[:3], 0.4)
    for _ in range(n):
        np.add.at(v, np.array([-2, 2, -2]), 0.3 * np.sin(v[-4:3]))
    return np.sum(v * x[:4])

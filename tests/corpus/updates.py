"""In-place updates: stores of every form, views, aliases, helpers that write, overwritten values."""

import numpy as np

from tests.corpus.program import normals, program


def matrix(*more, n=4, m=4):
    """A matrix, then inactive values."""
    return lambda r: (r.normal(size=(n, m)), *more)


def array(*more, n=6):
    """A vector, then inactive values."""
    return lambda r: (r.normal(size=n), *more)


# -- one store --------------------------------------------------------------------------------------------------


@program(normals(5, ()))
def store_element(x, s):
    y = x.copy()
    y[2] = s * x[3]
    y[-1] += s
    y[0] *= x[0]
    y[1] /= 2.0 + s * s
    y[3] -= y[2]
    y[4] **= 2
    return y


@program(matrix())
def store_forms(a):
    y = a * 1.0
    y[0] = a[1] * a[2]
    y[1, 2] = a[0, 0] ** 2
    y[:, 3] += a[:, 0]
    y[2:, :2] *= a[:2, 2:]
    y[::2, 1] = 7.0
    y[-1, ::-1] = y[0]
    y[..., 0] -= 1.0
    return y


@program(array())
def store_strided(x):
    y = np.zeros(6)
    y[::2] = x[:3]
    y[1::2] = x[5:2:-1] * 2
    y[4::-2] += y[1::2]
    return y


@program(array())
def store_everything(x):
    y = np.zeros_like(x)
    y[:] = x * x
    y[...] = y + x[::-1]
    y[:] = y[::-1]
    return y


@program(lambda r: (r.normal(size=6), np.array([True, False, True, True, False, False])))
def store_mask(x, mask):
    y = x * 2.0
    y[mask] = 1.5
    y[~mask] *= x[~mask]
    y[x > 0.5] = 0.0
    return y


@program(array())
def store_mask_of_values(x):
    y = x**2
    y[y > 0.5] *= 0.1
    y[x < 0] += 3.0
    return y


@program(lambda r: (r.normal(size=6), np.array([0, 2, 2, 5])))
def store_integer_arrays(x, k):
    y = x * 1.0
    y[k] += x[k] * 2.0
    y[[1, 3]] = x[[0, 5]]
    np.add.at(y, k, x[:4])
    return y


@program(lambda r: (r.normal(size=(4, 3)), np.array([0, 2, 3])))
def store_paired_indices(a, k):
    y = a.copy()
    y[k, [0, 1, 2]] = a[0]
    y[k, 0] *= 2.0
    y[1, k[:2]] -= a[0, :2]
    return y


@program(array())
def overlapping_copy(x):
    y = x.copy()
    y[1:] = y[:-1]
    y[:-1] += y[1:] * 2.0
    y[::2] *= y[::-1][::2]
    return y


@program(normals(5, 5))
def augmented_arrays(x, y):
    z = x.copy()
    z += y
    z *= z
    z -= x * z
    z /= 2.0 + y * y
    z **= 2
    return z


@program(lambda r: (r.normal(size=4).astype(np.float32), r.normal(size=4)), "float32")
def store_narrower(x, y):
    z = x.copy()
    z[1] = y[1]
    z += y
    z[2:] *= y[2:]
    return z


@program(array())
def integer_store(x):
    n = np.zeros(6, dtype=np.int64)
    for k in range(6):
        n[k] = k * 2 % 5
    n[1:] += n[:-1]
    return x * n


@program(array())
def write_after_read(x):
    y = x.copy()
    s = y[0] * y[1]
    y[0] = 5.0
    t = y[0] * s
    y[1] = t
    return y * s


@program(array())
def read_between_writes(x):
    y = np.empty(3)
    y[0] = x[0]
    a = y[0] ** 2
    y[0] = x[1] * a
    b = np.sin(y[0])
    y[0] = b
    y[1] = y[0] * a
    y[2] = y[1] + b
    return y


@program(array())
def overwritten_with_constant(x):
    y = np.sin(x)
    y[:] = 2.0
    y[0] = x[0]
    return y


@program(array())
def store_in_containers(x):
    boxes = [np.zeros(2), x * 1.0]
    boxes[0][1] = x[0] ** 2
    table = {"a": boxes[1]}
    table["a"][0] += 1.0
    boxes[1] *= 2.0
    boxes.append(table["a"][:2])
    boxes[2] += boxes[0]
    return boxes, table["a"][0]


@program(array())
def ufunc_out(x):
    y = np.empty_like(x)
    np.multiply(x, x, out=y)
    np.sin(y, out=y)
    np.add(y[:-1], x[1:], out=y[1:])
    return y


# -- views and aliases ------------------------------------------------------------------------------------------


@program(matrix())
def view_of_row(a):
    y = a.copy()
    row = y[1]
    row += a[0]
    row *= row
    y[2] = row * y[0]
    row[0] = 3.0
    return y


@program(matrix())
def view_of_view(a):
    y = a * 2.0
    block = y[1:, ::2]
    inner = block[1:, 0]
    inner *= a[0, 0]
    block[0] += inner[0]
    y[3, 0] -= 1.0
    return y * 1.0, np.sum(inner) * block


@program(matrix(m=3))
def transposed_view(a):
    y = a.copy()
    t = y.T
    t[0] = a[:, 1] * 2
    t[1:, 2] += t[0, 0]
    return y, t * 1.0


@program(array())
def reshaped_view(x):
    y = x.copy()
    m = y.reshape(2, 3)
    m[1] *= m[0]
    m[:, 0] = 1.0
    return y, np.sum(m**2)


@program(array())
def raveled_view(x):
    m = x.reshape(3, 2) * 1.0
    flat = m.ravel()
    flat[1:] += flat[:-1]
    return m


@program(array())
def alias(x):
    y = x.copy()
    z = y
    z[0] = y[1] * 3.0
    y *= z
    return y, z


@program(array())
def rebinding_is_no_update(x):
    y = x
    y = y + 1.0
    y *= 2.0
    z = y
    y = y * x
    return z, y


@program(array())
def swapped_elements(x):
    y = x.copy()
    y[0], y[1] = y[1], y[0]
    y[2], y[3], y[4] = y[3] * y[4], y[4], y[2]
    return y * x


@program(array())
def rows_unpacked(x):
    m = x.reshape(2, 3) * 1.0
    first, second = m
    first += second
    second[:] = first * 2
    return m


@program(matrix(m=3))
def loop_over_row_views(a):
    y = a.copy()
    for row in y:
        row *= row[0]
        row[1] = row[2]
    return y

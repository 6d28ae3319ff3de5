"""Straight-line programs: scalars, arrays, broadcasting, dtypes, containers, functions in functions."""

import math

import numpy as np

from tests.corpus.program import normals, positives, program, singles, vector

# -- scalars ----------------------------------------------------------------------------------------------------


@program(positives((), ()))
def lecture(x, y):
    return math.sin(x * y) + x**2 / y


@program(normals(()))
def polynomial(x):
    return ((x - 2.0) * x + 3) * x - 1


@program(positives((), ()))
def powers(x, y):
    return x**y + x**3 + 2.0**x + x**-2 + y**0.5 + x**0


@program(positives(()))
def math_functions(x):
    return (
        math.exp(-x) + math.log(x) * math.sqrt(x) + math.tanh(x) / math.cosh(x) + math.atan(x) * math.log1p(x)
        + math.sinh(x) * math.expm1(-x) + math.cos(x) + math.tan(x / 3) + math.asin(x / 4) + math.acos(x / 5)
        + math.atan2(x, 2.0) + math.hypot(x, 3.0) + math.log2(x) + math.log10(x) + math.erf(x) + math.fabs(-x)
    )  # fmt: skip


@program(lambda r: (r.normal(), 3, True))
def ints_and_bools(x, n, flag):
    y = x * n + (2 if flag else 3) * x
    return y / n - n // 2 + n % 2


@program(lambda r: (r.uniform(1.2, 1.8),))
def integer_operations(x):
    return x * int(x) + x // 0.7 + x % 0.7 + abs(-x) + max(x, 1.0) * min(x, 0.5)


@program(normals((), ()))
def unused_argument(x, y):
    return x * x


@program(normals(()))
def constant_result(x):
    return 3.0


@program(normals((), ()))
def swap_names(a, b):
    a, b = b, a
    a, b = a * b, a + b
    return a - 2 * b


@program(normals(()))
def walrus(x):
    return (y := x * x) + y * x


@program(normals((), ()))
def many_results(x, y):
    return x * y, (x + y, [x, {"a": y * y, "b": 2}])


@program(normals((), ()))
def same_result_twice(x, y):
    z = np.sin(x) * y
    return z, z, x


@program(lambda r: (np.float32(r.normal()), r.normal()), "float32")
def float32_scalar_and_float(x, y):
    return x * 2.0 + y * x


@program(lambda r: (np.float64(r.normal()), r.normal()))
def numpy_scalar(x, y):
    return np.sin(x) * y + x.astype(np.float64)


@program(normals(()))
def conversions(x):
    return float(x) * np.float64(2.0) + float(3) * x + int(True) * x


# -- arrays -----------------------------------------------------------------------------------------------------


@program(vector())
def sum_of_squares(x):
    return np.sum(x**2)


@program(normals(5, 5))
def elementwise_chain(x, y):
    return np.tanh(x) * np.exp(-y * y) + np.sin(x * y) / (2.0 + np.cos(y))


@program(normals((3, 4), 4, (3, 1), ()))
def broadcast_all(a, b, c, s):
    return a * b + c * s - b / (1.0 + c * c)


@program(normals((2, 1, 3), (4, 1), 3))
def broadcast_rank_three(a, b, c):
    return np.sum(a * b + c, axis=1)


@program(normals(1, 5))
def broadcast_one_element(a, b):
    return a * b + a


@program(normals((1, 1), (3, 4)))
def broadcast_ones_matrix(a, b):
    return np.sum(a * b) * a


@program(normals((3, 4)))
def reductions(a):
    return np.sum(a), np.mean(a, axis=0), np.sum(a, axis=1, keepdims=True), a.mean(axis=-1), a.std(), np.var(a, axis=0)


@program(normals((3, 4)))
def extremes(a):
    return np.max(a), np.min(a, axis=0), a.max(axis=1, keepdims=True) * a, np.ptp(a), np.sort(a, axis=1)


@program(positives((2, 3, 4)))
def products(a):
    return np.prod(a), np.prod(a, axis=1), np.cumsum(a, axis=2), np.cumprod(a, axis=0)


@program(lambda r: (np.array([2.0, 0.0, 3.0, 4.0]),))
def product_with_zero(a):
    return np.prod(a)


@program(lambda r: (np.array([2.0, 0.0, 3.0, 0.0]),))
def product_with_two_zeros(a):
    return np.prod(a) + np.sum(a * a)


@program(normals((3, 4), (4, 2), 4, 3))
def matmuls(a, b, v, w):
    return a @ b, a @ v, w @ a, v @ v, np.dot(a, b), np.outer(v, w), np.inner(v, v), np.vdot(w, w)


@program(normals((2, 3, 4), (2, 4, 2), (4, 3)))
def batched_matmul(a, b, c):
    return a @ b, a @ c, np.matmul(c, a)


@program(normals((3, 4), (4, 5), (3, 3)), "rounded")
def einsums(a, b, c):
    return (
        np.einsum("ij,jk->ik", a, b), np.einsum("ij,ij->", a, a), np.einsum("ij->j", a), np.einsum("ij,ik->jk", c, a),
        np.einsum("ij,jk,lj->il", a, b, a), np.einsum("ij,kl->lj", a, c),
    )  # fmt: skip


@program(normals((3, 4, 5), (5, 4, 2)))
def tensordots(a, b):
    return np.tensordot(a, b, axes=((1, 2), (1, 0))), np.tensordot(a, b, axes=1), np.tensordot(a, a, axes=3)


@program(normals((3, 4), (2, 4)))
def joining(a, b):
    return (
        np.concatenate((a, b)), np.stack([a[0], b[1], a[2]], axis=1), np.vstack((a, b)), np.hstack((a.T, b.T)),
        np.concatenate([a, a * 2], axis=1), np.append(a, b),
    )  # fmt: skip


@program(normals((3, 4), 6))
def moving(a, v):
    return (
        np.roll(v, 2), np.roll(a, -1, axis=1), np.flip(a, axis=0), v[::-1], np.pad(v, (2, 1)),
        np.pad(a, ((1, 0), (0, 2))), np.tile(v, 2), np.repeat(v, 3), np.diff(v), np.fliplr(a), np.flipud(a),
    )  # fmt: skip


@program(normals(6))
def pad_modes(v):
    return np.pad(v, 2, mode="edge"), np.pad(v, (1, 2), mode="wrap"), np.pad(v, 2, mode="reflect")


@program(normals((2, 3, 4)))
def shapes(a):
    return (
        a.reshape(6, 4), a.reshape(-1), a.ravel(), a.T, a.transpose(1, 0, 2), np.swapaxes(a, 0, 2), a[None, ..., None],
        np.expand_dims(a, 1), np.squeeze(a[:, :1], axis=1), np.moveaxis(a, 0, -1), a.flatten(),
        np.broadcast_to(a, (5, 2, 3, 4)),
    )  # fmt: skip


@program(normals((4, 5)))
def indexing_basic(a):
    return a[0], a[-1, 2], a[1:3], a[:, ::2], a[::-1, 1:-1], a[..., 0], a[None, 2], a[1:1], a[-2:, -3:], a[3, ::-2]


@program(lambda r: (r.normal(size=(4, 5)), np.array([0, 2, 2, -1]), 2))
def indexing_arrays(a, k, i):
    return a[k], a[:, k], a[k, k], a[i], a[i, k], a[k][:, i], a[[0, 3]], a[k[:, None], k]


@program(lambda r: (r.normal(size=(4, 5)), np.array([0, 2, 2, -1])))
def indexing_take(a, k):
    return np.take(a, k, axis=1), np.take(a, 2, axis=0), np.take_along_axis(a[:, :4], k[None, :], axis=1), a.take(k)


@program(lambda r: (r.normal(size=6), np.array([True, False, True, True, False, False])))
def indexing_mask(a, mask):
    return np.sum(a[mask] ** 2) + np.sum(a[~mask])


@program(normals(6))
def where_both(x):
    return np.where(x > 0, x * x, -np.sin(x))


@program(lambda r: (np.array([-1.0, 0.5, 2.0, -3.0]),))
def where_untaken_is_nan(x):
    safe = np.where(x > 0, x, 1.0)
    return np.where(x > 0, np.sqrt(safe) * np.log(safe), 0.0)


@program(normals(5, 5))
def comparisons_inactive(x, y):
    return (x > y) * x + (x <= 0.3) * y, np.sign(x) * y, np.floor(x) + x, np.heaviside(x, 0.5) * x


@program(normals(6))
def clipping(x):
    return np.clip(x, -0.5, 0.7), np.maximum(x, 0.1), np.minimum(x, x * x), np.abs(x)


@program(normals((3, 3)))
def linear_algebra(a):
    b = a @ a.T + 3.0 * np.eye(3)
    return np.trace(b), np.diag(b), np.diag(b[0]), np.tril(b), np.triu(b, 1), np.linalg.norm(b), np.linalg.norm(b[0])


@program(vector())
def creation(x):
    n = len(x)
    base = np.zeros(n) + np.ones(n) * np.arange(n) + np.full(n, 2.0) + np.linspace(0.0, 1.0, n)
    return base * x + np.zeros_like(x) + np.ones_like(x) * np.empty_like(x).shape[0]


@program(vector())
def from_list(x):
    return np.array([x[0] * x[1], x[2], 1.0]), np.array([[x[0], 2.0], [x[1], x[2] ** 2]])


@program(vector(7))
def shape_arithmetic(x):
    n = x.shape[0]
    h = 1.0 / (n - 1)
    return np.sum((x[1:] - x[:-1]) ** 2) / h + x.size * x.ndim * x[n // 2]


@program(lambda r: (np.array(r.normal()), r.normal(size=3)))
def zero_dimensional(s, x):
    return s * x + s


@program(lambda r: (np.zeros(0), 2.0))
def empty_array(x, s):
    return np.sum(x * s) + s


@program(lambda r: (np.zeros((0, 3)), r.normal(size=3)))
def empty_matrix(a, b):
    return a @ b, np.sum(a, axis=0) + b


@program(lambda r: (np.asfortranarray(r.normal(size=(3, 4))), r.normal(size=(4, 6))[:, ::2]))
def strided_arguments(a, b):
    return a @ b + np.sum(a, axis=1)[:, None]


@program(lambda r: (np.broadcast_to(r.normal(size=3), (4, 3)),))
def broadcast_argument(a):
    return a * np.arange(4.0)[:, None]


@program(lambda r: (r.normal(size=4), np.arange(4), np.array([1, 0, 3, 2], np.int32)))
def integer_arrays(x, n, k):
    return x * n + x[k] * k, n * 2, np.sum(n) / 3 * x


@program(lambda r: (np.arange(1, 5),))
def integer_to_float(n):
    return n / 2, n * 0.5, np.sqrt(n)


@program(singles(4, (3, 4)), "float32")
def float32_arrays(x, a):
    return a @ x, x * 2.0 + 1, np.sum(x), np.mean(a, axis=0), np.exp(x) / 3, np.float64(2.0) * x, x**2


@program(lambda r: (r.normal(size=4).astype(np.float32), r.normal(size=4), 2), "float32")
def float_mixes(x, y, n):
    return x * y, x.astype(np.float64) * y, np.float32(3) * y, x * n, y.astype(np.float32) + x, np.concatenate((x, y))

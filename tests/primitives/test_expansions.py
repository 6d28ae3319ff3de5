"""Every expansion against the Python callable it stands for: values, dtypes, shapes."""

from __future__ import annotations

import builtins
import math
import operator

import numpy as np
import pytest
import scipy.special as special

from adcompile.errors import InvalidArgument, UnsupportedDtype
from adcompile.primitives import ATTRIBUTES, EXPANSIONS, METHODS, find
from tests.primitives.calls import Call, Dynamic, compare, flat, plain

RNG = np.random.default_rng(7)
V = RNG.normal(size=5)
W = RNG.normal(size=5)
M = RNG.normal(size=(3, 4))
N = RNG.normal(size=(4, 2))
S = RNG.normal(size=(4, 4))
T = RNG.normal(size=(2, 3, 4))
STACK = RNG.normal(size=(2, 3, 3))
ROW = RNG.normal(size=(1, 4))
COLUMN = RNG.normal(size=(3, 1))
EMPTY = np.zeros((0, 3))
I = np.array([3, -1, 2, 0, 7])
I32 = I.astype(np.int32)
U8 = np.array([[3, 1], [2, 9]], dtype=np.uint8)
B = np.array([True, False, True, True, False])
MASK = M > 0
F32 = np.float32
f = Dynamic(0.7)
k = Dynamic(3)
t = Dynamic(True)


def case(function, *args, **kwargs):
    name = getattr(function, "__name__", str(function))
    return pytest.param(function, args, kwargs, id=f"{name}-{len(args)}")


UNARY = [
    np.sin, np.cos, np.tan, np.arctan, np.sinh, np.cosh, np.tanh, np.arcsinh, np.exp, np.expm1, np.square, np.abs,
    np.fabs, np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.cbrt, np.negative, np.positive, np.exp2,
    np.isnan, np.isinf, np.isfinite, np.deg2rad, np.radians, np.rad2deg, np.degrees, np.logical_not, np.real,
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.mod, np.fmod, np.maximum, np.minimum, np.hypot,
    np.arctan2, np.logaddexp, np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.divmod, np.isclose,
]  # fmt: skip
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.lt,
    operator.ge, operator.eq, operator.ne,
]  # fmt: skip
VALUES = [V, V.astype(F32), I, I32, np.float64(0.3), F32(0.3), np.int32(5), f, k]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: str(getattr(v, "dtype", type(plain(v)).__name__)))
@pytest.mark.parametrize("function", UNARY, ids=lambda u: u.__name__)
def test_unary(function, value):
    with np.errstate(all="ignore"):
        compare(find(function), function(plain(value)), (value,))


PAIRS = [
    (V, W), (V, W.astype(F32)), (V.astype(F32), 2.5), (V.astype(F32), f), (V.astype(F32), F32(1.5)), (M, ROW),
    (COLUMN, ROW), (M, M[0]), (I, 2), (I32, f), (I, V), (k, f), (f, f), (k, k), (np.int32(4), k), (F32(0.5), f),
    (np.float64(0.5), np.int64(2)), (EMPTY, 1.0), (V.astype(F32), np.float64(2.0)), (U8, 3), (2.0, M),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
@pytest.mark.parametrize("function", [*BINARY, *OPERATORS], ids=lambda u: u.__name__)
def test_binary(function, pair):
    with np.errstate(all="ignore"):
        try:
            expected = function(*map(plain, pair))
        except TypeError:
            pytest.skip("NumPy refuses it")
        if any(np.asarray(e).dtype == np.float16 for e in np.atleast_1d(expected)):
            pytest.skip("float16")
        compare(find(function), expected, pair)


BOOLS = [np.add, np.multiply, np.maximum, np.logical_and, np.equal, operator.add, operator.mul, operator.and_,
         operator.or_, operator.xor, np.bitwise_and, np.bitwise_or]  # fmt: skip


@pytest.mark.parametrize("pair", [(B, B), (B, True), (t, t), (t, k), (B, k), (np.bool_(True), t), (I, t)], ids=range(7))
@pytest.mark.parametrize("function", BOOLS, ids=lambda u: u.__name__)
def test_bools(function, pair):
    compare(find(function), function(*map(plain, pair)), pair)


POWERS = [
    (V, 2),
    (V, 3.0),
    (np.abs(V), W),
    (I, 2),
    (2.0, I),
    (f, 2),
    (k, 2),
    (k, -1),
    (2, k),
    (np.abs(V), f),
    (I32, 3),
    (f, f),
]


@pytest.mark.parametrize("pair", POWERS, ids=range(len(POWERS)))
def test_power(pair):
    compare(find(operator.pow), operator.pow(*map(plain, pair)), pair)


CALLS = [
    # reductions
    *(case(g, M) for g in (np.sum, np.mean, np.var, np.std, np.max, np.min, np.prod, np.any, np.all, np.ptp,
                           np.count_nonzero, np.argmax, np.argmin, np.cumsum, np.cumprod, np.average, np.amax)),
    *(case(g, T, axis=a) for g in (np.sum, np.mean, np.max, np.prod, np.any, np.std) for a in (0, -1, (0, 2), (2, 1),
    None)),
    *(case(g, T, a, keepdims=True) for g in (np.sum, np.mean, np.min, np.prod, np.all, np.var) for a in (1, (-1, 0),
    None)),
    *(case(g, x) for g in (np.sum, np.mean, np.prod, np.max, np.cumsum, np.std, np.any, np.all)
      for x in (I, I32, B, V.astype(F32), F32(2.5), np.int32(4), f, k, U8)),
    *(case(g, EMPTY) for g in (np.sum, np.prod, np.any, np.all, np.cumsum)),
    *(case(g, EMPTY, axis=0) for g in (np.sum, np.prod, np.any)),
    case(np.sum, I32, dtype=np.float32), case(np.sum, V, 0, np.float32), case(np.mean, V, dtype="float32"),
    case(np.sum, [1.0, f, 2]), case(np.sum, (V, W), axis=0), case(np.mean, [[1, 2], [3, 4]], axis=1),
    case(np.var, V, ddof=1), case(np.std, M, 0, ddof=1, keepdims=True), case(np.var, V, ddof=k),
    case(np.average, V, weights=np.abs(W)), case(np.average, M, axis=0, weights=np.ones(M.shape[0]) / 2),
    case(np.average, M, axis=-1, weights=np.ones(M.shape[1]), keepdims=True),
    *(case(g, T, a) for g in (np.argmax, np.argmin) for a in (0, 1, -1)),
    case(np.argmax, T, axis=1, keepdims=True), case(np.argmin, T, keepdims=True), case(np.argmax, B),
    case(np.cumsum, T, 1), case(np.cumsum, M, axis=-1, dtype=np.float32), case(np.cumprod, T, axis=1),
    case(np.cumprod, I32),
    case(np.diff, V), case(np.diff, M, axis=0), case(np.diff, M, 2), case(np.diff, B), case(np.diff, I32),
    case(np.trapezoid, V), case(np.trapezoid, V, W), case(np.trapezoid, M, dx=0.5),
    case(np.trapezoid, M, np.sort(V[:3]), axis=0),
    case(np.linalg.norm, V), case(np.linalg.norm, M), case(np.linalg.norm, M, "fro"), case(np.linalg.norm, M, axis=1),
    *(case(np.linalg.norm, V, o) for o in (1, 2, np.inf, -np.inf)), case(np.linalg.norm, M, 1, axis=0, keepdims=True),
    case(np.linalg.norm, I), case(np.linalg.norm, V.astype(F32)),
    case(np.sort, V), case(np.sort, M), case(np.sort, T, axis=0), case(np.sort, M, axis=None), case(np.argsort, V),
    case(np.argsort, M, 0), case(np.take_along_axis, M, np.argsort(M, 1), axis=1),
    case(np.searchsorted, np.sort(V), W), case(np.searchsorted, np.sort(V), 0.1, side="right"),
    case(np.interp, W, np.sort(V), I), case(np.interp, f, np.sort(V), W), case(np.interp, W, np.sort(V), V, left=0.0),
    # linear algebra
    *(case(g, S) for g in (np.linalg.inv, np.linalg.det, np.linalg.slogdet)), case(np.linalg.solve, S, V[:4]),
    case(np.linalg.solve, S, N), case(np.linalg.solve, STACK, STACK[:, :, :2]), case(np.linalg.inv, STACK),
    case(np.linalg.det, STACK), case(np.linalg.slogdet, STACK), case(np.linalg.solve, S.astype(F32), V[:4].astype(F32)),
    case(np.linalg.solve, np.array([[2, 1], [1, 3]]), [1, 2]), case(np.linalg.det, np.ones((2, 2))),
    # calculus
    case(np.gradient, V), case(np.gradient, V, 0.3), case(np.gradient, M, 0.3, 0.2), case(np.gradient, T, axis=1),
    case(np.gradient, V, np.sort(W)), case(np.gradient, M, np.sort(V[:3]), axis=0), case(np.gradient, I),
    case(np.gradient, V, np.sort(W), edge_order=2), case(np.gradient, M, f, axis=(1, 0), edge_order=2),
    case(np.gradient, V.astype(F32), 0.5),
    *(case(np.convolve, a, v, m) for m in ("full", "same", "valid") for a, v in ((V, W[:2]), (W[:2], V), (V, W),
                                                                               (V, W[:3]), (W[:4], V))),
    *(case(np.correlate, a, v, m) for m in ("full", "same", "valid") for a, v in ((V, W[:2]), (W[:2], V), (V, W),
                                                                                (V, W[:3]), (W[:4], V), (W[:3], V))),
    case(np.convolve, V, I), case(np.convolve, V.astype(F32), V[:2].astype(F32)), case(np.convolve, V, f),
    case(np.polyval, V, W), case(np.polyval, V, M), case(np.polyval, [1.0, f, 2], 0.3), case(np.polyval, I, I),
    case(np.polyval, V.astype(F32), V.astype(F32)),
    case(np.kron, V, W), case(np.kron, M, N), case(np.kron, M, V), case(np.kron, T, M), case(np.kron, 2.0, V),
    # statistics
    *(case(g, x) for g in (np.median, np.cov) for x in (V, M, I, V.astype(F32))), case(np.median, T),
    *(case(np.median, T, axis=a, keepdims=d) for a in (0, -1) for d in (False, True)), case(np.median, V[:4]),
    case(np.median, M, None, keepdims=True), case(np.median, np.array([1.0, np.nan, 2.0])), case(np.median, V[:1]),
    case(np.quantile, V, 0.3), case(np.quantile, M, 0.9, axis=1), case(np.quantile, V, f), case(np.percentile, M, 10),
    case(np.percentile, V, 25.0, keepdims=True), case(np.quantile, V, 1.0), case(np.quantile, V, 0),
    case(np.cov, V, W), case(np.cov, M, rowvar=False), case(np.cov, M, bias=True), case(np.cov, M, ddof=0),
    case(np.cov, M, M[::-1]),
    # elementwise
    case(np.select, [V > 1, V > 0], [V, 2 * V]), case(np.select, [V > 0], [I], 0.5), case(np.select, [B, MASK[0, 0]],
                                                                                          [V, W], V + W),
    case(np.clip, V, -0.5, 0.5), case(np.clip, V, None, 0.1), case(np.clip, V.astype(F32), 0, f),
    case(np.clip, I, 0, 3),
    case(np.clip, f, 0, 1), case(np.clip, I, 0.5, None), case(np.clip, V, min=W, max=2.0),
    case(np.where, V > 0, V, W), case(np.where, V > 0, 1.0, 0.0), case(np.where, V > 0, V.astype(F32), 0),
    case(np.where, I, I, 2.5),
    case(np.where, MASK), case(np.where, MASK[:, :1], M, ROW), case(np.where, B, 1, 0),
    case(np.heaviside, V, 0.5), case(np.heaviside, I, 1.0),
    case(np.nan_to_num, np.array([np.nan, np.inf, -np.inf, 1.0])),
    case(np.round, V), case(np.round, V, 2), case(np.round, V * 100, -1), case(np.round, V.astype(F32), 1),
    case(np.round, I),
    case(np.allclose, V, V), case(np.allclose, V, W), case(np.invert, B), case(np.invert, I), case(np.invert, U8),
    case(np.float_power, I[:1], 2), case(np.logaddexp2, V, W), case(np.left_shift, I, 2), case(np.power, V, 2),
    # products
    case(np.dot, V, W), case(np.dot, M, N), case(np.dot, M, N[:, 0]), case(np.dot, T, S[:, :2]),
    case(np.dot, S[0], T.swapaxes(1, 2)),
    case(np.dot, 2.0, V), case(np.dot, f, f), case(np.dot, I, I), case(np.dot, M.astype(F32), N.astype(F32)),
    case(np.matmul, T, S), case(np.matmul, M, N), case(operator.matmul, V, W), case(np.matmul, T, S[0]),
    case(np.matmul, S, T.swapaxes(1, 2)),
    case(np.matmul, I, V), case(np.inner, V, W), case(np.inner, M, M), case(np.inner, T, M), case(np.vdot, M, M),
    case(np.outer, V, I),
    case(np.outer, M, V), case(np.tensordot, T, N, 1), case(np.tensordot, T, M, 2),
    case(np.tensordot, T, M, ((1, 2), (0, 1))),
    case(np.tensordot, T, T, axes=([0, 2], [0, 2])), case(np.tensordot, M, N, ([1], [0])), case(np.tensordot, V, W, 0),
    case(np.cross, V[:3], W[:3]), case(np.cross, M[:, :3], RNG.normal(size=(3, 3))),
    *(case(np.einsum, e, *xs) for e, xs in (
        ("ij,jk->ik", (M, N)), ("ij,jk", (M, N)), ("i,i", (V, W)), ("i,i->i", (V, W)), ("ij->ji", (M,)), ("ij->", (M,)),
        ("ij->j", (M,)), ("bij,jk->bik", (T, N)), ("bij,bij->b", (T, T)), ("i,j->ij", (V, W)), ("ij,ij->ij", (M, M)),
        ("ji,jk->ik", (M, M)), ("bij,bkj->bik", (T, T)), ("i,ij,j", (V[:3], M, V[:4])), ("ij,jk,kl->il", (M, N, N.T)),
        ("ii", (S,)), ("ii->i", (S,)), ("ii,i->i", (S, S[0])),
        ("iij->j", (np.ones((2, 2, 3)),)), ("iii", (np.ones((2, 2, 2)),)),
        ("ij,k->k", (M, V)), ("ba", (M,)), ("ij,jk->ki", (I.reshape(1, 5), I.reshape(5, 1))),
    )),
    case(np.trace, S), case(np.trace, S, 1), case(np.trace, M, -1), case(np.trace, I.reshape(1, 5)),
    # shapes
    case(np.reshape, M, (4, 3)), case(np.reshape, M, -1), case(np.reshape, M, (2, -1)), case(np.reshape, M, (-1, 1)),
    case(np.reshape, V, (1, 5, 1)),
    case(np.reshape, T, (3, -1, 2)), case(np.reshape, V[:1], ()), case(np.reshape, f, (1, 1)),
    case(np.reshape, M, (k, -1)), case(np.reshape, EMPTY, -1),
    case(np.ravel, T), case(np.ravel, V), case(np.ravel, 3.0), case(np.transpose, T),
    case(np.transpose, T, (1, 0, 2)), case(np.transpose, T, (-1, 0, 1)),
    case(np.swapaxes, T, 0, -1), case(np.moveaxis, T, 0, -1), case(np.moveaxis, T, (0, 1), (-1, 0)),
    case(np.matrix_transpose, T),
    case(np.expand_dims, V, 0), case(np.expand_dims, V, (0, 2)), case(np.expand_dims, M, -1),
    case(np.expand_dims, f, 0),
    case(np.squeeze, COLUMN, -1), case(np.squeeze, ROW, 0), case(np.squeeze, V.reshape(1, 5, 1), (0, -1)),
    case(np.broadcast_to, V, (2, 5)), case(np.broadcast_to, COLUMN, (3, 4)), case(np.broadcast_to, f, (2, 2)),
    case(np.broadcast_to, V, (k, 5)),
    case(np.atleast_1d, f), case(np.atleast_2d, V), case(np.atleast_2d, M), case(np.shape, M), case(np.size, M),
    case(np.size, M, 1), case(np.ndim, T),
    # joining and splitting
    case(np.concatenate, (V, W)), case(np.concatenate, [M, ROW], axis=0), case(np.concatenate, (M, COLUMN), -1),
    case(np.concatenate, (V, I)),
    case(np.concatenate, (V.astype(F32), I32)), case(np.concatenate, (M, V), axis=None),
    case(np.concatenate, (V, [1.0, f])), case(np.concatenate, (V,)),
    case(np.concatenate, (EMPTY, M[:, :3])), case(np.concatenate, (V, W), dtype=np.float32),
    case(np.concatenate, (V[:1], W[:1])),
    case(np.stack, (V, W)), case(np.stack, (V, W), axis=1), case(np.stack, [f, 1.0, k]), case(np.stack, (M, M), -1),
    case(np.stack, (F32(1), F32(2))),
    case(np.hstack, (V, W)), case(np.hstack, (M, COLUMN)), case(np.hstack, (1.0, V)), case(np.vstack, (V, W)),
    case(np.vstack, (M, ROW)),
    case(np.column_stack, (V, W)), case(np.column_stack, (M, V[:3])), case(np.append, V, 1.0),
    case(np.append, M, ROW, axis=0),
    case(np.split, T, 2), case(np.split, M, [1, 3], axis=1), case(np.split, V, [k]),
    # repeating, rolling, padding
    case(np.roll, V, 2), case(np.roll, V, -7), case(np.roll, M, 1), case(np.roll, M, k, axis=1),
    case(np.roll, M, (1, -2), axis=(0, 1)), case(np.roll, M, 2, (0, 1)),
    case(np.flip, M), case(np.flip, M, 0), case(np.flip, T, (0, -1)), case(np.fliplr, M), case(np.flipud, V),
    case(np.tile, V, 3), case(np.tile, M, (2, 3)), case(np.tile, V, (2, 1)), case(np.tile, M, 2), case(np.tile, V, k),
    case(np.tile, f, 3),
    case(np.repeat, V, 2), case(np.repeat, M, 3, axis=0), case(np.repeat, M, k, axis=-1), case(np.repeat, M, 2),
    case(np.pad, V, 1), case(np.pad, V, (2, 0)), case(np.pad, M, ((1, 2), (0, 1))),
    case(np.pad, M, 1, constant_values=3.5), case(np.pad, V, ((k, 1),)),
    *(case(np.pad, x, 2, mode=m) for m in ("edge", "wrap", "reflect", "symmetric") for x in (V, M)), case(np.pad, I, 1),
    # diagonals, gathering
    case(np.diag, V), case(np.diag, V, 1), case(np.diag, V, -2), case(np.diag, S), case(np.diag, M, 1),
    case(np.diag, S, k=-1), case(np.diagonal, T, 0, 1, 2), case(np.diagonal, T),
    case(np.tril, S), case(np.triu, M, 1), case(np.tril, M, -1), case(np.triu, I.reshape(1, 5)),
    case(np.take, V, I[2:4]), case(np.take, M, [0, 2], axis=1),
    case(np.take, M, 2), case(np.take, M, k, axis=1), case(np.nonzero, MASK),
    # creation
    case(np.zeros, 3), case(np.zeros, (2, 3), np.float32), case(np.zeros, k), case(np.zeros, (k, 2), dtype=int),
    case(np.ones, (2,), dtype=bool), case(np.full, (2, 2), 1.5),
    case(np.full, 3, f), case(np.full, 3, 7), case(np.full, (2, 5), V), case(np.full, 2, 1, dtype=np.float32),
    case(np.zeros_like, I32), case(np.ones_like, M, dtype=np.float32),
    case(np.full_like, I, 2.7), case(np.full_like, V, f, shape=(2, 2)), case(np.zeros_like, f), case(np.zeros, ()),
    case(np.arange, 5), case(np.arange, k), case(np.arange, 2, 9), case(np.arange, 9, 2, -3),
    case(np.arange, k, 10, 2), case(np.arange, 0.0, 1.0, 0.1), case(np.arange, 0, 1, f),
    case(np.arange, 4.0), case(np.arange, 5, dtype=np.float32), case(np.arange, 0.0, 1.0, 0.3, dtype=np.float32),
    case(np.arange, np.int32(3)), case(np.arange, 5, 2),
    case(np.linspace, 0, 1, 5), case(np.linspace, -1.0, f, 7), case(np.linspace, 0, 1, k),
    case(np.linspace, 0, 1, 4, endpoint=False), case(np.linspace, 0, 1, 1),
    case(np.linspace, 0.0, 2.0), case(np.linspace, 0, 1, 5, dtype=np.float32), case(np.linspace, F32(0), F32(1), 3),
    case(np.linspace, 0, f, k, endpoint=False),
    case(np.eye, 3), case(np.eye, 2, 4, 1), case(np.eye, k, dtype=np.float32), case(np.identity, 2),
    case(np.eye, 3, k=-1),
    case(np.meshgrid, V, I), case(np.meshgrid, V, W, indexing="ij"), case(np.meshgrid, V, W[:3], I, indexing="xy"),
    case(np.meshgrid, V, W, sparse=True),
    case(np.array, [1.0, 2.0]), case(np.array, [f, 1.0, k]), case(np.array, [[f, 1], [2, f]]),
    case(np.array, [1, 2, k]), case(np.array, [True, False]), case(np.array, [V, W]),
    case(np.array, [F32(1), F32(2)]), case(np.array, [F32(1), 1.0]), case(np.array, [1, 2], dtype=np.float32),
    case(np.array, V), case(np.array, [[V, W], [W, V]]), case(np.asarray, I, dtype=float),
    case(np.copy, V), case(np.array, []), case(np.asarray, [[1.0] * 3] * 2), case(np.array, f),
    case(np.float32, V), case(np.float64, f), case(np.int64, V), case(np.float32, f), case(np.bool_, V),
    case(np.int32, 3.7),
    # Python and math
    *(case(g, f) for g in (math.sin, math.exp, math.log, math.sqrt, math.tanh, math.erf, math.fabs, math.floor,
    math.ceil, math.trunc, math.radians,
                           math.degrees, math.exp2, math.isnan, math.asin, math.atanh, math.log1p, math.cbrt, abs,
                           round, float, int, bool, operator.neg, operator.pos)),
    *(case(g, F32(1.7)) for g in (math.sin, math.exp, math.floor, math.cosh, abs, round, float, int)),
    *(case(g, k) for g in (math.sqrt, math.floor, math.log2, abs, round, float, operator.invert, operator.pos,
    operator.neg)),
    *(case(g, t) for g in (operator.invert, operator.pos, abs, operator.not_, float, int) if g is not operator.invert),
    case(math.log, f, 2), case(math.log, 8.0, k), case(math.pow, f, k), case(math.hypot, f, k),
    case(math.hypot, f, k, 2), case(math.atan2, f, -2.0), case(math.fmod, -5.5, f),
    case(max, f, 1.0), case(min, f, k, -2.0), case(max, (f, 3.0)), case(max, V), case(min, I), case(builtins.sum, V),
    case(builtins.sum, [f, 1, k]), case(builtins.sum, M),
    case(builtins.sum, I32), case(builtins.sum, (f, f), 2.0), case(math.prod, (f, 2, k)), case(pow, f, 2),
    case(divmod, f, 0.3), case(divmod, k, 2), case(operator.invert, I), case(operator.invert, B),
    # SciPy
    *(case(g, V) for g in (special.erf, special.erfc, special.expit, special.log_expit, special.logsumexp,
    special.softmax, special.log_softmax)),
    case(special.expit, V.astype(F32)), case(special.expit, np.array([-800.0, 0.0, 800.0])),
    case(special.logit, np.array([0.2, 0.9])), case(special.logsumexp, M, axis=1),
    case(special.logsumexp, M, 0, keepdims=True), case(special.softmax, M, axis=0),
    case(special.xlogy, np.array([0.0, 2.0]), np.array([0.0, 3.0])), case(special.erf, f), case(special.expit, I),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_call(function, args, kwargs):
    rule = find(function)
    assert rule is not None
    expected = function(*map(plain, args), **{key: plain(v) for key, v in kwargs.items()})
    compare(rule, expected, args, kwargs)


METHOD_CALLS = [
    ("sum", M, (0,)), ("mean", M, ()), ("std", V, ()), ("max", M, (1,)), ("min", V, ()), ("dot", M, (N,)),
    ("reshape", M, (4, 3)), ("reshape", M, ((2, -1),)),
    ("reshape", M, (-1,)), ("transpose", T, (1, 2, 0)), ("transpose", T, ()), ("ravel", M, ()), ("flatten", M, ()),
    ("flatten", V, ()), ("astype", V, (np.float32,)),
    ("astype", V, (int,)), ("astype", I, ("float32",)), ("astype", I, (bool,)), ("copy", V, ()),
    ("clip", V, (0.0, 1.0)), ("cumsum", M, (1,)), ("prod", V, ()), ("argmax", V, ()),
    ("any", B, ()), ("all", B, ()), ("round", V, (1,)), ("squeeze", COLUMN, (1,)), ("swapaxes", M, (0, 1)),
    ("repeat", V, (2,)), ("take", V, (I[:1],)), ("trace", S, ()), ("var", V, ()),
    ("item", V[:1], ()), ("item", F32(2.5), ()), ("item", np.int64(3), ()), ("sum", F32(2.5), ()), ("nonzero", B, ()),
    ("argsort", V, ()), ("diagonal", S, (1,)), ("conj", V, ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "args"), METHOD_CALLS)
def test_method(name, x, args):
    compare(METHODS[name], getattr(x, name)(*args), (x, *args))


def test_every_method_has_a_case():
    tried = {name for name, *_ in METHOD_CALLS}
    assert set(METHODS) - tried <= {"argmin", "conjugate", "cumprod", "searchsorted"}


def test_nothing_of_scipy_is_needed_to_find_names():
    assert find(special.erf) is not None and special.erf not in EXPANSIONS


def test_python_numbers_have_no_methods():
    call = Call()
    with pytest.raises(InvalidArgument, match="no method 'sum'"):
        METHODS["sum"](call.op, call.handles(f))


def test_attributes():
    call = Call()
    x = call.handles(T)
    assert ATTRIBUTES["dtype"](call.op, x) == np.float64
    assert ATTRIBUTES["ndim"](call.op, x) == 3
    compare(ATTRIBUTES["T"], T.T, (T,))
    compare(ATTRIBUTES["shape"], T.shape, (T,))
    compare(ATTRIBUTES["size"], T.size, (T,))
    compare(ATTRIBUTES["mT"], T.mT, (T,))


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
ANY_PAIR = [
    np.add, np.multiply, np.divide, np.maximum, np.equal, np.less, np.where, np.power, np.floor_divide, np.mod,
    np.concatenate, np.dot,
    np.clip, np.outer, operator.add, operator.mul, operator.truediv, np.arctan2, np.hypot, np.stack, np.array,
]  # fmt: skip
ANY_ONE = [
    np.sum, np.prod, np.mean, np.var, np.max, np.any, np.all, np.cumsum, np.cumprod, np.argmax, np.sign, np.square,
    np.abs, np.round, np.sqrt,
    np.exp, np.linalg.norm, np.diff, np.trace, np.zeros_like, np.sort, np.nonzero, np.diag, np.tril, np.rint,
    np.floor, np.isnan, np.ptp,
    np.count_nonzero, np.fabs, np.trapezoid, np.einsum, builtins.sum, operator.neg, operator.abs, np.float32,
    np.float64,
]  # fmt: skip


def applied(function, rule, x, args):
    """A function and its rule with the arguments that it needs around the values under test."""
    if function is np.where:
        return (x[0] > 0, *args)
    if function in (np.concatenate, np.stack, np.array):
        return (tuple(args),)
    if function is np.clip:
        return (args[0], args[1], None)
    if function is np.einsum:
        return ("ij->i", *args)
    return args


def check_dtypes(function, args):
    rule = find(function)
    given = applied(function, rule, args, args)
    with np.errstate(all="ignore"):
        try:
            expected = function(*given)
        except (TypeError, ValueError):
            return
        power_of_bools = function is np.power and args[0].dtype == bool
        if power_of_bools or any(np.asarray(e).dtype == np.float16 for e in flat(expected)):
            with pytest.raises(UnsupportedDtype):
                compare(rule, expected, given)
            return
        compare(rule, expected, given)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ANY_PAIR, ids=lambda u: u.__name__)
def test_every_pair_of_dtypes(function, dtype):
    x = np.array([1, 2, 3]).astype(dtype)
    for other in DTYPES:
        check_dtypes(function, (x, np.array([3, 1, 2]).astype(other)))
        if function is not np.concatenate:
            check_dtypes(function, (x[0], np.array([3, 1, 2]).astype(other)[1]))
    if function not in (np.concatenate, np.stack, np.array):
        for number in (2, 0.5, k, f, t):
            expected_number = plain(number)
            check_number(function, x, number, expected_number)


def check_number(function, x, number, value):
    """A Python number beside an array."""
    rule = find(function)
    with np.errstate(all="ignore"):
        try:
            expected = function(*applied(function, rule, (x,), (x, value)))
        except (TypeError, OverflowError, ValueError):
            return
        if np.asarray(expected).dtype != np.float16 and (function is not np.power or x.dtype != bool):
            compare(rule, expected, applied(function, rule, (x,), (x, number)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ANY_ONE, ids=lambda u: u.__name__)
def test_every_dtype(function, dtype):
    x = np.array([[1, 0, 3], [2, 4, 2], [0, 1, 1]]).astype(dtype)
    check_dtypes(function, (x,))

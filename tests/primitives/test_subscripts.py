"""Python subscripts against NumPy's own indexing, reading and writing."""

from __future__ import annotations

import numpy as np
import pytest

from adcompile.errors import InvalidArgument, ShapeMismatch, UnsupportedSyntax
from adcompile.primitives import Handle, resolve_subscript, store_subscript, subscript
from adcompile.primitives.evaluate import run
from tests.primitives.calls import Call, Dynamic, compare, plain

R = np.random.default_rng(2)
V, M, T = R.normal(size=6), R.normal(size=(4, 5)), R.normal(size=(2, 3, 4))
P = np.array([2, 0, -1])
i, j = Dynamic(1), Dynamic(-2)
s_ = np.s_

INDICES = [
    (V, 0), (V, -1), (V, i), (V, np.int32(3)), (V, slice(1, -1)), (V, slice(None, None, 2)),
    (V, slice(None, None, -1)), (V, slice(i, j)), (V, slice(None, i)),
    (V, slice(10, 20)), (V, slice(4, 1)), (V, slice(4, 1, -1)), (V, slice(-100, 3)), (V, slice(0, None)),
    (V, slice(0, 0)), (V, Ellipsis), (V, ()), (V, None), (V, (None, slice(None))),
    (V, (slice(None), None)), (V, P), (V, [1, 1, 0]), (V, [i, 0]), (V, V > 0), (V, [True, False] * 3), (V, []),
    (V, P.reshape(1, 3)), (V, range(2)),
    (M, 1), (M, (1, 2)), (M, (i, j)), (M, (slice(None), 0)), (M, (slice(1, 3), slice(None, -1))), (M, (Ellipsis, 1)),
    (M, (Ellipsis, slice(1, 2))), (M, P), (M, (slice(None), P)),
    (M, (P, P)), (M, (P[:, None], P)), (M, (1, P)), (M, (P, 1)), (M, M > 0), (M, (slice(None), M[0] > 0)),
    (M, (M[:, 0] > 0, 1)), (M, ([0, 1], [1, 0])), (M, (None, 1, None)),
    (M, ((0, 1),)), (M[:1], (0, slice(None))), (M[:1], slice(0, 1)),
    (T, (Ellipsis, 0)), (T, (0, Ellipsis)), (T, (0, Ellipsis, 1)), (T, (1, slice(None), P)),
    (T, (P[:2] * 0, slice(None), 1)), (T, (slice(None), 1, P)), (T, (slice(None), P, P)), (T, (T > 0)),
    (T, (T[0] > 0)[None].repeat(2, 0)), (T, (0, T[0] > 0)), (T, (slice(None), None, 1, slice(2, None, -1))),
    (T, (P[:2] * 0, None, P[:2])),
]  # fmt: skip


@pytest.mark.parametrize(("x", "index"), INDICES, ids=range(len(INDICES)))
def test_read(x, index):
    compare(subscript, x[plain(index)], (x, index))


@pytest.mark.parametrize("number", [True, False], ids=["number", "array"])
@pytest.mark.parametrize(("x", "index"), INDICES, ids=range(len(INDICES)))
def test_write(x, index, number):
    value = np.float64(7.5) if number else R.normal(size=x[plain(index)].shape)
    value = value if np.ndim(value) else np.float64(value)
    expected = x.copy()
    expected[plain(index)] = value
    compare(store_subscript, expected, (x, index, value))


def test_mask_with_a_number_is_a_where():
    call = Call()
    x, mask = call.handles(M), call.handles(M > 0)
    store_subscript(call.op, x, mask, 0.0)
    ops = {e.op for e in call.builder.eqns}
    assert "where" in ops and not ops & {"store", "nonzero"}


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_write_converts(dtype):
    x, mask = V.astype(dtype), V > 0
    for index in (mask, slice(1, 3), 2):
        expected = x.copy()
        expected[index] = 2.7
        compare(store_subscript, expected, (x, index, 2.7))


def test_full_subscript_is_the_array_itself():
    call = Call()
    x = call.handles(M)
    for index in (Ellipsis, slice(None), (slice(None), slice(None)), slice(0, None)):
        assert subscript(call.op, x, index) is x


def test_spec_is_complete():
    call = Call()
    x = call.handles(T)
    spec, args = resolve_subscript(call.op, x, (1, Ellipsis, slice(0, 2)))
    assert spec == (("int",), ("slice", False, False, 1), ("slice", False, True, 1))
    assert args == (1, 2)


REFUSED = [
    (V, (0, 0), ShapeMismatch, "too many indices"),
    (V, 1.5, InvalidArgument, "an index must be an integer, not float"),
    (V, True, InvalidArgument, "an index must be an integer, not bool"),
    (V, Dynamic(True), InvalidArgument, "must be an integer"),
    (V, Dynamic(1.0), InvalidArgument, "must be an integer"),
    (V, V, InvalidArgument, "integer or bool"),
    (V, (Ellipsis, Ellipsis), InvalidArgument, "single ellipsis"),
    (V, slice(None, None, 0), InvalidArgument, "zero"),
    (V, slice(None, None, Dynamic(2)), UnsupportedSyntax, "only known at run time"),
    (V, slice(0.5, None), InvalidArgument, "slice bound"),
    (V, "abc", InvalidArgument, "not str"),
    (np.float64(1.0), 0, InvalidArgument, "cannot be subscripted"),
]


@pytest.mark.parametrize(("x", "index", "error", "words"), REFUSED, ids=[r[3] + str(k) for k, r in enumerate(REFUSED)])
def test_refused(x, index, error, words):
    call = Call()
    with pytest.raises(error, match=words):
        subscript(call.op, call.handles(x), call.handles(index))


def test_mask_of_another_shape_fails_at_run_time():
    call = Call()
    x, mask = call.handles(V), call.handles(V[:3] > 0)
    result = subscript(call.op, x, mask)
    with pytest.raises(ValueError, match="boolean index did not match"):
        run(call.trace([result]), call.values)
    assert isinstance(result, Handle)

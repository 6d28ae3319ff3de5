"""Calls that no expansion takes: refused while tracing with the reason, or failing at run time where sizes decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adcompile.errors import AdcompileError, InvalidArgument, MissingRule, ShapeMismatch, UnsupportedDtype
from adcompile.primitives import find
from adcompile.primitives.evaluate import run
from tests.primitives.calls import Call, Dynamic, flat
from tests.primitives.test_expansions import COLUMN, STACK, B, I, M, N, S, T, V, W, f

REFUSED = [
    (np.sum, (V,), {"out": V}, MissingRule, "np.sum with out= is not supported"),
    (np.add, (V, V), {"where": B}, MissingRule, "where="),
    (np.add, (V, V, V), {}, MissingRule, "out="),
    (np.sum, (V,), {"axis": 1}, ShapeMismatch, "axis 1 is out of bounds"),
    (np.sum, (M,), {"axis": (0, 0)}, ShapeMismatch, "repeated axis"),
    (np.array, (V,), {"copy": False}, MissingRule, "copy="),
    (np.reshape, (V, 5), {"copy": True}, MissingRule, "copy="),
    (np.zeros, (3, np.complex128), {}, UnsupportedDtype, "complex128"),
    (np.zeros, (3, np.float16), {}, UnsupportedDtype, "float16"),
    (np.exp, (B,), {}, UnsupportedDtype, "float16"),
    (np.reshape, (V, (-1, -1)), {}, InvalidArgument, "one unknown dimension"),
    (np.reshape, (V, 5, "F"), {}, MissingRule, "order="),
    (np.einsum, ("ij->ii", S), {}, InvalidArgument, "output label twice"),
    (np.einsum, ("i...->i", S), {}, MissingRule, "ellipsis"),
    (np.concatenate, ((V, M),), {}, ShapeMismatch, "dimensions"),
    (np.concatenate, ((M, COLUMN),), {}, ShapeMismatch, "dimensions"),
    (np.add, (np.zeros(3), "x"), {}, UnsupportedDtype, "str cannot enter"),
    (math.sin, (V,), {}, InvalidArgument, "takes numbers, not an array"),
    (max, (V, W), {}, InvalidArgument, "takes numbers"),
    (round, (f, 2), {}, MissingRule, "np.round"),
    (np.linalg.norm, (M, 2), {}, MissingRule, "ord=2"),
    (np.pad, (V, 1), {"mode": "mean"}, MissingRule, "mode='mean'"),
    (np.repeat, (V, I), {}, MissingRule, "per element"),
    (np.linspace, (V, W), {}, MissingRule, "between arrays"),
    (np.matmul, (M, 2.0), {}, ShapeMismatch, "scalar"),
    (np.cross, (M, M), {"axisc": 0}, MissingRule, "last axis"),
    (np.roll, (V, 0.5), {}, InvalidArgument, "integer"),
    (np.sum, (V, Dynamic(0)), {}, AdcompileError, "only known at run time"),
    (np.take, (V, I), {"mode": "clip"}, MissingRule, "mode="),
    (pow, (2, 3, 5), {}, MissingRule, "modulus"),
    (np.linalg.solve, (STACK, V), {}, MissingRule, "leading dimensions"),
    (np.linalg.inv, (V,), {}, ShapeMismatch, "two-dimensional"),
    (np.gradient, (M, 1.0, 2.0, 3.0), {}, InvalidArgument, "one for each axis"),
    (np.gradient, (V,), {"edge_order": 3}, InvalidArgument, "edge_order"),
    (np.gradient, (V[:1],), {}, InvalidArgument, "too small"),
    (np.convolve, (M, V), {}, ShapeMismatch, "one-dimensional"),
    (np.convolve, (I, I), {}, MissingRule, "of int64"),
    (np.correlate, (V, W, "all"), {}, InvalidArgument, "mode"),
    (np.quantile, (V, W), {}, MissingRule, "several numbers"),
    (np.median, (T, (0, 1)), {}, MissingRule, "several axes"),
    (np.quantile, (V, 0.5), {"method": "nearest"}, MissingRule, "method="),
    (np.quantile, (V, 1.5), {}, InvalidArgument, "range"),
    (np.select, ([B], [V, W]), {}, InvalidArgument, "as many choices"),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "error", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(function, args, kwargs, error, words):
    call = Call()
    with pytest.raises(error, match=words) as caught:
        find(function)(call.op, *map(call.handles, args), **kwargs)
    assert isinstance(caught.value, AdcompileError)


FAILS_LATER = [
    (np.reshape, (V, (2, 3))),
    (np.reshape, (V, (2, -1))),
    (np.tensordot, (M, N, ([0], [0]))),
    (np.einsum, ("i,i->i", V, W[:3])),
    (np.squeeze, (V, 0)),
    (np.broadcast_to, (V, (2, 4))),
    (np.split, (V, 2)),
    (np.linalg.det, (M,)),
    (np.linalg.solve, (S, V)),
]


@pytest.mark.parametrize(("function", "args"), FAILS_LATER, ids=lambda x: getattr(x, "__name__", ""))
def test_sizes_that_do_not_fit_fail_at_run_time(function, args):
    call = Call()
    results = flat(find(function)(call.op, *map(call.handles, args)))
    with pytest.raises(ValueError, match="sizes"):
        run(call.trace(results), call.values)

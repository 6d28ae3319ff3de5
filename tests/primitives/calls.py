"""Builds a trace from one call of an expansion and compares what it computes with the call itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from adcompile.ir import ANY, NOT_ONE, Array, Scalar, Trace, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT
from adcompile.ir.verifier import verify
from adcompile.primitives import Emitter, Handle
from adcompile.primitives.evaluate import infer, run

TOLERANCE = {"float32": 2e-6, "float64": 2e-14}


class Dynamic:
    """A Python number that is an argument of the traced program, not a literal in it."""

    def __init__(self, value: Any):
        self.value = value


def type_of(value: Any, unknown: str = NOT_ONE):
    """The type that a signature gives to an argument; ``unknown`` stands for sizes other than one."""
    if isinstance(value, np.ndarray):
        return Array(value.dtype.name, tuple(1 if n == 1 else unknown for n in value.shape))
    if isinstance(value, np.generic):
        return Scalar(value.dtype.name)
    return {bool: PYTHON_BOOL, int: PYTHON_INT, float: PYTHON_FLOAT}[type(value)]


class Call:
    """The inputs of a call, as handles for the expansion and as values for NumPy."""

    def __init__(self, unknown: str = NOT_ONE):
        self.unknown = unknown
        self.builder = Builder()
        self.op = Emitter(self.builder)
        self.params: list[Value] = []
        self.values: list[Any] = []

    def handles(self, x: Any) -> Any:
        """Arguments with arrays, NumPy scalars and dynamic numbers replaced by parameters of the trace."""
        if isinstance(x, (tuple, list)):
            return type(x)(map(self.handles, x))
        if isinstance(x, slice):
            return slice(*(self.handles(b) for b in (x.start, x.stop, x.step)))
        if not isinstance(x, (np.ndarray, np.generic, Dynamic)):
            return x
        value = x.value if isinstance(x, Dynamic) else x
        self.params.append(Value(type_of(value, self.unknown)))
        self.values.append(value)
        return Handle(self.op, self.params[-1])

    def trace(self, results: list) -> Trace:
        """The program so far, verified."""
        atoms = tuple(self.op.atom(r) for r in results)
        return verify(Trace("call", self.builder.block(tuple(self.params), atoms)), infer)


def plain(x: Any) -> Any:
    """Arguments as NumPy takes them."""
    if isinstance(x, (tuple, list)):
        return type(x)(map(plain, x))
    if isinstance(x, slice):
        return slice(*(plain(b) for b in (x.start, x.stop, x.step)))
    return x.value if isinstance(x, Dynamic) else x


def flat(x: Any) -> list:
    """Results of a call as a flat list."""
    return [leaf for v in x for leaf in flat(v)] if isinstance(x, (tuple, list)) else [x]


def compare(rule, expected, args: tuple, kwargs: dict | None = None) -> None:
    """Check values, dtypes, shapes, Python types and the shape rules of an expansion's results."""
    for unknown in (NOT_ONE, ANY):
        compare_once(Call(unknown), rule, expected, args, kwargs or {})


def compare_once(call: Call, rule, expected, args: tuple, kwargs: dict) -> None:
    """One comparison, with what the call's signature knows of the sizes."""
    results = flat(rule(call.op, *(call.handles(a) for a in args), **{k: call.handles(v) for k, v in kwargs.items()}))
    results = [call.op.lift(r) for r in results]
    sizes = [n for r in results for n in call.op.shape(r)]
    trace = call.trace([*results, *sizes])
    before = [np.copy(v) for v in call.values]
    computed = run(trace, call.values)
    for old, new in zip(before, call.values, strict=True):
        np.testing.assert_array_equal(old, new, err_msg="an argument was modified")
    wanted = flat(expected)
    assert len(wanted) == len(results)
    for handle, got, want in zip(results, computed, wanted, strict=False):
        check_value(handle, got, want, str(trace))
    shapes = [n for got in computed[: len(results)] for n in np.shape(got)]
    assert list(computed[len(results) :]) == shapes, f"shape rules differ\n{trace}"


def check_value(handle: Handle, got: Any, want: Any, text: str) -> None:
    """One result: what the type promises, and what NumPy computes."""
    kind = handle.type
    if isinstance(kind, Scalar):
        python = {"float64": float, "int64": int, "bool": bool}.get(kind.dtype)
        assert type(got) is (python if kind.weak else np.dtype(kind.dtype).type), f"{type(got)} for {kind}\n{text}"
    else:
        assert got.dtype.name == kind.dtype, text
        for n, dim in zip(got.shape, kind.dims, strict=True):
            assert (n == dim) if isinstance(dim, int) else (dim != NOT_ONE or n != 1), f"{got.shape} {kind}\n{text}"
    is_python = type(want) in (float, int, bool)
    if is_python:
        assert type(got) is type(want), f"{type(got)} for {type(want)}\n{text}"
    want = np.asarray(want)
    assert want.dtype.name == kind.dtype, f"{kind} for {want.dtype}\n{text}"
    assert np.shape(got) == want.shape, f"{np.shape(got)} for {want.shape}\n{text}"
    rtol = TOLERANCE.get(kind.dtype, 0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol, equal_nan=True, err_msg=text)

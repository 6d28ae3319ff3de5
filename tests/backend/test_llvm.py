"""The llvm backend against the interpreter, on traces of the loop dialect built by hand."""

import gc
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.errors import InvalidTrace, MissingRule, ShapeMismatch
from adcompile.ir import ANY, NOT_ONE, Array, Const, Scalar, Trace, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import DTYPES, INDEX, PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT
from adcompile.primitives import Emitter
from adcompile.primitives.evaluate import run
from adcompile.source import SourceLoc

VECTOR = Array("float64", (ANY,))
MATRIX = Array("float64", (ANY, ANY))
LOC = SourceLoc(__file__, 1, 0, 10, "kernel")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


# -- traces by hand -------------------------------------------------------------------------------------------------


def build(types, function, name="f"):
    """The trace of ``function(op, *handles)``, which returns handles."""
    builder = Builder()
    builder.loc = LOC
    op = Emitter(builder)
    params = tuple(Value(t, f"a{i}") for i, t in enumerate(types))
    results = function(op, *map(op.handle, params))
    results = results if isinstance(results, tuple) else (results,)
    return Trace(name, builder.block(params, [op.atom(r) for r in results]))


def region(op, params, function):
    """A block whose equations ``function`` emits."""
    child = op.builder.child()
    inner = Emitter(child)
    results = function(inner, *map(inner.handle, params))
    results = results if isinstance(results, tuple) else (results,)
    return child.block(params, [inner.atom(r) for r in results])


def loop(op, start, stop, step, inits, function):
    """A counted loop; ``function(op, i, *carried)``."""
    atoms = [op.atom(a) for a in (start, stop, step, *inits)]
    types = [a.type for a in atoms[3:]]
    body = region(op, (Value(INDEX, "i"), *map(Value, types)), function)
    outs = op.builder.emit("loop", atoms, types, {}, regions=(body,))
    return tuple(map(op.handle, outs))


def repeat(op, inits, condition, function):
    """A while loop."""
    atoms = [op.atom(a) for a in inits]
    types = [a.type for a in atoms]
    regions = tuple(region(op, tuple(map(Value, types)), f) for f in (condition, function))
    return tuple(map(op.handle, op.builder.emit("while", atoms, types, {}, regions=regions)))


def branch(op, test, types, then, otherwise):
    """An if."""
    regions = tuple(region(op, (), f) for f in (then, otherwise))
    return tuple(map(op.handle, op.builder.emit("if", [op.atom(test)], types, {}, regions=regions)))


def at(op, a, *indices):
    return op("index", a, *indices, spec=(("int",),) * len(indices))


def put(op, a, value, *indices):
    return op("store", a, value, *indices, spec=(("int",),) * len(indices))


def add_at(op, a, value, *indices):
    return op("accumulate", a, value, *indices, spec=(("int",),) * len(indices))


def empty(op, *sizes, dtype="float64"):
    return op("empty", *sizes, dtype=dtype, dims=op.dims_of(sizes))


def mapped(op, x, function):
    """A new vector, ``function`` of every element of ``x``."""
    n = op.size(x, 0)
    (y,) = loop(op, 0, n, 1, [empty(op, n, dtype=x.type.dtype)], lambda op, i, y: put(op, y, function(op, at(op, x, i)), i))
    return y


def check(trace, *args, rtol=1e-12):
    """Native code and the interpreter agree in values and types; the results are returned."""
    before = [np.copy(a) for a in args]
    expected = run(trace, args)
    got = llvm.compile(trace).call(*args)
    assert isinstance(got, tuple)
    for g, e, result in zip(got, expected, trace.results, strict=True):
        if isinstance(result.type, Scalar) and result.type.weak:
            assert type(g) is {"float64": float, "int64": int, "bool": bool}[result.type.dtype]
        elif isinstance(result.type, Scalar):
            assert type(g) is np.dtype(result.type.dtype).type
        else:
            assert type(g) is np.ndarray and g.dtype == result.type.dtype and g.flags.owndata and g.flags.c_contiguous
        np.testing.assert_allclose(g, e, rtol=rtol, atol=0, equal_nan=True)
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)
    return got


# -- scalars --------------------------------------------------------------------------------------------------------

EDGES = {
    "f": [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.0, -7.25, 1e-300, 1e300, np.inf, -np.inf, np.nan],
    "i": [0, 1, -1, 2, -2, 3, -7, 63, 100, -128],
    "u": [0, 1, 2, 3, 7, 63, 100, 255],
    "b": [False, True],
}
UNARY = (
    "neg square reciprocal exp expm1 log log1p log2 log10 sqrt cbrt sin cos tan arcsin arccos arctan arcsinh arccosh "
    "arctanh sinh cosh tanh erf erfc abs sign floor ceil trunc rint logical_not isnan isinf isfinite stop_gradient"
).split()
BINARY = (
    "add sub mul div floordiv mod pow logaddexp hypot arctan2 maximum minimum lt le gt ge eq ne logical_and logical_or "
    "bitand bitor bitxor lshift rshift"
).split()
FLOAT_ONLY = set(UNARY) - set("neg square abs sign floor ceil trunc rint logical_not isnan isinf isfinite stop_gradient".split())
FLOAT_ONLY |= {"div", "logaddexp", "hypot", "arctan2"}
INTEGER_ONLY = {"bitand", "bitor", "bitxor", "lshift", "rshift"}
NOT_BOOL = {"neg", "sub", "sign", "rint", "floordiv", "mod", "pow", "lshift", "rshift"}


def applicable(name, dtype):
    if dtype.startswith("float"):
        return name not in INTEGER_ONLY
    return name not in FLOAT_ONLY and not (dtype == "bool" and name in NOT_BOOL)


def pairs(name, dtype):
    """Edge values two by two; NumPy refuses negative integer exponents."""
    values = [np.dtype(dtype).type(v) for v in EDGES[dtype[0]]]
    for x in values:
        for y in values:
            if not (name == "pow" and dtype[0] == "i" and y < 0):
                yield x, y


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint8", "float32", "float64"])
def test_scalar_operations_have_numpys_meaning(dtype):
    scalar = Scalar(dtype)
    names = [n for n in UNARY if applicable(n, dtype)]
    unary = build([scalar], lambda op, x: tuple(op.strong(n, x) for n in names))
    two = [n for n in BINARY if applicable(n, dtype)]
    binary = build([scalar, scalar], lambda op, x, y: tuple(op.strong(n, x, y) for n in two))
    one, both = llvm.compile(unary).call, llvm.compile(binary).call
    rtol = 1e-6 if dtype == "float32" else 1e-14
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in (np.dtype(dtype).type(v) for v in EDGES[dtype[0]]):
            for name, got, expected in zip(names, one(x), run(unary, (x,)), strict=True):
                np.testing.assert_allclose(got, expected, rtol=rtol, err_msg=f"{name}({x!r})")
                assert type(got) is type(expected), name
        for x, y in pairs("pow", dtype):
            for name, got, expected in zip(two, both(x, y), run(binary, (x, y)), strict=True):
                if name == "mod" and np.isnan(expected) and np.isinf(y):
                    continue
                np.testing.assert_allclose(got, expected, rtol=rtol, err_msg=f"{name}({x!r}, {y!r})")
                assert type(got) is type(expected), name


@pytest.mark.parametrize("source", DTYPES)
def test_casts(source):
    values = {"f": [0.0, 1.0, 2.75, 100.0, -3.5], "i": [0, 1, -1, 100, -128], "u": [0, 1, 255], "b": [False, True]}
    trace = build([Scalar(source)], lambda op, x: tuple(op.cast(x, dtype=t) for t in DTYPES))
    for value in values[source[0]]:
        x = np.dtype(source).type(value)
        targets = [t for t in DTYPES]
        got = llvm.compile(trace).call(x)
        for target, g in zip(targets, got, strict=True):
            if value < 0 and source[0] == "f" and target[0] == "u":
                continue  # undefined in C and in NumPy
            assert g == x.astype(target) and type(g) is np.dtype(target).type, (source, target, value)

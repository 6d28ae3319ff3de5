"""Traces of the loop dialect, built by hand, for the tests of the LLVM backend."""

import numpy as np

from adcompile.backend import llvm
from adcompile.ir import ANY, Array, Scalar, Trace, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import INDEX
from adcompile.primitives import Emitter
from adcompile.primitives.evaluate import run
from adcompile.source import SourceLoc

VECTOR = Array("float64", (ANY,))


LOC = SourceLoc(__file__, 1, 0, 10, "kernel")


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
    (y,) = loop(
        op, 0, n, 1, [empty(op, n, dtype=x.type.dtype)], lambda op, i, y: put(op, y, function(op, at(op, x, i)), i)
    )
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


def swap_loop(op, x, steps):
    """Two buffers that change places in every step."""
    n = op.size(x, 0)

    def step(op, t, u, v):
        (v,) = loop(
            op, 1, n - 1, 1, [v], lambda op, i, v: put(op, v, at(op, u, i - 1) + at(op, u, i + 1) - at(op, v, i), i)
        )
        return v, u

    return loop(op, 0, steps, 1, [op("copy", x), op("copy", x)], step)


def history_loop(op, x, steps):
    """Three generations of buffers, one of them scratch."""

    def step(op, t, u, v):
        w = mapped(op, u, lambda op, a: a + 1.0)
        z = mapped(op, w, lambda op, a: a * 1.01)
        n = op.size(u, 0)
        (z,) = loop(op, 0, n, 1, [z], lambda op, i, z: add_at(op, z, at(op, v, i), i))
        return z, u

    return loop(op, 0, steps, 1, [op("copy", x), mapped(op, x, lambda op, a: a * 0.0)], step)

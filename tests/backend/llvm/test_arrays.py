"""Loops, arrays, memory, products and failures in compiled functions."""

import os
import subprocess
import sys

import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.errors import InvalidTrace, MissingRule, ShapeMismatch
from adcompile.ir import ANY, Array, Const, Scalar, Value
from adcompile.ir.types import DTYPES, PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT
from adcompile.primitives.evaluate import run
from tests.backend.llvm.common import (
    VECTOR,
    add_at,
    at,
    build,
    check,
    empty,
    history_loop,
    loop,
    mapped,
    put,
    region,
    swap_loop,
)

MATRIX = Array("float64", (ANY, ANY))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


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


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_loops_over_every_dtype(dtype):
    trace = build([Array(dtype, (ANY,))], lambda op, x: mapped(op, x, lambda op, v: v + v))
    for n in (0, 1, 3, 37):
        check(trace, np.arange(n).astype(dtype), rtol=1e-7)


@pytest.mark.parametrize("bounds", [(0, 5, 1), (5, 0, -1), (0, 10, 3), (10, 0, -4), (3, 3, 1), (5, 2, 1), (-2, 2, 1)])
def test_loops_count_as_range_does(bounds):
    def body(op, i, total):
        return total * 3 + i

    check(build([], lambda op: loop(op, *bounds, [op.constant(1, PYTHON_INT)], body)))
    check(build([PYTHON_INT] * 3, lambda op, *b: loop(op, *b, [op.constant(1, PYTHON_INT)], body)), *bounds)


def test_a_zero_step_raises():
    call = llvm.compile(build([PYTHON_INT], lambda op, s: loop(op, 0, 3, s, [s], lambda op, i, c: c + i))).call
    with pytest.raises(ValueError, match="must not be zero"):
        call(0)


def test_matrix_loops_and_reductions():
    def row_sums(op, a):
        n, m = op.shape(a)

        def row(op, i, y):
            (s,) = loop(
                op,
                0,
                m,
                1,
                [op.constant(0.0, Scalar("float64"))],
                lambda op, j, s: s + at(op, a, i, j) * at(op, a, i, j),
            )
            return put(op, y, s, i)

        return loop(op, 0, n, 1, [empty(op, n)], row)

    trace = build([MATRIX], row_sums)
    for shape in ((0, 3), (3, 0), (1, 1), (5, 7), (64, 33)):
        check(trace, np.random.default_rng(0).normal(size=shape))


def test_accumulate_adds_repeated_subscripts():
    def histogram(op, x, k):
        return loop(
            op, 0, op.size(x, 0), 1, [op("copy", x)], lambda op, i, y: add_at(op, y, at(op, x, i), at(op, k, i))
        )

    trace = build([VECTOR, Array("int32", (ANY,))], histogram)
    check(trace, np.arange(6.0), np.array([0, 0, 3, 3, 3, 5], "int32"))


def fresh_loop(op, x, steps):
    """A new buffer in every step."""
    return loop(op, 0, steps, 1, [op("copy", x)], lambda op, t, u: mapped(op, u, lambda op, v: v * 0.5 + 1.0))


@pytest.mark.parametrize("program", [swap_loop, fresh_loop, history_loop])
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 40])
def test_buffers_carried_through_loops(program, steps):
    check(build([VECTOR, PYTHON_INT], program), np.linspace(0.0, 1.0, 9), steps)


def test_growing_arrays():
    def grow(op, t, u):
        n = op.size(u, 0)
        new = empty(op, n + 1)
        (new,) = loop(op, 0, n, 1, [new], lambda op, i, y: put(op, y, at(op, u, i), i))
        return put(op, new, 7.0, n)

    check(build([VECTOR, PYTHON_INT], lambda op, x, k: loop(op, 0, k, 1, [op("copy", x)], grow)), np.arange(3.0), 30)


def test_branches_choose_buffers_and_scalars():
    def program(op, x, c):
        y = op("copy", x)
        return branch(
            op, c, [VECTOR, Scalar("float64"), VECTOR],
            lambda op: (put(op, y, 5.0, 0), at(op, x, 0), mapped(op, x, lambda op, v: v + 1.0)),
            lambda op: (put(op, y, 6.0, 1), op.constant(1.0, PYTHON_FLOAT), mapped(op, x, lambda op, v: -v)),
        )  # fmt: skip

    trace = build([VECTOR, PYTHON_BOOL], program)
    check(trace, np.arange(4.0), True)
    check(trace, np.arange(4.0), False)


def test_while_loops_with_buffers():
    def program(op, x, limit):
        start = [op("copy", x), op.constant(1.0, PYTHON_FLOAT), op.constant(0, PYTHON_INT)]
        return repeat(
            op, start, lambda op, u, s, n: s < limit,
            lambda op, u, s, n: (mapped(op, u, lambda op, v: v * 1.5), s * 2.0, n + 1),
        )  # fmt: skip

    trace = build([VECTOR, PYTHON_FLOAT], program)
    check(trace, np.arange(4.0), 100.0)
    check(trace, np.arange(4.0), 0.5)


def test_small_scratch_buffers_live_on_the_stack():
    def body(op, i, y):
        scratch = empty(op, 4)
        (scratch,) = loop(op, 0, 4, 1, [scratch], lambda op, k, s: put(op, s, op.cast(k + i, dtype="float64"), k))
        (total,) = loop(op, 0, 4, 1, [op.constant(0.0, Scalar("float64"))], lambda op, k, t: t + at(op, scratch, k))
        return put(op, y, total, i)

    trace = build([VECTOR], lambda op, x: loop(op, 0, op.size(x, 0), 1, [op("copy", x)], body))
    check(trace, np.zeros(5))
    assert "alloca [4 x double]" in llvm.emit(trace)


def test_reshape_shares_the_buffer():
    def program(op, x):
        n, m = op.shape(x)
        flat = op("reshape", op("copy", x), n * m, dims=(ANY,))
        return loop(op, 0, n * m, 1, [flat], lambda op, i, y: put(op, y, at(op, y, i) * 2.0, i))

    check(build([MATRIX], program), np.arange(6.0).reshape(2, 3))


def test_bool_arrays():
    def program(op, x):
        n = op.size(x, 0)
        return loop(op, 0, n, 1, [empty(op, n, dtype="bool")], lambda op, i, y: put(op, y, at(op, x, i) > 1.0, i))

    check(build([VECTOR], program), np.array([0.0, 1.0, 2.0, np.nan]))


def test_loops_do_not_pile_up_memory():
    code = """
import resource, numpy as np
from tests.backend.llvm.test_arrays import *
call = llvm.compile(build([VECTOR, PYTHON_INT], history_loop)).call
x = np.ones(100_000)
call(x, 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call(x, 400)
for _ in range(100):
    call(x, 3)
    try:
        failing(x)
    except IndexError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    code = code.replace(
        "call(x, 3)\nbefore",
        "failing = llvm.compile(build([VECTOR], failing_after_allocation)).call\ncall(x, 3)\nbefore",
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert int(done.stdout) < 20_000, "kilobytes"


def failing_after_allocation(op, x):
    y = mapped(op, x, lambda op, v: v + 1.0)
    op.builder.emit("check_index", (op.size(x, 0).atom, Const(3, PYTHON_INT)), (), {})
    return y


def test_failures_name_the_line():
    def program(op, x, y, i):
        op.check_same(op.size(x, 0), op.size(y, 0))
        op.builder.emit("check_index", (i.atom, op.size(x, 0).atom), (), {})
        return at(op, x, i)

    call = llvm.compile(build([VECTOR, VECTOR, PYTHON_INT], program)).call
    assert call(np.ones(2), np.ones(2), 1) == (1.0,)
    with pytest.raises(ShapeMismatch, match=r"broadcast together: sizes 2 and 3\n.*common.py.*line 1, in kernel"):
        call(np.ones(2), np.ones(3), 1)
    for i in (-3, 2):
        with pytest.raises(IndexError, match=rf"index {i} is out of bounds for size 2\n.*common.py"):
            call(np.ones(2), np.ones(2), i)


def test_division_by_zero_raises_where_checked():
    def program(op, n):
        op.builder.emit("check_nonzero", (n.atom,), (), {})
        return 7 // n, 7 % n

    call = llvm.compile(build([PYTHON_INT], program)).call
    assert call(-2) == (-4, -1)
    with pytest.raises(ZeroDivisionError, match="integer division or modulo by zero"):
        call(0)


def test_unreasonable_sizes_raise():
    call = llvm.compile(build([PYTHON_INT, PYTHON_INT], lambda op, n, m: put(op, empty(op, n, m), 1.0, 0, 0))).call
    with pytest.raises(ValueError, match="negative dimensions"):
        call(-1, 3)
    for sizes in ((2**40, 2**40), (2**62, 1), (2**45, 2**10)):
        with pytest.raises(MemoryError):
            call(*sizes)


def test_the_array_dialect_is_refused():
    with pytest.raises(MissingRule):
        llvm.compile(build([VECTOR], lambda op, x: x + x))
    with pytest.raises(MissingRule):
        llvm.compile(build([VECTOR], lambda op, x: op.sum(x, axis=(0,), keepdims=False)))
    with pytest.raises(InvalidTrace, match="parameter"):
        llvm.compile(build([VECTOR], lambda op, x: x))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("trans", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("accumulate", [False, True])
def test_gemm(dtype, trans, accumulate):
    kind = Array(dtype, (ANY, ANY))
    attrs = {"trans_a": trans[0], "trans_b": trans[1], "accumulate": accumulate}
    trace = build([kind] * 3, lambda op, c, a, b: op("gemm", op("copy", c), a, b, **attrs))
    rng = np.random.default_rng(0)
    for m, n, k in ((2, 3, 4), (20, 30, 40), (1, 50, 60), (50, 1, 60), (40, 50, 1), (0, 3, 4), (3, 0, 4), (3, 4, 0)):
        shapes = (m, n), (k, m) if trans[0] else (m, k), (n, k) if trans[1] else (k, n)
        args = [(rng.normal(size=s) * 10).astype(dtype) for s in shapes]
        expected = run(trace, args)[0]
        got = llvm.compile(trace).call(*args)[0]
        np.testing.assert_allclose(
            got, expected, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-3 if dtype == "float32" else 1e-9
        )


def test_fastmath_keeps_nan_and_inf():
    def program(op, x, y):
        (s,) = loop(op, 0, op.size(x, 0), 1, [op.constant(0.0, Scalar("float64"))], lambda op, i, s: s + at(op, x, i))
        return (
            s,
            op.isnan(y),
            op.isinf(y),
            op.where(op.isfinite(y), y, 0.0),
            mapped(op, x, lambda op, v: op.tanh(v) / v),
        )

    call = llvm.compile(build([VECTOR, Scalar("float64")], program), fastmath=True).call
    x = np.linspace(1.0, 2.0, 101)
    for y in (1.5, np.inf, np.nan):
        s, nan, inf, finite, ratio = call(x, np.float64(y))
        np.testing.assert_allclose(s, x.sum(), rtol=1e-14)
        np.testing.assert_allclose(ratio, np.tanh(x) / x, rtol=1e-14)
        assert (nan, inf, finite) == (np.isnan(y), np.isinf(y), y if np.isfinite(y) else 0.0)

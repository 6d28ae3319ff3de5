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
from adcompile.lower import lower
from adcompile.primitives import Emitter
from adcompile.primitives.evaluate import run
from adcompile.source import SourceLoc
from tests.lower.programs import PROGRAMS
from tests.lower.programs import build as build_array_program

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


# -- scalars --------------------------------------------------------------------------------------------------------

EDGES = {
    "f": [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.0, -7.25, 1e-300, 1e300, np.inf, -np.inf, np.nan],
    "i": [0, 1, -1, 2, -2, 3, -7, 63, 100, -128],
    "u": [0, 1, 2, 3, 7, 63, 100, 255],
    "b": [False, True],
}
UNARY = [
    "neg",
    "square",
    "reciprocal",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "arcsinh",
    "arccosh",
    "arctanh",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
    "stop_gradient",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "mod",
    "pow",
    "logaddexp",
    "hypot",
    "arctan2",
    "maximum",
    "minimum",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "logical_and",
    "logical_or",
    "bitand",
    "bitor",
    "bitxor",
    "lshift",
    "rshift",
]
FLOAT_ONLY = set(UNARY) - set(
    [
        "neg",
        "square",
        "abs",
        "sign",
        "floor",
        "ceil",
        "trunc",
        "logical_not",
        "isnan",
        "isinf",
        "isfinite",
        "stop_gradient",
    ]
)
FLOAT_ONLY |= {"div", "logaddexp", "hypot", "arctan2"}
INTEGER_ONLY = {"bitand", "bitor", "bitxor", "lshift", "rshift"}
NOT_BOOL = {"neg", "sub", "sign", "stop_gradient", "floordiv", "mod", "pow", "lshift", "rshift"}


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


def test_constants_take_the_dtype_of_the_operation():
    trace = build(
        [Scalar("float32")], lambda op, x: (2.0 * x, x**2, x + 0.1, op.maximum(x, 0), x > 1, op.where(x > 0, x, 0.0))
    )
    check(trace, np.float32(1.7), rtol=1e-7)
    check(trace, np.float32(-1.7), rtol=1e-7)


def test_python_scalars_come_back_as_python_scalars():
    trace = build(
        [PYTHON_FLOAT, PYTHON_INT, PYTHON_BOOL], lambda op, x, n, b: (x * n, n * n, x > 1.0, op.logical_not(b))
    )
    check(trace, 2.5, -7, True)
    check(trace, 0.5, 2**20, False)


def test_a_negative_integer_exponent_raises():
    call = llvm.compile(build([Scalar("int64")] * 2, lambda op, x, n: x**n)).call
    assert call(np.int64(3), np.int64(5)) == (243,)
    with pytest.raises(ValueError, match="negative integer powers"):
        call(np.int64(3), np.int64(-1))


# -- the entry ------------------------------------------------------------------------------------------------------


def test_an_argument_of_another_type_is_not_implemented():
    call = llvm.compile(
        build(
            [PYTHON_FLOAT, Scalar("float32"), Array("float64", (3, NOT_ONE))],
            lambda op, x, y, a: (x + at(op, a, 0, 0), y),
        )
    ).call
    good = (1.0, np.float32(2.0), np.ones((3, 2)))
    assert call(*good) == (2.0, 2.0)
    bad = {
        0: [1, True, np.float64(1.0), "x", None],
        1: [2.0, np.float64(2.0), np.array(2.0, "float32")],
        2: [
            np.ones((2, 2)), np.ones((3, 1)), np.ones((3, 2), "float32"), np.ones((2, 3)).T, np.ones(3),
            np.ones((3, 4))[:, ::2],
                        np.ones((3, 2)).view(np.matrix), np.ones((3, 2), ">f8"), [[1.0, 1.0]] * 3,
        ],
    }  # fmt: skip
    for position, values in bad.items():
        for value in values:
            assert call(*(value if i == position else g for i, g in enumerate(good))) is NotImplemented
    assert call() is NotImplemented and call(*good, 1.0) is NotImplemented


def test_an_equivalent_dtype_object_is_accepted():
    call = llvm.compile(build([VECTOR], lambda op, a: at(op, a, 0))).call
    renamed = np.dtype("float64", metadata={"unit": "m"})
    assert call(np.ones(2, renamed)) == (1.0,)


def test_integers_beyond_64_bits_are_not_implemented():
    call = llvm.compile(build([PYTHON_INT], lambda op, n: n + 1)).call
    assert call(2**62) == (2**62 + 1,)
    assert call(2**63) is NotImplemented
    assert call(True) is NotImplemented


def test_bare_returns_a_single_result_itself():
    trace = build([PYTHON_FLOAT], lambda op, x: x * 2.0)
    assert llvm.compile(trace, bare=True).call(2.0) == 4.0
    assert llvm.compile(trace).call(2.0) == (4.0,)


def test_results_are_ordinary_arrays():
    (y,) = check(build([VECTOR], lambda op, x: mapped(op, x, lambda op, v: v * 2.0)), np.arange(5.0))
    assert y.flags.owndata and y.flags.writeable and y.base is None
    y.resize(100, refcheck=False)
    assert y[4] == 8.0


@pytest.mark.parametrize("types", [(PYTHON_FLOAT,), (VECTOR, Scalar("int32"), PYTHON_INT)])
def test_references_are_balanced(types):
    trace = build(
        types,
        lambda op, x, *rest: (mapped(op, x, lambda op, v: v + 1.0) if isinstance(x.type, Array) else x + 1.0, *rest),
    )
    call = llvm.compile(trace).call
    values = [1e300, np.arange(1000.0), np.int32(12345), 10**15]
    args = [values[0]] if len(types) == 1 else values[1:]
    shared = [*args, NotImplemented, np.dtype("float64"), np.float64, np.ndarray]
    gc.collect()
    before = [sys.getrefcount(o) for o in shared]
    for _ in range(1000):
        call(*args)
        call("wrong")
    assert all(abs(sys.getrefcount(o) - b) < 10 for o, b in zip(shared, before, strict=True))


def test_the_code_lives_as_long_as_its_function():
    call = llvm.compile(build([PYTHON_FLOAT], lambda op, x: x * 3.0)).call
    gc.collect()
    assert call(2.0) == (6.0,)
    assert call.__name__ == "f"


# -- loops and arrays -----------------------------------------------------------------------------------------------


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


def swap_loop(op, x, steps):
    """Two buffers that change places in every step."""
    n = op.size(x, 0)

    def step(op, t, u, v):
        (v,) = loop(
            op, 1, n - 1, 1, [v], lambda op, i, v: put(op, v, at(op, u, i - 1) + at(op, u, i + 1) - at(op, v, i), i)
        )
        return v, u

    return loop(op, 0, steps, 1, [op("copy", x), op("copy", x)], step)


def fresh_loop(op, x, steps):
    """A new buffer in every step."""
    return loop(op, 0, steps, 1, [op("copy", x)], lambda op, t, u: mapped(op, u, lambda op, v: v * 0.5 + 1.0))


def history_loop(op, x, steps):
    """Three generations of buffers, one of them scratch."""

    def step(op, t, u, v):
        w = mapped(op, u, lambda op, a: a + 1.0)
        z = mapped(op, w, lambda op, a: a * 1.01)
        n = op.size(u, 0)
        (z,) = loop(op, 0, n, 1, [z], lambda op, i, z: add_at(op, z, at(op, v, i), i))
        return z, u

    return loop(op, 0, steps, 1, [op("copy", x), mapped(op, x, lambda op, a: a * 0.0)], step)


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


# -- memory ---------------------------------------------------------------------------------------------------------


def test_loops_do_not_pile_up_memory():
    code = """
import resource, numpy as np
from tests.backend.test_llvm import *
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


# -- failures -------------------------------------------------------------------------------------------------------


def test_failures_name_the_line():
    def program(op, x, y, i):
        op.check_same(op.size(x, 0), op.size(y, 0))
        op.builder.emit("check_index", (i.atom, op.size(x, 0).atom), (), {})
        return at(op, x, i)

    call = llvm.compile(build([VECTOR, VECTOR, PYTHON_INT], program)).call
    assert call(np.ones(2), np.ones(2), 1) == (1.0,)
    with pytest.raises(ShapeMismatch, match=r"broadcast together: sizes 2 and 3\n.*test_llvm.py.*line 1, in kernel"):
        call(np.ones(2), np.ones(3), 1)
    for i in (-3, 2):
        with pytest.raises(IndexError, match=rf"index {i} is out of bounds for size 2\n.*test_llvm.py"):
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


# -- products -------------------------------------------------------------------------------------------------------


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


# -- compilation ----------------------------------------------------------------------------------------------------


def test_texts_are_deterministic_and_have_stages():
    trace = build([VECTOR], lambda op, x: mapped(op, x, lambda op, v: op.tanh(v)))
    assert llvm.emit(trace) == llvm.emit(trace)
    assert "define internal i64 @kernel" in llvm.emit(trace)
    assert "x double>" in llvm.emit(trace, stage="optimised"), "the loop is vectorised"
    assert "adcompile_entry" in llvm.emit(trace, stage="assembly")


def test_no_run_time_alias_checks():
    assert "vector.memcheck" not in llvm.emit(build([VECTOR, PYTHON_INT], swap_loop), stage="optimised")
    assert "vector.memcheck" not in llvm.emit(build([VECTOR, PYTHON_INT], history_loop), stage="optimised")


def test_sums_are_vectorised():
    def total(op, x):
        return loop(op, 0, op.size(x, 0), 1, [op.constant(0.0, Scalar("float64"))], lambda op, i, s: s + at(op, x, i))

    assert "vector.reduce.fadd" in llvm.emit(build([VECTOR], total), stage="optimised")


def test_the_cache_is_used_and_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path))
    trace = build([PYTHON_FLOAT], lambda op, x: x * 5.0)
    assert llvm.compile(trace, cache=False).call(1.0) == (5.0,)
    assert not list(tmp_path.iterdir())
    assert llvm.compile(trace).call(1.0) == (5.0,)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    monkeypatch.setattr("adcompile.backend.llvm.engine.optimise", None)
    assert llvm.compile(trace).call(1.0) == (5.0,), "compiled from the cache alone"
    monkeypatch.undo()
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path))
    file.write_bytes(content[:-1])
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert llvm.compile(trace).call(1.0) == (5.0,)
    assert file.read_bytes() == content


def test_an_unwritable_cache_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="compilation cache"):
        assert llvm.compile(build([PYTHON_FLOAT], lambda op, x: x * 5.0)).call(1.0) == (5.0,)


def test_importing_adcompile_does_not_import_llvmlite():
    code = "import sys, adcompile.backend.llvm; assert 'llvmlite' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- lowered programs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_lowered_programs(name, dtype):
    program = PROGRAMS[name]
    array = build_array_program(program.types(dtype), program.body, name)
    values = program.values(dtype)
    expected = run(array, values)
    found = llvm.compile(lower(array)).call(*values)
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    for one, two in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        np.testing.assert_allclose(one, two, equal_nan=True, **tolerance)

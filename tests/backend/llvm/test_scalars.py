"""Scalar equations and the entry of compiled functions."""

import gc
import sys
import warnings

import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.ir import NOT_ONE, Array, Scalar
from adcompile.ir.types import DTYPES, PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT
from adcompile.primitives.evaluate import run
from tests.backend.llvm.common import VECTOR, at, build, check, mapped


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


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
    "expit",
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

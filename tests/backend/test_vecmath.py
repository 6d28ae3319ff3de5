"""Units in the last place of the vectorised elementary functions, over the whole domain."""

import mpmath
import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.backend.llvm import vecmath
from adcompile.ir import ANY, Array
from tests.backend.test_llvm import at, build, empty, loop, mapped, put

LIMIT = 2.0
UNARY = [name for name in vecmath.FUNCTIONS if name != "logaddexp"]
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    1e-5,
    -1e-5,
    700.0,
    710.0,
    -745.2,
    88.7,
    89.4,
    -103.9,
]


def compiled(name, dtype):
    """The vectorised function on arrays."""
    if name == "logaddexp":
        return llvm.compile(build([Array(dtype, (ANY,))] * 2, _binary(name)), cache=False, bare=True).call
    trace = build([Array(dtype, (ANY,))], lambda op, x: mapped(op, x, lambda op, v: op(name, v)))
    return llvm.compile(trace, cache=False, bare=True).call


def _binary(name):
    def program(op, x, y):
        n = op.size(x, 0)
        start = empty(op, n, dtype=x.type.dtype)
        return loop(op, 0, n, 1, [start], lambda op, i, z: put(op, z, op(name, at(op, x, i), at(op, y, i)), i))

    return program


def samples(dtype, count, rng):
    """Numbers of every magnitude, the usual range more densely, special values and their neighbours."""
    info = np.finfo(dtype)
    bits = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), count, dtype="u8").astype(
        f"u{np.dtype(dtype).itemsize}"
    )
    special = np.array(
        [*SPECIAL, info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal, info.tiny * 0.7], dtype
    )
    with np.errstate(all="ignore"):
        near = np.concatenate([special, np.nextafter(special, dtype(np.inf)), np.nextafter(special, dtype(-np.inf))])
        steps = [rng.uniform(-s, s, count).astype(dtype) for s in (0.1, 1.0, 3.0, 30.0, 800.0, 1e5, 1e15)]
    quarters = (np.arange(1, 200) * (np.pi / 2)).astype(dtype)
    x = np.concatenate([near, *steps, quarters, bits.view(dtype)])
    return x[~np.isnan(x) | (np.arange(len(x)) < len(near))]


def ulps(got, exact, dtype):
    """The distance to the exact value (a float64 or mpmath number) in units of the last place of the exact value."""
    rounded = dtype(exact)
    if np.isnan(rounded) or np.isinf(rounded) or np.isinf(got) or np.isnan(got):
        close = float(np.isinf(got)) and abs(mpmath.mpf(exact)) > float(np.finfo(dtype).max)
        return 0.0 if got == rounded or (np.isnan(rounded) and np.isnan(got)) or close else np.inf
    if exact == 0:
        return 0.0 if got == 0 and np.signbit(got) == np.signbit(rounded) else np.inf
    return float(abs(mpmath.mpf(float(got)) - exact) / mpmath.mpf(float(np.spacing(abs(rounded)))))


EXACT = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "tanh": mpmath.tanh, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "log": mpmath.log, "log1p": mpmath.log1p, "sin": mpmath.sin, "cos": mpmath.cos,
}  # fmt: skip
HUGE = {"exp", "expm1", "sinh", "cosh"}


def exact(name, x):
    """The exact value, or the float64 special value where mpmath has none."""
    numpy_value = getattr(np, name)(x)
    if not np.isfinite(x) or x == 0 or np.isnan(numpy_value) or (name in HUGE and abs(x) > 1000):
        return float(numpy_value)
    with mpmath.workprec(120 if name not in ("sin", "cos") else 1200):
        return EXACT[name](mpmath.mpf(float(x)))


@pytest.mark.parametrize("name", UNARY)
def test_float64(name):
    x = samples(np.float64, 250, np.random.default_rng(1))
    with np.errstate(all="ignore"), mpmath.workprec(120):
        errors = [ulps(g, exact(name, v), np.float64) for v, g in zip(x, compiled(name, "float64")(x), strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMIT, f"{name}({x[worst]!r}): {errors[worst]} ulp"


def ulps32(got, reference):
    """The same for whole arrays of float32, against float64."""
    with np.errstate(all="ignore"):
        rounded = reference.astype(np.float32)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        distance = np.abs(got.astype(np.float64) - reference) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    edge = np.isinf(got) & (np.abs(reference) > np.finfo(np.float32).max * (1 - 2.0**-23))
    distance = np.where(same | edge, np.minimum(np.nan_to_num(distance), 0.5), np.nan_to_num(distance, nan=np.inf))
    return np.where((rounded == 0) & same & (np.signbit(got) != np.signbit(rounded)), np.inf, distance)


@pytest.mark.parametrize("name", UNARY)
def test_float32(name):
    x = samples(np.float32, 400_000, np.random.default_rng(2))
    with np.errstate(all="ignore"):
        reference = getattr(np, name)(x.astype(np.float64))
    errors = ulps32(compiled(name, "float32")(x), reference)
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMIT, f"{name}({x[worst]!r}): {errors[worst]} ulp"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logaddexp_is_as_good_as_numpys(dtype):
    rng = np.random.default_rng(3)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 800.0, -800.0])
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    x, y = (
        np.append(x, rng.normal(size=20_000) * 30).astype(dtype),
        np.append(y, rng.normal(size=20_000) * 30).astype(dtype),
    )
    with np.errstate(all="ignore"):
        expected = np.logaddexp(x.astype("longdouble"), y.astype("longdouble")).astype(dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(compiled("logaddexp", dtype)(x, y), expected, rtol=2 * eps, atol=2 * eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_loops_are_vectorised(name, dtype):
    trace = build([Array(dtype, (ANY,))], lambda op, x: mapped(op, x, lambda op, v: op(name, v)))
    assert f"x {'float' if dtype == 'float32' else 'double'}>" in llvm.emit(trace, stage="optimised")

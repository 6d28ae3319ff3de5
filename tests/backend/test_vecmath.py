"""Units in the last place of the vectorised elementary functions, over the whole domain."""

import mpmath
import numpy as np
import pytest
import scipy.special

from adcompile.backend import llvm
from adcompile.backend.llvm import vecmath
from adcompile.ir import ANY, Array
from tests.backend.llvm.common import at, build, empty, loop, mapped, put

LIMIT = 2.0
UNARY = [name for name in vecmath.FUNCTIONS if name not in ("logaddexp", "pow")]
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
    if name in ("logaddexp", "pow"):
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
    "log": mpmath.log, "log1p": mpmath.log1p, "sin": mpmath.sin, "cos": mpmath.cos, "erf": mpmath.erf,
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
}  # fmt: skip
NUMPY = {"erf": scipy.special.erf, "expit": scipy.special.expit}
"""Functions that NumPy does not have."""
HUGE = {"exp", "expm1", "sinh", "cosh"}


def exact(name, x):
    """The exact value, or the float64 special value where mpmath has none."""
    numpy_value = (NUMPY.get(name) or getattr(np, name))(x)
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
        reference = (NUMPY.get(name) or getattr(np, name))(x.astype(np.float64))
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


def powers(dtype, rng):
    """Bases of every magnitude with exponents that keep the power within the range of numbers, and usual ones."""
    largest = 700.0 if dtype == "float64" else 85.0
    wide = np.exp(rng.uniform(-largest, largest, 1000) * rng.choice([1.0, 0.1, 0.01, 1e-4], 1000))
    x = np.concatenate([wide, rng.uniform(0.0, 10.0, 1000), -rng.uniform(0.0, 10.0, 500)]).astype(dtype)
    y = np.concatenate([rng.uniform(-largest, largest, 1000) / np.abs(np.log(wide)), rng.uniform(-5.0, 5.0, 1000)])
    return x, np.concatenate([y, rng.integers(-9, 10, 500)]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers(dtype):
    kind = np.dtype(dtype).type
    x, y = powers(dtype, np.random.default_rng(4))
    found = compiled("pow", dtype)(x, y)
    with mpmath.workprec(150):
        exact = [mpmath.mpf(float(a)) ** mpmath.mpf(float(b)) for a, b in zip(x, y, strict=True)]
        errors = [ulps(g, e, kind) for g, e in zip(found, exact, strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMIT, f"{x[worst]!r} ** {y[worst]!r}: {errors[worst]} ulp"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_powers_are_numpys(dtype):
    info = np.finfo(dtype)
    some = [0.0, 1.0, 2.0, 3.0, 0.5, 1.5, np.inf, 1e20, 1.0 + info.eps, 1.0 - info.eps, 2.0**52 - 1.0, 2.0**53, 1074.0]
    some += [np.nan, float(info.max), float(info.tiny), float(info.smallest_subnormal)]
    x, y = (a.ravel().copy() for a in np.meshgrid(*2 * [np.array(some + [-v for v in some], dtype)]))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
        ends = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
        found = compiled("pow", dtype)(x, y)
    np.testing.assert_array_equal(found[ends], expected[ends])
    np.testing.assert_array_equal(
        np.signbit(found[ends & ~np.isnan(found)]), np.signbit(expected[ends & ~np.isnan(found)])
    )
    np.testing.assert_allclose(
        found[~ends], expected[~ends], rtol=2 * info.eps, atol=2 * float(info.smallest_subnormal)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_loops_are_vectorised(name, dtype):
    trace = build([Array(dtype, (ANY,))], lambda op, x: mapped(op, x, lambda op, v: op(name, v)))
    assert f"x {'float' if dtype == 'float32' else 'double'}>" in llvm.emit(trace, stage="optimised")

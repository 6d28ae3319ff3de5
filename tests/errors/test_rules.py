"""MissingRule, UnsupportedDtype and NotDifferentiable."""

import warnings

import numpy as np
import pytest

import adcompile
from adcompile import errors
from tests.errors.common import (
    BACKENDS,
    X,
    assert_points,
    assert_says,
    caught,
    draws,
    fourier,
    pair,
    prints,
    total,
    two,
)


def no_such_attribute(x):
    return np.sum(x.byteswap)


def test_missing_rule():
    error = caught(errors.MissingRule, fourier, X)
    assert isinstance(error, NotImplementedError)
    assert error.fact == "numpy.fft.fft is not a supported function"
    assert error.remedy
    assert_points(error, fourier, "np.fft.fft(x)")


@pytest.mark.parametrize(
    ("function", "fragment"),
    [(prints, "print(x)"), (no_such_attribute, "x.byteswap"), (draws, "np.random.rand()")],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_other_missing_rules(function, fragment):
    error = caught(errors.MissingRule, function, X)
    assert_points(error, function, fragment)
    assert error.remedy


def halves(x):
    return np.sum(x.astype(np.float16))


def uses_captured(x):
    return np.sum(CAPTURED) * x


@pytest.mark.parametrize("dtype", [np.complex128, np.float16, "U1"])
def test_unsupported_dtype_of_a_captured_array(dtype, monkeypatch):
    monkeypatch.setitem(globals(), "CAPTURED", np.zeros(3, dtype))
    error = caught(errors.UnsupportedDtype, uses_captured, 1.0)
    assert_says(error, f"dtype {np.dtype(dtype)} is not supported", "Use float32 or float64.")
    assert_points(error, uses_captured, "CAPTURED")


@pytest.mark.parametrize("value", [1j, "text", None, [1.0], np.float16(1), np.complex64(1)], ids=repr)
def test_argument_that_is_no_number(value):
    with pytest.raises((errors.UnsupportedDtype, errors.InvalidArgument)) as info:
        adcompile.grad(two)(1.0, value)
    assert info.value.remedy


@pytest.mark.parametrize("dtype", [np.complex128, np.float16, np.longdouble, object, "U1", "datetime64[s]"])
def test_unsupported_dtype(dtype):
    error = caught(errors.UnsupportedDtype, total, np.zeros(3, dtype))
    assert isinstance(error, TypeError)
    assert_says(error, f"argument 'x': dtype {np.dtype(dtype)} is not supported", "Use float32 or float64.")


def squares(x):
    return np.sum(x * x)


def squares_of_captured(x):
    return np.sum(CAPTURED * CAPTURED) * x


CAPTURED = None


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ODD = [np.matrix([[1.0, 2.0], [3.0, 4.0]]), np.ma.array([1.0, 2.0], mask=[False, True])]


@pytest.mark.parametrize("array", ODD, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_with_another_arithmetic(array, backend, monkeypatch):
    """``*`` of matrices is the matrix product, masked elements do not count: refused, not computed in another way."""
    with pytest.raises(errors.AdcompileError, match=type(array).__name__):
        adcompile.jit(squares, backend=backend)(array)
    monkeypatch.setitem(globals(), "CAPTURED", array)
    with pytest.raises(errors.AdcompileError, match=type(array).__name__):
        adcompile.jit(squares_of_captured, backend=backend)(1.0)


def test_unsupported_dtype_inside():
    error = caught(errors.UnsupportedDtype, halves, X)
    assert_says(error, "dtype float16 is not supported", "Use float32 or float64.")
    assert_points(error, halves, "x.astype(np.float16)")


def doubles(x):
    return x * 2.0


def nothing(x):
    return None


def counts(x):
    return len(x)


NOT_DIFFERENTIABLE = [
    (doubles, 3, "argument 'x' holds int: no derivative", "Pass floats"),
    (doubles, True, "argument 'x' holds a bool: no derivative", "Pass floats"),
    (doubles, X, "grad needs one number, but doubles returns an array of type float64[n]", "vjp or jacrev"),
    (pair, 1.0, "grad needs one number, but pair returns a tuple", "vjp or jacrev"),
    (nothing, 1.0, "nothing returns no number", "Return the number to differentiate."),
    (counts, X, "counts returns int, which has no derivative", "Return a float."),
]


@pytest.mark.parametrize("case", NOT_DIFFERENTIABLE, ids=lambda c: f"{c[0].__name__}-{type(c[1]).__name__}")
def test_not_differentiable(case):
    function, argument, fact, remedy = case
    error = caught(errors.NotDifferentiable, function, argument)
    assert isinstance(error, TypeError)
    assert error.fact == fact
    assert remedy in error.remedy


def mean(x):
    return np.mean(x)


def test_integer_array_is_not_differentiable():
    error = caught(errors.NotDifferentiable, mean, np.arange(3))
    assert "argument 'x' holds int64" in error.fact
    assert "astype(float)" in error.remedy

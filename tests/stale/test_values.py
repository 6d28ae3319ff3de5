"""Numbers, arrays and closure values that change between calls: the next call gives fresh results."""

import math

import numpy as np
import pytest

import adcompile
from adcompile.errors import ShapeMismatch
from tests.stale.common import RATE, Checked

BACKENDS = ("python", "llvm", "numba")


FLAG = True


STEPS = 2


LIMIT = 1.0


WORD = "sin"


WEIGHTS = np.array([1.0, 2.0, 3.0])


TWIN = WEIGHTS


POWERS = (1.0, 2.0)


TABLE = {"rate": 2.0, "rows": [1.0, 2.0], "weights": np.array([1.0, 2.0, 3.0])}


@pytest.mark.parametrize("backend", BACKENDS)
def test_global_number(change, backend):
    def f(x):
        return RATE * x * x

    checked = Checked(f, backend)
    checked.gives(8.0, 8.0)
    change("RATE", 5.0)
    checked.gives(20.0, 20.0)
    change("RATE", 2.0)
    checked.gives(8.0, 8.0)


def test_global_number_of_another_type(change):
    def f(x):
        return (RATE // 2) * x

    checked = Checked(f)
    change("RATE", 3.0)
    checked.gives(2.0, 1.0)
    change("RATE", 3)
    checked.gives(2.0, 1.0)
    change("RATE", np.float64(5.0))
    checked.gives(4.0, 2.0)
    change("RATE", True)
    checked.gives(0.0, 0.0)


def test_global_that_decides_the_program(change):
    def f(x):
        y = np.sin(x) if WORD == "sin" else x * x
        for _ in range(STEPS):
            y = y + x
        return y if FLAG else -y

    checked = Checked(f)
    checked.gives(np.sin(2.0) + 4.0, np.cos(2.0) + 2.0)
    change("WORD", "square")
    checked.gives(8.0, 6.0)
    change("STEPS", 5)
    checked.gives(14.0, 9.0)
    change("FLAG", False)
    checked.gives(-14.0, -9.0)


def test_global_not_a_number_and_signed_zero(change):
    """Equal is not the same, and NaN is the same as itself."""
    run = adcompile.jit(lambda x: x * RATE)
    for rate in (0.0, -0.0, 0.0):
        change("RATE", rate)
        assert math.copysign(1.0, run(1.0)) == math.copysign(1.0, rate)
    change("RATE", math.nan)
    assert math.isnan(run(1.0))
    held = run.last
    change("RATE", float("nan"))
    assert math.isnan(run(1.0))
    assert run.last is held


def test_global_tuple(change):
    def f(x):
        total = 0.0
        for p in POWERS:
            total = total + x**p
        return total

    checked = Checked(f)
    checked.gives(6.0, 5.0)
    change("POWERS", (1.0, 3.0))
    checked.gives(10.0, 13.0)
    change("POWERS", (1.0, 2.0, 3.0))
    checked.gives(14.0, 17.0)


def test_contents_of_a_global_dict(monkeypatch):
    def f(x):
        return x * TABLE["rate"] + x * TABLE["rows"][0] + np.sum(x * TABLE["weights"])

    checked = Checked(f)
    checked.gives(18.0, 9.0)
    monkeypatch.setitem(TABLE, "rate", 4.0)
    checked.gives(22.0, 11.0)
    monkeypatch.setitem(TABLE, "rows", [5.0, 2.0])
    checked.gives(30.0, 15.0)
    monkeypatch.setitem(TABLE, "weights", np.array([1.0, 1.0]))
    checked.gives(22.0, 11.0)


def test_global_that_goes_away(monkeypatch):
    def f(x):
        return RATE * x

    run = adcompile.jit(f)
    assert run(1.0) == 2.0
    monkeypatch.delitem(globals(), "RATE")
    with pytest.raises(adcompile.InvalidArgument, match="name 'RATE' is not defined"):
        run(1.0)
    monkeypatch.setitem(globals(), "RATE", 7.0)
    assert run(1.0) == 7.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_old_program_is_not_run(change, backend):
    """The program for the old value would raise."""

    def f(x):
        assert LIMIT > 0.0, "too small"
        return x * LIMIT

    gradient = adcompile.grad(f, backend=backend)
    change("LIMIT", -1.0)
    with pytest.raises(AssertionError, match="too small"):
        gradient(1.0)
    change("LIMIT", 3.0)
    assert gradient(1.0) == 3.0


def weighted(x):
    return np.sum(WEIGHTS * x * x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_contents_of_a_global_array(change, backend):
    change("WEIGHTS", np.array([1.0, 2.0, 3.0]))
    checked = Checked(weighted, backend)
    checked.gives(24.0, 24.0)
    WEIGHTS[1] = 0.0
    checked.gives(16.0, 16.0)
    WEIGHTS[:] = 1.0
    checked.gives(12.0, 12.0)


@pytest.mark.parametrize(
    "array",
    [
        np.array([2, 3]),
        np.array([2.0, 3.0], np.float32),
        np.array([[1.0, 1.0], [1.0, 2.0]]),
        np.array([5.0]),
        np.array(5.0),
        np.arange(10.0)[::-2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        5.0,
        5,
        np.zeros(0),
    ],
    ids=["int", "float32", "rank", "one", "zero-dimensional", "strided", "fortran", "float", "number", "empty"],
)
def test_rebound_global_array(change, array):
    checked = Checked(weighted)
    checked.gives(24.0, 24.0)
    change("WEIGHTS", array)
    checked.gives(4.0 * np.sum(array), 4.0 * np.sum(array))
    change("WEIGHTS", np.array([1.0, 2.0, 3.0, 4.0]))
    checked.gives(40.0, 40.0)


def test_result_dtype_follows_a_rebound_array(change):
    run = adcompile.jit(lambda x: WEIGHTS * x)
    change("WEIGHTS", np.ones(2, np.float32))
    assert run(2.0).dtype == np.float32
    change("WEIGHTS", np.ones(2))
    assert run(2.0).dtype == np.float64


def test_rebound_array_of_a_wrong_shape(change):
    gradient = adcompile.grad(lambda x: np.sum(WEIGHTS * x))
    assert gradient(np.ones(3)).tolist() == [1.0, 2.0, 3.0]
    change("WEIGHTS", np.ones(4))
    with pytest.raises(ShapeMismatch):
        gradient(np.ones(3))
    assert gradient(np.ones(4)).tolist() == [1.0] * 4


def test_one_array_under_two_names(change):
    checked = Checked(lambda x: np.sum(WEIGHTS * TWIN * x))
    checked.gives(28.0, 14.0)
    change("TWIN", np.array([1.0, 1.0, 1.0]))
    checked.gives(12.0, 6.0)
    change("WEIGHTS", np.array([2.0, 2.0, 2.0]))
    checked.gives(12.0, 6.0)
    change("TWIN", WEIGHTS)
    checked.gives(24.0, 12.0)


def test_two_names_for_one_array_of_the_caller(change):
    """An argument that is the captured array is only read."""
    gradient = adcompile.grad(lambda x: np.sum(WEIGHTS * x))
    np.testing.assert_array_equal(gradient(WEIGHTS), WEIGHTS)
    change("WEIGHTS", WEIGHTS * 2.0)
    np.testing.assert_array_equal(gradient(np.ones(3)), [2.0, 4.0, 6.0])


def make(factor):
    def inner(x):
        return factor * x * x

    def set_factor(value):
        nonlocal factor
        factor = value

    return inner, set_factor


def test_closure_value():
    inner, set_factor = make(3.0)
    checked = Checked(inner)
    checked.gives(12.0, 12.0)
    set_factor(5.0)
    checked.gives(20.0, 20.0)
    set_factor(np.array([1.0, 2.0]))
    with pytest.raises(adcompile.NotDifferentiable):
        checked.grad(2.0)
    np.testing.assert_array_equal(checked.jit(2.0), [4.0, 8.0])


def test_two_closures_of_one_function():
    (first, set_first), (second, set_second) = make(1.0), make(2.0)
    checked = Checked(lambda x: first(x) + 10.0 * second(x))
    checked.gives(84.0, 84.0)
    set_second(5.0)
    checked.gives(204.0, 204.0)
    set_first(3.0)
    checked.gives(212.0, 212.0)


def test_two_closures_have_transforms_of_their_own():
    assert [adcompile.grad(make(k)[0])(1.0) for k in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]


def test_what_a_plain_function_reads_is_compared_by_identity(monkeypatch):
    """A call asks of names, code and defaults only whether they are the same objects."""
    from adcompile.frontend import dependencies

    def scaled(x, factor=3.0, powers=(2, 1)):
        return factor * math.sin(x) ** powers[0]

    gradient = adcompile.grad(scaled)
    first = gradient(0.5)

    def refuse(value):
        raise AssertionError(f"{value!r} was described")

    monkeypatch.setattr(dependencies, "fingerprint", refuse)
    assert gradient(0.5) == first

"""What a function takes from outside changes between calls: the next call gives fresh values and gradients."""

import dataclasses
import math
import types

import numpy as np
import pytest

import adcompile
from adcompile.errors import ShapeMismatch

BACKENDS = ("python", "llvm", "numba")
RATE = 2.0
FLAG = True
STEPS = 2
LIMIT = 1.0
WORD = "sin"
WEIGHTS = np.array([1.0, 2.0, 3.0])
TWIN = WEIGHTS
POWERS = (1.0, 2.0)
TABLE = {"rate": 2.0, "rows": [1.0, 2.0], "weights": np.array([1.0, 2.0, 3.0])}
MODULE = types.ModuleType("settings")
MODULE.rate = 2.0
MODULE.scale = lambda x: 2.0 * x


@pytest.fixture
def change(monkeypatch):
    """Rebinds a global of this module until the test ends."""
    return lambda name, value: monkeypatch.setitem(globals(), name, value)


class Checked:
    """The transforms of a function of one argument, and a comparison of all of them with what is expected."""

    def __init__(self, function, backend="llvm", at=2.0):
        self.at = at
        self.jit = adcompile.jit(function, backend=backend)
        self.grad = adcompile.grad(function, backend=backend)
        self.both = adcompile.value_and_grad(function, backend=backend)

    def gives(self, value, gradient):
        """Every transform gives the value and the gradient, twice in a row: as recompiled and as compiled."""
        for _ in range(2):
            np.testing.assert_allclose(self.jit(self.at), value, rtol=1e-14)
            np.testing.assert_allclose(self.grad(self.at), gradient, rtol=1e-14)
            found = self.both(self.at)
            np.testing.assert_allclose(found[0], value, rtol=1e-14)
            np.testing.assert_allclose(found[1], gradient, rtol=1e-14)


# -- numbers ----------------------------------------------------------------------------------------------------


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


# -- arrays -----------------------------------------------------------------------------------------------------


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


# -- closures ---------------------------------------------------------------------------------------------------


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


# -- functions --------------------------------------------------------------------------------------------------


def helper(x):
    return 2.0 * x


def deeper(x):
    return helper(x) * x


def test_redefined_helper(change):
    checked = Checked(deeper)
    checked.gives(8.0, 8.0)
    change("helper", lambda x: x * x)
    checked.gives(8.0, 12.0)

    def later(x):
        return 5.0 * x

    change("helper", later)
    checked.gives(20.0, 20.0)
    change("helper", np.sin)
    checked.gives(2.0 * np.sin(2.0), np.sin(2.0) + 2.0 * np.cos(2.0))


def test_helper_replaced_by_a_transform(change):
    checked = Checked(deeper)
    checked.gives(8.0, 8.0)
    change("helper", adcompile.grad(lambda x: x**3))
    checked.gives(24.0, 36.0)


def shifted(x, factor=2.0, *, shift=1.0):
    return x * factor + shift


def test_defaults_of_a_helper(monkeypatch):
    checked = Checked(lambda x: shifted(x))
    checked.gives(5.0, 2.0)
    monkeypatch.setattr(shifted, "__defaults__", (4.0,))
    checked.gives(9.0, 4.0)
    monkeypatch.setattr(shifted, "__kwdefaults__", {"shift": 0.0})
    checked.gives(8.0, 4.0)


def test_code_of_a_helper(monkeypatch):
    checked = Checked(lambda x: shifted(x))
    checked.gives(5.0, 2.0)

    def other(x, factor=2.0, *, shift=1.0):
        return x * x * factor + shift

    monkeypatch.setattr(shifted, "__code__", other.__code__)
    checked.gives(9.0, 8.0)


# -- objects and modules ----------------------------------------------------------------------------------------


class Model:
    bias = 1.0

    def __init__(self, rate, weights=None):
        self.rate, self.weights, self.inner = rate, weights, None

    def apply(self, x):
        return self.rate * x * x + self.bias * x


def test_attribute_of_an_object():
    model = Model(3.0)
    checked = Checked(lambda x: model.rate * x * x)
    checked.gives(12.0, 12.0)
    model.rate = 5.0
    checked.gives(20.0, 20.0)


def test_attribute_array_of_an_object():
    model = Model(3.0, np.array([1.0, 2.0]))
    checked = Checked(lambda x: np.sum(model.weights) * x)
    checked.gives(6.0, 3.0)
    model.weights[0] = 5.0
    checked.gives(14.0, 7.0)
    model.weights = np.array([1, 2, 3])
    checked.gives(12.0, 6.0)


def test_attribute_of_an_attribute():
    model = Model(3.0)
    model.inner = Model(4.0)
    checked = Checked(lambda x: model.rate * model.inner.rate * x)
    checked.gives(24.0, 12.0)
    model.inner.rate = 5.0
    checked.gives(30.0, 15.0)
    model.inner = Model(1.0)
    checked.gives(6.0, 3.0)


def test_method_of_an_object():
    model = Model(3.0)
    checked = Checked(model.apply)
    checked.gives(14.0, 13.0)
    model.rate = 1.0
    checked.gives(6.0, 5.0)
    model.bias = 2.0
    checked.gives(8.0, 6.0)


def test_attribute_of_a_class(monkeypatch):
    checked = Checked(lambda x: Model.bias * x)
    checked.gives(2.0, 1.0)
    monkeypatch.setattr(Model, "bias", 4.0)
    checked.gives(8.0, 4.0)


def test_method_of_a_class(monkeypatch):
    model = Model(3.0)
    checked = Checked(lambda x: model.apply(x))
    checked.gives(14.0, 13.0)
    monkeypatch.setattr(Model, "apply", lambda self, x: self.rate * x)
    checked.gives(6.0, 3.0)


def test_two_objects_of_one_class():
    one, two = Model(1.0), Model(2.0)
    checked = Checked(lambda x: one.rate * x + 10.0 * two.rate * x)
    checked.gives(42.0, 21.0)
    two.rate = 7.0
    checked.gives(142.0, 71.0)
    one.rate = 2.0
    checked.gives(144.0, 72.0)


def test_rebound_object():
    model = Model(1.0)

    def rebind(value):
        nonlocal model
        model = value

    checked = Checked(lambda x: model.rate * x)
    checked.gives(2.0, 1.0)
    rebind(Model(4.0))
    checked.gives(8.0, 4.0)


def test_attribute_of_a_module(monkeypatch):
    checked = Checked(lambda x: MODULE.rate * MODULE.scale(x))
    checked.gives(8.0, 4.0)
    monkeypatch.setattr(MODULE, "rate", 3.0)
    checked.gives(12.0, 6.0)
    monkeypatch.setattr(MODULE, "scale", lambda x: x * x)
    checked.gives(12.0, 12.0)


def test_attribute_that_appears():
    model = Model(3.0)
    checked = Checked(lambda x: x * (2.0 if hasattr(model, "extra") else 1.0))
    checked.gives(2.0, 1.0)
    model.extra = None
    checked.gives(4.0, 2.0)
    del model.extra
    checked.gives(2.0, 1.0)


def test_property_and_containers_of_an_object():
    class Holder:
        def __init__(self):
            self.rate, self.table, self.rows = 1.0, {"k": 1.0}, [1.0]

        @property
        def double(self):
            return 2.0 * self.rate

    held = Holder()
    checked = Checked(lambda x: x * held.double * held.table["k"] * held.rows[0])
    checked.gives(4.0, 2.0)
    held.rate = 2.0
    checked.gives(8.0, 4.0)
    held.table["k"] = 3.0
    checked.gives(24.0, 12.0)
    held.rows[0] = 0.5
    checked.gives(12.0, 6.0)


def test_objects_in_a_list():
    models = [Model(1.0), Model(2.0)]

    def f(x):
        total = 0.0
        for model in models:
            total = total + model.rate * x
        return total

    checked = Checked(f)
    checked.gives(6.0, 3.0)
    models[1].rate = 5.0
    checked.gives(12.0, 6.0)
    models.append(Model(1.0))
    checked.gives(14.0, 7.0)


def test_set_from_outside():
    chosen = {1}
    checked = Checked(lambda x: x * (2.0 if 2 in chosen else 1.0))
    checked.gives(2.0, 1.0)
    chosen.add(2)
    checked.gives(4.0, 2.0)


@dataclasses.dataclass
class Poly:
    k: float
    weights: np.ndarray | None = None

    def __call__(self, x):
        return self.k * x * x

    def weigh(self, x):
        return self.k * np.sum(self.weights) * x


def test_callable_object():
    class Scale:
        def __init__(self, k):
            self.k = k

        def __call__(self, x):
            return self.k * x

    scale = Scale(2.0)
    checked = Checked(scale)
    checked.gives(4.0, 2.0)
    scale.k = 3.0
    checked.gives(6.0, 3.0)


def test_callable_dataclass():
    poly = Poly(2.0)
    checked = Checked(poly)
    checked.gives(8.0, 8.0)
    poly.k = 4.0
    checked.gives(16.0, 16.0)


def test_method_of_a_dataclass():
    poly = Poly(2.0, np.array([1.0, 2.0]))
    checked = Checked(poly.weigh)
    checked.gives(12.0, 6.0)
    poly.k = 4.0
    checked.gives(24.0, 12.0)
    poly.weights[0] = 3.0
    checked.gives(40.0, 20.0)
    poly.weights = np.array([1, 1, 1])
    checked.gives(24.0, 12.0)


def test_dataclass_from_outside():
    poly = Poly(2.0, np.array([1.0, 2.0]))
    checked = Checked(lambda x: poly.weigh(x) + poly(x))
    checked.gives(20.0, 14.0)
    poly.k = 4.0
    checked.gives(40.0, 28.0)
    poly.weights = np.ones(4, np.float32)
    checked.gives(48.0, 32.0)


# -- programs inside programs -----------------------------------------------------------------------------------


@adcompile.grad
def slope(x):
    return RATE * x * x


def test_nested_transforms(change):
    checked = Checked(lambda x: slope(x) * x)
    checked.gives(16.0, 16.0)
    change("RATE", 3.0)
    checked.gives(24.0, 24.0)


def test_other_transforms(change):
    def f(x):
        return RATE * x**3

    curved, pushed, product = adcompile.hessian(f), adcompile.jacfwd(f), adcompile.hvp(f)
    for rate in (2.0, 5.0, 2.0):
        change("RATE", rate)
        assert curved(1.0) == 6.0 * rate
        assert pushed(1.0) == 3.0 * rate
        assert product(1.0, 2.0) == 12.0 * rate
        assert adcompile.jvp(f, (1.0,), (2.0,)) == (rate, 6.0 * rate)
        out, pullback = adcompile.vjp(f, 1.0)
        assert (out, pullback(2.0)) == (rate, (6.0 * rate,))


def test_custom_rule_reads_what_changes(change):
    @adcompile.custom_vjp
    def scaled(x):
        return RATE * x

    scaled.defvjp(lambda x: (RATE * x, x), lambda x, out_bar: (RATE * out_bar,))
    checked = Checked(lambda x: scaled(x) * 2.0)
    checked.gives(8.0, 4.0)
    change("RATE", 3.0)
    checked.gives(12.0, 6.0)


def test_every_signature_is_refreshed(change):
    gradient = adcompile.grad(lambda x: np.sum(RATE * x))
    points = [1.0, np.ones(2), np.ones(2, np.float32), np.ones((2, 2))]
    for rate in (2.0, 3.0):
        change("RATE", rate)
        for x in points:
            assert np.all(gradient(x) == rate)
    assert len(gradient.compiled) == len(points)

"""Functions, objects, modules and inner programs that change between calls: the next call gives fresh results."""

import dataclasses
import functools
import types

import numpy as np
import pytest

import adcompile
from tests.stale.common import RATE, Checked

MODULE = types.ModuleType("settings")


MODULE.rate = 2.0


MODULE.scale = lambda x: 2.0 * x


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


def test_partial_call():
    scaled = functools.partial(lambda w, x, rate: rate * np.sum(w) * x, np.array([1.0, 2.0]), rate=1.0)
    checked = Checked(lambda x: scaled(x))
    checked.gives(6.0, 3.0)
    scaled.args[0][0] = 2.0
    checked.gives(8.0, 4.0)
    scaled.keywords["rate"] = 2.0
    checked.gives(16.0, 8.0)


def test_members_of_a_dataclass(monkeypatch):
    """Neither methods nor class attributes are among the leaves of the object."""

    @dataclasses.dataclass
    class Held:
        k: float
        scale = 3.0

        def weigh(self, x):
            return self.k * x

    held = Held(2.0)
    held.beside = 1.0
    checked = Checked(lambda x: held.weigh(x) * held.scale * held.beside)
    checked.gives(12.0, 6.0)
    Held.scale = 5.0
    checked.gives(20.0, 10.0)
    Held.weigh = lambda self, x: x * x
    checked.gives(20.0, 20.0)
    held.beside = 2.0
    checked.gives(40.0, 40.0)


def test_rule_given_anew():
    @adcompile.custom_vjp
    def scaled(x):
        return 2.0 * x

    gradient = adcompile.grad(lambda x: scaled(x))
    for factor in (2.0, 7.0):
        scaled.defvjp(lambda x: (2.0 * x, None), lambda _, out_bar, factor=factor: (factor * out_bar,))
        assert gradient(1.0) == factor


def test_name_that_hides_a_builtin(monkeypatch):
    checked = Checked(lambda x: abs(x) * x)
    checked.gives(4.0, 4.0)
    monkeypatch.setitem(globals(), "abs", lambda x: 3.0)
    checked.gives(6.0, 3.0)
    monkeypatch.delitem(globals(), "abs")
    checked.gives(4.0, 4.0)


def test_name_imported_in_the_function(monkeypatch):
    def f(x):
        from tests.stale.common import RATE

        return RATE * x

    checked = Checked(f)
    checked.gives(4.0, 2.0)
    monkeypatch.setattr("tests.stale.common.RATE", 5.0)
    checked.gives(10.0, 5.0)


def test_methods_do_not_compile_again():
    """A bound method is another object at every look, and the same method."""
    model = Model(3.0)

    def f(x):
        spread = np.zeros(2)
        np.add.at(spread, [0, 1], x)
        return model.apply(x) + np.sum(spread)

    run = adcompile.jit(f)
    run(1.0)
    first = run.last
    run(2.0)
    assert run.last is first


class Vector:
    def __init__(self, *items):
        self.items = list(items)

    def __mul__(self, other):
        return self.items[0] * other

    def __rmul__(self, other):
        return other * self.items[1]

    def __neg__(self):
        return -self.items[0]

    def __lt__(self, other):
        return self.items[0] < other

    def __getitem__(self, k):
        return self.items[k] * RATE

    def __len__(self):
        return len(self.items)

    def __bool__(self):
        return self.items[0] > 0.0

    def __contains__(self, item):
        return item in self.items

    def __abs__(self):
        return abs(self.items[0])


USES = {
    "times": lambda x, v: (v * 2.0) * x,
    "times a variable": lambda x, v: v * x,
    "reflected": lambda x, v: x * v,
    "sign": lambda x, v: -v * x,
    "comparison": lambda x, v: x if v < 2.0 else 3.0 * x,
    "reflected comparison": lambda x, v: x if v < 2.0 else 3.0 * x,
    "subscript": lambda x, v: v[0] * x,
    "length": lambda x, v: len(v) * x,
    "truth": lambda x, v: x if v else 3.0 * x,
    "membership": lambda x, v: x if 1.0 in v else 3.0 * x,
    "builtin": lambda x, v: abs(v) * x,
}


@pytest.mark.parametrize("use", USES)
def test_special_methods(use, change):
    """They are traced: what they read of the object and of the module is looked at before every call."""
    vector = Vector(1.0, 2.0)
    checked = Checked(lambda x: USES[use](x, vector))
    for items in ([1.0, 2.0], [-4.0, 7.0, 1.0], [5.0, -3.0], [-4.0]):
        if use != "reflected" or len(items) > 1:
            vector.items[:] = items
        expected = float(USES[use](2.0, vector))
        checked.gives(expected, expected / 2.0)
    change("RATE", 5.0)
    expected = float(USES[use](2.0, vector))
    checked.gives(expected, expected / 2.0)


def test_property_of_a_dataclass(change):
    @dataclasses.dataclass
    class Held:
        k: float

        @property
        def scaled(self):
            return np.sin(self.k) * RATE

    held = Held(2.0)
    checked = Checked(lambda x: held.scaled * x + Held(x).scaled)
    for rate in (2.0, 3.0):
        change("RATE", rate)
        checked.gives(rate * np.sin(2.0) * 3.0, rate * (np.sin(2.0) + np.cos(2.0)))

"""What a compiled program took from outside is looked at again in every call: changed values give fresh results."""

import numpy as np
import pytest

import adcompile

CHOSEN = {1}
VECTOR = np.array([1.0, 2.0])
SAME = VECTOR
TABLE = {"list": [1.0, 2.0]}


def scaled(x, factor=2.0, *, shift=1.0):
    return x * factor + shift * x


def make(factor):
    def inner(x):
        return x * factor

    def change(value):
        nonlocal factor
        factor = value

    return inner, change


class Rate:
    def __init__(self, rate):
        self.rate = rate


def test_array_contents_and_a_name_that_leaves_a_shared_array(monkeypatch):
    gradient = adcompile.grad(lambda x: np.sum(x * VECTOR * SAME))
    np.testing.assert_array_equal(gradient(np.ones(2)), [1.0, 4.0])
    monkeypatch.setitem(globals(), "SAME", np.array([5.0, 5.0]))
    np.testing.assert_array_equal(gradient(np.ones(2)), [5.0, 10.0])


def test_set(monkeypatch):
    monkeypatch.setitem(globals(), "CHOSEN", {1})
    gradient = adcompile.grad(lambda x: x * (2.0 if 2 in CHOSEN else 1.0))
    assert gradient(1.0) == 1.0
    CHOSEN.add(2)
    assert gradient(1.0) == 2.0


def test_defaults_of_a_helper(monkeypatch):
    gradient = adcompile.grad(lambda x: scaled(x))
    assert gradient(1.0) == 3.0
    monkeypatch.setattr(scaled, "__defaults__", (4.0,))
    assert gradient(1.0) == 5.0
    monkeypatch.setattr(scaled, "__kwdefaults__", {"shift": 0.0})
    assert gradient(1.0) == 4.0


def test_cells_of_two_functions_with_one_name():
    (first, change_first), (second, change_second) = make(1.0), make(2.0)
    gradient = adcompile.grad(lambda x: first(x) + 10.0 * second(x))
    assert gradient(1.0) == 21.0
    change_second(5.0)
    assert gradient(1.0) == 51.0
    change_first(3.0)
    assert gradient(1.0) == 53.0


def test_attributes_of_two_objects_of_one_class():
    one, two = Rate(1.0), Rate(2.0)
    gradient = adcompile.grad(lambda x: x * one.rate + 10.0 * x * two.rate)
    assert gradient(1.0) == 21.0
    two.rate = 7.0
    assert gradient(1.0) == 71.0


def test_containers_from_outside_are_not_changed_while_tracing():
    with pytest.raises(adcompile.StaticValueRequired, match="from outside the function"):
        adcompile.jit(lambda x: x * len(TABLE["list"].append(1.0) or TABLE["list"]))(1.0)
    assert TABLE["list"] == [1.0, 2.0]


def stores(x, y):
    z = x.copy()
    z[1:] = y
    return np.sum(z)


@pytest.mark.parametrize("backend", ["python", "llvm"])
def test_a_store_of_the_wrong_size_is_an_error_where_only_the_gradient_is_wanted(backend):
    gradient = adcompile.grad(stores, backend=backend)
    np.testing.assert_array_equal(gradient(np.ones(3), np.ones(2)), [1.0, 0.0, 0.0])
    with pytest.raises(adcompile.ShapeMismatch, match="could not broadcast"):
        gradient(np.ones(3), np.ones(5))


def test_stop_gradient_of_a_container():
    def g(p):
        held = adcompile.stop_gradient(p)
        return np.sum(held["w"] * p["w"]) * held["b"]

    found = adcompile.grad(g)({"w": np.array([1.0, 2.0]), "b": 3.0})
    np.testing.assert_array_equal(found["w"], [3.0, 6.0])
    assert found["b"] == 0.0

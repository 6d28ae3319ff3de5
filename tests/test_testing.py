"""The public checks: they pass on right derivatives and say what is wrong about wrong ones."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

import adcompile
from adcompile import check_grads
from adcompile.primitives import PRIMITIVES
from adcompile.testing import TOLERANCES, Tolerance, assert_close, assert_dual, difference, direction

BACKENDS = ("python", "llvm")
RNG = np.random.default_rng(7)


class Layer(NamedTuple):
    w: np.ndarray
    b: np.ndarray


def lecture(x1, x2):
    return (np.sin(x1 / x2) + (x1 / x2 - np.exp(x2))) * (x1 / x2 - np.exp(x2))


def perceptron(layers, x):
    for layer in layers:
        x = np.tanh(x @ layer.w + layer.b)
    return {"loss": np.sum(x**2), "x": x, "count": x.shape[0]}


def power(x, n):
    y = x
    for _ in range(n):
        y = y * np.sin(x)
    return y


@adcompile.custom_vjp
def wrong_square(x):
    return x * x


def wrong_square_forward(x):
    return x * x, x


def wrong_square_backward(x, out_bar):
    return (3.0 * x * out_bar,)


wrong_square.defvjp(wrong_square_forward, wrong_square_backward)


@adcompile.custom_vjp
def wrong_twice(x):
    return x**3


def wrong_twice_forward(x):
    return x**3, x


def wrong_twice_backward(x, out_bar):
    return (3.0 * adcompile.stop_gradient(x) * x * out_bar,)


wrong_twice.defvjp(wrong_twice_forward, wrong_twice_backward)

LAYERS = [Layer(RNG.normal(size=(2, 3)), np.zeros(3)), Layer(RNG.normal(size=(3, 1)), np.zeros(1))]
SINGLE = [Layer(layer.w.astype(np.float32), layer.b.astype(np.float32)) for layer in LAYERS]
CASES = {
    "lecture": (lecture, (1.5, 0.5)),
    "containers": (perceptron, (LAYERS, RNG.normal(size=(4, 2)))),
    "loop with an int": (power, (1.3, 4)),
    "float32": (lecture, (np.float32(1.5), np.float32(0.5))),
    "float32 arrays": (
        perceptron,
        ([Layer(*(a.astype(np.float32) for a in p)) for p in LAYERS], np.ones((2, 2), "f4")),
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_right_derivatives_pass(name, backend):
    function, args = CASES[name]
    check_grads(function, args, order=2 if name != "float32 arrays" else 1, backend=backend)


def test_third_order():
    check_grads(lecture, (1.5, 0.5), order=3, modes=("fwd",))


def test_wrong_reverse_rule_fails():
    with pytest.raises(AssertionError, match=r"wrong_square: reverse mode against central differences .* off by"):
        check_grads(wrong_square, (1.2,), modes=("rev",))


def test_wrong_second_order_fails_where_the_first_passes():
    check_grads(wrong_twice, (1.2,), order=1, modes=("rev",))
    with pytest.raises(AssertionError, match="rev of wrong_twice: reverse mode"):
        check_grads(wrong_twice, (1.2,), order=2, modes=("rev",))


def test_wrong_record_fails_forward(monkeypatch):
    wrong = dataclasses.replace(PRIMITIVES["sin"], partials=(lambda op, ans, x: ans,))
    monkeypatch.setitem(PRIMITIVES, "sin", wrong)
    with pytest.raises(AssertionError, match=r"forward mode against central differences in result 0: .* instead of"):
        check_grads(lambda x: np.sin(x), (1.2,), backend="python")


def test_unknown_mode_is_refused():
    with pytest.raises(adcompile.InvalidArgument, match="unknown mode 'forward'"):
        check_grads(lecture, (1.5, 0.5), modes=("forward",))


def test_forward_mode_of_a_reverse_rule_is_an_error():
    with pytest.raises(adcompile.MissingRule, match="no forward rule"):
        check_grads(wrong_square, (1.2,))


def test_tolerances_can_be_given():
    with pytest.raises(AssertionError, match=r"allowed 1e-1[67]|allowed \d\.\d+e-1"):
        check_grads(lecture, (1.5, 0.5), rtol=1e-17, atol=1e-17)
    check_grads(wrong_square, (1e-9,), order=1, modes=("rev",), rtol=1.0, atol=1.0)


def test_arguments_are_left_alone():
    x = RNG.normal(size=(4, 2))
    before = x.copy()
    check_grads(perceptron, (LAYERS, x), order=1)
    np.testing.assert_array_equal(x, before)


# -- the pieces -------------------------------------------------------------------------------------------------


def test_direction_has_the_structure_of_the_arguments():
    tree = {"a": np.ones((2, 3), "f4"), "n": 3, "b": (1.0, np.arange(2), np.float32(2.0), None)}
    moved = direction(tree, 0)
    assert moved["a"].dtype == np.float32 and moved["a"].shape == (2, 3)
    assert moved["n"] is None and moved["b"][1] is None and moved["b"][3] is None
    assert isinstance(moved["b"][0], float) and isinstance(moved["b"][2], np.float32)
    assert direction(1.0, 3) == direction(1.0, 3) != direction(1.0, 4)


def test_difference_is_of_fourth_order():
    errors = [abs(difference(np.exp, (1.0,), (1.0,), eps) - np.e) for eps in (2e-2, 1e-2)]
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.05)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (np.array([1.0, 2.5]), np.array([1.0, 2.0]), r"in result 0 at index \(1,\): 2.5 instead of 2, off by 0.5"),
        (np.nan, 1.0, "nan instead of 1"),
        (np.zeros(2), np.zeros(3), r"shape \(2,\) instead of \(3,\)"),
        ((1.0, None), (1.0, 2.0), "result 1 is None instead of 2.0"),
        ((1.0,), [1.0], "instead of"),
    ],
)
def test_assert_close_says_where(found, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(found, expected, Tolerance(1e-6, 1e-6, 0.0), "it differs")


def test_assert_dual_is_relative_to_the_vectors():
    tolerance = TOLERANCES["float64"]
    assert_dual(1e6, 1.0, 1e6 + 0.5, 1.0, tolerance, "ok")
    with pytest.raises(AssertionError, match="dot-product test: 2 instead of 1"):
        assert_dual(1.0, 1.0, 2.0, 1.0, tolerance, "it differs")

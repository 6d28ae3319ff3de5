"""Loops that a program repeats are compiled once: one function, however many layers, with the results of the loops."""

import numpy as np
import pytest

import adcompile
from adcompile.backend import llvm
from adcompile.lower import executable


def network(layers, x):
    for weights, bias in layers:
        x = np.tanh(x @ weights + bias)
    return np.mean(x * x)


def layers(count, width=5):
    rng = np.random.default_rng(count)
    return [(rng.normal(size=(width, width)), rng.normal(size=width)) for _ in range(count)]


def text(function, *arguments):
    """The LLVM IR of a function."""
    return llvm.emit(executable(function.specialisation(*arguments).program.trace))


def functions(llvm_text):
    """How many functions of loops are defined, and how often they are called."""
    return llvm_text.count("define internal void @loop."), llvm_text.count("call void @loop.")


def test_the_number_of_layers_changes_no_loop():
    gradient = adcompile.value_and_grad(network, cache=False)
    x = np.random.default_rng(0).normal(size=(7, 5))
    few, many = (text(gradient, layers(count), x) for count in (8, 16))
    (defined, called), (again, more) = functions(few), functions(many)
    assert defined == again > 0 and more > called > 8
    assert few.count("call double @adcompile_tanh") == many.count("call double @adcompile_tanh") <= 2
    assert few.count("llvm.loop !") == many.count("llvm.loop !")


@pytest.mark.parametrize("count", [2, 3, 9])
def test_repeated_layers_have_the_derivatives_of_the_layers(count):
    params, x = layers(count), np.random.default_rng(1).normal(size=(4, 5))
    value, gradient = adcompile.value_and_grad(network)(params, x)
    expected, exact = adcompile.value_and_grad(network, backend="python")(params, x)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for found, reference in zip(gradient, exact, strict=True):
        for a, b in zip(found, reference, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    direction = [tuple(np.ones_like(p) for p in layer) for layer in params]
    step = 1e-6
    moved = [network([tuple(p + s * step for p in layer) for layer in params], x) for s in (1.0, -1.0)]
    slope = sum(np.sum(g * d) for a, b in zip(gradient, direction, strict=True) for g, d in zip(a, b, strict=True))
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * step), rtol=1e-6)


def sums(a, b, c, d):
    """Four loops of one shape, with a sum and a number each."""
    total = 0.0
    for array, factor in ((a, 2.0), (b, a[0]), (c, b[1]), (d, c[2])):
        found = 0.0
        for i in range(array.shape[0]):
            found += array[i] * factor * total
        total = found + factor
    return total


def test_repeated_loops_return_their_sums():
    arrays = [np.random.default_rng(k).normal(size=4) for k in range(4)]
    compiled = adcompile.jit(sums, cache=False)
    np.testing.assert_allclose(compiled(*arrays), sums(*arrays), rtol=1e-13)
    assert "define internal { double } @loop." in text(compiled, *arrays)
    adcompile.check_grads(sums, tuple(arrays))


def running(x, y, z):
    """Loops of one shape, over different ranges, that read what they wrote an iteration ago."""
    a, b, c = x * 1.0, y * 2.0, z * 3.0
    for j in range(1, x.shape[0]):
        a[j] = a[j - 1] * a[j]
    for j in range(1, y.shape[0]):
        b[j] = b[j - 1] * b[j]
    for j in range(1, z.shape[0]):
        c[j] = c[j - 1] * c[j]
    return np.sum(a) + np.sum(b) * np.sum(c)


def test_repeated_loops_in_place():
    arrays = [np.random.default_rng(k).normal(size=k) for k in (3, 4, 6)]
    compiled = adcompile.jit(running, cache=False)
    np.testing.assert_allclose(compiled(*arrays), running(*arrays), rtol=1e-13)
    assert functions(text(compiled, *arrays)) == (1, 3)
    adcompile.check_grads(running, tuple(arrays))


def checked(a, k):
    """Loops that may fail stay where they are, and raise the user's line."""
    total = 0.0
    for shift in (0, 1, 2):
        for i in range(a.shape[0]):
            total += a[k[i] + shift]
    return total


def test_loops_that_may_fail_are_no_functions():
    a, k = np.arange(4.0), np.array([0, 1, 0, 1])
    compiled = adcompile.jit(checked, cache=False)
    assert compiled(a, k) == checked(a, k)
    assert functions(text(compiled, a, k)) == (0, 0)
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        compiled(a, k + 1)

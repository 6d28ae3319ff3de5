"""Which loops are shared: the outermost independent ones; those whose iterations depend on each other are not."""

import numpy as np
import pytest

import adcompile
from adcompile.backend.llvm import regions
from tests.parallel.common import lowered, on_threads, shared_loops

X, AT, M = np.arange(1.0, 9.0), np.array([0, 3, 3, 1, 2, 7, 5, 3]), np.ones((4, 4))


def running_sum(x, at):
    for i in range(1, x.shape[0]):
        x[i] += x[i - 1]
    return x


def recurrence(x, at):
    t = 0.0
    for i in range(x.shape[0]):
        t = 0.5 * t + x[i]
    return t


def permuted(x, at):
    y = np.zeros_like(x)
    for i in range(x.shape[0]):
        y[at[i]] = x[i]
    return y


def read_while_added(x, at):
    t = 0.0
    for i in range(x.shape[0]):
        x[at[i]] += 1.0
        t += x[i]
    return t


def stored_and_added(x, at):
    """Even elements are set, odd ones are added to: an array of zeros could not stand for the first ones."""
    y = np.ones(2 * x.shape[0])
    for i in range(x.shape[0]):
        y[2 * i] = x[i]
        y[2 * (at[i] // 2) + 1] += x[i]
    return y


def swapped(x, at):
    a, b = x.copy(), x.copy()
    for i in range(3):
        for j in range(x.shape[0]):
            b[j] = a[at[j]]
        a, b = b, a
    return a


DEPENDENT = (running_sum, recurrence, permuted, read_while_added, stored_and_added)


@pytest.mark.parametrize("function", DEPENDENT, ids=lambda f: f.__name__)
def test_dependent_loops_stay_on_their_thread(function):
    together = adcompile.jit(lambda x, at: function(x.copy(), at), parallel=True)
    text = lowered(together, X, AT)
    heads = [line for line in text.splitlines() if "range(" in line]
    bodies = [text.splitlines()[text.splitlines().index(line) + 1] for line in heads if "prange(" in line]
    assert all(body.strip().endswith(("= 0.0", "= 1.0")) for body in bodies), text  # np.zeros, np.ones
    expected = function(X.copy(), AT)
    for found in on_threads(3, together, X, AT):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_loops_in_a_sequential_loop_are_shared():
    together = adcompile.jit(swapped, parallel=True)
    lines = [line.strip() for line in lowered(together, X, AT).splitlines() if "range(" in line]
    assert any(line.startswith(("for _ in range(3)", "for i in range(3)")) for line in lines)
    assert any("prange(" in line for line in lines)
    np.testing.assert_array_equal(on_threads(3, together, X, AT)[0], swapped(X, AT))


def test_only_the_outermost_loop_is_shared():
    text = lowered(adcompile.jit(lambda m: np.exp(m) * m, parallel=True), M)
    assert [line.split(" in ")[1].split("(")[0] for line in text.splitlines() if "for " in line] == ["prange", "range"]


def test_without_the_option_nothing_is_shared():
    assert shared_loops(adcompile.jit(lambda m: np.exp(m) * m), M) == 0


def test_stages_show_the_loops_of_the_option():
    together = adcompile.jit(lambda m: np.exp(m) * m, parallel=True)
    assert together.stages(M)["lowered"] == lowered(together, M)


def test_the_generated_source_is_the_same():
    f = lambda x: np.sum(np.sin(x))
    assert adcompile.grad(f, parallel=True).source(X) == adcompile.grad(f).source(X)


def test_short_loops_stay_on_their_thread(monkeypatch):
    """With the real bounds: the sums of many threads differ from that of one in the last bits where they are shared."""
    monkeypatch.undo()
    total = adcompile.jit(lambda x: np.sum(x * x), parallel=True)
    short, long = np.random.default_rng(1).standard_normal((2, 500_000))
    short = short[:500]
    one, seven = ([on_threads(n, total, x)[0] for x in (short, long[:-1], long[:-2], long)] for n in (1, 7))
    assert one[0] == seven[0]
    assert one[1:] != seven[1:]


def test_arrays_of_their_own_must_pay(monkeypatch):
    """Few additions into a large array: clearing one per thread would cost more than the loop."""
    monkeypatch.undo()
    monkeypatch.setattr(regions, "LEAST", 0.0)

    def scattered(x, at, size):
        h = np.zeros(size)
        for i in range(at.shape[0]):
            h[0] += x[i] * x[at[i]]
        return h[0]

    x = np.random.default_rng(2).standard_normal(4000)
    at = np.arange(4000)[::-1].copy()
    total = adcompile.jit(scattered, parallel=True)
    assert on_threads(1, total, x, at, 10**5) == on_threads(7, total, x, at, 10**5)
    assert on_threads(1, total, x, at, 1) != on_threads(7, total, x, at, 1)

"""Loops that threads share give what they give on one thread, and what the Python function gives."""

import numpy as np
import pytest

import adcompile
from adcompile.backend import llvm
from adcompile.lower import lower
from adcompile.primitives.evaluate import run
from benchmarks import burgers
from tests.corpus import PROGRAMS
from tests.lower.fuzz import random_program
from tests.parallel.common import THREADS, assert_same, on_threads, shared_loops

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal(23), RNG.uniform(0.5, 2.0, 23)
M = RNG.standard_normal((7, 5))
AT = RNG.integers(0, 6, 23)


# -- loops without sums: the same bits ------------------------------------------------------------------------------


def elementwise(x, y):
    return np.tanh(x) * np.sin(y) + x / y


def explicit(x, y):
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        out[i] = x[i] * y[i] if x[i] > 0 else -x[i]
    return out


def downwards_in_steps(x, y):
    out = x.copy()
    for i in range(x.shape[0] - 1, 2, -3):
        out[i] = out[i] * y[i - 1]
    return out


def steps(x, n):
    u = x.copy()
    for _ in range(n):
        v = u.copy()
        for i in range(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                v[i, j] = u[i, j] + 0.1 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j])
        u = v
    return u


def until_small(x, y):
    n = 0
    while np.max(np.abs(x)) > 0.1:
        x = 0.5 * x * np.cos(y)
        n += 1
    return x, n


def triangle(x, y):
    out = np.zeros((x.shape[0], x.shape[0]))
    for i in range(x.shape[0]):
        for j in range(i):
            out[i, j] = x[i] * y[j]
    return out


def local_buffer(m):
    out = np.empty(m.shape[0])
    for i in range(m.shape[0]):
        row = np.exp(m[i])
        row /= np.sum(row)
        out[i] = row[0] - row[1]
    return out


EXACT = {
    elementwise: (X, Y),
    explicit: (X, Y),
    downwards_in_steps: (X, Y),
    steps: (RNG.standard_normal((9, 8)), 3),
    until_small: (X, Y),
    triangle: (X[:6], Y[:6]),
    local_buffer: (M,),
}


@pytest.mark.parametrize("function", EXACT, ids=lambda f: f.__name__)
def test_loops_without_sums_give_the_same_bits(function):
    args = EXACT[function]
    alone, together = adcompile.jit(function), adcompile.jit(function, parallel=True)
    assert shared_loops(together, *args)
    expected = on_threads(1, alone, *args)
    assert_same(expected, adcompile.tree.flatten(function(*args))[0])
    for count in (*THREADS, 30):
        assert_same(on_threads(count, together, *args), expected, exact=True)


# -- sums of threads ------------------------------------------------------------------------------------------------


def total(x, y):
    return np.sum(x * y)


def largest(x, y):
    return np.max(x) + np.min(y)


def product(x, y):
    return np.prod(y)


def any_and_all(x, y):
    return np.any(x > 2.0), np.all(y > 0.1), np.any(x > 99.0)


def difference(x, y):
    t = 3.0
    for i in range(x.shape[0]):
        t -= x[i] * y[i]
    return t


def histogram(x, at):
    h = np.zeros(6)
    for i in range(x.shape[0]):
        h[at[i]] += x[i]
    return h


def written_out(x, at):
    h = np.ones((6, 2))
    for i in range(x.shape[0]):
        h[at[i], 1] = h[at[i], 1] - x[i]
    return h


def counts(at):
    h = np.zeros(6, dtype=np.int64)
    for i in range(at.shape[0]):
        h[at[i]] += 1
    return h


def both(x, at):
    h, t, out = np.zeros(6, dtype=x.dtype), x.dtype.type(0), np.empty_like(x)
    for i in range(x.shape[0]):
        h[at[i]] += x[i]
        out[i] = x[i] * x[i]
        t += out[i]
    return h, t, out


SUMS = {
    total: (X, Y),
    largest: (X, Y),
    product: (X, Y),
    any_and_all: (X, Y),
    difference: (X, Y),
    histogram: (X, AT),
    written_out: (X, AT),
    counts: (AT,),
    both: (X, AT),
}


@pytest.mark.parametrize("function", SUMS, ids=lambda f: f.__name__)
def test_sums_of_threads_are_sums_to_rounding(function):
    args = SUMS[function]
    together = adcompile.jit(function, parallel=True)
    assert shared_loops(together, *args)
    expected = adcompile.tree.flatten(function(*args))[0]
    for count in THREADS:
        assert_same(on_threads(count, together, *args), expected)


def test_float32_sums_stay_float32():
    args = (X.astype(np.float32), AT)
    together = adcompile.jit(both, parallel=True)
    for count in THREADS:
        assert_same(on_threads(count, together, *args), adcompile.tree.flatten(both(*args))[0])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7])
def test_more_threads_than_iterations(size):
    together = adcompile.jit(both, parallel=True)
    args = (X[:size], AT[:size])
    assert_same(on_threads(4, together, *args), adcompile.tree.flatten(both(*args))[0])


# -- adjoints -------------------------------------------------------------------------------------------------------


def gathered(x, at):
    t = 0.0
    for i in range(at.shape[0]):
        t += np.sin(x[at[i]]) * x[(i + 1) % x.shape[0]]
    return t


def neighbours(x, y):
    t = 0.0
    for i in range(1, x.shape[0] - 1):
        t += (x[i - 1] - 2.0 * x[i] + x[i + 1]) ** 2 * y[i]
    return t


GRADIENTS = {
    gathered: (X[:6], AT),
    neighbours: (X, Y),
    burgers.solve: (*burgers.data(40)[:2], 4, *burgers.data(40)[2:]),
    burgers.solve_arrays: (*burgers.data(40)[:2], 4, *burgers.data(40)[2:]),
}


@pytest.mark.parametrize("function", GRADIENTS, ids=lambda f: f.__name__)
def test_adjoints_add_into_arrays_of_their_own(function):
    args = GRADIENTS[function]
    together = adcompile.value_and_grad(function, parallel=True)
    assert shared_loops(together, *args)
    expected = on_threads(1, adcompile.value_and_grad(function), *args)
    step = np.zeros_like(args[0])
    step[2] = 1e-6
    difference = (function(args[0] + step, *args[1:]) - function(args[0] - step, *args[1:])) / 2e-6
    for count in THREADS:
        found = on_threads(count, together, *args)
        assert_same(found, expected)
        np.testing.assert_allclose(found[1][2], difference, rtol=1e-5, atol=1e-8)


def test_second_derivatives():
    f = lambda x: np.sum(np.sin(x) * x**2)
    expected = np.diag(2.0 * np.sin(X) + 4.0 * X * np.cos(X) - X**2 * np.sin(X))
    (found,) = on_threads(3, adcompile.hessian(f, parallel=True), X)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_every_transform_takes_the_option():
    f, options = (lambda x: np.sum(np.sin(x))), {"parallel": True}
    adcompile.set_num_threads(2)
    _, tangent = adcompile.jvp(f, (X,), (Y,), **options)
    _, pullback = adcompile.vjp(f, X, **options)
    found = [tangent, np.dot(pullback(1.0)[0], Y), np.dot(adcompile.grad(f, **options)(X), Y)]
    found += [np.dot(jacobian(f, **options)(X), Y) for jacobian in (adcompile.jacfwd, adcompile.jacrev)]
    np.testing.assert_allclose(found, np.dot(np.cos(X), Y), rtol=1e-12)
    np.testing.assert_allclose(adcompile.hvp(f, **options)(X, Y), -np.sin(X) * Y, rtol=1e-12)
    np.testing.assert_allclose(adcompile.vmap(np.sin, **options)(X), np.sin(X), rtol=1e-14)


# -- the corpus -----------------------------------------------------------------------------------------------------

NAMES = (
    "prange_sum", "run_time_bounds_0", "while_of_two_kinds", "matching_1", "sizes_that_change", "checks_not_triggered",
    "early_returns_in_helpers", "store_rank_three", "add_at_repeated_from_self", "add_at_rows_and_pairs",
    "mask_of_rows", "mask_of_varying_size", "buffers_are_rows", "out_arguments", "heat_three_dimensions", "wave",
    "burgers_upwind", "thomas", "advected_particles", "conjugate_gradients", "convolution_by_loops",
    "broadcast_of_ones", "residual_network", "float32_chain",
)  # fmt: skip


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.name in NAMES], ids=lambda p: p.name)
def test_programs_of_the_corpus(program):
    options = {"argnums": program.argnums}
    reference = adcompile.value_and_grad(program.function, **options, backend="python")
    expected = adcompile.tree.flatten(reference(*program.arguments()))[0]
    together = adcompile.value_and_grad(program.function, **options, parallel=True)
    assert shared_loops(together, *program.arguments())
    rtol = 1e-4 if "float32" in program.tags else 1e-9
    for count in THREADS:
        for one, two in zip(on_threads(count, together, *program.arguments()), expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed):
    random = np.random.default_rng(seed)
    values = [random.standard_normal(3), random.standard_normal(3), random.standard_normal((3, 3))]
    trace = random_program(seed)
    together = llvm.compile(lower(trace, threads=True), cache=False).call
    for count in THREADS:
        for one, two in zip(on_threads(count, together, *values), run(trace, values), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-10)


def test_the_names_are_those_of_programs():
    assert {p.name for p in PROGRAMS}.issuperset(NAMES)

"""Derivatives of checkpointed loops and functions, their refusals, and batches of them."""

import doctest
import functools

import numpy as np
import pytest

import adcompile
from adcompile import checkpoint, checkpointed, grad, hvp, jit, value_and_grad
from tests.checkpointing.common import SNAPSHOTS, U, counting_step

BACKENDS = pytest.mark.parametrize("backend", ["python", "llvm"])


def heat_step(u, v, rate):
    """In place, with a scratch array."""
    v[1:-1] = u[1:-1] + rate * (u[2:] - 2.0 * u[1:-1] + u[:-2]) * np.cos(u[1:-1])
    u[:] = v


def stored(u, rate, n):
    u, v, total = u.copy(), u.copy(), 0.0
    for i in range(n):
        heat_step(u, v, rate)
        total += i * np.sum(u**3)
    return np.sum(u * u) + total


@functools.cache
def kept(k):
    def f(u, rate, n):
        u, v, total = u.copy(), u.copy(), 0.0
        for i in checkpointed(range(n), snapshots=k):
            heat_step(u, v, rate)
            total += i * np.sum(u**3)
        return np.sum(u * u) + total

    return f


def stored_while(u, rate, tolerance):
    count, done = 0, False
    while not done and count < 200:
        u = u - rate * u**3
        count += 1
        done = np.sum(u * u) < tolerance
    return np.sum(u * u) * count


@functools.cache
def kept_while(k):
    def f(u, rate, tolerance):
        count, done = 0, False
        while checkpointed(not done and count < 200, snapshots=k):
            u = u - rate * u**3
            count += 1
            done = np.sum(u * u) < tolerance
        return np.sum(u * u) * count

    return f


def stored_break(u, rate, tolerance):
    for i in range(2, 300, 3):
        u = u - rate * np.sin(u) * i
        if np.sum(u * u) < tolerance:
            break
    return np.sum(u)


@functools.cache
def kept_break(k):
    def f(u, rate, tolerance):
        for i in checkpointed(range(2, 300, 3), snapshots=k):
            u = u - rate * np.sin(u) * i
            if np.sum(u * u) < tolerance:
                break
        return np.sum(u)

    return f


def assert_same_derivatives(one, other, args, backend):
    value, gradient = value_and_grad(one, argnums=(0, 1), backend=backend)(*args)
    expected, reference = value_and_grad(other, argnums=(0, 1), backend=backend)(*args)
    np.testing.assert_array_equal(value, expected)
    for g, r in zip(gradient, reference, strict=True):
        np.testing.assert_allclose(g, r, rtol=1e-12, atol=1e-12)


@BACKENDS
@SNAPSHOTS
def test_counted_loops(k, backend, verified):
    for n in (0, 1, 2, 7, 20, 100):
        assert_same_derivatives(kept(k), stored, (U, 0.1, n), backend)


@BACKENDS
@SNAPSHOTS
@pytest.mark.parametrize("pair", [(kept_while, stored_while), (kept_break, stored_break)], ids=["while", "break"])
def test_loops_that_end_by_a_condition(pair, k, backend, verified):
    with_snapshots, without = pair
    for tolerance in (10.0, 2.0, 1.0, 0.3, 0.01):
        assert_same_derivatives(with_snapshots(k), without, (U, 0.01, tolerance), backend)


def test_on_numba():
    pytest.importorskip("numba")
    found = grad(kept_break(3), backend="numba")(U, 0.01, 0.3)
    np.testing.assert_allclose(found, grad(stored_break)(U, 0.01, 0.3), rtol=1e-12, atol=1e-12)


@BACKENDS
def test_the_final_state_is_the_function_s_own(backend):
    def final(u, n):
        for _ in checkpointed(range(n), snapshots=3):
            u = counting_step(u)
        return u

    def with_gradient(u, n):
        u = final(u, n)
        return np.sum(u), u

    (_, found), _ = value_and_grad(with_gradient, has_aux=True, backend=backend)(U, 20)
    np.testing.assert_array_equal(found, jit(final, backend=backend)(U, 20))
    if backend == "python":
        np.testing.assert_array_equal(found, final(U, 20))


@BACKENDS
def test_forward_over_reverse(backend):
    with_snapshots = kept(2)
    f = lambda u: with_snapshots(u, 0.1, 7)
    direction = np.array([1.0, -2.0, 0.5, 3.0])
    expected = hvp(lambda u: stored(u, 0.1, 7), backend="python")(U, direction)
    np.testing.assert_allclose(hvp(f, backend=backend)(U, direction), expected, rtol=1e-12)


def test_against_differences_in_both_modes_twice():
    f = kept(2)
    adcompile.check_grads(lambda u, rate: f(u, rate, 5), (U, 0.1), order=2, modes=("fwd", "rev"), backend="python")


def unnested(u, n):
    for _ in range(n):
        for _ in range(n):
            u = u + 0.1 * np.sin(u)
        u = u * np.cos(u)
    return np.sum(u)


def nested(u, n):
    for _ in checkpointed(range(n), snapshots=2):
        for _ in checkpointed(range(n), snapshots=2):
            u = u + 0.1 * np.sin(u)
        u = u * np.cos(u)
    return np.sum(u)


def inside(u, n):
    for _ in range(n):
        for _ in checkpointed(range(n), snapshots=2):
            u = u + 0.1 * np.sin(u)
        u = u * np.cos(u)
    return np.sum(u)


@BACKENDS
@pytest.mark.parametrize("f", [nested, inside])
def test_loops_in_loops(f, backend):
    expected = grad(unnested, backend=backend)(U, 6)
    np.testing.assert_allclose(grad(f, backend=backend)(U, 6), expected, rtol=1e-12)


@BACKENDS
def test_over_arrays_and_pairs(backend):
    forces = np.linspace(-1.0, 1.0, 9)

    def f(u, forces):
        for i, force in checkpointed(enumerate(forces), snapshots=2):
            u = u + force * np.sin(u) * i
        return np.sum(u)

    def g(u, forces):
        for i, force in enumerate(forces):
            u = u + force * np.sin(u) * i
        return np.sum(u)

    for found, expected in zip(
        grad(f, (0, 1), backend=backend)(U, forces), grad(g, (0, 1), backend=backend)(U, forces), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_program_does_not_grow_with_the_loop_or_the_snapshots():
    lengths = {len(grad(kept(k)).source(U, 0.1, 3).splitlines()) for k in (2, 3, 50)}
    assert len(lengths) == 1
    g = grad(kept(3))
    for n in (0, 5, 50):
        g(U, 0.1, n)
    assert len(g.compiled) == 1


def test_plain_python_sees_the_loop_alone():
    numbers = range(3)
    assert checkpointed(numbers, snapshots=1) is numbers
    assert checkpointed(False, snapshots=2) is False
    assert kept(3)(U, 0.1, 7) == stored(U, 0.1, 7)


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, None])
def test_snapshots_must_be_a_positive_int(wrong):
    def f(x):
        for _ in checkpointed(range(3), snapshots=wrong):
            x = x * x
        return x

    with pytest.raises(adcompile.InvalidArgument, match="snapshots is"):
        f(1.0)
    with pytest.raises(adcompile.InvalidArgument, match="snapshots is"):
        grad(f)(1.0)


def test_snapshots_must_be_known_while_tracing():
    def f(x, k):
        for _ in checkpointed(range(3), snapshots=k):
            x = x * x
        return x

    with pytest.raises(adcompile.StaticValueRequired, match="snapshots must be known"):
        grad(f)(1.0, 2)


def test_it_stands_around_the_whole_header():
    def f(x):
        while not checkpointed(x > 2.0, snapshots=2):
            x = x * x
        return x

    with pytest.raises(adcompile.InvalidArgument, match="whole header") as caught:
        grad(f)(1.5)
    assert "while not checkpointed" in str(caught.value)


def test_arrays_keep_their_shape():
    def f(u):
        for _ in checkpointed(range(3), snapshots=2):
            u = np.concatenate((u, u[:1] * 2.0))
        return np.sum(u)

    with pytest.raises(adcompile.InvalidArgument, match="'u' changes its shape in a checkpointed loop"):
        grad(f)(U)


def test_a_container_is_no_loop_of_the_program():
    def f(x):
        for y in checkpointed((1.0, 2.0), snapshots=2):
            x = x * y
        return x

    with pytest.raises(adcompile.InvalidArgument, match="written out"):
        grad(f)(1.0)


def layer(x, w):
    y = np.tanh(x @ w)
    return np.exp(-np.sin(y) * y)


W = np.array([[0.3, -0.2, 0.5, 0.1], [0.2, 0.4, -0.6, 0.7], [0.9, -0.1, 0.2, 0.3], [-0.5, 0.6, 0.1, 0.2]])


def straight(layer):
    return lambda x, w: np.sum(layer(layer(x, w), w))


def rolled(layer):
    def f(x, w):
        for _ in range(5):
            x = layer(x, w)
        return np.sum(x)

    return f


@BACKENDS
@pytest.mark.parametrize("around", [straight, rolled])
def test_functions(around, backend, verified):
    f, reference = around(checkpoint(layer)), around(layer)
    found = value_and_grad(f, (0, 1), backend=backend)(U, W)
    expected = value_and_grad(reference, (0, 1), backend=backend)(U, W)
    assert found[0] == expected[0]
    for g, r in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(g, r, rtol=1e-12)
    if backend == "python":
        adcompile.check_grads(f, (U, W), order=2, modes=("fwd", "rev"), backend=backend)


def test_a_function_is_run_again():
    """In the reverse sweep its body stands once more; a loop around it records its argument alone."""
    recorded = grad(rolled(layer)).source(U, W)
    again = grad(rolled(checkpoint(layer))).source(U, W)
    assert recorded.count("np.tanh") == 1
    assert again.count("np.tanh") == 2
    assert again.count("_tape = np.zeros") < recorded.count("tape = np.zeros")
    assert value_and_grad(straight(layer)).source(U, W).count("np.tanh") == 2
    assert value_and_grad(straight(checkpoint(layer))).source(U, W).count("np.tanh") == 4


def test_a_function_defined_inside_and_its_captures():
    def f(x, w):
        @checkpoint
        def inner(x):
            return layer(x, w), {"norm": np.sum(w * w)}

        y, extra = inner(x)
        return np.sum(y) * extra["norm"]

    reference = lambda x, w: np.sum(layer(x, w)) * np.sum(w * w)
    for found, expected in zip(grad(f, (0, 1))(U, W), grad(reference, (0, 1))(U, W), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_inspection_shows_what_a_function_computes():
    f = checkpoint(lambda x: np.sin(x) * x)
    assert "sin(x)" in str(grad(f).trace(0.5)).replace("np.", "")
    assert str(adcompile.verify(f, 0.5)).startswith("f: verified")
    assert f(0.5) == np.sin(0.5) * 0.5


def test_a_function_may_not_write_around_itself():
    def f(x):
        a = np.zeros(3)

        @checkpoint
        def inner(x):
            a[0] = x
            return x * x

        return inner(x) + a[0]

    with pytest.raises(adcompile.InvalidArgument, match="writes into an array around it"):
        grad(f)(1.0)


def test_checkpoint_takes_a_function():
    with pytest.raises(adcompile.InvalidArgument, match="is not a function"):
        checkpoint(3)


@pytest.mark.parametrize("backend", ["python", "llvm"])
def test_a_loop_keeps_its_shape_through_functions_with_rules(backend):
    """Sizes are seen through a call that is one equation, or the loop could not keep its state in slots."""

    def f(u, a):
        for _ in checkpointed(range(4), snapshots=2):
            u = adcompile.fixed_point(lambda x, u, a: 0.5 * np.cos(x) + a * u, u, u, a, tolerance=1e-14)
        return np.sum(u)

    adcompile.check_grads(f, (U, 0.3), order=1, modes=("rev",), backend=backend)


def test_docstrings():
    assert doctest.testmod(adcompile.checkpointing).failed == 0


def relaxed(x, n):
    u = x.copy()
    for _ in adcompile.checkpointed(range(n), snapshots=2):
        u = np.sin(u) * x + 0.1 * u
    return np.sum(u)


def run_again(x, n):
    again = adcompile.checkpoint(lambda y: np.tanh(y) ** n)
    return np.sum(again(x) * again(2.0 * x))


@pytest.mark.parametrize("backend", ["python", "llvm"])
@pytest.mark.parametrize("f", [relaxed, run_again])
def test_batches(f, backend):
    xs = np.random.default_rng(0).normal(size=(4, 3))
    gradient = adcompile.grad(f, backend=backend)
    expected = np.stack([gradient(x, 7) for x in xs])
    found = adcompile.vmap(adcompile.grad(f), in_axes=(0, None), backend=backend)(xs, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    total = adcompile.grad(lambda xs: np.sum(adcompile.vmap(f, in_axes=(0, None))(xs, 7)), backend=backend)
    np.testing.assert_allclose(total(xs), expected, rtol=1e-13)

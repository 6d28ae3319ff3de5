"""Branches, loops, subscripts and errors of batches."""

import numpy as np
import pytest

import adcompile
from adcompile.tree import flatten
from tests.vmap.common import FAST, XS, assert_stacked, in_loop

BACKENDS = ("python", "llvm", "numba")


def logarithm(x):
    if x > 0:
        return np.log(x) * x
    return x * x


def norm_or_sum(v):
    """The side not taken divides by zero in an array, where no selection of one number helps."""
    if np.sum(v) > 0:
        w = v / np.sum(v * v)
        return np.sum(w * np.log(v))
    return 3.0 * np.sum(v)


def scaled(v, w):
    """An unmapped parameter on a side that some calls do not take."""
    if v[0] > 0:
        return np.sum(np.sqrt(v) * w) + np.log(v) @ w
    return w[0]


@pytest.mark.parametrize("backend", FAST)
def test_sides_not_taken_give_no_nan(backend):
    xs = np.array([0.5, -1.0, 2.0, 0.0])
    with np.errstate(all="ignore"):
        value, gradient = adcompile.vmap(adcompile.value_and_grad(logarithm), backend=backend)(xs)
        again = adcompile.grad(lambda x: np.sum(adcompile.vmap(logarithm)(x)), backend=backend)(xs)
        second = adcompile.vmap(adcompile.grad(adcompile.grad(logarithm)), backend=backend)(xs)
    np.testing.assert_allclose(value, [0.5 * np.log(0.5), 1.0, 2 * np.log(2), 0.0], rtol=1e-14)
    expected = [np.log(0.5) + 1.0, -2.0, np.log(2) + 1.0, 0.0]
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)
    np.testing.assert_allclose(again, expected, rtol=1e-14)
    np.testing.assert_allclose(second, [2.0, 2.0, 0.5, 2.0], rtol=1e-14)


@pytest.mark.parametrize("backend", FAST)
def test_sides_not_taken_give_no_nan_to_arrays_and_parameters(backend):
    """Nothing is computed that no single call computes: not even a warning."""
    vs = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0], [0.5, 3.0]])
    of_single = in_loop(adcompile.grad(norm_or_sum, backend=backend), vs)
    np.testing.assert_allclose(adcompile.vmap(adcompile.grad(norm_or_sum), backend=backend)(vs), of_single, rtol=1e-12)
    total = adcompile.grad(lambda v: np.sum(adcompile.vmap(norm_or_sum)(v)), backend=backend)
    np.testing.assert_allclose(total(vs), of_single, rtol=1e-12)
    w = np.array([2.0, 3.0])
    expected = sum(adcompile.grad(scaled, 1)(v, w) for v in vs)
    of_w = adcompile.grad(lambda w: np.sum(adcompile.vmap(scaled, (0, None))(vs, w)), backend=backend)
    np.testing.assert_allclose(of_w(w), expected, rtol=1e-12)
    none = -np.ones((2, 2))
    np.testing.assert_array_equal(total(none), 3.0 * np.ones((2, 2)))
    along = adcompile.jvp(lambda v: np.sum(adcompile.vmap(norm_or_sum)(v)), (vs,), (np.ones_like(vs),), backend=backend)
    np.testing.assert_allclose(along[1], np.sum(of_single), rtol=1e-12)


def checked(x):
    if x > 0:
        if x > 5:
            raise ValueError("over five")
        return np.sqrt(x)
    return x


@pytest.mark.parametrize("backend", BACKENDS)
def test_checks_of_live_calls(backend):
    mapped = adcompile.vmap(checked, backend=backend)
    np.testing.assert_allclose(mapped(np.array([4.0, -9.0])), [2.0, -9.0])
    np.testing.assert_allclose(mapped(np.array([-4.0, -9.0])), [-4.0, -9.0])
    with pytest.raises(ValueError, match="over five"):
        mapped(np.array([4.0, 6.0]))


def first_above(v, t):
    i = 0
    while i < len(v) and v[i] < t:
        i += 1
    return i * t if i == len(v) else v[i] * t


def root(a):
    x = a
    steps = 0
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
        steps += 1
    return x, steps


def power(x, n):
    y = 1.0
    for _ in range(n):
        y = y * x
    return y


def strided(x, start, stop, step):
    total = 0.0
    for k in range(start, stop, step):
        total += k * x * (total + 1.0)
    return total


def running(v, n):
    w = np.zeros(len(v))
    for i in range(1, n):
        if v[i] < 1.0:
            w[i] = w[i - 1] + v[i] ** 2
        else:
            w[i - 1] += v[i]
    return w


LOOPS = [
    (first_above, (XS, np.array([0.1, 9.0, 0.9])), (0, 1)),
    (lambda a: root(a)[0], (np.array([1.0, 2.0, 1e4]),), 0),
    (power, (np.array([2.0, 3.0, 4.0]), np.array([0, 2, 3])), 0),
    (power, (np.array([2.0, 3.0]), np.array([0, -1])), 0),
    (strided, (np.array([0.1, 0.2, 0.3]), np.array([0, 9, 2]), np.array([5, 1, 3]), np.array([2, -3, 1])), 0),
    (lambda v, n: np.sum(running(v, n) ** 2), (XS, np.array([4, 1, 3])), 0),
]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("case", LOOPS, ids=["search", "newton", "power", "no trips", "strided", "stores"])
def test_loops_that_calls_leave_at_different_times(case, backend):
    function, columns, argnums = case
    found = adcompile.vmap(function, backend=backend)(*columns)
    np.testing.assert_allclose(found, in_loop(function, *columns), rtol=1e-12)
    gradient = adcompile.grad(function, argnums, backend=backend)
    expected = [gradient(*elements) for elements in zip(*columns, strict=True)]
    assert_stacked(adcompile.vmap(adcompile.grad(function, argnums), backend=backend)(*columns), expected, 1e-10)

    def total(*arrays):
        return np.sum(adcompile.vmap(function)(*arrays))

    assert_stacked(adcompile.grad(total, argnums, backend=backend)(*columns), expected, 1e-10)


def test_counts_of_finished_calls_stay():
    values, steps = adcompile.vmap(root)(np.array([1.0, 2.0, 1e4]))
    singles = [root(a) for a in (1.0, 2.0, 1e4)]
    np.testing.assert_array_equal(steps, [s for _, s in singles])
    np.testing.assert_array_equal(values, [v for v, _ in singles])


def test_a_loop_over_no_calls_does_not_run():
    for function in (root, first_above, checked):
        columns = [np.zeros((0, 3)), np.zeros(0)] if function is first_above else [np.zeros(0)]
        assert np.shape(flatten(adcompile.vmap(function)(*columns))[0][0]) == (0,)


def read_and_write(v, i, k):
    w = v.copy()
    w[i] += v[k][0] * v[-1]
    np.add.at(w, k, v[i])
    w[i : i + 2] *= 3.0
    return w[k] * v[i]


@pytest.mark.parametrize("backend", FAST)
def test_mapped_subscripts(backend):
    columns = (XS, np.array([0, 2, 1]), np.array([[0, 0], [3, -1], [1, 2]]))
    found = adcompile.vmap(read_and_write, backend=backend)(*columns)
    np.testing.assert_allclose(found, in_loop(read_and_write, *columns), rtol=1e-14)
    shared = adcompile.vmap(read_and_write, (None, 0, 0), backend=backend)(XS[0], *columns[1:])
    np.testing.assert_allclose(shared, in_loop(lambda i, k: read_and_write(XS[0], i, k), *columns[1:]), rtol=1e-14)


@pytest.mark.parametrize("start", [-1, 3])
def test_a_mapped_slice_out_of_range(start):
    with pytest.raises(IndexError):
        adcompile.vmap(lambda v, i: np.sum(v[i : i + 2]), backend="python")(XS, np.array([0, start, 1]))


def test_an_index_out_of_range():
    with pytest.raises(IndexError):
        adcompile.vmap(lambda v, i: v[i])(XS, np.array([0, 4, 1]))


def product(a, b):
    return a @ b


ERRORS = [
    (lambda: adcompile.vmap(product)(XS, XS[:1]), adcompile.ShapeMismatch, "mapped arguments have different sizes"),
    (lambda: adcompile.vmap(product)(XS, XS[:2]), adcompile.ShapeMismatch, "different sizes: sizes 3 and 2"),
    (lambda: adcompile.vmap(product, backend="python")(XS, XS[:2]), adcompile.ShapeMismatch, "sizes 3 and 2"),
    (lambda: adcompile.vmap(product, (2, 0))(XS, XS), adcompile.InvalidArgument, "axis 2 of an argument with 2"),
    (lambda: adcompile.vmap(product, (None, None))(XS, XS), adcompile.InvalidArgument, "maps no array"),
    (lambda: adcompile.vmap(product, (0,))(XS, XS), adcompile.InvalidArgument, "in_axes has 1 entries for 2"),
    (lambda: adcompile.vmap(product, "a")(XS, XS), adcompile.InvalidArgument, "in_axes holds 'a'"),
    (lambda: adcompile.vmap(product)(XS, 2.0), adcompile.InvalidArgument, "vmap over a number"),
    (lambda: adcompile.vmap(product, out_axes=None)(XS, XS), adcompile.InvalidArgument, "its out_axes is None"),
    (lambda: adcompile.vmap(product, out_axes=1)(XS, XS), adcompile.InvalidArgument, "out_axes 1 for a result with 0"),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case[2])
def test_errors_show_the_mapped_function(case):
    call, kind, words = case
    with pytest.raises(kind, match=words) as caught:
        call()
    assert caught.value.loc.function == "product"
    assert caught.value.loc.file == __file__
    assert caught.value.loc.text == "def product(a, b):"


def writes(x):
    x[0] = 1.0
    return x


def of_size(n):
    return np.zeros(n)


def masked(x):
    return np.sum(x[x > 0.5])


def grown(x):
    w = x
    for _ in range(30):
        w = 1.5 * w
        if np.sum(w) > 20.0:
            return np.cumsum(w)
    return x


def inner_error(xs):
    return np.sum(adcompile.vmap(product, (0, 3))(xs, xs))


@pytest.mark.parametrize(
    ("function", "argument", "kind", "words", "line"),
    [
        (writes, XS, adcompile.InvalidArgument, "writes into its argument", "def writes(x):"),
        (of_size, np.arange(3), adcompile.MissingRule, "size of an array would differ", "    return np.zeros(n)"),
        (masked, XS, adcompile.MissingRule, "size of an array would differ", "    return np.sum(x[x > 0.5])"),
        (grown, XS, adcompile.MissingRule, "an array is first made in a loop", "    for _ in range(30):"),
    ],
    ids=["writes", "size", "mask", "returned from a loop"],
)
def test_refused(function, argument, kind, words, line):
    with pytest.raises(kind, match=words) as caught:
        adcompile.vmap(function)(argument)
    assert caught.value.loc.text == line
    assert caught.value.remedy


def test_errors_inside_a_traced_function_show_the_call():
    with pytest.raises(adcompile.InvalidArgument, match="axis 3") as caught:
        adcompile.jit(inner_error)(XS)
    assert caught.value.loc.text == "    return np.sum(adcompile.vmap(product, (0, 3))(xs, xs))"


def test_what_is_no_function():
    with pytest.raises(adcompile.InvalidArgument, match="'a' is not a function"):
        adcompile.vmap("a")

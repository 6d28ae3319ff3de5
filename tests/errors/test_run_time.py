"""Errors that only the run finds: shapes, subscripts, and what the program itself raises."""

import numpy as np
import pytest

import adcompile
from adcompile import errors
from tests.errors.common import BACKENDS, X, adds, assert_points, caught, place_of, total


def wrong_constants(x):
    return np.sum(np.ones((3, 4)) @ np.ones((3, 4)) * x)


def multiplies(x, y):
    return np.sum(x @ y)


def stores(x, y):
    z = x.copy()
    z[1:] = y
    return np.sum(z)


def reads(x, i):
    return x[i] * 2.0


def test_shape_mismatch_while_tracing():
    error = caught(errors.ShapeMismatch, wrong_constants, 1.0, transform=adcompile.jit)
    assert isinstance(error, ValueError)
    assert_points(error, wrong_constants, "np.ones((3, 4)) @ np.ones((3, 4))")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.value_and_grad])
@pytest.mark.parametrize(
    ("function", "shapes"), [(adds, (3, 4)), (multiplies, ((2, 3), (4, 2))), (stores, (3, 5))],
    ids=["add", "matmul", "store"],
)  # fmt: skip
def test_shape_mismatch_at_run_time(function, shapes, transform, backend):
    good = {adds: (3, 3), multiplies: ((2, 3), (3, 2)), stores: (3, 2)}[function]
    derivative = transform(function, backend=backend)
    derivative(*map(np.ones, good))
    with pytest.raises(errors.ShapeMismatch):
        derivative(*map(np.ones, shapes))


@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.jit])
def test_shape_mismatch_at_run_time_has_a_place(transform):
    error = caught(errors.ShapeMismatch, adds, np.ones(3), np.ones(4), transform=transform)
    assert error.fact == "operands could not be broadcast together: sizes 3 and 4"
    assert_points(error, adds, "x + y")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.jit, adcompile.value_and_grad, adcompile.jacrev])
@pytest.mark.parametrize("sizes", [(3, 4), (4, 3), (0, 3), (2, 0)])
def test_shape_mismatch_shows_the_line_on_every_backend(sizes, transform, backend):
    error = caught(errors.ShapeMismatch, adds, *map(np.ones, sizes), transform=transform, backend=backend)
    assert_points(error, adds, "x + y")
    assert all(str(n) in error.fact for n in sizes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shape_mismatch_of_a_matrix_product_shows_the_line(backend):
    error = caught(errors.ShapeMismatch, multiplies, np.ones((2, 3)), np.ones((4, 2)), backend=backend)
    assert_points(error, multiplies, "x @ y")


def unpacks_array(x):
    first, second = x
    return first * second


def in_a_helper(x, y):
    return adds(x, y) * 2.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_shape_mismatch_in_a_helper(backend):
    error = caught(errors.ShapeMismatch, in_a_helper, np.ones(3), np.ones(4), backend=backend)
    assert_points(error, adds, "x + y")


@pytest.mark.parametrize("backend", BACKENDS)
def test_unpacking_an_array_of_another_size(backend):
    gradient = adcompile.grad(unpacks_array, backend=backend)
    np.testing.assert_array_equal(gradient(np.array([2.0, 5.0])), [5.0, 2.0])
    with pytest.raises(errors.ShapeMismatch, match="cannot unpack an array: sizes 3 and 2") as info:
        gradient(X)
    assert info.value.loc.line == place_of(unpacks_array, "first, second =")[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_works_again_after_an_error(backend):
    gradient = adcompile.grad(adds, backend=backend)
    for _ in range(3):
        with pytest.raises(errors.ShapeMismatch):
            gradient(np.ones(3), np.ones(4))
        np.testing.assert_array_equal(gradient(X, X), X)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", [3, -4])
def test_index_error(index, backend):
    with pytest.raises(IndexError, match=f"index {index} is out of bounds"):
        adcompile.jit(reads, backend=backend)(X, index)


def test_index_error_has_a_place():
    with pytest.raises(IndexError) as info:
        adcompile.grad(reads)(X, 7)
    line, _ = place_of(reads, "x[i]")
    assert f'File "{__file__}", line {line}, in reads' in str(info.value)
    assert "^^^^" in str(info.value)


@pytest.mark.parametrize(
    ("primals", "tangents"), [((X,), (np.ones(4),)), ((X,), (1.0,)), ((1.0,), (X,))], ids=["longer", "number", "array"]
)
def test_seed_of_another_shape(primals, tangents):
    with pytest.raises(errors.ShapeMismatch, match="a seed has shape"):
        adcompile.jvp(total, primals, tangents)


def raises(x):
    if np.sum(x) > 2.0:
        raise ValueError("the sum is too large")
    return np.sum(x * x)


def asserts(x):
    assert np.sum(x) < 2.0, "the sum is too large"
    return np.sum(x * x)


def asserts_without_words(x):
    assert np.sum(x) < 2.0
    return np.sum(x * x)


def raises_a_class(x):
    if np.sum(x) > 2.0:
        raise OverflowError
    return np.sum(x * x)


def raises_in_a_loop(x):
    total = 0.0
    for k in range(x.shape[0]):
        if total > 1.5:
            raise RuntimeError(f"stopped after {2} steps")
        total = total + x[k] ** 2
    return total


def raises_in_a_branch(x):
    scale = 2.0
    if np.sum(x) > 0.0:
        scale = 1.0
        if np.sum(x) > 2.0:
            raise ArithmeticError("both")
    return scale * np.sum(x * x)


def raises_between(x):
    if np.sum(x) < 0.0:
        y = -1.0
    elif np.sum(x) > 2.0:
        raise ValueError("neither")
    else:
        y = 1.0
    return y * np.sum(x * x)


RAISING = [
    (raises, ValueError, "the sum is too large"),
    (asserts, AssertionError, "the sum is too large"),
    (asserts_without_words, AssertionError, ""),
    (raises_a_class, OverflowError, ""),
    (raises_in_a_loop, RuntimeError, "stopped after 2 steps"),
    (raises_in_a_branch, ArithmeticError, "both"),
    (raises_between, ValueError, "neither"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.jit])
@pytest.mark.parametrize("case", RAISING, ids=lambda c: c[0].__name__)
def test_raise_at_run_time(case, transform, backend):
    function, kind, words = case
    run = transform(function, backend=backend)
    small = np.array([0.5, 0.5, 0.25])
    expected = 2.0 * small if transform is adcompile.grad else function(small)
    for _ in range(2):
        np.testing.assert_allclose(run(small), expected, rtol=1e-15)
        with pytest.raises(kind) as info:
            run(X)
        assert type(info.value) is kind
        assert str(info.value).splitlines()[:1] == ([words] if words else [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_raise_in_nested_transforms(backend):
    run = adcompile.jit(lambda x: np.sum(adcompile.grad(raises)(x)), backend=backend)
    assert run(np.array([0.5, 0.25])) == 1.5
    with pytest.raises(ValueError, match="the sum is too large"):
        run(X)


def speaks_of_shapes(x):
    if np.sum(x) > 2.0:
        raise ValueError("the shape of the sum is a size without dimension")
    return np.sum(x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_raise_with_the_words_of_numpy(backend):
    with pytest.raises(ValueError, match="the shape of the sum") as info:
        adcompile.jit(speaks_of_shapes, backend=backend)(X)
    assert type(info.value) is ValueError


def known_else(x, kind):
    if kind == "double":
        y = x * 2.0
    else:
        raise ValueError("unknown kind")
    return y


def known_end(x, kind):
    if kind == "double":
        return x * 2.0
    raise ValueError("unknown kind")


def known_before(x, kind):
    if kind not in ("double",):
        raise ValueError("unknown kind")
    return x * 2.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.jit])
@pytest.mark.parametrize("function", [known_before, known_end, known_else])
def test_raise_under_a_condition_known_while_tracing(function, transform, backend):
    run = transform(function, backend=backend)
    assert run(1.0, "double") == 2.0
    with pytest.raises(ValueError, match="unknown kind"):
        run(1.0, "triple")


def negative_else(x):
    if x > 0.0:
        y = x * x
    else:
        raise ValueError("negative")
    return y


def negative_end(x):
    if x > 0.0:
        return x * x
    raise ValueError("negative")


def negative_else_return(x):
    if x > 0.0:
        return x * x
    else:
        raise ValueError("negative")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [negative_else, negative_end, negative_else_return])
def test_raise_at_the_end(function, backend):
    gradient = adcompile.grad(function, backend=backend)
    assert gradient(3.0) == 6.0
    with pytest.raises(ValueError, match="negative"):
        gradient(-3.0)


def quotient(x, n):
    return x * (3 // n)


def remainder(x, n):
    return x * (3 % n)


def zero_step(x, n):
    for _ in range(0, 3, n):
        x = x * 2.0
    return x


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("function", "kind"), [(quotient, ZeroDivisionError), (remainder, ZeroDivisionError), (zero_step, ValueError)]
)
def test_errors_of_integers(function, kind, backend):
    run = adcompile.jit(function, backend=backend)
    assert run(1.0, 2) == function(1.0, 2)
    with pytest.raises(kind) as info:
        run(1.0, 0)
    if backend == "llvm":
        assert f'File "{__file__}", line ' in str(info.value)


def power(x, n):
    return x * (2**n)


def made(x, n):
    return np.sum(np.zeros(n)) + x


@pytest.mark.parametrize("backend", [*BACKENDS, "numba"])
def test_negative_power_of_an_int(backend):
    """Python's result is a float then; compiled programs may refuse, and never give another number."""
    run = adcompile.jit(power, backend=backend)
    assert run(2.0, 3) == 16.0
    try:
        assert run(2.0, -1) == 1.0
    except ValueError as error:
        assert "negative integer powers" in str(error)


@pytest.mark.parametrize("backend", [*BACKENDS, "numba"])
def test_negative_size(backend):
    run = adcompile.jit(made, backend=backend)
    assert run(2.0, 3) == 2.0
    with pytest.raises(ValueError, match="negative dimensions"):
        run(2.0, -1)

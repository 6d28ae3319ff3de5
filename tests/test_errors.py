"""Every error class: what it says, the file, line, column and caret it points to, and the remedy it gives."""

import inspect
import linecache
import traceback
import warnings

import numpy as np
import pytest

import adcompile
from adcompile import errors

BACKENDS = ("python", "llvm")
ALL_BACKENDS = (*BACKENDS, "numba")
X = np.ones(3)


def caught(kind, function, *args, transform=adcompile.grad, **options):
    with pytest.raises(kind) as info:
        transform(function, **options)(*args)
    assert type(info.value) is kind
    return info.value


def place_of(function, fragment):
    """The line and column (from 0) at which a fragment stands in a function's source."""
    lines, first = inspect.getsourcelines(function)
    line, text = next((k, text) for k, text in enumerate(lines) if fragment in text)
    return first + line, text.index(fragment)


def assert_points(error, function, fragment, caret=None):
    """The error names file, function, line and column of a fragment, and draws carets under it (or under ``caret``)."""
    line, column = place_of(function, fragment)
    caret = caret or fragment
    assert error.loc is not None, "no place"
    assert (error.loc.file, error.loc.line, error.loc.column) == (__file__, line, column)
    text = linecache.getline(__file__, line).rstrip()
    indent = len(text) - len(text.lstrip())
    expected = [
        f'  File "{__file__}", line {line}, in {function.__name__}',
        f"    {text.strip()}",
        "    " + " " * (column - indent) + "^" * len(caret),
    ]
    assert str(error).splitlines()[1:4] == expected


def assert_says(error, fact, remedy):
    """The first line is the fact, the last the remedy."""
    assert (error.fact, error.remedy) == (fact, remedy)
    lines = str(error).splitlines()
    assert lines[0] == fact
    assert not remedy or lines[-1] == f"  {remedy}"


# -- UnsupportedSyntax ------------------------------------------------------------------------------------------


def set_literal(x):
    return sum({x, 2.0})


def set_comprehension(x):
    return sum({v for v in (x, 2.0)})


def try_statement(x):
    try:
        return 1.0 / x
    except ZeroDivisionError:
        return 0.0


def with_statement(x):
    with np.errstate(all="ignore"):
        return x


def global_statement(x):
    global GLOBAL
    GLOBAL = x
    return x


def delete_statement(x):
    del x
    return 1.0


def class_statement(x):
    class Inner: ...

    return x


def attribute_assignment(x):
    x.real = 3.0
    return x


def complex_number(x):
    return x * 1j


def finally_statement(x):
    try:
        return x
    finally:
        pass


def nonlocal_statement(x):
    y = 1.0

    def inner():
        nonlocal y

    inner()
    return x * y


def own_exception(x):
    if x > 0.0:
        raise OSError2("mine")
    return x


def nothing_to_reraise(x):
    raise


class OSError2(OSError):
    pass


def one_path_only(x, n):
    if n > 2:
        y = x
    return y


def endless_recursion(x):
    return endless_recursion(x) * 2.0


SYNTAX = [
    (set_literal, "{x, 2.0}", None, "set literals are not supported", "Use a tuple or an array."),
    (set_comprehension, "{v for v in (x, 2.0)}", None, "set comprehensions are not supported",
     "Use a list comprehension."),
    (try_statement, "try:", "^", "try statements are not supported", "Test the condition with `if`."),
    (with_statement, "with np", "^", "with statements are not supported", "Move it outside the function."),
    (global_statement, "global GLOBAL", None, "global statements are not supported", "Return the value instead."),
    (delete_statement, "del x", None, "delete statements are not supported", "Leave it out."),
    (class_statement, "class Inner: ...", None, "classdef statements are not supported",
     "Define the class outside the function."),
    (attribute_assignment, "x.real", None, "assignment to an attribute is not supported", "Return a new object."),
    (complex_number, "1j", None, "complex numbers are not supported", "Carry real and imaginary parts."),
    (finally_statement, "try:", "^", "try statements are not supported", "Test the condition with `if`."),
    (own_exception, 'OSError2("mine")', "OSError2", "only built-in exceptions can be raised",
     'Write raise ValueError("…").'),
]  # fmt: skip


@pytest.mark.parametrize("case", SYNTAX, ids=lambda c: c[0].__name__)
def test_unsupported_syntax(case):
    function, fragment, caret, fact, remedy = case
    error = caught(errors.UnsupportedSyntax, function, 1.0)
    assert_says(error, fact, remedy)
    assert_points(error, function, fragment, caret)


def test_unsupported_syntax_is_a_syntax_error():
    error = caught(errors.UnsupportedSyntax, set_literal, 1.0)
    line, column = place_of(set_literal, "{x, 2.0}")
    assert isinstance(error, SyntaxError)
    assert (error.filename, error.lineno, error.offset) == (__file__, line, column + 1)
    assert (error.end_lineno, error.end_offset) == (line, column + 1 + len("{x, 2.0}"))
    assert error.text == "    return sum({x, 2.0})"
    drawn = "".join(traceback.format_exception_only(error)).splitlines()
    assert drawn[1:3] == ["    return sum({x, 2.0})", "               ^^^^^^^^"]


@pytest.mark.parametrize("case", SYNTAX, ids=lambda c: c[0].__name__)
def test_every_syntax_error_has_the_fields_of_python(case):
    function, fragment = case[:2]
    error = caught(errors.UnsupportedSyntax, function, 1.0)
    line, column = place_of(function, fragment)
    assert isinstance(error, SyntaxError)
    assert (error.filename, error.lineno, error.offset) == (__file__, line, column + 1)
    assert error.text == linecache.getline(__file__, line).rstrip()
    assert error.end_lineno == line
    assert error.end_offset > error.offset
    assert error.msg == f"{error.fact}. {error.remedy}"


def test_syntax_error_in_a_nested_function():
    error = caught(errors.UnsupportedSyntax, nonlocal_statement, 1.0)
    assert_says(error, "nonlocal statements are not supported", "Return the value instead.")
    line, column = place_of(nonlocal_statement, "nonlocal y")
    assert (error.loc.line, error.loc.column, error.loc.function) == (line, column, "inner")


def test_raise_without_an_exception():
    error = caught(errors.UnsupportedSyntax, nothing_to_reraise, 1.0)
    assert_says(error, "only built-in exceptions can be raised", 'Write raise ValueError("…").')
    assert error.loc.line == place_of(nothing_to_reraise, "    raise")[0]


def test_name_set_on_one_path_only():
    error = caught(errors.UnsupportedSyntax, one_path_only, 1.0, 3)
    assert_says(error, "'y' is set on one path only", "Set it before.")
    line, _ = place_of(one_path_only, "return y")
    assert error.loc.line == line


def test_endless_recursion():
    error = caught(errors.UnsupportedSyntax, endless_recursion, 1.0)
    assert "calls nest more than" in error.fact
    assert_points(error, endless_recursion, "endless_recursion(x) * ", "endless_recursion(x)")


def generator(x):
    yield x


async def coroutine(x):
    return x


@pytest.mark.parametrize("function", [generator, coroutine])
def test_generators(function):
    error = caught(errors.UnsupportedSyntax, function, 1.0)
    assert_says(error, "generators and coroutines are not supported", "Return an array or a tuple.")
    assert error.loc.line == function.__code__.co_firstlineno


def test_unsupported_dtype_names_the_argument():
    with pytest.raises(errors.UnsupportedDtype, match="argument 'y': dtype complex128 is not supported"):
        adcompile.grad(adds)(X, X + 1j)


# -- MissingRule, UnsupportedDtype ------------------------------------------------------------------------------


def fourier(x):
    return np.sum(np.fft.fft(x))


def prints(x):
    print(x)
    return x


def no_such_attribute(x):
    return np.sum(x.byteswap)


def draws(x):
    return x * np.random.rand()


def test_missing_rule():
    error = caught(errors.MissingRule, fourier, X)
    assert isinstance(error, NotImplementedError)
    assert error.fact == "numpy.fft.fft is not a supported function"
    assert error.remedy
    assert_points(error, fourier, "np.fft.fft(x)")


@pytest.mark.parametrize(
    ("function", "fragment"),
    [(prints, "print(x)"), (no_such_attribute, "x.byteswap"), (draws, "np.random.rand()")],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_other_missing_rules(function, fragment):
    error = caught(errors.MissingRule, function, X)
    assert_points(error, function, fragment)
    assert error.remedy


def total(x):
    return np.sum(x)


def halves(x):
    return np.sum(x.astype(np.float16))


def uses_captured(x):
    return np.sum(CAPTURED) * x


@pytest.mark.parametrize("dtype", [np.complex128, np.float16, "U1"])
def test_unsupported_dtype_of_a_captured_array(dtype, monkeypatch):
    monkeypatch.setitem(globals(), "CAPTURED", np.zeros(3, dtype))
    error = caught(errors.UnsupportedDtype, uses_captured, 1.0)
    assert_says(error, f"dtype {np.dtype(dtype)} is not supported", "Use float32 or float64.")
    assert_points(error, uses_captured, "CAPTURED")


@pytest.mark.parametrize("value", [1j, "text", None, [1.0], np.float16(1), np.complex64(1)], ids=repr)
def test_argument_that_is_no_number(value):
    with pytest.raises((errors.UnsupportedDtype, errors.InvalidArgument)) as info:
        adcompile.grad(two)(1.0, value)
    assert info.value.remedy


@pytest.mark.parametrize("dtype", [np.complex128, np.float16, np.longdouble, object, "U1", "datetime64[s]"])
def test_unsupported_dtype(dtype):
    error = caught(errors.UnsupportedDtype, total, np.zeros(3, dtype))
    assert isinstance(error, TypeError)
    assert_says(error, f"dtype {np.dtype(dtype)} is not supported", "Use float32 or float64.")


def squares(x):
    return np.sum(x * x)


def squares_of_captured(x):
    return np.sum(CAPTURED * CAPTURED) * x


CAPTURED = None
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ODD = [np.matrix([[1.0, 2.0], [3.0, 4.0]]), np.ma.array([1.0, 2.0], mask=[False, True])]


@pytest.mark.parametrize("array", ODD, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_with_another_arithmetic(array, backend, monkeypatch):
    """``*`` of matrices is the matrix product, masked elements do not count: refused, not computed in another way."""
    with pytest.raises(errors.AdcompileError, match=type(array).__name__):
        adcompile.jit(squares, backend=backend)(array)
    monkeypatch.setitem(globals(), "CAPTURED", array)
    with pytest.raises(errors.AdcompileError, match=type(array).__name__):
        adcompile.jit(squares_of_captured, backend=backend)(1.0)


def test_unsupported_dtype_inside():
    error = caught(errors.UnsupportedDtype, halves, X)
    assert_says(error, "dtype float16 is not supported", "Use float32 or float64.")
    assert_points(error, halves, "x.astype(np.float16)")


# -- ShapeMismatch and IndexError -------------------------------------------------------------------------------


def wrong_constants(x):
    return np.sum(np.ones((3, 4)) @ np.ones((3, 4)) * x)


def adds(x, y):
    return np.sum(x + y)


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


# -- raise and assert -------------------------------------------------------------------------------------------


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


# -- NotDifferentiable ------------------------------------------------------------------------------------------


def doubles(x):
    return x * 2.0


def pair(x):
    return x, x


def nothing(x):
    return None


def counts(x):
    return len(x)


NOT_DIFFERENTIABLE = [
    (doubles, 3, "argument 'x' holds int: no derivative", "Pass floats"),
    (doubles, True, "argument 'x' holds a bool: no derivative", "Pass floats"),
    (doubles, X, "grad needs one number, but doubles returns an array of type float64[n]", "vjp or jacrev"),
    (pair, 1.0, "grad needs one number, but pair returns a tuple", "vjp or jacrev"),
    (nothing, 1.0, "nothing returns no number", "Return the number to differentiate."),
    (counts, X, "counts returns int, which has no derivative", "Return a float."),
]


@pytest.mark.parametrize("case", NOT_DIFFERENTIABLE, ids=lambda c: f"{c[0].__name__}-{type(c[1]).__name__}")
def test_not_differentiable(case):
    function, argument, fact, remedy = case
    error = caught(errors.NotDifferentiable, function, argument)
    assert isinstance(error, TypeError)
    assert error.fact == fact
    assert remedy in error.remedy


def mean(x):
    return np.mean(x)


def test_integer_array_is_not_differentiable():
    error = caught(errors.NotDifferentiable, mean, np.arange(3))
    assert "argument 'x' holds int64" in error.fact
    assert "astype(float)" in error.remedy


# -- SourceUnavailable, StaticValueRequired ---------------------------------------------------------------------


def test_source_unavailable():
    space = {}
    exec("def made(x):\n    return x * 2\n", space)
    error = caught(errors.SourceUnavailable, space["made"], 1.0)
    assert isinstance(error, OSError)
    assert_says(
        error,
        "the source of 'made' is not available",
        "Define the function in a file or a notebook cell, not with exec or at a bare prompt.",
    )


def picks(x, k):
    both = (x, 2.0 * x)
    return both[k]


def sums_along(x, k):
    return np.sum(x, axis=k)


def test_static_value_required():
    error = caught(errors.StaticValueRequired, picks, 1.0, 1)
    assert isinstance(error, TypeError)
    assert_says(
        error, "the index of a tuple, list or dict must be known while tracing", "Stack equal arrays with np.stack."
    )
    assert_points(error, picks, "both[k]")


def test_axis_must_be_static():
    error = caught(errors.StaticValueRequired, sums_along, np.ones((2, 2)), 1, transform=adcompile.jit)
    assert "axis" in error.fact
    assert_points(error, sums_along, "np.sum(x, axis=k)")


# -- InvalidArgument --------------------------------------------------------------------------------------------


def two(x, y):
    return x * y


def asks_an_array(x):
    if x > 0:
        return np.sum(x)
    return -np.sum(x)


def unknown_name(x):
    return x * not_defined_anywhere  # noqa: F821


def unpacks(x):
    a, b = (x, x, x)
    return a * b


@pytest.mark.parametrize(
    ("args", "options", "fact"),
    [((1.0,), {}, "missing a required argument: 'y'"), ((1.0, 2.0, 3.0), {}, "too many positional arguments"),
     ((1.0, 2.0), {"argnums": 5}, "argnums 5 with 2 arguments"),
     ((1.0, 2.0), {"argnums": "z"}, "no argument named 'z'")],
)  # fmt: skip
def test_invalid_argument(args, options, fact):
    error = caught(errors.InvalidArgument, two, *args, **options)
    assert isinstance(error, TypeError)
    assert fact in error.fact


def test_unknown_backend():
    with pytest.raises(errors.InvalidArgument, match="unknown backend 'abacus'") as info:
        adcompile.grad(two, backend="abacus")
    assert info.value.remedy == "Use one of llvm, numba, python."


@pytest.mark.parametrize(
    ("function", "argument", "fragment", "fact"),
    [(asks_an_array, X, "x > 0", "the truth value of an array is ambiguous"),
     (unknown_name, 1.0, "not_defined_anywhere", "name 'not_defined_anywhere' is not defined")],
    ids=["truth", "name"],
)  # fmt: skip
def test_invalid_argument_inside(function, argument, fragment, fact):
    error = caught(errors.InvalidArgument, function, argument)
    assert error.fact == fact
    assert_points(error, function, fragment)
    assert error.remedy


def test_unpacking():
    error = caught(errors.InvalidArgument, unpacks, 1.0)
    assert error.fact == "cannot unpack 3 values into 2 names"
    assert error.loc.line == place_of(unpacks, "a, b =")[0]


def test_seed_of_another_structure():
    with pytest.raises(errors.InvalidArgument, match="must have the structure"):
        adcompile.jvp(two, (1.0, 2.0), (1.0,))
    with pytest.raises(errors.InvalidArgument, match="must have the structure"):
        adcompile.vjp(pair, 1.0)[1](1.0)


# -- UnsupportedAlias -------------------------------------------------------------------------------------------


def decided_at_run_time(x, n):
    a, b = x * 1.0, x * 2.0
    c = a if n > 0 else b
    c[0] = 1.0
    return np.sum(a)


def writes(x, y):
    x[0] = y[1]
    return np.sum(x)


def test_alias_decided_at_run_time():
    error = caught(errors.UnsupportedAlias, decided_at_run_time, X, 2)
    assert isinstance(error, RuntimeError)
    assert "decided at run time" in error.fact
    assert error.remedy == "Copy the array first (a.copy())."
    assert error.loc.line == place_of(decided_at_run_time, "c[0] = 1.0")[0]


def broadcasts(x):
    y = np.broadcast_to(x, (2, 3))
    y[0] = 1.0
    return np.sum(y)


def wraps(x):
    y = np.atleast_2d(x)
    y[0] = 1.0
    return np.sum(y)


def flattens(x):
    y = x.T.ravel()
    y[0] = 1.0
    return np.sum(x) + np.sum(y)


@pytest.mark.parametrize(
    ("function", "argument"), [(broadcasts, X), (wraps, X), (flattens, np.ones((2, 2)))],
    ids=lambda v: getattr(v, "__name__", ""),
)  # fmt: skip
@pytest.mark.parametrize("transform", [adcompile.grad, adcompile.jit])
def test_writing_into_what_may_be_a_view(function, argument, transform):
    error = caught(errors.UnsupportedAlias, function, argument, transform=transform)
    assert_says(
        error, "this array may be a view of another one, which the write would change", "Copy it first (a.copy())."
    )
    assert error.loc.line == place_of(function, "y[0] = 1.0")[0]


def test_arguments_that_overlap():
    z = np.arange(4.0)
    error = caught(errors.UnsupportedAlias, writes, z[:3], z[1:])
    assert_says(error, "arguments y and x share memory and x is written", "Pass copies.")
    np.testing.assert_array_equal(adcompile.grad(writes)(z[:2], z[2:]), [0.0, 1.0])
    np.testing.assert_array_equal(z, np.arange(4.0))


def test_jit_does_not_hide_writes():
    error = caught(errors.UnsupportedAlias, writes, X, X.copy(), transform=adcompile.jit)
    assert "writes into its argument 'x'" in error.fact
    assert "copy" in error.remedy


# -- all of them ------------------------------------------------------------------------------------------------


def test_every_class_is_an_adcompile_error_and_a_python_one():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.AdcompileError)]
    assert len(classes) >= 10
    for kind in classes:
        assert kind("a fact", None, "Do this.").remedy == "Do this."
        assert str(kind("a fact", None, "Do this.")) == "a fact\n  Do this."
        if kind not in (errors.AdcompileError, errors.InvalidTrace):
            assert len(kind.__bases__) == 2, f"{kind.__name__} is no exception of Python's own"


def takes_two(a, b):
    return a * b


def wrong_call(x):
    return takes_two(x)


def wrong_keyword(x):
    return takes_two(x, c=x)


@pytest.mark.parametrize(
    ("function", "fact"),
    [(wrong_call, "takes_two() missing a required argument: 'b'"),
     (wrong_keyword, "takes_two() missing a required argument: 'b'")],
)  # fmt: skip
def test_wrong_call_of_a_helper(function, fact):
    error = caught(errors.InvalidArgument, function, 1.0)
    assert error.fact == fact
    fragment = linecache.getline(__file__, place_of(function, "return")[0]).strip().removeprefix("return ")
    assert_points(error, function, fragment)


@pytest.mark.parametrize(
    ("keywords", "fact"),
    [({"z": 1.0}, "got an unexpected keyword argument 'z'"), ({"x": 1.0}, "multiple values for argument 'x'")],
)
def test_wrong_keywords(keywords, fact):
    error = caught(errors.InvalidArgument, lambda *a: two(*a, **keywords), 1.0, 2.0)
    assert fact in error.fact
    with pytest.raises(errors.InvalidArgument, match=fact):
        adcompile.grad(two)(1.0, 2.0, **keywords)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2), "z", ("x", "z")])
def test_argnums_out_of_range(argnums):
    error = caught(errors.InvalidArgument, two, 1.0, 2.0, argnums=argnums)
    if isinstance(argnums, str) or "z" in np.atleast_1d(argnums):
        assert_says(error, "no argument named 'z'", "Arguments: x, y.")
    else:
        assert_says(error, f"argnums {np.atleast_1d(argnums)[-1]} with 2 arguments", "Positions count from 0.")


@pytest.mark.parametrize("args", [(), (X,), (X, X, X)], ids=len)
def test_hvp_with_too_few_or_many_arguments(args):
    with pytest.raises(errors.InvalidArgument):
        adcompile.hvp(total)(*args)


def test_int_of_more_than_64_bits():
    run = adcompile.jit(lambda n: n + 1)
    with pytest.raises(errors.InvalidArgument, match="64"):
        run(2**70)


def picks_a_key(x, k):
    return {0: x, 1: 2.0 * x}[k]


def test_key_must_be_static():
    error = caught(errors.StaticValueRequired, picks_a_key, 1.0, 1)
    assert_says(
        error, "the index of a tuple, list or dict must be known while tracing", "Stack equal arrays with np.stack."
    )
    assert_points(error, picks_a_key, "{0: x, 1: 2.0 * x}[k]")


def test_axis_remedy():
    error = caught(errors.StaticValueRequired, sums_along, np.ones((2, 2)), 1, transform=adcompile.jit)
    assert_says(error, "axis is only known at run time", "Use an integer literal.")


@pytest.mark.parametrize(
    ("function", "remedy"),
    [(fourier, "Write it with supported ones (docs/language.md lists them)."),
     (prints, "Write it with supported ones (docs/language.md lists them)."),
     (draws, "Call it outside and pass the result in.")],
)  # fmt: skip
def test_remedies_of_missing_rules(function, remedy):
    assert caught(errors.MissingRule, function, X).remedy == remedy


def test_lambda_in_a_lambda():
    assert (lambda: adcompile.grad(lambda x: x * x)(2.0))() == 4.0


@pytest.mark.parametrize("make", [adcompile.grad, adcompile.jit, adcompile.hvp, adcompile.hessian])
def test_unknown_option(make):
    with pytest.raises(errors.InvalidArgument, match="unknown option 'wrong'") as info:
        make(total, wrong=1)
    assert info.value.remedy == "Options: backend, fastmath, cache."


def divides_by(x, n):
    y = x * 2.0
    return y * (7 // n)


def reads_in_a_sum(x, i):
    y = x + 1.0
    return np.sum(y) + x[i]


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize(
    ("function", "args", "kind", "text"),
    [(reads_in_a_sum, (X, -9), IndexError, "x[i]"), (divides_by, (X, 0), ZeroDivisionError, "7 // n")],
)
def test_errors_of_python_have_a_place_on_every_backend(function, args, kind, text, backend):
    with pytest.raises(kind) as info:
        adcompile.jit(function, backend=backend)(*args)
    assert type(info.value) is kind
    line, _ = place_of(function, text)
    assert f'File "{__file__}", line {line}, in {function.__name__}' in str(info.value)
    assert kind is not IndexError or "index -9 is out of bounds" in str(info.value)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_shape_mismatch_names_the_sizes_and_the_line_on_every_backend(backend):
    error = caught(errors.ShapeMismatch, adds, np.ones(3), np.ones(4), transform=adcompile.jit, backend=backend)
    assert_points(error, adds, "x + y")
    assert "3" in error.fact and "4" in error.fact


def inner(x):
    return {x}


def outer(x):
    return 2.0 * inner(x)


def test_errors_point_into_helpers():
    error = caught(errors.UnsupportedSyntax, outer, 1.0)
    assert_points(error, inner, "{x}")


def reads_what_the_loop_writes(u, v):
    a, b = u.copy(), v.copy()
    total = 0.0
    for e in b:
        total = total * 0.5 + e
        a[-1] = 9.0  # from the second iteration on, the array that is looped over
        a, b = b, a
    return total


@pytest.mark.parametrize("backend", BACKENDS)
def test_array_that_a_loop_writes_under_another_name_is_refused_or_right(backend):
    u, v = np.arange(4.0), np.arange(4.0) + 3.0
    try:
        found = adcompile.jit(reads_what_the_loop_writes, backend=backend)(u, v)
    except errors.UnsupportedAlias as error:
        assert error.loc is not None
        return
    assert found == reads_what_the_loop_writes(u, v)

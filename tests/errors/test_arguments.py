"""InvalidArgument, StaticValueRequired, SourceUnavailable, UnsupportedAlias; what every error has in common."""

import linecache

import numpy as np
import pytest

import adcompile
from adcompile import errors
from tests.errors.common import (
    BACKENDS,
    X,
    adds,
    assert_points,
    assert_says,
    caught,
    draws,
    fourier,
    inner,
    pair,
    place_of,
    prints,
    total,
    two,
)

ALL_BACKENDS = (*BACKENDS, "numba")


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
    assert info.value.remedy == "Use one of llvm, numba, python, cuda."


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
    assert info.value.remedy == "Options: backend, parallel, fastmath, cache."


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

"""UnsupportedSyntax: what the language does not have, with the place and a remedy."""

import linecache
import traceback

import numpy as np
import pytest

import adcompile
from adcompile import errors
from tests.errors.common import X, adds, assert_points, assert_says, caught, place_of


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

"""What tests of errors share: the programs, and what an error must say and point to."""

import inspect
import linecache

import numpy as np
import pytest

import adcompile

BACKENDS = ("python", "llvm")


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
    file = function.__code__.co_filename
    caret = caret or fragment
    assert error.loc is not None, "no place"
    assert (error.loc.file, error.loc.line, error.loc.column) == (file, line, column)
    text = linecache.getline(file, line).rstrip()
    indent = len(text) - len(text.lstrip())
    expected = [
        f'  File "{file}", line {line}, in {function.__name__}',
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


def fourier(x):
    return np.sum(np.fft.fft(x))


def prints(x):
    print(x)
    return x


def draws(x):
    return x * np.random.rand()


def total(x):
    return np.sum(x)


def adds(x, y):
    return np.sum(x + y)


def pair(x):
    return x, x


def two(x, y):
    return x * y


def inner(x):
    return {x}

"""Running one program on several numbers of threads."""

import numpy as np

import adcompile
from adcompile.codegen import emit
from adcompile.lower import executable
from adcompile.tree import flatten

THREADS = (1, 2, 3)


def on_threads(count, function, *args):
    """The flat results of a call on some threads."""
    adcompile.set_num_threads(count)
    return flatten(function(*args))[0]


def lowered(function, *args):
    """The text of the program that is compiled, as ``stages`` shows it."""
    program = function.specialisation(*args).program.trace
    return emit(executable(program, threads=function.options.parallel)).text


def shared_loops(function, *args):
    """How many loops of a program threads share."""
    return lowered(function, *args).count("prange(")


def assert_same(found, expected, exact=False):
    """Flat results, bit by bit or to rounding."""
    for one, two in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype and np.shape(one) == np.shape(two)
        if exact:
            np.testing.assert_array_equal(one, two)
        else:
            rtol = 1e-5 if np.asarray(one).dtype == np.float32 else 1e-12
            np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol)

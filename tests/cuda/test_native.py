"""The text of generated kernels, compiled for the CPU by Numba: typing, float32, any order of threads, large sizes."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import adcompile
from adcompile.codegen.cuda import Sizes, emit
from adcompile.lower import lower
from adcompile.lower.kernels import kernels
from adcompile.tree import flatten
from tests.cuda.compare import native
from tests.cuda.device import SMALL, standing_in
from tests.cuda.programs import MISSION, arguments

if shutil.which("gcc") is None:
    pytest.skip("gcc is not installed", allow_module_level=True)

from tests.cuda.native import Native

CHOSEN = ("heat_one_dimension", "while_loop", "repeated_indices_last_wins", "arrays_rebound_in_branches")
"""A few of the corpus, for Numba takes a second for each kernel; ``python -m tests.cuda.compare native`` runs all."""


@pytest.mark.parametrize("name", CHOSEN)
def test_same_as_the_cpu(name):
    assert native(name) == ""


def module_of(name, dtype, sizes=SMALL):
    program = adcompile.value_and_grad(MISSION[name], backend="cuda").specialisation(*arguments(name, dtype)).program
    return emit(kernels(lower(program.trace, vectors=False)), sizes)


@pytest.mark.parametrize("name", ["burgers", "perceptron"])
def test_any_order_of_threads(name):
    """Only the order of additions changes; a float32 kernel keeps float32."""
    expected = flatten(adcompile.value_and_grad(MISSION[name])(*arguments(name, np.float32)))[0]
    for order in (None, "descending", 7):
        found = Native(order).run(module_of(name, np.float32), *flatten(arguments(name, np.float32))[0])
        for a, b in zip(found, expected, strict=True):
            assert np.asarray(a).dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_large_grid_in_blocks_as_on_a_gpu():
    """The closed form of a rotation: every thread takes several iterations, blocks are full."""

    def rotated(u, steps):
        for _ in range(steps):
            u = np.roll(u, 1) + 0.5 * u
        return np.sum(u)

    u = np.linspace(0.0, 1.0, 1_000_003)
    with standing_in(Native(3), Sizes()):
        value, gradient = adcompile.value_and_grad(rotated, backend="cuda")(u, 3)
    np.testing.assert_allclose(value, 1.5**3 * u.sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.full(u.size, 1.5**3), rtol=1e-14)


def test_a_barrier_that_some_threads_miss_is_refused():
    module = module_of("perceptron", np.float64)
    text = re.sub(r"    inner = a\.shape", "    if row > 4:\n        return\n    inner = a.shape", module.text)
    assert text != module.text
    with pytest.raises(AssertionError, match="a barrier that not all threads of a block reach"):
        Native().run(replace(module, text=text), *flatten(arguments("perceptron"))[0])

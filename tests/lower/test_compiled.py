"""Lowered programs, compiled by the LLVM backend, compute what the array programs compute."""

import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.lower import lower
from adcompile.primitives.evaluate import run
from tests.lower.fuzz import random_program
from tests.lower.programs import PROGRAMS, build


def assert_compiled(trace, values):
    found = llvm.compile(lower(trace), cache=False).call(*values)
    for one, two in zip(found, run(trace, values), strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype and np.shape(one) == np.shape(two)
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    program = PROGRAMS[name]
    assert_compiled(build(program.types("float64"), program.body, name), program.values("float64"))


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed):
    random = np.random.default_rng(seed)
    values = [random.standard_normal(3), random.standard_normal(3), random.standard_normal((3, 3))]
    assert_compiled(random_program(seed), values)

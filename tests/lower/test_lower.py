"""Lowered programs compute what the array programs compute, purely and in place, in the loop dialect only."""

import numpy as np
import pytest

from adcompile.ir import Array
from adcompile.ir.core import walk
from adcompile.ir.verifier import verify
from adcompile.lower import lower
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.evaluate import infer, run
from tests.lower.programs import PROGRAMS, build, run_in_place

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}
LOOP_DIALECT = {"empty", "index", "store", "accumulate", "dim", "reshape", "gemm", "copy", "if", "loop", "while"}


def assert_same(found, expected, dtype):
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        assert np.shape(one) == np.shape(two)
        np.testing.assert_allclose(one, two, equal_nan=True, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_values(name, dtype):
    program = PROGRAMS[name]
    trace = build(program.types(dtype), program.body, name)
    lowered = verify(lower(trace), infer)
    values = program.values(dtype)
    expected = run(trace, values)
    assert_same(run(lowered, values), expected, dtype)
    assert_same(run_in_place(lowered, values), expected, dtype)


@pytest.mark.parametrize("name", PROGRAMS)
def test_loop_dialect(name):
    program = PROGRAMS[name]
    for eqn in walk(lower(build(program.types("float64"), program.body)).block):
        if eqn.op in ("index", "store", "accumulate"):
            assert all(entry == ("int",) for entry in eqn.attrs["spec"]), eqn
        scalar = eqn.op in PRIMITIVES and (PRIMITIVES[eqn.op].elementwise or PRIMITIVES[eqn.op].effect)
        if scalar:
            assert not any(isinstance(x.type, Array) for x in (*eqn.args, *eqn.outs)), eqn
        assert scalar or eqn.op in LOOP_DIALECT, eqn


@pytest.mark.parametrize("name", PROGRAMS)
def test_deterministic(name):
    program = PROGRAMS[name]
    once, twice = (str(lower(build(program.types("float64"), program.body))) for _ in range(2))
    assert once == twice

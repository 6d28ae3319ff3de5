"""After `insert_copies` every update may overwrite: programs run in place compute what they compute purely."""

import numpy as np
import pytest

from adcompile.analysis.inplace import insert_copies
from adcompile.ir import Array
from adcompile.ir.core import walk
from adcompile.ir.verifier import verify
from adcompile.lower import lower
from adcompile.primitives.evaluate import run
from tests.lower.fuzz import random_program
from tests.lower.programs import FULL, PROGRAMS, branch, build, loop, part, run_in_place

VECTOR, MATRIX = Array("float64", ("n",)), Array("float64", ("n", "n"))
FIRST = (("int",),)


def copies(trace):
    return sum(eqn.op == "copy" for eqn in walk(trace.block))


def assert_same(found, expected):
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_array_programs_run_in_place(name):
    program = PROGRAMS[name]
    trace = build(program.types("float64"), program.body, name)
    values = program.values("float64")
    assert_same(run_in_place(verify(insert_copies(trace)), values), run(trace, values))


@pytest.mark.parametrize("seed", range(120))
def test_random_programs_run_in_place(seed):
    trace = random_program(seed)
    random = np.random.default_rng(seed)
    for n in (3, 2):
        values = [random.standard_normal(n), random.standard_normal(n), random.standard_normal((n, n))]
        expected = run(trace, values)
        assert_same(run_in_place(verify(insert_copies(trace)), values), expected)
        assert_same(run_in_place(verify(lower(trace)), values), expected)


def test_idempotent():
    for seed in range(40):
        once = insert_copies(random_program(seed))
        assert str(insert_copies(once)) == str(once)


def set_first(op, x, value=1.0):
    return op("store", x, value, 0, spec=FIRST)


def positive(op, u):
    return op.index(u, 0, spec=FIRST) > 0.0


def over(op, carried, body):
    return loop(op, 0, 3, 1, carried, body)


def updated(op, i, x):
    return (set_first(op, x),)


def read_later(op, e):
    return set_first(op, e), e * 2.0


def read_before(op, e):
    return e * 2.0, set_first(op, e)


def slice_saved(op, e):
    old = op.index(e, 2, spec=(part(False, True),))
    return set_first(op, e), old * 2.0


def carried_twice(op, e):
    return over(op, [e, e], lambda op, i, x, y: (y, set_first(op, x)))


def captured(op, e):
    return over(op, [0.0 * e], lambda op, i, x: (x + set_first(op, e, 5.0),))


def dies_in_branch(op, e):
    return branch(op, positive(op, e), lambda op: (set_first(op, e),), lambda op: (e,))


def lives_after_branch(op, e):
    return branch(op, positive(op, e), lambda op: (set_first(op, e),), lambda op: (op.sin(e),)), e


def swapped(op, e):
    return over(op, [e, op.sin(e)], lambda op, i, x, y: (y, set_first(op, x)))


def broadcast_view(op, e):
    wide = op.broadcast_to(e, 2, op.size(e, 0), dims=(2, "n"))
    return op("store", wide, 1.0, 0, spec=(("int",), FULL))


def gathered(op, u):
    return set_first(op, op.index(u, op.arange(0, 3, 1), spec=(("array",),)))


def own(body):
    """The body on an array of the program's own."""
    return lambda op, u: body(op, op.exp(u))


COUNTS = {
    "a parameter is copied": (set_first, 1),
    "an own array is not": (own(set_first), 0),
    "a chain copies the parameter once": (lambda op, u: set_first(op, set_first(op, u), 2.0), 1),
    "the old version is read later": (own(read_later), 1),
    "the old version was read before": (own(read_before), 0),
    "a parameter is returned": (lambda op, u: (u, u), 2),
    "a view of a parameter is returned": (lambda op, u: op.index(u, 1, spec=(part(True, False),)), 1),
    "a slice of the old version is saved": (own(slice_saved), 1),
    "a loop carries a parameter": (lambda op, u: over(op, [u], updated), 1),
    "a loop carries an own array": (own(lambda op, e: over(op, [e], updated)), 0),
    "carried arrays swap": (own(swapped), 0),
    "a loop carries one array twice": (own(carried_twice), 1),
    "a loop writes what it captures": (own(captured), 1),
    "a branch writes what dies there": (own(dies_in_branch), 0),
    "a branch writes what lives on": (own(lives_after_branch), 1),
    "a gather is a copy": (gathered, 0),
    "a broadcast view is read-only": (own(broadcast_view), 1),
}


@pytest.mark.parametrize("name", COUNTS)
def test_as_few_copies_as_possible(name):
    body, expected = COUNTS[name]
    trace = build([VECTOR], body)
    found = insert_copies(trace)
    assert copies(found) == expected, str(found)
    values = [np.array([0.5, -1.0, 2.0])]
    assert_same(run_in_place(found, values), run(trace, values))


NEEDED = {"mlp": 0, "mlp_adjoint": 0, "stencil": 0, "stencil_adjoint": 0, "sum_rows": 0, "transposes": 0, "taped": 1}


@pytest.mark.parametrize("name", NEEDED)
def test_lowering_needs_few_copies(name):
    program = PROGRAMS[name]
    lowered = lower(build(program.types("float64"), program.body, name))
    assert copies(lowered) == NEEDED[name], str(lowered)

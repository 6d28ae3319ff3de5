"""Lowered programs have the loops that a person would write: how many, over what, and what is not in them."""

import pytest

from adcompile.ir.core import walk
from adcompile.lower import lower
from tests.lower.programs import PROGRAMS, build


def lowered(name):
    program = PROGRAMS[name]
    return lower(build(program.types("float64"), program.body, name))


def count(trace, *ops):
    return sum(eqn.op in ops for eqn in walk(trace.block))


def outer_loops(trace):
    return [eqn for eqn in trace.block.eqns if eqn.op == "loop"]


@pytest.mark.parametrize(
    ("name", "loops", "buffers"),
    [
        ("mlp", 2, 3),
        ("mlp_adjoint", 3, 9),
        ("stencil", 1, 1),
        ("stencil_adjoint", 7, 1),
        ("shared", 1, 3),
        ("sum_columns", 1, 1),
        ("sum_keep_all", 2, 1),
        ("transposes", 1, 2),
        ("weights_over_time", 1, 1),
    ],
)
def test_loops_and_buffers(name, loops, buffers):
    trace = lowered(name)
    assert len(outer_loops(trace)) == loops, str(trace)
    assert count(trace, "empty") == buffers, str(trace)


def test_elementwise_chain_is_one_loop_with_shared_operations():
    trace = lowered("shared")
    assert count(trace, "tanh") == 1 and count(trace, "loop") == 1, str(trace)


def test_rows_are_added_in_memory_order():
    """A sum over axis 0 walks rows outside and columns inside."""
    *_, last = outer_loops(lowered("sum_rows"))
    (inner,) = [e for e in last.regions[0].eqns if e.op == "loop"]
    (added,) = [e for e in inner.regions[0].eqns if e.op == "accumulate"]
    assert added.args[2] is inner.regions[0].params[0]


def test_transposes_become_flags():
    (product,) = [e for e in walk(lowered("transposes").block) if e.op == "gemm"]
    assert product.attrs["trans_a"] and product.attrs["trans_b"]


def test_products_accumulate_into_carried_arrays():
    products = [e for e in walk(lowered("weights_over_time").block) if e.op == "gemm"]
    assert [p.attrs["accumulate"] for p in products] == [False, True]


def test_periodic_neighbours_cost_nothing_inside():
    """The middle of three loops has plain neighbours."""
    (time,) = outer_loops(lowered("rolled"))
    first, middle, last = [e for e in time.regions[0].eqns if e.op == "loop"]
    assert [any(e.op == "where" for e in part.regions[0].eqns) for part in (first, middle, last)] == [True, False, True]


def test_tapes_are_not_filled_twice():
    trace = lowered("taped")
    first = outer_loops(trace)[0]
    assert any(e.op == "loop" for e in first.regions[0].eqns), str(trace)


@pytest.mark.parametrize("name", ["scalar_loops", "stencil", "rolled", "transposes", "mlp_adjoint", "advect"])
def test_no_checks_where_indices_are_in_range(name):
    checks = [e for e in walk(lowered(name).block) if e.op == "check_index"]
    assert len(checks) == {"advect": 0}.get(name, 0), str(lowered(name))

"""Batching rules of the primitives, one equation at a time: a batch against a Python loop over its calls."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import adcompile.transform.derivatives  # noqa: F401 - registers how control equations are batched
from adcompile.errors import MissingRule
from adcompile.ir import Array, Scalar, Trace, is_float
from adcompile.ir.verifier import verify
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.evaluate import infer, run
from adcompile.transform.batch import batch_trace
from adcompile.transform.derivatives import vjp_trace
from tests.primitives.calls import Dynamic
from tests.primitives.test_rules import FULL, STRUCTURAL, Case, Equation, M, R, T, V, sample

CALLS = 3
LOOP_DIALECT = {"check_index", "check_nonzero", "gemm", "part"}
"""Primitives that only lowering makes; vmap sees programs before it."""
int_, array = ("int",), ("array",)
P = np.array([3, 0, 2])
MORE = [
    *(Case(name, (x,), {"axis": a}) for name in ("argmax", "argmin", "argsort") for x, a in ((V, 0), (T, 1), (T, 2))),
    Case("detsign", (R.normal(size=(3, 3)),)), Case("detsign", (R.normal(size=(2, 2, 2)),)),
    Case("searchsorted", (np.sort(V), R.normal(size=3)), {"side": "left"}),
    Case("searchsorted", (np.sort(V), R.normal(size=(2, 3))), {"side": "right"}),
    Case("searchsorted", (np.sort(V), np.float64(0.2)), {"side": "left"}),
    Case("dim", (T,), {"axis": 1}), Case("empty", (Dynamic(2), 3), {"dtype": "float64"}),
    Case("arange", (0, Dynamic(4), 1), {}),
    Case("nonzero", (np.array([True, False, True]),), {}), Case("roll", (M, Dynamic(1)), {"axis": 0}),
    Case("index", (T, Dynamic(1), P), {"spec": (FULL, int_, array)}),
    Case("index", (T, Dynamic(1), Dynamic(2)), {"spec": (int_, FULL, int_)}),
    Case("index", (T, Dynamic(-1)), {"spec": (("new",), FULL, int_, FULL)}),
    Case("index", (T, P % 2, P), {"spec": (array, FULL, array)}),
    Case("index", (T, P[:2, None] % 3, P), {"spec": (FULL, array, array)}),
    *(Case(name, args, {"spec": spec}) for name in ("store", "accumulate") for args, spec in (
        ((T, R.normal(size=(2, 4)), Dynamic(1)), (FULL, int_, FULL)),
        ((T, np.float64(2.0), Dynamic(1), Dynamic(0), Dynamic(-1)), (int_, int_, int_)),
        ((M, R.normal(size=(3, 3)), P), (FULL, array)), ((M, V[:1], P), (FULL, array)),
        ((T, R.normal(size=(3, 3)), Dynamic(1), P), (int_, FULL, array)),
    )),
]  # fmt: skip
CASES = [*STRUCTURAL, *MORE]


def variants(value: Any, case: Case) -> list[Any]:
    """What the calls of a batch have in the place of a value: near it, and valid where it is."""
    if isinstance(value, (bool, np.bool_)) or np.asarray(value).dtype.kind == "b":
        return [value, ~np.asarray(value) if isinstance(value, np.ndarray) else not value, value]
    kind = value.dtype.type if isinstance(value, (np.ndarray, np.generic)) else type(value)
    if kind in (np.float64, np.float32, float):
        return [np.asarray(value * (1.0 - 0.05 * k), kind) if np.ndim(value) else kind(value * (1.0 - 0.05 * k))
                for k in range(CALLS)]  # fmt: skip
    if np.ndim(value):
        return [np.roll(value, k, axis=-1) for k in range(CALLS)]
    return [kind(value), kind(0), kind(value - 1 if value > 0 else value)]


def subsets(count: int) -> list[tuple[int, ...]]:
    """Every parameter alone, and all together; a program without parameters has no batch."""
    alone = [(k,) for k in range(count)]
    return alone if count <= 1 else [*alone, tuple(range(count))]


def batched(trace: Trace, mapped: tuple[int, ...], lanes: list[list[Any]]) -> Trace:
    """The program of the batch, verified."""
    axes = [0 if k in mapped else None for k in range(len(trace.params))]
    types = [Array(p.type.dtype, ("n", *p.type.dims)) if k in mapped else p.type for k, p in enumerate(trace.params)]
    return verify(batch_trace(trace, axes, types, [0] * len(trace.results), None), infer)


def stacked(lanes: list[list[Any]], mapped: tuple[int, ...]) -> list[Any]:
    """The arguments of the batch from those of its calls."""
    return [np.stack(column) if k in mapped else column[0] for k, column in enumerate(zip(*lanes, strict=True))]


def calls_of(case: Case, mapped: tuple[int, ...], values: list[Any]) -> list[list[Any]]:
    columns = [variants(v, case) if k in mapped else [v] * CALLS for k, v in enumerate(values)]
    return [list(lane) for lane in zip(*columns, strict=True)]


def compare(trace: Trace, mapped: tuple[int, ...], lanes: list[list[Any]], rtol: float) -> None:
    """The batch of a program against its calls one by one."""
    found = run(batched(trace, mapped, lanes), stacked(lanes, mapped))
    expected = [run(trace, lane) for lane in lanes]
    for k, got in enumerate(found):
        want = np.stack([np.asarray(e[k]) for e in expected])
        assert np.asarray(got).dtype == want.dtype
        assert np.shape(got) == want.shape
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


def refused(case: Case, trace: Trace, mapped: tuple[int, ...]) -> bool:
    """Whether a batch is one that must be refused: a size would differ between the calls."""
    sizes = {"full": 1, "reshape": 1, "broadcast_to": 1, "empty": 0, "arange": 0}
    first = sizes.get(case.name)
    dynamic = [i for i, a in enumerate(case.args) if isinstance(a, (np.ndarray, np.generic, Dynamic))]
    bounds = case.name == "index" and any(e[0] == "slice" and e != FULL for e in case.attrs["spec"])
    return (
        case.name == "nonzero"
        or (first is not None and any(dynamic[k] >= first for k in mapped))
        or (bounds and any(dynamic[k] > 0 for k in mapped))
    )


def check(case: Case) -> None:
    equation = Equation(case)
    trace = equation.call.trace(list(equation.outs))
    rtol = 1e-4 if any(getattr(v, "dtype", None) == np.float32 for v in equation.call.values) else 1e-11
    for mapped in subsets(len(trace.params)):
        lanes = calls_of(case, mapped, equation.call.values)
        if refused(case, trace, mapped):
            with pytest.raises(MissingRule, match="would differ between the mapped calls"):
                batched(trace, mapped, lanes)
            continue
        if case.name == "grow" and not is_float(trace.params[mapped[0]].type):
            continue  # the longest of the calls decides the size
        with np.errstate(all="ignore"):
            compare(trace, mapped, lanes, rtol)
            check_reverse(case, trace, mapped, lanes, rtol)


def check_reverse(case: Case, trace: Trace, mapped: tuple[int, ...], lanes: list[list[Any]], rtol: float) -> None:
    """The batch of the adjoint, and the adjoint of the batch, against the adjoints of the calls."""
    wanted = [k for k, p in enumerate(trace.params) if is_float(p.type)]
    primitive = PRIMITIVES[case.name]
    if not (wanted and primitive.differentiable and is_float(trace.results[0].type)):
        return
    adjoint = vjp_trace(trace, wanted)
    rng = np.random.default_rng(1)
    seeds = [np.asarray(v, np.asarray(v).dtype) for v in run(trace, lanes[0])]
    bars = [[np.asarray(rng.normal(size=s.shape), s.dtype)[()] for s in seeds] for _ in lanes]
    count = len(trace.params)
    both = (*mapped, *range(count, count + len(seeds)))
    lanes = [[*lane, *bar] for lane, bar in zip(lanes, bars, strict=True)]
    compare(adjoint, both, lanes, rtol)
    expected = [run(adjoint, lane)[len(seeds) :] for lane in lanes]
    found = run(vjp_trace(batched(trace, mapped, lanes), wanted), stacked(lanes, both))[len(seeds) :]
    for k, got, column in zip(wanted, found, zip(*expected, strict=True), strict=True):
        want = np.stack([np.asarray(c) for c in column])
        np.testing.assert_allclose(got, want if k in mapped else want.sum(axis=0), rtol=rtol, atol=10 * rtol)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-{c.attrs}")
def test_structural(case):
    check(case)


SHAPES = [((), ()), ((2, 3), (3,)), ((3,), ()), ((), (2, 2)), ((3, 1), (1, 4)), ((0, 2), (2,))]
ELEMENTWISE = sorted(n for n, p in PRIMITIVES.items() if p.elementwise)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name):
    primitive = PRIMITIVES[name]
    attrs = {"dtype": "float64"} if name == "cast" else {}
    for shapes, dtype in [*((s, np.float64) for s in SHAPES), (SHAPES[0], np.float32), (SHAPES[2], np.float32)]:
        args = sample(primitive, shapes, dtype)
        if name.startswith(("bit", "lshift", "rshift")):
            args = tuple(np.abs(a * 2).astype(np.int64) for a in args)
        check(Case(name, args, attrs))


INTS = ("floordiv", "mod", "lshift", "rshift", "bitand", "bitor", "bitxor")


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n not in ("rint", "stop_gradient")])
def test_python_numbers(name):
    """Python's own numbers give way to NumPy's in a batch as they do in each call."""
    primitive = PRIMITIVES[name]
    attrs = {"dtype": "float64"} if name == "cast" else {}
    numbers = [float(v) for v in sample(primitive, ((), ()))]
    if name in INTS:
        numbers = [3, 2]
    others = () if name in INTS else (np.float32,)
    for kinds in itertools.product((None, *others), repeat=len(numbers)):
        args = [Dynamic(v) if kind is None else kind(v) for v, kind in zip(numbers, kinds, strict=True)]
        if name == "where":
            args[0] = Dynamic(True)
        check_without_zero(Case(name, tuple(args), attrs))


def check_without_zero(case: Case) -> None:
    equation = Equation(case)
    trace = equation.call.trace(list(equation.outs))
    for mapped in subsets(len(trace.params)):
        values = equation.call.values
        columns = [
            [v] * 3 if k not in mapped else [v, v * 2, v * 3] if type(v) is int else variants(v, case)
            for k, v in enumerate(values)
        ]
        lanes = [list(lane) for lane in zip(*columns, strict=True)]
        with np.errstate(all="ignore"):
            compare(trace, mapped, lanes, 1e-5 if any(isinstance(v, np.float32) for v in values) else 1e-11)


def test_every_primitive_is_tried():
    assert {c.name for c in CASES} | set(ELEMENTWISE) | LOOP_DIALECT | {"check_same", "check_true"} == set(PRIMITIVES)


def test_every_primitive_has_a_rule():
    without = {n for n, p in PRIMITIVES.items() if not p.elementwise and p.batch is None}
    assert without == LOOP_DIALECT | {"dim"}, "dim is answered by the size of the batch's array"


def test_types_stay():
    assert isinstance(Equation(CASES[0]).outs[0].type, (Array, Scalar))

"""Derivative records of the primitives, one equation at a time.

Forward rules against central differences, reverse rules against forward rules (the dot-product test).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from adcompile.ir import is_float
from adcompile.primitives import PRIMITIVES, Handle
from adcompile.primitives.evaluate import run
from tests.primitives.calls import Call, Dynamic, plain

FULL = ("slice", False, False, 1)
ELEMENTWISE = sorted(n for n, p in PRIMITIVES.items() if p.elementwise and p.differentiable)
SHAPES = [
    ((), ()),
    ((4,), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3), (3,)),
    ((3,), ()),
    ((), (2, 2)),
    ((1,), (3,)),
    ((0, 2), (2,)),
]


@dataclass
class Case:
    """An equation: the primitive, its argument values, its attributes, and which arguments vary."""

    name: str
    args: tuple
    attrs: dict[str, Any] = field(default_factory=dict)
    active: tuple[int, ...] = (0,)
    label: str = ""


class Equation:
    """One equation with its tangent and cotangent programs."""

    def __init__(self, case: Case):
        self.case, self.call = case, Call()
        self.op, self.primitive = self.call.op, PRIMITIVES[case.name]
        self.args = [h if isinstance(h, Handle) else self.op.lift(h) for h in map(self.call.handles, case.args)]
        outs = self.op(case.name, *self.args, **case.attrs)
        self.outs = outs if isinstance(outs, tuple) else (outs,)

    def value(self, values) -> np.ndarray:
        """The result for other argument values."""
        given = [
            v for v, a in zip(values, self.case.args, strict=True) if isinstance(a, (np.ndarray, np.generic, Dynamic))
        ]
        return run(self.call.trace(list(self.outs)), given)[0]

    def seeded(self, seeds: dict[int, Any], count: int) -> list:
        return [self.call.handles(seeds[i]) if i in seeds else None for i in range(count)]

    def tangent(self, tangents: dict[int, Any]):
        """The tangent of the result."""
        given = self.seeded(tangents, len(self.args))
        rule, result = self.primitive, None
        if rule.jvp is not None:
            (result,) = rule.jvp(self.op, given, self.outs, self.args, self.case.attrs)
        elif rule.linear:
            assert set(self.case.active) <= set(rule.linear)
            for i in self.case.active:
                moved = [given[i] if j == i else a for j, a in enumerate(self.args)]
                result = self.op.add_up(result, self.op(self.case.name, *moved, **self.case.attrs))
        else:
            for i in self.case.active:
                partial = rule.partials[i](self.op, self.outs[0], *self.args)
                if partial is not None:
                    result = self.op.add_up(result, self.op.lift(partial) * given[i])
        return self.run(result, self.outs[0], [])[0]

    def cotangents(self, cotangent: Any):
        """The cotangents of the active arguments."""
        (seed,) = self.seeded({0: cotangent}, 1)
        rule, wanted = self.primitive, [i in self.case.active for i in range(len(self.args))]
        if rule.vjp is not None:
            found = rule.vjp(self.op, [seed], self.outs, self.args, self.case.attrs, wanted)
        else:
            partials = [rule.partials[i](self.op, self.outs[0], *self.args) for i in range(len(self.args))]
            found = [None if p is None else self.op.lift(p) * seed for p in partials]
        found = [
            self.op.zeros_like(self.args[i])
            if found[i] is None
            else self.op.match(found[i], self.args[i].type, self.args[i])
            for i in self.case.active
        ]
        for i, ct in zip(self.case.active, found, strict=True):
            assert ct.type.dtype == self.args[i].type.dtype and ct.rank == self.args[i].rank
        return run(self.call.trace(found), self.call.values)

    def run(self, result, like, others):
        result = self.op.zeros_like(like) if result is None else result
        return run(self.call.trace([result, *others]), self.call.values)


def check(case: Case, step: float = 1e-6, rtol: float = 1e-6) -> None:
    rng = np.random.default_rng(11)
    values = [plain(a) for a in case.args]
    kinds = [np.asarray(values[i]).dtype.type for i in case.active]
    dots = {
        i: _like(values[i], rng.normal(size=np.shape(values[i])), kind)
        for i, kind in zip(case.active, kinds, strict=True)
    }
    single = np.float32 in kinds
    equation = Equation(case)
    out = equation.value(values)
    out_dot = Equation(case).tangent({i: _wrapped(case.args[i], d) for i, d in dots.items()})
    if not single:
        ahead, behind = ([v + s * dots[i] if i in dots else v for i, v in enumerate(values)] for s in (step, -step))
        difference = (Equation(case).value(ahead) - Equation(case).value(behind)) / (2 * step)
        np.testing.assert_allclose(np.broadcast_to(out_dot, np.shape(out)), difference, rtol=rtol, atol=1e-8)
    out_bar = _like(out, rng.normal(size=np.shape(out)), np.asarray(out).dtype.type)
    bars = Equation(case).cotangents(out_bar)
    for i, bar in zip(case.active, bars, strict=True):
        assert np.shape(bar) == np.shape(values[i])
    one = np.sum(np.asarray(out_bar, dtype=float) * out_dot)
    two = sum(np.sum(np.asarray(bar, dtype=float) * dots[i]) for i, bar in zip(case.active, bars, strict=True))
    np.testing.assert_allclose(two, one, rtol=1e-4 if single else 1e-11, atol=1e-5 if single else 1e-12)


def _like(value, number, kind):
    return kind(number) if np.ndim(value) == 0 and not isinstance(value, np.ndarray) else np.asarray(number, dtype=kind)


def _wrapped(arg, dot):
    return Dynamic(float(dot)) if isinstance(arg, Dynamic) else dot


def sample(primitive, shapes, dtype=np.float64):
    """Values in the primitive's domain; a condition where it takes one."""
    rng = np.random.default_rng(3)
    args = []
    for i, (low, high) in enumerate(primitive.domain):
        value = rng.uniform(low, high, size=shapes[i % 2])
        value = value > 0.5 if primitive.name == "where" and i == 0 else value.astype(dtype)
        args.append(value if shapes[i % 2] else value[()] if isinstance(value, np.ndarray) else value)
    return tuple(args)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, shapes):
    primitive = PRIMITIVES[name]
    attrs = {"dtype": "float64"} if name == "cast" else {}
    count = len(primitive.domain)
    active = tuple(range(1 if name == "where" else 0, count))
    for dtype in (np.float64, np.float32):
        case = Case(name, sample(primitive, shapes, dtype), attrs, active)
        if name == "stop_gradient":
            assert not np.any(Equation(case).tangent({0: case.args[0]}))
            continue
        check(case)
        for i in active if count > 1 else ():
            check(Case(name, case.args, attrs, (i,)))


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n not in ("where", "stop_gradient", "cast", "rint")])
def test_python_floats(name):
    primitive = PRIMITIVES[name]
    args = tuple(Dynamic(float(v)) for v in sample(primitive, ((), ())))
    check(Case(name, args, {}, tuple(range(len(args)))))


R = np.random.default_rng(5)
V, W, M, T = R.normal(size=5), R.normal(size=5), R.normal(size=(3, 4)), R.normal(size=(2, 3, 4))
P = np.array([3, 0, 3])
ROW = R.normal(size=(1, 4))
SQUARE = R.normal(size=(3, 3))
STACK = R.normal(size=(2, 3, 3))
int_, array = ("int",), ("array",)


def slice_(start, stop, step=1):
    return ("slice", start, stop, step)


def cases(name, arg_lists, attr_list, active=(0,)):
    return [Case(name, args, attrs, active) for args in arg_lists for attrs in attr_list]


AXES = [{"axis": a, "keepdims": keep} for a in ((0,), (1,), (0, 2), (0, 1, 2)) for keep in (False, True)]
STRUCTURAL = [
    *cases("sum", [(T,), (T.astype(np.float32),)], AXES), *cases("max", [(T,), (T.astype(np.float32),)], AXES),
    *cases("min", [(T,)], AXES),
    *cases("sum", [(ROW,), (np.zeros((0, 3)),)], [{"axis": (0,), "keepdims": k} for k in (False, True)]),
    *cases("cumsum", [(T,), (T.astype(np.float32),)], [{"axis": a} for a in (0, 1, 2)]),
    *cases("cumsum", [(V,)], [{"axis": 0}]),
    *cases("transpose", [(T,)], [{"perm": p} for p in ((2, 0, 1), (1, 0, 2), (0, 2, 1))]),
    Case("reshape", (T, 6, 4)), Case("reshape", (T, 24)), Case("reshape", (V[:1], 1, 1)),
    Case("broadcast_to", (ROW, 3, 4), {"dims": (3, 4)}), Case("broadcast_to", (V, 2, 5), {"dims": (2, 5)}),
    Case("broadcast_to", (ROW, 2, 3, 4), {"dims": (2, 3, 4)}),
    Case("full", (np.float64(1.5), 2, 3)), Case("full", (Dynamic(1.5), 2)), Case("full", (np.float32(1.5), 3)),
    *(Case("matmul", pair, {}, active) for active in ((0,), (1,), (0, 1)) for pair in (
        (V, W), (M, T[0].T.copy()), (M, V[:4]), (V[:3], M), (T, M.T.copy()), (T, V[:4]), (V[:3], T),
        (M, T.swapaxes(1, 2).copy()),
        (T, T.swapaxes(1, 2).copy()), (T[:1], T.swapaxes(1, 2).copy()),
        (M.astype(np.float32), M.T.astype(np.float32)), (ROW, M.T.copy()), (np.zeros((0, 3)), M),
    )),
    *(Case("solve", pair, {}, active) for active in ((0,), (1,), (0, 1)) for pair in (
        (SQUARE, V[:3]), (SQUARE, M), (STACK, T[:, :, :3]), (SQUARE.astype(np.float32), V[:3].astype(np.float32)),
        (STACK[:1, :1, :1], T[:1, :1]), (np.zeros((0, 0)), np.zeros(0)),
    )),
    *(Case(name, (x,)) for name in ("det", "logdet") for x in (SQUARE, STACK, STACK.astype(np.float32), STACK[:0])),
    *(Case("roll", (x, s), {"axis": a}) for x,
    a in ((V, 0), (M, 1), (T, 1), (M.astype(np.float32), 0)) for s in (1, -2, 7, Dynamic(2))),
    Case("vector", (np.float64(1), np.float64(2), np.float64(3)), {}, (0, 2)),
    Case("vector", (np.float32(1), np.float32(2)), {}, (0, 1)),
    Case("concatenate", (V, W, V), {"axis": 0}, (0, 1, 2)), Case("concatenate", (M, ROW), {"axis": 0}, (1,)),
    Case("concatenate", (T, T), {"axis": 1}, (0, 1)),
    Case("concatenate", (np.zeros((0, 4)), M), {"axis": 0}, (0, 1)), Case("concatenate", (V,), {"axis": 0}),
    Case("copy", (M,)), Case("identity", (M,)), Case("again", (M,)),
    Case("grow", (M, 2)), Case("grow", (V, Dynamic(3))),
    *(Case("index", args, {"spec": spec}) for args, spec in (
        ((V, 2), (int_,)), ((V, Dynamic(-1)), (int_,)), ((M, 1), (int_, FULL)), ((M, 0, 2), (int_, int_)),
        ((M, 1, -1), (FULL, slice_(True, True))),
        ((M,), (FULL, slice_(False, False, -2))), ((M, 3), (FULL, slice_(True, False, -1))),
        ((M,), (("new",), FULL, FULL)), ((V, P), (array,)), ((M, P), (FULL, array)),
        ((T, 1, P), (FULL, int_, array)), ((T, 1, P), (int_, FULL, array)),
        ((T, np.array([[0, 1], [1, 1]])), (array, FULL, FULL)),
        ((M.astype(np.float32), P), (FULL, array)), ((V, 4, 1), (slice_(True, True),)),
        ((V, Dynamic(1), Dynamic(4)), (slice_(True, True, 2),)),
    )),
    Case("index", (M, np.array([0, 2, 2]), P), {"spec": (array, array)}),
    *(Case(name, args, {"spec": spec}, active) for name in ("store", "accumulate") for active in ((0,), (1,),
    (0, 1)) for args, spec in (
        ((V, np.float64(2.0), 2), (int_,)), ((V, Dynamic(2.0), -1), (int_,)), ((M, V[:4], 1), (int_, FULL)),
        ((M, np.float64(1.0), 1, 3), (FULL, slice_(True, True))),
        ((M, ROW), (FULL, FULL)), ((M, V[:3], 1), (FULL, int_)), ((M, M), (FULL, slice_(False, False, -1))),
        ((M, R.normal(size=(3, 3)), np.array([3, 0, 1])), (FULL, array)),
        ((V, W[:3], np.array([4, 0, 2])), (array,)), ((V, W[:3], np.array([4, 0, 4])), (array,)),
        ((V, W[:1], np.array([4, 0, 4])), (array,)),
        ((T, R.normal(size=(2, 4)), np.array([1, 1]), 2), (array, int_, FULL)),
        ((M, V[:2], np.array([1, 1]), np.array([2, 2])), (array, array)),
        ((T, R.normal(size=(3, 3)), 1, np.array([1, 1, 3])), (int_, FULL, array)),
        ((T, R.normal(size=(1, 3, 3)), 1, np.array([1, 1, 3])), (slice_(False, True), FULL, array)),
        ((V.astype(np.float32), W[:2].astype(np.float32), 1, 3), (slice_(True, True),)),
        ((M, np.float64(3.0), np.array([0, 0])), (array, FULL)),
    )),
]  # fmt: skip


@pytest.mark.parametrize("case", STRUCTURAL, ids=lambda c: f"{c.name}-{c.attrs}-{c.active}")
def test_structural(case):
    check(case)


def test_every_differentiable_primitive_is_tried():
    tried = {c.name for c in STRUCTURAL} | set(ELEMENTWISE)
    assert {n for n, p in PRIMITIVES.items() if p.differentiable} == tried


def test_primitives_without_rules_say_so():
    for primitive in PRIMITIVES.values():
        ruled = primitive.jvp or primitive.linear or primitive.partials
        assert bool(ruled and (primitive.vjp or primitive.partials)) or not primitive.differentiable, primitive.name


EDGES = [
    ("abs", (0.0,), (0.0,)),
    ("sign", (0.0,), (0.0,)),
    ("sqrt", (0.0,), (np.inf,)),
    ("maximum", (1.0, 1.0), (0.5, 0.5)),
    ("minimum", (1.0, 1.0), (0.5, 0.5)),
    ("pow", (0.0, 0.0), (0.0, 0.0)),
    ("pow", (2.0, 0.0), (0.0, np.log(2.0))),
    ("pow", (0.0, 1.0), (1.0, 0.0)),
    ("pow", (0.0, 2.0), (0.0, 0.0)),
    ("pow", (-2.0, 3.0), (12.0, 0.0)),
    ("hypot", (0.0, 0.0), (0.0, 0.0)),
    ("floordiv", (4.0, 2.0), (0.0, 0.0)),
    ("floor", (1.0,), (0.0,)),
]


@pytest.mark.parametrize(("name", "point", "partials"), EDGES)
def test_points_without_a_derivative(name, point, partials):
    for i, expected in enumerate(partials):
        case = Case(name, tuple(np.array([v, v]) for v in point), {}, (i,))
        with np.errstate(all="ignore"):
            tangent = Equation(case).tangent({i: np.ones(2)})
            (cotangent,) = Equation(case).cotangents(np.ones(2))
        np.testing.assert_array_equal(tangent, [expected] * 2)
        np.testing.assert_array_equal(cotangent, [expected] * 2)


def test_ties_of_max_share():
    case = Case("max", (np.array([1.0, 3.0, 3.0, 2.0]),), {"axis": (0,), "keepdims": False})
    (x_bar,) = Equation(case).cotangents(np.float64(1.0))
    np.testing.assert_array_equal(x_bar, [0, 0.5, 0.5, 0])


def test_where_ignores_the_branch_not_taken():
    case = Case("where", (np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0])), {}, (1, 2))
    tangent = Equation(case).tangent({1: np.array([1.0, np.nan]), 2: np.array([np.nan, 1.0])})
    np.testing.assert_array_equal(tangent, [1.0, 1.0])
    x_bar, y_bar = Equation(case).cotangents(np.ones(2))
    np.testing.assert_array_equal(x_bar, [1.0, 0.0])
    np.testing.assert_array_equal(y_bar, [0.0, 1.0])


def test_types_follow_floats():
    assert all(is_float(Equation(c).args[i].type) for c in STRUCTURAL for i in c.active)

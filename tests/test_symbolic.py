"""Proofs of the derivative records, and of the programs generated from them."""

import dataclasses
import functools
import subprocess
import sys

import numpy as np
import pytest
import sympy

import adcompile
from adcompile.primitives import PRIMITIVES
from adcompile.symbolic import Report, proof_table, prove_partials, prove_primitive, verify
from adcompile.symbolic.algebra import ALGEBRA, exact
from adcompile.symbolic.proofs import NUMERIC, is_zero, split_cases

DIFFERENTIABLE = [n for n, p in PRIMITIVES.items() if p.elementwise and p.differentiable and n != "stop_gradient"]


# -- records ----------------------------------------------------------------------------------------------------


@functools.cache
def proofs():
    return prove_partials()


def test_every_record_is_proved():
    assert {p.primitive for p in proofs()} == set(DIFFERENTIABLE)
    assert all(p.ok for p in proofs())


def test_only_jumps_need_evaluation():
    evaluated = {p.primitive for p in proofs() if p.how == NUMERIC}
    assert evaluated == {"floordiv", "mod", "sign", "floor", "ceil", "trunc", "rint"}


@pytest.mark.parametrize(
    ("name", "argument", "claim"),
    [
        ("maximum", "x", "away from x = y"),
        ("abs", "x", "away from 0"),
        ("pow", "x", "x > 0, away from y = 0"),
        ("floor", "x", "away from jumps"),
        ("mul", "x", "where defined"),
    ],
)
def test_claims(name, argument, claim):
    assert [p.claim for p in proofs() if (p.primitive, p.argument) == (name, argument)] == [claim]


WRONG = {
    "tanh": (lambda op, ans, x: 1.0 + ans * ans,),
    "pow": (lambda op, ans, x, y: y * x**y, PRIMITIVES["pow"].partials[1]),
    "floor": (lambda op, ans, x: 1.0,),
    "maximum": tuple(reversed(PRIMITIVES["maximum"].partials)),
    "erf": (lambda op, ans, x: 1.1283791670955 * op.exp(-x * x),),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_partial_is_refuted(name):
    proof = prove_primitive(dataclasses.replace(PRIMITIVES[name], partials=WRONG[name]))[0]
    assert not proof.ok
    assert proof.how.startswith("refuted at x = ")


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_wrong_rule_is_refuted(rule):
    swapped = {
        "jvp": lambda op, tangents, outs, args, attrs: (op.where(args[0], tangents[2] or 0, tangents[1] or 0),),
        "vjp": lambda op, cts, outs, args, attrs, wanted: (None, cts[0], cts[0]),
    }
    found = prove_primitive(dataclasses.replace(PRIMITIVES["where"], **{rule: swapped[rule]}))
    assert not all(p.ok for p in found)


def test_prove_partials_raises_on_a_wrong_record(monkeypatch):
    monkeypatch.setitem(PRIMITIVES, "exp", dataclasses.replace(PRIMITIVES["exp"], partials=(lambda op, ans, x: x,)))
    with pytest.raises(AssertionError, match="exp in x: refuted at x = "):
        prove_partials()


def test_proof_table_has_a_row_per_partial():
    lines = proof_table().splitlines()
    assert len(lines) == 2 + len(proofs())
    assert "| `tanh` | x | `1 - tanh(x)**2` | simplify | where defined |" in lines


# -- algebra ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "expected"), [(0.1, "1/10"), (1 / 3, "1/3"), (2.0, "2"), (1e-8, "1/100000000")])
def test_floats_become_simple_fractions(value, expected):
    assert exact(value) == sympy.Rational(expected)


def test_rounding_goes_to_even():
    assert [ALGEBRA.rint(sympy.Rational(n, 2)) for n in (-5, -1, 1, 3, 5)] == [-2, 0, 0, 2, 2]
    assert [ALGEBRA.trunc(sympy.Rational(n, 2)) for n in (-3, 3)] == [-1, 1]


def test_cases_leave_ties_out():
    x, y = sympy.symbols("x y", real=True)
    one, other = ALGEBRA.maximum(x, y), -ALGEBRA.minimum(-x, -y)
    assert is_zero(one - other)
    assert not is_zero(one - x)
    assert sorted(map(str, split_cases(one, 3))) == ["x", "y"]


# -- programs ---------------------------------------------------------------------------------------------------


def lecture(x1, x2):
    return (np.sin(x1 / x2) + (x1 / x2 - np.exp(x2))) * (x1 / x2 - np.exp(x2))


def perceptron(layers, x):
    for w, b in layers:
        x = np.tanh(x @ w + b)
    return np.sum(x**2)


def power(x, n):
    y = x
    for _ in range(n):
        y = y * np.sin(x)
    return y


def diffuse(u, dt):
    v = u.copy()
    for i in range(1, u.shape[0] - 1):
        v[i] = u[i] + dt * (u[i + 1] - 2.0 * u[i] + u[i - 1])
    return v


def rectified(w, x):
    return np.sum(np.maximum(w @ x, 0.0))


def steps(x):
    return np.floor(3.0 * x) * x + x % 0.3 + abs(x) * np.sign(x)


def constants(x):
    return x * 0.1 * 0.7 * (1.0 / 3.0) * np.pi


def branching(x):
    if x > 1.0:
        y = power(x, 3)
    else:
        y = -x
    return y


def newton(a):
    x = a
    while abs(x * x - a) > 1e-3:
        x = 0.5 * (x + a / x)
    return x


def held(x):
    return adcompile.stop_gradient(x * x) * x


def two_results(x, y):
    return {"a": x * y, "b": (np.cos(x), 3)}


RNG = np.random.default_rng(4)
LAYERS = [(RNG.normal(size=(2, 3)), RNG.normal(size=3)), (RNG.normal(size=(3, 1)), np.zeros(1))]
PROVED = {
    "lecture": (lecture, (1.5, 0.5)),
    "perceptron": (perceptron, (LAYERS, RNG.normal(size=(2, 2)))),
    "loop": (power, (1.3, 6)),
    "stencil": (diffuse, (RNG.normal(size=5), 0.1)),
    "rectified": (rectified, (RNG.normal(size=(2, 3)), RNG.normal(size=3))),
    "steps": (steps, (0.77,)),
    "constants": (constants, (1.7,)),
    "branching": (branching, (1.5,)),
    "two_results": (two_results, (1.5, -0.5)),
    "float32": (lecture, (np.float32(1.5), np.float32(0.5))),
    "second order": (adcompile.grad(lecture), (1.5, 0.5)),
}


@pytest.mark.parametrize("name", PROVED)
def test_program_is_proved(name):
    function, args = PROVED[name]
    report = verify(function, *args).raise_if_failed()
    assert report.proved, report
    assert {f.mode for f in report.findings} >= {"primal", "jvp", "vjp"}


def test_report_of_the_lecture_function():
    report = verify(lecture, 1.5, 0.5, modes=("vjp", "grad"))
    assert isinstance(report, Report)
    assert report.how["grad", "out", "x2"] == "simplify"
    assert str(report).splitlines()[0] == "lecture: verified"
    assert "  ok  vjp     d out / d x1  simplify" in str(report).splitlines()
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.name = "other"


def test_argnums_choose_arguments():
    report = verify(lecture, 1.5, 0.5, argnums="x2", modes=("jvp",))
    assert [f.input for f in report.findings if f.mode == "jvp"] == ["", "x2"]


def test_nothing_to_differentiate_is_noted():
    report = verify(lambda n: n * 2, 3)
    assert report.notes == ("nothing to differentiate: no float among the results or the arguments",)
    assert not any(f.input for f in report.findings)


def test_path_is_noted():
    (note,) = verify(branching, 0.5, modes=("jvp",)).notes
    assert note == "on the path that the arguments take, where x <= 1"


def test_while_loop_is_unrolled_along_the_path():
    report = verify(newton, 2.0, modes=("jvp",))
    assert report.proved
    assert report.notes[0].endswith("where Abs(a**2 - a) > 1/1000 and 3 more conditions")


def ordered(a):
    return a[np.argsort(a)] * a


def swelling(x, n):
    for _ in range(n):
        x = np.sin(x) * x
    return x


@pytest.mark.parametrize(
    ("function", "args", "reason"),
    [
        (ordered, (RNG.normal(size=3),), "argsort at test_symbolic.py"),
        (diffuse, (RNG.normal(size=12), 0.1), "u has more than 8 elements"),
        (swelling, (0.7, 12), "has more than 1000 nodes"),
        (perceptron, (LAYERS, RNG.normal(size=(9, 2)).astype(np.float32)), "x has more than 8 elements"),
    ],
)
def test_what_has_no_expression_is_checked_numerically(function, args, reason):
    report = verify(function, *args).raise_if_failed()
    assert not report.proved
    assert any(reason in note for note in report.notes)
    hows = {f.mode: f.how for f in report.findings if f.input}
    assert hows["jvp"] == "central differences in 2 directions"
    assert hows["vjp"] == "dot-product test with central differences in 2 directions"


@pytest.mark.parametrize("elements", [8, 1])
def test_wrong_record_is_found_in_a_program(monkeypatch, elements):
    wrong = dataclasses.replace(PRIMITIVES["tanh"], partials=(lambda op, ans, x: 1.0 + ans * ans,))
    monkeypatch.setitem(PRIMITIVES, "tanh", wrong)
    report = verify(perceptron, LAYERS[1:], RNG.normal(size=(1, 3)), elements=elements)
    assert not report.ok
    assert {f.mode for f in report.findings if not f.ok} == {"jvp", "vjp", "grad"}
    with pytest.raises(AssertionError, match="NOT grad"):
        report.raise_if_failed()


def test_stop_gradient_is_a_constant():
    assert verify(held, 1.5).proved


@adcompile.custom_vjp
def wrong_square(x):
    return x * x


wrong_square.defvjp(lambda x: (x * x, x), lambda x, out_bar: (3.0 * x * out_bar,))


@adcompile.custom_jvp
def nonlinear(x):
    return x * x


@nonlinear.defjvp
def nonlinear_rule(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    return x * x, 2.0 * x * x_dot + x_dot * x_dot


def uses_wrong_square(x):
    return np.sin(wrong_square(x))


def uses_nonlinear(x):
    return np.sin(nonlinear(x))


def test_wrong_custom_vjp_is_found():
    report = verify(uses_wrong_square, 1.2)
    assert [(f.mode, f.ok) for f in report.findings if f.input] == [("vjp", False), ("grad", False)]
    assert report.notes == ("jvp: a function with a custom_vjp rule has no forward rule",)


def test_tangent_rule_that_is_not_linear_is_found():
    report = verify(uses_nonlinear, 1.2, modes=("jvp",))
    assert not report.ok


# -- imports ----------------------------------------------------------------------------------------------------


def test_sympy_is_imported_on_first_use():
    script = (
        "import sys, adcompile; heavy = {'sympy', 'mpmath', 'scipy', 'numba', 'llvmlite'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "adcompile.check_grads; assert 'sympy' not in sys.modules;"
        "adcompile.verify; assert 'sympy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

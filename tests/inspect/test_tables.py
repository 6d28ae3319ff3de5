"""The lecture's tables, row by row; and that every table's last rows are the derivative that the transform computes."""

import os
import subprocess
import sys

import numpy as np
import pytest

import adcompile
from adcompile.api import Options, Transform
from adcompile.custom import custom_vjp
from adcompile.inspect.labels import label
from adcompile.inspect.numbers import show_value
from adcompile.modes import HessianVector, Pullback, Tangent
from adcompile.transform.simplify import number_values
from tests.inspect import programs
from tests.inspect.programs import branch, lecture, network, network_arguments, newton, powers, several, stores

PYTHON = Options(backend="python")

INPUTS = ["x1 = 1.5000", "x2 = 0.5000"]
PRIMAL = [
    "v1 = x1 / x2 = 1.5000 / 0.5000 = 3.0000",
    "v2 = sin(v1) = sin(3.0000) = 0.1411",
    "v3 = exp(x2) = exp(0.5000) = 1.6487",
    "v4 = v1 - v3 = 3.0000 - 1.6487 = 1.3513",
    "v5 = v2 + v4 = 0.1411 + 1.3513 = 1.4924",
    "v6 = v5 * v4 = 1.4924 * 1.3513 = 2.0166",  # the lecture multiplies rounded numbers: 2.0167
]
TANGENT = [
    "v1_dot = x1_dot / x2 - v1 / x2 * x2_dot = 1.0000 / 0.5000 - 3.0000 / 0.5000 * 0.0000 = 2.0000",
    "v2_dot = cos(v1) * v1_dot = -0.9900 * 2.0000 = -1.9800",
    "v3_dot = v3 * x2_dot = 1.6487 * 0.0000 = 0.0000",
    "v4_dot = v1_dot - v3_dot = 2.0000 - 0.0000 = 2.0000",
    "v5_dot = v2_dot + v4_dot = -1.9800 + 2.0000 = 0.0200",
    "v6_dot = v4 * v5_dot + v5 * v4_dot = 1.3513 * 0.0200 + 1.4924 * 2.0000 = 3.0118",
]
ADJOINT = [
    "v5_bar = v6_bar * v4 = 1.0000 * 1.3513 = 1.3513",
    "v4_bar = v6_bar * v5 = 1.0000 * 1.4924 = 1.4924",
    "v4_bar = v4_bar + v5_bar = 1.4924 + 1.3513 = 2.8437",
    "v2_bar = v5_bar = 1.3513",
    "v3_bar = -v4_bar = -2.8437",
    "v1_bar = v4_bar = 2.8437",
    "x2_bar = v3_bar * v3 = -2.8437 * 1.6487 = -4.6884",
    "v1_bar = v1_bar + v2_bar * cos(v1) = 2.8437 + 1.3513 * (-0.9900) = 1.5059",
    "x2_bar = x2_bar - v1_bar * v1 / x2 = -4.6884 - 1.5059 * 3.0000 / 0.5000 = -13.7240",  # the lecture: -13.7239
    "x1_bar = v1_bar / x2 = 1.5059 / 0.5000 = 3.0118",
]


def texts(table):
    return [row.text for row in table.rows]


def last_value(table, name):
    return [row.value for row in table.rows if row.name == name][-1]


def test_evaluation_trace():
    assert texts(adcompile.jit(lecture).trace(1.5, 0.5)) == [*INPUTS, *PRIMAL, "y = v6 = 2.0166"]


@pytest.mark.parametrize("transform", [adcompile.jacfwd(lecture), Transform(lecture, Tangent(), PYTHON)])
def test_forward_tangent_trace(transform):
    rows = [row for pair in zip(PRIMAL, TANGENT, strict=True) for row in pair]
    inputs = [INPUTS[0], "x1_dot = 1.0000", INPUTS[1], "x2_dot = 0.0000"]
    assert texts(transform.trace(1.5, 0.5)) == [*inputs, *rows, "y = v6 = 2.0166", "y_dot = v6_dot = 3.0118"]


@pytest.mark.parametrize(
    "transform",
    [adcompile.grad(lecture, (0, 1)), adcompile.jacrev(lecture, (0, 1)), Transform(lecture, Pullback(), PYTHON)],
)
def test_reverse_adjoint_trace(transform):
    seeds = ["y = v6 = 2.0166", "y_bar = 1.0000", "v6_bar = y_bar = 1.0000"]
    assert texts(transform.trace(1.5, 0.5)) == [*INPUTS, *PRIMAL, *seeds, *ADJOINT]


def test_second_argument_seeded():
    table = adcompile.jacfwd(lecture, 1).trace(1.5, 0.5)
    assert last_value(table, "x2_dot") == "1.0000"
    assert last_value(table, "y_dot") == "-13.7240"


def test_formulas_of_the_latest_call():
    transform = adcompile.grad(lecture, (0, 1))
    transform(1.5, 0.5)
    formulas = [row.formula for row in transform.trace(1.5, 0.5).rows if row.formula]
    assert texts(transform.trace())[:3] == ["x1: float", "x2: float", "v1 = x1 / x2"]
    assert [row.formula for row in transform.trace().rows if row.formula] == formulas


GRADIENTS = {
    "network": (network, network_arguments(), (0, 1, 2, 3, 4)),
    "powers": (powers, (0.5, 4), 0),
    "taken": (branch, (2.0,), 0),
    "not taken": (branch, (0.5,), 0),
    "stores": (stores, (np.array([0.3, 0.4, 0.5]),), 0),
    "squares": (lambda x: x * x, (3.0,), 0),
    "constant": (lambda x: 3.0, (3.0,), 0),
    "itself": (lambda x: x, (3.0,), 0),
    "dictionary": (lambda a: a["w"] * a["b"][0], ({"w": 2.0, "b": (3.0, 4.0)},), 0),
    "maximum": (lambda x, y: np.maximum(x, y) ** 2.5 / np.sqrt(x) - np.where(x > y, x, -y), (1.2, 0.7), (0, 1)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_adjoint_table_ends_with_the_gradient(name):
    function, args, argnums = GRADIENTS[name]
    transform = adcompile.grad(function, argnums)
    names = [f"{p.name}_bar" for p in transform.specialisation(*args).primal.trace.params]
    leaves = adcompile.api.flatten(transform(*args))[0]
    table = transform.trace(*args)
    for bar, value in zip(names, leaves, strict=False):
        assert last_value(table, bar) == show_value(value)


@pytest.mark.parametrize("name", GRADIENTS)
def test_tangent_table_ends_with_the_first_column(name):
    function, args, _ = GRADIENTS[name]
    transform = adcompile.jacfwd(function)
    expected = np.ravel(np.asarray(adcompile.api.flatten(transform(*args))[0][0]))[0]
    dots = [row.value for row in transform.trace(*args).rows if row.name.endswith("_dot")]
    assert dots[-1] == show_value(expected)


def test_second_order():
    table = Transform(lecture, HessianVector(), PYTHON).trace(1.5, 0.5)
    expected = adcompile.hessian(lecture, backend="python")(1.5, 0.5)
    assert last_value(table, "x1_bar_dot") == show_value(expected)
    assert "x1_bar_dot" in str(adcompile.hessian(lecture, backend="python").trace(1.5, 0.5))


def test_several_results():
    rows = texts(adcompile.jit(several).trace(2.0, 3))
    assert rows[-3:] == ["y1 = v1 = 6.0000", "y2 = n = 3", "y3 = v2 = 0.9093"]
    assert texts(Transform(several, Tangent(), PYTHON).trace(2.0, 3))[-1] == "y3_dot = v2_dot = -0.4161"


def test_loops_and_branches_are_code():
    rows = texts(adcompile.jit(powers).trace(0.5, 4))
    assert "    for i in range(n):" in rows
    assert rows[-1].endswith(show_value(powers(0.5, 4)))
    assert texts(adcompile.jit(branch).trace(0.5))[-1].endswith(show_value(branch(0.5)))
    assert "    while y * y - x > 1e-08:" in texts(adcompile.jit(newton).trace(2.0))


def test_array_rows():
    rows = texts(adcompile.grad(network).trace(*network_arguments()))
    assert any(row.startswith("v1 = x @ w1 = (5×3: ") for row in rows)
    assert any(row.startswith("w1_bar = x.T @ v1_bar = (2×3: ") for row in rows)
    rows = texts(adcompile.grad(stores).trace(np.array([0.3, 0.4, 0.5])))
    assert "x_bar = x_bar with [0] += v1_bar = [0.7600 0.6900 0.1200]" in rows


def test_user_rules():
    @custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, bar: (5.0 * x * bar,))
    rows = texts(adcompile.grad(lambda x: square(x), backend="python").trace(1.5))
    assert rows[-1] == "x_bar = v1_bar * 5.0 * x = 1.0000 * 5.0000 * 1.5000 = 7.5000"


def test_labels_are_the_numbers_of_the_derivative_programs():
    block = adcompile.jit(lecture, backend="python").specialisation(1.5, 0.5).primal.trace.block
    labels = label(block)
    number_values(block)
    assert [labels[o] for eqn in block.eqns for o in eqn.outs] == [o.name for eqn in block.eqns for o in eqn.outs]


def test_numbers():
    assert show_value(-0.0) == "0.0000"
    assert show_value(2.5e-7) == "2.5000e-07"
    assert show_value(float("nan")) == "nan"
    assert show_value(np.float32(1.5)) == "1.5000"
    assert show_value(7) == "7"
    assert show_value(np.zeros((0, 2))) == "(0×2 float64)"


def test_html_holds_the_table():
    table = adcompile.grad(lecture, (0, 1)).trace(1.5, 0.5)
    text = table._repr_html_()
    assert text.startswith("<table>") and text.endswith("</table>")
    assert text.count("<tr>") == len(table.rows)
    assert "v\u0304<sub>1</sub> + v\u0304<sub>2</sub> * cos(v<sub>1</sub>)" in text
    assert "-13.7240" in text and "programs.py" in text
    assert "x &lt; 1.0" in adcompile.jit(lambda x: x < 1.0).trace(0.5)._repr_html_()


SCRIPT = """
import adcompile
from tests.inspect.programs import lecture, network, network_arguments, powers
for table in (adcompile.grad(lecture, (0, 1)).trace(1.5, 0.5), adcompile.grad(network).trace(*network_arguments()),
              adcompile.grad(powers).trace(0.5, 4)):
    print(table, table._repr_html_())
graph = adcompile.jit(network).graph(*network_arguments())
print(graph.dot, graph.svg)
"""


def test_same_bytes_in_every_process():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert str(adcompile.grad(programs.lecture).trace(1.5, 0.5)) == str(adcompile.grad(lecture).trace(1.5, 0.5))

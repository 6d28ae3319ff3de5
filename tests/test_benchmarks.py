"""The benchmarks run and their report is well-formed; no time is asserted."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

import adcompile
from benchmarks import harness, kernels, lecture, picture, report
from benchmarks.harness import Case, Competitor, Row, Workload

SKIP = ("JAX jit", "PyTorch eager", "adcompile numba", "hand-written Numba")


def absent() -> Case:
    raise ImportError("No module named 'absent'")


@pytest.fixture(scope="module")
def rows():
    (workload,) = lecture.WORKLOADS
    missing = Workload("lecture", "with somebody missing", "float64", (Competitor("absent", absent),))
    return [*workload.run(1, skip=SKIP), *missing.run(1)]


def test_every_competitor_has_a_row(rows):
    assert [r.competitor for r in rows] == ["adcompile llvm", "adcompile python", "absent"]
    for row in rows[:2]:
        assert row.note == ""
        assert 0 < row.gradient_min <= row.gradient_median
        assert 0 < row.primal_min <= row.primal_median
        assert row.compile >= 0
    assert rows[2].gradient_min is None
    assert rows[2].note == "not installed: No module named 'absent'"


def test_the_table_has_one_line_per_row(rows):
    text = report.markdown(rows, report.finish(report.facts()), 1)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == len(rows) + 2
    assert {line.replace("\\|", "").count("|") for line in table} == {len(report.COLUMNS) + 1}


def test_a_change_of_the_source_is_reported(rows):
    about = report.finish({**report.facts(), "source": "another"})
    assert "The source changed" in report.markdown(rows, about, 1)


def test_the_document_is_json_with_machine_and_versions(rows):
    found = json.loads(json.dumps(report.document(rows, report.finish(report.facts()), 1)))
    assert found["threads"] == harness.THREADS
    assert set(report.PACKAGES) == set(found["versions"])
    assert [r["competitor"] for r in found["rows"]] == [r.competitor for r in rows]


def test_disagreement_is_an_error_before_timing():
    one, two = Case(lambda: (1.0, 2.0)), Case(lambda: (1.0, 2.0 + 1e-6))
    workload = Workload("w", "", "float64", (Competitor("one", lambda: one), Competitor("two", lambda: two)))
    with pytest.raises(AssertionError, match="one \\(expected\\), two \\(found\\)"):
        workload.run(1)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (4.2e-7, "0.42 µs"), (4.6e-4, "460 µs"), (7.1e-3, "7.1 ms"), (1.34, "1.34 s")]
)
def test_times_are_printed_with_their_unit(value, text):
    assert report.seconds(value) == text


def small(*shapes):
    rng = np.random.default_rng(7)
    return tuple(rng.standard_normal(s) for s in shapes)


KERNELS = {
    "jacobi-1d": (*small(9), 2),
    "jacobi": (*small((6, 5)), 3),
    "heat": (*small((5, 4, 6)), 0.1, 2),
    "gauss-seidel": (*small((6, 5), (6, 5)), 2),
    "fdtd": (*small((5, 6), (5, 6), (5, 6)), 3),
    "adi": (*small((6, 6)), -0.4, 1.8, 2),
    "gemm": small((3, 4), (4, 5), (5, 2), (2, 3)),
    "atax": small((5, 4), 4),
    "covariance": small((6, 4)),
    "lu": (small((5, 5))[0] + 6.0 * np.eye(5),),
    "n-body": (*small((4, 2)), np.zeros((4, 2)), np.array([1.0, 0.5, 1.5, 0.7]), 0.1, 3),
    "newton": (np.array([0.6, 1.7]),),
}


@pytest.mark.parametrize("name", kernels.FUNCTIONS)
def test_kernels_against_cpython_and_differences(name):
    function, args = kernels.FUNCTIONS[name], KERNELS[name]
    value, gradient = adcompile.value_and_grad(function)(*args)
    np.testing.assert_allclose(value, function(*args), rtol=1e-12)
    (direction,) = small(args[0].shape)
    step = 1e-5
    ends = [function(args[0] + s * step * direction, *args[1:]) for s in (1.0, -1.0)]
    np.testing.assert_allclose(np.sum(gradient * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_the_picture_has_a_bar_for_each_row_beside_jax():
    made = [
        Row("one", "float64", "JAX jit", gradient_median=2.0),
        Row("one", "float64", "adcompile llvm", gradient_median=0.5),
        Row("two", "float64", "adcompile llvm", gradient_median=0.5),
    ]
    root = ElementTree.fromstring(picture.draw(made))
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "one" in texts
    assert "4" in texts
    assert "two" not in texts


def test_the_summary_is_of_geometric_means():
    made = [
        Row("kernel-a", "float64", "JAX jit", compile=1.0, gradient_median=8.0),
        Row("kernel-a", "float64", "adcompile llvm", 0.5, 1.0, 1.0, 2.0, 1.0),
        Row("kernel-b", "float64", "JAX jit", compile=1.0, gradient_median=2.0),
        Row("kernel-b", "float64", "adcompile llvm", 2.0, 1.0, 1.0, 8.0, 1.0),
    ]
    lines = report.summary(made)
    assert lines[0] == "- gradient of the kernels, times as fast as JAX: geometric mean 4.00 of 2, from 2.00 to 8.00"
    assert lines[1] == "- gradient / primal of the kernels: geometric mean 4.00 of 2, from 2.00 to 8.00"
    assert lines[2] == "- compile time / JAX's: geometric mean 1.00 of 2, from 0.50 to 2.00"

"""The benchmarks run and their report is well-formed; no time is asserted."""

import json

import pytest

from benchmarks import harness, lecture, report
from benchmarks.harness import Case, Competitor, Workload

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

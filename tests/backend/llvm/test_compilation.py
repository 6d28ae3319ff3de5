"""Compilation, its cache and its stages; lowered programs."""

import subprocess
import sys

import numpy as np
import pytest

from adcompile.backend import llvm
from adcompile.ir import Scalar
from adcompile.ir.types import PYTHON_FLOAT, PYTHON_INT
from adcompile.lower import lower
from adcompile.primitives.evaluate import run
from tests.backend.llvm.common import VECTOR, at, build, history_loop, loop, mapped, swap_loop
from tests.lower.programs import PROGRAMS
from tests.lower.programs import build as build_array_program


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


def test_texts_are_deterministic_and_have_stages():
    trace = build([VECTOR], lambda op, x: mapped(op, x, lambda op, v: op.tanh(v)))
    assert llvm.emit(trace) == llvm.emit(trace)
    assert "define internal i64 @kernel" in llvm.emit(trace)
    assert "x double>" in llvm.emit(trace, stage="optimised"), "the loop is vectorised"
    assert "adcompile_entry" in llvm.emit(trace, stage="assembly")


def test_no_run_time_alias_checks():
    assert "vector.memcheck" not in llvm.emit(build([VECTOR, PYTHON_INT], swap_loop), stage="optimised")
    assert "vector.memcheck" not in llvm.emit(build([VECTOR, PYTHON_INT], history_loop), stage="optimised")


def test_sums_are_vectorised():
    def total(op, x):
        return loop(op, 0, op.size(x, 0), 1, [op.constant(0.0, Scalar("float64"))], lambda op, i, s: s + at(op, x, i))

    assert "vector.reduce.fadd" in llvm.emit(build([VECTOR], total), stage="optimised")


def test_the_cache_is_used_and_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path))
    trace = build([PYTHON_FLOAT], lambda op, x: x * 5.0)
    assert llvm.compile(trace, cache=False).call(1.0) == (5.0,)
    assert not list(tmp_path.iterdir())
    assert llvm.compile(trace).call(1.0) == (5.0,)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    monkeypatch.setattr("adcompile.backend.llvm.engine.optimise", None)
    assert llvm.compile(trace).call(1.0) == (5.0,), "compiled from the cache alone"
    monkeypatch.undo()
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path))
    file.write_bytes(content[:-1])
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert llvm.compile(trace).call(1.0) == (5.0,)
    assert file.read_bytes() == content


def test_an_unwritable_cache_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="compilation cache"):
        assert llvm.compile(build([PYTHON_FLOAT], lambda op, x: x * 5.0)).call(1.0) == (5.0,)


def test_importing_adcompile_does_not_import_llvmlite():
    code = "import sys, adcompile.backend.llvm; assert 'llvmlite' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_lowered_programs(name, dtype):
    program = PROGRAMS[name]
    array = build_array_program(program.types(dtype), program.body, name)
    values = program.values(dtype)
    expected = run(array, values)
    found = llvm.compile(lower(array)).call(*values)
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    for one, two in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        np.testing.assert_allclose(one, two, equal_nan=True, **tolerance)

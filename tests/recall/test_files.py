"""The files on disk: processes that share them, damaged and unusable ones, and the command that clears."""

import json
import os
import subprocess
import sys

import pytest

import adcompile
from adcompile import disk
from adcompile.__main__ import main

TEXT = "def f(x): return x * np.sin(x)"
SCRIPT = """
import sys
from adcompile import api, grad
from user import f
trace = api.trace
api.trace = lambda *given: print("traced") or trace(*given)
print(grad(f)(2.0))
"""


def processes(folder, count, cwd):
    """What some processes print that run at the same time."""
    environment = {
        **os.environ,
        "ADCOMPILE_CACHE_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join([str(cwd), *sys.path]),
    }
    command = [sys.executable, "-c", SCRIPT]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [process.communicate() for process in running]


def test_processes_share_the_folder(load, programs_on_disk, tmp_path):
    load(TEXT)
    together = processes(programs_on_disk, 3, tmp_path)
    (after,) = processes(programs_on_disk, 1, tmp_path)
    values = {out.split()[-1] for out, _ in [*together, after]}
    assert len(values) == 1
    assert after[0].split() == [*values], "the last one did not trace"
    assert not any(errors for _, errors in [*together, after])
    assert not list(programs_on_disk.glob("*.aside"))


def of_kind(folder, suffix):
    return [f for f in folder.iterdir() if f.suffix == suffix]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:60] + b"x" + b[61:], lambda b: b * 2])
def test_a_damaged_file_is_replaced(load, traces, programs_on_disk, damage):
    first = adcompile.grad(load(TEXT).f)(2.0)
    (file,) = of_kind(programs_on_disk, ".program")
    content = file.read_bytes()
    file.write_bytes(damage(content))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert adcompile.grad(load(TEXT).f)(2.0) == first
    assert len(traces) == 2
    assert file.read_bytes() == content


def test_object_code_that_is_gone_or_damaged(load, traces, programs_on_disk):
    first = adcompile.grad(load(TEXT).f)(2.0)
    for file in of_kind(programs_on_disk, ".o"):
        file.unlink()
    assert adcompile.grad(load(TEXT).f)(2.0) == first
    assert len(traces) == 2
    for file in of_kind(programs_on_disk, ".o"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert adcompile.grad(load(TEXT).f)(2.0) == first


def test_a_folder_that_cannot_be_used(load, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="compilation cache"):
        assert adcompile.grad(load("def f(x): return x * x").f)(2.0) == 4.0


def test_the_number_of_answers_is_bounded(load, programs_on_disk):
    for rate in range(12):
        module = load("R = 0\ndef f(x): return R * x")
        module.R = float(rate)
        assert adcompile.grad(module.f)(1.0) == rate
    (file,) = of_kind(programs_on_disk, ".program")
    assert len(json.loads(disk.read(file.name))) == 8


def test_the_folder_is_cleared(load, programs_on_disk, capsys):
    adcompile.grad(load(TEXT).f)(2.0)
    assert main(["cache", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(programs_on_disk)
    count = len(list(programs_on_disk.iterdir()))
    assert count >= 2
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith(f"deleted {count} files")
    assert not list(programs_on_disk.iterdir())

"""The command line, through `main` and as a process."""

import subprocess
import sys

import numpy as np
import pytest

from adcompile.__main__ import examples, main
from adcompile.errors import InvalidArgument

FILE = """
import numpy as np
import adcompile

def f(x1, x2=0.5):
    return (np.sin(x1 / x2) + (x1 / x2 - np.exp(x2))) * (x1 / x2 - np.exp(x2))

def defaults(a=2.0, b=3.0):
    return a * b

def dense(x, w):
    return np.sum(np.tanh(x @ w))

@adcompile.grad
def slope(x):
    return x * x

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shown.py"
    path.write_text(FILE)
    return str(path)


def show(capsys, *arguments):
    status = main(["show", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_table(file, capsys):
    status, out, _ = show(capsys, f"{file}:f", "--args", "1.5, 0.5", "--mode", "reverse")
    assert status == 0
    assert "v1_bar = v1_bar + v2_bar * cos(v1) = 2.8437 + 1.3513 * (-0.9900) = 1.5059\n" in out


def test_defaults(file, capsys):
    assert show(capsys, f"{file}:defaults")[1].endswith(
        "v1 = a * b = 2.0000 * 3.0000 = 6.0000\n-------------------------------------\ny = v1 = 6.0000\n"
    )


@pytest.mark.parametrize(
    ("mode", "stage", "sign"),
    [
        ("primal", "source", "def f(x1, x2):"),
        ("forward", "source", "def f_jvp(x1, x2, x1_dot, x2_dot):"),
        ("grad", "source", "def f_grad(x1, x2):"),
        ("grad", "derivative", "trace f_grad(x1: float, x2: float):"),
        ("grad", "user-source", "def f(x1, x2=0.5):"),
        ("grad", "lowered", "def f_grad(x1, x2):"),
        ("grad", "llvm", "define"),
        ("reverse", "all", "==== optimized llvm ===="),
    ],
)
def test_stages(file, capsys, mode, stage, sign):
    status, out, _ = show(capsys, f"{file}:f", "--args", "1.5, 0.5", "--mode", mode, "--stage", stage)
    assert status == 0 and sign in out


def test_types(file, capsys):
    status, out, _ = show(capsys, f"{file}:dense", "--types", "float64[n,m], float64[m,k]", "--mode", "grad")
    assert status == 0 and "w_bar = x.T @ v1_bar\n" in out


def test_a_transform_shows_itself(file, capsys):
    assert "x_bar = v1_bar * x + v1_bar * x" in show(capsys, f"{file}:slope", "--args", "3.0")[1]


def test_graph(file, capsys, tmp_path):
    path = tmp_path / "f.svg"
    status, out, _ = show(capsys, f"{file}:f", "--args", "1.5, 0.5", "--graph", str(path))
    assert status == 0 and out == f"wrote {path}\n" and path.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{file}:f"], 'no values for x1\n  Give --args "1.5, 1.5" or --types "float, float".'),
        (["{file}:g"], "has no function 'g'"),
        (["{file}:number"], "has no function 'number'"),
        (["{file}"], "names no function"),
        (["nowhere.py:f"], "there is no file 'nowhere.py'"),
        (["{file}:f", "--args", "1.5, z"], "cannot evaluate --args '1.5, z': name 'z' is not defined"),
        (["{file}:f", "--types", "floot"], "'floot' is no type"),
        (["{file}:f", "--args", "1.5, 0.5", "--graph", "a.txt"], "cannot save a graph as 'a.txt'"),
        (["{file}:f", "--args", "'a', 0.5"], "error: "),
    ],
)
def test_errors(file, capsys, arguments, message):
    status, out, err = show(capsys, *(a.replace("{file}", file) for a in arguments))
    assert status == 1 and out == "" and message in err


def test_examples():
    array, column, number, whole = examples("float32[n, m], float64[n,1], float64, int")
    assert array.shape == (3, 4) and array.dtype == np.float32
    assert column.shape == (3, 1) and type(number) is np.float64 and whole == 1
    with pytest.raises(InvalidArgument):
        examples("float64[n")


def test_process(file):
    command = [sys.executable, "-m", "adcompile", "show", f"{file}:f", "--args", "1.5, np.float64(0.5)"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "v4 = v1 - v3 = 3.0000 - 1.6487 = 1.3513\n" in found.stdout
    failed = subprocess.run([*command[:-3], f"{file}:f", "--stage", "nope"], capture_output=True, text=True)
    assert failed.returncode == 2 and "optimized-llvm" in failed.stderr

"""Every example runs, passes its own checks and writes its picture; the fast setting shortens the training."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

for needed in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(needed)

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_example(name):
    started = time.time()
    environment = {**os.environ, "ADCOMPILE_EXAMPLE_FAST": "1"}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    picture = EXAMPLES / "output" / f"{name}.png"
    assert picture.stat().st_mtime >= started - 1, f"{picture.name} was not written"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_example_is_in_the_index():
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"({name}.py)" not in index] == []


def test_the_losses_of_the_burgers_control_are_those_of_jax():
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "benchmarks.burgers_control"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=EXAMPLES.parent)
    tree = ast.parse((EXAMPLES / "burgers_control.py").read_text(encoding="utf-8"))
    (known,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "KNOWN")
    assert ast.literal_eval(known) == pytest.approx(ast.literal_eval(done.stdout), rel=0.0, abs=1e-10)

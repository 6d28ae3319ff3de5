"""Every example runs, passes its own checks and writes its picture; the fast setting shortens the training."""

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

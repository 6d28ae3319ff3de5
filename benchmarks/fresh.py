"""A fresh process to the first gradient of the lecture's function: imports, tracing, compilation and one call.

The parent measures from the start of the interpreter until the child has printed its gradient. Bytecode of imported
modules is written by an untimed run of every script, as it is for an installed package; "cold" means an empty cache of
compiled functions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.harness import Row

ROOT = str(Path(__file__).resolve().parents[1])
FUNCTION = "def f(x1, x2): return ({m}.sin(x1 / x2) + x1 / x2 - {m}.exp(x2)) * (x1 / x2 - {m}.exp(x2))\n"
OURS = "import adcompile, numpy as np\n" + FUNCTION.format(m="np")
JAX = 'import jax, jax.numpy as jnp\njax.config.update("jax_enable_x64", True)\n' + FUNCTION.format(m="jnp")
TORCH = "import torch\n" + FUNCTION.format(m="torch")
NUMBA = """import numba, math
@numba.njit(cache=True)
def gradient(x1, x2):
    v1 = x1 / x2
    v3 = math.exp(x2)
    v4 = v1 - v3
    v5 = math.sin(v1) + v4
    v4_bar = v5 + v4
    v1_bar = v4_bar + v4 * math.cos(v1)
    return v1_bar / x2, -v4_bar * v3 - v1_bar * v1 / x2
print(gradient(1.5, 0.5), flush=True)
"""

SCRIPTS = {
    "JAX jit": JAX + "print(jax.jit(jax.grad(f, (0, 1)))(1.5, 0.5), flush=True)\n",
    "adcompile llvm": OURS + "print(adcompile.grad(f, (0, 1))(1.5, 0.5), flush=True)\n",
    "adcompile numba": OURS + 'print(adcompile.grad(f, (0, 1), backend="numba")(1.5, 0.5), flush=True)\n',
    "adcompile python": OURS + 'print(adcompile.grad(f, (0, 1), backend="python")(1.5, 0.5), flush=True)\n',
    "PyTorch eager": TORCH
    + "x = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.5, 0.5)]\n"
    + "print(torch.autograd.grad(f(*x), x), flush=True)\n",
    "hand-written Numba": NUMBA,
    "import numpy (floor)": "import numpy\nprint(numpy.sin(1.5), flush=True)\n",
}
CACHED = ("adcompile llvm", "adcompile numba", "hand-written Numba")


def first_gradient(script: Path, cache: Path) -> float:
    """Seconds from the start of a process that runs ``script`` to the line it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"ADCOMPILE_CACHE_DIR": str(cache), "NUMBA_CACHE_DIR": str(cache)}
    environment |= {"PYTHONPYCACHEPREFIX": str(script.parent / "bytecode"), "PYTHONPATH": ROOT}
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - start
        errors = process.stderr.read()
    if not line:
        last = errors.strip().splitlines()[-1] if errors.strip() else "no output"
        raise RuntimeError("not installed" if last.startswith("ModuleNotFoundError") else f"fails: {last}")
    return taken


@dataclass(frozen=True)
class Fresh:
    """The workload that starts processes; it has the attributes and the method of `benchmarks.harness.Workload`."""

    name: str = "fresh"
    title: str = "fresh process to the first gradient of the lecture function"
    dtype: str = "float64"

    def run(self, repeat: int, skip: Sequence[str] = ()) -> list[Row]:
        """One row per competitor and state of its cache."""
        with tempfile.TemporaryDirectory() as folder:
            runs = [run for name in SCRIPTS if name not in skip for run in _runs(self, name, Path(folder))]
            for round in range(repeat):
                for run in runs:
                    run.take_turn(round)
            return [run.record() for run in runs]


@dataclass
class _Run:
    row: Row
    script: Path
    cold: bool
    times: list[float]

    def take_turn(self, round: int) -> None:
        if self.row.note:
            return
        cache = self.script.parent / (f"{self.script.stem}-{round}" if self.cold else f"{self.script.stem}-warm")
        try:
            if round == 0:
                first_gradient(self.script, cache.with_name(cache.name + "-untimed") if self.cold else cache)
            self.times.append(first_gradient(self.script, cache))
        except RuntimeError as error:
            self.row.note = str(error)

    def record(self) -> Row:
        if self.times:
            self.row.gradient_min, self.row.gradient_median = min(self.times), median(self.times)
        return self.row


def _runs(workload: Fresh, name: str, folder: Path) -> list[_Run]:
    script = folder / f"{name.replace(' ', '_')}.py"
    script.write_text(SCRIPTS[name])
    states = ((", cold", True), (", warm disk cache", False)) if name in CACHED else (("", True),)
    return [_Run(Row(workload.name, workload.dtype, name + label), script, cold, []) for label, cold in states]


WORKLOADS = (Fresh(),)

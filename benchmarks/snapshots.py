"""Memory and time of 100,000 Burgers steps with and without snapshots: ``python -m benchmarks.snapshots``.

Each variant runs in a process of its own, whose peak memory tells what a gradient needs over the compiled primal.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.burgers import data, solve
from benchmarks.harness import THREADS

CELLS, STEPS, ROUNDS = 128, 100_000, 3
SNAPSHOTS = (0, 10, 100, 1000, 5000)
"""How many; 0 stands for none, and everything recorded."""


def solve_with(snapshots: int):
    """`solve` with its time loop checkpointed."""
    import math

    from adcompile import checkpointed

    def solve(v0, target, steps, a, c):
        n = v0.shape[0]
        v = v0.copy()
        u = np.empty_like(v)
        for _ in checkpointed(range(steps), snapshots=snapshots):
            for i in range(n):
                left = v[i - 1] if i > 0 else v[n - 1]
                right = v[i + 1] if i < n - 1 else v[0]
                u[i] = v[i] + a * (left - 2.0 * v[i] + right)
            for i in range(n):
                position = i - u[i] * c
                cell = math.floor(position)
                w = position - cell
                j = int(cell) % n
                k = j + 1 if j < n - 1 else 0
                v[i] = (1.0 - w) * u[j] + w * u[k]
        total = 0.0
        for i in range(n):
            total += (v[i] - target[i]) ** 2
        return total * 2.0 / n

    return solve


def peak(run: Callable[[], Any]) -> float:
    """The most memory that the process has while something runs, in MB (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back first, or it would be used again unseen
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    run()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def adcompile_case(snapshots: int):
    """The gradient and the primal of our program."""
    import adcompile

    v0, target, a, c = data(CELLS)
    f = solve_with(snapshots) if snapshots else solve
    gradient, primal = adcompile.value_and_grad(f), adcompile.jit(f)
    gradient(v0, target, 3, a, c)
    return lambda: gradient(v0, target, STEPS, a, c), lambda: primal(v0, target, STEPS, a, c)


def jax_case():
    """The gradient and the primal of `lax.scan`, which records everything."""
    from benchmarks.burgers import jax_jit

    jax_jit(CELLS, 3).gradient()
    case = jax_jit(CELLS, STEPS)
    return case.gradient, case.primal


def child(variant: str) -> None:
    """Print time and memory of one variant."""
    gradient, primal = jax_case() if variant == "jax" else adcompile_case(int(variant))
    over = -peak(primal) + peak(gradient)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        gradient()
        times.append(time.perf_counter() - started)
    print(min(times), over)


def main() -> None:
    """The table."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(THREADS)}
    print("| 100,000 Burgers steps, N=128 | time | peak memory over the primal |\n|---|---|---|")
    for variant in (*map(str, SNAPSHOTS), "jax"):
        name = {"0": "adcompile, everything recorded", "jax": "JAX jit"}.get(variant, f"adcompile, {variant} snapshots")
        command = [sys.executable, "-m", "benchmarks.snapshots", variant]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | {done.stderr.strip().splitlines()[-1]} | |")
            continue
        seconds, megabytes = map(float, done.stdout.split())
        print(f"| {name} | {seconds:.3f} s | {megabytes:.1f} MB |", flush=True)


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()

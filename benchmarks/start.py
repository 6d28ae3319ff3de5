"""A fresh process for each competitor of a workload: how long to its first gradient after imports, and peak memory.

Twice, with the same cache folder: cold, it is empty; warm, the first process has filled it. The memory is the peak of
resident memory above what the process had before it built its case: compiler, arrays and tapes of two gradient calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Workload

MARK = "start: "
MODULES = {"adcompile": "adcompile", "JAX": "jax", "PyTorch": "torch", "hand-written": "numba"}
CACHES = ("ADCOMPILE_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "NUMBA_CACHE_DIR")


def add(rows: list[Row], environment: Mapping[str, str]) -> None:
    """Fill in the starts and the memory of the rows that have a gradient."""
    for row in rows:
        if row.gradient_min is None or row.cold_start is not None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            caches = {**dict.fromkeys(CACHES, folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            cold, warm = (_child(row, {**environment, **caches}) for _ in range(2))
        row.cold_start, row.memory, row.warm_start = cold["first"], warm["memory"], warm["first"]


def _child(row: Row, environment: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "--child", row.workload, "--start", row.competitor]
    done = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith(MARK))
    return json.loads(line.removeprefix(MARK))


def measure(workload: Workload, name: str) -> str:
    """What the child prints: seconds from a competitor's building to its first gradient, and bytes of memory."""
    competitor = next(c for c in workload.competitors if c.name == name)
    __import__(MODULES[name.split()[0]])
    before = _reset_peak()
    start = time.perf_counter()
    case = competitor.build()
    case.gradient()
    first = time.perf_counter() - start
    case.gradient()
    memory = _status("VmHWM") - before if before is not None else None
    return MARK + json.dumps({"first": first, "memory": memory})


def _reset_peak() -> int | None:
    """Forget the peak of resident memory so far; the resident memory now. None where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

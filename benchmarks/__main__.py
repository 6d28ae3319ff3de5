"""Runs the benchmarks: ``python -m benchmarks [--only NAME] [--json FILE] [--repeat N]``.

Every workload runs in a process of its own, on the same number of cores and threads for every competitor, because JAX's
float width is a setting of its process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import burgers, fresh, kernels, lecture, mlp, picture, report, start
from benchmarks.harness import THREADS, Row

WORKLOADS = {w.name: w for module in (lecture, mlp, fresh, burgers, kernels) for w in module.WORKLOADS}
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC")
MARK = "rows: "


def main() -> int:
    options = _options()
    if options.start:
        _limit_cores()
        print(start.measure(WORKLOADS[options.child], options.start))
        return 0
    if options.child:
        _limit_cores()
        rows = WORKLOADS[options.child].run(options.repeat)
        print(MARK + json.dumps([asdict(row) for row in rows]))
        return 0
    chosen = [name for name in WORKLOADS if options.only in name]
    if not chosen:
        print(f"no workload {options.only!r}; there are {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    about = report.facts()
    rows = [row for name in chosen for row in _measure(name, options.repeat)]
    about = report.finish(about)
    print(report.markdown(rows, about, options.repeat))
    if options.json:
        text = json.dumps(report.document(rows, about, options.repeat), indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.plot:
        Path(options.plot).write_text(picture.draw(rows), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare adcompile with its peers.")
    parser.add_argument("--only", default="", metavar="NAME", help=f"part of a name of: {', '.join(WORKLOADS)}")
    parser.add_argument("--json", metavar="FILE", help="write the rows, the machine and the versions to a file")
    parser.add_argument("--repeat", type=int, default=20, metavar="N", help="rounds (default 20)")
    parser.add_argument("--plot", metavar="FILE", help="draw the gradients' times beside JAX's as an SVG picture")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--start", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(name: str, repeat: int) -> list[Row]:
    """The rows of one workload, from a process with equal threads for everybody."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(THREADS))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    command = [sys.executable, "-m", "benchmarks", "--child", name, "--repeat", str(repeat)]
    print(f"{name}: {WORKLOADS[name].title} …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as empty:
        caches = dict.fromkeys(start.CACHES[::2], empty)
        done = subprocess.run(command, env={**environment, **caches}, stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith(MARK))
    rows = [Row(**row) for row in json.loads(line.removeprefix(MARK))]
    if name != "fresh":
        start.add(rows, environment)
    return rows


def _limit_cores() -> None:
    """Keep this process to as many cores as everybody has threads, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


if __name__ == "__main__":
    sys.exit(main())

"""Rows to one Markdown table, and to JSON with the machine, the versions and the date they were measured with."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import THREADS, Row

PACKAGES = ("adcompile", "numpy", "scipy", "llvmlite", "numba", "jax", "jaxlib", "torch")
COLUMNS = (
    "workload",
    "competitor",
    "compile",
    "cold / warm start",
    "primal min / median",
    "gradient min / median",
    "gradient / primal",
    "time / JAX time",
    "memory",
    "note",
)


def finish(about: Mapping[str, Any]) -> dict[str, Any]:
    """The facts taken before the measurement, with what became of source and load meanwhile."""
    return {**about, "changed": digest() != about["source"], "load_after": load()}


def facts() -> dict[str, Any]:
    """Machine, versions and date, taken before the measurement."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "source": digest(),
        "load": load(),
    }


def digest() -> str:
    """A hash of adcompile's source: rows measured with different ones do not belong in one table."""
    folder = Path(__file__).resolve().parents[1] / "adcompile"
    content = b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(content).hexdigest()[:12]


def load() -> float | None:
    """How many processes wanted to run over the last minute: above the threads of a row, its median is disturbed."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def document(rows: Sequence[Row], about: Mapping[str, Any], repeat: int) -> dict[str, Any]:
    """What goes into the JSON file."""
    return {**about, "repeat": repeat, "unit": "seconds", "rows": [asdict(row) for row in rows]}


def markdown(rows: Sequence[Row], about: Mapping[str, Any], repeat: int) -> str:
    """The table, after a paragraph that says how it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    head = [
        f"Measured {about['date']} on {about['processor']}, {about['cores']} cores, {about['threads']} threads each.",
        f"Python {about['python']}; {versions}.",
        f"Source of adcompile {about['source']}; load before {about['load']}, after {about['load_after']}.",
        f"Minimum / median of {repeat} rounds, competitors in turn; compile is the first gradient call minus",
        "a later one (for JAX: trace, lower and compile), without imports, the disk cache empty.",
        "Starts are from the end of imports to the first gradient in a fresh process, the disk cache empty and filled;",
        "memory is the peak of that process above what its imports took.",
        *(
            ["**The source changed during the measurement: rows are of different versions.**"]
            if about["changed"]
            else []
        ),
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
    ]
    body = ["| " + " | ".join(_cells(row, rows)) + " |" for row in rows]
    return "\n".join([*head, *body, "", *summary(rows)])


def summary(rows: Sequence[Row]) -> list[str]:
    """The geometric means over the kernels, and over all workloads that JAX takes part in, of the llvm backend."""
    ours = [r for r in rows if r.competitor == "adcompile llvm" and r.gradient_min]
    kernels = [r for r in ours if r.workload.startswith("kernel-")]
    speedups = [(_jax(r, rows) or 0.0) / r.gradient_median for r in kernels if r.gradient_median and _jax(r, rows)]
    ratios = [r.gradient_min / r.primal_min for r in kernels if r.gradient_min and r.primal_min]
    compiles = [r.compile / other for r in ours if r.compile and (other := _jax(r, rows, "compile"))]
    named = {
        "gradient of the kernels, times as fast as JAX": speedups,
        "gradient / primal of the kernels": ratios,
        "compile time / JAX's": compiles,
    }
    return [
        f"- {name}: geometric mean {geometric_mean(v):.2f} of {len(v)}, from {min(v):.2f} to {max(v):.2f}"
        for name, v in named.items()
        if v
    ]


def geometric_mean(values: Sequence[float]) -> float:
    """The exponential of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    return [
        f"{row.workload} {row.dtype}" if row.dtype not in row.workload else row.workload,
        row.competitor,
        seconds(row.compile),
        _pair(row.cold_start, row.warm_start),
        _pair(row.primal_min, row.primal_median),
        _pair(row.gradient_min, row.gradient_median),
        _ratio(row.gradient_min, row.primal_min),
        _ratio(row.gradient_median, _jax(row, rows)),
        f"{row.memory / 2**20:.0f} MiB" if row.memory is not None else "–",
        row.note.replace("|", "\\|"),
    ]


def _jax(row: Row, rows: Sequence[Row], field: str = "gradient_median") -> float | None:
    same = [r for r in rows if r.workload == row.workload and r.competitor.startswith("JAX")]
    return getattr(same[0], field) if same else None


def _pair(one: float | None, other: float | None) -> str:
    return "–" if one is None else f"{seconds(one)} / {seconds(other)}"


def _ratio(above: float | None, below: float | None) -> str:
    return "–" if above is None or below is None else f"{above / below:.2f}"


def seconds(value: float | None) -> str:
    """A time with three digits and its unit."""
    if value is None:
        return "–"
    scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e3, "ms")) if value * s >= 1.0), (1e6, "µs"))
    return f"{value * scale:.3g} {unit}" if value * scale < 1000 else f"{value * scale:.0f} {unit}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())

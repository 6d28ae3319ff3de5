"""Times competitors on one workload: agreement first, then rounds in which every competitor takes its turn.

Input: a `Workload`, whose competitors are built in one process. Output: one `Row` per competitor and nothing hidden: a
competitor that is not installed or fails keeps a row with a note. Before any timing, all values and gradients agree.

Turns start after a pause and one untimed call, because thread pools of BLAS and OpenMP spin for milliseconds after
their last use and would be charged to the next competitor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

THREADS = 2
SHORTEST_LOOP = 5e-3
LONGEST_TOTAL = 20.0
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


@dataclass(frozen=True)
class Case:
    """An implementation ready to be called; ``gradient`` returns the gradient, or the value and the gradient."""

    gradient: Callable[[], Any]
    primal: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Competitor:
    """A name and how to build its case; an ImportError of ``build`` means that it is not installed."""

    name: str
    build: Callable[[], Case]


@dataclass
class Row:
    """What one competitor took, in seconds and bytes; None where it was not measured."""

    workload: str
    dtype: str
    competitor: str
    compile: float | None = None
    primal_min: float | None = None
    primal_median: float | None = None
    gradient_min: float | None = None
    gradient_median: float | None = None
    cold_start: float | None = None
    warm_start: float | None = None
    memory: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Workload:
    """A computation, its dtype, and everybody who does it; ``pause`` is slept before each turn."""

    name: str
    title: str
    dtype: str
    competitors: tuple[Competitor, ...]
    pause: float = 0.0

    def run(self, repeat: int, skip: Sequence[str] = ()) -> list[Row]:
        """One row per competitor whose name is not in ``skip``, timed over ``repeat`` rounds."""
        contestants = [_enter(self, c) for c in self.competitors if c.name not in skip]
        running = [c for c in contestants if c.case]
        _agree(running, TOLERANCES[self.dtype])
        slots = [_Slot(c, kind, f) for c in running for kind, f in c.calls()]
        for slot in slots:
            slot.calibrate()
        for _ in range(repeat):
            for slot in slots:
                time.sleep(self.pause)
                slot.take_turn()
        for slot in slots:
            slot.record(repeat)
        return [c.row for c in contestants]


@dataclass
class _Contestant:
    row: Row
    case: Case | None = None
    first: float = 0.0
    answers: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def calls(self) -> list[tuple[str, Callable[[], Any]]]:
        assert self.case is not None
        primal = [("primal", self.case.primal)] if self.case.primal else []
        return [*primal, ("gradient", self.case.gradient)]


@dataclass
class _Slot:
    """One function that is timed, and its times per call."""

    contestant: _Contestant
    kind: str
    function: Callable[[], Any]
    count: int = 1
    times: list[float] = field(default_factory=list)

    def calibrate(self) -> None:
        while (taken := _loop(self.function, self.count)) < SHORTEST_LOOP:
            self.count = max(2 * self.count, int(1.2 * self.count * SHORTEST_LOOP / max(taken, 1e-9)))

    def take_turn(self) -> None:
        """One more time, unless the earlier ones already took too long together."""
        if sum(self.times) * self.count > LONGEST_TOTAL:
            return
        self.function()
        self.times.append(_loop(self.function, self.count) / self.count)

    def record(self, repeat: int) -> None:
        row = self.contestant.row
        if len(self.times) < repeat:
            row.note += f"{self.kind}: {len(self.times)} rounds. "
        setattr(row, f"{self.kind}_min", min(self.times))
        setattr(row, f"{self.kind}_median", statistics.median(self.times))
        if self.kind == "gradient":
            row.compile = max(self.contestant.first - min(self.times), 0.0)


def _loop(function: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        function()
    return time.perf_counter() - start


def _enter(workload: Workload, competitor: Competitor) -> _Contestant:
    """Build a competitor and call it once; what keeps it from running becomes the note of its row."""
    contestant = _Contestant(Row(workload.name, workload.dtype, competitor.name))
    try:
        case = competitor.build()
        start = time.perf_counter()
        answer = case.gradient()
        contestant.first = time.perf_counter() - start
        contestant.answers["gradient"] = flat(answer)
        if case.primal:
            contestant.answers["primal"] = flat(case.primal())
        contestant.case = case
    except ImportError as error:
        contestant.row.note = f"not installed: {error}"
    except Exception as error:
        contestant.row.note = f"fails: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return contestant


def flat(answer: Any) -> list[np.ndarray]:
    """The arrays in nested tuples and lists of NumPy, JAX or PyTorch numbers."""
    if isinstance(answer, tuple | list):
        return [array for part in answer for array in flat(part)]
    return [np.asarray(answer.detach() if hasattr(answer, "detach") else answer)]


def _agree(contestants: Sequence[_Contestant], rtol: float) -> None:
    """Raise AssertionError unless everybody has the same values and gradients, relative to the largest entry."""
    for kind in ("primal", "gradient"):
        answered = [c for c in contestants if kind in c.answers]
        for other in answered[1:]:
            pairs = zip(answered[0].answers[kind], other.answers[kind], strict=True)
            for expected, found in pairs:
                names = f"{kind}: {answered[0].row.competitor} (expected), {other.row.competitor} (found)"
                atol = rtol * float(np.max(np.abs(expected), initial=0.0))
                np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=names)

"""Rows to a picture: for every workload, how many times as fast as JAX each competitor's gradient is (SVG)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.harness import Row

COLOURS = {"adcompile llvm": "#3f51b5", "adcompile numba": "#9fa8da", "PyTorch eager": "#ef6c00"}
LEFT, WIDTH, LINE = 190, 460, 13
LOW, HIGH = 0.01, 100.0


def draw(rows: Sequence[Row]) -> str:
    """A bar for each row that JAX has a row beside, on a logarithmic axis; 1 is JAX."""
    groups = [(name, bars) for name in dict.fromkeys(r.workload for r in rows) if (bars := _bars(name, rows))]
    parts, y = _axis(), 40
    for name, bars in groups:
        parts.append(_text(LEFT - 8, y + LINE * len(bars) / 2 + 4, name, "end"))
        for competitor, times in bars:
            start, end = sorted((_place(1.0), _place(times)))
            box = f'x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{LINE - 3}"'
            parts.append(f'<rect {box} fill="{COLOURS[competitor]}"/>')
            parts.append(_text(max(end, _place(1.0)) + 4, y + LINE - 4, f"{times:.3g}", "start"))
            y += LINE
        y += 6
    parts.append(_line(_place(1.0), y, "#000"))
    size = f'width="{LEFT + WIDTH + 140}" height="{y + 10}"'
    style = 'font-family="sans-serif" font-size="11"'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', background, *parts, "</svg>", ""])


def _bars(workload: str, rows: Sequence[Row]) -> list[tuple[str, float]]:
    """The competitors of a workload with how many times as fast as JAX they are."""
    same = [r for r in rows if r.workload == workload and r.gradient_median]
    jax = next((r.gradient_median for r in same if r.competitor.startswith("JAX")), None)
    if jax is None:
        return []
    return [(r.competitor, jax / r.gradient_median) for r in same if r.competitor in COLOURS and r.gradient_median]


def _place(times: float) -> float:
    part = math.log(min(max(times, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + WIDTH * part


def _axis() -> list[str]:
    parts = [_text(LEFT, 14, "gradient: times as fast as JAX jit (logarithmic)", "start")]
    for k, (name, colour) in enumerate(COLOURS.items()):
        x = LEFT + 280 + 110 * k
        parts.append(f'<rect x="{x - 12}" y="5" width="9" height="9" fill="{colour}"/>')
        parts.append(_text(x, 14, name, "start"))
    return parts + [_text(_place(t), 32, f"{t:g}", "middle") for t in (0.01, 0.1, 1.0, 10.0, 100.0)]


def _line(x: float, bottom: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{bottom}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

"""A laid-out graph as SVG text, or as a PNG file through matplotlib: the same shapes twice."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adcompile.errors import InvalidArgument

if TYPE_CHECKING:
    from adcompile.inspect.graph import Graph, Node

Point = tuple[float, float]
MARGIN, RADIUS, LETTER = 14.0, 21.0, 6.6
HEAD = 7.0
FAN = math.radians(38)


@dataclass(frozen=True)
class Look:
    """The colours of a kind of node."""

    fill: str
    line: str


LOOKS = {
    "input": Look("#dcebfa", "#2f6fab"),
    "value": Look("#ffffff", "#444444"),
    "control": Look("#f3eefb", "#6b4fa0"),
    "output": Look("#fde7d3", "#c0661a"),
}
LINE, FAINT = "#555555", "#8a4b08"


def size(node: Node) -> Point:
    """Width and height of a node."""
    longest = max(len(node.name), len(node.operator) * 0.9)
    return max(2 * RADIUS, longest * LETTER + 22), 2 * RADIUS


@dataclass(frozen=True)
class Curve:
    """A chain of cubic Bézier segments: a start, then three points each; an arrowhead at the end."""

    start: Point
    segments: tuple[tuple[Point, Point, Point], ...]

    @property
    def head(self) -> tuple[Point, Point, Point]:
        """The triangle of the arrowhead."""
        _, (cx, cy), (x, y) = self.segments[-1]
        length = math.hypot(x - cx, y - cy) or 1.0
        ux, uy = (x - cx) / length, (y - cy) / length
        bx, by = x - HEAD * ux, y - HEAD * uy
        return (x, y), (bx - HEAD * uy / 2.4, by + HEAD * ux / 2.4), (bx + HEAD * uy / 2.4, by - HEAD * ux / 2.4)


def curves(graph: Graph) -> Iterator[Curve]:
    """The edges from rim to rim, fanned out where several meet at a node."""
    layout = graph.layout
    leaving, entering = _ports(graph, 0), _ports(graph, 1)
    for k, route in enumerate(layout.routes):
        points = [leaving[k], *route[1:-1], entering[k]]
        segments = []
        for (x1, y1), (x2, y2) in pairwise(points):
            bend = (x2 - x1) * 0.45
            segments.append(((x1 + bend, y1), (x2 - bend, y2), (x2, y2)))
        yield Curve(points[0], tuple(segments))


def _ports(graph: Graph, end: int) -> dict[int, Point]:
    """Where each edge leaves (``end`` 0) or enters (1) its node: on the rim, in the order of where it goes."""
    layout = graph.layout
    ports: dict[int, Point] = {}
    for node, (x, y) in enumerate(layout.centres):
        mine = [k for k, edge in enumerate(graph.edges) if edge[end] == node]
        mine.sort(key=lambda k: layout.routes[k][-2 if end else 1][1])
        rx, ry = (s / 2 for s in size(graph.nodes[node]))
        for rank, k in enumerate(mine):
            angle = FAN * (2 * rank / (len(mine) - 1) - 1) if len(mine) > 1 else 0.0
            out = rx if graph.nodes[node].kind == "control" else rx * math.cos(angle)
            ports[k] = (x - out if end else x + out, y + ry * math.sin(angle))
    return ports


# -- SVG --------------------------------------------------------------------------------------------------------


def svg(graph: Graph) -> str:
    """The SVG document of a graph."""
    width, height = graph.layout.width + 2 * MARGIN, graph.layout.height + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-MARGIN:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif">',
        f"<title>{html.escape(graph.name)}</title>",
        *map(_svg_curve, curves(graph)),
        *(_svg_node(node, at) for node, at in zip(graph.nodes, graph.layout.centres, strict=True)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _xy(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _svg_curve(curve: Curve) -> str:
    path = " ".join(f"C {_xy(a)} {_xy(b)} {_xy(c)}" for a, b, c in curve.segments)
    return (
        f'<path d="M {_xy(curve.start)} {path}" fill="none" stroke="{LINE}" stroke-width="1.2"/>'
        f'<polygon points="{" ".join(map(_xy, curve.head))}" fill="{LINE}"/>'
    )


def _svg_node(node: Node, at: Point) -> str:
    x, y = at
    (width, height), look = size(node), LOOKS[node.kind]
    paint = f'fill="{look.fill}" stroke="{look.line}" stroke-width="1.4"'
    if node.kind == "control":
        shape = (
            f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="5" {paint}/>'
        )
    else:
        shape = f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{width / 2:.1f}" ry="{height / 2:.1f}" {paint}/>'
    parts = [f"<g><title>{html.escape(node.title)}</title>", shape]
    letter, number = _subscripted(node.name)
    below = f'<tspan dy="3" font-size="10">{number}</tspan>' if number else ""
    style = 'font-style="italic" ' if number else ""
    parts.append(
        f'<text x="{x:.1f}" y="{y + (0 if node.operator else 5):.1f}" text-anchor="middle" font-size="14" '
        f"{style}>{html.escape(letter)}{below}</text>"
    )
    if node.operator:
        parts.append(
            f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle" font-size="11" fill="{FAINT}">'
            f"{html.escape(node.operator)}</text>"
        )
    return "".join([*parts, "</g>"])


def _subscripted(name: str) -> tuple[str, str]:
    """``v12`` as v and 12; any other name in one piece."""
    match = re.fullmatch(r"([A-Za-z])(\d+)", name)
    return (match[1], match[2]) if match else (name, "")


# -- PNG --------------------------------------------------------------------------------------------------------


def png(graph: Graph, path: Path) -> None:
    """Draw a graph with matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidArgument("a .png needs matplotlib", remedy="Install matplotlib, or save as .svg.") from error
    width, height = graph.layout.width + 2 * MARGIN, graph.layout.height + 2 * MARGIN
    figure = Figure(figsize=(width / 72, height / 72), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-MARGIN, width - MARGIN)
    axes.set_ylim(height - MARGIN, -MARGIN)
    axes.set_axis_off()
    for curve in curves(graph):
        _draw_curve(axes, curve)
    for node, at in zip(graph.nodes, graph.layout.centres, strict=True):
        _draw_node(axes, node, at)
    figure.savefig(path, metadata={"Software": None})


def _draw_curve(axes: Any, curve: Curve) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Outline

    points = [curve.start, *(p for segment in curve.segments for p in segment)]
    codes = [Outline.MOVETO, *[Outline.CURVE4] * (len(points) - 1)]
    axes.add_patch(PathPatch(Outline(points, codes), fill=False, edgecolor=LINE, linewidth=1.1))
    axes.add_patch(Polygon(curve.head, closed=True, color=LINE))


def _draw_node(axes: Any, node: Node, at: Point) -> None:
    from matplotlib.patches import Ellipse, FancyBboxPatch

    (width, height), look = size(node), LOOKS[node.kind]
    colours = {"facecolor": look.fill, "edgecolor": look.line, "linewidth": 1.3}
    corner = (at[0] - width / 2, at[1] - height / 2)
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=5", **colours)
    axes.add_patch(box if node.kind == "control" else Ellipse(at, width, height, **colours))
    letter, number = _subscripted(node.name)
    words = f"${letter}_{{{number}}}$" if number else letter.replace("$", r"\$")
    shift = 4 if node.operator else 0
    axes.text(at[0], at[1] - shift, words, ha="center", va="center", fontsize=12)
    if node.operator:
        axes.text(
            at[0], at[1] + 10, node.operator.replace("$", r"\$"), ha="center", va="center", fontsize=8.5, color=FAINT
        )

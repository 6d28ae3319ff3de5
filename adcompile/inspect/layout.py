"""Layered drawing of a directed acyclic graph: Sugiyama, Tagawa & Toda (1981), in a form that suits small graphs.

Layers by longest path; an edge over several layers goes through a bend in each; orders by barycentres, the one with the
fewest crossings kept; heights by pulling every node to the mean of its neighbours while those of a layer keep their
distance (isotonic regression). Deterministic: ties keep the order of the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_X, GAP_Y, BEND = 46.0, 22.0, 16.0
SWEEPS = 24

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Centres of nodes; for each edge the points it goes through, centre to centre; the size of the whole."""

    centres: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def lay_out(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place nodes of given width and height, sources on the left."""
    if not sizes:
        return Layout((), (), 0.0, 0.0)
    layer = _layers(len(sizes), edges)
    chains, layer = _chains(layer, edges)
    layers: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node, k in enumerate(layer):
        layers[k].append(node)
    ahead, behind = _neighbours(len(layer), chains)
    layers = _ordered(layers, ahead, behind)
    heights = [sizes[n][1] if n < len(sizes) else BEND for n in range(len(layer))]
    y = _heights(layers, ahead, behind, heights)
    x = _columns(layers, sizes)
    low = min(y[n] - heights[n] / 2 for n in range(len(layer)))
    points = [(x[layer[n]], y[n] - low) for n in range(len(layer))]
    last = max((x[layer[n]] + sizes[n][0] / 2 for n in range(len(sizes))), default=0.0)
    tall = max(points[n][1] + heights[n] / 2 for n in range(len(layer)))
    return Layout(tuple(points[: len(sizes)]), tuple(tuple(points[n] for n in chain) for chain in chains), last, tall)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path to each node (edges go from lower to higher positions); what nothing reads goes to the right."""
    layer = [0] * count
    for a, b in sorted(edges, key=lambda e: e[1]):
        layer[b] = max(layer[b], layer[a] + 1)
    read = {a for a, _ in edges}
    return [k if k == 0 or n in read else max(layer) for n, k in enumerate(layer)]


def _chains(layer: Sequence[int], edges: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[int]]:
    """Each edge as nodes of neighbouring layers, with new nodes for its bends."""
    grown, chains = list(layer), []
    for a, b in edges:
        bends = range(layer[a] + 1, layer[b])
        chains.append([a, *range(len(grown), len(grown) + len(bends)), b])
        grown += bends
    return chains, grown


def _neighbours(count: int, chains: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    ahead: list[list[int]] = [[] for _ in range(count)]
    behind: list[list[int]] = [[] for _ in range(count)]
    for chain in chains:
        for a, b in pairwise(chain):
            ahead[a].append(b)
            behind[b].append(a)
    return ahead, behind


# -- order within layers ----------------------------------------------------------------------------------------


def _ordered(layers: list[list[int]], ahead: list[list[int]], behind: list[list[int]]) -> list[list[int]]:
    best, fewest = layers, _crossings(layers, ahead)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        layers = _sweep(layers, behind if forth else ahead, forth)
        found = _crossings(layers, ahead)
        if found < fewest:
            best, fewest = layers, found
    return best


def _sweep(layers: list[list[int]], neighbours: list[list[int]], forth: bool) -> list[list[int]]:
    """Order each layer by the mean position of its nodes' neighbours in the layer before it."""
    place = {n: float(k) for layer in layers for k, n in enumerate(layer)}
    result = [list(layer) for layer in layers]
    for k in range(len(layers)) if forth else reversed(range(len(layers))):
        mean = {
            n: sum(place[m] for m in neighbours[n]) / len(neighbours[n]) if neighbours[n] else place[n]
            for n in result[k]
        }
        result[k].sort(key=lambda n: mean[n])
        place.update({n: float(position) for position, n in enumerate(result[k])})
    return result


def _crossings(layers: Sequence[Sequence[int]], ahead: Sequence[Sequence[int]]) -> int:
    place = {n: k for layer in layers for k, n in enumerate(layer)}
    total = 0
    for layer in layers:
        lines = [(place[a], place[b]) for a in layer for b in ahead[a]]
        total += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(lines) for c, d in lines[:i])
    return total


# -- coordinates ------------------------------------------------------------------------------------------------


def _columns(layers: Sequence[Sequence[int]], sizes: Sequence[Point]) -> list[float]:
    """The horizontal centre of each layer."""
    widths = [max((sizes[n][0] for n in layer if n < len(sizes)), default=0.0) for layer in layers]
    centres, edge = [], 0.0
    for width in widths:
        centres.append(edge + width / 2)
        edge += width + GAP_X
    return centres


def _heights(
    layers: Sequence[Sequence[int]], ahead: list[list[int]], behind: list[list[int]], heights: Sequence[float]
) -> list[float]:
    """The vertical centre of each node."""
    y = [0.0] * len(heights)
    for layer in layers:
        _spread(layer, y, [0.0] * len(layer), heights)
    for sweep in range(SWEEPS):
        neighbours = behind if sweep % 2 == 0 else ahead
        if sweep >= SWEEPS - 4:
            neighbours = [a + b for a, b in zip(ahead, behind, strict=True)]
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = [sum(y[m] for m in neighbours[n]) / len(neighbours[n]) if neighbours[n] else y[n] for n in layer]
            _spread(layer, y, wanted, heights)
    return y


def _spread(layer: Sequence[int], y: list[float], wanted: Sequence[float], heights: Sequence[float]) -> None:
    """The heights nearest to the wanted ones, in least squares, in which neighbours keep their distance."""
    offsets = [0.0]
    for a, b in pairwise(layer):
        offsets.append(offsets[-1] + (heights[a] + heights[b]) / 2 + GAP_Y)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            more, size = pools.pop()
            total, count = total + more, count + size
        pools.append((total, count))
    levels = [total / count for total, count in pools for _ in range(count)]
    for node, level, offset in zip(layer, levels, offsets, strict=True):
        y[node] = level + offset

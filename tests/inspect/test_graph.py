"""Graphs: the nodes and edges of the lecture, well-formed files, and drawings in which nothing overlaps."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

import adcompile
from adcompile.errors import InvalidArgument
from adcompile.inspect import drawing
from tests.inspect.programs import branch, lecture, network, network_arguments, newton, powers, several, stores

GRAPHS = {
    "lecture": adcompile.jit(lecture).graph(1.5, 0.5),
    "gradient": adcompile.jit(adcompile.grad(lecture, (0, 1))).graph(1.5, 0.5),
    "network": adcompile.grad(network).graph(*network_arguments()),
    "powers": adcompile.jit(powers).graph(0.5, 4),
    "branch": adcompile.jit(branch).graph(0.5),
    "newton": adcompile.jit(newton).graph(2.0),
    "stores": adcompile.jit(stores).graph(np.ones(3)),
    "several": adcompile.jit(several).graph(2.0, 3),
    "itself": adcompile.jit(lambda x: x).graph(2.0),
    "square": adcompile.jit(lambda x: x * x).graph(2.0),
    "no inputs": adcompile.jit(lambda: 2.0).graph(),
}
every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=list(GRAPHS))


def test_lecture():
    graph = GRAPHS["lecture"]
    assert [(n.name, n.operator) for n in graph.nodes] == [
        ("x1", ""), ("x2", ""), ("v1", "/"), ("v2", "sin"), ("v3", "exp"), ("v4", "-"), ("v5", "+"), ("v6", "*"),
        ("y", ""),
    ]  # fmt: skip
    names = [(graph.nodes[a].name, graph.nodes[b].name) for a, b in graph.edges]
    assert names == [
        ("x1", "v1"), ("x2", "v1"), ("v1", "v2"), ("x2", "v3"), ("v1", "v4"), ("v3", "v4"), ("v2", "v5"), ("v4", "v5"),
        ("v5", "v6"), ("v4", "v6"), ("v6", "y"),
    ]  # fmt: skip


def test_sizes_and_numbers_are_words():
    graph = GRAPHS["network"]
    operators = [n.operator for n in graph.nodes]
    assert "** 2" in operators
    assert "/ …" in operators and "dim" not in operators
    assert any(n.title.endswith(" / (x.shape[0] * w2.shape[1])") for n in graph.nodes)


def test_operand_used_twice_has_two_edges():
    assert GRAPHS["square"].edges[:2] == ((0, 1), (0, 1))


@every_graph
def test_dot(graph):
    text = graph.dot
    assert text.startswith(f'digraph "{graph.name}" {{') and text.endswith("}\n")
    assert len(re.findall(r"^  n\d+ \[", text, re.M)) == len(graph.nodes)
    assert len(re.findall(r"^  n\d+ -> n\d+;$", text, re.M)) == len(graph.edges)


@every_graph
def test_svg(graph):
    root = ElementTree.fromstring(graph.svg)
    space = {"s": "http://www.w3.org/2000/svg"}
    assert len(root.findall("s:g", space)) == len(graph.nodes)
    assert len(root.findall("s:path", space)) == len(graph.edges)
    assert graph._repr_svg_() == graph.svg


@every_graph
def test_nothing_overlaps_and_edges_go_right(graph):
    layout = graph.layout
    boxes = [(x, y, *drawing.size(n)) for n, (x, y) in zip(graph.nodes, layout.centres, strict=True)]
    for k, (x, y, width, height) in enumerate(boxes):
        assert x - width / 2 >= -1e-9 and x + width / 2 <= layout.width + 1e-9
        assert y - height / 2 >= -1e-9 and y + height / 2 <= layout.height + 1e-9
        for x2, y2, width2, height2 in boxes[:k]:
            assert abs(x - x2) >= (width + width2) / 2 or abs(y - y2) >= (height + height2) / 2
    for route in layout.routes:
        assert all(a[0] < b[0] for a, b in pairwise(route))


def test_inputs_left_and_outputs_right():
    for graph in (GRAPHS["lecture"], GRAPHS["gradient"], GRAPHS["several"], GRAPHS["network"]):
        place = {
            kind: {graph.layout.centres[k][0] for k, n in enumerate(graph.nodes) if n.kind == kind}
            for kind in ("input", "output")
        }
        assert len(place["input"]) == len(place["output"]) == 1
        assert max(place["input"]) < min(place["output"])


def test_save(tmp_path):
    graph = GRAPHS["lecture"]
    assert graph.save(tmp_path / "a.svg").read_text(encoding="utf-8") == graph.svg
    assert graph.save(str(tmp_path / "a.dot")).read_text(encoding="utf-8") == graph.dot
    with pytest.raises(InvalidArgument, match=r"a\.txt"):
        graph.save(tmp_path / "a.txt")


@every_graph
def test_save_png(graph, tmp_path):
    pytest.importorskip("matplotlib")
    first, second = (graph.save(tmp_path / f"{k}.png").read_bytes() for k in "ab")
    assert first.startswith(b"\x89PNG") and first == second

"""The computational graph of a function: one node per equation, inputs on the left, results on the right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from adcompile.errors import InvalidArgument
from adcompile.inspect import drawing
from adcompile.inspect.expressions import Speller
from adcompile.inspect.labels import label
from adcompile.inspect.layout import Layout, lay_out
from adcompile.inspect.subject import Subject
from adcompile.ir import Atom, Block, Const, Eqn, Scalar, Value
from adcompile.ir.core import eqn_inputs
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.evaluate import spell
from adcompile.transform.simplify import drop_dead

LONGEST = 16
"""Operands without a node are left out of a node's words where they are longer; its title has them."""


@dataclass(frozen=True)
class Node:
    """A circle: ``kind`` is input, value, control (a loop or branch) or output; ``title`` is the whole equation."""

    name: str
    operator: str
    kind: str
    title: str


@dataclass(frozen=True)
class Graph:
    """A computational graph; ``edges`` are pairs of positions of ``nodes``, an operand used twice has two.

    Attributes
    ----------
    dot : the graph in Graphviz' language.
    svg : the drawing, made without Graphviz; a notebook shows it.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    @cached_property
    def layout(self) -> Layout:
        """Where nodes and edges lie."""
        return lay_out([drawing.size(n) for n in self.nodes], self.edges)

    @property
    def dot(self) -> str:
        """The text for Graphviz."""
        lines = [f'digraph "{self.name}" {{', "  rankdir=LR;", '  node [fontname="Helvetica", style=filled];']
        for k, node in enumerate(self.nodes):
            words = _quoted("\n".join(filter(None, (node.name, node.operator))))
            look = drawing.LOOKS[node.kind]
            shape = "box" if node.kind == "control" else "ellipse"
            lines.append(
                f'  n{k} [label={words}, shape={shape}, fillcolor="{look.fill}", color="{look.line}", '
                f"tooltip={_quoted(node.title)}];"
            )
        lines += [f"  n{a} -> n{b};" for a, b in self.edges]
        return "\n".join([*lines, "}"]) + "\n"

    @property
    def svg(self) -> str:
        """The drawing as an SVG document."""
        return drawing.svg(self)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the graph to a file, as its suffix says.

        Parameters
        ----------
        path : str or Path
            Ends in .svg, .dot or .png; the last needs matplotlib.

        Returns
        -------
        Path

        Raises
        ------
        InvalidArgument
            For any other suffix.
        """
        path = Path(path)
        if path.suffix == ".png":
            drawing.png(self, path)
        elif path.suffix in (".svg", ".dot"):
            path.write_text(self.svg if path.suffix == ".svg" else self.dot, encoding="utf-8")
        else:
            raise InvalidArgument(f"cannot save a graph as {path.name!r}", remedy="Use .svg, .dot or .png.")
        return path


def graph(subject: Subject) -> Graph:
    """The graph of the function of a subject."""
    return _Grapher(subject.primal.block).build(subject.primal.name)


class _Grapher:
    """Nodes for the equations that matter; sizes and numbers are words in the operators that use them."""

    def __init__(self, block: Block):
        self.block = block
        self.names = label(block)
        self.definitions = {o: eqn for eqn in block.eqns for o in eqn.outs}
        self.speller = Speller(lambda a: self.definitions.get(a) if isinstance(a, Value) else None, self.names)
        self.nodes: list[Node] = []
        self.edges: list[tuple[int, int]] = []
        self.place: dict[Value, int] = {}

    def build(self, name: str) -> Graph:
        for param in self.block.params:
            self.place[param] = self._node(Node(self.names[param], "", "input", f"{self.names[param]}: {param.type}"))
        for eqn in drop_dead(self.block).eqns:
            if self._is_size(eqn):
                for out in eqn.outs:
                    del self.names[out]  # written out wherever it is used
            elif eqn.outs:
                self._equation(eqn)
        self._results()
        return Graph(name, tuple(self.nodes), tuple(self.edges))

    def _node(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _is_size(self, eqn: Eqn) -> bool:
        """Whether an equation only computes with array sizes."""
        whole = all(isinstance(o.type, Scalar) and o.type.dtype == "int64" for o in eqn.outs)
        return eqn.op == "dim" or (
            whole and not eqn.regions and not any(isinstance(a, Value) and a in self.place for a in eqn.args)
        )

    def _equation(self, eqn: Eqn) -> None:
        names = ", ".join(self.names[o] for o in eqn.outs)
        if eqn.regions and eqn.op in ("if", "loop", "while"):
            node, inputs = Node(names, eqn.op, "control", f"{names} = {eqn.op}"), eqn_inputs(eqn)
        else:
            node = Node(names, self._operator(eqn), "value", f"{names} = {self.speller.equation(eqn)}")
            inputs = [a for a in eqn.args if isinstance(a, Value)]
        position = self._node(node)
        self.edges += [(self.place[a], position) for a in inputs if a in self.place]
        self.place.update(dict.fromkeys(eqn.outs, position))

    def _operator(self, eqn: Eqn) -> str:
        """What a node does to its operands: ``*``, ``sin``, ``** 2``, ``[0]``."""
        if eqn.op not in PRIMITIVES:
            return eqn.attrs.get("name", eqn.op)
        infix = PRIMITIVES[eqn.op].infix
        words = [self._word(a) for a in eqn.args]
        if infix is not None and len(words) == 2:
            return " ".join(filter(None, (words[0], infix[0], words[1])))
        if infix is not None:
            return infix[0]
        if eqn.op == "index":
            return spell(eqn, ["", *(w or "…" for w in words[1:])])
        return eqn.op

    def _word(self, atom: Atom) -> str:
        """The text of an operand that has no node."""
        if isinstance(atom, Const):
            return repr(atom.value)
        if atom in self.place:
            return ""
        text = self.speller.operand(atom)
        return text if len(text) <= LONGEST else "…"

    def _results(self) -> None:
        """Results that the user named are outputs themselves; the others get a node ``y``."""
        results: Sequence[Atom] = self.block.results
        for k, result in enumerate(results):
            if not isinstance(result, Value) or result not in self.place:
                continue
            at = self.place[result]
            node = self.nodes[at]
            if node.kind == "value" and not re.fullmatch(r"v\d+", node.name):
                self.nodes[at] = Node(node.name, node.operator, "output", node.title)
                continue
            base = "y" if "y" not in self.names.values() else "out"
            name = base if len(results) == 1 else f"{base}{k + 1}"
            self.edges.append((at, self._node(Node(name, "", "output", f"{name} = {self.names[result]}"))))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

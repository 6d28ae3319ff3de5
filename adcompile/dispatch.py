"""From the arguments of a call to flat leaves, by a small function generated for one signature.

It checks the containers' classes, lengths and keys and the known leaves, and returns None where a call differs; the
types of the numbers and arrays are left to the compiled entry, which checks them anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adcompile.frontend.trace import Known, Signature
from adcompile.tree import Structure

Flatten = Callable[[tuple[Any, ...]], "Sequence[Any] | None"]


def flattener(signature: Signature) -> Flatten | None:
    """A flattener of positional arguments; None for a signature with keywords."""
    positional, keywords = signature.structure.children
    if keywords.children:
        return None
    writer = _Writer(signature.leaves)
    names = [writer.visit(child) for child in positional.children]
    head = f"({', '.join(names)},) = args" if names else "pass"
    lines = ["def flatten(args):", f"    if len(args) != {len(names)}:", "        return None", f"    {head}"]
    lines += [*writer.lines, f"    return ({', '.join(writer.leaves)}{',' if writer.leaves else ''})"]
    space = dict(writer.space)
    exec("\n".join(lines), space)
    return space["flatten"]


class _Writer:
    """Writes checks and unpackings in the order of the structure."""

    def __init__(self, types: Sequence[Any]):
        self.types = list(types)
        self.lines: list[str] = []
        self.leaves: list[str] = []
        self.space: dict[str, Any] = {}
        self.count = 0

    def visit(self, structure: Structure) -> str:
        """Write what takes a value of this structure apart; the name the value must be bound to before."""
        name = f"x{self.count}"
        self.count += 1
        if structure.kind is None:
            self.leaf(name)
            return name
        self.space[f"kind_{name}"], self.space[f"keys_{name}"] = structure.kind, structure.keys
        place = len(self.lines)
        names = [self.visit(child) for child in structure.children]
        self.lines[place:place] = self.taken_apart(structure, name, names)
        return name

    def taken_apart(self, structure: Structure, name: str, names: Sequence[str]) -> list[str]:
        kind, targets = structure.kind, f"({', '.join(names)},)" if names else "()"
        assert kind is not None
        if issubclass(kind, tuple | list):
            test, parts = f"len({name}) != {len(names)}", name
        elif issubclass(kind, dict):
            test, parts = f"tuple({name}) != keys_{name}", f"{name}.values()"
        else:
            test, parts = "False", f"({', '.join(f'{name}.{k}' for k in structure.keys)},)"
        lines = [f"    if type({name}) is not kind_{name} or {test}:", "        return None"]
        return [*lines, f"    {targets} = {parts}"] if names else lines

    def leaf(self, name: str) -> None:
        type = self.types.pop(0)
        if isinstance(type, Known):
            self.space[f"known_{name}"] = type
            self.lines += [f"    if known_{name}.value is not {name}:", "        return None"]
        else:
            self.leaves.append(name)

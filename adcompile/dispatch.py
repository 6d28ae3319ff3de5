"""From the arguments of a call to what compiled code takes.

A small function generated for one signature takes containers apart. It checks their classes, lengths and keys and the
known leaves, and returns None where a call differs; the types of the numbers and arrays are left to the compiled entry,
which checks them anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument
from adcompile.frontend.trace import Known, Signature
from adcompile.frontend.tracer import is_on_device
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


# -- one argument ---------------------------------------------------------------------------------------------------


def overlap(one: Any, two: Any) -> bool:
    """Whether two arguments share memory."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return np.shares_memory(one, two)
    if not (is_on_device(one) and is_on_device(two)):
        return False
    if one is two:
        return True
    (first, end), (second, stop) = _extent(one), _extent(two)
    return first < stop and second < end


def _extent(value: Any) -> tuple[int, int]:
    """Where an array on a device begins and ends; in Numba's simulator nowhere."""
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return 0, 0
    start, size = interface["data"][0], np.dtype(interface["typestr"]).itemsize
    return start, start + size * int(np.prod(interface["shape"]))


def canonical(value: Any) -> Any:
    """An argument as compiled code takes it: C-contiguous, aligned, native; a zero-dimensional array as its element."""
    if not isinstance(value, np.ndarray):
        plain = type(value) in (float, bool) or isinstance(value, np.generic) or is_on_device(value)
        return value if plain else _number(value)
    if value.ndim == 0:
        return value[()]
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    if type(value) is not np.ndarray:
        return np.array(value, order="C", subok=False)
    return np.require(value, requirements=["C", "A"])


def _number(value: Any) -> Any:
    """A Python number as compiled code takes it: an int of 64 bits, no subclass."""
    if not isinstance(value, int):
        return float(value)
    if not -(2**63) <= value < 2**63:
        raise InvalidArgument("an int of more than 64 bits is not supported", remedy="Pass a float.")
    return int(value)

"""Nested containers to flat leaves and back: tuples, lists, dicts, namedtuples, dataclasses.

`flatten` gives the leaves and a hashable `Structure`; `unflatten` rebuilds. Anything that is not a container is a leaf.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Structure:
    """The shape of a container: its class, its keys, its children; a leaf has class None."""

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @functools.cached_property
    def count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(c.count for c in self.children)

    @functools.cached_property
    def build(self) -> Callable[[Sequence[Any]], Any]:
        """A function from leaves to the container, generated once: it runs at every call of a compiled program."""
        space: dict[str, Any] = {"assemble": assemble}
        exec(f"def build(leaves):\n    return {_expression(self, 0, space)}", space)
        return space["build"]


LEAF = Structure(None)
OPAQUE = "__adcompile_leaf__"
"""A dataclass with this attribute is a leaf, not a container."""


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_dataclass(obj: Any) -> bool:
    if hasattr(type(obj), OPAQUE):
        return False
    return dataclasses.is_dataclass(obj) and not isinstance(obj, type)


def children_of(obj: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """The keys and children of a container; None for a leaf."""
    if isinstance(obj, tuple | list):
        keys = getattr(type(obj), "_fields", None) or range(len(obj))
        return tuple(keys), tuple(obj)
    if isinstance(obj, dict):
        return tuple(obj), tuple(obj.values())
    if _is_dataclass(obj):
        keys = tuple(f.name for f in dataclasses.fields(obj))
        return keys, tuple(getattr(obj, k) for k in keys)
    return None


def flatten(obj: Any) -> tuple[list[Any], Structure]:
    """The leaves of ``obj`` in order, and its structure."""
    parts = children_of(obj)
    if parts is None:
        return [obj], LEAF
    leaves: list[Any] = []
    children = []
    for child in parts[1]:
        found, structure = flatten(child)
        leaves += found
        children.append(structure)
    return leaves, Structure(type(obj), parts[0], tuple(children))


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The container of a structure with the given leaves."""
    return structure.build(leaves)


def _expression(structure: Structure, first: int, space: dict[str, Any]) -> str:
    """Python that makes a container of leaves from number ``first`` on; what it refers to goes into ``space``."""
    kind, children = structure.kind, []
    if kind is None:
        return f"leaves[{first}]"
    for child in structure.children:
        children.append(_expression(child, first, space))
        first += child.count
    listed = "".join(f"{text}, " for text in children)
    if kind is tuple:
        return f"({listed})"
    if kind is list:
        return f"[{listed}]"
    name = f"kind{len(space)}"
    space[name] = (kind, structure.keys)
    if kind is dict:
        return "{" + "".join(f"{name}[1][{k}]: {text}, " for k, text in enumerate(children)) + "}"
    return f"assemble(*{name}, ({listed}))"


def assemble(kind: type, keys: Sequence[Any], children: Sequence[Any]) -> Any:
    """A container of a class from its keys and children; dataclasses are rebuilt without running ``__init__``."""
    if issubclass(kind, tuple):
        return kind(*children) if _is_namedtuple(kind) else kind(children)
    if issubclass(kind, list):
        return kind(children)
    if issubclass(kind, dict):
        rebuilt = kind()
        rebuilt.update(zip(keys, children, strict=True))
        return rebuilt
    rebuilt = object.__new__(kind)
    for key, child in zip(keys, children, strict=True):
        object.__setattr__(rebuilt, key, child)
    return rebuilt


def names(structure: Structure, prefix: str) -> list[str]:
    """A readable name for every leaf: ``params_0_w`` for ``params[0].w``."""
    if structure.kind is None:
        return [prefix]
    return [
        name
        for key, child in zip(structure.keys, structure.children, strict=True)
        for name in names(child, f"{prefix}_{key}")
    ]


def map_leaves(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply ``function`` to corresponding leaves of containers of one structure."""
    leaves, structure = flatten(tree)
    others = [flatten(r)[0] for r in rest]
    return unflatten(structure, [function(*group) for group in zip(leaves, *others, strict=True)])

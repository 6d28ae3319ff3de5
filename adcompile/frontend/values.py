"""What names stand for while a function is traced.

Numbers are `Handle`s, arrays are `Reference`s (objects with identity: aliases share one, a view points into its base),
functions defined inside are `Closure`s; tuples, lists, dicts, strings and everything else are Python's own objects,
known while tracing.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from adcompile.errors import StaticValueRequired
from adcompile.frontend.resolve import Definition
from adcompile.ir import Array
from adcompile.primitives import Handle
from adcompile.source import SourceLoc
from adcompile.tree import Structure, flatten, unflatten


class Reference:
    """An array object: its current version, or for a view its base and subscript.

    ``maybe`` holds older arrays that this one may be, decided at run time, each with its version when that was decided.
    """

    __slots__ = ("base", "born", "frozen", "maybe", "stale", "subscript", "version", "written")

    def __init__(self, version: Handle | None, born: int, base: Reference | None = None, subscript: Any = None):
        self.version, self.born, self.base, self.subscript = version, born, base, subscript
        self.stale: str = ""
        self.frozen: str = ""
        self.maybe: tuple[tuple[Reference, Any], ...] = ()
        self.written = False

    @property
    def root(self) -> Reference:
        """The array that owns the elements."""
        return self if self.base is None else self.base.root


class ListValue(list):
    """A list made while tracing; ``born`` is the region it belongs to."""

    born: int = 0


@dataclass(frozen=True)
class Undefined:
    """A name that only some path through the program sets."""

    __adcompile_leaf__ = True

    name: str
    reason: str


PENDING = Undefined("a returned value", "is not set yet")
"""What a ``return`` inside a loop will give, before it does: takes on the type of the value."""


@dataclass(frozen=True, eq=False)
class Closure:
    """A ``def`` or ``lambda`` met while tracing, with the frame it sees (late binding, as in Python)."""

    __adcompile_leaf__ = True

    definition: Definition
    frame: Any
    defaults: tuple[Any, ...] = ()
    keyword_defaults: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Only calls that are traced can run it; it is callable so that ``functools.partial`` takes it."""
        raise TypeError(f"{self.__name__} was defined in a traced function and cannot leave it")

    @property
    def __name__(self) -> str:
        return self.definition.name


@dataclass(frozen=True, eq=False)
class Method:
    """A method of a traced value, not called yet."""

    __adcompile_leaf__ = True

    receiver: Any
    rule: Any
    name: str


@dataclass(frozen=True)
class Range:
    """``range(start, stop, step)`` with bounds that may be known only at run time."""

    __adcompile_leaf__ = True

    start: Any
    stop: Any
    step: Any


def is_dynamic(value: Any) -> bool:
    """Whether a value is known only at run time."""
    return isinstance(value, Handle | Reference)


def has_dynamic(value: Any) -> bool:
    """Whether any leaf of a value is known only at run time."""
    return any(is_dynamic(leaf) for leaf in flatten(value)[0])


def held_by(value: Any) -> Iterator[Any]:
    """The leaves of a value, those that a bound method, a partial call, default values or an iterator hold included."""
    for leaf in flatten(value)[0]:
        if isinstance(leaf, functools.partial):
            yield from held_by((leaf.func, leaf.args, leaf.keywords))
        elif isinstance(leaf, Closure):
            yield from held_by((leaf.defaults, leaf.keyword_defaults))
        elif hasattr(type(leaf), "__adcompile_leaf__") and is_dataclass(leaf):
            yield from held_by([getattr(leaf, f.name) for f in fields(leaf)])
        else:
            yield leaf


def is_array(value: Any) -> bool:
    """Whether a value is an array."""
    return isinstance(value, Reference) or (isinstance(value, Handle) and isinstance(value.type, Array))


def is_number(value: Any) -> bool:
    """Whether a value is a Python number known while tracing."""
    return isinstance(value, bool | int | float)


def require_static(value: Any, what: str, loc: SourceLoc | None) -> Any:
    """A value known while tracing, or a located error."""
    if has_dynamic(value) or isinstance(value, Range):
        raise StaticValueRequired(
            f"{what} must be known while tracing", loc, "Use a literal, a default argument, or a global constant."
        )
    return value


def split_leaves(value: Any) -> tuple[list[Any], Structure]:
    """The leaves of a traced value and its structure."""
    return flatten(value)


def rebuild(structure: Structure, leaves: list[Any]) -> Any:
    """A traced value from its leaves."""
    return unflatten(structure, leaves)


def assigned_names(nodes: list[ast.stmt]) -> set[str]:
    """The names that some statements bind, nested functions excluded."""
    found: set[str] = set()
    stack: list[ast.AST] = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
            continue
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp):
            stack.extend(ast.iter_child_nodes(node))
    return found


def read_names(nodes: list[ast.stmt]) -> set[str]:
    """The names that some statements read, nested functions included."""
    found = [n for node in nodes for n in ast.walk(node)]
    return {n.id for n in found if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)}


def contains(nodes: list[ast.stmt], kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether some statements hold a node of a kind, nested functions excluded."""
    stack: list[ast.AST] = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, kinds):
            return True
        if not isinstance(node, ast.Lambda | ast.FunctionDef):
            stack.extend(ast.iter_child_nodes(node))
    return False

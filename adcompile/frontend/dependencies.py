"""What a trace takes from outside: values compiled in, and arrays that become parameters.

Every value (a global, a closure cell, an attribute) is noted as a `Dependency` with the `Access` that takes it again,
so that the next call can tell whether compiled code is stale, and another process whether a program on disk is what it
would compile (`adcompile.recall`). An access is plain data: what holds the value, and under which name.
"""

from __future__ import annotations

import builtins
import importlib
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.tree import flatten

LIBRARIES = ("numpy", "math", "scipy")
"""Packages whose names mean the same as long as a process runs."""


# -- how a value is taken ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Access:
    """How a value is taken from its holder; the kinds are those of `GETTERS`."""

    kind: str
    holder: Any = None
    name: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What two accesses of the same value share while their holder lives."""
        return (self.kind, id(self.holder), self.name)

    def getter(self) -> Callable[[], Any]:
        """A function that takes the value now; it raises one of `GONE` where there is none any more."""
        return GETTERS[self.kind](self.holder, self.name)


GONE = (AttributeError, ImportError, KeyError, NameError, ValueError)


def _global(space: dict[str, Any], name: str) -> Callable[[], Any]:
    """A name of a module, else a builtin, which a name of the module may hide later."""
    if name in space:
        return lambda: space[name]
    return lambda: space[name] if name in space else getattr(builtins, name)


def _lines(code: types.CodeType, count: str) -> Callable[[], Any]:
    """Some lines of a file from the first one of a function on."""
    first = code.co_firstlineno - 1
    return lambda: "".join(linecache.getlines(code.co_filename)[first : first + int(count)])


GETTERS: dict[str, Callable[[Any, str], Callable[[], Any]]] = {
    "global": _global,
    "cell": lambda cell, name: lambda: cell.cell_contents,
    "attribute": lambda holder, name: lambda: getattr(holder, name),
    "has": lambda holder, name: lambda: hasattr(holder, name),
    "itself": lambda holder, name: lambda: holder,
    "module": lambda holder, name: lambda: sys.modules.get(name) or importlib.import_module(name),
    "lines": _lines,
    "same": lambda pair, name: lambda: pair[0]() is pair[1](),
    "unrepeatable": lambda holder, name: lambda: None,
}
"""Kind of access → (holder, name) → a function that takes the value."""


# -- whether it is still the same -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Dependency:
    """A value that a trace took from outside, and how to take it again.

    What is ``lasting`` holds as long as the process runs: it is compared between processes, not between calls.
    """

    label: str
    access: Access
    get: Callable[[], Any]
    value: Any
    fingerprint: Any
    lasting: bool

    def changed(self) -> bool:
        """Whether a new trace would see another value."""
        try:
            return fingerprint(self.get()) != self.fingerprint
        except GONE:
            return True


@dataclass(frozen=True, eq=False)
class Same:
    """Equal only for the same object."""

    held: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


_CODE = (types.CodeType, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, np.ufunc, type)
_FIXED = (*_CODE, bool, int, float, str, types.NoneType)
"""Classes whose objects mean the same to a trace as long as they are the same object."""


def _is_fixed(value: Any) -> bool:
    """Whether a value means the same to a trace as long as it is the same object."""
    return isinstance(value, _FIXED) or (type(value) is tuple and all(map(_is_fixed, value)))


def watch(dependencies: Sequence[Dependency]) -> Callable[[], bool]:
    """A quick test whether any of some dependencies has changed."""
    watched = [d for d in dependencies if not d.lasting]
    fixed = [(d.get, d.value, d) for d in watched if _is_fixed(d.value)]
    others = [d for d in watched if not _is_fixed(d.value)]

    def changed() -> bool:
        try:
            for get, value, dependency in fixed:
                if get() is not value and dependency.changed():
                    return True
        except GONE:
            return True
        return bool(others) and any(d.changed() for d in others)

    return changed


def fingerprint(value: Any) -> Any:
    """What a trace depends on in a value: numbers by value and type, arrays by signature, anything else by identity."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, tuple(1 if n == 1 else 0 for n in value.shape))
    if isinstance(value, bool | int | float | str | np.generic):
        return (type(value), repr(value))
    if isinstance(value, set | frozenset):
        return (type(value), frozenset(map(fingerprint, value)))
    if isinstance(value, types.MethodType):
        return (Same(value.__func__), fingerprint(value.__self__))
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, types.ModuleType | None):
        return (value.__name__, fingerprint(value.__self__))
    leaves, structure = flatten(value)
    if structure.kind is None:
        return Same(value)
    return (structure, tuple(map(fingerprint, leaves)))


# -- what one trace takes ---------------------------------------------------------------------------------------


class Surroundings:
    """The dependencies of one trace, and the arrays among them, in the order in which it met them."""

    def __init__(self):
        self.dependencies: dict[Any, Dependency] = {}
        self.arrays: dict[int, tuple[np.ndarray, Callable[[], Any], str]] = {}

    def depend(self, value: Any, access: Access, label: str, lasting: bool = False, key: Any = None) -> None:
        """Note that the program depends on a value."""
        key = key or access.key
        if key not in self.dependencies:
            mark = None if lasting else fingerprint(value)
            self.dependencies[key] = Dependency(label, access, access.getter(), value, mark, lasting)

    def take(self, value: Any, access: Access, label: str) -> Iterator[tuple[int, np.ndarray]]:
        """Note a dependency, and its arrays, whose contents may change; their positions among the leaves."""
        leaves, structure = flatten(value)
        self.depend(value, access, label)
        get = access.getter()
        for k, leaf in enumerate(leaves):
            if isinstance(leaf, np.ndarray):
                name = f"{label}.{k}" if structure.kind else label
                self._array(leaf, lambda k=k: flatten(get())[0][k], name)
                yield k, leaf

    def _array(self, array: np.ndarray, get: Callable[[], Any], label: str) -> None:
        """One array under two names is one parameter as long as it is."""
        if id(array) not in self.arrays:
            self.arrays[id(array)] = (array, get, label)
            return
        _, first, name = self.arrays[id(array)]
        if name != label:
            again = f"{label} is {name}"
            self.depend(True, Access("same", (first, get)), again, key=("same", id(array), again))


__all__ = ["GONE", "LIBRARIES", "Access", "Dependency", "Same", "Surroundings", "fingerprint", "watch"]

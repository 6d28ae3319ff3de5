"""From object code to a Python function: the code is linked, its table filled, and its entry wrapped.

A `Linkage` is all that the object code needs to become a function, as plain data, so that it can be kept on disk.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from adcompile import disk
from adcompile.backend.failures import Failure
from adcompile.source import SourceLoc

ENTRY, TABLE = "adcompile_entry", "adcompile_table"
_METH_FASTCALL = 0x0080


@dataclass(frozen=True)
class Linkage:
    """How object code becomes a function.

    Attributes
    ----------
    name : of the function.
    file : of the object code in the disk cache; None where it is not kept.
    table : the names whose addresses its table holds.
    failures : what can go wrong in it, by number.
    """

    name: str
    file: str | None
    table: tuple[str, ...]
    failures: tuple[Failure, ...]

    def plain(self) -> list[Any]:
        """The same in lists, strings and numbers."""
        failures = [[f.kind, f.loc and list(astuple(f.loc)), f.message] for f in self.failures]
        return [self.name, self.file, list(self.table), failures]

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Linkage:
        """From what `plain` gave."""
        name, file, table, failures = plain
        found = [Failure(kind, loc and SourceLoc(*loc), message) for kind, loc, message in failures]
        return cls(name, file, tuple(table), tuple(found))


def recall(plain: Sequence[Any]) -> Callable[..., Any] | None:
    """The function of a linkage that was kept; None where its object code is not on disk any more."""
    linkage = Linkage.of(plain)
    code = disk.read(linkage.file or "")
    return None if code is None else link(linkage, code)


def link(linkage: Linkage, code: bytes) -> Callable[..., Any]:
    """The function of some object code."""
    from adcompile.backend.llvm import addresses, engine

    library = engine.load(code, (ENTRY, TABLE))
    fail = _failing(linkage.failures)
    cache = linkage.file is not None
    engine.fill(library[TABLE], [addresses.find(name, fail, cache) for name in linkage.table])
    return _function(linkage.name, library[ENTRY], (library, fail))


def _failing(failures: Sequence[Failure]) -> Callable[[int, int, int], None]:
    """The function that the entry calls with the number of a failure and its details."""

    def fail(number: int, a: int, b: int) -> None:
        failures[number - 1].fail(a, b)

    return fail


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def _function(name: str, address: int, owned: tuple) -> Callable[..., Any]:
    """A built-in function of a C address; it keeps what its code needs alive."""
    method = _MethodDef(name.encode(), address, _METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    return make(ctypes.addressof(method), (*owned, method), None)


__all__ = ["ENTRY", "Linkage", "link", "recall"]

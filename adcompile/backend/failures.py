"""What can go wrong while a compiled program runs, and the exception each becomes, with the user's line.

Compiled code gives 0, or the number of a `Failure` counted from 1, with two integers that its message may use.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from adcompile.errors import ShapeMismatch
from adcompile.source import SourceLoc

_EXCEPTIONS: dict[str, tuple[type[Exception], str]] = {
    "index": (IndexError, "index {a} is out of bounds for size {b}"),
    "zero": (ZeroDivisionError, "integer division or modulo by zero"),
    "step": (ValueError, "range() arg 3 must not be zero"),
    "power": (ValueError, "Integers to negative integer powers are not allowed."),
    "negative": (ValueError, "negative dimensions are not allowed"),
    "memory": (MemoryError, "out of memory"),
}


def exception_named(name: str) -> type[Exception]:
    """The exception that a ``check_true`` names: one of Python's, or NumPy's of linear algebra."""
    return np.linalg.LinAlgError if name == "np.linalg.LinAlgError" else getattr(builtins, name)


@dataclass(frozen=True)
class Failure:
    """A check of the program: its kind, the user's line, and for ``same`` the words before the sizes."""

    kind: str
    loc: SourceLoc | None = None
    message: str = ""

    def fail(self, a: int, b: int) -> NoReturn:
        """Raise the exception, ``a`` and ``b`` being the numbers that did not fit."""
        if self.kind == "same":
            raise ShapeMismatch(f"{self.message}: sizes {a} and {b}", self.loc)
        if self.kind.startswith("raise "):
            raise exception_named(self.kind.removeprefix("raise "))(self.message)
        exception, text = _EXCEPTIONS[self.kind]
        place = f"\n{self.loc.show()}" if self.loc else ""
        raise exception(text.format(a=a, b=b) + place)

"""Every error adcompile raises: a fact, the place in the user's file, a remedy."""

from __future__ import annotations

from adcompile.source import SourceLoc


class AdcompileError(Exception):
    """Base of all errors; carries ``fact``, ``loc`` (a `SourceLoc` or None) and ``remedy``."""

    def __init__(self, fact: str, loc: SourceLoc | None = None, remedy: str = ""):
        self.fact, self.loc, self.remedy = fact, loc, remedy
        place = f"\n{loc.show()}" if loc else ""
        advice = f"\n  {remedy}" if remedy else ""
        super().__init__(f"{fact}{place}{advice}")

    def at(self, loc: SourceLoc | None) -> AdcompileError:
        """The same error with a place, where it has none yet."""
        return self if self.loc or loc is None else type(self)(self.fact, loc, self.remedy)


class UnsupportedSyntax(AdcompileError, SyntaxError):
    """A construct of Python outside the accepted language; a `SyntaxError`, so Python draws the caret."""

    def __init__(self, fact: str, loc: SourceLoc | None = None, remedy: str = ""):
        AdcompileError.__init__(self, fact, loc, remedy)
        self.msg = f"{fact}. {remedy}" if remedy else fact
        if loc:
            self.filename, self.lineno, self.text = loc.file, loc.line, loc.text
            self.offset, self.end_lineno, self.end_offset = loc.column + 1, loc.line, loc.end_column + 1

    def __str__(self) -> str:
        return str(self.args[0])


class MissingRule(AdcompileError, NotImplementedError):
    """A function was called that has no primitive, or a primitive has no derivative rule."""


class UnsupportedDtype(AdcompileError, TypeError):
    """A dtype outside bool, the integers, float32 and float64."""


class ShapeMismatch(AdcompileError, ValueError):
    """Shapes that do not fit together, found while tracing or at run time (NumPy's words, the user's line)."""


class NotDifferentiable(AdcompileError, TypeError):
    """A derivative was asked for where none exists: of an integer argument, or of a non-scalar by `grad`."""


class StaticValueRequired(AdcompileError, TypeError):
    """A value that decides the program's structure (an axis, a container index) is only known at run time."""


class InvalidArgument(AdcompileError, TypeError):
    """A call that the Python function itself would refuse: wrong arguments, wrong container structure."""


class UnsupportedAlias(AdcompileError, RuntimeError):
    """Two names may stand for one array, and a write through one of them could be missed by the other."""


class MissingDevice(AdcompileError, RuntimeError):
    """A program for a GPU was asked for where none can be used."""


class SourceUnavailable(AdcompileError, OSError):
    """The text of a function cannot be found (typed at a prompt, built by exec, written in C)."""


class InvalidTrace(AdcompileError):
    """The verifier found a malformed trace: a fault of adcompile or of a user-defined rule."""

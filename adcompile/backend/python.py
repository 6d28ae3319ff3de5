"""The reference backend: the readable source, run by CPython with NumPy. Slow, exact, and steppable in a debugger."""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import linecache
from collections.abc import Callable
from types import CodeType
from typing import Any

from adcompile.analysis.checks import drop_implied
from adcompile.analysis.inplace import insert_copies
from adcompile.codegen import Source, emit
from adcompile.errors import ShapeMismatch
from adcompile.ir import Trace
from adcompile.primitives.runtime import NAMESPACE


def source(trace: Trace) -> Source:
    """The readable program of an array-dialect trace."""
    return emit(insert_copies(drop_implied(trace)))


def compile(trace: Trace) -> Callable[..., tuple[Any, ...]]:
    """A function from flat arguments to a tuple of flat results."""
    written = source(trace)
    function = load(written)

    @functools.wraps(function)
    def run(*args: Any) -> tuple[Any, ...]:
        try:
            return function(*args)
        except (ValueError, IndexError, ArithmeticError) as error:
            found = located(error, written, last_line(error, written))
            raise found from (None if found is error else error)

    return run


def load(written: Source) -> Callable[..., Any]:
    """Execute generated source as a module of its own."""
    space = dict(NAMESPACE)
    exec(register(written), space)
    return space[written.name]


def register(written: Source, rewrite: Callable[[ast.Module], ast.Module] = lambda tree: tree) -> CodeType:
    """Generated source as code under a file name of its own, visible to debuggers and tracebacks."""
    digest = hashlib.sha256(written.text.encode()).hexdigest()[:12]
    file = f"<adcompile {written.name} {digest}>"
    linecache.cache[file] = (len(written.text), None, written.text.splitlines(keepends=True), file)
    return builtins.compile(rewrite(ast.parse(written.text)), file, "exec")


def last_line(error: Exception, written: Source) -> int | None:
    """The line of the generated program that an error comes from."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(f"<adcompile {written.name}"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def located(error: Exception, written: Source, line: int | None) -> Exception:
    """An error of NumPy's or Python's with the user's line; an exception that the user raises stays as it is."""
    words, place = str(error), written.lines.get(line or 0)
    if line and written.text.splitlines()[line - 1].lstrip().startswith("raise "):
        return error
    if isinstance(error, ValueError) and any(w in words for w in _OF_SHAPES):
        return ShapeMismatch(words, place)
    return type(error)(f"{words}\n{place.show()}") if place else error


_OF_SHAPES = ("shape", "size", "dimension", "broadcast")
"""Words that NumPy's errors about shapes have and its others have not."""

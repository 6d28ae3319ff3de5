"""The reference backend: the readable source, run by CPython with NumPy. Slow, exact, and steppable in a debugger."""

from __future__ import annotations

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
        except ValueError as error:
            raise located(error, written) from error

    return run


def load(written: Source) -> Callable[..., Any]:
    """Execute generated source as a module of its own."""
    space = dict(NAMESPACE)
    exec(register(written), space)
    return space[written.name]


def register(written: Source) -> CodeType:
    """Generated source as code under a file name of its own, visible to debuggers and tracebacks."""
    digest = hashlib.sha256(written.text.encode()).hexdigest()[:12]
    file = f"<adcompile {written.name} {digest}>"
    linecache.cache[file] = (len(written.text), None, written.text.splitlines(keepends=True), file)
    return builtins.compile(written.text, file, "exec")


def located(error: ValueError, written: Source) -> Exception:
    """A NumPy shape error with the user's line; any other error as it is."""
    words = str(error)
    if not any(w in words for w in ("shape", "size", "dimension", "broadcast")):
        return error
    place = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(f"<adcompile {written.name}"):
            place = written.lines.get(trace.tb_lineno)
        trace = trace.tb_next
    return ShapeMismatch(words, place)

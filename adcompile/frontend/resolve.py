"""From a Python callable to its syntax tree, and from a name in it to what holds the name."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
import types
from dataclasses import dataclass
from typing import Any

from adcompile.errors import SourceUnavailable, UnsupportedSyntax
from adcompile.frontend.dependencies import Access, Same
from adcompile.source import SourceLoc


@dataclass(frozen=True, eq=False)
class Definition:
    """The syntax of a function: its ``def`` or ``lambda`` node with positions that count in the file."""

    node: ast.FunctionDef | ast.Lambda
    file: str
    name: str
    lines: tuple[str, ...] = ()

    def locate(self, node: ast.AST) -> SourceLoc:
        """The place of a node in the user's file."""
        line = getattr(node, "lineno", self.node.lineno)
        end = getattr(node, "end_col_offset", None)
        same = getattr(node, "end_lineno", line) == line
        column = getattr(node, "col_offset", 0)
        return SourceLoc(self.file, line, column, end if end and same else column + 1, self.name)


def define(code: types.CodeType) -> Definition:
    """The definition whose compiled form is ``code``."""
    return _define(Same(code))


@functools.lru_cache(maxsize=1024)
def _define(held: Same) -> Definition:
    """The same, once for each object: equal bytecode may stand in another place, and have other defaults."""
    code: types.CodeType = held.held
    file = code.co_filename
    lines = linecache.getlines(file) or _fetch(code)
    if not lines:
        raise SourceUnavailable(
            f"the source of {code.co_name!r} is not available",
            remedy="Define the function in a file or a notebook cell, not with exec or at a bare prompt.",
        )
    try:
        block = inspect.getblock(lines[code.co_firstlineno - 1 :])
        tree = _parse_block("".join(block), code.co_firstlineno)
    except (SyntaxError, IndentationError):
        tree = ast.parse("".join(lines))
    found: list[Any] = [n for n in ast.walk(tree) if _is_definition(n, code)]
    if len(found) > 1:
        found = [
            n for n in found if _argument_names(n) == code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        ]
    if len(found) > 1:
        found = _innermost([n for n in found if _same_place(n, code)]) or found
    if not found:
        raise SourceUnavailable(f"the source of {code.co_name!r} in {file} has changed", remedy="Reload the module.")
    if len(found) > 1 and len({ast.dump(n) for n in found}) > 1:
        raise SourceUnavailable(
            f"several lambdas stand on line {code.co_firstlineno} of {file}", remedy="Give each its own line."
        )
    return Definition(found[0], file, code.co_name, tuple(lines[code.co_firstlineno - 1 : found[0].end_lineno]))


def _fetch(code: types.CodeType) -> list[str]:
    try:
        return inspect.findsource(code)[0]
    except OSError:
        return []


def _parse_block(text: str, first_line: int) -> ast.AST:
    """Parse an indented block so that lines and columns count in the file."""
    dedented = textwrap.dedent(text)
    shift = len(text.splitlines()[0]) - len(dedented.splitlines()[0])
    tree = ast.parse(dedented)
    ast.increment_lineno(tree, first_line - 1)
    for node in ast.walk(tree):
        if hasattr(node, "col_offset"):
            node.col_offset += shift  # type: ignore[attr-defined]
            node.end_col_offset += shift  # type: ignore[attr-defined]
    return tree


def _is_definition(node: ast.AST, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        return code.co_firstlineno in (first, node.lineno)
    return False


def _innermost(nodes: list[Any]) -> list[Any]:
    """The nodes that have no other of them inside."""
    return [n for n in nodes if not any(inner is not n and inner in nodes for inner in ast.walk(n))]


def _argument_names(node: Any) -> tuple[str, ...]:
    arguments = node.args
    return tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def _same_place(node: Any, code: types.CodeType) -> bool:
    """Whether the instructions of ``code`` come from the columns of a lambda (told apart from others on its line)."""
    first, last = (node.body.lineno, node.body.col_offset), (node.body.end_lineno, node.body.end_col_offset)
    return all(
        first <= (line, start) and (end_line, end) <= last
        for line, end_line, start, end in code.co_positions()
        if line is not None and start is not None and end
    )


# -- callables --------------------------------------------------------------------------------------------------


def unwrap(function: Any) -> Any:
    """The plain Python function behind a Numba dispatcher."""
    return getattr(function, "py_func", function)


# -- names ------------------------------------------------------------------------------------------------------


class Scope:
    """The names around a function: its closure cells, its module's globals, the builtins."""

    def __init__(self, function: types.FunctionType):
        self.function = function
        self.cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def access(self, name: str) -> Access:
        """How the name is looked up."""
        if name in self.cells:
            return Access("cell", self.cells[name])
        return Access("global", self.function.__globals__, name)


def _place_of(code: types.CodeType) -> SourceLoc | None:
    """The place of a function's definition, where its source is to be had."""
    try:
        found = define(code)
    except SourceUnavailable:
        return None
    return found.locate(found.node)


def plain_function(value: Any, loc: SourceLoc | None) -> types.FunctionType:
    """The function of a callable, or a located refusal of what has no Python source."""
    value = unwrap(value)
    if isinstance(value, types.FunctionType):
        if value.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
            loc = loc or _place_of(value.__code__)
            raise UnsupportedSyntax("generators and coroutines are not supported", loc, "Return an array or a tuple.")
        return value
    raise SourceUnavailable(f"{value!r} has no Python source", loc, "Call a Python function or a supported one.")

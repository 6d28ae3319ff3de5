"""Statements: syntax node → effect on the tracer. The keys of `STATEMENTS` are the accepted statements."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from adcompile.errors import AdcompileError, InvalidArgument, UnsupportedSyntax
from adcompile.frontend.attributes import attribute
from adcompile.frontend.dependencies import LIBRARIES, Access
from adcompile.frontend.expressions import (
    OPERATORS,
    closure,
    condition,
    evaluate,
    get_item,
    index_value,
    operate,
    require_own,
    static_items,
    truth,
)
from adcompile.frontend.leaving import without_jumps
from adcompile.frontend.loops import header, rolled_for, rolled_while, unrollable
from adcompile.frontend.merging import choose, explore, merge
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import PENDING, Closure, Range, Reference, contains, has_dynamic, is_array
from adcompile.primitives import Handle
from adcompile.primitives.indexing import FULL, index_shape
from adcompile.primitives.subscripts import resolve_subscript


@dataclass(frozen=True, eq=False)
class Return:
    """The body returned this value."""

    value: Any


def execute_body(t: Tracer, body: list[ast.stmt]) -> Any:
    """Trace a function's body; the value it returns."""
    signal = execute(t, body)
    return signal.value if isinstance(signal, Return) else None


def execute(t: Tracer, statements: list[ast.stmt]) -> Any:
    """Trace statements in order; a `Return` where they return, else None."""
    for position, node in enumerate(statements):
        t.frame.rest.append(statements[position + 1 :])
        try:
            signal = _statement(t, node)
        finally:
            t.frame.rest.pop()
        if signal is not None:
            return signal
    return None


def _statement(t: Tracer, node: ast.stmt) -> Any:
    rule = STATEMENTS.get(type(node))
    with t.locating(node) as loc:
        if rule is None:
            name = type(node).__name__.lower()
            raise UnsupportedSyntax(f"{name} statements are not supported", loc, _REMEDIES.get(type(node), ""))
        return rule(t, node)


_REMEDIES: dict[type[ast.AST], str] = {
    ast.With: "Move it outside the function.",
    ast.Try: "Test the condition with `if`.",
    ast.Global: "Return the value instead.",
    ast.Nonlocal: "Return the value instead.",
    ast.Delete: "Leave it out.",
    ast.ClassDef: "Define the class outside the function.",
}


# -- binding ----------------------------------------------------------------------------------------------------


def bind_target(t: Tracer, target: ast.expr, value: Any) -> None:
    """Assign a value to a name, a pattern of names, or a part of an array."""
    if isinstance(target, ast.Name):
        t.assign(target.id, value)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(t, target, value)
    elif isinstance(target, ast.Subscript):
        set_item(t, evaluate(t, target.value), index_value(t, target.slice), value)
    else:
        raise UnsupportedSyntax("assignment to an attribute is not supported", t.at(target), "Return a new object.")


def _unpack(t: Tracer, target: ast.Tuple | ast.List, value: Any) -> None:
    items = _unpacked(t, value, len(target.elts))
    starred = [k for k, e in enumerate(target.elts) if isinstance(e, ast.Starred)]
    if starred:
        first, after = starred[0], len(target.elts) - starred[0] - 1
        middle = list(items[first : len(items) - after])
        items = [*items[:first], middle, *items[len(items) - after :]]
    if len(items) != len(target.elts):
        raise InvalidArgument(f"cannot unpack {len(items)} values into {len(target.elts)} names", t.loc)
    for element, item in zip(target.elts, items, strict=True):
        bind_target(t, element.value if isinstance(element, ast.Starred) else element, item)


def _unpacked(t: Tracer, value: Any, count: int) -> list[Any]:
    if isinstance(value, Reference):
        handle = t.read(value)
        t.op.check_same(t.op.size(handle, 0), count, "cannot unpack an array")
        return [get_item(t, value, k) for k in range(count)]
    return static_items(t, value)


def set_item(t: Tracer, container: Any, key: Any, value: Any) -> None:
    """``container[key] = value``."""
    if isinstance(container, Reference):
        write_elements(t, container, key, value)
    elif isinstance(container, list | dict) and not has_dynamic(key):
        require_own(t, container)
        container[key] = value
    else:
        raise InvalidArgument("only arrays, lists and dicts can be assigned to by index", t.loc, "Make it an array.")


def write_elements(t: Tracer, array: Reference, key: Any, value: Any) -> None:
    """``array[key] = value``, with NumPy's rules for the dtype."""
    handle = t.read(array)
    spec, args = resolve_subscript(t.op, handle, key)
    given = t.op.handle(t.op.atom(t.read(value)))
    if given.type.dtype.startswith("float") and not handle.type.dtype.startswith("float"):
        raise InvalidArgument(
            f"a {given.type.dtype} value is stored into a {handle.type.dtype} array", t.loc, "Make the array float64."
        )
    if all(entry == FULL for entry in spec) and given.type.dims == handle.type.dims:
        for axis in range(handle.rank):
            t.op.check_same(t.op.size(handle, axis), t.op.size(given, axis), "could not broadcast input array")
        t.write(array, t.op.cast(given, dtype=handle.type.dtype))
        return
    _check_fit(t, handle, given, spec, args)
    t.write(array, t.op("store", handle, given, *args, spec=tuple(spec)))


def _check_fit(t: Tracer, array: Handle, value: Handle, spec: Any, args: Any) -> None:
    """Sizes of what is stored must be those of where, or known to be 1."""
    places = tuple(t.op.handle(t.op.atom(a)) for a in args)
    there = index_shape(t.op, (array, *places), {"spec": tuple(spec)})
    for back in range(1, min(value.rank, len(there)) + 1):
        if value.type.dims[-back] != 1:
            size = t.op.size(value, value.rank - back)
            t.op.check_same(there[-back], size, "could not broadcast input array")


# -- rules ------------------------------------------------------------------------------------------------------


def _assign(t: Tracer, node: ast.Assign) -> None:
    value = evaluate(t, node.value)
    for target in node.targets:
        with t.locating(target):
            bind_target(t, target, value)


def _annotated(t: Tracer, node: ast.AnnAssign) -> None:
    if node.value is not None:
        bind_target(t, node.target, evaluate(t, node.value))


def _augmented(t: Tracer, node: ast.AugAssign) -> None:
    """``x += y``: in place on arrays and lists, a new value for numbers; the target is read first, as in Python."""
    function = OPERATORS[type(node.op)]
    container = key = None
    if isinstance(node.target, ast.Subscript):
        container = evaluate(t, node.target.value)
        key = index_value(t, node.target.slice)
        with t.locating(node):
            old = get_item(t, container, key)
    else:
        old = evaluate(t, _loaded(node.target))
    value = evaluate(t, node.value)
    with t.locating(node):
        new = operate(t, function, old, value)
        if isinstance(old, list) and isinstance(new, list):
            require_own(t, old)
            old[:] = new
        elif isinstance(old, Reference) and not isinstance(container, Reference):
            write_elements(t, old, Ellipsis, new)
        elif container is not None:
            set_item(t, container, key, new)
        else:
            bind_target(t, node.target, new)


def _loaded(target: Any) -> ast.expr:
    """The target of an assignment as the expression that reads it."""
    copy = type(target)(**{f: getattr(target, f) for f in target._fields if f != "ctx"}, ctx=ast.Load())
    return ast.copy_location(copy, target)


def _expression(t: Tracer, node: ast.Expr) -> None:
    if not isinstance(node.value, ast.Constant):
        evaluate(t, node.value)


def _return(t: Tracer, node: ast.Return) -> Return:
    return Return(None if node.value is None else evaluate(t, node.value))


def _pass(t: Tracer, node: ast.Pass) -> None:
    return None


def _define(t: Tracer, node: ast.FunctionDef) -> None:
    made: Any = closure(t, node, node.name)
    for decorator in reversed(node.decorator_list):
        from adcompile.frontend.calls import call

        made = call(t, evaluate(t, decorator), [made], {})
    t.assign(node.name, made)


def _import(t: Tracer, node: ast.Import | ast.ImportFrom) -> None:
    for alias in node.names:
        if isinstance(node, ast.Import):
            module = _module(t, alias.name)
            name = alias.asname or alias.name.split(".")[0]
            t.frame.locals[name] = module if alias.asname else _module(t, name)
        else:
            module = _module(t, node.module or "")
            t.frame.locals[alias.asname or alias.name] = attribute(t, module, alias.name)


def _module(t: Tracer, name: str) -> Any:
    access = Access("module", None, name)
    module = access.getter()()
    t.depend(module, access, f"import {name}", lasting=name.split(".")[0] in LIBRARIES)
    return module


def _if(t: Tracer, node: ast.If) -> Any:
    test = condition(t, node.test)
    if isinstance(test, bool):
        return execute(t, node.body if test else node.orelse)
    for raising, other, holds in ((node.body, node.orelse, False), (node.orelse, node.body, True)):
        if raising and isinstance(raising[-1], ast.Raise) and not contains(raising, (ast.Return,)):
            _require(t, test if holds else t.op.logical_not(test), *_exception(t, raising[-1]))
            return execute(t, other)
    in_loop = any(rest is None for rest in t.frame.rest)
    if contains([node], (ast.Return,)) or (contains([node], (ast.Raise,)) and not in_loop):
        return _if_returning(t, node, test)
    choose(t, test, lambda: execute(t, node.body), lambda: execute(t, node.orelse))
    return None


def _if_returning(t: Tracer, node: ast.If, condition: Handle) -> Return:
    """A branch that returns: each way runs on to the end of the function, and the returned values merge."""
    following = list(t.frame.rest)

    def way(body: list[ast.stmt]) -> Callable[[], Any]:
        def run() -> Any:
            saved, t.frame.rest = t.frame.rest, list(following)
            try:
                return _to_the_end(t, body, following)
            finally:
                t.frame.rest = saved

        return run

    outcomes = [replace(explore(t, way(body)), names={}) for body in (node.body, node.orelse)]
    return Return(merge(t, condition, *outcomes, ending=True))


def _to_the_end(t: Tracer, body: list[ast.stmt], following: list[list[ast.stmt] | None]) -> Any:
    signal = execute(t, body)
    depth = len(following)
    while signal is None and depth:
        depth -= 1
        t.frame.rest = following[:depth]
        signal = execute(t, following[depth] or [])
    return signal.value if isinstance(signal, Return) else None


def _match(t: Tracer, node: ast.Match) -> Any:
    """``match`` on constants, as the ``if`` chain it stands for."""
    name = f" subject {node.lineno}_{node.col_offset}"
    t.frame.locals[name] = evaluate(t, node.subject)
    chain: list[ast.stmt] = []
    for case in reversed(node.cases):
        test, binds = _pattern(t, case.pattern, name)
        if case.guard is not None and binds:
            raise UnsupportedSyntax("a guard behind a captured name", t.at(case.guard), "Use if and elif.")
        if case.guard is not None:
            test = ast.BoolOp(ast.And(), [test, case.guard])
        branch = ast.If(test, [*binds, *case.body], chain)
        chain = [ast.fix_missing_locations(ast.copy_location(branch, case.body[0]))]
    return execute(t, chain)


def _pattern(t: Tracer, pattern: ast.pattern, name: str) -> tuple[ast.expr, list[ast.stmt]]:
    """The test of a pattern, and the assignments it makes."""
    subject = ast.Name(name, ast.Load())
    if isinstance(pattern, ast.MatchValue):
        return ast.Compare(subject, [ast.Eq()], [pattern.value]), []
    if isinstance(pattern, ast.MatchSingleton):
        return ast.Compare(subject, [ast.Is()], [ast.Constant(pattern.value)]), []
    if isinstance(pattern, ast.MatchOr):
        return ast.BoolOp(ast.Or(), [_pattern(t, p, name)[0] for p in pattern.patterns]), []
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is None:
        binds: list[ast.stmt] = [ast.Assign([ast.Name(pattern.name, ast.Store())], subject)] if pattern.name else []
        return ast.Constant(True), binds
    raise UnsupportedSyntax("only constants and _ can be matched", t.at(pattern), "Use if and elif.")


def _for(t: Tracer, node: ast.For) -> Any:
    plain = without_jumps(node)
    if plain is not None:
        return execute(t, list(plain))
    head = header(t, node.iter)
    source = evaluate(t, head.node)
    with t.locating(node):
        if not isinstance(source, Range) and not _at_run_time(source):
            if head.attrs:
                raise InvalidArgument(
                    "a loop over a container is written out, so it has no snapshots", t.loc, "Loop over an array."
                )
            return _unrolled(t, node, static_items(t, source))
        try:
            rolled_for(t, node, source, head.attrs)
        except AdcompileError as error:
            if head.attrs or unrollable(error, source) is None:
                raise
            return _unrolled(t, node, list(range(source.start, source.stop, source.step)))
        return execute(t, node.orelse)


def _at_run_time(source: Any) -> bool:
    from adcompile.frontend.iteration import Counted, Items, Numbered, Zipped

    return isinstance(source, Items | Counted | Zipped | Numbered) or is_array(source)


def execute_loop_body(t: Tracer, body: list[ast.stmt]) -> None:
    """Trace the body of a loop that is one equation."""
    t.frame.rest.append(None)
    try:
        execute(t, body)
    finally:
        t.frame.rest.pop()


def _unrolled(t: Tracer, node: ast.For, items: list[Any]) -> Any:
    """A loop over a container: its body once per element, unless a jump has left it."""
    for item in items:
        if not _once_more(t, node, item):
            return None
    return execute(t, node.orelse)


def _once_more(t: Tracer, node: ast.For, item: Any) -> bool:
    """One iteration of an unrolled loop; False where the loop was left before it."""

    def body() -> None:
        bind_target(t, node.target, item)
        execute_loop_body(t, node.body)

    leave = getattr(node, "leave", None)
    left = truth(t, t.lookup(f" {leave}")) if leave else False
    if isinstance(left, Handle):
        choose(t, t.op.logical_not(left), body, lambda: None)
        return True
    if not left:
        body()
    return not left


def _while(t: Tracer, node: ast.While) -> Any:
    plain = without_jumps(node)
    if plain is not None:
        return execute(t, list(plain))
    rolled_while(t, node)
    return execute(t, node.orelse)


def _jump(t: Tracer, node: ast.Break | ast.Continue) -> Any:
    raise UnsupportedSyntax("a jump outside a loop", t.loc)


def _assert(t: Tracer, node: ast.Assert) -> None:
    test = condition(t, node.test)
    message = "" if node.msg is None else evaluate(t, node.msg)
    _require(t, test, "AssertionError", message)


def _require(t: Tracer, condition: Any, error: str, message: Any) -> None:
    """Raise at run time unless a condition holds."""
    if isinstance(condition, Handle):
        t.op("check_true", condition, error=error, message=str(message))
    elif not condition:
        t.op("check_true", t.op.atom(False), error=error, message=str(message))


def _raise(t: Tracer, node: ast.Raise) -> Return:
    """A raise ends the function here: at once where nothing but known values led here, else when the program does."""
    name, message = _exception(t, node)
    if len(t.regions) == 1:
        raise getattr(builtins, name)(message)
    _require(t, False, name, message)
    return Return(PENDING)


def _exception(t: Tracer, node: ast.Raise) -> tuple[str, Any]:
    """The name of a built-in exception class and its message."""
    call = node.exc
    called = isinstance(call, ast.Call)
    kind = evaluate(t, call.func if called else call) if call is not None else None  # type: ignore[union-attr]
    if not (isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "builtins"):
        raise UnsupportedSyntax("only built-in exceptions can be raised", t.loc, 'Write raise ValueError("…").')
    words = [str(evaluate(t, a)) for a in call.args] if called else []  # type: ignore[union-attr]
    return kind.__name__, ", ".join(words)


STATEMENTS: dict[type[ast.stmt], Callable[[Tracer, Any], Any]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: _expression,
    ast.Return: _return,
    ast.Pass: _pass,
    ast.FunctionDef: _define,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.If: _if,
    ast.Match: _match,
    ast.For: _for,
    ast.While: _while,
    ast.Break: _jump,
    ast.Continue: _jump,
    ast.Assert: _assert,
    ast.Raise: _raise,
}

__all__ = ["STATEMENTS", "Closure", "bind_target", "execute_body", "execute_loop_body"]

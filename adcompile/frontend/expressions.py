"""Expressions: syntax node → traced value. The keys of `EXPRESSIONS` are the accepted expressions."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, StaticValueRequired, UnsupportedSyntax
from adcompile.frontend.attributes import attribute
from adcompile.frontend.resolve import Definition
from adcompile.frontend.special import contains, special, user_operator
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import (
    Closure,
    ListValue,
    Range,
    Reference,
    has_dynamic,
    is_array,
    is_dynamic,
)
from adcompile.frontend.views import Part
from adcompile.primitives import Handle, find
from adcompile.primitives.subscripts import resolve_subscript, subscript

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate(t: Tracer, node: ast.expr) -> Any:
    """The value of an expression."""
    rule = EXPRESSIONS.get(type(node))
    with t.locating(node) as loc:
        if rule is None:
            raise UnsupportedSyntax(f"{_words(node)} are not supported", loc, _REMEDIES.get(type(node), ""))
        return rule(t, node)


def _words(node: ast.AST) -> str:
    name = type(node).__name__
    return _PLURALS.get(name, f"{name} expressions")


_PLURALS = {"Set": "set literals", "SetComp": "set comprehensions", "Await": "await expressions", "Yield": "generators"}
_REMEDIES = {
    ast.Set: "Use a tuple or an array.",
    ast.SetComp: "Use a list comprehension.",
    ast.Yield: "Return a tuple or fill an array.",
}


def _operand(t: Tracer, value: Any) -> Any:
    if isinstance(value, tuple | list) and has_dynamic(value):
        raise InvalidArgument("arithmetic on a container of traced values", t.loc, "Use np.array or np.stack first.")
    return t.read(value)


def operate(t: Tracer, function: Any, *operands: Any) -> Any:
    """Apply a Python operator: at once to known values, else as an equation."""
    found = user_operator(t, function, operands)
    if found is not NotImplemented:
        return found
    if not any(map(has_dynamic, operands)):
        try:
            known = function(*operands)
            return made_list(t, known) if isinstance(known, list) else known
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InvalidArgument(str(error), t.loc) from error
    if _joins(function, operands):
        joined = function(*operands)
        return made_list(t, joined) if isinstance(joined, list) else joined
    rule = find(function)
    if rule is None:
        raise MissingRule(f"operator {function.__name__} is not supported", t.loc)
    return t.wrap(rule(t.op, *(_operand(t, o) for o in operands)))


def _joins(function: Any, operands: Sequence[Any]) -> bool:
    """Whether an operator on containers makes a longer one: a sum of two, or a multiple."""
    containers = [o for o in operands if isinstance(o, tuple | list)]
    if function is operator.mul:
        return len(containers) == 1 and any(isinstance(o, int) for o in operands)
    return function is operator.add and len(containers) == 2


def made_list(t: Tracer, items: Any) -> ListValue:
    """A list born in the current region."""
    made = ListValue(items)
    made.born = t.regions[-1].serial
    return made


def require_own(t: Tracer, container: Any) -> None:
    """Refuse to change a list or dict that was not made in the region that is being traced."""
    born = container.born if isinstance(container, ListValue) else t.dicts.get(id(container))
    if born is None:
        raise StaticValueRequired("a list or dict from outside the function is changed", t.loc, "Make a new one.")
    if born != t.regions[-1].serial:
        raise StaticValueRequired(
            "a list or dict made outside changes in a loop or branch known only at run time", t.loc, "Fill an array."
        )


def truth(t: Tracer, value: Any) -> Any:
    """The truth of a value: a bool known while tracing, or the handle of a condition."""
    if is_array(value):
        raise InvalidArgument(
            "the truth value of an array is ambiguous", t.loc, "Use np.where, a.any() or a.all(), or index one element."
        )
    if not isinstance(value, Handle):
        return _known_truth(t, value)
    handle = t.read(value)
    return handle if handle.type.dtype == "bool" else handle != 0


def _known_truth(t: Tracer, value: Any) -> Any:
    """The truth of what is known, asked of a class of the user's as Python asks."""
    from adcompile.frontend.calls import call

    method = special(t, value, "__bool__") or special(t, value, "__len__")
    return bool(value) if method is None else truth(t, call(t, method, [], {}))


# -- rules ------------------------------------------------------------------------------------------------------


def _constant(t: Tracer, node: ast.Constant) -> Any:
    if isinstance(node.value, complex):
        raise UnsupportedSyntax("complex numbers are not supported", t.loc, "Carry real and imaginary parts.")
    return node.value


def _name(t: Tracer, node: ast.Name) -> Any:
    return t.lookup(node.id)


def _binary(t: Tracer, node: ast.BinOp) -> Any:
    left, right = evaluate(t, node.left), evaluate(t, node.right)
    with t.locating(node):
        return operate(t, OPERATORS[type(node.op)], left, right)


def _unary(t: Tracer, node: ast.UnaryOp) -> Any:
    value = condition(t, node.operand) if isinstance(node.op, ast.Not) else evaluate(t, node.operand)
    with t.locating(node):
        return operate(t, OPERATORS[type(node.op)], value)


def _compare(t: Tracer, node: ast.Compare) -> Any:
    result: Any = True
    left = evaluate(t, node.left)
    for symbol, right_node in zip(node.ops, node.comparators, strict=True):
        right = evaluate(t, right_node)
        with t.locating(node):
            result = _both(t, result, _compare_two(t, symbol, left, right))
        if result is False:
            return False
        left = right
    return result


def _both(t: Tracer, a: Any, b: Any) -> Any:
    if a is True:
        return b
    return t.wrap(t.op.logical_and(truth(t, a), truth(t, b)))


def _compare_two(t: Tracer, symbol: ast.cmpop, left: Any, right: Any) -> Any:
    if isinstance(symbol, ast.Is | ast.IsNot):
        same = left is right
        return same if isinstance(symbol, ast.Is) else not same
    if isinstance(symbol, ast.In | ast.NotIn):
        if has_dynamic(left) or has_dynamic(right):
            raise StaticValueRequired("`in` needs values known while tracing", t.loc, "Compare the elements.")
        return contains(t, left, right) == isinstance(symbol, ast.In)
    return operate(t, OPERATORS[type(symbol)], left, right)


def _tuple(t: Tracer, node: ast.Tuple) -> Any:
    return tuple(_items(t, node.elts))


def _list(t: Tracer, node: ast.List) -> Any:
    return made_list(t, _items(t, node.elts))


def _items(t: Tracer, nodes: list[ast.expr]) -> list[Any]:
    items: list[Any] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            items += static_items(t, evaluate(t, node.value))
        else:
            items.append(evaluate(t, node))
    return items


def is_sequence(value: Any) -> TypeGuard[Iterable[Any]]:
    """Whether a value is a container of Python's own that can be looped over while tracing."""
    return isinstance(value, _SEQUENCES)


_SEQUENCES = (dict, tuple, list, str, type({}.keys()), type({}.values()), type({}.items()))


def static_items(t: Tracer, value: Any) -> list[Any]:
    """The elements of a container whose length is known while tracing."""
    if isinstance(value, Range) and not has_dynamic((value.start, value.stop, value.step)):
        return list(range(value.start, value.stop, value.step))
    if is_sequence(value):
        return [*value]
    if isinstance(value, Reference):
        handle = t.read(value)
        if isinstance(handle.type.dims[0], int):
            return [t.wrap(subscript(t.op, handle, k)) for k in range(handle.type.dims[0])]
    raise StaticValueRequired(
        "the number of elements must be known while tracing", t.loc, "Loop over it with `for`, or index it."
    )


def made_dict(t: Tracer) -> dict[Any, Any]:
    """An empty dict born in the current region."""
    made: dict[Any, Any] = {}
    t.held.append(made)
    t.dicts[id(made)] = t.regions[-1].serial
    return made


def _dict(t: Tracer, node: ast.Dict) -> Any:
    made = made_dict(t)
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            made.update(evaluate(t, value))
        else:
            made[evaluate(t, key)] = evaluate(t, value)
    return made


def _attribute(t: Tracer, node: ast.Attribute) -> Any:
    value = evaluate(t, node.value)
    with t.locating(node):
        return attribute(t, value, node.attr)


def view(t: Tracer, base: Reference, how: Any) -> Reference:
    """A view of an array object."""
    return Reference(None, t.regions[-1].serial, base, how)


def _subscript(t: Tracer, node: ast.Subscript) -> Any:
    value = evaluate(t, node.value)
    key = index_value(t, node.slice)
    with t.locating(node):
        return get_item(t, value, key)


def index_value(t: Tracer, node: ast.expr) -> Any:
    """A subscript: slices become Python slices, arrays handles."""
    if isinstance(node, ast.Tuple):
        return tuple(index_value(t, e) for e in node.elts)
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if p is None else t.read(evaluate(t, p)) for p in parts))
    return t.read(evaluate(t, node))


def get_item(t: Tracer, value: Any, key: Any) -> Any:
    """``value[key]``."""
    if isinstance(value, Handle):
        if key != ():
            raise InvalidArgument("a number cannot be indexed", t.loc)
        return value
    if not isinstance(value, Reference):
        if is_dynamic(key):
            raise StaticValueRequired(
                "the index of a tuple, list or dict must be known while tracing",
                t.loc,
                "Stack equal arrays with np.stack.",
            )
        method = special(t, value, "__getitem__")
        if method is not None:
            from adcompile.frontend.calls import call

            return call(t, method, [key], {})
        try:
            return value[key]
        except (LookupError, TypeError) as error:
            raise InvalidArgument(f"{type(error).__name__}: {error}", t.loc) from None
    handle = t.read(value)
    spec, args = resolve_subscript(t.op, handle, key)
    if all(entry[0] in ("int", "slice", "new") for entry in spec):
        part = Part(tuple(spec), tuple(args))
        if any(entry[0] != "int" for entry in spec):
            return view(t, value, part)
        return t.op.handle(part.read(t.op, handle).atom)
    return t.wrap(t.op("index", handle, *args, spec=tuple(spec)))


def _lambda(t: Tracer, node: ast.Lambda) -> Any:
    return closure(t, node, "<lambda>")


def closure(t: Tracer, node: Any, name: str) -> Closure:
    """A function defined inside a traced function."""
    arguments = node.args
    defaults = tuple(evaluate(t, d) for d in arguments.defaults)
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    keywords = {a.arg: evaluate(t, d) for a, d in pairs if d is not None}
    return Closure(Definition(node, t.frame.definition.file, name), t.frame, defaults, keywords)


def _comprehension(t: Tracer, node: ast.ListComp | ast.GeneratorExp) -> Any:
    made: list[Any] = []
    _generate(t, node.generators, lambda: made.append(evaluate(t, node.elt)))
    return made_list(t, made)


def _dict_comprehension(t: Tracer, node: ast.DictComp) -> Any:
    made = made_dict(t)
    _generate(t, node.generators, lambda: made.__setitem__(evaluate(t, node.key), evaluate(t, node.value)))
    return made


def _generate(t: Tracer, generators: list[ast.comprehension], emit: Callable[[], None]) -> None:
    from adcompile.frontend.statements import bind_target

    saved = dict(t.frame.locals)
    head, *rest = generators
    for item in static_items(t, evaluate(t, head.iter)):
        bind_target(t, head.target, item)
        kept = [condition(t, c) for c in head.ifs]
        if any(isinstance(k, Handle) for k in kept):
            raise StaticValueRequired("the condition of a comprehension must be known while tracing", t.loc)
        if all(kept):
            _generate(t, rest, emit) if rest else emit()
    t.frame.locals.clear()
    t.frame.locals.update(saved)


def _walrus(t: Tracer, node: ast.NamedExpr) -> Any:
    value = evaluate(t, node.value)
    t.assign(node.target.id, value)
    return value


def _joined(t: Tracer, node: ast.JoinedStr) -> str:
    """An f-string; what is known only at run time shows as its source text."""
    words = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            words.append(str(part.value))
            continue
        value = evaluate(t, part.value)  # type: ignore[attr-defined]
        words.append(f"{{{ast.unparse(part.value)}}}" if has_dynamic(value) else format(value))  # type: ignore[attr-defined]
    return "".join(words)


def _conditional(t: Tracer, node: ast.IfExp) -> Any:
    from adcompile.frontend.merging import choose

    test = condition(t, node.test)
    if isinstance(test, bool):
        return evaluate(t, node.body if test else node.orelse)
    return choose(t, test, lambda: evaluate(t, node.body), lambda: evaluate(t, node.orelse))


def _boolean(t: Tracer, node: ast.BoolOp) -> Any:
    """``and`` / ``or`` as a value: one of the operands, as in Python; what the left side decides is not run."""
    from adcompile.frontend.merging import choose

    value, test, remaining = _first(t, node)
    if remaining is None:
        return value
    stops = isinstance(node.op, ast.Or)
    if isinstance(test, bool):
        return value if test == stops else evaluate(t, remaining)
    decided, other = (lambda: t.read(value)), (lambda: evaluate(t, remaining))
    return choose(t, test, decided, other) if stops else choose(t, test, other, decided)


def condition(t: Tracer, node: ast.expr) -> Any:
    """The truth of an expression where only that is asked for (``if``, ``while``, ``not``)."""
    from adcompile.frontend.merging import choose

    if not isinstance(node, ast.BoolOp):
        return truth(t, evaluate(t, node))
    with t.locating(node):
        first, *rest = node.values
        test = condition(t, first)
        if not rest:
            return test
        remaining = _joined_rest(node, rest)
        stops = isinstance(node.op, ast.Or)
        if isinstance(test, bool):
            return test if test == stops else condition(t, remaining)
        decided, other = (lambda: t.op.handle(test.atom)), (lambda: _as_handle(t, condition(t, remaining)))
        return choose(t, test, decided, other) if stops else choose(t, test, other, decided)


def _first(t: Tracer, node: ast.BoolOp) -> tuple[Any, Any, ast.expr | None]:
    """The first operand's value and truth, and the expression of the others."""
    first, *rest = node.values
    value = evaluate(t, first)
    return value, truth(t, value), _joined_rest(node, rest) if rest else None


def _joined_rest(node: ast.BoolOp, rest: list[ast.expr]) -> ast.expr:
    return rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(node.op, rest), node)


def _as_handle(t: Tracer, test: Any) -> Handle:
    return test if isinstance(test, Handle) else t.op.handle(t.op.atom(test))


def _call(t: Tracer, node: ast.Call) -> Any:
    from adcompile.frontend.calls import call

    function = evaluate(t, node.func)
    args = _items(t, node.args)
    keywords: dict[str, Any] = {}
    for word in node.keywords:
        value = evaluate(t, word.value)
        keywords.update(value if word.arg is None else {word.arg: value})
    with t.locating(node):
        return call(t, function, args, keywords)


EXPRESSIONS: dict[type[ast.expr], Callable[[Tracer, Any], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _conditional,
    ast.Call: _call,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Slice: index_value,
    ast.Tuple: _tuple,
    ast.List: _list,
    ast.Dict: _dict,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.Lambda: _lambda,
    ast.NamedExpr: _walrus,
    ast.JoinedStr: _joined,
}

__all__ = [
    "EXPRESSIONS",
    "attribute",
    "evaluate",
    "get_item",
    "np",
    "operate",
    "static_items",
    "truth",
    "view",
]

"""Calls: of primitives and NumPy functions, of the user's functions (traced in place), of adcompile's transforms."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import AdcompileError, InvalidArgument, MissingRule, UnsupportedSyntax
from adcompile.frontend.attributes import attribute
from adcompile.frontend.dependencies import Access
from adcompile.frontend.expressions import is_sequence, made_list, require_own, static_items, view
from adcompile.frontend.resolve import Scope, define, plain_function, unwrap
from adcompile.frontend.special import special
from adcompile.frontend.tracer import MAX_DEPTH, Frame, Tracer
from adcompile.frontend.values import Closure, Method, Range, Reference, has_dynamic, is_dynamic
from adcompile.frontend.views import Frozen, Reshaped, Transposed, in_c_order
from adcompile.primitives import ATTRIBUTES, METHODS, VIEWS, Handle, find
from adcompile.primitives.subscripts import resolve_subscript
from adcompile.tree import flatten, map_leaves, unflatten

_PACKAGE = __file__.rsplit("/frontend/", 1)[0]
FRAMES_PER_CALL = 120
"""Python frames that tracing one call of the user's may need, nested expressions and branches included."""
INLINE = "__adcompile_inline__"
"""A callable with this attribute traces itself: ``f.__adcompile_inline__(tracer, args, keywords) → value``."""
STATIC = "__adcompile_static__"
"""A callable with this attribute runs while tracing, on whatever it is given (``adcompile.grad`` and its siblings)."""


def call(t: Tracer, function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """The value of ``function(*args, **keywords)``."""
    if isinstance(function, Method):
        return _call_method(t, function, args, keywords)
    if isinstance(function, Closure):
        return call_closure(t, function, args, keywords)
    if isinstance(function, functools.partial):
        given, named = _bound(t, function)
        return call(t, function.func, [*given, *args], {**named, **keywords})
    if isinstance(function, types.MethodType):
        return call(t, function.__func__, [_receiver(t, function.__self__), *args], keywords)
    if hasattr(function, INLINE) and not isinstance(function, type):
        return getattr(function, INLINE)(t, args, keywords)
    if getattr(function, "__name__", "") == "prange":
        return _range(t, *args)
    if hasattr(function, STATIC):
        return function(*args, **keywords)
    special = _SPECIAL.get(function) if _hashable(function) else None
    if special is not None:
        return special(t, *args, **keywords)
    rule = find(function)
    if rule is not None:
        return _call_rule(t, function, rule, args, keywords)
    return _call_other(t, function, args, keywords)


def _bound(t: Tracer, function: functools.partial) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments that a partial call holds; those of one from outside are watched, arrays become parameters."""
    if any(function is made for made in t.held):
        return function.args, function.keywords
    name = type(function).__name__
    given = t.lift(function.args, Access("attribute", function, "args"), f"{name}:args")
    return given, t.lift(function.keywords, Access("attribute", function, "keywords"), f"{name}:keywords")


def _receiver(t: Tracer, owner: Any) -> Any:
    """The object of a method; one from outside is watched, and its arrays become parameters."""
    return owner if has_dynamic(owner) else t.lift(owner, Access("itself", owner), type(owner).__name__)


def _hashable(function: Any) -> bool:
    try:
        hash(function)
    except TypeError:
        return False
    return True


def _call_other(t: Tracer, function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    if isinstance(function, type):
        return _construct(t, function, args, keywords)
    if isinstance(unwrap(function), types.FunctionType) and not _is_library(unwrap(function)):
        return call_function(t, unwrap(function), args, keywords)
    receiver = getattr(function, "__self__", None)
    if isinstance(receiver, list | dict) and getattr(function, "__name__", "") in _MUTATORS:
        require_own(t, receiver)
        return function(*args, **keywords)
    if not has_dynamic(list(args)) and not has_dynamic(dict(keywords)):
        return _call_known(t, function, args, keywords)
    name = getattr(function, "__name__", type(function).__name__)
    module = getattr(function, "__module__", "") or ""
    call_method = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(call_method, types.FunctionType):
        return call_function(t, call_method, [_receiver(t, function), *args], keywords)
    raise MissingRule(
        f"{module}{'.' if module else ''}{name} is not a supported function",
        t.loc,
        "Write it with supported ones (docs/language.md lists them).",
    )


def _is_library(function: types.FunctionType) -> bool:
    home = function.__module__ or ""
    return home.split(".")[0] in ("numpy", "scipy") or function.__code__.co_filename.startswith(_PACKAGE)


def _call_known(t: Tracer, function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """A call whose arguments are all known: run now, where that has no effect on anything but its result."""
    method = special(t, args[0], f"__{getattr(function, '__name__', '')}__") if args else None
    if method is not None:  # abs(), float() and their like
        return call(t, method, args[1:], keywords)
    home = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    module = "random" if "random" in home else home.split(".")[0]
    if module not in ("builtins", "math", "operator", "numpy") or getattr(function, "__name__", "") in _EFFECTS:
        raise MissingRule(
            f"{getattr(function, '__name__', function)!r} cannot be called in a traced function", t.loc,
            "Call it outside and pass the result in.",
        )  # fmt: skip
    if not _repeats(function, module):
        t.depend(None, Access("unrepeatable", object()), getattr(function, "__name__", ""))
    try:
        return function(*args, **keywords)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InvalidArgument(str(error), t.loc) from error


def _repeats(function: Any, module: str) -> bool:
    """Whether a call gives in another process what it gives in this one."""
    if module != "numpy":
        return function not in (hash, id, dir, issubclass)
    if isinstance(function, type):
        return issubclass(function, np.generic | np.dtype | np.finfo | np.iinfo)
    return (
        isinstance(function, np.ufunc) or find(function) is not None or getattr(function, "__self__", None) is not None
    )


_EFFECTS = {
    *("print", "open", "input", "exec", "eval", "setattr", "delattr", "globals", "locals", "vars", "seed", "next"),
    *("load", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap", "save", "savetxt", "savez", "tofile"),
}
"""What reads or changes something that no argument shows."""
_MUTATORS = {"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "reverse", "sort"}


# -- primitives and NumPy ---------------------------------------------------------------------------------------


def _call_rule(t: Tracer, function: Any, rule: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    if isinstance(function, np.ufunc) and len(args) > function.nin:
        args, keywords = args[: function.nin], {**keywords, "out": args[function.nin]}
    if keywords.get("out") is not None:
        return _call_into(t, function, args, keywords)
    plain = all(not is_dynamic(v) for v in (*flatten(list(args))[0], *flatten(dict(keywords))[0]))
    if plain and _is_pure_number_function(function, args):
        return _call_known(t, function, args, keywords)
    result = _run_rule(t, rule, args, keywords)
    return shared(t, function, args[0] if args else None, result)


def _call_into(t: Tracer, function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """A NumPy function with ``out=``: the result is written there."""
    from adcompile.frontend.statements import write_elements

    out = keywords["out"]
    if not isinstance(out, Reference):
        raise InvalidArgument("out= must be an array", t.loc)
    write_elements(t, out, Ellipsis, call(t, function, args, {k: v for k, v in keywords.items() if k != "out"}))
    return out


def _add_at(t: Tracer, array: Any, key: Any, value: Any) -> None:
    """``np.add.at``: repeated subscripts are added each time."""
    handle = t.read(array)
    key = tuple(map(t.read, key)) if isinstance(key, tuple) else t.read(key)
    spec, places = resolve_subscript(t.op, handle, key)
    t.write(array, t.op("accumulate", handle, t.read(value), *places, spec=tuple(spec)))


def _subtract_at(t: Tracer, array: Any, key: Any, value: Any) -> None:
    """``np.subtract.at``."""
    _add_at(t, array, key, -t.op.handle(t.op.atom(t.read(value))))


def _copyto(t: Tracer, target: Any, source: Any) -> None:
    """``np.copyto(target, source)``."""
    from adcompile.frontend.statements import write_elements

    write_elements(t, target, Ellipsis, source)


def _is_pure_number_function(function: Any, args: Sequence[Any]) -> bool:
    module = getattr(function, "__module__", "") or ""
    return module in ("math", "_operator", "builtins") or (
        isinstance(function, np.ufunc) and all(isinstance(a, bool | int | float | np.generic) for a in args)
    )


def _run_rule(t: Tracer, rule: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    try:
        return rule(t.op, *_reads(t, args), **{k: _reads(t, [v])[0] for k, v in keywords.items()})
    except AdcompileError as error:
        raise error.at(t.loc) from None
    except TypeError as error:
        raise InvalidArgument(_clean(str(error)), t.loc) from error


def _reads(t: Tracer, values: Sequence[Any]) -> list[Any]:
    return [map_leaves(t.read, value) if has_dynamic(value) else value for value in values]


def _clean(text: str) -> str:
    """The message of a wrong call without the name of our own rule."""
    return text.split("() ", 1)[-1]


def shared(t: Tracer, function: Any, base: Any, result: Any) -> Any:
    """The result of a function, method or attribute as a traced value: a view where NumPy gives one, or may."""
    if isinstance(result, tuple | list):
        return type(result)(shared(t, function, base, item) for item in result)
    is_view = isinstance(base, Reference) and isinstance(result, Handle) and result.rank and function in VIEWS
    if not is_view:
        return t.wrap(result)
    source = t.read(base)
    if result.atom is source.atom:
        return base
    eqn = t.op.builder.definition(result.atom)
    if eqn is not None and eqn.args and eqn.args[0] is source.atom:
        if eqn.op == "transpose":
            return view(t, base, Transposed(eqn.attrs["perm"]))
        if eqn.op == "reshape" and in_c_order(t, base):
            return view(t, base, Reshaped(tuple(map(t.op.handle, eqn.args[1:])), eqn.attrs["dims"]))
    return view(t, base, Frozen(result, source.atom))


def _call_method(t: Tracer, method: Method, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    if method.name == "fill":
        return _copyto(t, method.receiver, *args)
    result = _run_rule(t, method.rule, [method.receiver, *args], keywords)
    return shared(t, method.name, method.receiver, result)


# -- the user's functions ---------------------------------------------------------------------------------------


def call_function(t: Tracer, function: types.FunctionType, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Trace a Python function in place of its call."""
    function = plain_function(function, t.loc)
    code = function.__code__
    t.depend(code, Access("attribute", function, "__code__"), "__code__")
    definition = define(code)
    t.depend("".join(definition.lines), Access("lines", code, str(len(definition.lines))), "source", lasting=True)
    defaults = t.lift(function.__defaults__, Access("attribute", function, "__defaults__"), "__defaults__")
    more = t.lift(function.__kwdefaults__, Access("attribute", function, "__kwdefaults__"), "__kwdefaults__")
    return run(t, Frame(definition, Scope(function)), args, keywords, defaults or (), more or {})


def call_closure(t: Tracer, closure: Closure, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Trace a function that was defined inside a traced one."""
    frame = Frame(closure.definition, None, closure.frame)
    return run(t, frame, args, keywords, closure.defaults, closure.keyword_defaults)


def run(
    t: Tracer,
    frame: Frame,
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    defaults: Sequence[Any],
    keyword_defaults: Mapping[str, Any],
) -> Any:
    """Bind the arguments in a new frame and trace the body; the value it returns."""
    from adcompile.frontend.expressions import evaluate
    from adcompile.frontend.statements import execute_body

    frame.locals.update(_bind(t, frame, args, keywords, defaults, keyword_defaults))
    if len(t.frames) >= MAX_DEPTH:
        raise UnsupportedSyntax(
            f"calls nest more than {MAX_DEPTH} deep", t.loc, "Recursion must end for values known while tracing."
        )
    loc = t.loc
    t.frames.append(frame)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), FRAMES_PER_CALL * MAX_DEPTH))
    try:
        node = frame.definition.node
        import ast

        if isinstance(node, ast.Lambda):
            return evaluate(t, node.body)
        return execute_body(t, node.body)
    finally:
        t.frames.pop()
        t.loc = loc
        t.op.builder.loc = loc


def _bind(
    t: Tracer, frame: Frame, args: Sequence[Any], keywords: Mapping[str, Any], defaults: Sequence[Any], more: Mapping
) -> dict[str, Any]:
    signature = signature_of(frame.definition.node, defaults, more)
    try:
        bound = signature.bind(*args, **keywords)
    except TypeError as error:
        raise InvalidArgument(f"{frame.definition.name}() {error}", t.loc) from None
    bound.apply_defaults()
    return dict(bound.arguments)


def signature_of(node: Any, defaults: Sequence[Any], keyword_defaults: Mapping[str, Any]) -> inspect.Signature:
    """The signature of a definition with the given default values."""
    a = node.args
    kind = inspect.Parameter
    positional = [
        *((x.arg, kind.POSITIONAL_ONLY) for x in a.posonlyargs),
        *((x.arg, kind.POSITIONAL_OR_KEYWORD) for x in a.args),
    ]
    given = [kind.empty] * (len(positional) - len(defaults)) + list(defaults)
    params = [kind(n, k, default=d) for (n, k), d in zip(positional, given, strict=True)]
    if a.vararg:
        params.append(kind(a.vararg.arg, kind.VAR_POSITIONAL))
    params += [kind(x.arg, kind.KEYWORD_ONLY, default=keyword_defaults.get(x.arg, kind.empty)) for x in a.kwonlyargs]
    if a.kwarg:
        params.append(kind(a.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(params)


def _construct(t: Tracer, kind: type, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """An instance of a namedtuple or dataclass, or of a plain type from known values."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind(*args, **keywords)
    if dataclasses.is_dataclass(kind):
        return kind(*args, **keywords)
    if issubclass(kind, BaseException) or kind in (slice, str, functools.partial):
        made = kind(*args, **keywords)
        t.held.append(made)
        return made
    if not has_dynamic(list(args)) and not has_dynamic(dict(keywords)):
        return _call_known(t, kind, args, keywords)
    raise MissingRule(f"objects of class {kind.__name__} are not supported", t.loc, "Use a namedtuple or a dataclass.")


# -- builtins that look at structure ----------------------------------------------------------------------------


def _len(t: Tracer, value: Any) -> Any:
    if isinstance(value, Reference):
        size = t.op.size(t.read(value), 0)
        return size
    if isinstance(value, Handle):
        raise InvalidArgument("a number has no len()", t.loc)
    method = special(t, value, "__len__")
    return len(value) if method is None else call(t, method, [], {})


def _range(t: Tracer, *bounds: Any) -> Range:
    bounds = tuple(t.read(b) for b in bounds)
    if len(bounds) == 1:
        bounds = (0, bounds[0])
    return Range(bounds[0], bounds[1], bounds[2] if len(bounds) > 2 else 1)


def _tuple(t: Tracer, value: Any = ()) -> tuple:
    return tuple(static_items(t, value))


def _list(t: Tracer, value: Any = ()) -> list:
    return made_list(t, static_items(t, value))


def _sorted(t: Tracer, value: Any, *, key: Any = None, reverse: bool = False) -> Any:
    items = static_items(t, value)
    if key is not None or has_dynamic(items):
        raise MissingRule("sorted() of values known only at run time", t.loc, "Use np.sort, or np.argsort.")
    return made_list(t, sorted(items, reverse=reverse))


def _reduce(t: Tracer, function: Any, iterable: Any, *initial: Any) -> Any:
    items = [*initial, *static_items(t, iterable)]
    if not items:
        raise InvalidArgument("reduce() of empty iterable with no initial value", t.loc)
    return functools.reduce(lambda total, item: call(t, function, [total, item], {}), items)


def _reversed(t: Tracer, value: Any) -> Any:
    if isinstance(value, Range) and isinstance(value.step, int) and abs(value.step) == 1:
        return Range(value.stop - value.step, value.start - value.step, -value.step)
    return static_items(t, value)[::-1]


def _isinstance(t: Tracer, value: Any, kinds: Any) -> bool:
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if any(type(kind) is not type for kind in kinds):  # abstract classes, which others may join at any time
        t.depend(None, Access("unrepeatable", object()), "isinstance")
    if isinstance(value, Reference):
        return np.ndarray in kinds
    if isinstance(value, Handle):
        weak = getattr(value.type, "weak", False)
        python = {"float64": float, "int64": int, "bool": bool}.get(value.type.dtype)
        return python in kinds if weak else any(issubclass(np.dtype(value.type.dtype).type, k) for k in kinds)
    return isinstance(value, kinds)


def _getattr(t: Tracer, value: Any, name: str, *default: Any) -> Any:
    try:
        return attribute(t, value, name)
    except InvalidArgument:
        if not default:
            raise
        t.depend(False, Access("has", value, name), f"hasattr {name}")
        return default[0]


def _hasattr(t: Tracer, value: Any, name: str) -> bool:
    if is_dynamic(value):
        return name in ATTRIBUTES or name in METHODS
    found = hasattr(value, name)
    t.depend(found, Access("has", value, name), f"hasattr {name}")
    return found


def _map(t: Tracer, function: Any, *iterables: Any) -> list:
    columns = [static_items(t, i) for i in iterables]
    return made_list(t, [call(t, function, list(row), {}) for row in zip(*columns, strict=False)])


def _zip(t: Tracer, *iterables: Any, strict: bool = False) -> Any:
    from adcompile.frontend.iteration import Zipped, iteration

    if all(is_sequence(i) for i in iterables):
        return list(zip(*(static_items(t, i) for i in iterables), strict=strict))
    return Zipped([iteration(t, i) for i in iterables])


def _enumerate(t: Tracer, iterable: Any, start: Any = 0) -> Any:
    from adcompile.frontend.iteration import Numbered, iteration

    if is_sequence(iterable):
        return list(enumerate(static_items(t, iterable), start))
    return Numbered(iteration(t, iterable), start)


_SPECIAL: dict[Any, Any] = {
    len: _len,
    range: _range,
    tuple: _tuple,
    list: _list,
    reversed: _reversed,
    isinstance: _isinstance,
    getattr: _getattr,
    hasattr: _hasattr,
    map: _map,
    zip: _zip,
    enumerate: _enumerate,
    sorted: _sorted,
    functools.reduce: _reduce,
    np.add.at: _add_at,
    np.subtract.at: _subtract_at,
    np.copyto: _copyto,
}

__all__ = ["INLINE", "STATIC", "call", "call_function", "unflatten"]

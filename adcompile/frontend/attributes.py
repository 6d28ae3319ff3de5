"""Attributes: of traced arrays and numbers, containers, modules and objects from outside."""

from __future__ import annotations

import inspect
import types
from typing import Any

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.frontend.dependencies import LIBRARIES, Access
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import Method, has_dynamic, is_dynamic
from adcompile.primitives.method_names import ATTRIBUTES, METHODS
from adcompile.tree import children_of


def attribute(t: Tracer, value: Any, name: str) -> Any:
    """``value.name``: of a traced array or number, a container, a module or an object from outside."""
    if is_dynamic(value):
        if name in ATTRIBUTES:
            from adcompile.frontend.calls import shared

            return shared(t, name, value, ATTRIBUTES[name](t.op, t.read(value)))
        if name in METHODS or name == "fill":
            return Method(value, METHODS.get(name), name)
        raise MissingRule(f"arrays have no supported attribute {name!r}", t.loc, "See docs/language.md.")
    parts = None if isinstance(value, type) else children_of(value)
    written = inspect.getattr_static(type(value), name, None)
    if parts is not None and isinstance(written, property):
        return _property(t, value, name, written)
    try:
        found = getattr(value, name)
    except AttributeError as error:
        raise InvalidArgument(str(error), t.loc) from None
    owner = getattr(value, "__name__", type(value).__name__)
    if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] in LIBRARIES:
        t.depend(found, Access("attribute", value, name), f"{owner}:{name}", lasting=True)
        return found
    if parts is None:
        return t.lift(found, Access("attribute", value, name), f"{owner}:{name}")
    return found if name in parts[0] or has_dynamic(found) else _beside(t, value, name, found)


def _property(t: Tracer, value: Any, name: str, written: property) -> Any:
    """A property of a container, whose parts may be known only at run time: its function is traced."""
    from adcompile.frontend.calls import call

    t.depend(written, Access("attribute", type(value), name), f"{type(value).__name__}:{name}")
    return call(t, written.fget, [value], {})


def _beside(t: Tracer, value: Any, name: str, found: Any) -> Any:
    """An attribute that is no part of a container: a method, a constant of its class, or what it has besides."""
    if isinstance(found, types.BuiltinFunctionType):
        return found
    own = name in getattr(value, "__dict__", ())
    access = Access("attribute", value if own else type(value), name)
    label, held = f"{type(value).__name__}:{name}", found if own else getattr(type(value), name, None)
    if held is found:
        return t.lift(found, access, label)
    t.depend(held, access, label)
    return found

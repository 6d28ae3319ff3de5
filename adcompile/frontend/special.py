"""Special methods that classes of the user give their objects: operators, ``__len__``, ``__contains__`` and others."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Sequence
from typing import Any

from adcompile.frontend.attributes import attribute
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import is_dynamic


def special(t: Tracer, value: Any, name: str) -> Any:
    """A special method (an operator, ``__len__``) that a class of the user's own gives its objects; None without one.

    It must be traced, and not run: what it reads of the object would not be noted.
    """
    kind = type(value)
    if is_dynamic(value) or kind.__module__.split(".")[0] in _NOT_THE_USERS:
        return None
    method = inspect.getattr_static(kind, name, None)
    if not isinstance(method, types.FunctionType) or method.__code__.co_filename == "<string>":
        return None
    return attribute(t, value, name)


_NOT_THE_USERS = frozenset(("adcompile", "numpy", "scipy", "numba", *sys.stdlib_module_names)) - {"__main__"}


def user_operator(t: Tracer, function: Any, operands: Sequence[Any]) -> Any:
    """What an operator of a class of the user's gives, the left operand asked first; NotImplemented without one."""
    name = function.__name__.strip("_")
    for this, others, word in ((0, 1, name), (1, 0, _REFLECTED.get(name, f"r{name}"))):
        method = special(t, operands[this], f"__{word}__") if this < len(operands) else None
        if method is not None:
            from adcompile.frontend.calls import call

            found = call(t, method, operands[others : others + 1], {})
            if found is not NotImplemented:
                return found
    return NotImplemented


_REFLECTED = {"eq": "eq", "ne": "ne", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def contains(t: Tracer, item: Any, container: Any) -> bool:
    """Whether a container known while tracing holds an item."""
    from adcompile.frontend.calls import call

    method = special(t, container, "__contains__")
    return item in container if method is None else bool(call(t, method, [item], {}))

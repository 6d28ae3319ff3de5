"""What a value is, said so that another process can tell whether it has the same: plain lists of strings and numbers.

Numbers are said by type and value, arrays that are parameters by signature and others by content, functions by their
bytecode, names and place, classes by their functions, objects by their class; what a trace reads of an object is a
dependency of its own (`adcompile.frontend.dependencies`). Every object is numbered when it is met first and only named
by its number after that, so that equal descriptions mean the same identities too. Deny by default: a value of any other
kind raises `NotDurable`, and a program that depends on it is not kept.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import functools
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adcompile import disk
from adcompile.tree import children_of, flatten

STATE = "__adcompile_state__"
"""A method of adcompile's own callables: what a trace of a call of them depends on."""
_LIBRARIES = (
    *("builtins", "math", "_operator", "_functools", "functools", "abc", "typing", "collections"),
    *("numpy", "scipy", "adcompile"),
)
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc, type(np.sum))
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_CONTAINERS = (tuple, list, dict, collections.OrderedDict)
_INERT = {
    *(f"__{name}__" for name in ("repr", "str", "dir", "sizeof", "reduce", "getstate", "setstate", "copy", "deepcopy")),
    *(f"__{name}__" for name in ("getattr", "getattribute", "get", "set", "set_name", "delete", "setattr", "delattr")),
    *(f"__{name}__" for name in ("call", "del", "enter", "exit", "init_subclass", "annotate", "annotate_func")),
}
"""Special methods that tracing does not run behind our back: it traces them, or looks at what they give."""
_MARKS = ("py_func", "__adcompile")
"""What attributes of a function begin with that mean something to the tracer."""
_NAMEDTUPLE = frozenset(vars(collections.namedtuple("_", "")))


class NotDurable(Exception):
    """Another process could not tell whether it has the same value."""


def library_name(value: Any) -> tuple[str, str] | None:
    """The module and the name under which a library, or adcompile, has a value; None for what is not in one."""
    if not isinstance(value, _NAMED):
        return None
    homes = ("numpy", "scipy.special") if isinstance(value, np.ufunc) else (value.__module__,)
    name = value.__name__ if isinstance(value, np.ufunc) else value.__qualname__
    for home in homes:
        if home is None or home.split(".")[0] not in _LIBRARIES or _find(home, name) is not value:
            continue
        written = value.__globals__["__name__"] if isinstance(value, types.FunctionType) else home
        if written.split(".")[0] == home.split(".")[0]:  # not a function that took a library's name and place
            return home, name
    return None


def _find(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


class Describer:
    """Describes values in order; see the module."""

    def __init__(self, objects: tuple[Any, ...] = ()):
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.parameters: set[int] = set()
        for value in objects:
            self.number(value)

    def copy(self) -> Describer:
        """Another one that has met the same objects."""
        return Describer(tuple(self.objects))

    def number(self, value: Any) -> int:
        """The number of an object."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self.numbers[id(value)]

    # -- references to what was met -------------------------------------------------------------------------------

    def refer(self, value: Any) -> Any:
        """How another describer that met the same values finds an object: its number, or its name in a library."""
        if value is None or id(value) in self.numbers:
            return None if value is None else self.numbers[id(value)]
        name = library_name(value)
        if name is None:
            raise NotDurable(f"{value!r} was not reached from the function")
        self._meet(value)
        return list(name)

    def held(self, reference: Any) -> Any:
        """The object of a reference."""
        if reference is None or isinstance(reference, int):
            return None if reference is None else self.objects[reference]
        importlib.import_module(reference[0])
        value = _find(*reference)
        self._meet(value)
        return value

    def _meet(self, value: Any) -> list[int]:
        """Number an object, and what holds the names of a function."""
        own = [self.number(value)]
        if isinstance(value, types.FunctionType):
            own += [self.number(value.__globals__), *map(self.number, value.__closure__ or ())]
        return own

    # -- descriptions ---------------------------------------------------------------------------------------------

    def describe_taken(self, value: Any) -> list[Any]:
        """The description of a dependency, whose arrays are parameters: they may hold anything."""
        self.parameters.update(id(leaf) for leaf in flatten(value)[0] if isinstance(leaf, np.ndarray))
        return self.describe(value)

    def describe(self, value: Any) -> list[Any]:
        """The description of a value."""
        kind = type(value)
        if kind in _PLAIN:
            return [kind.__name__, repr(value)]
        if id(value) in self.numbers:
            return ["again", self.numbers[id(value)]]
        name = library_name(value)
        if name is not None:
            return ["library", *name]
        return next((how for kinds, how in _HOWS if isinstance(value, kinds)), Describer._object)(self, value)

    def each(self, values: Any) -> list[Any]:
        """The descriptions of some values."""
        return [self.describe(value) for value in values]

    def _scalar(self, value: np.generic) -> list[Any]:
        if value.dtype.kind not in "biuf":
            raise NotDurable(f"a NumPy {value.dtype}")
        return ["scalar", value.dtype.str, value.tobytes().hex()]

    def _array(self, value: np.ndarray) -> list[Any]:
        if type(value) is not np.ndarray or value.dtype.kind not in "biuf":
            raise NotDurable(f"a {type(value).__name__} of {value.dtype}")
        about = [self.number(value), value.dtype.str, [n == 1 for n in value.shape]]
        if id(value) not in self.parameters:
            about += [list(value.shape), disk.key(value.tobytes().hex())]
        return ["array", *about]

    def _dtype(self, value: np.dtype) -> list[Any]:
        if value.kind not in "biuf":
            raise NotDurable(f"dtype {value}")
        return ["dtype", value.str]

    def _slice(self, value: slice) -> list[Any]:
        return ["slice", *self.each((value.start, value.stop, value.step))]

    def _module(self, value: types.ModuleType) -> list[Any]:
        return ["module", self.number(value), value.__name__]

    def _code(self, value: types.CodeType) -> list[Any]:
        return ["code", self.number(value), _text(value)]

    def _function(self, value: types.FunctionType) -> list[Any]:
        if any(name.startswith(_MARKS) for name in vars(value)):
            raise NotDurable(f"{value.__qualname__} has attributes that change how it is traced")
        names = [value.__module__, value.__qualname__, value.__name__]
        return ["function", self._meet(value), *names, _text(value.__code__)]

    def _method(self, value: types.MethodType) -> list[Any]:
        return ["method", *self.each((value.__func__, value.__self__))]

    def _builtin(self, value: types.BuiltinFunctionType) -> list[Any]:
        if value.__self__ is None or isinstance(value.__self__, types.ModuleType):
            raise NotDurable(f"the built-in function {value!r}")
        return ["built-in method", self.describe(value.__self__), value.__name__]

    def _partial(self, value: functools.partial) -> list[Any]:
        if type(value) is not functools.partial:
            raise NotDurable(f"a {type(value).__name__}")
        return ["partial", self.number(value), *self.each((value.func, value.args, value.keywords))]

    # -- classes and their objects --------------------------------------------------------------------------------

    def _class(self, value: type) -> list[Any]:
        if type(value) not in (type, abc.ABCMeta):
            raise NotDurable(f"{value.__name__} has a class of its own")
        about = [self.number(value), value.__module__, value.__qualname__, self.each(value.__bases__)]
        if dataclasses.is_dataclass(value):
            about.append([self._field(field) for field in dataclasses.fields(value)])
        if value.__bases__ == (tuple,) and "_fields" in vars(value):
            about.append(self.each((value._fields, value._field_defaults)))  # type: ignore[attr-defined]
        members = [(name, member) for name, member in vars(value).items() if not _is_generated(value, name, member)]
        return ["class", *about, [[name, self._member(value, name, member)] for name, member in members]]

    def _field(self, field: dataclasses.Field) -> list[Any]:
        if field.default_factory is not dataclasses.MISSING:
            raise NotDurable(f"the field {field.name} is made by a function")
        default = [] if field.default is dataclasses.MISSING else self.describe(field.default)
        return [field.name, default, field.init, bool(field.kw_only)]

    def _member(self, kind: type, name: str, member: Any) -> Any:
        """The functions of a class; its other members are dependencies where a trace reads them."""
        function = getattr(member, "__func__", member)
        if not isinstance(function, types.FunctionType):
            return self.describe(member) if name == "__match_args__" else type(member).__name__
        constructs = name == "__init__" and not dataclasses.is_dataclass(kind)
        if name.startswith("__") and name not in _INERT and not constructs:
            raise NotDurable(f"{kind.__name__}.{name} may run while tracing")
        return self.describe(function)

    def _container(self, value: Any, keys: Any, children: Any) -> list[Any]:
        if not _is_plain(type(value), _CONTAINERS):
            raise NotDurable(f"a {type(value).__name__}")
        return ["container", self.number(value), self.describe(type(value)), self.each(keys), self.each(children)]

    def _object(self, value: Any) -> list[Any]:
        kind, parts = type(value), children_of(value)
        if parts is not None:
            return self._container(value, *parts)
        if hasattr(kind, STATE) and library_name(kind) is not None:
            return ["adcompile", self.number(value), kind.__qualname__, self.each(getattr(value, STATE)())]
        if kind.__module__.split(".")[0] == "numba" and isinstance(getattr(value, "py_func", None), types.FunctionType):
            return ["dispatcher", self.number(value), self.describe(value.py_func)]
        if not _is_plain(kind, ()) or (library_name(kind) is not None and kind is not object):
            raise NotDurable(f"a {kind.__name__}")
        return ["object", self.number(value), self.describe(kind)]


def _is_generated(kind: type, name: str, member: Any) -> bool:
    """Whether a member of a class was written by `dataclass` or `namedtuple`, which say the same every time."""
    if "_fields" in vars(kind) and name in _NAMEDTUPLE:
        return True
    code = getattr(member, "__code__", None)
    written = isinstance(code, types.CodeType) and code.co_filename == "<string>"
    return written and "__dataclass_params__" in vars(kind)


def _is_plain(kind: type, builtins: tuple[type, ...]) -> bool:
    """Whether a class derives from classes written in Python and some built-in ones: its objects hide nothing."""
    return all(base is object or base in builtins or _is_written_in_python(base) for base in kind.__mro__)


def _is_written_in_python(kind: type) -> bool:
    """Whether a class can be changed, and its objects hold no more than their attributes."""
    shown = [m for name, m in vars(kind).items() if isinstance(m, types.MemberDescriptorType) or name in _HOLDERS]
    hidden = kind.__basicsize__ - (kind.__base__ or object).__basicsize__ - _POINTER * len(shown)
    return bool(kind.__flags__ & _HEAP_TYPE) and not kind.__flags__ & _IMMUTABLE_TYPE and hidden <= 0


_HOLDERS, _POINTER = ("__dict__", "__weakref__"), 8
_IMMUTABLE_TYPE, _HEAP_TYPE = 1 << 8, 1 << 9
"""Flags of a type object (CPython's object.h)."""
_HOWS: tuple[tuple[Any, Callable[[Describer, Any], list[Any]]], ...] = (
    (np.generic, Describer._scalar),
    (np.ndarray, Describer._array),
    (np.dtype, Describer._dtype),
    (slice, Describer._slice),
    (types.ModuleType, Describer._module),
    (types.CodeType, Describer._code),
    (types.FunctionType, Describer._function),
    (types.MethodType, Describer._method),
    (types.BuiltinFunctionType, Describer._builtin),
    (functools.partial, Describer._partial),
    (type, Describer._class),
)
"""Classes → how their objects are described; any other object by `Describer._object`."""


def _text(code: types.CodeType) -> list[Any]:
    """The bytecode of a function that stands in a file, where another process may find it."""
    if not Path(code.co_filename).is_file():
        raise NotDurable(f"{code.co_name} stands in no file")
    return code_text(code)


def code_text(code: types.CodeType) -> list[Any]:
    """All there is in the bytecode of a function, its place and its nested functions included."""
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_firstlineno]
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    where = [code.co_filename, code.co_name, code.co_qualname]
    parts = [code.co_code.hex(), code.co_linetable.hex(), code.co_exceptiontable.hex()]
    return [counts, *map(list, names), where, parts, [_constant(c) for c in code.co_consts]]


def _constant(value: Any) -> Any:
    """A constant of a function, its type and sign of zero included."""
    if isinstance(value, types.CodeType):
        return code_text(value)
    if isinstance(value, tuple):
        return ["tuple", *map(_constant, value)]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted(map(repr, map(_constant, value)))]
    return [type(value).__name__, repr(value)]

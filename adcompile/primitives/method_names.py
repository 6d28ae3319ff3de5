"""Methods and attributes of arrays and NumPy scalars: name → the function of the module ``np`` that means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument
from adcompile.ir.types import DTYPES
from adcompile.primitives import (
    numpy_creation,
    numpy_elementwise,
    numpy_products,
    numpy_rearranging,
    numpy_reductions,
    numpy_shapes,
)
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import count, refuse
from adcompile.primitives.math_names import python_float, python_int
from adcompile.primitives.registry import Rule


def _spread(rule: Rule, empty: Any) -> Rule:
    """Let a method take its tuple as separate arguments: ``x.reshape(2, 3)``."""

    def method(op: Any, x: Handle, *args: Any, **options: Any) -> Handle:
        if not args:
            return rule(op, x, options.pop("shape", empty), **options)
        packed = len(args) == 1 and (args[0] is None or isinstance(args[0], (tuple, list)))
        return rule(op, x, args[0] if packed else args, **options)

    return method


def flatten(op: Any, x: Handle, order: str = "C") -> Handle:
    """``x.flatten()``: always a copy."""
    refuse("flatten", order=None if order == "C" else order)
    flat = numpy_shapes.flatten(op, x)
    return op.copy(flat) if flat.atom is x.atom else flat


def item(op: Any, x: Handle, *index: Any) -> Handle:
    """``x.item()``: the only element as a Python number."""
    refuse("item", index=index or None)
    if x.rank:
        op.check_same(count(op, x), 1, "can only convert an array of size 1 to a Python scalar")
        x = op("index", x, *(0,) * x.rank, spec=(("int",),) * x.rank)
    kind = x.type.dtype
    if kind == "bool":
        return op.cast(x, dtype="bool", weak=True)
    return python_float(op, x) if kind.startswith("float") else python_int(op, x)


def clip(op: Any, x: Handle, min: Any = None, max: Any = None, out: Any = None) -> Handle:
    """``x.clip(min, max)``."""
    return numpy_elementwise.clip(op, x, min, max, out)


def _method(name: str, rule: Rule) -> Rule:
    """Python's own numbers have no such method."""

    def method(op: Any, x: Handle, *args: Any, **options: Any) -> Any:
        if getattr(x.type, "weak", False):
            raise InvalidArgument(f"a Python {x.type} has no method {name!r}", remedy=f"Use np.{name}.")
        return rule(op, x, *args, **options)

    return method


_RULES: dict[str, Rule] = {
    "all": numpy_reductions.all_,
    "any": numpy_reductions.any_,
    "argmax": numpy_reductions.argmax,
    "argmin": numpy_reductions.argmin,
    "argsort": numpy_reductions.argsort,
    "astype": numpy_creation.astype,
    "clip": clip,
    "conj": numpy_elementwise.positive,
    "conjugate": numpy_elementwise.positive,
    "copy": numpy_creation.copy,
    "cumprod": numpy_reductions.cumprod,
    "cumsum": numpy_reductions.cumsum,
    "diagonal": numpy_rearranging.diagonal,
    "dot": numpy_products.dot,
    "flatten": flatten,
    "item": item,
    "max": numpy_reductions.max_,
    "mean": numpy_reductions.mean,
    "min": numpy_reductions.min_,
    "nonzero": numpy_reductions.nonzero,
    "prod": numpy_reductions.prod,
    "ravel": numpy_shapes.ravel,
    "repeat": numpy_rearranging.repeat,
    "reshape": _spread(numpy_shapes.reshape, ()),
    "round": numpy_elementwise.round_,
    "searchsorted": numpy_reductions.searchsorted,
    "squeeze": numpy_shapes.squeeze,
    "std": numpy_reductions.std,
    "sum": numpy_reductions.sum_,
    "swapaxes": numpy_shapes.swapaxes,
    "take": numpy_rearranging.take,
    "trace": numpy_rearranging.trace,
    "transpose": _spread(numpy_shapes.transpose, None),
    "var": numpy_reductions.var,
}

METHODS: dict[str, Rule] = {name: _method(name, rule) for name, rule in _RULES.items()}
"""Method name → function (op, x, *args, **kwargs). In-place methods (fill, sort, resize, …) are not here."""

ATTRIBUTES: dict[str, Callable[[Any, Handle], Any]] = {
    "T": lambda op, x: numpy_shapes.transpose(op, x),
    "mT": lambda op, x: numpy_shapes.matrix_transpose(op, x),
    "dtype": lambda op, x: np.dtype(x.type.dtype),
    "itemsize": lambda op, x: np.dtype(x.type.dtype).itemsize,
    "ndim": lambda op, x: x.rank,
    "real": lambda op, x: x,
    "shape": lambda op, x: op.shape(x),
    "size": lambda op, x: count(op, x),
}
"""Attribute name → function (op, x); shapes and sizes are ints or index handles, dtypes are static."""

VIEWS: frozenset[Any] = frozenset(
    {
        "T", "conj", "conjugate", "diagonal", "mT", "ravel", "real", "reshape", "squeeze", "swapaxes", "transpose",
        np.asarray, np.asanyarray, np.ascontiguousarray, np.atleast_1d, np.atleast_2d, np.broadcast_to, np.diag,
        np.diagonal, np.expand_dims, np.flip, np.fliplr, np.flipud, np.matrix_transpose, np.moveaxis, np.permute_dims,
        np.ravel, np.real, np.reshape, np.split, np.squeeze, np.swapaxes, np.transpose,
        *(np.dtype(name).type for name in DTYPES),
    }
)  # fmt: skip
"""Methods, attributes and functions whose result may share memory with their first argument in NumPy."""

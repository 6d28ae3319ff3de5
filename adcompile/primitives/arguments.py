"""How expansions read the arguments of a call: axes, dtypes, sizes, static integers, options that are refused.

Everything here turns what Python passes (handles, numbers, tuples, None) into what primitives need, or raises.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, ShapeMismatch, StaticValueRequired, UnsupportedDtype
from adcompile.ir import Const, Scalar
from adcompile.ir.types import DTYPES, FLOATS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.scalar import ufunc_dtype

FULL = ("slice", False, False, 1)


# -- refusals ---------------------------------------------------------------------------------------------------


def refuse(function: str, **options: Any) -> None:
    """Raise for an option that is given and that no expansion knows."""
    for name, value in options.items():
        if value is not None:
            remedy = (
                "Assign the result to a name." if name == "out" else "Leave it out, or write the operation by hand."
            )
            raise MissingRule(f"{function} with {name}= is not supported", remedy=remedy)


# -- static values ----------------------------------------------------------------------------------------------


def constant_of(value: Any) -> Any:
    """The number behind a constant handle; anything else unchanged."""
    if isinstance(value, Handle) and isinstance(value.atom, Const):
        return value.atom.value
    return value.item() if isinstance(value, np.generic) else value


def equals(value: Any, number: float) -> bool:
    """Whether a value is known while tracing to be this number."""
    known = constant_of(value)
    return not isinstance(known, Handle) and known == number


def static_int(value: Any, what: str) -> int:
    """An integer that must be known while tracing."""
    number = constant_of(value)
    if isinstance(number, Handle):
        raise StaticValueRequired(f"{what} is only known at run time", remedy="Use an integer literal.")
    try:
        return operator.index(number)
    except TypeError as error:
        raise InvalidArgument(f"{what} must be an integer, not {type(number).__name__}") from error


def static_bool(value: Any, what: str) -> bool:
    """A truth value that must be known while tracing."""
    flag = constant_of(value)
    if isinstance(flag, Handle):
        raise StaticValueRequired(f"{what} is only known at run time", remedy="Use True or False.")
    return bool(flag)


def axis_of(axis: Any, rank: int) -> int:
    """One axis, counted from the front."""
    number = static_int(axis, "axis")
    if not -rank <= number < rank:
        raise ShapeMismatch(f"axis {number} is out of bounds for array of dimension {rank}")
    return number % rank


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """A tuple of axes in the order given; all of them where None."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(axis_of(a, rank) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeMismatch("repeated axis")
    return axes


def dtype_name(dtype: Any) -> str:
    """The name of a supported dtype given as NumPy or Python allows."""
    if isinstance(dtype, Handle):
        raise StaticValueRequired("dtype is only known at run time", remedy="Use np.float32 or np.float64.")
    name = np.dtype(dtype).name
    if name not in DTYPES:
        raise UnsupportedDtype(f"dtype {name} is not supported", remedy="Use float32 or float64.")
    return name


# -- handles ----------------------------------------------------------------------------------------------------


def array(op: Any, x: Any) -> Handle:
    """An array handle; a scalar becomes an array of one element."""
    x = op.lift(x)
    return op.unsqueeze(firm(op, x), (0,)) if x.rank == 0 else x


def firm(op: Any, x: Any) -> Handle:
    """An array or a NumPy scalar: what NumPy makes of Python's own numbers."""
    x = op.lift(x)
    return op.cast(x, dtype=x.type.dtype) if isinstance(x.type, Scalar) and x.type.weak else x


def as_dtype(op: Any, x: Any, dtype: str) -> Handle:
    """An array or NumPy scalar of a dtype."""
    x = op.lift(x)
    return x if x.type.dtype == dtype and not is_weak(x) else op.cast(x, dtype=dtype)


def as_float(op: Any, x: Any) -> Handle:
    """Integers and bools as float64; floats as they are."""
    x = firm(op, x)
    return x if x.type.dtype in FLOATS else op.cast(x, dtype="float64")


def as_ufunc(op: Any, ufunc: np.ufunc, *args: Any) -> tuple[Handle, ...]:
    """Arguments in the dtype that a ufunc computes in."""
    handles = tuple(map(op.lift, args))
    dtype = ufunc_dtype(ufunc, tuple(h.type if isinstance(h.type, Scalar) else Scalar(h.type.dtype) for h in handles))
    return tuple(as_dtype(op, h, dtype) for h in handles)


def is_weak(x: Handle) -> bool:
    """Whether it is one of Python's own numbers."""
    return isinstance(x.type, Scalar) and x.type.weak


def boolean(op: Any, x: Any) -> Handle:
    """The truth of every element."""
    return as_dtype(op, x, "bool")


# -- sizes ------------------------------------------------------------------------------------------------------


def size(op: Any, n: Any) -> Any:
    """One size as an int or an index handle."""
    n = constant_of(n)
    if not isinstance(n, Handle):
        return static_int(n, "a size")
    if n.rank or n.type.dtype in FLOATS:
        raise InvalidArgument(f"a size must be an integer, not {n.type}", remedy="Convert it with int().")
    return op.cast(n, dtype="int64", weak=True)


def sizes(op: Any, shape: Any) -> tuple[Any, ...]:
    """A shape given as an integer or a sequence of integers."""
    return tuple(size(op, n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,)))


def product(values: Sequence[Any]) -> Any:
    """The product of sizes; 1 of none."""
    return functools.reduce(operator.mul, values, 1)


def count(op: Any, x: Any, axes: Sequence[int] | None = None) -> Any:
    """The number of elements of ``x`` along some axes, or all."""
    shape = op.shape(x)
    return product([shape[a] for a in (range(len(shape)) if axes is None else axes)])


def filled(op: Any, value: Any, shape: Sequence[Any]) -> Handle:
    """An array of the given sizes, every element a scalar; the scalar itself where there are no dimensions."""
    return op("full", value, *shape, dims=op.dims_of(shape)) if shape else op.lift(value)


def quotient(op: Any, total: Sequence[Any], divisors: Sequence[Any]) -> Any | None:
    """The product of ``total`` over that of ``divisors`` where it is exact by the look of it; None otherwise."""
    numbers = product([n for n in total if isinstance(n, int)])
    handles = [n for n in total if not isinstance(n, int)]
    for divisor in divisors:
        if isinstance(divisor, int):
            if divisor == 0 or numbers % divisor:
                return None
            numbers //= divisor
            continue
        match = next((h for h in handles if h.atom == divisor.atom), None)
        if match is None:
            return None
        handles = [h for h in handles if h is not match]
    return product([*handles, numbers] if numbers != 1 or not handles else handles)


# -- picking parts ----------------------------------------------------------------------------------------------


def part(op: Any, x: Handle, axis: int, start: Any = None, stop: Any = None, step: int = 1) -> Handle:
    """``x[start:stop:step]`` along one axis."""
    given = tuple(bound for bound in (start, stop) if bound is not None)
    entry = ("slice", start is not None, stop is not None, step)
    return op("index", x, *given, spec=tuple(entry if i == axis else FULL for i in range(x.rank)))


def pick(op: Any, x: Handle, axis: int, where: Any) -> Handle:
    """``x[where]`` along one axis, ``where`` an integer or an integer array."""
    kind = ("array",) if isinstance(where, Handle) and where.rank else ("int",)
    return op("index", x, where, spec=tuple(kind if i == axis else FULL for i in range(x.rank)))


# -- checks at run time -----------------------------------------------------------------------------------------


def require(op: Any, condition: Any, message: str) -> None:
    """Let the program raise ``ValueError`` unless a condition holds; at once where it is known not to."""
    known = constant_of(condition)
    if known is False:
        raise InvalidArgument(message)
    if known is not True:
        op.check_true(condition, error="ValueError", message=message)

"""The ``math`` module and Python's own functions and conversions on numbers: their results are Python's, hence weak."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from adcompile.errors import InvalidArgument, MissingRule
from adcompile.ir.types import FLOATS
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import constant_of, equals, is_weak
from adcompile.primitives.numpy_elementwise import invert, signed_like
from adcompile.primitives.registry import expansion

# -- math -------------------------------------------------------------------------------------------------------


def _number(op: Any, x: Any, what: str) -> Handle:
    """A scalar handle, or the error that Python raises too."""
    x = op.lift(x)
    if x.rank:
        raise InvalidArgument(f"{what} takes numbers, not an array ({x.type})", remedy="Use NumPy's function.")
    return x


def python_float(op: Any, x: Any, what: str = "math") -> Handle:
    """A scalar as Python's float."""
    return op.cast(_number(op, x, what), dtype="float64", weak=True)


def python_int(op: Any, x: Any, what: str = "int") -> Handle:
    """A scalar as Python's int, towards zero."""
    return op.cast(_number(op, x, what), dtype="int64", weak=True)


def _function(name: str, primitive: str) -> Callable[..., Handle]:
    return lambda op, *args: op(primitive, *(python_float(op, a, f"math.{name}") for a in args))


_SAME = (
    "sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "expm1", "log1p", "log2", "log10", "sqrt", "cbrt", "erf",
    "erfc", "pow", "isnan", "isinf", "isfinite",
)  # fmt: skip
_RENAMED = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "atan2": "arctan2", "fabs": "abs",
}  # fmt: skip
for _name, _primitive in {**dict(zip(_SAME, _SAME, strict=True)), **_RENAMED}.items():
    expansion(getattr(math, _name))(_function(_name, _primitive))


@expansion(math.hypot)
def hypot(op, *coordinates):
    """``math.hypot`` of any number of coordinates."""
    values = [python_float(op, c, "math.hypot") for c in coordinates]
    if len(values) == 2:
        return op.hypot(*values)
    return op.sqrt(functools.reduce(operator.add, [v * v for v in values])) if values else op.lift(0.0)


@expansion(math.log)
def log(op, x, base=None):
    """``math.log``."""
    value = op.log(python_float(op, x, "math.log"))
    return value if base is None else value / op.log(python_float(op, base, "math.log"))


@expansion(math.exp2)
def exp2(op, x):
    """``math.exp2``."""
    return op.pow(2.0, python_float(op, x, "math.exp2"))


@expansion(math.fmod)
def fmod(op, x, y):
    """``math.fmod``: the remainder with the sign of ``x``."""
    x, y = python_float(op, x, "math.fmod"), python_float(op, y, "math.fmod")
    return signed_like(op, x, op.abs(x) % op.abs(y))


def _rounder(name: str) -> Callable[..., Handle]:
    def round_to_int(op: Any, x: Any) -> Handle:
        x = _number(op, x, f"math.{name}")
        return python_int(op, op(name, x) if x.type.dtype in FLOATS else x)

    return round_to_int


for _name in ("floor", "ceil", "trunc"):
    expansion(getattr(math, _name))(_rounder(_name))
expansion(math.radians)(lambda op, x: python_float(op, x, "math.radians") * (math.pi / 180.0))
expansion(math.degrees)(lambda op, x: python_float(op, x, "math.degrees") * (180.0 / math.pi))


# -- conversions ------------------------------------------------------------------------------------------------


expansion(float)(lambda op, x=0.0: python_float(op, x, "float()"))
expansion(int)(lambda op, x=0: python_int(op, x, "int()"))
expansion(bool)(lambda op, x=False: op.cast(_number(op, x, "bool()"), dtype="bool", weak=True))
expansion(operator.truth)(lambda op, x: op.cast(_number(op, x, "bool()"), dtype="bool", weak=True))
expansion(operator.index)(lambda op, x: python_int(op, x, "operator.index"))


# -- operators with cases of their own --------------------------------------------------------------------------


@expansion(operator.pow, operator.ipow)
def power(op, x, y):
    """``x ** y``: Python's integers to a negative literal power are floats."""
    x, y = op.lift(x), op.lift(y)
    exponent = constant_of(y)
    if is_weak(x) and x.type.dtype != "float64" and isinstance(exponent, int) and is_weak(y) and exponent < 0:
        x = op.cast(x, dtype="float64", weak=True)
    return op.pow(x, y)


@expansion(pow)
def pow_(op, base, exp, mod=None):
    """``pow(base, exp)``."""
    if mod is not None:
        raise MissingRule("pow with a modulus is not supported", remedy="Write (base ** exp) % mod.")
    return power(op, base, exp)


@expansion(operator.pos)
def positive(op, x):
    """``+x``: a bool becomes an int, an array is copied."""
    x = op.lift(x)
    if x.rank:
        return op.copy(x)
    return python_int(op, x) if is_weak(x) and x.type.dtype == "bool" else x


@expansion(operator.invert, operator.inv)
def invert_(op, x):
    """``~x``."""
    x = op.lift(x)
    return op.bitxor(python_int(op, x), -1) if is_weak(x) and x.type.dtype in ("bool", "int64") else invert(op, x)


@expansion(divmod)
def divmod_(op, x, y):
    """``divmod(x, y)``."""
    x, y = op.lift(x), op.lift(y)
    return x // y, x % y


@expansion(round)
def round_(op, number, ndigits=None):
    """``round(x)``: half to even, an int."""
    if ndigits is not None:
        raise MissingRule("round with digits is not supported", remedy="Use np.round(x, decimals).")
    x = _number(op, number, "round()")
    return python_int(op, op.rint(x) if x.type.dtype in FLOATS else x)


# -- sequences --------------------------------------------------------------------------------------------------


def _values(op: Any, args: Sequence[Any], options: dict[str, Any], function: str) -> list[Handle] | Handle:
    """The values compared or added: those of one sequence, or the arguments themselves."""
    if options:
        raise MissingRule(f"{function} with {next(iter(options))}= is not supported", remedy="Leave it out.")
    values = args[0] if len(args) == 1 else args
    if isinstance(values, Handle):
        if values.rank != 1:
            raise InvalidArgument(f"{function} of {values.type}", remedy=f"Use np.{function}.")
        return values
    return [op.lift(v) for v in values]


def _chooser(name: str, better: Callable[[Any, Any], Any]) -> Callable[..., Handle]:
    def choose(op: Any, *args: Any, **options: Any) -> Handle:
        values = _values(op, args, options, name)
        if isinstance(values, Handle):
            return op("index", values, op(f"arg{name}", values, axis=0), spec=(("int",),))
        if not values:
            raise InvalidArgument(f"{name}() arg is an empty sequence")
        for v in values:
            _number(op, v, f"{name}()")
        return functools.reduce(lambda kept, v: op.where(better(v, kept), v, kept), values)

    return choose


expansion(max)(_chooser("max", operator.gt))
expansion(min)(_chooser("min", operator.lt))


@expansion(sum)
def sum_(op, iterable, start=0):
    """``sum`` of a sequence, or of an array over its first axis."""
    if not isinstance(iterable, Handle):
        return functools.reduce(operator.add, [op.lift(v) for v in iterable], op.lift(start))
    if iterable.rank == 0:
        raise InvalidArgument(f"{iterable.type} is not iterable")
    total = op.sum(iterable, axis=(0,), keepdims=False)
    if iterable.type.dtype != "bool":
        total = op.cast(total, dtype=iterable.type.dtype)
    return total if equals(start, 0) else total + op.lift(start)


@expansion(math.prod)
def prod(op, iterable, *, start=1):
    """``math.prod`` of a sequence."""
    if isinstance(iterable, Handle):
        raise MissingRule("math.prod of an array is not supported", remedy="Use np.prod.")
    return functools.reduce(operator.mul, [op.lift(v) for v in iterable], op.lift(start))

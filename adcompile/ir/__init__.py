"""The intermediate representation: types, structured SSA, builder, printer, verifier, interpreter."""

from adcompile.ir.core import Atom, Block, Const, Eqn, Trace, Value, free_values
from adcompile.ir.types import ANY, NOT_ONE, Array, Scalar, Type, is_float, is_inexact

__all__ = [
    "ANY",
    "NOT_ONE",
    "Array",
    "Atom",
    "Block",
    "Const",
    "Eqn",
    "Scalar",
    "Trace",
    "Type",
    "Value",
    "free_values",
    "is_float",
    "is_inexact",
]

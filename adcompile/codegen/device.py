"""Writes what a thread of a GPU runs: every number has the dtype of the operation that it takes part in.

Numba's own rules for the device would make float64 of a Python constant, and of an integer that meets a float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from adcompile.codegen.python import ATOMIC, UNARY, Source, Text, Writer, bare, wrap
from adcompile.errors import MissingRule
from adcompile.ir import Atom, Const, Eqn, Scalar, Trace, Value
from adcompile.ir.core import walk
from adcompile.ir.types import FLOATS
from adcompile.lower.kernels import is_thread_code
from adcompile.primitives import PRIMITIVES

_NATIVE = ("float32", "float64", "int64", "bool")
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
_MATH = {
    **{name: name for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh")},
    **{name: name for name in ("cosh", "tanh", "erf", "erfc", "hypot", "isnan", "isinf", "isfinite")},
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
}
"""Primitive → function of ``math``, which keeps float32 on the device."""
_HELPERS = (
    "floor", "ceil", "trunc", "rint", "sign", "maximum", "minimum", "floordiv", "mod", "logaddexp", "square",
    "reciprocal", "cbrt", "expit",
)  # fmt: skip
"""Primitives that are device functions of `adcompile.backend.cuda.device`, by dtype."""
FUNCTIONS = ("fail", "sign_int64", *(f"{name}_{dtype}" for name in _HELPERS for dtype in FLOATS))
"""What generated modules import from `adcompile.backend.cuda.device`."""


def emit_function(trace: Trace) -> Source:
    """A device function of numbers (and of arrays that it reads), for a trace of the loop dialect.

    Raises
    ------
    MissingRule
        It makes arrays, multiplies matrices, or may raise: a device function can do none of these.
    """
    for eqn in trace.block.eqns:
        if not is_thread_code(eqn) and not (eqn.op == "empty" and all(isinstance(a, Const) for a in eqn.args)):
            raise MissingRule(f"a device function has no {eqn.op}", eqn.loc, "Use numbers, and arrays of known size.")
    for eqn in walk(trace.block):
        if PRIMITIVES[eqn.op].effect if eqn.op in PRIMITIVES else False:
            raise MissingRule("a device function cannot raise", eqn.loc, "Use known subscripts; leave out the check.")
    for result in trace.results:
        if not isinstance(result.type, Scalar):
            raise MissingRule("a device function gives numbers only", None, "Return the elements.")
    return _Function(frozenset({"cuda", *FUNCTIONS})).function(trace)


class ThreadWriter(Writer):
    """The code of one thread."""

    def constant(self, atom: Const) -> Text:
        """A number of its dtype."""
        return _number(atom.value, atom.type.dtype)

    def typed(self, atom: Atom, dtype: str) -> Text:
        """An operand in the dtype of its operation."""
        if isinstance(atom, Const):
            return _number(atom.value, dtype)
        text = self.read(atom)
        return text if atom.type.dtype == dtype else _cast(text, dtype)

    def in_place(self, eqn: Eqn, depth: int) -> None:
        """A store, or an addition, of a number of the array's dtype."""
        target, value, *at = eqn.args
        texts = [self.read(target).text, self.typed(value, target.type.dtype).text, *(self.read(a).text for a in at)]
        self.write(depth, self.update(eqn, texts, ", ".join(texts[2:])), eqn.loc)
        self.names.take(eqn.outs[0], texts[0])

    def update(self, eqn: Eqn, texts: Sequence[str], where: str) -> str:
        """The statement of a store or an addition."""
        return f"{texts[0]}[{where}] {'=' if eqn.op == 'store' else '+='} {bare(texts[1])}"

    def operand(self, eqn: Eqn, atom: Atom) -> Text:
        """An argument in the dtype of the operation."""
        return self.typed(atom, _operation_dtype(eqn)) if PRIMITIVES[eqn.op].elementwise else self.read(atom)

    def expression(self, eqn: Eqn) -> Text:
        """The text of an equation, as the device knows it."""
        if eqn.op == "empty":
            shape = ", ".join(str(a.value) for a in eqn.args if isinstance(a, Const))
            return Text(f"cuda.local.array(({shape},), np.{numpy_name(eqn.outs[0])})", ATOMIC)
        if not PRIMITIVES[eqn.op].elementwise:
            return super().expression(eqn)
        text = self.elementwise(eqn)
        dtype = eqn.outs[0].type.dtype
        return text if dtype in _NATIVE or eqn.op == "cast" else Text(f"np.{dtype}({text.text})", ATOMIC)

    def elementwise(self, eqn: Eqn) -> Text:
        """A scalar operation."""
        if eqn.op == "cast":
            return _cast(self.read(eqn.args[0]), eqn.outs[0].type.dtype)
        dtype = _operation_dtype(eqn)
        if eqn.op == "where":
            condition, then, other = self.truth(eqn.args[0]), *(self.typed(a, dtype).text for a in eqn.args[1:])
            return Text(f"({then} if {condition} else {other})", ATOMIC)
        if eqn.op in _LOGIC:
            return Text(_LOGIC[eqn.op].format(*map(self.truth, eqn.args)), ATOMIC)
        if dtype == "bool" and eqn.op not in (*_COMPARISONS, "bitand", "bitor", "bitxor"):
            raise MissingRule(f"the cuda backend has no {eqn.op} of bool", eqn.loc, "Convert to int64 first.")
        is_float = dtype in FLOATS
        infix = PRIMITIVES[eqn.op].infix
        if infix and not (is_float and eqn.op in _HELPERS):
            texts = self.operands(eqn)
            text = f"{texts[0]} {infix[0]} {texts[1]}" if len(texts) == 2 else f"{infix[0]}{texts[0]}"
            return Text(text, infix[1])
        return Text(self.call(eqn, dtype), ATOMIC)

    def call(self, eqn: Eqn, dtype: str) -> str:
        """A function of the device's."""
        texts = ", ".join(self.typed(a, dtype).text for a in eqn.args)
        if dtype not in FLOATS:
            if eqn.op not in _INTEGER:
                raise MissingRule(f"the cuda backend has no {eqn.op} of {dtype}", eqn.loc, "Convert to float64 first.")
            return _INTEGER[eqn.op].format(texts)
        if eqn.op in _MATH:
            return f"math.{_MATH[eqn.op]}({texts})"
        if eqn.op in _HELPERS:
            return f"{eqn.op}_{dtype}({texts})"
        if eqn.op == "abs":
            return f"abs({texts})"
        raise MissingRule(f"the cuda backend has no {eqn.op} of {dtype}", eqn.loc, 'Use backend="llvm".')

    def truth(self, atom: Atom) -> str:
        """A condition."""
        text = self.read(atom)
        return text.text if atom.type.dtype == "bool" else f"{wrap(text, 8.1)} != 0"


_LOGIC = {"logical_and": "({} and {})", "logical_or": "({} or {})", "logical_not": "(not {})"}
_INTEGER = {"abs": "abs({})", "maximum": "max({})", "minimum": "min({})", "sign": "sign_int64({})"}


def _operation_dtype(eqn: Eqn) -> str:
    """The dtype an operation computes in."""
    if eqn.op not in (*_COMPARISONS, "isnan", "isinf", "isfinite"):
        return eqn.outs[0].type.dtype
    firm = {a.type.dtype for a in eqn.args if isinstance(a, Value)} or {a.type.dtype for a in eqn.args}
    return np.result_type(*firm).name


def _number(value: float | int | bool, dtype: str) -> Text:
    """A constant of a dtype."""
    if dtype == "bool":
        return Text(repr(bool(value)), ATOMIC)
    number = float(value) if dtype in FLOATS else int(value)
    text = repr(number)
    if not math.isfinite(number):
        text = text.replace("inf", "np.inf").replace("nan", "np.nan")
    if dtype in ("float64", "int64"):
        return Text(text, UNARY if text.startswith("-") else ATOMIC)
    return Text(f"np.{dtype}({text})", ATOMIC)


def _cast(text: Text, dtype: str) -> Text:
    if dtype == "bool":
        return Text(f"({wrap(text, 8.1)} != 0)", ATOMIC)
    return Text(f"np.{dtype}({text.text})", ATOMIC)


def numpy_name(value: Value) -> str:
    """A dtype as an attribute of ``np``."""
    return "bool_" if value.type.dtype == "bool" else value.type.dtype


class _Function(ThreadWriter):
    """A device function; a single result is given itself."""

    def give_back(self, results: Sequence[Atom]) -> None:
        """Several results are a tuple."""
        self.write(1, f"return {', '.join(self.read(r).text for r in results)}")

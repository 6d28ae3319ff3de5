"""Elementwise equations → scalar operations whose operands have the operation's dtype, delayed over arrays."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.ir import Array, Const, Eqn, Scalar, Type
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.indices import Index
from adcompile.primitives import PRIMITIVES, Handle

_PYTHON = {"float64": float, "int64": int, "bool": np.dtype("bool")}
_DEEPEST = 60
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
_CHECKED_DIVISION = frozenset({"floordiv", "mod"})


@functools.cache
def operand_dtypes(name: str, operands: tuple[Scalar, ...], result: str) -> tuple[str, ...]:
    """The dtype each operand is converted to before a primitive computes."""
    if name == "where":
        return ("bool", result, result)
    if name == "cast":
        return (operands[0].dtype,)
    ufunc = PRIMITIVES[name].ufunc
    assert ufunc is not None
    if all(o.weak for o in operands):
        given = [np.dtype("int64" if o.dtype == "bool" and result != "bool" else o.dtype) for o in operands]
    else:
        given = [_PYTHON[o.dtype] if o.weak else np.dtype(o.dtype) for o in operands]
    found = ufunc.resolve_dtypes((*given, *(None,) * ufunc.nout))[: len(operands)]
    if name in COMPARISONS and found[0] != found[1]:
        return (np.result_type(*found).name,) * 2
    return tuple(d.name for d in found)


def apply(context: Context, name: str, args: Sequence[Handle], result: Scalar, attrs: Mapping[str, Any]) -> Handle:
    """One elementwise primitive on scalars."""
    dtypes = operand_dtypes(name, tuple(a.type for a in args), result.dtype)
    operands = [convert(context, a, Scalar(d, result.weak)) for a, d in zip(args, dtypes, strict=True)]
    if name in _CHECKED_DIVISION and result.dtype.lstrip("u").startswith("int"):
        divisor = operands[1].atom
        if not (isinstance(divisor, Const) and divisor.value):
            context.op.check_nonzero(divisor)
    if name == "pow" and "int" in result.dtype:
        exponent = operands[1].atom
        if not (isinstance(exponent, Const) and exponent.value >= 0):
            words = "Integers to negative integer powers are not allowed."
            context.op("check_true", operands[1] >= 0, error="ValueError", message=words)
    special = _SPECIAL.get(name)
    found = special(context, operands, result) if special else None
    return context.op(name, *operands, types=(result,), **attrs) if found is None else found


def convert(context: Context, x: Handle, to: Scalar) -> Handle:
    """``x`` in another dtype; constants are converted here."""
    if x.type.dtype == to.dtype:
        return x
    return context.op.cast(x, dtype=to.dtype, weak=to.weak, types=(to,))


def _power(context: Context, operands: Sequence[Handle], result: Scalar) -> Handle | None:
    """Small constant exponents as NumPy computes them."""
    x, exponent = operands
    if not isinstance(exponent.atom, Const) or isinstance(x.atom, Const):
        return None
    rule = _POWERS.get(exponent.atom.value)
    found = rule(context.op, x) if rule else None
    return found if found is not None and found.type.dtype == result.dtype else None


_POWERS = {
    2: lambda op, x: op.mul(x, x),
    3: lambda op, x: op.mul(op.mul(x, x), x),
    0.5: lambda op, x: op.sqrt(x),
}
_SPECIAL = {
    "pow": _power,
    "stop_gradient": lambda context, operands, result: operands[0],
    "cast": lambda context, operands, result: operands[0] if operands[0].type == result else None,
}


def broadcast_sizes(context: Context, args: Sequence[Lowered]) -> tuple[Index, ...]:
    """The sizes of an elementwise result; sizes that must agree and may not are checked at run time."""
    arrays = [a for a in args if isinstance(a, Delayed)]
    rank = max(a.rank for a in arrays)
    sizes: list[Index] = []
    for back in range(rank, 0, -1):
        met = [a.sizes[-back] for a in arrays if a.rank >= back and a.type.dims[-back] != 1]
        size = next((s for s in met if isinstance(s, int)), met[0] if met else 1)
        for other in met:
            context.indices.check_same(size, other, "operands could not be broadcast together")
        sizes.append(size)
    return tuple(sizes)


def aligned(x: Lowered, at: Sequence[Index]) -> tuple[Index, ...]:
    """Where an operand is read for the result's element ``at``."""
    if isinstance(x, Handle):
        return ()
    last = at[len(at) - x.rank :]
    return tuple(0 if dim == 1 else i for dim, i in zip(x.type.dims, last, strict=True))


def elementwise(context: Context, eqn: Eqn, *args: Lowered) -> Lowered:
    """Any elementwise primitive."""
    return mapped(context, eqn.op, args, eqn.outs[0].type, eqn.attrs)


def mapped(context: Context, name: str, args: Sequence[Lowered], type: Type, attrs: Mapping[str, Any]) -> Any:
    """A primitive over arrays and scalars: delayed where its type is an array's."""
    if isinstance(type, Scalar):
        return apply(context, name, [a for a in args if isinstance(a, Handle)], type, attrs)
    args = [context.force(a) if isinstance(a, Delayed) and a.depth > _DEEPEST else a for a in args]
    sizes = broadcast_sizes(context, args)
    scalar = Scalar(type.dtype)

    def read(at: tuple[Index, ...]) -> Handle:
        return apply(context, name, [context.at(a, aligned(a, at)) for a in args], scalar, attrs)

    arrays = [a for a in args if isinstance(a, Delayed)]
    sources = frozenset().union(*(a.sources for a in arrays))
    dims = tuple(s if isinstance(s, int) else d for s, d in zip(sizes, type.dims, strict=True))
    return Delayed(Array(type.dtype, dims), sizes, read, sources, depth=1 + max(a.depth for a in arrays))


RULES = {name: elementwise for name, primitive in PRIMITIVES.items() if primitive.elementwise}

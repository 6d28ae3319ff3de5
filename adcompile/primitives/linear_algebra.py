"""Primitives of linear algebra, on matrices and stacks of them, and NumPy's names: solve, inv, det, slogdet.

The derivatives are those of the equation, not of the elimination: with a x = b and the cotangent w of x, that of b is
the solution z of aᵀ z = w, and that of a is -z xᵀ; the cotangent of det(a) is det(a) a⁻ᵀ (Jacobi's formula).

References
----------
M. B. Giles: Collected matrix derivative results for forward and reverse mode algorithmic differentiation, 2008.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import MissingRule, ShapeMismatch
from adcompile.ir import Array, Type
from adcompile.ir.types import shaped
from adcompile.primitives import batching
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import as_dtype, as_float
from adcompile.primitives.assembly import common_dtype
from adcompile.primitives.numpy_creation import eye
from adcompile.primitives.registry import Primitive, define, expansion

_NOT_SQUARE = "the last two dimensions of a matrix must be equal"


# -- solve ------------------------------------------------------------------------------------------------------


def _solve_jvp(op, tangents, outs, args, attrs):
    (a, _), (x,), (a_dot, b_dot) = args, outs, tangents
    moved = None if a_dot is None else a_dot @ x
    right = b_dot if moved is None else -moved if b_dot is None else b_dot - moved
    return (op.solve(a, right),)


def _solve_vjp(op, cts, outs, args, attrs, wanted):
    a, x = args[0], outs[0]
    b_bar = op.solve(op.swap_last(a), cts[0])
    if not wanted[0]:
        return None, b_bar
    product = op.unsqueeze(b_bar, (1,)) * x if x.rank == 1 else b_bar @ op.swap_last(x)
    return -product, b_bar if wanted[1] else None


def _solve_batch(op: Any, args: Sequence[Any], mapped: Sequence[bool], attrs: Mapping[str, Any]) -> Any:
    """One matrix for all calls solves for all their vectors at once; else a stack of systems."""
    a, b = args
    vector = b.rank - mapped[1] == 1
    if vector and not mapped[0]:
        return op.swap_last(op.solve(a, op.swap_last(b)))
    b = op.unsqueeze(b, (b.rank,)) if vector else b
    found = op.solve(*batching.all_mapped(op, (a, b), mapped))
    return op.squeeze_axis(found, found.rank - 1) if vector else found


define(
    Primitive(
        "solve",
        infer=lambda types, attrs: (Array(types[1].dtype, types[1].dims),),
        shape=lambda op, args, attrs: op.shape(args[1]),
        python="np.linalg.solve({0}, {1})",
        linear=(1,),
        jvp=_solve_jvp,
        vjp=_solve_vjp,
        batch=_solve_batch,
        doc="a x = b of one dtype: a matrix and a vector, or as many stacked matrices on either side",
    )
)


@expansion(np.linalg.solve)
def solve(op, a, b):
    """``np.linalg.solve``: a vector, or matrices stacked as those of ``a`` are."""
    a, b = as_float(op, a), as_float(op, b)
    dtype = common_dtype([a.type, b.type])
    a, b = as_dtype(op, a, dtype), as_dtype(op, b, dtype)
    _require_square(op, a)
    if b.rank not in (1, a.rank) or (b.rank == 1 and a.rank > 2):
        raise MissingRule(
            f"np.linalg.solve of a matrix of rank {a.rank} and a right-hand side of rank {b.rank}",
            remedy="Give both as many leading dimensions.",
        )
    rows = b.rank - 1 if b.rank == 1 else b.rank - 2
    op.check_same(op.size(a, a.rank - 1), op.size(b, rows), "solve: the sizes of the matrix and the right-hand side")
    for axis in range(a.rank - 2):
        op.check_same(op.size(a, axis), op.size(b, axis), "solve: the leading sizes differ")
    return op.solve(a, b)


@expansion(np.linalg.inv)
def inv(op, a):
    """``np.linalg.inv``: the solution for the columns of the identity."""
    a = as_float(op, a)
    _require_square(op, a)
    one = eye(op, op.size(a, a.rank - 1), dtype=a.type.dtype)
    shape = op.shape(a)
    return op.solve(a, op.broadcast(one, shape, op.dims_of(shape)) if a.rank > 2 else one)


def _require_square(op: Any, a: Handle) -> None:
    if a.rank < 2:
        raise ShapeMismatch(f"{a.rank}-dimensional array given. Array must be at least two-dimensional")
    op.check_same(op.size(a, a.rank - 2), op.size(a, a.rank - 1), _NOT_SQUARE)


# -- determinants -----------------------------------------------------------------------------------------------


def _infer_numbers(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    return (shaped(types[0].dtype, types[0].dims[:-2]),)


def _stacked_shape(op: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> tuple:
    return op.shape(args[0])[:-2]


def _spread(op: Any, factor: Any) -> Any:
    """A number for each matrix, to multiply the matrices with."""
    return op.unsqueeze(factor, (factor.rank, factor.rank + 1)) if factor.rank else factor


def _slope(op: Any, a: Handle, factor: Any) -> Any:
    """``factor`` times the transposed inverse."""
    return _spread(op, factor) * inv(op, op.swap_last(a))


def _along(op: Any, a: Handle, a_dot: Handle) -> Any:
    """The trace of a⁻¹ times a tangent."""
    return op.sum(inv(op, op.swap_last(a)) * a_dot, axis=(a.rank - 2, a.rank - 1), keepdims=False)


define(
    Primitive(
        "det",
        infer=_infer_numbers,
        shape=_stacked_shape,
        python="np.linalg.det({0})",
        jvp=lambda op, tangents, outs, args, attrs: (outs[0] * _along(op, args[0], tangents[0]),),
        vjp=lambda op, cts, outs, args, attrs, wanted: (_slope(op, args[0], cts[0] * outs[0]),),
        batch=batching.same("det"),
        doc="determinants of stacked matrices; a singular matrix has a value, and no derivative here",
    )
)
define(
    Primitive(
        "logdet",
        infer=_infer_numbers,
        shape=_stacked_shape,
        python="np.linalg.slogdet({0})[1]",
        jvp=lambda op, tangents, outs, args, attrs: (_along(op, args[0], tangents[0]),),
        vjp=lambda op, cts, outs, args, attrs, wanted: (_slope(op, args[0], cts[0]),),
        batch=batching.same("logdet"),
        doc="logarithm of the absolute value of determinants",
    )
)
define(
    Primitive(
        "detsign",
        infer=_infer_numbers,
        shape=_stacked_shape,
        python="np.linalg.slogdet({0})[0]",
        batch=batching.same("detsign"),
        differentiable=False,
        doc="sign of determinants: 1, -1, or 0 of a singular matrix",
    )
)


@expansion(np.linalg.det)
def det(op, a):
    """``np.linalg.det``."""
    a = as_float(op, a)
    _require_square(op, a)
    return op.det(a)


@expansion(np.linalg.slogdet)
def slogdet(op, a):
    """``np.linalg.slogdet``: a tuple of sign and logarithm."""
    a = as_float(op, a)
    _require_square(op, a)
    return op.detsign(a), op.logdet(a)

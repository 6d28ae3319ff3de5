"""Linear systems and determinants: Gaussian elimination with row pivoting, as loops over buffers.

Rows are eliminated below the pivot, right-hand sides along with them, so that no factor is kept; inner loops run along
rows. Small systems, where a call of LAPACK costs more than the arithmetic, are what scientists solve in loops.

References
----------
G. H. Golub, C. F. Van Loan: Matrix Computations, section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adcompile.ir import Array, Eqn, Scalar
from adcompile.ir.types import INDEX
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import apply
from adcompile.lower.indices import Index
from adcompile.lower.movement import sized
from adcompile.primitives import Handle

_TRUTH = Scalar("bool")


def solve(context: Context, eqn: Eqn, a: Delayed, b: Delayed) -> Delayed:
    """Every system of a stack on its own; a vector is a matrix of one column."""
    type, lead = eqn.outs[0].type, a.sizes[:-2]
    size = a.sizes[-1]
    columns = b.sizes[-1] if b.rank == a.rank else 1
    buffer = context.empty(sized(type, b.sizes), b.sizes, eqn.outs[0].name)

    def system(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> Sequence[Handle]:
        matrix = _copied(context, lambda i, j: context.at(a, (*at, i, j)), (size, size), type.dtype)
        place = (lambda i, j: (*at, i, j)) if b.rank == a.rank else (lambda i, j: (*at, i))
        sides = _copied(context, lambda i, j: context.at(b, place(i, j)), (size, columns), type.dtype)

        def step(k: Handle, rows: Sequence[Handle]) -> list[Handle]:
            pivot = _pivot(context, rows[0], k, size)
            found = context.load(rows[0], (pivot, k))
            regular = apply(context, "ne", (found, context.op.zero(type.dtype)), _TRUTH, {})
            context.op.check_true(regular, error="np.linalg.LinAlgError", message="Singular matrix")
            swapped = [_swapped(context, r, k, pivot, n) for r, n in zip(rows, (size, columns), strict=True)]
            return _eliminated(context, swapped, k, size, (size, columns))

        upper, right = context.loop(size, (matrix, sides), lambda i, c: step(_handle(context, i[0]), c), "k")
        solved = _substituted(context, upper, right, size, columns)
        put = lambda i, c: [context.store(c[0], context.load(solved, i), place(*i))]
        return context.nest((0, 1), (size, columns), carried, put)

    return context.leaf(context.nest(range(len(lead)), lead, (buffer,), system)[0], b.sizes)


Fold = Callable[[Context, Scalar, Handle, Handle, Handle], Handle]
"""(…, the result so far, a pivot, minus one where its row was exchanged, else one) → the result with this pivot."""


def _product(context: Context, scalar: Scalar, total: Handle, pivot: Handle, sign: Handle) -> Handle:
    return _times(context, scalar, total, _times(context, scalar, pivot, sign))


def _sign(context: Context, scalar: Scalar, total: Handle, pivot: Handle, sign: Handle) -> Handle:
    return _product(context, scalar, total, apply(context, "sign", (pivot,), scalar, {}), sign)


def _logarithm(context: Context, scalar: Scalar, total: Handle, pivot: Handle, sign: Handle) -> Handle:
    size = apply(context, "abs", (pivot,), scalar, {})
    return apply(context, "add", (total, apply(context, "log", (size,), scalar, {})), scalar, {})


def _times(context: Context, scalar: Scalar, a: Handle, b: Handle) -> Handle:
    return apply(context, "mul", (a, b), scalar, {})


def determinant(start: float, fold: Fold) -> Callable[[Context, Eqn, Delayed], Lowered]:
    """The rule of a number that is folded over the pivots of every matrix of a stack."""

    def rule(context: Context, eqn: Eqn, a: Delayed) -> Lowered:
        lead = a.sizes[:-2]
        if not lead:
            return _folded(context, a, (), start, fold)
        buffer = context.empty(sized(eqn.outs[0].type, lead), lead, eqn.outs[0].name)
        put = lambda at, c: [context.store(c[0], _folded(context, a, at, start, fold), at)]
        return context.leaf(context.nest(range(len(lead)), lead, (buffer,), put)[0], lead)

    return rule


def _folded(context: Context, a: Delayed, at: tuple[Index, ...], start: float, fold: Fold) -> Handle:
    size, scalar = a.sizes[-1], Scalar(a.type.dtype)
    matrix = _copied(context, lambda i, j: context.at(a, (*at, i, j)), (size, size), a.type.dtype)
    one = context.op.constant(1.0, scalar)

    def step(i: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        k, (rows, total) = _handle(context, i[0]), carried
        row = _pivot(context, rows, k, size)
        sign = apply(context, "where", (context.op.ne(row, k), -one, one), scalar, {})
        total = fold(context, scalar, total, context.load(rows, (row, k)), sign)
        return [*_eliminated(context, [_swapped(context, rows, k, row, size)], k, size, (size,)), total]

    return context.loop(size, (matrix, context.op.constant(start, scalar)), step, "k")[1]


# -- the steps of an elimination --------------------------------------------------------------------------------


def _copied(context: Context, element: Callable[..., Handle], sizes: tuple[Index, Index], dtype: str) -> Handle:
    """A matrix in a buffer of its own."""
    buffer = context.empty(sized(Array(dtype, ("?", "?")), sizes), sizes)
    put = lambda at, c: [context.store(c[0], element(*at), at)]
    return context.nest((0, 1), sizes, (buffer,), put, parallel=True)[0]


def _pivot(context: Context, matrix: Handle, k: Handle, size: Index) -> Handle:
    """The row, from ``k`` on, whose element of column ``k`` is largest."""
    scalar = Scalar(matrix.type.dtype)
    height = lambda i: apply(context, "abs", (context.load(matrix, (i, k)),), scalar, {})

    def look(i: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        row = _handle(context, i[0]) + (k + 1)
        here = height(row)
        larger = apply(context, "gt", (here, carried[0]), _TRUTH, {})
        return [
            apply(context, "where", (larger, here, carried[0]), scalar, {}),
            apply(context, "where", (larger, row, carried[1]), INDEX, {}),
        ]

    return context.loop(_below(context, k, size), (height(k), k), look, "i")[1]


def _handle(context: Context, x: Index) -> Handle:
    """An index to compute with."""
    return context.op.handle(context.op.atom(x))


def _below(context: Context, k: Handle, size: Index) -> Index:
    """How many rows are below row ``k``."""
    return _handle(context, size) - (k + 1)


def _swapped(context: Context, matrix: Handle, k: Handle, row: Handle, columns: Index) -> Handle:
    """Rows ``k`` and ``row`` exchanged."""

    def exchange(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        one, two = (context.load(carried[0], (i, *at)) for i in (k, row))
        return [context.store(context.store(carried[0], two, (k, *at)), one, (row, *at))]

    return context.nest((0,), (columns,), (matrix,), exchange)[0]


def _eliminated(context: Context, matrices: Sequence[Handle], k: Handle, size: Index, widths: Sequence[Index]):
    """Row ``k`` taken off the rows below, as often as makes its column vanish; never, where it does so already."""
    scalar = Scalar(matrices[0].type.dtype)

    def row(i: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        here = _handle(context, i[0]) + (k + 1)
        pivot, below = context.load(carried[0], (k, k)), context.load(carried[0], (here, k))
        nothing = apply(context, "eq", (below, context.op.zero(scalar.dtype)), _TRUTH, {})
        quotient = apply(context, "div", (below, pivot), scalar, {})
        factor = apply(context, "where", (nothing, below, quotient), scalar, {})
        return [_taken_off(context, m, here, k, factor, w) for m, w in zip(carried, widths, strict=True)]

    return list(context.loop(_below(context, k, size), matrices, row, "i"))


def _taken_off(context: Context, matrix: Handle, row: Handle, other: Handle, factor: Handle, width: Index) -> Handle:
    """``matrix[row] -= factor * matrix[other]``."""
    scalar = Scalar(matrix.type.dtype)

    def element(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        taken = apply(context, "mul", (factor, context.load(carried[0], (other, *at))), scalar, {})
        left = apply(context, "sub", (context.load(carried[0], (row, *at)), taken), scalar, {})
        return [context.store(carried[0], left, (row, *at))]

    return context.nest((0,), (width,), (matrix,), element)[0]


def _substituted(context: Context, upper: Handle, right: Handle, size: Index, columns: Index) -> Handle:
    """The solutions of a triangular system, from the last row to the first, in place."""
    scalar = Scalar(upper.type.dtype)
    last = _handle(context, size) - 1

    def row(i: tuple[Index, ...], carried: tuple[Handle, ...]) -> Sequence[Handle]:
        k = last - _handle(context, i[0])

        def take(j: tuple[Index, ...], c: tuple[Handle, ...]) -> list[Handle]:
            known = _handle(context, j[0]) + (k + 1)
            return [_taken_off(context, c[0], k, known, context.load(upper, (k, known)), columns)]

        def scale(at: tuple[Index, ...], c: tuple[Handle, ...]) -> list[Handle]:
            pivot, value = context.load(upper, (k, k)), context.load(c[0], (k, *at))
            return [context.store(c[0], apply(context, "div", (value, pivot), scalar, {}), (k, *at))]

        return context.nest((0,), (columns,), context.loop(i[0], carried, take, "j"), scale)

    return context.loop(size, (right,), row, "i")[0]


RULES: dict[str, Any] = {
    "solve": solve,
    "det": determinant(1.0, _product),
    "detsign": determinant(1.0, _sign),
    "logdet": determinant(0.0, _logarithm),
}

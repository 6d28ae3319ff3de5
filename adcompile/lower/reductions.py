"""Reductions and running sums over delayed operands → loop nests that read each element once, in C order.

Trailing reduced dimensions are added up in a scalar; a reduced dimension outside a kept one adds whole rows into the
result (``sum`` over axis 0 of a C-ordered operand walks it row by row).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.ir import Const, Eqn, Scalar, Type
from adcompile.ir.types import INDEX
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import apply, convert
from adcompile.lower.indices import Index, is_one
from adcompile.lower.movement import sized
from adcompile.primitives import Handle


@dataclass(frozen=True)
class Reduction:
    """``start(dtype)`` and an elementwise primitive that takes one more element in."""

    combine: str
    start: Callable[[str], Any]
    empty: bool = True


def lowest(dtype: str) -> Any:
    """What every value of a dtype is at least."""
    return -np.inf if dtype.startswith("float") else False if dtype == "bool" else int(np.iinfo(dtype).min)


def highest(dtype: str) -> Any:
    """What every value of a dtype is at most."""
    return np.inf if dtype.startswith("float") else True if dtype == "bool" else int(np.iinfo(dtype).max)


_IDENTITIES: dict[str, Any] = {
    "add": lambda dtype: 0, "mul": lambda dtype: 1, "maximum": lowest, "minimum": highest,
    "logical_and": lambda dtype: True, "logical_or": lambda dtype: False,
}  # fmt: skip


def identity(operation: str, type: Type) -> Const:
    """What an associative operation leaves every number of a type as it is with."""
    value, dtype = _IDENTITIES[operation](type.dtype), type.dtype
    typed = float(value) if dtype.startswith("float") else bool(value) if dtype == "bool" else int(value)
    return Const(typed, Scalar(dtype, getattr(type, "weak", False)))


_REDUCTIONS = {
    "sum": Reduction("add", lambda dtype: 0.0 if dtype.startswith("float") else 0),
    "prod": Reduction("mul", lambda dtype: 1.0 if dtype.startswith("float") else 1),
    "any": Reduction("logical_or", lambda dtype: False),
    "all": Reduction("logical_and", lambda dtype: True),
    "max": Reduction("maximum", lowest, empty=False),
    "min": Reduction("minimum", highest, empty=False),
}


def reduce(context: Context, eqn: Eqn, x: Delayed) -> Lowered:
    """Any reduction of the table."""
    rule, axes, type = _REDUCTIONS[eqn.op], eqn.attrs["axis"], eqn.outs[0].type
    if not rule.empty:
        require_elements(context, [x.sizes[a] for a in axes], eqn.op)
    scalar = Scalar(type.dtype)
    start = context.op.constant(rule.start(type.dtype), scalar)

    def take(total: Handle, at: tuple[Index, ...]) -> Handle:
        element = convert(context, context.at(x, at), scalar)
        return apply(context, rule.combine, (total, element), scalar, {})

    keepdims = eqn.attrs["keepdims"]
    kept = [a for a in range(x.rank) if a not in axes]
    if all(is_one(x.sizes[a]) for a in kept):
        (total,) = context.nest(range(x.rank), x.sizes, (start,), lambda at, carried: [take(carried[0], at)])
        return spread_scalar(total, type, [1] * (x.rank if keepdims else len(kept)))
    place = _place(x.rank, axes, keepdims)
    sizes = tuple(1 if a in axes else x.sizes[a] for a in range(x.rank) if keepdims or a not in axes)
    buffer = context.empty(sized(type, sizes), sizes, eqn.outs[0].name)
    add = rule.combine == "add"
    return context.leaf(_reduce_rows(context, x, axes, buffer, place, start, take, add), sizes)


def spread_scalar(total: Handle, type: Any, sizes: Sequence[Index]) -> Lowered:
    """A reduction to one element: a scalar, or an array of ones."""
    if isinstance(type, Scalar):
        return total
    return Delayed(sized(type, sizes), tuple(sizes), lambda at: total)


def _place(rank: int, axes: Sequence[int], keepdims: bool) -> Callable[[Sequence[Index]], tuple[Index, ...]]:
    """Where the result keeps what an element of the operand is added to."""
    if keepdims:
        return lambda at: tuple(0 if a in axes else at[a] for a in range(rank))
    return lambda at: tuple(at[a] for a in range(rank) if a not in axes)


def _reduce_rows(
    context: Context, x: Delayed, axes: Any, buffer: Handle, place: Any, start: Handle, take: Any, add: bool
) -> Handle:
    """Loops in C order; the trailing reduced ones accumulate a scalar."""
    last_kept = max(a for a in range(x.rank) if a not in axes and not is_one(x.sizes[a]))
    outer, inner = list(range(last_kept + 1)), list(range(last_kept + 1, x.rank))
    direct = all(a not in axes or is_one(x.sizes[a]) for a in outer)
    if not direct:
        kept = [a for a in range(x.rank) if a not in axes]
        (buffer,) = context.nest(
            kept, x.sizes, (buffer,), lambda at, carried: [context.store(carried[0], start, place(at))], parallel=True
        )

    def row(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        there = place(at)
        merge = lambda here: (*at[: last_kept + 1], *here[last_kept + 1 :])
        if not direct and not add:
            first = context.load(carried[0], there)
        else:
            first = start
        if not inner:
            return [_merge(context, carried[0], there, first, at, take, add and not direct, x)]
        (total,) = context.nest(inner, x.sizes, (first,), lambda here, sums: [take(sums[0], merge(here))])
        write = context.accumulate if add and not direct else context.store
        return [write(carried[0], total, there)]

    return context.nest(outer, x.sizes, (buffer,), row, parallel=direct)[0]


def _merge(context: Context, buffer: Handle, there: Any, first: Handle, at: Any, take: Any, add: bool, x: Delayed):
    """One element taken into the buffer."""
    if add:
        element = convert(context, context.at(x, at), Scalar(buffer.type.dtype))
        return context.accumulate(buffer, element, there)
    return context.store(buffer, take(first, at), there)


def require_elements(context: Context, sizes: Sequence[Index], name: str) -> None:
    """An extremum of nothing is an error."""
    for size in sizes:
        if not context.indices.at_least(size, 1):
            message = f"zero-size array to reduction operation {name} which has no identity"
            context.indices.check_same(context.indices.maximum(size, 1), size, message)


# -- positions ----------------------------------------------------------------------------------------------------


def position(context: Context, eqn: Eqn, x: Delayed) -> Lowered:
    """``argmax`` and ``argmin``: the first extremum, or the first nan, along one axis."""
    axis, type = eqn.attrs["axis"], eqn.outs[0].type
    require_elements(context, [x.sizes[axis]], eqn.op)
    better = "gt" if eqn.op == "argmax" else "lt"
    worst = (lowest if eqn.op == "argmax" else highest)(x.type.dtype)
    scalar, truth = Scalar(x.type.dtype), Scalar("bool")
    sizes = (*x.sizes[:axis], *x.sizes[axis + 1 :])

    def search(at: Sequence[Index]) -> Handle:
        def step(here: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
            best, where = carried
            element = context.at(x, (*at[:axis], here[axis], *at[axis:]))
            wins = apply(context, better, (element, best), truth, {})
            if scalar.dtype.startswith("float"):
                news = apply(context, "ne", (element, element), truth, {})
                old = apply(context, "eq", (best, best), truth, {})
                first = apply(context, "logical_and", (news, old), truth, {})
                wins = apply(context, "logical_or", (wins, first), truth, {})
            place = context.op.handle(context.op.atom(here[axis]))
            return [
                apply(context, "where", (wins, element, best), scalar, {}),
                apply(context, "where", (wins, place, where), INDEX, {}),
            ]

        start = (context.op.constant(worst, scalar), context.op.constant(0, INDEX))
        return convert(context, context.nest((axis,), x.sizes, start, step)[1], Scalar("int64"))

    if isinstance(type, Scalar):
        return search(())
    buffer = context.empty(sized(type, sizes), sizes, eqn.outs[0].name)
    store = lambda at, carried: [context.store(carried[0], search(at), at)]
    return context.leaf(context.nest(range(len(sizes)), sizes, (buffer,), store, parallel=True)[0], sizes)


# -- running sums -------------------------------------------------------------------------------------------------


def running(context: Context, eqn: Eqn, x: Delayed) -> Delayed:
    """``cumsum``: in a scalar along the last axis, row by row along another."""
    axis, type = eqn.attrs["axis"], eqn.outs[0].type
    scalar = Scalar(type.dtype)
    zero = context.op.zero(type.dtype)
    buffer = context.empty(sized(type, x.sizes), x.sizes, eqn.outs[0].name)
    others = [a for a in range(x.rank) if a != axis]

    def add(total: Handle, at: tuple[Index, ...]) -> Handle:
        return apply(context, "add", (total, convert(context, context.at(x, at), scalar)), scalar, {})

    def line(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        def step(here: tuple[Index, ...], sums: tuple[Handle, ...]) -> list[Handle]:
            there = (*at[:axis], here[axis], *at[axis + 1 :])
            total = add(sums[1], there)
            return [context.store(sums[0], total, there), total]

        return [context.nest((axis,), x.sizes, (carried[0], zero), step)[0]]

    return context.leaf(context.nest(others, x.sizes, (buffer,), line, parallel=True)[0], x.sizes)


RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_REDUCTIONS, reduce),
    "argmax": position,
    "argmin": position,
    "cumsum": running,
}

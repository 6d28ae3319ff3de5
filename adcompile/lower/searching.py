"""Equations whose result is positions found by looking: ``argsort``, ``searchsorted``, ``nonzero`` → explicit loops.

``argsort`` is a bottom-up merge sort (stable, nan last) on two buffers of positions that swap roles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adcompile.ir import Array, Block, Eqn, Scalar, Type, Value
from adcompile.ir.types import INDEX
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import apply, convert
from adcompile.lower.indices import Index
from adcompile.lower.movement import sized
from adcompile.primitives import Handle

_TRUTH, _POSITION = Scalar("bool"), Scalar("int64")
Body = Callable[..., Sequence[Any]]


def region(context: Context, types: Sequence[Type], body: Body) -> Block:
    """A block with parameters of the given types, emitted by ``body``."""
    params = [Value(t) for t in types]
    with context.inside(context.op.builder.child()) as builder:
        results = body(*map(context.op.handle, params))
        return builder.block(params, [context.op.atom(r) for r in results])


def branch(context: Context, condition: Handle, types: Sequence[Type], then: Body, other: Body) -> tuple[Handle, ...]:
    """``if``."""
    regions = (region(context, (), then), region(context, (), other))
    return tuple(map(context.op.handle, context.op.builder.emit("if", (condition.atom,), types, {}, regions)))


def repeat(context: Context, carried: Sequence[Any], condition: Body, body: Body) -> tuple[Handle, ...]:
    """``while``."""
    atoms = [context.op.atom(c) for c in carried]
    types = [a.type for a in atoms]
    regions = (region(context, types, condition), region(context, types, body))
    return tuple(map(context.op.handle, context.op.builder.emit("while", atoms, types, {}, regions)))


def before(context: Context, a: Handle, b: Handle) -> Handle:
    """Whether ``a`` sorts before ``b``; nan is last."""
    less = apply(context, "lt", (a, b), _TRUTH, {})
    if not a.type.dtype.startswith("float"):
        return less
    last = _both(context, apply(context, "ne", (b, b), _TRUTH, {}), apply(context, "eq", (a, a), _TRUTH, {}))
    return apply(context, "logical_or", (less, last), _TRUTH, {})


def _both(context: Context, a: Handle, b: Handle) -> Handle:
    return apply(context, "logical_and", (a, b), _TRUTH, {})


# -- searchsorted ---------------------------------------------------------------------------------------------------


def searchsorted(context: Context, eqn: Eqn, a: Delayed, v: Lowered) -> Lowered:
    """A binary search per element."""
    dtype = a.type.dtype
    table = context.force(a)

    def find(at: Sequence[Index]) -> Handle:
        wanted = convert(context, context.at(v, at), Scalar(dtype))
        return _search(context, table, wanted, eqn.attrs["side"])

    type = eqn.outs[0].type
    if not isinstance(v, Delayed):
        return find(())
    buffer = context.empty(sized(type, v.sizes), v.sizes, eqn.outs[0].name)
    body = lambda at, carried: [context.store(carried[0], find(at), at)]
    return context.leaf(context.nest(range(v.rank), v.sizes, (buffer,), body, parallel=True)[0], v.sizes)


def _search(context: Context, table: Delayed, wanted: Handle, side: str) -> Handle:
    """The first position whose element is not before (left) or is after (right) the wanted one."""
    op = context.op

    def step(low: Handle, high: Handle) -> list[Handle]:
        middle = (low + high) // 2
        element = context.at(table, (middle,))
        if side == "left":
            right = before(context, element, wanted)
        else:
            right = apply(context, "logical_not", (before(context, wanted, element),), _TRUTH, {})
        where = lambda one, two: apply(context, "where", (right, one, two), INDEX, {})
        return [where(middle + 1, low), where(high, middle)]

    start = (op.constant(0, INDEX), op.atom(table.sizes[0]))
    low, _ = repeat(context, start, lambda low, high: [op.lt(low, high)], step)
    return convert(context, low, _POSITION)


# -- nonzero --------------------------------------------------------------------------------------------------------


def nonzero(context: Context, eqn: Eqn, x: Delayed) -> tuple[Delayed, ...]:
    """Count, then fill one index buffer per dimension."""
    truth = lambda at: convert(context, context.at(x, at), _TRUTH)

    def count(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        return [apply(context, "add", (carried[0], convert(context, truth(at), INDEX)), INDEX, {})]

    (total,) = context.nest(range(x.rank), x.sizes, (context.op.constant(0, INDEX),), count)
    buffers = [context.empty(Array("int64", ("?",)), (total,), o.name) for o in eqn.outs]
    types = [INDEX, *(b.type for b in buffers)]

    def fill(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> Sequence[Handle]:
        place, *found = carried
        keep = lambda: [place + 1, *(context.store(b, i, (place,)) for b, i in zip(found, at, strict=True))]
        return branch(context, truth(at), types, keep, lambda: carried)

    _, *filled = context.nest(range(x.rank), x.sizes, (context.op.constant(0, INDEX), *buffers), fill)
    return tuple(context.leaf(b, (total,)) for b in filled)


# -- argsort --------------------------------------------------------------------------------------------------------


def argsort(context: Context, eqn: Eqn, x: Delayed) -> Delayed:
    """Every line along the axis sorted on its own."""
    axis, type = eqn.attrs["axis"], eqn.outs[0].type
    x = context.force(x)
    size = x.sizes[axis]
    others = [a for a in range(x.rank) if a != axis]
    buffer = context.empty(sized(type, x.sizes), x.sizes, eqn.outs[0].name)

    def line(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> Sequence[Handle]:
        there = lambda i: (*at[:axis], i, *at[axis + 1 :])
        order = _sorted(context, size, lambda i: context.at(x, there(i)))
        put = lambda i, c: [context.store(c[0], context.load(order, i), there(i[0]))]
        return context.loop(size, carried, put, "k")

    return context.leaf(context.nest(others, x.sizes, (buffer,), line)[0], x.sizes)


def _sorted(context: Context, size: Index, element: Callable[[Handle], Handle]) -> Handle:
    """A buffer of the positions 0 … size - 1 in sorted order: runs of doubling width are merged."""
    type = Array("int64", (size if isinstance(size, int) else "?",))
    first, second = (context.empty(type, (size,)) for _ in range(2))
    count = lambda i, c: [context.store(c[0], i[0], i)]
    (first,) = context.loop(size, (first,), count, "k")

    def double(order: Handle, spare: Handle, width: Handle) -> list[Handle]:
        merge = lambda start, target: _merge(context, order, target, (start, width, size), element)
        pairs = (width * 2 + (size - 1)) // (width * 2)
        (merged,) = context.loop(pairs, (spare,), lambda p, c: merge(p[0] * (width * 2), c[0]), "p")
        return [merged, order, width * 2]

    start = (first, second, context.op.constant(1, INDEX))
    return repeat(context, start, lambda order, spare, width: [context.op.lt(width, size)], double)[0]


def _merge(context: Context, order: Handle, target: Handle, run: tuple, element: Callable) -> Sequence[Handle]:
    """Merge two neighbouring sorted runs of ``order`` into ``target``."""
    op = context.op
    start, width, size = run
    middle, end = op.minimum(start + width, size), op.minimum(start + width * 2, size)

    def step(index: tuple, carried: tuple[Handle, ...]) -> list[Handle]:
        left, right, target = carried
        position = lambda i: context.load(order, (op.minimum(i, size - 1),))
        one, two = position(left), position(right)
        later = before(context, element(two), element(one))
        wants_right = apply(context, "logical_or", (op.ge(left, middle), later), _TRUTH, {})
        takes_right = _both(context, op.lt(right, end), wants_right)
        go = convert(context, takes_right, INDEX)
        taken = apply(context, "where", (takes_right, two, one), _POSITION, {})
        return [left + (1 - go), right + go, context.store(target, taken, (start + index[0],))]

    return context.loop(end - start, (start, middle, target), step, "k")[2:]


RULES = {"searchsorted": searchsorted, "nonzero": nonzero, "argsort": argsort}

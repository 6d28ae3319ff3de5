"""Equations that make arrays and move elements → index maps, delayed; concatenations → one loop nest per piece."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from adcompile.ir import Array, Eqn, Scalar, Type
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import convert
from adcompile.lower.indices import Index, is_one
from adcompile.lower.subscripts import as_index, select
from adcompile.primitives import PRIMITIVES, Handle


def sized(type: Type, sizes: Sequence[Index]) -> Array:
    """The type with the sizes that are known by now."""
    return Array(type.dtype, tuple(s if isinstance(s, int) else d for s, d in zip(sizes, type.dims, strict=True)))


def mapped_view(x: Delayed, type: Type, sizes: Sequence[Index], at: Any, **options: Any) -> Delayed:
    """The elements of ``x`` at other places."""
    return Delayed(sized(type, sizes), tuple(sizes), at, x.sources, depth=x.depth, **options)


def full(context: Context, eqn: Eqn, value: Handle, *sizes: Handle) -> Delayed:
    """One scalar everywhere."""
    known = tuple(map(as_index, sizes))
    for size in known:
        if not context.indices.at_least(size, 0):
            words = "negative dimensions are not allowed"
            context.op("check_true", context.op.handle(context.op.atom(size)) >= 0, error="ValueError", message=words)
    room = bool(eqn.attrs.get("room"))
    return Delayed(sized(eqn.outs[0].type, known), known, lambda at: value, room=room)


def empty(context: Context, eqn: Eqn, *sizes: Handle) -> Delayed:
    """A buffer of its own."""
    known = tuple(map(as_index, sizes))
    type = sized(eqn.outs[0].type, known)
    return context.leaf(context.empty(type, known, eqn.outs[0].name), known)


def same(context: Context, eqn: Eqn, x: Lowered) -> Lowered:
    """The value itself: in a pure program a copy is nothing."""
    return x


def dim(context: Context, eqn: Eqn, x: Delayed) -> Handle:
    """A size that the lowering already knows."""
    size = x.sizes[eqn.attrs["axis"]]
    return context.op.handle(context.op.atom(size))


def arange(context: Context, eqn: Eqn, start: Handle, stop: Handle, step: Handle) -> Delayed:
    """``start + i·step``."""
    first, stride = as_index(start), as_index(step)
    rule, type = PRIMITIVES["arange"].shape, eqn.outs[0].type
    assert rule is not None
    if is_one(stride):
        count = context.indices.maximum(context.indices.sub(as_index(stop), first), 0)
    else:
        count = as_index(rule(context.op, (start, stop, step), eqn.attrs)[0])

    def read(at: tuple[Index, ...]) -> Handle:
        place = context.indices.add(first, context.indices.mul(at[0], stride))
        return convert(context, context.op.handle(context.op.atom(place)), Scalar(type.dtype))

    return Delayed(sized(type, (count,)), (count,), read)


def transpose(context: Context, eqn: Eqn, x: Delayed) -> Delayed:
    """Dimensions in another order."""
    perm = eqn.attrs["perm"]
    if perm == tuple(range(x.rank)):
        return x

    def read(at: tuple[Index, ...]) -> Handle:
        return context.at(x, tuple(at[perm.index(axis)] for axis in range(x.rank)))

    sizes = tuple(x.sizes[axis] for axis in perm)
    return mapped_view(x, eqn.outs[0].type, sizes, read, transposed=x if perm == (1, 0) else None)


def broadcast_to(context: Context, eqn: Eqn, x: Delayed, *sizes: Handle) -> Delayed:
    """Repeated along dimensions of size 1 and new leading ones."""
    known = tuple(map(as_index, sizes))
    for axis, dim in enumerate(x.type.dims):
        if dim != 1:
            target = known[len(known) - x.rank + axis]
            context.indices.check_same(x.sizes[axis], target, "operands could not be broadcast together")

    def read(at: tuple[Index, ...]) -> Handle:
        last = at[len(at) - x.rank :]
        return context.at(x, tuple(0 if d == 1 else i for d, i in zip(x.type.dims, last, strict=True)))

    return mapped_view(x, eqn.outs[0].type, known, read)


def reshape(context: Context, eqn: Eqn, x: Lowered, *sizes: Handle) -> Lowered:
    """The same buffer, or an index map where only dimensions of size 1 come and go."""
    known = tuple(map(as_index, sizes))
    type = eqn.outs[0].type
    if isinstance(x, Handle):
        return Delayed(sized(type, known), known, lambda at: x) if isinstance(type, Array) else x
    _check_count(context, x.sizes, known)
    if isinstance(type, Scalar):
        return context.at(x, (0,) * x.rank)
    return reshaped(context, x, type, known)


def reshaped(context: Context, x: Delayed, type: Array, sizes: Sequence[Index]) -> Delayed:
    """``x`` in other sizes of the same product."""
    old = [axis for axis, size in enumerate(x.sizes) if not is_one(size)]
    new = [axis for axis, size in enumerate(sizes) if not is_one(size)]
    same = len(old) == len(new)
    if not (same and all(context.indices.equal(x.sizes[o], sizes[n]) for o, n in zip(old, new, strict=True))):
        base = context.force(x)
        return context.force(mapped_view(base, type, sizes, base.read, flat=base))

    def read(at: tuple[Index, ...]) -> Handle:
        places = dict(zip(old, new, strict=True))
        return context.at(x, tuple(at[places[axis]] if axis in places else 0 for axis in range(x.rank)))

    return mapped_view(x, type, sizes, read, flat=x)


def _check_count(context: Context, old: Sequence[Index], new: Sequence[Index]) -> None:
    """The product of the sizes must stay."""
    indices, rest = context.indices, list(new)
    unmatched: list[Index] = []
    for size in old:
        found = next((k for k, other in enumerate(rest) if indices.equal(size, other)), None)
        unmatched.append(size) if found is None else rest.pop(found)
    before, after = (functools.reduce(indices.mul, sizes, 1) for sizes in (unmatched, rest))
    if not indices.equal(before, after):
        before, after = (functools.reduce(indices.mul, sizes, 1) for sizes in (old, new))
        indices.check_same(before, after, "cannot reshape: the number of elements differs")


def index(context: Context, eqn: Eqn, x: Delayed, *args: Lowered) -> Lowered:
    """A part of an array: a scalar, a strided view, or a gather."""
    selection = select(context, x.sizes, eqn.attrs["spec"], args)
    if isinstance(eqn.outs[0].type, Scalar):
        return context.at(x, selection.at(()))
    sources = x.sources.union(*(a.sources for a in selection.arrays))
    type = sized(eqn.outs[0].type, selection.sizes)
    if selection.whole and len(eqn.attrs["spec"]) == x.rank == len(selection.sizes):
        return x
    depth = max(x.depth, *(a.depth for a in selection.arrays)) if selection.arrays else x.depth
    return Delayed(
        type,
        selection.sizes,
        lambda at: context.at(x, selection.at(at)),
        sources,
        flat=x if selection.whole else None,
        depth=depth,
    )


def concatenate(context: Context, eqn: Eqn, *pieces: Delayed) -> Delayed:
    """A buffer that every piece is stored in, one after the other."""
    axis = eqn.attrs["axis"]
    type = eqn.outs[0].type
    offsets: list[Index] = [0]
    for piece in pieces:
        offsets.append(context.indices.add(offsets[-1], piece.sizes[axis]))
        for other in range(piece.rank):
            if other != axis:
                context.indices.check_same(
                    pieces[0].sizes[other],
                    piece.sizes[other],
                    "all the input array dimensions except for the concatenation axis must match exactly",
                )
    sizes = (*pieces[0].sizes[:axis], offsets[-1], *pieces[0].sizes[axis + 1 :])
    buffer = context.empty(sized(type, sizes), sizes, eqn.outs[0].name)
    for piece, offset in zip(pieces, offsets[:-1], strict=True):
        buffer = _place(context, buffer, piece, axis, offset)
    return context.leaf(buffer, sizes)


def _place(context: Context, buffer: Handle, piece: Delayed, axis: int, offset: Index) -> Handle:
    scalar = Scalar(buffer.type.dtype)

    def body(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        there = (*at[:axis], context.indices.add(at[axis], offset), *at[axis + 1 :])
        return [context.store(carried[0], convert(context, context.at(piece, at), scalar), there)]

    return context.nest(range(piece.rank), piece.sizes, (buffer,), body, parallel=True)[0]


def vector(context: Context, eqn: Eqn, *scalars: Handle) -> Delayed:
    """A buffer of given scalars."""
    type = sized(eqn.outs[0].type, (len(scalars),))
    buffer = context.empty(type, (len(scalars),), eqn.outs[0].name)
    for position, scalar in enumerate(scalars):
        buffer = context.store(buffer, convert(context, scalar, Scalar(type.dtype)), (position,))
    return context.leaf(buffer, (len(scalars),))


def check_same(context: Context, eqn: Eqn, a: Handle, b: Handle) -> tuple:
    """Kept where the sizes are not provably equal."""
    context.indices.check_same(as_index(a), as_index(b), eqn.attrs["message"])
    return ()


def roll(context: Context, eqn: Eqn, x: Delayed, shift: Handle) -> Delayed:
    """``out[i] = x[i - shift]`` on a circle."""
    axis, indices = eqn.attrs["axis"], context.indices
    size, by = x.sizes[axis], as_index(shift)
    back = isinstance(by, int) and by < 0
    start = _start(context, size, -by if back else by)

    def read(at: tuple[Index, ...]) -> Handle:
        if back:
            there = indices.select_below(indices.add(at[axis], start), size)
        else:
            there = indices.select_wrapped(indices.sub(at[axis], start), size)
        return context.at(x, (*at[:axis], there, *at[axis + 1 :]))

    return mapped_view(x, x.type, x.sizes, read)


def _start(context: Context, size: Index, shift: Index) -> Index:
    """A shift to the right by less than the size; a shift by one needs no remainder."""
    if isinstance(shift, int) and (shift == 1 or isinstance(size, int)):
        return shift if shift == 1 else shift % max(size, 1)
    return as_index(context.op.mod(shift, context.indices.maximum(size, 1)))


def check_true(context: Context, eqn: Eqn, condition: Handle) -> tuple:
    """A check of the user's stays where it is."""
    context.op("check_true", condition, **eqn.attrs)
    return ()


RULES = {
    "roll": roll,
    "check_same": check_same,
    "check_true": check_true,
    "vector": vector,
    "full": full,
    "empty": empty,
    "copy": same,
    "identity": same,
    "again": same,
    "stop_gradient": same,
    "dim": dim,
    "arange": arange,
    "transpose": transpose,
    "broadcast_to": broadcast_to,
    "reshape": reshape,
    "index": index,
    "concatenate": concatenate,
}

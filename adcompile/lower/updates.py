"""``store`` and ``accumulate`` on parts of an array → loop nests that write single elements of its buffer."""

from __future__ import annotations

from typing import Any

from adcompile.ir import Eqn, Scalar, Value
from adcompile.ir.core import walk
from adcompile.ir.types import INDEX
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import aligned, convert
from adcompile.lower.indices import Index, is_one
from adcompile.lower.subscripts import Selection, select
from adcompile.primitives import Handle


def update(context: Context, eqn: Eqn, base: Delayed, value: Lowered, *args: Lowered) -> Delayed:
    """``base[subscripts] = value`` or ``+= value``, elements in C order of the part."""
    target = context.force(base, eqn.outs[0].name)
    context.protect(set(target.sources))
    selection = select(context, target.sizes, eqn.attrs["spec"], args)
    _check_fits(context, selection, value)
    if isinstance(value, Delayed) and _must_come_first(context, target, selection, value):
        value = context.fill(context.empty(value.type, value.sizes), value)
    scalar, buffer = Scalar(target.type.dtype), target.buffer
    assert buffer is not None
    write = context.accumulate if eqn.op == "accumulate" else context.store

    def body(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        with context.renamed({buffer: carried[0]}):
            element = convert(context, context.at(value, aligned(value, at)), scalar)
            return [write(carried[0], element, selection.at(at))]

    sizes = selection.sizes
    distinct = not selection.arrays
    (written,) = context.nest(range(len(sizes)), sizes, (context.op.handle(buffer),), body, parallel=distinct)
    return context.leaf(written, target.sizes)


def _check_fits(context: Context, selection: Selection, value: Lowered) -> None:
    """The value must broadcast to the part."""
    if isinstance(value, Handle):
        return
    for back in range(1, value.rank + 1):
        if value.type.dims[-back] != 1:
            there = selection.sizes[-back] if back <= len(selection.sizes) else 1
            context.indices.check_same(there, value.sizes[-back], "could not broadcast input array")


def _must_come_first(context: Context, target: Delayed, selection: Selection, value: Delayed) -> bool:
    """Whether the value reads elements of the buffer that another element of the part may be written to before."""
    if not target.sources & value.sources:
        return False
    return bool(selection.arrays) or not _reads_old(context, value, target, selection)


def _reads_old(context: Context, value: Delayed, target: Delayed, selection: Selection) -> bool:
    """Emit one element on the side and look at what it reads: itself, or what is no element of the part."""
    with context.inside(context.op.builder.child()) as scratch:
        at = tuple(context.op.handle(Value(INDEX)) if not is_one(s) else 0 for s in selection.sizes)
        context.at(value, aligned(value, at))
        places = selection.at(at)
        emitted = list(walk(scratch.block((), ())))
        inner = {*(i.atom for i in at if isinstance(i, Handle)), *(o for e in emitted for o in e.outs)}
        reads = [e.args[1:] for e in emitted if e.op == "index" and e.args[0] in target.sources]
        return all(_same_places(context, r, places) or _apart(context, r, places, inner) for r in reads)


def _same_places(context: Context, one: Any, two: Any) -> bool:
    """Whether two positions are provably equal."""
    return len(one) == len(two) and all(context.indices.equal(a, b) for a, b in zip(one, two, strict=True))


def _apart(context: Context, one: Any, two: Any, inner: set[Any]) -> bool:
    """Whether two positions differ along a dimension where neither depends on the element, nor on ``inner`` values."""
    for a, b in zip(one, two, strict=True):
        form, other = context.indices.form(a), context.indices.form(b)
        difference = form.plus(other, -1)
        if not difference.terms and difference.constant and not inner & form.terms.keys():
            return True
    return False


RULES = {"store": update, "accumulate": update}

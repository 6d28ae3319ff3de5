"""``grow`` as the branch it stands for, before anything else is lowered."""

from __future__ import annotations

from dataclasses import replace

from adcompile.ir import Block, Eqn, Trace
from adcompile.ir.builder import Builder
from adcompile.primitives import Emitter
from adcompile.primitives.buffer import UP_TO
from adcompile.primitives.indexing import FULL


def expand_growth(trace: Trace) -> Trace:
    """The trace with every ``grow`` as: where it is too short, a longer array that begins with it."""
    return replace(trace, block=_expand(trace.block, Builder()))


def _expand(block: Block, builder: Builder) -> Block:
    for eqn in block.eqns:
        if eqn.op == "grow":
            _grow(builder, eqn)
        else:
            builder.append(replace(eqn, regions=tuple(_expand(r, builder.child()) for r in eqn.regions)))
    return builder.block(block.params, block.results)


def _grow(builder: Builder, eqn: Eqn) -> None:
    op, (array, length) = Emitter(builder), eqn.args
    room, rest = op.size(array, 0), op.shape(op.handle(array))[1:]
    longer, same = Emitter(builder.child()), builder.child()
    more = longer.handle(length) + longer.handle(op.atom(room))
    empty = longer("full", longer.zero(array.type.dtype), more, *rest, dims=("?", *array.type.dims[1:]))
    grown = longer("store", empty, array, room, spec=(UP_TO, *(FULL,) * len(rest)))
    short = op.atom(op.handle(length) > room)
    regions = (longer.builder.block((), [grown.atom]), same.block((), [array]))
    builder.append(Eqn("if", (short,), eqn.outs, {}, eqn.loc, regions))

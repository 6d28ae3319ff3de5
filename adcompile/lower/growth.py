"""``grow`` as the branch it stands for."""

from __future__ import annotations

from adcompile.ir import Eqn
from adcompile.ir.builder import Builder
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import FULL


def growth(eqn: Eqn) -> list[Eqn]:
    """The equations of ``grow``: where the array is too short, a longer one that begins with it.

    What is behind the elements of the shorter one is undefined.
    """
    builder, (array, length) = Builder(), eqn.args
    builder.loc, builder.note = eqn.loc, eqn.note
    op, longer, same = Emitter(builder), Emitter(builder.child()), builder.child()
    room, *rest = (op.size(array, axis) for axis in range(array.type.rank))
    sizes = (longer.handle(length) + longer.handle(op.atom(room)), *rest)
    empty = longer("empty", *sizes, dtype=array.type.dtype, dims=("?", *array.type.dims[1:]))
    grown = longer("store", empty, array, 0, room, spec=(("part",), *(FULL,) * len(rest)))
    short = op.atom(op.handle(length) > op.handle(op.atom(room)))
    regions = (longer.builder.block((), [grown.atom]), same.block((), [array]))
    return [*builder.eqns, Eqn("if", (short,), eqn.outs, {}, eqn.loc, regions, eqn.note)]

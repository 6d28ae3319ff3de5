"""Array dialect → array dialect: the tape of an inner loop is a row of the tape around it, and is filled there.

Nested loops record their values on tapes of their own, which the loop around then stores as its rows. Where the tape of
the inner loop does nothing else, its stores get the subscript of the row in front, and the row is never copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from adcompile.ir import Array, Atom, Block, Eqn, Value
from adcompile.ir.core import eqn_inputs, uses
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.specs import FULL

_MOVING = ("int", "slice")


def fill_rows(block: Block) -> Block:
    """An equal block whose inner loops store to the rows of the tapes around them.

    Parameters
    ----------
    block : a block of the array dialect; its regions are rewritten, too.

    Returns
    -------
    Block
        The block; what nobody reads any more is still there.
    """
    eqns = [replace(e, regions=tuple(map(fill_rows, e.regions))) if e.regions else e for e in block.eqns]
    count = Counter(uses(block))
    for store in [e for e in eqns if _stores_row(e)]:
        eqns = _filled(eqns, store, count) or eqns
    return Block(block.params, tuple(eqns), block.results)


def _stores_row(eqn: Eqn) -> bool:
    """Whether an array becomes a row of another, all of it."""
    if eqn.op != "store" or not isinstance(eqn.args[1], Value) or not isinstance(eqn.args[1].type, Array):
        return False
    row = eqn.args[1].type
    return eqn.attrs["spec"] == (("int",), *(FULL,) * row.rank) and row.dtype == eqn.args[0].type.dtype


def _filled(eqns: list[Eqn], store: Eqn, count: Counter) -> list[Eqn] | None:
    """The equations with a loop that fills the row itself; None where it may not.

    Nobody else may read the tape or its start, and nobody but the store the array around it.
    """
    around, tape, row = store.args
    made = {o: e for e in eqns for o in e.outs}
    loop = made.get(tape) if isinstance(tape, Value) else None
    if loop is None or loop.op != "loop" or not isinstance(around, Value):
        return None
    start = loop.args[3 + loop.outs.index(tape)]
    empty = made.get(start) if isinstance(start, Value) else None
    if empty is None or empty.op != "full" or not empty.attrs.get("room"):
        return None
    if any(count[v] > 1 for v in (start, tape, around) if isinstance(v, Value)):
        return None
    place = eqns.index(loop)
    needed = _needed(eqns[place + 1 :], row)
    if needed is None or around in {o for e in eqns[place:] for o in e.outs}:
        return None
    moved = _in_row(loop, loop.outs.index(tape), around, row, store.outs[0])
    if moved is None:
        return None
    rest = [e for e in eqns[place + 1 :] if e is not store and e not in needed]
    return [*eqns[:place], *needed, moved, *rest]


def _needed(eqns: Sequence[Eqn], atom: Atom) -> list[Eqn] | None:
    """The scalar arithmetic among some equations that gives ``atom``; None where other equations do."""
    wanted: set[Atom] = {atom}
    needed: list[Eqn] = []
    for eqn in reversed(eqns):
        if wanted.intersection(eqn.outs):
            if eqn.regions or not PRIMITIVES[eqn.op].elementwise:
                return None
            wanted.update(eqn.args)
            needed.insert(0, eqn)
    return needed


def _in_row(loop: Eqn, place: int, around: Value, row: Atom, out: Value) -> Eqn | None:
    """A loop that carries ``around`` instead of a tape, and stores to its row; None where it does anything else."""
    (body,) = loop.regions
    param, result = body.params[1 + place], body.results[place]
    fresh = Value(around.type, around.name)
    eqns: list[Eqn] = []
    version, new = param, fresh
    for eqn in body.eqns:
        if version not in eqn_inputs(eqn):
            eqns.append(eqn)
            continue
        moved = _step(eqn, version, new, row)
        if moved is None:
            return None
        at = moved.outs.index(next(o for o in moved.outs if o not in eqn.outs))
        version, new = eqn.outs[at], moved.outs[at]
        eqns.append(moved)
    if version is not result or body.results.count(version) > 1:
        return None
    params, results = list(body.params), list(body.results)
    params[1 + place], results[place] = fresh, new
    args, outs = list(loop.args), list(loop.outs)
    args[3 + place], outs[place] = around, out
    region = Block(tuple(params), tuple(eqns), tuple(results))
    return replace(loop, args=tuple(args), outs=tuple(outs), regions=(region,))


def _step(eqn: Eqn, version: Value, new: Value, row: Atom) -> Eqn | None:
    """An equation that makes the next version of a tape, on the tape around; None where it does anything else."""
    if eqn.op == "store" and eqn.args[0] is version and version not in eqn.args[1:]:
        spec = eqn.attrs["spec"]
        if all(entry[0] in _MOVING for entry in spec):
            args, out = (new, eqn.args[1], row, *eqn.args[2:]), Value(new.type, new.name)
            return replace(eqn, args=args, outs=(out,), attrs={**eqn.attrs, "spec": (("int",), *spec)})
    if eqn.op == "loop" and eqn.args.count(version) == 1 and eqn.args.index(version) >= 3:
        place = eqn.args.index(version) - 3
        return _in_row(eqn, place, new, row, Value(new.type, new.name))
    return None

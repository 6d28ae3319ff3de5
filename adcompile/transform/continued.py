"""A tape that a loop fills from nothing, as a part of the tape that an iteration around it fills.

The loop is replaced by one that starts with the tape around it and has every subscript of its tape moved by the row
where this iteration begins; what reads the part reads the whole, moved likewise. So nothing is copied from the tape
of a loop to the tape around, at any depth.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from adcompile.ir import Atom, Block, Eqn, Value, free_values
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, walk
from adcompile.ir.types import INDEX

_LEAD = {"loop": 3, "while": 0}


def continue_tape(builder: Builder, tape: Value, around: Value, top: Value) -> bool:
    """Let the loop that fills ``tape`` continue the tape ``around`` from row ``top`` on; False where it cannot.

    That means the same where the loop, and the loops in it, do nothing with the tape but grow it and store to it.
    """
    loop = builder.definitions.get(tape)
    if loop is None or loop.op not in _LEAD or any(tape in eqn_inputs(e) for e in builder.eqns):
        return False
    lead, place = _LEAD[loop.op], loop.outs.index(tape)
    start = builder.definitions.get(loop.args[lead + place])  # type: ignore[arg-type]
    if start is None or start.op != "full" or not start.attrs.get("room") or tape.type.rank != around.type.rank:
        return False
    steps = filling(loop, place)
    if steps is None:
        return False
    begun = Value(around.type, around.name)
    longer = _moved(Eqn("grow", (around, start.args[1]), (begun,), {}, loop.loc, (), loop.note), 1, top)
    if tape in builder.filled:
        begun, longer = around, []
    args = (*loop.args[: lead + place], begun, *loop.args[lead + place + 1 :])
    filled = replace(_all_moved(loop, steps, top), args=args)
    at = builder.eqns.index(loop)
    builder.eqns[at : at + 1] = [*longer, filled]
    builder.definitions.update(dict.fromkeys(loop.outs, filled))
    return True


def read_from(block: Block, part: Value, tape: Value, top: Atom) -> Block | None:
    """A block that reads rows of ``tape``, from ``top`` on, instead of the part of it; None where it reads it whole."""
    if part in block.results or not all(_reads_rows(eqn, part) for eqn in walk(block)):
        return None
    eqns = []
    for eqn in block.eqns:
        regions = tuple(read_from(r, part, tape, top) or r for r in eqn.regions)
        eqns += _moved(replace(eqn, args=(tape, *eqn.args[1:])), 1, top) if part in eqn.args else []
        eqns += [] if part in eqn.args else [replace(eqn, regions=regions)]
    return replace(block, eqns=tuple(eqns))


def _reads_rows(eqn: Eqn, part: Value) -> bool:
    """Whether an equation does nothing with an array but read one row of it."""
    if any(part in region.results for region in eqn.regions):
        return False
    return part not in eqn.args or (eqn.op == "index" and eqn.attrs["spec"][0] == ("int",) and part not in eqn.args[1:])


# -- what fills a tape ------------------------------------------------------------------------------------------


def filling(loop: Eqn, place: int) -> dict[Eqn, Value] | None:
    """The equations in a loop through which a carried tape goes, each with the version that it takes.

    None where anything is done with the tape but to grow it and to store to it.
    """
    body, steps = loop.regions[-1], {}
    version = body.params[len(body.params) - len(loop.outs) + place]
    earlier: set[Value] = set()
    for eqn in body.eqns:
        inputs = eqn_inputs(eqn)
        if earlier.intersection(inputs):
            return None
        found = _step(eqn, version) if version in inputs else ({}, version)
        if found is None:
            return None
        earlier |= {version} if found[0] else set()
        steps |= found[0]
        version = found[1]
    ends = (
        version is body.results[place] and body.results.count(version) == 1 and not earlier.intersection(body.results)
    )
    return steps if ends and not _asked(loop, place) else None


def _step(eqn: Eqn, version: Value) -> tuple[dict[Eqn, Value], Value] | None:
    """An equation that hands a tape on, with those in it, and the next version; None where it does anything else."""
    if eqn.op in ("grow", "store"):
        return ({eqn: version}, eqn.outs[0]) if eqn.args[0] is version and version not in eqn.args[1:] else None
    captured = {v for region in eqn.regions for v in free_values(region)}
    if eqn.op not in _LEAD or eqn.args.count(version) != 1 or version in captured:
        return None
    place = eqn.args.index(version) - _LEAD[eqn.op]
    inner = filling(eqn, place) if place >= 0 else None
    return None if inner is None else ({eqn: version} | inner, eqn.outs[place])


def _asked(loop: Eqn, place: int) -> bool:
    """Whether the condition of a ``while`` reads a carried value."""
    return any(
        region.params[place] in region.results or any(region.params[place] in eqn_inputs(e) for e in region.eqns)
        for region in loop.regions[:-1]
    )


def _all_moved(loop: Eqn, steps: Container[Eqn], top: Value) -> Eqn:
    """A loop with every subscript of a tape moved, in it and in the loops in it."""
    body, eqns = loop.regions[-1], []
    for eqn in body.eqns:
        if eqn in steps:
            eqns += [_all_moved(eqn, steps, top)] if eqn.regions else _moved(eqn, 1 if eqn.op == "grow" else 2, top)
        else:
            eqns.append(eqn)
    return replace(loop, regions=(*loop.regions[:-1], replace(body, eqns=tuple(eqns))))


def _moved(eqn: Eqn, first: int, top: Atom) -> list[Eqn]:
    """An equation of a tape with its length, or all its subscripts, moved by ``top``; they begin at argument ``first``.

    Only the first dimension of a tape is subscripted by numbers.
    """
    sums = [Eqn("add", (top, a), (Value(INDEX),), {}, eqn.loc, (), eqn.note) for a in eqn.args[first:]]
    return [*sums, replace(eqn, args=(*eqn.args[:first], *(e.outs[0] for e in sums)))]

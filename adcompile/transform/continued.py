"""A tape that a loop fills from nothing, as a part of the tape that an iteration around it fills.

The loop is replaced by one that starts with the tape around it and has every subscript of its tape moved by the row
where this iteration begins; what reads the part reads the whole, moved likewise. So nothing is copied from the tape
of a loop to the tape around, at any depth.
"""

from __future__ import annotations

from collections.abc import Callable
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
    moved = _through_loop(loop, place, top)
    if moved is None:
        return False
    begun = Value(around.type, around.name)
    longer = _moved(Eqn("grow", (around, start.args[1]), (begun,), {}, loop.loc, (), loop.note), 1, top)
    if tape in builder.filled:
        begun, longer = around, []
    args = (*loop.args[: lead + place], begun, *loop.args[lead + place + 1 :])
    filled = replace(moved, args=args)
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


def _through_block(block: Block, version: Value, result: Atom, top: Value) -> Block | None:
    """A block whose stores to a tape, from one version of it to a result, are moved; None if it does anything else."""
    eqns: list[Eqn] = []
    earlier: set[Atom] = set()
    for eqn in block.eqns:
        if earlier.intersection(eqn_inputs(eqn)):
            return None
        if version not in eqn_inputs(eqn):
            eqns.append(eqn)
            continue
        step = _STEPS.get(eqn.op)
        found = None if step is None else step(eqn, version, top)
        if found is None:
            return None
        earlier.add(version)
        moved, version = found
        eqns += moved
    whole = version is result and block.results.count(version) == 1 and not earlier.intersection(block.results)
    return replace(block, eqns=tuple(eqns)) if whole else None


def _through_loop(loop: Eqn, place: int, top: Value) -> Eqn | None:
    """A loop whose body moves its stores to a carried tape."""
    body = loop.regions[-1]
    first = len(body.params) - len(loop.outs)
    version = body.params[first + place]
    moved = _through_block(body, version, body.results[place], top)
    if moved is None or any(region.params[first + place] in _read(region) for region in loop.regions[:-1]):
        return None
    return replace(loop, regions=(*loop.regions[:-1], moved))


def _read(block: Block) -> set[Atom]:
    return {a for eqn in block.eqns for a in eqn_inputs(eqn)} | set(block.results)


def _grow_or_store(eqn: Eqn, version: Value, top: Value) -> tuple[list[Eqn], Value] | None:
    first = 1 if eqn.op == "grow" else 2
    if eqn.args[0] is not version or version in eqn.args[1:]:
        return None
    return _moved(eqn, first, top), eqn.outs[0]


def _inner_loop(eqn: Eqn, version: Value, top: Value) -> tuple[list[Eqn], Value] | None:
    lead = _LEAD[eqn.op]
    captured = {v for region in eqn.regions for v in free_values(region)}
    if eqn.args.count(version) != 1 or version in captured:
        return None
    place = eqn.args.index(version) - lead
    moved = _through_loop(eqn, place, top)
    return None if moved is None else ([moved], eqn.outs[place])


_STEPS: dict[str, Callable[[Eqn, Value, Value], tuple[list[Eqn], Value] | None]] = {
    "grow": _grow_or_store, "store": _grow_or_store, "loop": _inner_loop, "while": _inner_loop,
}  # fmt: skip


def _moved(eqn: Eqn, first: int, top: Atom) -> list[Eqn]:
    """An equation of a tape with its length, or all its subscripts, moved by ``top``; they begin at argument ``first``.

    Only the first dimension of a tape is subscripted by numbers.
    """
    sums = [Eqn("add", (top, a), (Value(INDEX),), {}, eqn.loc, (), eqn.note) for a in eqn.args[first:]]
    return [*sums, replace(eqn, args=(*eqn.args[:first], *(e.outs[0] for e in sums)))]

"""Loop dialect → loop dialect: loops whose iterations threads may share say so, in their attribute ``threads``.

The outermost loops that `adcompile.analysis.independence` proves to be independent, wherever they are: in the body of a
solver's time loop too. Iterations go to threads in blocks. What iterations have in common becomes a `Sharing`: a thread
has an array of zeros of its own for each array that all of them add to, and starts each sum from nothing; the caller
adds these up in the order of the threads. Nothing else changes: a backend may run a marked loop as any other.

The loops inside a marked loop stay on its threads. Whether a loop has work enough is decided when the program runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adcompile.analysis.independence import independence
from adcompile.ir import Atom, Block, Const, Eqn, Value
from adcompile.ir.core import walk
from adcompile.lower.kernels import with_additions
from adcompile.lower.reductions import identity

FEW = 2
"""Loops of known length below this are not worth a look."""


@dataclass(frozen=True)
class Sharing:
    """How threads share the iterations of a loop.

    Attributes
    ----------
    added : positions of carried arrays that every thread adds to; all but the first thread have their own.
    sums : position of a carried scalar, the operation that builds it up, and what that starts from in every thread.
    """

    added: tuple[int, ...]
    sums: tuple[tuple[int, str, Const], ...]


def share_loops(block: Block) -> Block:
    """Mark the outermost loops with independent iterations of a block."""
    made = {o: e for e in block.eqns for o in e.outs}
    return replace(block, eqns=tuple(_marked(e, made) for e in block.eqns))


def _marked(eqn: Eqn, made: dict[Value, Eqn]) -> Eqn:
    if not eqn.regions:
        return eqn
    if eqn.op == "loop" and not _is_short(eqn, made) and (found := _shared(eqn)) is not None:
        return found
    return replace(eqn, regions=tuple(map(share_loops, eqn.regions)))


def _shared(loop: Eqn) -> Eqn | None:
    """A loop with its `Sharing`; None where its iterations depend on each other.

    A sum that the user wrote as ``a[i] = a[i] + x`` is tried as an addition, which threads may make in any order.
    """
    if not any(e.op in ("index", "store", "accumulate") for e in walk(loop.regions[0])):
        return None
    for candidate in (loop, replace(loop, regions=tuple(map(with_additions, loop.regions)))):
        known = independence(candidate)
        if known.holds and known.added == known.shared:
            sums = tuple((k, operation, identity(operation, loop.outs[k].type)) for k, operation in known.sums)
            return replace(candidate, attrs={**loop.attrs, "threads": Sharing(tuple(sorted(known.added)), sums)})
    return None


def _is_short(loop: Eqn, made: dict[Value, Eqn]) -> bool:
    """Whether a loop is known to have hardly any iterations, as an update of one element in the shape of a loop."""
    start, stop, step = loop.args[:3]
    choices = _choices(stop, made)
    if not isinstance(start, Const) or not isinstance(step, Const) or not step.value or choices is None:
        return False
    return all(len(range(start.value, choice, step.value)) < FEW for choice in choices)


def _choices(atom: Atom, made: dict[Value, Eqn]) -> list[int] | None:
    """The values that a number can have, where these are known."""
    if isinstance(atom, Const):
        return [atom.value]
    eqn = made.get(atom)
    if eqn is None or eqn.op != "where":
        return None
    found = [_choices(a, made) for a in eqn.args[1:]]
    return [value for one in found if one is not None for value in one] if None not in found else None


__all__ = ["Sharing", "share_loops"]

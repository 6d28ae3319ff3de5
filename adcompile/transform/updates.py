"""Finds updates in their place: ``a[i] = a[i] + v`` becomes ``a[i] += v``, and so do those of slices.

Reverse mode leaves the cotangent of ``a[i]`` where it is, instead of taking it out, zeroing it and adding it again.
It is the same update where the part is read from the very version of the array that is stored to, at the same
subscripts, which name no element twice, nobody else reads the sum, and NumPy adds in the dtype of the array and in the
sizes of the part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from adcompile.ir import Atom, Block, Eqn, Value, is_float
from adcompile.ir.core import uses


def find_updates(block: Block) -> Block:
    """An equal block in which elements and slices that are read, added to and stored again are accumulated to.

    Parameters
    ----------
    block : a block of the array dialect; its regions are rewritten, too.

    Returns
    -------
    Block
        The block; every value keeps its identity.
    """
    count = Counter(uses(block))
    made: dict[Value, Eqn] = {}
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        if eqn.regions:
            eqn = replace(eqn, regions=tuple(map(find_updates, eqn.regions)))
        made.update(dict.fromkeys(eqn.outs, eqn))
        added = _added(eqn, made, count) if eqn.op == "store" else None
        if added is None:
            eqns.append(eqn)
        else:
            negated, value = added
            if negated:
                negative = Eqn("neg", (value,), (Value(value.type),), {}, eqn.loc)
                eqns.append(negative)
                value = negative.outs[0]
            eqns.append(replace(eqn, op="accumulate", args=(eqn.args[0], value, *eqn.args[2:])))
    return Block(block.params, tuple(eqns), block.results)


def _added(store: Eqn, made: dict[Value, Eqn], count: Counter) -> tuple[bool, Atom] | None:
    """Whether the part grows or shrinks, and by what; None where something else is stored."""
    array, total = store.args[:2]
    sum_ = made.get(total) if isinstance(total, Value) else None
    if sum_ is None or sum_.op not in ("add", "sub") or count[total] > 1:
        return None
    if any(entry[0] not in ("int", "slice") for entry in store.attrs["spec"]) or not is_float(array.type):
        return None
    for old, value in (sum_.args, sum_.args[::-1]):
        read = made.get(old) if isinstance(old, Value) else None
        again = read is not None and _reads(read, store) and old.type.dims == total.type.dims
        if again and is_float(value.type) and _same_dtype(array, total, value) and count[old] == 1:
            return sum_.op == "sub", value
        if sum_.op == "sub":
            break
    return None


def _reads(eqn: Eqn, store: Eqn) -> bool:
    """Whether an equation reads the part that is stored to, from the version of the array that is stored to."""
    if eqn.op != "index" or eqn.attrs["spec"] != store.attrs["spec"]:
        return False
    return [*eqn.args] == [store.args[0], *store.args[2:]]


def _same_dtype(array: Atom, total: Atom, value: Atom) -> bool:
    """Whether NumPy adds in the dtype of the array either way."""
    weak = getattr(value.type, "weak", False)
    return total.type.dtype == array.type.dtype and (weak or value.type.dtype == array.type.dtype)

"""Array dialect → array dialect: a part that becomes one number is overwritten as late as possible.

The adjoint of ``a[1:-1] = v`` takes the cotangent of the part, overwrites it with zero, and hands on what it took. With
the overwriting behind what reads the part, nothing has to be kept: the loops that hand it on read it where it is.
"""

from __future__ import annotations

from dataclasses import replace

from adcompile.ir import Array, Block, Eqn
from adcompile.ir.core import eqn_inputs


def overwrite_late(block: Block) -> Block:
    """An equal block: stores of a number into a part of an array stand just before the first use of their results.

    Only those of adjoints, which cannot fail: the errors of the primal keep their order.

    Parameters
    ----------
    block : a block of the array dialect; its regions are rewritten, too.

    Returns
    -------
    Block
        The same equations, some of them later.
    """
    waiting: list[Eqn] = []
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        if eqn.regions:
            eqn = replace(eqn, regions=tuple(map(overwrite_late, eqn.regions)))
        read = set(eqn_inputs(eqn))
        for store in [s for s in waiting if s.outs[0] in read]:
            waiting.remove(store)
            eqns.append(store)
        (waiting if _overwrites(eqn) else eqns).append(eqn)
    return Block(block.params, (*eqns, *waiting), block.results)


def _overwrites(eqn: Eqn) -> bool:
    """Whether a selection of elements becomes one number in an adjoint."""
    if eqn.note != "adjoint" or eqn.op != "store":
        return False
    several = any(entry[0] == "slice" for entry in eqn.attrs["spec"])
    return several and not isinstance(eqn.args[1].type, Array)

"""Names for the values of a program: the user's own words, unique where they must be, reused where they may be.

A name may be taken over by a new value when its holder is never read again, so that an accumulation reads
``v4_bar = v4_bar + v5_bar`` and an array keeps its name through every store.
"""

from __future__ import annotations

import builtins
import keyword

from adcompile.ir import Block, Value
from adcompile.ir.core import eqn_inputs

RESERVED = {
    *keyword.kwlist,
    *dir(builtins),
    "np",
    "math",
    "special",
    "check_same",
    "check_index",
    "check_nonzero",
    "grow",
}


def uses(block: Block) -> dict[Value, int]:
    """How many times each value is read in a block, everything that regions read counted as two."""
    counts: dict[Value, int] = {}
    for eqn in block.eqns:
        direct = [a for a in eqn.args if isinstance(a, Value)]
        for value in direct:
            counts[value] = counts.get(value, 0) + 1
        if eqn.regions:
            for value in eqn_inputs(eqn):
                counts[value] = counts.get(value, 0) + 2
    for result in block.results:
        if isinstance(result, Value):
            counts[result] = counts.get(result, 0) + 1
    return counts


class Names:
    """The names of one function; a new scope for each region. ``reserved`` names are not given."""

    def __init__(self, reserved: frozenset[str] = frozenset()):
        self.reserved = RESERVED | reserved
        self.of: dict[Value, str] = {}
        self.holder: dict[str, Value] = {}
        self.count = 0

    def give(self, value: Value, dead: set[Value], hint: str = "") -> str:
        """Name a value: its hint if free or held by a value in ``dead``, else numbered."""
        hint = hint or value.name
        if not hint:
            self.count += 1
            while f"t{self.count}" in self.holder:
                self.count += 1
            hint = f"t{self.count}"
        base = f"{hint}_" if hint in self.reserved else hint
        name, copies = base, 1
        while name in self.holder and self.holder[name] not in dead:
            copies += 1
            name = f"{base}_{copies}"
        return self.take(value, name)

    def take(self, value: Value, name: str) -> str:
        """Give a value exactly this name."""
        self.of[value] = name
        self.holder[name] = value
        return name

    def forget(self, block: Block) -> None:
        """Free the names that only a finished block uses."""
        for value in (*block.params, *(o for eqn in block.eqns for o in eqn.outs)):
            name = self.of.get(value)
            if name is not None and self.holder.get(name) is value:
                del self.holder[name]
        for eqn in block.eqns:
            for region in eqn.regions:
                self.forget(region)

"""Unique names for the values of a block, the same as `adcompile.transform.simplify.number_values` gives."""

from __future__ import annotations

from collections.abc import Iterable

from adcompile.ir import Block, Value


class Labels:
    """Gives names and remembers which are taken."""

    def __init__(self, reserved: Iterable[str] = ()):
        self.of: dict[Value, str] = {}
        self.taken: set[str] = set(reserved)

    def give(self, value: Value, hint: str) -> str:
        """Name a value by a hint, with a number behind it where the hint is taken."""
        name, copies = hint, 1
        while name in self.taken:
            copies += 1
            name = f"{hint}_{copies}"
        return self.put(value, name)

    def put(self, value: Value, name: str) -> str:
        """Name a value exactly so, be the name taken or not."""
        self.taken.add(name)
        self.of[value] = name
        return name


def label(block: Block) -> dict[Value, str]:
    """The user's names for params and results of equations; v1, v2, … for the others, in order of evaluation."""
    outs = [o for eqn in block.eqns for o in eqn.outs]
    given = {v.name for v in (*block.params, *outs) if v.name}
    labels, count = Labels(), 0
    for value in (*block.params, *outs):
        hint = value.name
        while not hint:
            count += 1
            hint = "" if f"v{count}" in given else f"v{count}"
        labels.give(value, hint)
    return labels.of

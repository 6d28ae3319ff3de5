"""Where each argument's leaves are among the params of a trace, and an argument's container around other leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.errors import InvalidArgument, NotDifferentiable
from adcompile.frontend.trace import Known, Signature
from adcompile.tree import unflatten


@dataclass(frozen=True)
class Positions:
    """Where each argument's leaves are among the params of a trace."""

    names: tuple[str, ...]
    params: tuple[tuple[int | None, ...], ...]
    structures: tuple[Any, ...]
    leaves: tuple[tuple[Any, ...], ...]

    def argument(self, which: int | str) -> int:
        """The index of an argument given by position or name."""
        if isinstance(which, str):
            if which not in self.names:
                raise InvalidArgument(f"no argument named {which!r}", remedy=f"Arguments: {', '.join(self.names)}.")
            return self.names.index(which)
        count = len(self.names)
        if not -count <= which < count:
            raise InvalidArgument(f"argnums {which} with {count} arguments", remedy="Positions count from 0.")
        return which % count

    def floats(self, which: int | str) -> list[int]:
        """The params of an argument; every number in it must be a float."""
        k = self.argument(which)
        wanted = []
        for param, leaf in zip(self.params[k], self.leaves[k], strict=True):
            if param is None and isinstance(leaf, Known) and not isinstance(leaf.value, bool):
                continue
            dtype = getattr(leaf, "dtype", "bool")
            if param is None or not dtype.startswith("float"):
                raise NotDifferentiable(
                    f"argument {self.names[k]!r} holds {str(leaf) if param is not None else 'a bool'}: no derivative",
                    None,
                    "Pass floats (2.0 instead of 2, a.astype(float)), or choose other argnums.",
                )
            wanted.append(param)
        if not wanted:
            raise NotDifferentiable(f"argument {self.names[k]!r} holds no float", None, "Choose other argnums.")
        return wanted

    def is_leaf(self, which: int | str) -> bool:
        """Whether an argument is one number or array."""
        return self.structures[self.argument(which)].kind is None

    def rebuild(self, which: int | str, values: Sequence[Any]) -> Any:
        """An argument's container with the given values for its params; None where a leaf is no number."""
        k = self.argument(which)
        if None in self.params[k]:
            rest = iter(values)
            values = [None if p is None else next(rest) for p in self.params[k]]
        return unflatten(self.structures[k], values)


def leaf_positions(signature: Signature, names: Sequence[str], offset: int) -> Positions:
    """Where the leaves of each argument are among the params, ``offset`` captured arrays first."""
    children = (*signature.structure.children[0].children, *signature.structure.children[1].children)
    place, leaf = offset, 0
    params, leaves = [], []
    for child in children:
        own = signature.leaves[leaf : leaf + child.count]
        found: list[int | None] = []
        for one in own:
            found.append(None if isinstance(one, Known) else place)
            place += not isinstance(one, Known)
        params.append(tuple(found))
        leaves.append(tuple(own))
        leaf += child.count
    return Positions(tuple(names), tuple(params), tuple(children), tuple(leaves))

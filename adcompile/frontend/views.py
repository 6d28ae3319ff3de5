"""Views: how a part of an array is read from its base, and how writing the part changes the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.errors import UnsupportedAlias
from adcompile.ir import Array
from adcompile.primitives import PRIMITIVES, Emitter, Handle
from adcompile.primitives.indexing import FULL


@dataclass(frozen=True)
class Part:
    """``base[subscripts]`` with integers, slices and new axes."""

    spec: tuple
    args: tuple[Any, ...]

    def read(self, op: Emitter, base: Handle) -> Handle:
        """The elements of the part."""
        return op("index", base, *self.args, spec=self.spec)

    def write(self, op: Emitter, base: Handle, part: Handle) -> Handle:
        """The base with the part replaced."""
        return op("store", base, part, *self.args, spec=self.spec)


@dataclass(frozen=True)
class Transposed:
    """``base.T`` and other orders of dimensions."""

    perm: tuple[int, ...]

    def read(self, op: Emitter, base: Handle) -> Handle:
        """The base with its dimensions in the new order."""
        return op("transpose", base, perm=self.perm)

    def write(self, op: Emitter, base: Handle, part: Handle) -> Handle:
        """The base whose transpose is ``part``."""
        return op("transpose", part, perm=tuple(int(k) for k in np.argsort(self.perm)))


@dataclass(frozen=True)
class Reshaped:
    """``base.reshape(sizes)`` of an array that owns its elements."""

    sizes: tuple[Any, ...]
    dims: tuple

    def read(self, op: Emitter, base: Handle) -> Handle:
        """The elements in the new shape."""
        return op("reshape", base, *self.sizes, dims=self.dims)

    def write(self, op: Emitter, base: Handle, part: Handle) -> Handle:
        """The elements back in the shape of the base."""
        return op.reshape_to(part, op.shape(base), base.type)


def in_c_order(t: Any, array: Any) -> bool:
    """Whether an array's elements lie one after the other, row by row, so that any reshape of it is a view."""
    if array.base is None:
        return _in_c_order(t.op.builder, array.version.atom)
    if not isinstance(array.subscript, Part):
        return False
    spec, rank = array.subscript.spec, len(array.subscript.spec)
    is_row = any(spec == (("int",),) * k + (FULL,) * (rank - k) for k in range(rank))
    return is_row and in_c_order(t, array.base)


def _in_c_order(builder: Any, atom: Any) -> bool:
    """NumPy's functions of one element at a time give arrays in the order of their operands."""
    eqn = builder.definition(atom)
    if eqn is None or not isinstance(atom.type, Array):
        return True
    if eqn.op in ("store", "accumulate"):
        return _in_c_order(builder, eqn.args[0])
    if PRIMITIVES[eqn.op].elementwise if eqn.op in PRIMITIVES else False:
        return all(_in_c_order(builder, a) for a in eqn.args)
    return eqn.op != "transpose"


@dataclass(frozen=True)
class Frozen:
    """The result of a function that may or may not be a view: readable while its base is unchanged, never written."""

    version: Handle
    base_version: Any

    def read(self, op: Emitter, base: Handle) -> Handle:
        """The result, as long as the array it was made from has not been written since."""
        if base.atom is not self.base_version:
            raise _alias("this array may be a view of one that was written since")
        return self.version

    def write(self, op: Emitter, base: Handle, part: Handle) -> Handle:
        """Refused: whether the base changes too is NumPy's secret."""
        raise _alias("this array may be a view of another one, which the write would change")


def _alias(fact: str) -> Exception:
    return UnsupportedAlias(fact, None, "Copy it first (a.copy()).")

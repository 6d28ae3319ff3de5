"""Views: how a part of an array is read from its base, and how writing the part changes the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.errors import UnsupportedAlias
from adcompile.primitives import Emitter, Handle


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

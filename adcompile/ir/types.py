"""Types of SSA values: scalars and arrays.

A type knows its dtype and rank, and of each dimension only what decides broadcasting: an ``int`` where the
size is known while tracing (1 above all), `NOT_ONE` where the call's signature guarantees that it is not 1, and
`ANY` where nothing is known. Sizes themselves stay symbolic, so one compilation serves all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

NOT_ONE = "n"
ANY = "?"
Dim = int | str

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, *FLOATS)


@dataclass(frozen=True)
class Scalar:
    """A number; ``weak`` marks Python's own float, int and bool, which give way to NumPy dtypes (NEP 50)."""

    dtype: str
    weak: bool = False

    @property
    def dims(self) -> tuple[Dim, ...]:
        """No dimensions."""
        return ()

    @property
    def rank(self) -> int:
        """Zero."""
        return 0

    def __str__(self) -> str:
        return {"float64": "float", "int64": "int", "bool": "bool"}[self.dtype] if self.weak else self.dtype


@dataclass(frozen=True)
class Array:
    """An n-dimensional array; ``dims`` holds an int, `NOT_ONE` or `ANY` per dimension."""

    dtype: str
    dims: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.dims)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.dims))}]"


Type = Scalar | Array

PYTHON_FLOAT = Scalar("float64", weak=True)
PYTHON_INT = Scalar("int64", weak=True)
PYTHON_BOOL = Scalar("bool", weak=True)
INDEX = PYTHON_INT


def is_float(type: Type) -> bool:
    """Whether values of this type carry derivatives."""
    return type.dtype in FLOATS


is_inexact = is_float


def with_dtype(type: Type, dtype: str, weak: bool = False) -> Type:
    """The same shape with another dtype."""
    return Scalar(dtype, weak) if isinstance(type, Scalar) else Array(dtype, type.dims)


def shaped(dtype: str, dims: tuple[Dim, ...]) -> Type:
    """An array type, or a NumPy scalar where there are no dimensions."""
    return Array(dtype, tuple(dims)) if dims else Scalar(dtype)


def join_dim(a: Dim, b: Dim) -> Dim:
    """What is known of a size that is either ``a`` or ``b``."""
    if a == b:
        return a
    return NOT_ONE if 1 not in (a, b) and ANY not in (a, b) else ANY


def join(a: Type, b: Type) -> Type | None:
    """The type of a value that is either an ``a`` or a ``b``; None where no single type holds both."""
    if a.dtype != b.dtype or a.rank != b.rank or isinstance(a, Array) != isinstance(b, Array):
        return None
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        return Scalar(a.dtype, a.weak and b.weak)
    return Array(a.dtype, tuple(map(join_dim, a.dims, b.dims)))

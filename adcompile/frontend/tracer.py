"""The state of one tracing run: frames, regions, array objects, and what was taken from outside.

A function is run once on abstract values. Whatever is known while tracing (containers, sizes of tuples, flags) runs in
Python; whatever is not is emitted as equations. Arrays are objects with identity, so that aliases, views and helpers
that write into their arguments mean what they mean in NumPy.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adcompile.errors import AdcompileError, InvalidArgument, UnsupportedAlias, UnsupportedDtype, UnsupportedSyntax
from adcompile.frontend.dependencies import GONE, Access, Surroundings
from adcompile.frontend.resolve import Definition, Scope
from adcompile.frontend.values import Closure, Reference, Undefined, held_by
from adcompile.ir import ANY, NOT_ONE, Array, Atom, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import DTYPES, Dim, Scalar, Type
from adcompile.primitives import Emitter, Handle
from adcompile.source import SourceLoc
from adcompile.tree import flatten, map_leaves, unflatten

MAX_DEPTH = 50
OUTSIDE = -1
"""Where arrays are born that the program around the traced function sees."""
MAYBE_WRITTEN = "which array this is was decided at run time, and one that it may be was written since"


@dataclass(eq=False)
class Frame:
    """One call being traced."""

    definition: Definition
    scope: Scope | None
    parent: Frame | None = None
    locals: dict[str, Any] = field(default_factory=dict)
    outward: set[str] = field(default_factory=set)
    rest: list[list[ast.stmt] | None] = field(default_factory=list)


@dataclass(frozen=True)
class Capture:
    """An array from outside: the parameter it becomes, and how to take it at a call."""

    value: Value
    get: Callable[[], np.ndarray]
    label: str


@dataclass(eq=False)
class Region:
    """A block being emitted: its emitter, its serial number, and the arrays written in it with their version before."""

    op: Emitter
    serial: int
    writes: dict[Reference, Handle | None] = field(default_factory=dict)


class Tracer:
    """See the module; the syntax is handled by `adcompile.frontend.expressions`, `statements`, `control`, `calls`."""

    def __init__(self):
        self.root = Emitter(Builder())
        self.regions = [Region(self.root, 0)]
        self.serial = 0
        self.frames: list[Frame] = []
        self.loc: SourceLoc | None = None
        self.outside = Surroundings()
        self.captures: dict[int, Capture] = {}
        self.captured: dict[int, Any] = {}
        self.held: list[Any] = []
        self.dicts: dict[int, int] = {}
        self.looked_at: set[Reference] = set()

    # -- where we are -----------------------------------------------------------------------------------------

    @property
    def op(self) -> Emitter:
        """The emitter of the innermost region."""
        return self.regions[-1].op

    @property
    def frame(self) -> Frame:
        """The innermost call."""
        return self.frames[-1]

    def at(self, node: ast.AST) -> SourceLoc:
        """Note the place of a node: new equations and errors point there."""
        self.loc = self.frame.definition.locate(node)
        self.op.builder.loc = self.loc
        return self.loc

    @contextmanager
    def locating(self, node: ast.AST):
        """Give errors that know no place the place of ``node``."""
        loc = self.at(node)
        try:
            yield loc
        except AdcompileError as error:
            raise error.at(loc) from error.__cause__

    @contextmanager
    def region(self):
        """Emit into a new block; arrays written in it are noted, and get their version back afterwards."""
        self.serial += 1
        region = Region(Emitter(self.op.builder.child()), self.serial)
        region.op.builder.loc = self.loc
        self.regions.append(region)
        try:
            yield region
        finally:
            self.regions.pop()
            for reference, before in region.writes.items():
                reference.version = before

    # -- array objects ----------------------------------------------------------------------------------------

    def wrap(self, value: Any) -> Any:
        """Give a freshly computed array an identity; anything else stays."""
        if isinstance(value, Handle):
            value = self.op.handle(value.atom)
            return Reference(value, self.regions[-1].serial) if isinstance(value.type, Array) else value
        if isinstance(value, tuple | list | dict) or hasattr(value, "__dataclass_fields__"):
            return map_leaves(lambda leaf: self.wrap(leaf) if isinstance(leaf, Handle) else leaf, value)
        return value

    def read(self, value: Any) -> Any:
        """The handle of an array or number, in the current region; other values stay."""
        if isinstance(value, Reference):
            return self.op.handle(self._version(value).atom)
        if isinstance(value, Handle):
            return self.op.handle(value.atom)
        if isinstance(value, Undefined):
            raise UnsupportedSyntax(f"{value.name!r} {value.reason}", self.loc, "Set it before.")
        return value

    def _version(self, reference: Reference) -> Handle:
        if reference.stale:
            raise UnsupportedAlias(reference.stale, self.loc, "Copy the array first (a.copy()).")
        if any(other.version is None or other.version.atom is not atom for other, atom in reference.maybe):
            raise UnsupportedAlias(MAYBE_WRITTEN, self.loc, "Copy the array first (a.copy()).")
        if reference.base is None:
            assert reference.version is not None
            self.looked_at.add(reference)
            return reference.version
        return reference.subscript.read(self.op, self.read(reference.base))

    def write(self, reference: Reference, version: Handle) -> None:
        """Let an array object have a new version; a view writes into its base."""
        if reference.stale or reference.frozen:
            raise UnsupportedAlias(reference.stale or reference.frozen, self.loc, "Copy the array first (a.copy()).")
        for array in (reference, *(other for other, _ in reference.maybe)):
            array.written = True
        if reference.base is not None:
            self.write(reference.base, reference.subscript.write(self.op, self.read(reference.base), version))
            return
        self.note_write(reference)
        reference.version = version

    def note_write(self, reference: Reference) -> None:
        """Record the version before the first write of each enclosing region younger than the array."""
        for region in self.regions[1:]:
            if region.serial > reference.born and reference not in region.writes:
                region.writes[reference] = reference.version

    def holders_are(self, reference: Reference, count: int) -> bool:
        """Whether so many names are all there is that stands for an array object or a view of it."""
        return reference.root.born != OUTSIDE and self.holders(reference) == count

    def dies_with_call(self, reference: Reference) -> bool:
        """Whether no name outside the innermost call stands for an array object or a view of it."""
        return len(self.frames) == 1 or (
            reference.root.born != OUTSIDE and self.holders(reference, self.frames[:-1]) == 0
        )

    def holders(self, reference: Reference, frames: Sequence[Frame] | None = None) -> int:
        """How many names in some frames, those in sight by default, stand for an array object or a view of it."""
        around = {id(frame): frame for frame in (self.frames if frames is None else frames)}
        for frame in list(around.values()):
            closures = [v for v in frame.locals.values() if isinstance(v, Closure)]
            around.update({id(c.frame): c.frame for c in closures})
        leaves = [leaf for frame in around.values() for value in frame.locals.values() for leaf in held_by(value)]
        return sum(isinstance(leaf, Reference) and leaf.root is reference.root for leaf in leaves)

    # -- values from outside ----------------------------------------------------------------------------------

    def depend(self, value: Any, access: Access, label: str, lasting: bool = False) -> None:
        """Note that the program depends on a value from outside."""
        self.outside.depend(value, access, label, lasting)

    def lift(self, value: Any, access: Access, label: str) -> Any:
        """A value from outside as the traced program sees it: arrays become parameters, the rest is known."""
        arrays = dict(self.outside.take(value, access, label))
        if not arrays:
            return value
        leaves, structure = flatten(value)
        return unflatten(structure, [self._capture(a) if k in arrays else a for k, a in enumerate(leaves)])

    def _capture(self, array: np.ndarray) -> Any:
        if id(array) not in self.captures:
            _, get, label = self.outside.arrays[id(array)]
            name = label.rsplit(":", 1)[-1].replace(".", "_")
            capture = Capture(Value(type_of(array), name), get, label)
            handle = self.root.handle(capture.value)
            self.captures[id(array)] = capture
            self.captured[id(array)] = Reference(handle, OUTSIDE) if handle.rank else handle
        return self.captured[id(array)]

    # -- names ------------------------------------------------------------------------------------------------

    def lookup(self, name: str) -> Any:
        """What a name means in the innermost frame."""
        frame: Frame | None = self.frame
        while frame is not None:
            if name in frame.locals and name not in frame.outward:
                value = frame.locals[name]
                if isinstance(value, Undefined):
                    raise UnsupportedSyntax(f"{name!r} {value.reason}", self.loc, "Set it before.")
                return value
            if frame.scope is not None:
                return self._outside(frame.scope, name)
            frame = frame.parent
        raise InvalidArgument(f"name {name!r} is not defined", self.loc)

    def _outside(self, scope: Scope, name: str) -> Any:
        access = scope.access(name)
        try:
            value = access.getter()()
        except GONE:
            raise InvalidArgument(f"name {name!r} is not defined", self.loc, "Define it before the call.") from None
        home = scope.function.__qualname__ if access.kind == "cell" else scope.function.__module__
        return self.lift(value, access, f"{home}:{name}")

    def assign(self, name: str, value: Any) -> None:
        """Bind a name in the innermost frame; a number computed without a name of its own gets it."""
        frame = self.frame
        while name in frame.outward and frame.parent is not None:
            frame = frame.parent
        if name in frame.outward:
            raise UnsupportedSyntax(f"assignment to global {name!r}", self.loc, "Return the value instead.")
        self.name_after(value, name.split()[0])
        frame.locals[name] = value

    def name_after(self, value: Any, name: str) -> None:
        """Let the equation that computed a value carry the user's word for it."""
        if not name.strip("_"):
            return
        handle = value.version if isinstance(value, Reference) else value
        if isinstance(handle, Handle) and isinstance(handle.atom, Value) and not handle.atom.name:
            handle.atom.name = name
        elif isinstance(value, tuple | list):
            for k, item in enumerate(value):
                self.name_after(item, f"{name}_{k}")


def dims_of(shape: Sequence[int]) -> tuple[Dim, ...]:
    """What a signature keeps of a shape: which sizes are 1."""
    return tuple(1 if n == 1 else NOT_ONE for n in shape)


def type_of(value: Any) -> Type:
    """The type of an argument or captured value."""
    if _has_own_arithmetic(value):
        raise UnsupportedDtype(
            f"a {type(value).__name__} has an arithmetic of its own", remedy="Pass np.asarray(x), or x.filled(value)."
        )
    if is_on_device(value):
        return _device_type(value)
    if isinstance(value, np.ndarray | np.generic):
        name = value.dtype.name
        if name not in DTYPES:
            raise UnsupportedDtype(f"dtype {value.dtype} is not supported", remedy="Use float32 or float64.")
        if isinstance(value, np.ndarray) and value.ndim:
            return Array(name, dims_of(value.shape))
        return Scalar(name)
    if isinstance(value, bool | int | float):
        python = next(kind for kind in (bool, int, float) if isinstance(value, kind))
        return Scalar({bool: "bool", int: "int64", float: "float64"}[python], weak=True)
    raise UnsupportedDtype(f"a {type(value).__name__} is not supported", remedy="Pass numbers or NumPy arrays.")


def _has_own_arithmetic(value: Any) -> bool:
    """Whether a value is a matrix or a masked array; ``numpy.ma`` is slow to import, and not imported for that."""
    if type(value) is np.ndarray or not isinstance(value, np.ndarray):
        return False
    masked = sys.modules.get("numpy.ma")
    return isinstance(value, np.matrix) or (masked is not None and isinstance(value, masked.MaskedArray))


def is_on_device(value: Any) -> bool:
    """Whether a value is an array in the memory of a GPU; in Numba's simulator, one that stands for such an array."""
    return hasattr(value, "__cuda_array_interface__") or hasattr(value, "__cuda_ndarray__")


def _device_type(value: Any) -> Type:
    interface = getattr(value, "__cuda_array_interface__", None)
    dtype = np.dtype(interface["typestr"] if interface else value.dtype)
    shape = tuple(interface["shape"] if interface else value.shape)
    if dtype.name not in DTYPES or not shape:
        what = f"dtype {dtype}" if shape else "a zero-dimensional array"
        raise UnsupportedDtype(f"{what} on a device is not supported", remedy="Use float32 or float64, and float(x).")
    return Array(dtype.name, dims_of(shape))


__all__ = ["ANY", "Atom", "Capture", "Closure", "Frame", "Region", "Tracer", "dims_of", "is_on_device", "type_of"]

"""What the lowering rules share: the emitted program so far, what every array value became, loop nests.

An array of the array dialect becomes a `Delayed`: its sizes and a function from indices to the scalar there. It is
forced into a buffer by one loop nest when the plan (`adcompile.lower.fusion`) or its consumer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adcompile.ir import Array, Atom, Block, Scalar, Type, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs
from adcompile.ir.types import INDEX
from adcompile.lower.indices import Index, Indices, is_one
from adcompile.primitives import PRIMITIVES, Emitter, Handle

Read = Callable[[tuple[Index, ...]], Handle]
Body = Callable[[tuple[Index, ...], tuple[Handle, ...]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Delayed:
    """An array not (yet) stored: ``read`` gives the element at some indices.

    Attributes
    ----------
    type, sizes : what it is and how large.
    read : indices → scalar, emitted where the context emits.
    sources : the buffers it reads.
    buffer : the buffer that holds exactly its elements, if there is one.
    transposed : what it is the transpose of, if it is one (rank 2).
    flat : another array with the same elements in C order, if there is one.
    depth : how many operations are chained.
    room : whether nobody reads an element that was not stored before.
    """

    type: Array
    sizes: tuple[Index, ...]
    read: Read
    sources: frozenset[Value] = frozenset()
    buffer: Value | None = None
    transposed: Delayed | None = None
    flat: Delayed | None = None
    depth: int = 0
    room: bool = False

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.sizes)


Lowered = Handle | Delayed


class LoopBody(Builder):
    """The body of a loop of a nest; what does not depend on the loop is emitted before it."""

    def __init__(self, parent: Builder, params: Sequence[Value]):
        super().__init__(parent)
        self.around = parent
        self.own: set[Value] = set(params)

    def emit(self, op: str, args: Sequence[Atom], types: Sequence[Type], *rest: Any, **options: Any):
        """Emit here, or further out where every operand is known there."""
        if _movable(op) and not any(a in self.own for a in args if isinstance(a, Value)):
            return self.around.emit(op, args, types, *rest, **options)
        return super().emit(op, args, types, *rest, **options)

    def append(self, eqn: Any) -> None:
        """Append a finished equation."""
        super().append(eqn)
        self.own.update(eqn.outs)


def _movable(op: str) -> bool:
    return op in _MOVABLE or (op in PRIMITIVES and PRIMITIVES[op].elementwise)


_MOVABLE = frozenset({"index", "dim", "check_index", "check_nonzero", "check_same"})


@dataclass
class Context:
    """The state of one lowering; dies with it."""

    op: Emitter
    env: dict[Value, Lowered] = field(default_factory=dict)
    is_live: Callable[[Value], bool] = lambda value: False
    current: dict[Value, Handle] = field(default_factory=dict)
    memo: dict[tuple, Handle] = field(default_factory=dict)

    def __post_init__(self):
        self.indices = Indices(self)

    # -- where equations go -----------------------------------------------------------------------------------

    @contextmanager
    def inside(self, builder: Builder) -> Iterator[Builder]:
        """Emit into a region."""
        saved = self.op.builder, self.memo
        builder.loc = self.op.builder.loc
        self.op.builder, self.memo = builder, {}
        with self.indices.region():
            yield builder
        self.op.builder, self.memo = saved

    @contextmanager
    def renamed(self, buffers: Mapping[Value, Handle]) -> Iterator[None]:
        """Inside, reads of some buffers read their newest version."""
        saved = self.current, self.memo
        self.current, self.memo = {**self.current, **buffers}, {}
        yield
        self.current, self.memo = saved

    def loop(self, size: Index, carried: Sequence[Handle], body: Body, name: str = "", parallel: bool = False) -> tuple:
        """``for index in range(size)`` with carried values; the final ones."""
        index = Value(INDEX, name)
        params = tuple(Value(c.type, c.atom.name if isinstance(c.atom, Value) else "") for c in carried)
        with self.inside(LoopBody(self.op.builder, (index, *params))) as inner, self.indices.loop(index, 0, size):
            results = body((self.op.handle(index),), tuple(map(self.op.handle, params)))
            block = inner.block((index, *params), [self.op.atom(r) for r in results])
        args = tuple(map(self.op.atom, (0, size, 1, *carried)))
        attrs = {"parallel": True} if parallel else {}
        outs = self.op.builder.emit("loop", args, [p.type for p in params], attrs, (block,))
        for out, param in zip(outs, params, strict=True):
            out.name = param.name
        return tuple(map(self.op.handle, outs))

    def nest(self, axes: Sequence[int], x: Sequence[Index], carried: Sequence[Handle], body: Body, **options: Any):
        """Loops over the given axes of the sizes ``x``, outermost first; ``body`` gets indices (0 along other axes)."""
        return self._nest(tuple(axes), tuple(x), (0,) * len(x), tuple(carried), body, options)

    def _nest(self, axes: tuple, sizes: tuple, at: tuple, carried: tuple, body: Body, options: Mapping) -> tuple:
        if not axes:
            return tuple(body(at, carried))
        axis, *rest = axes
        if is_one(sizes[axis]):
            return self._nest(tuple(rest), sizes, at, carried, body, options)

        def inner(index: tuple, carried: tuple) -> tuple:
            here = (*at[:axis], index[0], *at[axis + 1 :])
            return self._nest(tuple(rest), sizes, here, carried, body, options)

        return self.loop(sizes[axis], carried, inner, "ijklmpqr"[axis % 8], **options)

    # -- arrays -----------------------------------------------------------------------------------------------

    def leaf(self, buffer: Handle, sizes: Sequence[Index], of: Delayed | None = None) -> Delayed:
        """A buffer as an array; ``of`` is the array it shares its memory with."""
        value = buffer.atom
        assert isinstance(value, Value) and isinstance(value.type, Array)

        def read(at: tuple[Index, ...]) -> Handle:
            return self.load(self.current.get(value, buffer), at)

        sources = frozenset({value}) | (of.sources if of else frozenset())
        return Delayed(value.type, tuple(sizes), read, sources, buffer=value)

    def at(self, x: Lowered, indices: Sequence[Index]) -> Handle:
        """One element of an array; a scalar is everywhere the same."""
        if isinstance(x, Handle):
            return x
        key = (x, *(i if isinstance(i, int) else i.atom for i in indices))
        if key not in self.memo:
            self.memo[key] = x.read(tuple(indices))
        return self.memo[key]

    def load(self, buffer: Handle, at: Sequence[Index]) -> Handle:
        """``buffer[at]``."""
        return self.op("index", buffer, *at, spec=elements(len(at)), types=(Scalar(buffer.type.dtype),))

    def store(self, buffer: Handle, value: Any, at: Sequence[Index]) -> Handle:
        """``buffer[at] = value``."""
        return self.op("store", buffer, value, *at, spec=elements(len(at)))

    def accumulate(self, buffer: Handle, value: Any, at: Sequence[Index]) -> Handle:
        """``buffer[at] += value``."""
        return self.op("accumulate", buffer, value, *at, spec=elements(len(at)))

    def empty(self, type: Array, sizes: Sequence[Index], name: str = "") -> Handle:
        """A new buffer."""
        buffer = self.op("empty", *sizes, dtype=type.dtype, dims=type.dims)
        buffer.atom.name = name
        return buffer

    def force(self, x: Delayed, name: str = "") -> Delayed:
        """``x`` in a buffer: one loop nest, unless it is in one already."""
        if x.buffer is not None:
            return x
        if x.flat is not None:
            base = self.force(x.flat)
            assert base.buffer is not None
            return self.leaf(self.op("reshape", base.buffer, *x.sizes, dims=x.type.dims), x.sizes, base)
        buffer = self.empty(x.type, x.sizes, name)
        return self.leaf(buffer, x.sizes) if x.room else self.fill(buffer, x)

    def fill(self, buffer: Handle, x: Delayed) -> Delayed:
        """Store every element of ``x`` in a buffer of its size."""

        def body(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
            return [self.store(carried[0], self.at(x, at), at)]

        (filled,) = self.nest(range(x.rank), x.sizes, (buffer,), body, parallel=True)
        return self.leaf(filled, x.sizes)

    def buffer(self, x: Lowered) -> Handle:
        """The buffer of an array, forced."""
        if isinstance(x, Handle):
            return x
        buffer = self.force(x).buffer
        assert buffer is not None
        return self.op.handle(buffer)

    def protect(self, buffers: set[Value]) -> None:
        """Force what is read later and reads buffers that are about to be overwritten."""
        for value, x in list(self.env.items()):
            if isinstance(x, Delayed) and x.buffer is None and x.sources & buffers and self.is_live(value):
                self.env[value] = self.force(x)


def elements(rank: int) -> tuple:
    """The spec that subscripts every dimension with an int."""
    return (("int",),) * rank


def last_uses(block: Block) -> dict[Value, int]:
    """The position of the last equation that reads each value; results are read at the end."""
    last: dict[Value, int] = {}
    for position, eqn in enumerate(block.eqns):
        last.update(dict.fromkeys(eqn_inputs(eqn), position))
    last.update(dict.fromkeys((r for r in block.results if isinstance(r, Value)), len(block.eqns)))
    return last

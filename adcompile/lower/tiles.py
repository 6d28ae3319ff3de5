"""Array dialect → array dialect: a batch is worked through in tiles of rows that stay in the processor's cache.

What `adcompile.lower.batch` finds to be row by row moves into a loop over tiles. Each iteration takes a few rows
through all of it, forward and back, so that the arrays in between are as long as a tile; sums over the batch (a loss,
the cotangents of weights) begin at zero and get the share of each tile. Sizes stay symbolic: the number of rows in a
tile is computed when the program runs, from the widths that it meets, and the tiles of a batch are equally long to one
row.

What comes after the sums is computed after the loop; where it goes through the batch again, it gets a loop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adcompile.ir import Array, Atom, Block, Const, Eqn, Trace, Value, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.ir.types import INDEX
from adcompile.lower.batch import AFTER, BEFORE, ROWS, SUM, Batch, batches
from adcompile.lower.products import is_product
from adcompile.primitives import Emitter, Handle
from adcompile.primitives.specs import FULL, PART

PRODUCTS = 12
"""Row by row products below which the arrays between them are few, and no loop is made."""
CACHE = 600_000
"""Bytes of products that a tile may make: with what is computed from them, about a megabyte of level 2 cache."""
REUSE = 8
"""How many times more numbers a tile has than the matrices that it is multiplied with, which pass through the cache."""
LEAST_ROWS = 32
GROUP = 8
"""Tiles that threads share come in multiples of this, so that 2, 4 or 8 threads have equally many."""
_SIZED = frozenset({"full", "broadcast_to", "reshape"})
"""Primitives whose sizes are arguments, after the first one."""


def tile(trace: Trace, threads: bool = False) -> Trace:
    """Run every batch of a trace in tiles.

    Parameters
    ----------
    trace : a trace of the array dialect.
    threads : threads will share the tiles: sums over the batch are added in place, and tiles come in groups of `GROUP`.

    Returns
    -------
    Trace
        An equivalent trace, equal to rounding: sums over a batch are added tile by tile.
    """
    block = trace.block
    while True:
        chosen = next((b for b in batches(block) if _pays(b, block)), None)
        if chosen is None:
            return replace(trace, block=block)
        block = _Tiling(block, chosen, threads).block()


def _pays(batch: Batch, block: Block) -> bool:
    """Whether there are enough products, and all that leaves the loop has sizes that are known before it."""
    if len(batch.products(block)) < PRODUCTS or batch.size not in batch.source:
        return False
    sizes = [(v, k) for v in _leaving(batch, block) for k in range(v.type.rank)]
    return all(s in batch.source or isinstance(s, Const) for s in (batch.size_of(v, k) for v, k in sizes))


def _leaving(batch: Batch, block: Block) -> list[Value]:
    """What is computed in the loop and read after it."""
    inside = {o for e, kind in zip(block.eqns, batch.kinds, strict=True) if kind in (ROWS, SUM) for o in e.outs}
    later = [v for e, kind in zip(block.eqns, batch.kinds, strict=True) if kind == AFTER for v in eqn_inputs(e)]
    read = dict.fromkeys([*later, *(r for r in block.results if isinstance(r, Value))])
    return [v for v in read if v in inside]


class _Tiling:
    """One block with the loop over tiles of one batch."""

    def __init__(self, block: Block, batch: Batch, threads: bool):
        self.source, self.batch, self.threads = block, batch, threads
        self.op = Emitter(Builder())
        self.made: dict[Atom, Eqn] = {o: e for e in block.eqns for o in e.outs}
        self.kind: dict[Atom, str] = {o: k for e, k in zip(block.eqns, batch.kinds, strict=True) for o in e.outs}
        self.parts: dict[Value, Value] = {}
        self.sizes: dict[Value, Atom] = {}
        self.op.builder.definitions.update(
            (o, e) for e in block.eqns for o in e.outs
        )  # sizes are found through arrays that are in the loop

    def block(self) -> Block:
        """What comes before the rows, the loop, and what comes after it."""
        for eqn in self.equations(BEFORE):
            self.before(eqn)
        totals = self.loop()
        for eqn in self.equations(AFTER):
            self.op.builder.append(_renamed(eqn, {**self.sizes, **totals}))
        results = [totals.get(r, r) if isinstance(r, Value) else r for r in self.source.results]
        return self.op.builder.block(self.source.params, results)

    def equations(self, *kinds: str) -> list[Eqn]:
        """The equations of some kinds, in order."""
        return [e for e, kind in zip(self.source.eqns, self.batch.kinds, strict=True) if kind in kinds]

    def before(self, eqn: Eqn) -> None:
        """An equation that stays; a size of an array in the loop is found from what it is computed from."""
        builder = self.op.builder
        builder.loc, builder.note = eqn.loc, eqn.note
        eqn = _renamed(eqn, self.sizes)
        if eqn.op == "check_same":
            self.op.check_same(eqn.args[0], eqn.args[1], eqn.attrs["message"])
        elif eqn.op == "dim" and self.kind.get(eqn.args[0], BEFORE) != BEFORE:
            self.sizes[eqn.outs[0]] = self.op.atom(self.op.size(eqn.args[0], eqn.attrs["axis"]))
        elif eqn.op == "dim":
            builder.append(eqn)
            builder.sizes.setdefault((eqn.args[0], eqn.attrs["axis"]), eqn.outs[0])
        else:
            builder.append(eqn)

    def size(self, value: Atom, axis: int) -> Any:
        """A size, from arrays before the loop."""
        size = self.batch.size_of(value, axis)
        return size.value if isinstance(size, Const) else self.op.size(*self.batch.source[size])

    # -- the loop -------------------------------------------------------------------------------------------------

    def loop(self) -> dict[Value, Atom]:
        """Emit the loop; what stands for each value that leaves it."""
        inside, leaving = _by_layer(self.equations(ROWS, SUM)), _leaving(self.batch, self.source)
        self.op.builder.loc, self.op.builder.note = inside[0].loc, inside[0].note
        rows = self.op.handle(self.op.atom(self.op.size(*self.batch.source[self.batch.size])))
        self.check_rows(inside, rows)
        length = self.tile_rows(rows)
        inits = [self.start(value) for value in leaving]
        inner, index = Emitter(self.op.builder.child()), Value(INDEX, "row")
        count = inner.maximum(inner.minimum(length, inner.handle(rows.atom) - inner.handle(index)), 0)
        part = (inner.handle(index), count)
        params = [Value(v.type, v.name) for v in leaving]
        for eqn in inside:
            self.inside(inner, eqn, part)
        finished = [self.finish(inner, p, v, part) for p, v in zip(params, leaving, strict=True)]
        body = inner.builder.block((index, *params), finished)
        args = [self.op.atom(a) for a in (0, rows, length, *inits)]
        names = [v.name for v in leaving]
        outs = self.op.builder.emit("loop", args, [v.type for v in leaving], regions=[body], names=names)
        return dict(zip(leaving, outs, strict=True))

    def check_rows(self, inside: Sequence[Eqn], rows: Handle) -> None:
        """All arrays that are cut into tiles must be equally long."""
        for eqn in inside:
            for a in eqn.args:
                if isinstance(a, Value) and self.is_cut(a):
                    self.op.builder.loc = eqn.loc
                    self.op.check_same(rows, self.op.size(a, self.batch.axis[a]))

    def is_cut(self, atom: Value) -> bool:
        """Whether an array is there before the loop, and has a row for each of the batch."""
        return atom in self.batch.axis and self.kind.get(atom, BEFORE) == BEFORE

    def tile_rows(self, rows: Handle) -> Handle:
        """How many rows a tile has: few enough for the cache, many enough for the matrices, equal to one row."""
        products = self.batch.products(self.source)
        width, weights = self.op.lift(0), self.op.lift(0)
        for eqn in products:
            (out,) = eqn.outs
            for axis in range(out.type.rank):
                if axis != self.batch.axis[out] and self.is_known(out, axis):
                    width = width + self.size(out, axis)
        matrices = dict.fromkeys(a for e in products for a in e.args if a not in self.batch.axis)
        for matrix in matrices:
            if all(self.is_known(matrix, k) for k in range(matrix.type.rank)):
                sizes = [self.op.lift(self.size(matrix, k)) for k in range(matrix.type.rank)]
                weights = weights + (sizes[0] * sizes[1] if len(sizes) > 1 else sizes[0])
        op, width = self.op, self.op.maximum(width, 1)
        item = 4 if products[0].outs[0].type.dtype == "float32" else 8
        wanted = op.maximum(CACHE // item // width, REUSE * weights // width)
        wanted = op.maximum(wanted, LEAST_ROWS)
        count = op.maximum((rows + wanted - 1) // wanted, 1)
        if self.threads:
            count = (count + GROUP - 1) // GROUP * GROUP
        return op.maximum((rows + count - 1) // count, 1)

    def is_known(self, value: Atom, axis: int) -> bool:
        """Whether a size is known before the loop."""
        size = self.batch.size_of(value, axis)
        return isinstance(size, Const) or size in self.batch.source

    def start(self, value: Value) -> Handle:
        """What a sum begins with, or the array that keeps all rows."""
        sizes = [self.size(value, axis) for axis in range(value.type.rank)]
        if self.kind[value] == ROWS:
            return self.op("empty", *sizes, dtype=value.type.dtype, dims=value.type.dims)
        if not isinstance(value.type, Array):
            return self.op.constant(0.0 if is_float(value.type) else 0, value.type)
        return self.op("full", self.op.zero(value.type.dtype), *sizes, dims=value.type.dims)

    # -- one iteration --------------------------------------------------------------------------------------------

    def inside(self, inner: Emitter, eqn: Eqn, part: tuple[Handle, Handle]) -> None:
        """An equation on a part of the rows; sums of sums wait for `finish`."""
        inner.builder.loc, inner.builder.note = eqn.loc, eqn.note
        if self.is_total(eqn):
            return
        eqn = _renamed(eqn, self.sizes)
        args = [self.cut(inner, a, part) if isinstance(a, Value) and self.is_cut(a) else a for a in eqn.args]
        if eqn.op in _SIZED and eqn.outs[0] in self.batch.axis:
            args[1 + self.batch.axis[eqn.outs[0]]] = part[1].atom
        inner.builder.append(replace(eqn, args=tuple(args)))

    def is_total(self, eqn: Eqn) -> bool:
        """Whether an equation adds up sums over the batch."""
        return any(self.kind.get(a) == SUM for a in eqn.args if isinstance(a, Value))

    def cut(self, inner: Emitter, value: Value, part: tuple[Handle, Handle]) -> Value:
        """The rows of an array that this iteration is about."""
        if value not in self.parts:
            out = Value(value.type, value.name)
            attrs = {"spec": self.spec(value)}
            inner.builder.append(
                Eqn("index", (value, *(h.atom for h in part)), (out,), attrs, inner.builder.loc, (), inner.builder.note)
            )
            self.parts[value] = out
        return self.parts[value]

    def spec(self, value: Value) -> tuple:
        """Subscripts of a part of the rows."""
        return tuple(PART if k == self.batch.axis[value] else FULL for k in range(value.type.rank))

    def finish(self, inner: Emitter, param: Value, value: Value, part: tuple[Handle, Handle]) -> Value:
        """The share of this iteration in what leaves the loop."""
        made = self.made[value]
        inner.builder.loc, inner.builder.note = made.loc, made.note
        if self.kind[value] == ROWS:
            args, attrs = (param, value, *(h.atom for h in part)), {"spec": self.spec(value)}
            return inner.builder.emit("store", args, [value.type], attrs)[0]
        for op, term in self.terms(value, "add"):
            param = self.added(inner, op, param, term)
        return param

    def added(self, inner: Emitter, op: str, total: Value, term: Atom) -> Value:
        """A sum with one more term; of threads each has its own array, which stays where it is."""
        type = total.type
        fused = op == "add" and is_product(self.made[term]) and term.type == type
        if not self.threads or not isinstance(type, Array) or fused:
            return inner.builder.emit(op, (total, term), [type])[0]
        if op == "sub":
            (term,) = inner.builder.emit("neg", (term,), [term.type])
        return inner.builder.emit("accumulate", (total, term), [type], {"spec": (FULL,) * type.rank})[0]

    def terms(self, value: Atom, op: str) -> list[tuple[str, Atom]]:
        """The sums over the batch that ``value`` adds up, each with the operation that takes it in."""
        eqn = self.made[value]
        if not self.is_total(eqn):
            return [(op, value)]
        other = {"add": "sub", "sub": "add"}[op]
        signs = {"add": (op, op), "sub": (op, other), "neg": (other,)}[eqn.op]
        return [t for a, sign in zip(eqn.args, signs, strict=True) for t in self.terms(a, sign)]


def _by_layer(eqns: Sequence[Eqn]) -> list[Eqn]:
    """Pure equations by how many products they come after: a value and its derivatives meet each matrix together."""
    layers: dict[Value, int] = {}
    for eqn in eqns:
        depth = max((layers.get(v, 0) for v in eqn_inputs(eqn)), default=0) + (eqn.op == "matmul")
        layers.update(dict.fromkeys(eqn.outs, depth))
    return sorted(eqns, key=lambda e: layers[e.outs[0]])


def _renamed(eqn: Eqn, names: dict[Value, Atom]) -> Eqn:
    """An equation that reads other values."""
    regions = tuple(substitute(r, names, lambda value: value) for r in eqn.regions)
    return replace(eqn, args=tuple(names.get(a, a) if isinstance(a, Value) else a for a in eqn.args), regions=regions)


__all__ = ["tile"]

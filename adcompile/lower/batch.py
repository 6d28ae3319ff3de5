"""Which equations of a block handle a batch row by row: an analysis of the array dialect, for `adcompile.lower.tiles`.

A size ``n`` is the batch; an array that has it as one of its sizes has a *batch axis*. With respect to ``n`` an
equation is

- ``BEFORE``: the same for all rows, known before the first one (weights, sizes, the other parts of a loss);
- ``ROWS``: row i of the result needs row i of the operands only (elementwise operations, products with a matrix);
- ``SUM``: a sum over the rows (the loss, the cotangent of a weight), to which each part of the batch adds its share;
- ``AFTER``: everything else, which is computed when all rows are done.

The same three states of a value, alike everywhere, split, or a share of a sum, that programs distributed over devices
know (Xu et al., GSPMD, 2021), with parts of the batch in the place of devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from adcompile.ir import Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.primitives.specs import FULL, split

BEFORE, ROWS, SUM, AFTER = "before", "rows", "sum", "after"
_LINEAR = frozenset({"add", "sub", "neg"})
Axes = Callable[[Atom], tuple[int, ...]]
"""The batch axes of an atom."""


class Sizes:
    """The sizes of every array of a block, equal ones under one name."""

    def __init__(self, block: Block):
        self.op = Emitter(Builder())
        for eqn in block.eqns:
            self.op.builder.append(eqn)
            if eqn.op == "dim":
                self.equate(self.of(eqn.args[0], eqn.attrs["axis"]), eqn.outs[0])
            elif eqn.op == "check_same":
                self.equate(*eqn.args)
            elif eqn.op == "concatenate":
                for axis, other in joined_axes(eqn):
                    self.equate(self.of(eqn.args[0], axis), self.of(other, axis))

    def of(self, atom: Atom, axis: int) -> Atom:
        """The atom that stands for a size."""
        return self.op.atom(self.op.size(atom, axis))

    def equate(self, a: Atom, b: Atom) -> None:
        """Two sizes are the same."""
        one, two = (self.op.builder.canonical(x) for x in (a, b))
        if one != two:
            first, second = (two, one) if isinstance(two, Const) else (one, two)
            self.op.builder.equal[second] = first


def joined_axes(eqn: Eqn) -> list[tuple[int, Atom]]:
    """The (axis, operand) pairs of a concatenation whose sizes must be those of the first operand."""
    axes = [a for a in range(eqn.args[0].type.rank) if a != eqn.attrs["axis"]]
    return [(axis, other) for other in eqn.args[1:] for axis in axes]


@dataclass(frozen=True)
class Batch:
    """What the equations of a block are with respect to one batch.

    Attributes
    ----------
    size : the atom that stands for the number of rows.
    kinds : the kind of every equation, in order.
    axis : the batch axis of every array that has one.
    source : for every size that is known before the rows, an array and an axis that have it.
    size_of : the atom that stands for a size of an array.
    """

    size: Atom
    kinds: tuple[str, ...]
    axis: Mapping[Value, int]
    source: Mapping[Atom, tuple[Value, int]]
    size_of: Callable[[Atom, int], Atom]

    def products(self, block: Block) -> list[Eqn]:
        """The products of rows with a matrix."""
        return [e for e, kind in zip(block.eqns, self.kinds, strict=True) if e.op == "matmul" and kind == ROWS]


def batches(block: Block) -> list[Batch]:
    """An analysis for each size that may be a batch, those with the most products first."""
    sizes = Sizes(block)
    found: Counter[Atom] = Counter()
    for eqn in block.eqns:
        if eqn.op == "matmul":
            arrays = [a for a in (*eqn.args, *eqn.outs) if isinstance(a.type, Array)]
            found.update({sizes.of(a, axis) for a in arrays for axis in range(a.type.rank)})
    return [_analyse(block, sizes, n) for n, count in found.most_common(3) if isinstance(n, Value) and count > 1]


def _analyse(block: Block, sizes: Sizes, n: Atom) -> Batch:
    """Go through the equations once."""
    source: dict[Atom, tuple[Value, int]] = {}
    state: dict[Value, str] = {}
    kinds: list[str] = []

    def axes(atom: Atom) -> tuple[int, ...]:
        return tuple(k for k in range(atom.type.rank) if sizes.of(atom, k) == n)

    def note(values: Sequence[Value]) -> None:
        for value in values:
            for k in range(value.type.rank):
                source.setdefault(sizes.of(value, k), (value, k))

    note(block.params)
    for eqn in block.eqns:
        kind = _kind(eqn, state, axes, lambda size: size in source or isinstance(size, Const), sizes)
        if kind == BEFORE:
            note(eqn.outs)
        kinds.append(kind)
        state.update(dict.fromkeys(eqn.outs, kind))
    values = [*block.params, *(o for e in block.eqns for o in e.outs)]
    axis = {v: axes(v)[0] for v in values if len(axes(v)) == 1}
    return Batch(n, tuple(kinds), axis, source, sizes.of)


def _kind(eqn: Eqn, state: Mapping[Value, str], axes: Axes, known: Callable[[Atom], bool], sizes: Sizes) -> str:
    """The kind of one equation from those of its operands."""
    met = {state.get(v, BEFORE) for v in eqn_inputs(eqn)}
    if eqn.op == "dim" and AFTER not in met and known(sizes.of(eqn.args[0], eqn.attrs["axis"])):
        return BEFORE
    if AFTER in met:
        return AFTER
    if SUM in met:
        return (
            SUM if met == {SUM} and eqn.op in _LINEAR and all(a.type == eqn.outs[0].type for a in eqn.args) else AFTER
        )
    kind = None if eqn.regions else _rows_or_sum(eqn, axes)
    if kind == SUM and met == {BEFORE}:
        return BEFORE
    if kind == SUM and not all(known(sizes.of(o, k)) for o in eqn.outs for k in range(o.type.rank)):
        kind = None
    if kind is None:
        return BEFORE if met <= {BEFORE} else AFTER
    return kind


def _rows_or_sum(eqn: Eqn, axes: Axes) -> str | None:
    """Whether an equation works row by row or sums over the rows; None where it does neither."""
    arrays = [a for a in (*eqn.args, *eqn.outs) if isinstance(a.type, Array)]
    found = [axes(a) for a in arrays]
    if not any(found) or any(len(f) > 1 for f in found):
        return None
    if eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise:
        return ROWS if _in_line(eqn.args, eqn.outs[0], axes) else None
    rule = _RULES.get(eqn.op)
    return rule(eqn, axes) if rule else None


def _in_line(operands: Sequence[Atom], out: Value, axes: Axes) -> bool:
    """Whether the batch axes of operands that broadcast to ``out`` meet its own."""
    (place,) = (out.type.rank - k for k in axes(out)) if axes(out) else (None,)
    return place is not None and all(a.type.rank - k == place for a in operands for k in axes(a))


def _matmul(eqn: Eqn, axes: Axes) -> str | None:
    """Rows of a by a matrix, a matrix by columns of b, or a sum of products over the batch."""
    a, b = eqn.args
    if max(a.type.rank, b.type.rank) > 2:
        return None
    inner = axes(a) == (a.type.rank - 1,), axes(b) == (0,)
    if all(inner):
        return SUM
    one_sided = not any(inner) and (not axes(a) or not axes(b))
    return ROWS if one_sided and eqn.outs[0].type.rank and axes(eqn.outs[0]) else None


def _sum(eqn: Eqn, axes: Axes) -> str | None:
    return SUM if axes(eqn.args[0])[0] in eqn.attrs["axis"] else ROWS


def _along_others(eqn: Eqn, axes: Axes) -> str | None:
    """A reduction or a running sum along other axes than the batch's."""
    along = eqn.attrs["axis"]
    return None if axes(eqn.args[0])[0] in (along if isinstance(along, tuple) else (along,)) else ROWS


def _subscripted(eqn: Eqn, axes: Axes) -> str | None:
    """All rows, and the same subscripts in each."""
    first = 1 if eqn.op == "index" else 2
    entries = [e for e, _ in split(eqn.attrs["spec"], eqn.args[first:])]
    if not axes(eqn.args[0]) or not axes(eqn.outs[0]) or ("array",) in entries:
        return None
    at = [k for k, e in enumerate(entries) if e[0] != "new"][axes(eqn.args[0])[0]]
    if entries[at] != FULL:
        return None
    selected = [k for k, e in enumerate(entries) if e[0] != "int"]
    place = len(selected) - selected.index(at)
    values = eqn.args[1:2] if first == 2 else ()
    return ROWS if all(v.type.rank - k == place for v in values for k in axes(v)) else None


def _reshape(eqn: Eqn, axes: Axes) -> str | None:
    """The rows stay rows where the batch is the first axis before and after."""
    return ROWS if axes(eqn.args[0]) == axes(eqn.outs[0]) == (0,) else None


def _concatenate(eqn: Eqn, axes: Axes) -> str | None:
    places = {axes(a) for a in (*eqn.args, *eqn.outs)}
    return ROWS if len(places) == 1 and (eqn.attrs["axis"],) not in places else None


_RULES: dict[str, Callable[[Eqn, Axes], str | None]] = {
    "matmul": _matmul,
    "sum": _sum,
    **dict.fromkeys(("prod", "max", "min", "any", "all", "argmax", "argmin", "cumsum"), _along_others),
    **dict.fromkeys(("index", "store", "accumulate"), _subscripted),
    "reshape": _reshape,
    "concatenate": _concatenate,
    "transpose": lambda eqn, axes: ROWS,
    "full": lambda eqn, axes: ROWS,
    "broadcast_to": lambda eqn, axes: ROWS if _in_line(eqn.args[:1], eqn.outs[0], axes) else None,
}

__all__ = ["AFTER", "BEFORE", "ROWS", "SUM", "Batch", "batches", "joined_axes"]

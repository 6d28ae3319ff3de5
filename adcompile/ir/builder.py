"""Appends equations to a growing block; pure equations that were already emitted are shared (CSE).

The only mutable state of a stage: born in it, frozen by `Builder.block`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adcompile.ir.core import Atom, Block, Eqn, Value
from adcompile.ir.types import Type
from adcompile.source import SourceLoc


class Builder:
    """A block under construction; a child builder (a region) sees what its parents emitted before it."""

    def __init__(self, parent: Builder | None = None):
        self.parent = parent
        self.eqns: list[Eqn] = []
        self.memo: dict[tuple, tuple[Value, ...]] = {}
        self.definitions: dict[Value, Eqn] = {}
        self.shapes: dict[Value, Atom] = {}
        self.equal: dict[Atom, Atom] = {}
        self.sizes: dict[tuple[Atom, int], Any] = {}
        self.answers: dict[Any, Any] = {}
        self.survivors: Any = parent.survivors if parent else None
        self.survived: dict[Value, Eqn] = {}
        self.filled: dict[Value, Atom] = {}
        self.renewed: set[Value] = set()
        self.loc: SourceLoc | None = parent.loc if parent else None
        self.note: str = parent.note if parent else ""

    def emit(
        self,
        op: str,
        args: Sequence[Atom],
        types: Sequence[Type],
        attrs: Mapping[str, Any] | None = None,
        regions: Sequence[Block] = (),
        pure: bool = True,
        names: Sequence[str] = (),
    ) -> tuple[Value, ...]:
        """Append ``outs = op(args)``, or return the outs of an equal equation already in sight."""
        attrs = dict(attrs or {})
        key = None
        if pure and not regions:
            key = (op, tuple(args), tuple(types), tuple(sorted((k, repr(v)) for k, v in attrs.items())))
            found = self.lookup(key)
            if found is not None:
                return found
        names = tuple(names) or ("",) * len(types)
        outs = tuple(Value(t, n) for t, n in zip(types, names, strict=True))
        self.append(Eqn(op, tuple(args), outs, attrs, self.loc, tuple(regions), self.note))
        if key is not None:
            self.memo[key] = outs
        return outs

    def append(self, eqn: Eqn) -> None:
        """Append a finished equation."""
        self.eqns.append(eqn)
        for out in eqn.outs:
            self.definitions[out] = eqn

    def lookup(self, key: tuple) -> tuple[Value, ...] | None:
        """The outs of an equal pure equation in this block or one around it."""
        builder: Builder | None = self
        while builder is not None:
            if key in builder.memo:
                return builder.memo[key]
            builder = builder.parent
        return None

    def definition(self, atom: Atom) -> Eqn | None:
        """The equation that defines ``atom``, where it is in sight."""
        builder: Builder | None = self
        while builder is not None and isinstance(atom, Value):
            if atom in builder.definitions:
                return builder.definitions[atom]
            builder = builder.parent
        return None

    def shape_source(self, atom: Atom) -> Atom | None:
        """A value known to have the shape of ``atom`` (a loop's parameter that keeps its start value's), if any."""
        builder: Builder | None = self
        while builder is not None and isinstance(atom, Value):
            if atom in builder.shapes:
                return builder.shapes[atom]
            builder = builder.parent
        return None

    def known_size(self, atom: Atom, axis: int) -> Any:
        """A size that was worked out before, in this block or one around it; None where it was not."""
        builder: Builder | None = self
        while builder is not None:
            if (atom, axis) in builder.sizes:
                return builder.sizes[atom, axis]
            builder = builder.parent
        return None

    def remembered(self, question: Any, work_out: Callable[[], Any]) -> Any:
        """The answer to a question about what this block defines, worked out once."""
        if question not in self.answers:
            self.answers[question] = work_out()
        return self.answers[question]

    def home(self, value: Value) -> Builder:
        """The block, this one or one around it, that defines a value."""
        builder: Builder = self
        while value not in builder.definitions and builder.parent is not None:
            builder = builder.parent
        return builder

    def canonical(self, atom: Atom) -> Atom:
        """The size that stands for all sizes that were checked to be equal to ``atom``."""
        builder: Builder | None = self
        while builder is not None:
            if atom in builder.equal:
                return self.canonical(builder.equal[atom])
            builder = builder.parent
        return atom

    def checked_equal(self, atom: Atom) -> list[Atom]:
        """The sizes that were checked in this block to be equal to ``atom``, itself first."""
        same = self.canonical(atom)
        others = (other for other in (*self.equal, *self.equal.values()) if self.canonical(other) == same)
        return list(dict.fromkeys((atom, *others)))

    def child(self) -> Builder:
        """A builder for a region of the next equation."""
        return Builder(self)

    def block(self, params: Sequence[Value], results: Sequence[Atom]) -> Block:
        """Freeze what was emitted."""
        return Block(tuple(params), tuple(self.eqns), tuple(results))

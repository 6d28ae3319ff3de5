"""Inserts the copies that make every update legal in place: a pure trace → a trace whose updates may overwrite.

After this pass the first argument of every ``store``, ``accumulate`` and ``gemm`` is memory that the program owns and
whose old contents nobody reads again; so is every array that a loop carries, and every array that a branch or the whole
trace returns. No two of those share memory, and none is a parameter. Both dialects: views are followed to their memory.

Memory is named by the value that first held it (a root). A root is owned by the loop body that made or carries it; a
branch may move what its surroundings own, a loop body may not: its next iteration would find it overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from adcompile.ir import Array, Atom, Block, Eqn, Trace, Value, free_values
from adcompile.ir.core import eqn_inputs

UPDATES = frozenset({"store", "accumulate", "gemm", "grow"})
_LEAD = {"loop": 3, "while": 0}


def insert_copies(trace: Trace) -> Trace:
    """Return an equivalent trace in which every update may be done in place.

    Parameters
    ----------
    trace : a trace of either dialect.

    Returns
    -------
    Trace
        The trace with ``copy`` equations where memory is not owned or still read under its old version.
    """
    memory = _Memory()
    for param in trace.params:
        memory.new(param, owner=None)
    return replace(trace, block=_Scope(memory, owner=0, outer=lambda value: False).block(trace.block))


def is_view(eqn: Eqn) -> bool:
    """Whether NumPy returns (or may return) the memory of the first argument."""
    if eqn.op == "index":
        return all(entry[0] != "array" for entry in eqn.attrs["spec"])
    if eqn.op == "cast":
        return eqn.args[0].type.dtype == eqn.outs[0].type.dtype
    return eqn.op in ("transpose", "reshape", "broadcast_to", "identity", "again", "stop_gradient")


@dataclass
class _Memory:
    """Which memory each array value may be in, who owns it, and what else is in it."""

    roots: dict[Value, frozenset[Value]] = field(default_factory=dict)
    owners: dict[Value, int | None] = field(default_factory=dict)
    members: dict[Value, list[Value]] = field(default_factory=dict)
    read_only: set[Value] = field(default_factory=set)
    views: set[Value] = field(default_factory=set)
    loops: int = 0

    def new(self, value: Value, owner: int | None) -> None:
        """``value`` is in memory of its own."""
        if isinstance(value.type, Array):
            self.roots[value], self.owners[value], self.members[value] = frozenset({value}), owner, [value]

    def share(self, value: Value, base: Atom) -> None:
        """``value`` is in the memory of ``base``."""
        self.roots[value] = self.of(base)
        for root in self.roots[value]:
            self.members[root].append(value)

    def move(self, value: Value, base: Value) -> None:
        """``value`` now stands for ``base``."""
        for root in self.roots[value]:
            self.members[root].remove(value)
        self.share(value, base)

    def of(self, atom: Atom) -> frozenset[Value]:
        """The memory an atom may be in; scalars are in none."""
        return self.roots.get(atom, frozenset()) if isinstance(atom, Value) else frozenset()

    def sharing(self, atom: Atom) -> list[Value]:
        """Every value that may be in the memory of ``atom``."""
        return list(dict.fromkeys(m for root in self.of(atom) for m in self.members[root]))


class _Scope:
    """Rewrites one block: values keep their identity, arguments become copies where needed."""

    def __init__(
        self, memory: _Memory, owner: int, outer: Callable[[Value], bool], env: dict[Value, Value] | None = None
    ):
        self.memory, self.owner, self.outer = memory, owner, outer
        self.env: dict[Value, Value] = dict(env or {})
        self.eqns: list[Eqn] = []
        self.local: set[Value] = set()
        self.last: dict[Value, int] = {}
        self.position = 0

    def block(self, block: Block, claim: bool = True) -> Block:
        """The block with copies; its results are claimed by whoever gets them, unless they are only looked at."""
        self.last = _last_uses(block)
        for self.position, eqn in enumerate(block.eqns):
            self.equation(eqn)
        self.position = len(block.eqns)
        results = self.claim(block.results, ()) if claim else [self.read(r) for r in block.results]
        return Block(block.params, tuple(self.eqns), tuple(results))

    # -- equations --------------------------------------------------------------------------------------------

    def equation(self, eqn: Eqn) -> None:
        """Append one equation, after the copies it needs."""
        if eqn.op in UPDATES:
            self.update(eqn)
        elif eqn.op in ("if", "loop", "while"):
            self.control(eqn)
        else:
            self.plain(eqn)
        self.local.update(eqn.outs)

    def plain(self, eqn: Eqn) -> None:
        """Results are views or in memory of their own."""
        self.eqns.append(replace(eqn, args=tuple(map(self.read, eqn.args))))
        for out in eqn.outs:
            if not isinstance(out.type, Array):
                continue
            if not is_view(eqn):
                self.memory.new(out, self.owner)
                continue
            self.memory.share(out, eqn.args[0])
            if eqn.op == "index":
                self.memory.views.add(out)
            if eqn.op == "broadcast_to" or eqn.args[0] in self.memory.read_only:
                self.memory.read_only.add(out)

    def update(self, eqn: Eqn) -> None:
        """The target must be owned, dead under its old version, and not read by the update itself."""
        target, *rest = eqn.args
        overlaps = eqn.op == "gemm" or ("array",) in eqn.attrs.get("spec", ())
        read = {a for a in rest if isinstance(a, Value)} if overlaps else set()
        busy = read.intersection(self.memory.sharing(target))
        target = self.free(target, busy, set())
        self.eqns.append(replace(eqn, args=(self.read(target), *map(self.read, rest))))
        self.memory.share(eqn.outs[0], target)

    def control(self, eqn: Eqn) -> None:
        """Arrays are moved into loops; results of regions are in memory of their own."""
        lead = _LEAD.get(eqn.op, len(eqn.args))
        captured = {v for region in eqn.regions for v in free_values(region)}
        args = (*map(self.read, eqn.args[:lead]), *self.claim(eqn.args[lead:], captured))
        self.eqns.append(replace(eqn, args=args, regions=tuple(self.regions(eqn, captured))))
        for out in eqn.outs:
            self.memory.new(out, self.owner)

    def regions(self, eqn: Eqn, captured: set[Value]) -> Iterable[Block]:
        """The regions of a control equation, rewritten."""
        position = self.position
        live = lambda value: self.last.get(value, -1) > position or self.outer(value)
        if eqn.op == "if":
            for region in eqn.regions:
                yield _Scope(self.memory, self.owner, live, self.env).block(region)
            return
        again = lambda value: value in captured or live(value)
        for region in eqn.regions:
            self.memory.loops += 1
            condition = region is not eqn.regions[-1]
            for param in region.params:
                self.memory.new(param, None if condition else self.memory.loops)
            yield _Scope(self.memory, self.memory.loops, again, self.env).block(region, claim=not condition)

    # -- copies -----------------------------------------------------------------------------------------------

    def read(self, atom: Atom) -> Atom:
        """What the rewritten program calls an atom."""
        return self.env.get(atom, atom) if isinstance(atom, Value) else atom

    def live(self, value: Value) -> bool:
        """Whether a value is read after the current equation."""
        return self.last.get(value, -1) > self.position or self.outer(value)

    def claim(self, atoms: Sequence[Atom], captured: Iterable[Value]) -> list[Atom]:
        """Memory of their own for arrays that somebody else may overwrite from here on."""
        taken: set[Value] = set()
        claimed = [self.free(a, set(captured), taken) for a in atoms]
        return [self.read(a) for a in claimed]

    def free(self, atom: Atom, busy: set[Value], taken: set[Value]) -> Atom:
        """``atom``, or a copy where its memory is not owned, taken already, or read later."""
        if not isinstance(atom, Value) or not isinstance(atom.type, Array):
            return atom
        roots = self.memory.of(atom)
        owned = all(self.memory.owners[root] == self.owner for root in roots)
        if not owned or roots & taken or atom in self.memory.read_only:
            return self.copy(atom, taken)
        readers = [m for m in self.memory.sharing(atom) if m in busy or self.live(m)]
        if any(m is atom or m in busy or m not in self.memory.views or m not in self.local for m in readers):
            return self.copy(atom, taken)
        for view in readers:
            self.env[view] = self.copy(view, set())
            self.memory.move(view, self.env[view])
        taken |= roots
        return atom

    def copy(self, value: Value, taken: set[Value]) -> Value:
        """Emit a copy; it is in memory of its own."""
        new = Value(value.type, value.name)
        loc, note = (self.eqns[-1].loc, self.eqns[-1].note) if self.eqns else (None, "")
        self.eqns.append(Eqn("copy", (self.read(value),), (new,), {}, loc, (), note))
        self.memory.new(new, self.owner)
        self.local.add(new)
        taken.add(new)
        return new


def _last_uses(block: Block) -> dict[Value, int]:
    """The position of the last equation that reads each value; results are read at the end."""
    last: dict[Value, int] = {}
    for position, eqn in enumerate(block.eqns):
        last.update(dict.fromkeys(eqn_inputs(eqn), position))
    last.update(dict.fromkeys((r for r in block.results if isinstance(r, Value)), len(block.eqns)))
    return last


__all__ = ["insert_copies", "is_view"]

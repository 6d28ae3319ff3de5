"""Structured SSA on one page: `Value`, `Const`, `Eqn`, `Block`, `Trace`.

Invariants (checked by `adcompile.ir.verifier`): every value is defined once and before its use; a region sees the
values of the blocks around it; array values are pure (``store`` returns a new version).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adcompile.ir.types import Type
from adcompile.source import SourceLoc


class _kept:
    """A property of what never changes, worked out once.

    Like `functools.cached_property`, but that holds a lock in Python 3.11: two of them that ask each other, as these
    do, would make two threads wait for each other for ever.
    """

    def __init__(self, work_out: Callable[[Any], Any]):
        self.work_out, self.__doc__ = work_out, work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        found = instance.__dict__[self.name] = self.work_out(instance)
        return found


@dataclass(eq=False)
class Value:
    """An SSA value, equal only to itself; ``name`` is the user's word for it, a hint that its builder may set."""

    type: Type
    name: str = ""

    def __repr__(self) -> str:
        return f"<{self.name or 'value'}: {self.type}>"


@dataclass(frozen=True)
class Const:
    """A number known while tracing."""

    value: Any
    type: Type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> tuple:
        """Tells 0.0 from -0.0, 1 from 1.0 from True, and nan equal to itself."""
        return (repr(self.value), self.type)


Atom = Value | Const


@dataclass(frozen=True, eq=False)
class Eqn:
    """``outs = op(args)`` with static ``attrs`` and, for control flow, ``regions``.

    Control flow: ``if (pred) {then} {else}``; ``loop (start, stop, step, *carried) {index, *carried → carried'}``;
    ``while (*carried) {*carried → pred} {*carried → carried'}``; both kinds of loops may say ``snapshots``. A function
    that is not recorded is ``checkpoint () {→ results}``.
    """

    op: str
    args: tuple[Atom, ...]
    outs: tuple[Value, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    loc: SourceLoc | None = None
    regions: tuple[Block, ...] = ()
    note: str = ""

    @_kept
    def inputs(self) -> tuple[Value, ...]:
        """Every value it reads, those its regions capture included; most analyses ask, so it is kept."""
        reads = dict.fromkeys(a for a in self.args if isinstance(a, Value))
        for region in self.regions:
            reads.update(dict.fromkeys(region.free))
        return tuple(reads)


@dataclass(frozen=True, eq=False)
class Block:
    """Straight-line equations from ``params`` to ``results``; may use values of the blocks around it."""

    params: tuple[Value, ...]
    eqns: tuple[Eqn, ...]
    results: tuple[Atom, ...]

    @_kept
    def free(self) -> tuple[Value, ...]:
        """The values of surrounding blocks that it reads, in order of first use."""
        defined: set[Value] = set(self.params)
        free: dict[Value, None] = {}
        for eqn in self.eqns:
            free.update(dict.fromkeys(v for v in eqn.inputs if v not in defined))
            defined.update(eqn.outs)
        free.update(dict.fromkeys(r for r in self.results if isinstance(r, Value) and r not in defined))
        return tuple(free)


@dataclass(frozen=True, eq=False)
class Trace:
    """A whole program: a name, a closed block, and comment lines that say what it is."""

    name: str
    block: Block
    header: tuple[str, ...] = ()

    @property
    def params(self) -> tuple[Value, ...]:
        """The inputs, flat."""
        return self.block.params

    @property
    def results(self) -> tuple[Atom, ...]:
        """The outputs, flat."""
        return self.block.results

    def __str__(self) -> str:
        from adcompile.ir.printer import show

        return show(self)


def free_values(block: Block) -> tuple[Value, ...]:
    """The values of surrounding blocks that ``block`` reads, in order of first use."""
    return block.free


def eqn_inputs(eqn: Eqn) -> tuple[Value, ...]:
    """Every value an equation reads, those its regions capture included."""
    return eqn.inputs


def uses(block: Block) -> Iterator[Value]:
    """Every use of a value, those in regions and as results included."""
    for eqn in block.eqns:
        yield from (a for a in eqn.args if isinstance(a, Value))
        for region in eqn.regions:
            yield from uses(region)
    yield from (r for r in block.results if isinstance(r, Value))


def walk(block: Block) -> Iterator[Eqn]:
    """All equations, those of regions after the equation that holds them."""
    for eqn in block.eqns:
        yield eqn
        for region in eqn.regions:
            yield from walk(region)


def substitute(block: Block, mapping: Mapping[Value, Atom], fresh: Callable[[Value], Value] | None = None) -> Block:
    """A copy of ``block`` with new values throughout and free values replaced by ``mapping``."""
    env: dict[Value, Atom] = dict(mapping)
    copy = fresh or (lambda v: Value(v.type, v.name))

    def get(atom: Atom) -> Atom:
        return env.get(atom, atom) if isinstance(atom, Value) else atom

    params = tuple(copy(p) for p in block.params)
    env.update(zip(block.params, params, strict=True))
    eqns = []
    for eqn in block.eqns:
        args = tuple(map(get, eqn.args))
        regions = tuple(substitute(r, env, fresh) for r in eqn.regions)
        outs = tuple(copy(o) for o in eqn.outs)
        env.update(zip(eqn.outs, outs, strict=True))
        eqns.append(Eqn(eqn.op, args, outs, eqn.attrs, eqn.loc, regions, eqn.note))
    return Block(params, tuple(eqns), tuple(map(get, block.results)))


def opened(block: Block) -> Block:
    """``block`` with the equations of checkpointed functions in place of their calls."""
    env: dict[Value, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in block.eqns:
        moved = substitute(Block((), (eqn,), eqn.outs), env)
        (copy,) = moved.eqns
        inner = opened(copy.regions[0]) if eqn.op == "checkpoint" else Block((), (copy,), copy.outs)
        eqns += inner.eqns
        env.update(zip(eqn.outs, inner.results, strict=True))
    results = tuple(env.get(r, r) if isinstance(r, Value) else r for r in block.results)
    return Block(block.params, tuple(eqns), results)

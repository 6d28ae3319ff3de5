"""Checks a trace between stages: definitions before uses, one definition each, region signatures, types.

`verify` raises `InvalidTrace` with the equation; under pytest it runs after every stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adcompile.errors import InvalidTrace
from adcompile.ir.core import Atom, Block, Eqn, Trace, Value
from adcompile.ir.printer import show_eqn
from adcompile.ir.types import Type, join

Infer = Callable[[Eqn], Sequence[Type] | None]


def verify(trace: Trace, infer: Infer | None = None) -> Trace:
    """Return ``trace`` unchanged, or raise `InvalidTrace`; ``infer`` gives the types an equation must have."""
    _check_block(trace.block, set(), infer)
    return trace


def _check_block(block: Block, visible: set[Value], infer: Infer | None) -> None:
    seen = set(visible)
    _define(block.params, seen, None)
    for eqn in block.eqns:
        for atom in eqn.args:
            _used(atom, seen, eqn)
        for region in eqn.regions:
            _check_block(region, seen, infer)
        _check_control(eqn)
        expected = infer(eqn) if infer and not eqn.regions else None
        if expected is not None and any(join(e, o.type) is None for e, o in zip(expected, eqn.outs, strict=True)):
            _fail(f"types differ from {[str(t) for t in expected]}", eqn)
        _define(eqn.outs, seen, eqn)
    for atom in block.results:
        _used(atom, seen, None)


def _used(atom: Atom, seen: set[Value], eqn: Eqn | None) -> None:
    if isinstance(atom, Value) and atom not in seen:
        _fail(f"{atom!r} is used before its definition", eqn)


def _define(values: Sequence[Value], seen: set[Value], eqn: Eqn | None) -> None:
    for value in values:
        if value in seen:
            _fail(f"{value!r} is defined twice", eqn)
        seen.add(value)


def _check_control(eqn: Eqn) -> None:
    outs = [o.type for o in eqn.outs]
    if eqn.op == "if":
        for region in eqn.regions:
            _agree(eqn, outs, [r.type for r in region.results])
    elif eqn.op == "loop":
        (body,) = eqn.regions
        _agree(eqn, outs, [a.type for a in eqn.args[3:]])
        _agree(eqn, outs, [p.type for p in body.params[1:]])
        _agree(eqn, outs, [r.type for r in body.results])
    elif eqn.op == "while":
        condition, body = eqn.regions
        _agree(eqn, outs, [a.type for a in eqn.args])
        _agree(eqn, outs, [p.type for p in condition.params])
        _agree(eqn, outs, [p.type for p in body.params])
        _agree(eqn, outs, [r.type for r in body.results])


def _agree(eqn: Eqn, outs: list[Type], types: list[Type]) -> None:
    if len(outs) != len(types) or any(join(a, b) is None for a, b in zip(outs, types, strict=True)):
        _fail(f"region types {[str(t) for t in types]} do not fit results {[str(t) for t in outs]}", eqn)


def _fail(fact: str, eqn: Eqn | None) -> None:
    place = f" in `{show_eqn(eqn)}`" if eqn is not None else ""
    raise InvalidTrace(f"{fact}{place}", eqn.loc if eqn else None)

"""Which values of a program differ from call to call when some parameters are mapped over a batch.

A frozen set of values, those of regions included. Iterated to a fixed point over loops; a branch, a loop or a ``while``
that is decided by a mapped value maps all that it returns. Sizes of arrays are the same in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adcompile.ir import Atom, Block, Eqn, Value, is_float

DIFFERENT_SIZES = "mapped arguments have different sizes"
"""The words of the check that the arguments of a batch fit together."""
Found = set[Value]


def mapped_values(block: Block, given: Iterable[Value]) -> frozenset[Value]:
    """The mapped values of a block of which ``given`` are mapped."""
    found = set(given)
    _visit(block, found)
    return frozenset(found)


def _visit(block: Block, found: Found) -> None:
    for eqn in block.eqns:
        _RULES.get(eqn.op, _plain)(eqn, found)


def _is(atom: Atom, found: Found) -> bool:
    return isinstance(atom, Value) and atom in found


def _follow(targets: Iterable[Value], sources: Iterable[Atom], found: Found) -> None:
    """Each target is mapped where its source is."""
    found.update(t for t, s in zip(targets, sources, strict=False) if _is(s, found))


def _plain(eqn: Eqn, found: Found) -> None:
    if eqn.op != "dim" and any(_is(a, found) for a in eqn.args):
        found.update(eqn.outs)


def _branch(eqn: Eqn, found: Found) -> None:
    for region in eqn.regions:
        _visit(region, found)
        _follow(eqn.outs, region.results, found)
    if _is(eqn.args[0], found):
        found.update(eqn.outs)


def _loop(eqn: Eqn, found: Found) -> None:
    lead = 3 if eqn.op == "loop" else 0
    body = eqn.regions[-1]
    carried = body.params[1:] if eqn.op == "loop" else body.params
    start_and_step, bounds = eqn.args[:lead:2], eqn.args[:lead]
    if any(_is(a, found) for a in start_and_step):
        found.add(body.params[0])
    if any(_is(a, found) for a in bounds):
        found.update(carried)
    _follow(carried, eqn.args[lead:], found)
    before = -1
    while len(found) != before:
        before = len(found)
        if eqn.op == "while":
            _condition(eqn.regions[0], carried, found)
        _visit(body, found)
        _follow(carried, body.results, found)
    _follow(eqn.outs, carried, found)


def _condition(condition: Block, carried: Iterable[Value], found: Found) -> None:
    _follow(condition.params, carried, found)
    _visit(condition, found)
    if _is(condition.results[0], found):
        found.update(carried)
        found.update(condition.params)


def _ruled(eqn: Eqn, found: Found) -> None:
    """A call with a rule of the user's: all that it returns is mapped, where anything in it is."""
    primal, *rules = eqn.regions
    _follow(primal.params, eqn.args, found)
    _visit(primal, found)
    for place, rule in enumerate(rules):
        if eqn.op == "custom_vjp" and place == 1:
            found.update(rule.params)
        else:
            floats = [a for a in eqn.args if is_float(a.type)]
            _follow(rule.params, [*eqn.args, *floats], found)
        _visit(rule, found)
    everything = (*eqn.args, *(r for region in eqn.regions for r in region.results))
    if any(_is(a, found) for a in everything):
        found.update(eqn.outs)


_RULES: dict[str, Callable[[Eqn, Found], None]] = {
    "if": _branch,
    "loop": _loop,
    "while": _loop,
    "custom_jvp": _ruled,
    "custom_vjp": _ruled,
}

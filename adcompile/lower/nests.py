"""Perfect, rectangular nests of loops over elements, questions about what they read and write, and regions rewritten.

Shared by the lowerings of loops: `adcompile.lower.gather`, `adcompile.lower.collect`, `adcompile.lower.allocations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from adcompile.ir import Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.lower.context import Context
from adcompile.lower.indices import Affine
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.primitives.shapes import keeping_shape


@dataclass(frozen=True)
class Level:
    """One loop of a nest: its index runs over ``[low, high)``, in either direction."""

    index: Value
    low: Affine
    high: Affine


@dataclass(frozen=True)
class Nest:
    """A rectangular nest; ``carried`` gives the innermost parameter and result of each carried value.

    ``inside`` is everything that only the nest knows: indices, parameters of every loop, results of equations.
    """

    context: Context
    eqn: Eqn
    levels: tuple[Level, ...]
    body: Block
    carried: tuple[tuple[Value, Atom], ...]
    scalars: Mapping[Value, Eqn]
    inside: frozenset[Atom]

    def form(self, atom: Atom) -> Affine:
        """The affine form of a subscript, through the equations of the body."""
        return self.context.indices.form(atom)


def see(context: Context, eqn: Eqn) -> Nest | None:
    """The nest that a loop is the outermost of; None where it is not rectangular and perfect."""
    levels: list[Level] = []
    places = list(range(len(eqn.outs)))
    loop, scalars = eqn, {}
    params: set[Value] = set()
    with context.inside(context.op.builder.child()) as scratch:
        while True:
            level = _level(context, loop, params)
            if level is None:
                return None
            levels.append(level)
            (body,) = loop.regions
            params.update(body.params)
            for inner in body.eqns:
                scratch.append(inner)
            loops = [e for e in body.eqns if e.op == "loop"]
            scalars |= {o: e for e in body.eqns for o in e.outs}
            if not loops:
                pairs = tuple((body.params[1 + k], body.results[k]) for k in places)
                inside = frozenset(params.union(scalars))
                return Nest(_looking_into(context, scratch), eqn, tuple(levels), body, pairs, scalars, inside)
            found = _follow(body, loops, places)
            if found is None:
                return None
            loop, places = found


def _looking_into(context: Context, scratch: Builder) -> Context:
    """A context that sees the equations of the nest, for questions only."""
    return Context(Emitter(scratch))


def _level(context: Context, loop: Eqn, outer: set[Value]) -> Level | None:
    """A loop whose bounds are known outside the nest; ``outer`` are the parameters of the loops around it."""
    start, stop, step = loop.args[:3]
    if not isinstance(step, Const) or step.value not in (1, -1):
        return None
    low, high = context.indices.form(start), context.indices.form(stop)
    if step.value < 0:
        low, high = high.plus(Affine(1)), low.plus(Affine(1))
    inner = context.op.builder
    if any(a in inner.definitions or a in outer for form in (low, high) for a in form.terms):
        return None
    return Level(loop.regions[0].params[0], low, high)


def _follow(body: Block, loops: list[Eqn], places: list[int]) -> tuple[Eqn, list[int]] | None:
    """The only loop in a body that does nothing else but scalar arithmetic, and where it carries each value on."""
    if len(loops) > 1 or not all(e is loops[0] or _is_scalar(e) for e in body.eqns):
        return None
    (inner,) = loops
    found = []
    for k in places:
        at = [m for m, out in enumerate(inner.outs) if out is body.results[k]]
        if len(at) != 1 or inner.args[3 + at[0]] is not body.params[1 + k]:
            return None
        found.append(at[0])
    return inner, found


def is_allowed(eqn: Eqn) -> bool:
    """Whether an equation works on elements and cannot fail."""
    return eqn.op in ("index", "store", "accumulate", "dim") or _is_scalar(eqn)


def _is_scalar(eqn: Eqn) -> bool:
    return not eqn.regions and PRIMITIVES[eqn.op].elementwise


def along(nest: Nest, atom: Atom) -> tuple[int | None, Affine]:
    """A subscript as ``index of a loop + rest``."""
    form = nest.form(atom)
    found = [k for k, level in enumerate(nest.levels) if form.terms.get(level.index) == 1]
    if len(found) != 1:
        return None, form
    return found[0], form.without(nest.levels[found[0]].index)


def needed_for(nest: Nest, atom: Atom) -> list[Eqn]:
    """The equations of the nest that an atom needs."""
    needed: dict[Eqn, None] = {}
    stack = [atom]
    while stack:
        eqn = nest.scalars.get(stack.pop())  # type: ignore[arg-type]
        if eqn is not None and eqn not in needed:
            needed[eqn] = None
            stack += eqn_inputs(eqn)
    return list(needed)


def reads_old(nest: Nest, read: Eqn) -> bool:
    """Whether an element that is read was not written by another iteration.

    Where the nest writes the array, every iteration reads, before its write, the one element that it alone writes.
    """
    array = read.args[0]
    if array not in {param for param, _ in nest.carried}:
        return array not in nest.inside
    own = tuple(nest.form(a) for a in read.args[1:])
    version, written = {array}, []
    for eqn in nest.body.eqns:
        if eqn.args and eqn.args[0] in version and eqn.op in ("store", "accumulate"):
            version.add(eqn.outs[0])
            written.append(tuple(nest.form(a) for a in eqn.args[2:]))
    places = [along(nest, a) for a in read.args[1:]]
    once = sorted(k for k, _ in places if k is not None) == list(range(len(nest.levels)))
    clear = not any(nest.inside & rest.terms.keys() for _, rest in places)
    return not written or (once and clear and all(w == own for w in written))


def without(block: Block, array: Value) -> Block:
    """A nest that no longer adds to one array."""
    names: dict[Value, Atom] = {array: array}
    kept = []
    for eqn in block.eqns:
        if eqn.op == "accumulate" and names.get(eqn.args[0]) is array:  # type: ignore[arg-type]
            names[eqn.outs[0]] = array
        elif eqn.op == "loop":
            kept.append(replace(eqn, regions=(without(eqn.regions[0], array),)))
        else:
            kept.append(eqn)
    inner = substitute(Block((), tuple(kept), block.results), names, lambda value: value)
    return Block(block.params, inner.eqns, inner.results)


def rewritten(
    context: Context, eqn: Eqn, block: Block, rebuild: Callable[[Context, Builder, Block], tuple[Eqn, ...]]
) -> Block:
    """A region of an equation with its equations rebuilt; of a loop, knowing which carried arrays keep their shape."""
    with context.inside(context.op.builder.child()) as builder:
        if eqn.op == "loop":
            inits, params = eqn.args[3:], block.params[1:]
            kept = keeping_shape(builder, inits, params, block)
            builder.shapes.update((params[k], inits[k]) for k in kept)
        return Block(block.params, rebuild(context, builder, block), block.results)

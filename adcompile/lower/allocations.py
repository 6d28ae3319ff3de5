"""Loop dialect → loop dialect, for a GPU: arrays that every iteration of a time loop makes anew are made once.

An array that dies with the iteration is carried to the next one, which writes over it. One that becomes the next
version of a carried array changes places with that: two buffers serve all iterations (double buffering).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adcompile.ir import Atom, Block, Const, Eqn, Value
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.lower.context import Context
from adcompile.lower.nests import rewritten
from adcompile.primitives import Emitter
from adcompile.primitives.shapes import keeping_shape

_LEAD = {"loop": 3, "store": 0, "accumulate": 0, "gemm": 0}
"""Where the arrays begin that an equation gives back in new versions."""
_ARITHMETIC = frozenset({"add", "sub", "mul", "maximum", "minimum"})


def hoist_allocations(block: Block) -> Block:
    """Take allocations out of the loops of a block, the innermost first."""
    context = Context(Emitter(Builder()))
    return Block(block.params, _rebuilt(context, context.op.builder, block), block.results)


def _rebuilt(context: Context, builder: Builder, block: Block) -> tuple[Eqn, ...]:
    for eqn in block.eqns:
        builder.loc, builder.note = eqn.loc, eqn.note
        eqn = replace(eqn, regions=tuple(rewritten(context, eqn, r, _rebuilt) for r in eqn.regions))
        if eqn.op == "loop":
            for made in [e for e in eqn.regions[0].eqns if e.op == "empty"]:
                eqn = _hoisted(context, eqn, made)
        elif eqn.op == "dim":
            builder.sizes[eqn.args[0], eqn.attrs["axis"]] = eqn.outs[0]
        builder.append(eqn)
    return tuple(builder.eqns)


def _hoisted(context: Context, loop: Eqn, made: Eqn) -> Eqn:
    """The loop without one of its allocations, which is emitted before it; the same loop where that cannot be."""
    (body,) = loop.regions
    sizes = [_before(context, body, a) for a in made.args]
    if all(isinstance(a, Const) for a in made.args) or not all(_is_size(context, size) for size in sizes):
        return loop
    made = replace(made, args=tuple(a for a in sizes if a is not None))
    last = _last_version(body.eqns, made.outs[0])
    given = _free_buffer(context, loop, made) if last in body.results else last
    if given is None:
        return loop
    array, spare = made.outs[0], Value(made.outs[0].type, made.outs[0].name)
    context.op.builder.append(replace(made, outs=(spare,)))
    param, out = Value(array.type, array.name), Value(array.type, array.name)
    rest = Block((), tuple(e for e in body.eqns if array not in e.outs), (*body.results, given))
    inner = substitute(rest, {array: param}, lambda value: value)
    region = Block((*body.params, param), inner.eqns, inner.results)
    return replace(loop, args=(*loop.args, spare), outs=(*loop.outs, out), regions=(region,))


def _is_size(context: Context, size: Atom | None) -> bool:
    """Whether an array of a size can be made though no iteration may ask for it."""
    return size is not None and context.indices.nonnegative(context.indices.form(size))


def _before(context: Context, body: Block, size: Atom) -> Atom | None:
    """A size of an array as it is known before the loop; None where iterations find out."""
    made = next((e for e in body.eqns if size in e.outs), None)
    if made is None:
        return None if size in body.params else size
    args = [_before(context, body, a) for a in made.args] if made.op in _ARITHMETIC else [None]
    if any(a is None for a in args):
        return None
    return context.op.builder.emit(made.op, [a for a in args if a is not None], [made.outs[0].type], made.attrs)[0]


def _last_version(eqns: Sequence[Eqn], array: Value) -> Value | None:
    """The last of the versions that updates make of an array; None where there is no one line of them."""
    version = array
    for eqn in eqns:
        lead = _LEAD.get(eqn.op)
        if lead is None:
            if version in eqn_inputs(eqn) and eqn.op not in ("index", "dim"):
                return None
            continue
        places = [k for k, a in enumerate(eqn.args[lead:]) if a is version and (k == 0 or eqn.op == "loop")]
        if len(places) > 1:
            return None
        version = eqn.outs[places[0]] if places else version
    return version


def _free_buffer(context: Context, loop: Eqn, made: Eqn) -> Value | None:
    """A carried array, as large as a new one, whose buffer nobody needs any more at the end of an iteration."""
    (body,) = loop.regions
    inits, params, op = loop.args[3:], body.params[1:], context.op
    for k in sorted(keeping_shape(op.builder, inits, params, body)):
        last = _last_version(body.eqns, params[k])
        if last is not None and last not in body.results and params[k].type == made.outs[0].type:
            sizes = [op.atom(op.size(inits[k], axis)) for axis in range(params[k].type.rank)]
            if sizes == list(made.args):
                return last
    return None

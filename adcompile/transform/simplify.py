"""Clean-up: inlines user-ruled calls, removes identities, shares equal equations again and drops what nobody reads.

Emission already folds constants and drops ones (`adcompile.primitives.algebra`); this pass sees the whole program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adcompile.ir import Atom, Block, Const, Eqn, Trace, Value, free_values, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, walk
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.transform.products import share_products

Env = dict[Value, Atom]


def simplify(trace: Trace, *, final: bool = False) -> Trace:
    """An equivalent trace without dead equations, dead or constant loop variables and identities.

    With ``final`` nothing will differentiate it any more: calls with rules of the user's and ``stop_gradient`` go too.
    """
    builder = Builder()
    results = _Rebuild(trace.block, final).block(builder, trace.block, {})
    block = Block(trace.params, tuple(builder.eqns), tuple(results))
    return replace(trace, block=drop_dead(share_products(block)))


def emit_again(builder: Builder, trace: Trace, args: Sequence[Atom]) -> list[Atom]:
    """Emit the equations of a trace into a program in progress, sharing what is there already; its results."""
    env: Env = dict(zip(trace.params, args, strict=True))
    return _Rebuild(trace.block, final=False).block(builder, trace.block, env)


# -- rebuild: inline, forward identities, share ----------------------------------------------------------------


class _Rebuild:
    """Emits a block again through a builder that shares equal equations."""

    def __init__(self, block: Block, final: bool):
        self.updated = _updated(block)
        self.dropped = ("identity", "stop_gradient") if final else ("identity",)
        self.inlined = ("custom_jvp", "custom_vjp", "checkpoint") if final else ()

    def block(self, builder: Builder, block: Block, env: Env) -> list[Atom]:
        for eqn in block.eqns:
            builder.loc, builder.note = eqn.loc, eqn.note
            if eqn.op == "loop":
                eqn = _drop_constant(eqn, env)
            outs = self.equation(builder, eqn, [_read(env, a) for a in eqn.args], env)
            env.update(zip(eqn.outs, outs, strict=True))
        return [_read(env, r) for r in block.results]

    def equation(self, builder: Builder, eqn: Eqn, args: list[Atom], env: Env) -> Sequence[Atom]:
        if eqn.op in self.inlined:
            primal = eqn.regions[0]
            return self.block(builder, primal, {**env, **dict(zip(primal.params, args, strict=True))})
        if eqn.op in self.dropped:
            return args
        if eqn.op == "check_same" and args[0] == args[1]:
            return ()
        if not eqn.regions:
            return _share(builder, eqn, args, eqn.op == "full" and eqn.outs[0] not in self.updated)
        regions = [self.region(builder, r, env) for r in eqn.regions]
        types, names = [o.type for o in eqn.outs], [o.name for o in eqn.outs]
        return builder.emit(eqn.op, args, types, eqn.attrs, regions, names=names)

    def region(self, builder: Builder, block: Block, env: Env) -> Block:
        inner = builder.child()
        return inner.block(block.params, self.block(inner, block, dict(env)))


def _drop_constant(eqn: Eqn, env: Env) -> Eqn:
    """A loop without the carried values that its body hands on unchanged; their readers get the start value."""
    (body,) = eqn.regions
    keep = []
    for k, (param, result) in enumerate(zip(body.params[1:], body.results, strict=True)):
        if result is param:
            env[param] = env[eqn.outs[k]] = _read(env, eqn.args[3 + k])
        else:
            keep.append(k)
    if len(keep) == len(eqn.outs):
        return eqn
    params = (body.params[0], *(body.params[1 + k] for k in keep))
    region = Block(params, body.eqns, tuple(body.results[k] for k in keep))
    args = (*eqn.args[:3], *(eqn.args[3 + k] for k in keep))
    return replace(eqn, args=args, outs=tuple(eqn.outs[k] for k in keep), regions=(region,))


def _updated(block: Block) -> set[Atom]:
    """The arrays that are updated, or handed to whoever may update them: each is better off with memory of its own."""
    found: set[Atom] = set(block.results)
    for eqn in walk(block):
        if eqn.op in ("store", "accumulate", "gemm", "grow"):
            found.add(eqn.args[0])
        elif eqn.regions:
            found.update(eqn.args)
            found.update(r for region in eqn.regions for r in region.results)
    return found


def _share(builder: Builder, eqn: Eqn, args: Sequence[Atom], constant: bool) -> Sequence[Atom]:
    primitive = PRIMITIVES[eqn.op]
    if primitive.elementwise:
        return _emit_again(builder, eqn, args)
    types, names = [o.type for o in eqn.outs], [o.name for o in eqn.outs]
    outs = builder.emit(eqn.op, args, types, eqn.attrs, pure=primitive.pure or constant, names=names)
    for out, name in zip(outs, names, strict=True):
        out.name = out.name or name
    return outs


class _Again(Emitter):
    """Emits what was emitted before; checks of sizes that meet are equations of the program of their own."""

    def _check_broadcast(self, atoms: Sequence[Atom]) -> None:
        """Nothing: no sizes meet that did not meet before, for operands are only replaced by equal ones."""


def _emit_again(builder: Builder, eqn: Eqn, args: Sequence[Atom]) -> Sequence[Atom]:
    """Emit an elementwise equation with the foldings of emission; in adjoints, added zeros go."""
    (out,) = eqn.outs
    if eqn.note == "adjoint" and eqn.op == "add":
        kept = [a for a in args if not _is_zero(builder, a, out)]
        if len(kept) == 1 and kept[0].type == out.type:
            return kept
    found = _Again(builder)(eqn.op, *args, types=[out.type], **eqn.attrs).atom
    if isinstance(found, Value) and not found.name:
        found.name = out.name
    return (found,)


def _is_zero(builder: Builder, atom: Atom, out: Value) -> bool:
    """Whether an operand of a sum is zero, or an array of zeros of the type of the sum.

    The type tells no sizes, but the program has checked that those of the sum agree; where the other operand has the
    type of the sum, too, nothing is stretched or converted by the addition.
    """
    made = builder.definition(atom)
    if made is not None and made.op == "full" and atom.type == out.type:
        atom = made.args[0]
    return isinstance(atom, Const) and atom.value == 0.0


def _read(env: Env, atom: Atom) -> Atom:
    return env.get(atom, atom) if isinstance(atom, Value) else atom


# -- dead code --------------------------------------------------------------------------------------------------


def drop_dead(block: Block) -> Block:
    """Keep the equations that the results, or an effect, need."""
    needed = {r for r in block.results if isinstance(r, Value)}
    kept: list[Eqn] = []
    for eqn in reversed(block.eqns):
        if not any(o in needed for o in eqn.outs) and not _has_effect(eqn):
            continue
        eqn = _slim(eqn, needed)
        needed.update(eqn_inputs(eqn))
        kept.append(eqn)
    return Block(block.params, tuple(reversed(kept)), block.results)


def _has_effect(eqn: Eqn) -> bool:
    if eqn.regions:
        return any(_has_effect(e) for region in eqn.regions for e in region.eqns)
    return PRIMITIVES[eqn.op].effect


def _slim(eqn: Eqn, needed: set[Value]) -> Eqn:
    """A control equation without the results nobody reads."""
    if eqn.op == "if":
        keep = [k for k, o in enumerate(eqn.outs) if o in needed]
        regions = tuple(_only(r, keep) for r in eqn.regions)
        return replace(eqn, outs=tuple(eqn.outs[k] for k in keep), regions=regions)
    if eqn.op in ("loop", "while"):
        return _slim_loop(eqn, needed)
    return eqn


def _only(region: Block, keep: Sequence[int]) -> Block:
    return drop_dead(Block(region.params, region.eqns, tuple(region.results[k] for k in keep)))


def _slim_loop(eqn: Eqn, needed: set[Value]) -> Eqn:
    """Drop carried values that neither the rest of the program nor another kept carried value depends on."""
    lead = 3 if eqn.op == "loop" else 0
    body = eqn.regions[-1]
    first = 1 if eqn.op == "loop" else 0
    keep = {k for k, o in enumerate(eqn.outs) if o in needed}
    if eqn.op == "while":
        condition = drop_dead(eqn.regions[0])
        used = {v for e in condition.eqns for v in eqn_inputs(e)} | {r for r in condition.results}
        keep |= {k for k, p in enumerate(condition.params) if p in used}
    while True:
        order = sorted(keep)
        slim = _only(body, order)
        used = {v for e in slim.eqns for v in eqn_inputs(e)} | {r for r in slim.results if isinstance(r, Value)}
        grown = keep | {k for k, p in enumerate(body.params[first:]) if p in used}
        if grown == keep:
            break
        keep = grown
    params = (*body.params[:first], *(body.params[first + k] for k in order))
    regions: tuple[Block, ...] = (Block(params, slim.eqns, slim.results),)
    if eqn.op == "while":
        regions = (Block(tuple(condition.params[k] for k in order), condition.eqns, condition.results), *regions)
    args = (*eqn.args[:lead], *(eqn.args[lead + k] for k in order))
    return replace(eqn, args=args, outs=tuple(eqn.outs[k] for k in order), regions=regions)


def number_values(block: Block, start: int = 1) -> None:
    """Name the unnamed results v1, v2, … so that their tangents and adjoints can be named after them."""
    taken = {v.name for e in block.eqns for v in e.outs} | {p.name for p in block.params}
    count = start
    for eqn in block.eqns:
        for out in eqn.outs:
            if not out.name and is_float(out.type):
                while f"v{count}" in taken:
                    count += 1
                out.name, count = f"v{count}", count + 1


__all__ = ["drop_dead", "free_values", "number_values", "simplify"]

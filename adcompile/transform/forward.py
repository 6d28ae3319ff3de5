"""Forward mode: emits every equation of a block followed by its tangent equation.

Griewank & Walther, Evaluating Derivatives (2008), section 3.1. Needs a closed environment for the block's free
values; guarantees tangents of the primal's dtype and shape, absent (None) where they are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adcompile.errors import MissingRule
from adcompile.ir import Atom, Block, Eqn, Value, is_float
from adcompile.ir.core import substitute
from adcompile.primitives import PRIMITIVES, Emitter
from adcompile.primitives.shapes import Steady, keeping_sizes, steady
from adcompile.transform.rules import tangents_of

Env = dict[Value, Atom]
MaybeAtom = Atom | None


def forward(op: Emitter, block: Block, env: Env, tangents: dict[Value, Atom]) -> tuple[list[Atom], list[MaybeAtom]]:
    """Emit ``block`` and its tangent; the atoms of its results and of their tangents.

    Parameters
    ----------
    env : atoms in the emitter's scope for params and free values of ``block`` (missing: the value itself).
    tangents : atom of the tangent of each *value of block* that varies.
    """
    env, dots = dict(env), dict(tangents)
    for eqn in block.eqns:
        op.builder.loc = eqn.loc or op.builder.loc
        _RULES.get(eqn.op, _forward_plain)(op, eqn, env, dots)
    return [read(env, r) for r in block.results], [dots.get(r) if isinstance(r, Value) else None for r in block.results]


def read(env: Env, atom: Atom) -> Atom:
    """The atom that stands for ``atom`` in the program being emitted."""
    return env.get(atom, atom) if isinstance(atom, Value) else atom


def emit_copy(op: Emitter, eqn: Eqn, env: Env) -> tuple[Atom, ...]:
    """Emit an equation without regions again, its arguments looked up; names carry over."""
    args = tuple(read(env, a) for a in eqn.args)
    outs: tuple[Atom, ...]
    if eqn.op == "check_same":
        op.check_same(args[0], args[1], eqn.attrs["message"])
        return ()
    if PRIMITIVES[eqn.op].elementwise:
        outs = (op(eqn.op, *args, types=[o.type for o in eqn.outs], **eqn.attrs).atom,)
    else:
        types = [o.type for o in eqn.outs]
        outs = op.builder.emit(eqn.op, args, types, eqn.attrs, pure=PRIMITIVES[eqn.op].pure)
    for old, new in zip(eqn.outs, outs, strict=True):
        name_after(new, old.name)
        env[old] = new
    return outs


def name_after(atom: Atom, name: str) -> None:
    """Give a value a name unless it has one."""
    if isinstance(atom, Value) and not atom.name:
        atom.name = name


def _forward_plain(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    outs = emit_copy(op, eqn, env)
    given = [dots.get(a) if isinstance(a, Value) else None for a in eqn.args]
    if all(g is None for g in given):
        return
    args = [op.handle(read(env, a)) for a in eqn.args]
    found = tangents_of(
        op, eqn, args, [op.handle(o) for o in outs], [None if g is None else op.handle(g) for g in given]
    )
    for out, tangent in zip(eqn.outs, found, strict=True):
        if tangent is not None:
            dots[out] = tangent.atom
            name_after(tangent.atom, f"{out.name}_dot" if out.name else "")


def _forward_checkpoint(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    """The function and its tangent are checkpointed together."""
    inner = Emitter(op.builder.child())
    primals, tangents = forward(inner, eqn.regions[0], env, dots)
    active = [t is not None for t in tangents]
    region = inner.builder.block((), [*primals, *_filled(inner, primals, tangents, active)])
    _bind(eqn, op.builder.emit("checkpoint", (), _types(eqn, active), eqn.attrs, [region]), active, env, dots)


def _filled(op: Emitter, primals: Sequence[Atom], tangents: Sequence[MaybeAtom], active: Sequence[bool]) -> list[Atom]:
    """The tangents of the active results, zeros made explicit."""
    return [
        op.zeros_like(op.handle(p)).atom if t is None else t
        for p, t, a in zip(primals, tangents, active, strict=True)
        if a
    ]


def _bind(eqn: Eqn, outs: Sequence[Value], active: Sequence[bool], env: Env, dots: dict[Value, Atom]) -> None:
    """Name and record the results of a control equation: primals first, then the active tangents."""
    count = len(eqn.outs)
    for old, new in zip(eqn.outs, outs[:count], strict=True):
        name_after(new, old.name)
        env[old] = new
    varied = [o for o, a in zip(eqn.outs, active, strict=True) if a]
    for old, new in zip(varied, outs[count:], strict=True):
        name_after(new, f"{old.name}_dot" if old.name else "")
        dots[old] = new


def _types(eqn: Eqn, active: Sequence[bool]) -> list:
    types = [o.type for o in eqn.outs]
    return types + [t for t, a in zip(types, active, strict=True) if a]


def _forward_if(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    inner = [Emitter(op.builder.child()) for _ in eqn.regions]
    swept = [forward(o, region, env, dots) for o, region in zip(inner, eqn.regions, strict=True)]
    active = [any(s[1][k] is not None for s in swept) for k in range(len(eqn.outs))]
    blocks = [
        o.builder.block((), [*primals, *_filled(o, primals, tangents, active)])
        for o, (primals, tangents) in zip(inner, swept, strict=True)
    ]
    args = (read(env, eqn.args[0]),)
    _bind(eqn, op.builder.emit("if", args, _types(eqn, active), eqn.attrs, blocks), active, env, dots)


def _forward_loop(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    lead = 3 if eqn.op == "loop" else 0
    body = eqn.regions[-1]
    carried = body.params[1:] if eqn.op == "loop" else body.params
    inits = eqn.args[lead:]
    active = [isinstance(a, Value) and a in dots for a in inits]
    while True:
        block, found = _forward_body(op, body, carried, inits, active, env, dots)
        grown = [a or (f and is_float(p.type)) for a, f, p in zip(active, found, carried, strict=True)]
        if grown == active:
            break
        active = grown
    starts = [read(env, a) for a in inits]
    seeds = _filled(op, starts, [dots.get(a) if isinstance(a, Value) else None for a in inits], active)
    bounds = [read(env, a) for a in eqn.args[:lead]]
    regions = [block] if eqn.op == "loop" else [_condition(op, eqn.regions[0], block.params, env), block]
    outs = op.builder.emit(eqn.op, [*bounds, *starts, *seeds], _types(eqn, active), eqn.attrs, regions)
    _bind(eqn, outs, active, env, dots)


def steady_sizes(
    op: Emitter, body: Block, carried: Sequence[Value], inits: Sequence[Atom], env: Env, renamed: Mapping[Value, Value]
) -> Steady:
    """Which sizes of the carried arrays stay as they were, of the new parameters."""
    starts = [read(env, a) for a in inits]
    copy = substitute(Block((), body.eqns, body.results), {**env, **renamed})
    params = [renamed[p] for p in carried]
    return steady(op, starts, params, keeping_sizes(op.builder, starts, params, copy))


def _forward_body(
    op: Emitter,
    body: Block,
    carried: Sequence[Value],
    inits: Sequence[Atom],
    active: Sequence[bool],
    env: Env,
    dots: dict[Value, Atom],
) -> tuple[Block, list[bool]]:
    """The body with tangents of the active carried values; and which results turned out to vary."""
    inner = Emitter(op.builder.child())
    params = [Value(p.type, p.name) for p in body.params]
    inside_of = dict(zip(body.params, params, strict=True))
    steady_sizes(op, body, carried, inits, env, inside_of).tell(inner.builder)
    varied = [p for p, a in zip(carried, active, strict=True) if a]
    extra = [Value(p.type, f"{p.name}_dot" if p.name else "") for p in varied]
    inner.builder.shapes.update(zip(extra, (inside_of[p] for p in varied), strict=True))
    inside = {**env, **inside_of}
    primals, tangents = forward(inner, body, inside, {**dots, **dict(zip(varied, extra, strict=True))})
    results = [*primals, *_filled(inner, primals, tangents, active)]
    return inner.builder.block([*params, *extra], results), [t is not None for t in tangents]


def _condition(op: Emitter, condition: Block, params: Sequence[Value], env: Env) -> Block:
    """The condition of a ``while`` over the longer list of carried values."""
    inner = Emitter(op.builder.child())
    own = [Value(p.type, p.name) for p in params]
    primals, _ = forward(inner, condition, {**env, **dict(zip(condition.params, own, strict=False))}, {})
    return inner.builder.block(own, primals)


def _forward_custom_jvp(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    """The user's rule in place of the function's own tangent."""
    given = [dots.get(a) if isinstance(a, Value) else None for a in eqn.args]
    args = [read(env, a) for a in eqn.args]
    if all(g is None for g in given):
        emit_whole(op, eqn, env)
        return
    floats = [k for k, a in enumerate(args) if is_float(a.type)]
    seeds = [seed if (seed := given[k]) is not None else op.zeros_like(op.handle(args[k])).atom for k in floats]
    require_rule(eqn)
    rule = eqn.regions[1]
    results, _ = forward(op, rule, _params(rule, [*args, *seeds], env), {})
    _bind_primals(eqn, results[: len(eqn.outs)], env)
    varied = [o for o in eqn.outs if is_float(o.type)]
    for out, tangent in zip(varied, results[len(eqn.outs) :], strict=True):
        if isinstance(tangent, Value):
            check_sizes(op, tangent, env[out], f"the tangent that the rule of {eqn.attrs['name']} returns")
            dots[out] = tangent


def require_rule(eqn: Eqn) -> None:
    """Refuse a call inside its own rule that was traced without the rule, so that tracing ends."""
    if len(eqn.regions) == 1:
        raise MissingRule(
            f"the rule of {eqn.attrs['name']} calls {eqn.attrs['name']}, and was nested as often as it may be",
            eqn.loc,
            "Write the derivatives of that order out in the rule.",
        )


def check_sizes(op: Emitter, given: Atom, like: Atom, what: str) -> None:
    """Emit run-time checks that what a user's rule returned has the shape of what it belongs to."""
    for axis in range(like.type.rank):
        op.check_same(op.size(given, axis), op.size(like, axis), f"{what} has another shape")


def _forward_custom_vjp(op: Emitter, eqn: Eqn, env: Env, dots: dict[Value, Atom]) -> None:
    """A function with a reverse rule only has no tangent."""
    if any(isinstance(a, Value) and a in dots for a in eqn.args):
        raise MissingRule(
            "a function with a custom_vjp rule has no forward rule",
            eqn.loc,
            "Use reverse mode, or adcompile.custom_jvp.",
        )
    emit_whole(op, eqn, env)


def emit_whole(op: Emitter, eqn: Eqn, env: Env) -> None:
    """Emit an equation with regions that nothing varied enters as it is."""
    args = [read(env, a) for a in eqn.args]
    regions = [substitute(r, env) for r in eqn.regions]
    _bind_primals(eqn, op.builder.emit(eqn.op, args, [o.type for o in eqn.outs], eqn.attrs, regions), env)


def _params(block: Block, atoms: Sequence[Atom], env: Env) -> Env:
    return {**env, **dict(zip(block.params, atoms, strict=True))}


def _bind_primals(eqn: Eqn, atoms: Sequence[Atom], env: Env) -> None:
    for out, atom in zip(eqn.outs, atoms, strict=True):
        name_after(atom, out.name)
        env[out] = atom


_RULES = {
    "if": _forward_if,
    "loop": _forward_loop,
    "while": _forward_loop,
    "checkpoint": _forward_checkpoint,
    "custom_jvp": _forward_custom_jvp,
    "custom_vjp": _forward_custom_vjp,
}

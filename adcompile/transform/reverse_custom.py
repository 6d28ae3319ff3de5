"""The reverse of functions with rules of the user's (`adcompile.custom_vjp`, `adcompile.custom_jvp`)."""

from __future__ import annotations

from collections.abc import Sequence

from adcompile.ir import Atom, Eqn, Value, is_float
from adcompile.primitives import Emitter
from adcompile.transform.forward import Env, check_sizes, emit_whole, name_after, read, require_rule
from adcompile.transform.reverse import Bars, Step, accumulate, backward, sweep, sweeps, varies


@sweeps("custom_vjp")
def _sweep_custom_vjp(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The user's forward function in the forward sweep, the user's backward function in the reverse sweep."""
    args = [read(env, a) for a in eqn.args]
    if not any(varies(a, varied) for a in args):
        return emit_whole(op, eqn, env)
    require_rule(eqn)
    _, forward, back_block = eqn.regions
    swept = sweep(op, forward, {**env, **dict(zip(forward.params, args, strict=True))}, set())
    outs = swept.results[: len(eqn.outs)]
    kept = swept.results[len(eqn.outs) :]
    outs = _renewed(op, eqn, outs, env)
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))
    floats = [o for o in outs if is_float(o.type)]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in floats]
        if all(g is None for g in given):
            return
        cotangents = [op.zeros_like(op.handle(o)).atom if g is None else g for o, g in zip(floats, given, strict=True)]
        inside = {**env, **dict(zip(back_block.params, [*kept, *cotangents], strict=True))}
        found = sweep(op, back_block, inside, set()).results
        for arg, cotangent in zip([args[k] for k in eqn.attrs["cotangents"]], found, strict=True):
            if varies(arg, varied):
                check_sizes(op, cotangent, arg, f"the cotangent that the rule of {eqn.attrs['name']} returns")
                accumulate(op, bars, arg, op.match(op.handle(cotangent), arg.type, arg).atom)

    return Step(eqn, back)


def _renewed(op: Emitter, eqn: Eqn, outs: Sequence[Atom], env: Env) -> tuple[Atom, ...]:
    """Results of a custom rule as values of their own, so that their cotangents are not those of an argument."""
    fresh = tuple(op("identity", o).atom if isinstance(o, Value) else o for o in outs)
    for old, new in zip(eqn.outs, fresh, strict=True):
        name_after(new, old.name)
        env[old] = new
    return fresh


@sweeps("custom_jvp")
def _sweep_custom_jvp(op: Emitter, eqn: Eqn, env: Env, varied: set[Value]) -> Step | None:
    """The reverse of a custom tangent: the transpose of the rule, which is linear in its tangents."""
    args = [read(env, a) for a in eqn.args]
    if not any(varies(a, varied) for a in args):
        return emit_whole(op, eqn, env)
    require_rule(eqn)
    _, rule = eqn.regions
    emit_whole(op, eqn, env)
    outs = [env[o] for o in eqn.outs]
    varied.update(o for o in outs if isinstance(o, Value) and is_float(o.type))
    floats = [o for o in outs if is_float(o.type)]
    inputs = [a for a in args if is_float(a.type)]

    def back(op: Emitter, bars: Bars) -> None:
        given = [bars.pop(o, None) if isinstance(o, Value) else None for o in floats]
        if all(g is None for g in given):
            return
        tangents = [op("identity", op.zeros_like(op.handle(a))).atom for a in inputs]
        inside = {**env, **dict(zip(rule.params, [*args, *tangents], strict=True))}
        swept = sweep(op, rule, inside, {t for t in tangents if isinstance(t, Value)})
        inner: Bars = {}
        for result, out, cotangent in zip(swept.results[len(outs) :], floats, given, strict=True):
            if isinstance(result, Value):
                check_sizes(op, result, out, f"the tangent that the rule of {eqn.attrs['name']} returns")
            accumulate(op, inner, result, cotangent)
        backward(op, swept.steps, inner)
        for arg, tangent in zip(inputs, tangents, strict=True):
            if varies(arg, varied) and isinstance(tangent, Value):
                accumulate(op, bars, arg, inner.get(tangent))

    return Step(eqn, back)

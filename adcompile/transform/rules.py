"""Applies the derivative record of one equation: the only reader of ``partials``, ``linear``, ``jvp`` and ``vjp``."""

from __future__ import annotations

from collections.abc import Sequence

from adcompile.errors import MissingRule
from adcompile.ir import Atom, Const, Eqn, Scalar, is_float
from adcompile.primitives import PRIMITIVES, Emitter, Handle
from adcompile.primitives.registry import Primitive

Tangents = Sequence[Handle | None]


def tangents_of(op: Emitter, eqn: Eqn, args: Sequence[Handle], outs: Sequence[Handle], tangents: Tangents) -> Tangents:
    """The tangents of an equation's results from those of its arguments; None stands for zero."""
    primitive = PRIMITIVES[eqn.op]
    if not primitive.differentiable or not any(is_float(o.type) for o in eqn.outs):
        return (None,) * len(outs)
    if primitive.jvp is not None:
        results = primitive.jvp(op, tangents, outs, args, eqn.attrs)
    elif primitive.linear:
        results = (_linear_tangent(op, primitive, eqn, args, tangents),)
    elif primitive.partials is not None:
        results = (_partial_tangent(op, primitive, args, outs[0], tangents),)
    else:
        raise MissingRule(f"{eqn.op} has no forward rule", eqn.loc, "Give one with adcompile.custom_jvp.")
    return tuple(None if t is None else fit(op, t, o) for t, o in zip(results, outs, strict=True))


def _linear_tangent(op: Emitter, primitive: Primitive, eqn: Eqn, args: Sequence[Handle], tangents: Tangents):
    total = None
    for position in primitive.linear:
        if tangents[position] is not None:
            moved = [tangents[position] if i == position else a for i, a in enumerate(args)]
            total = op.add_up(total, op(eqn.op, *moved, **eqn.attrs))
    return total


def _partial_tangent(op: Emitter, primitive: Primitive, args: Sequence[Handle], ans: Handle, tangents: Tangents):
    total = None
    for partial, tangent in zip(primitive.partials or (), tangents, strict=True):
        if tangent is not None and partial is not None:
            total = add_term(op, total, partial(op, ans, *args), tangent)
    return total


def add_term(op: Emitter, total: Handle | None, partial: Handle | float | None, factor: Handle) -> Handle | None:
    """``total + partial * factor``, with a partial of one or minus one left out."""
    if partial is None:
        return total
    if isinstance(partial, float) and partial == 1.0:
        return op.add_up(total, factor)
    if isinstance(partial, float) and partial == -1.0:
        return -factor if total is None else total - factor
    negative, product = _product(op, partial, factor)
    if negative:
        return -product if total is None else total - product
    return op.add_up(total, product)


def _product(op: Emitter, partial: Handle | float, factor: Handle) -> tuple[bool, Handle]:
    """Whether ``partial * factor`` is negated, and its absolute part: a quotient where the partial is a reciprocal.

    ``p / q * factor`` is ``p * (factor / q)`` where that quotient is at hand: divisions are dear.

    A factor that ``np.where`` made zero stays zero whatever the partial is there: the selection moves behind the
    product, so that a branch that was not taken cannot give nan (0 * inf).
    """
    masked = op.builder.definition(factor.atom)
    if masked is not None and masked.op == "neg":
        negative, product = _product(op, partial, op.handle(masked.args[0]))
        return not negative, product
    if masked is not None and masked.op == "where" and any(map(_is_zero, masked.args[1:])):
        condition, *ways = masked.args
        products = [a if _is_zero(a) else _product(op, partial, op.handle(a)) for a in ways]
        negative = any(isinstance(p, tuple) and p[0] for p in products)
        return negative, op.where(condition, *(p[1] if isinstance(p, tuple) else p for p in products))
    eqn = op.builder.definition(op.atom(partial))
    if eqn is not None and eqn.op == "neg":
        negative, product = _product(op, op.handle(eqn.args[0]), factor)
        return not negative, product
    if eqn is not None and eqn.op == "div" and isinstance(eqn.args[0], Const) and eqn.args[0].value == 1.0:
        return False, factor / op.handle(eqn.args[1])
    if eqn is not None and eqn.op == "div":
        shared = op.builder.lookup(("div", (factor.atom, eqn.args[1]), (eqn.outs[0].type,), ()))
        if shared is not None:
            return False, op.handle(eqn.args[0]) * op.handle(shared[0])
    return False, partial * factor


def _is_zero(atom: Atom) -> bool:
    return isinstance(atom, Const) and atom.value == 0.0


def cotangents_of(
    op: Emitter,
    eqn: Eqn,
    args: Sequence[Handle],
    outs: Sequence[Handle],
    cotangents: Tangents,
    wanted: Sequence[bool],
) -> Tangents:
    """What an equation adds to the cotangents of its arguments; None stands for zero."""
    primitive = PRIMITIVES[eqn.op]
    if not primitive.differentiable:
        return (None,) * len(args)
    if primitive.vjp is not None:
        results = tuple(primitive.vjp(op, cotangents, outs, args, eqn.attrs, wanted))
        results += (None,) * (len(args) - len(results))
    elif primitive.partials is not None:
        cotangent = cotangents[0]
        assert cotangent is not None
        results = tuple(
            add_term(op, None, partial(op, outs[0], *args), cotangent) if want and partial is not None else None
            for partial, want in zip(primitive.partials, wanted, strict=True)
        )
    else:
        raise MissingRule(f"{eqn.op} has no reverse rule", eqn.loc, "Give one with adcompile.custom_vjp.")
    return tuple(
        None if ct is None or not want else op.match(ct, arg.type, arg)
        for ct, arg, want in zip(results, args, wanted, strict=True)
    )


def fit(op: Emitter, tangent: Handle, primal: Handle) -> Handle:
    """A tangent in the dtype and shape of its primal."""
    if tangent.type.dtype != primal.type.dtype:
        tangent = op.cast(tangent, dtype=primal.type.dtype)
    if isinstance(primal.type, Scalar) or (tangent.type.rank == primal.type.rank and not _stretches(tangent, primal)):
        return tangent
    return op.broadcast(tangent, op.shape(primal), primal.type.dims)


def _stretches(tangent: Handle, primal: Handle) -> bool:
    return any(t == 1 != p for t, p in zip(tangent.type.dims, primal.type.dims, strict=True))

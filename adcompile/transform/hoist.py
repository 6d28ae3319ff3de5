"""Sizes inside a region, expressed by what is known outside it."""

from __future__ import annotations

from collections.abc import Container

from adcompile.ir import Atom, Const
from adcompile.ir.builder import Builder
from adcompile.primitives import PRIMITIVES, Emitter


def hoisted(outer: Emitter, inner: Builder, params: Container[Atom], atom: Atom) -> Atom | None:
    """A size of a region (its ``params``, and what ``inner`` defines) as one outside it; None where there is none."""
    if isinstance(atom, Const) or (atom not in inner.definitions and atom not in params):
        return atom
    eqn = inner.definitions.get(atom)
    if eqn is None or eqn.regions:
        return None
    if eqn.op == "dim" and eqn.args[0] not in inner.definitions and eqn.args[0] not in params:
        return outer.atom(outer.size(eqn.args[0], eqn.attrs["axis"]))
    args = [hoisted(outer, inner, params, a) for a in eqn.args]
    if not PRIMITIVES[eqn.op].elementwise or any(a is None for a in args):
        return None
    return outer(eqn.op, *args, **eqn.attrs).atom

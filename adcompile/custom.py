"""Derivative rules of the user's own, with JAX's interface: `custom_vjp` and `custom_jvp`.

A ruled function called while tracing becomes one equation that holds its own block and the blocks of its rule; the
transforms choose (`adcompile.transform.forward`, `reverse`), and `simplify` inlines what is left. Needs pure functions
of their arguments; guarantees that nothing else is differentiated with respect to: what a ruled function reads from the
traced program around it must be passed in. Bradbury et al., JAX (2018), "Custom derivative rules for Python functions".
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from adcompile.errors import InvalidArgument, MissingRule, UnsupportedAlias
from adcompile.frontend.calls import call
from adcompile.frontend.dependencies import Access
from adcompile.frontend.trace import Inner, Known, trace_inner
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import Reference
from adcompile.ir import Atom, Block, Const, Type, Value, is_float
from adcompile.ir.core import substitute
from adcompile.ir.types import join
from adcompile.tree import LEAF, Structure, flatten, unflatten

NESTING = 3
"""How often a rule that calls its own function is traced inside itself: the highest order of derivatives it serves."""


class _Ruled:
    """What both decorators share: a function that runs as it is, and traces as one equation."""

    kind: str

    def __init__(self, function: Callable[..., Any]):
        if not callable(function):
            raise InvalidArgument(f"{function!r} is not a function")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.rules: tuple[Callable[..., Any], ...] = ()

    def __repr__(self) -> str:
        return f"<adcompile.{self.kind} of {self.label}>"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the Python function."""
        return self.function(*args, **keywords)

    def __adcompile_state__(self) -> tuple[Any, ...]:
        return self.function, self.rules

    @property
    def label(self) -> str:
        """The function's name, for messages."""
        return getattr(self.function, "__name__", "f")

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit the equation into a trace in progress."""
        t.depend(self.rules, Access("attribute", self, "rules"), f"{self.label}:rules")
        if not self.rules:
            raise MissingRule(f"{self.label} has no rule yet", t.loc, f"Call {self.label}.{_DEFINE[self.kind]} first.")
        call = _Call(t, self.label, self._positional(t, args, keywords))
        primal = call.trace(self.function, call.args)
        regions, attrs = [call.block(primal, primal.trace.results)], {"name": self.label}
        if self._nesting(t) < NESTING:
            blocks, more = self._rule_blocks(call, primal)
            regions, attrs = regions + blocks, attrs | more
        types = [r.type for r in primal.trace.results]
        names = [r.name if isinstance(r, Value) else "" for r in primal.trace.results]
        outs = t.op.builder.emit(self.kind, primal.arguments, types, attrs, regions, names=names)
        return primal.results.rebuild([t.wrap(t.op.handle(o)) for o in outs])

    def _rule_blocks(self, call: _Call, primal: Inner) -> tuple[list[Block], dict[str, Any]]:
        """The blocks of the rule, and what the equation must say about them."""
        raise NotImplementedError

    def _positional(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = inspect.signature(self.function).bind(*args, **keywords)
        except TypeError as error:
            raise InvalidArgument(f"{self.label}() {error}", t.loc) from None
        bound.apply_defaults()
        if bound.kwargs:
            raise InvalidArgument(
                f"{self.label} has keyword-only arguments, which a rule cannot take", t.loc, "Make them positional."
            )
        return bound.args

    def _nesting(self, t: Tracer) -> int:
        """How many calls of this function's rule are being traced around this one."""
        running = [frame.scope.function for frame in t.frames if frame.scope is not None]
        return sum(function in self.rules for function in running)


_DEFINE = {"custom_vjp": "defvjp(fwd, bwd)", "custom_jvp": "defjvp(rule)"}


class custom_vjp(_Ruled):
    """A function with a reverse rule of its own, as `jax.custom_vjp`.

    Parameters
    ----------
    function : callable
        A function of positional arguments. What it reads from around it must not be differentiated.

    See Also
    --------
    custom_jvp : a rule that serves forward and reverse mode.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> @adcompile.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda residuals, x_bar: (np.minimum(x_bar, 1.0),))
    >>> float(adcompile.grad(lambda x: 5.0 * clip_gradient(x))(2.0))
    1.0
    """

    kind = "custom_vjp"

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args) → (out, residuals)``; ``out`` as the function itself returns it, ``residuals`` any container.
            Where it calls the function itself, ``out`` has the rule's derivatives in higher orders too, `NESTING` at
            most; forward over reverse (`adcompile.hvp`) then needs `custom_jvp`.
        bwd : callable
            ``bwd(residuals, out_bar) → tuple``: the cotangent of each argument in the argument's structure; None stands
            for zero. In ``out_bar`` ints are None.
        """
        self.rules = (fwd, bwd)

    def check(self, *args: Any, **options: Any) -> None:
        """Compare the rule with central differences of the function at ``args``; see `adcompile.check_grads`."""
        from adcompile.testing import check_grads

        check_grads(self, args, order=1, modes=("rev",), **options)

    def _rule_blocks(self, call: _Call, primal: Inner) -> tuple[list[Block], dict[str, Any]]:
        fwd, bwd = self.rules
        forward = call.trace(fwd, call.args)
        outs, structure, residuals = call.halves(forward, primal, "the forward function of")
        kept = [leaf for leaf in residuals if _is_dynamic(leaf)]
        inside = [call.stand_in(leaf.type) if _is_dynamic(leaf) else _plain(leaf) for leaf in residuals]
        seeds = [call.stand_in(type) if _is_float(type) else None for type in call.out_types(primal)]
        backward = call.trace(bwd, (unflatten(structure, inside), unflatten(primal.results.structure, seeds)))
        found = call.cotangents(backward, primal)
        blocks = [call.block(forward, [*outs, *kept]), call.block(backward, list(found.values()))]
        return blocks, {"cotangents": tuple(found)}


class custom_jvp(_Ruled):
    """A function with a tangent rule of its own, as `jax.custom_jvp`; reverse mode transposes the rule.

    Parameters
    ----------
    function : callable
        A function of positional arguments. What it reads from around it must not be differentiated.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> @adcompile.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (x_dot,) = primals, tangents
    ...     return log1pexp(x), (1.0 - 1.0 / (1.0 + np.exp(x))) * x_dot
    >>> float(adcompile.grad(log1pexp)(100.0))
    1.0
    """

    kind = "custom_jvp"

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Give the rule ``rule(primals, tangents) → (out, out_dot)``; returns it, so that it works as a decorator.

        ``primals`` and ``tangents`` are tuples with one entry per argument; in ``tangents`` ints are None. ``out_dot``
        must be linear in the tangents; None stands for zero.
        """
        self.rules = (rule,)
        return rule

    def check(self, *args: Any, **options: Any) -> None:
        """Compare the rule with central differences of the function at ``args``; see `adcompile.check_grads`."""
        from adcompile.testing import check_grads

        check_grads(self, args, order=1, modes=("fwd", "rev"), **options)

    def _rule_blocks(self, call: _Call, primal: Inner) -> tuple[list[Block], dict[str, Any]]:
        leaves = [call.stand_in(leaf) if _is_float(leaf) else None for leaf in primal.signature.leaves]
        tangents = unflatten(primal.signature.structure.children[0], leaves)
        traced = call.trace(self.rules[0], (call.args, tangents))
        outs, structure, dots = call.halves(traced, primal, "the rule of")
        types = call.out_types(primal)
        if structure == LEAF and dots == [None]:
            dots = [None] * len(types)
        elif structure != primal.results.structure:
            call.refuse("the rule of", "returns a tangent that has not the structure of the result")
        wanted = [call.tangent(dot, type) for dot, type in zip(dots, types, strict=True) if _is_float(type)]
        return [call.block(traced, [*outs, *wanted])], {}


def _is_float(leaf: Any) -> bool:
    """Whether a signature's leaf carries derivatives."""
    return not isinstance(leaf, Known) and is_float(leaf)


def _is_dynamic(leaf: Any) -> bool:
    """Whether a residual must be handed over at run time; axes, flags and sizes known while tracing stay known."""
    return isinstance(leaf, Value) or (isinstance(leaf, Const) and is_float(leaf.type))


def _plain(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Const) else leaf


class _Pure:
    """A function that may not write into its arguments: the equation would not hand that on."""

    def __init__(self, function: Callable[..., Any], label: str):
        self.function, self.label = function, label
        self.__name__ = label

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Trace the function in place, then look at what it did to its arguments."""
        value = call(t, self.function, args, keywords)
        if any(isinstance(leaf, Reference) and leaf.written for leaf in flatten(args)[0]):
            raise UnsupportedAlias(
                f"{self.label} or its rule writes into an argument", t.loc, "Copy the array first (a.copy())."
            )
        return value


class _Call:
    """One call of a ruled function while tracing: traces its parts and checks that they fit together."""

    def __init__(self, t: Tracer, label: str, args: tuple[Any, ...]):
        self.t, self.label, self.args, self.loc = t, label, args, t.loc

    def trace(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Inner:
        """Trace one of the functions; refuse what it captures from the program around the call."""
        inner = trace_inner(self.t, _Pure(function, self.label), args, {})
        outside = {capture.value for capture in self.t.captures.values()}
        for value in inner.captured:
            if is_float(value.type) and value not in outside:
                raise MissingRule(
                    f"{self.label} reads {value.name or 'a value'} from the function around it, to which its rule"
                    " gives no derivative", self.loc, "Pass it as an argument.",
                )  # fmt: skip
        return inner

    def stand_in(self, type: Type) -> Any:
        """A value of a type that only the block to be traced will know."""
        return self.t.wrap(self.t.op.handle(Value(type)))

    def block(self, inner: Inner, results: Sequence[Atom]) -> Block:
        """The block of a traced function with some results; what the function captured is free in it."""
        block, count = inner.trace.block, len(inner.captured)
        captured = dict(zip(block.params[:count], inner.captured, strict=True))
        return substitute(Block(block.params[count:], block.eqns, tuple(results)), captured)

    def refuse(self, whose: str, fact: str) -> NoReturn:
        """Raise a located error about one of the functions."""
        raise InvalidArgument(f"{whose} {self.label} {fact}", self.loc)

    def leaves(self, inner: Inner) -> list[Any]:
        """The result leaves of a traced function: atoms, and known leaves as they are."""
        rest = iter(inner.trace.results)
        known = inner.results.known
        return [known[k] if k in known else next(rest) for k in range(inner.results.structure.count)]

    def out_types(self, primal: Inner) -> list[Any]:
        """The types of the result leaves, and the known ones."""
        return [leaf.type if isinstance(leaf, Value | Const) else Known(leaf) for leaf in self.leaves(primal)]

    def halves(self, inner: Inner, primal: Inner, whose: str) -> tuple[list[Atom], Structure, list[Any]]:
        """The parts of a rule's result: the atoms of the first, checked, and the structure and leaves of the second."""
        structure = inner.results.structure
        if structure.kind is not tuple or len(structure.children) != 2:
            self.refuse(whose, "must return a tuple of two")
        leaves, first = self.leaves(inner), structure.children[0]
        outs, expected = leaves[: first.count], self.leaves(primal)
        if first != primal.results.structure:
            self.refuse(whose, f"returns another structure than {self.label} itself")
        for out, own in zip(outs, expected, strict=True):
            if isinstance(own, Value | Const) and (not isinstance(out, Value | Const) or not join(out.type, own.type)):
                self.refuse(whose, f"returns {getattr(out, 'type', out)} where {self.label} itself returns {own.type}")
        atoms = [out for out in outs if isinstance(out, Value | Const)]
        return atoms, structure.children[1], leaves[first.count :]

    def tangent(self, dot: Any, type: Type) -> Atom:
        """The tangent of a float result; a constant zero where the rule gives None."""
        if dot is None or (isinstance(dot, Const) and dot.value == 0):
            return Const(0.0, type)
        if not isinstance(dot, Value):
            self.refuse("the rule of", f"returns the tangent {_plain(dot)}, which is not linear in the tangents")
        if dot.type.dtype != type.dtype or dot.type.rank != type.rank:
            self.refuse("the rule of", f"returns a tangent {dot.type} of a result {type}")
        return dot

    def cotangents(self, backward: Inner, primal: Inner) -> dict[int, Atom]:
        """The cotangents the backward function returns, by position among the arguments of the equation."""
        structure, places = backward.results.structure, primal.signature.structure.children[0].children
        if structure.kind not in (tuple, list) or len(structure.children) != len(places):
            self.refuse("the backward function of", f"must return a tuple of {len(places)}, one per argument")
        given: list[Any] = []
        rest = iter(self.leaves(backward))
        for child, place in zip(structure.children, places, strict=True):
            leaves = [next(rest) for _ in range(child.count)]
            if child == LEAF and leaves == [None]:
                leaves = [None] * place.count
            elif child != place:
                self.refuse("the backward function of", "returns a cotangent that has not the argument's structure")
            given += leaves
        dynamic = [
            (leaf, bar) for leaf, bar in zip(primal.signature.leaves, given, strict=True) if not isinstance(leaf, Known)
        ]
        wanted = {k: (leaf, bar) for k, (leaf, bar) in enumerate(dynamic) if is_float(leaf) and bar is not None}
        return {k: self._cotangent(bar, leaf) for k, (leaf, bar) in wanted.items()}

    def _cotangent(self, bar: Any, type: Type) -> Atom:
        if not isinstance(bar, Value | Const) or not is_float(bar.type) or bar.type.rank != type.rank:
            self.refuse("the backward function of", f"returns {getattr(bar, 'type', bar)} as cotangent of {type}")
        return bar


__all__ = ["custom_jvp", "custom_vjp"]

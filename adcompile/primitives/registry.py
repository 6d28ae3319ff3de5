"""The record of a primitive: everything adcompile knows about one operation, in one place.

A scalar (elementwise) primitive gives ``partials``: ordinary lambdas over an algebra ``op``, so that the same text
emits IR, is proved by SymPy against the derivative of ``primal``, and runs on floats. Tangent and adjoint follow.
An array primitive is ``linear`` in some arguments and / or gives ``jvp`` and ``vjp`` over the same algebra.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.errors import MissingRule
from adcompile.ir import Type

Rule = Callable[..., Any]


@dataclass(frozen=True)
class Primitive:
    """One operation.

    Attributes
    ----------
    name : the op of its equations.
    infer : (arg types, attrs) → tuple of result types.
    python : how NumPy spells it: a format string over ``{0} {1} …`` and attribute names, or (texts, eqn) → text.
    scalar_python : how Python itself spells it on weak scalars, where that differs (``math.sin``).
    infix : (symbol, precedence) where it is an operator.
    shape : (op, args, attrs) → sizes of the result as ints or handles; None where only the result itself knows.
    primal, partials, domain : see the module; ``domain`` holds one (low, high) interval per argument.
    linear : positions of arguments the result is linear in, one at a time.
    jvp : (op, tangents, outs, args, attrs) → tuple of out tangents; None stands for zero.
    vjp : (op, cotangents, outs, args, attrs, wanted) → tuple of argument cotangents; None stands for zero.
    batch : (op, args, mapped, attrs) → the result for a batch, see `adcompile.primitives.batching`.
    pure : False where equal equations must not be shared (fresh buffers) or dropped (checks).
    effect : True where the equation must stay although nothing reads it.
    """

    name: str
    infer: Callable[[tuple[Type, ...], Mapping[str, Any]], tuple[Type, ...]]
    python: str | Callable[..., str] = ""
    scalar_python: str = ""
    infix: tuple[str, int] | None = None
    shape: Rule | None = None
    primal: Rule | None = None
    partials: tuple[Rule | None, ...] | None = None
    domain: tuple[tuple[float, float], ...] = ()
    ufunc: np.ufunc | None = None
    linear: tuple[int, ...] = ()
    jvp: Rule | None = None
    vjp: Rule | None = None
    batch: Rule | None = None
    differentiable: bool = True
    pure: bool = True
    effect: bool = False
    doc: str = ""

    @property
    def elementwise(self) -> bool:
        """Whether it maps scalars to a scalar and broadcasts over arrays."""
        return self.primal is not None


PRIMITIVES: dict[str, Primitive] = {}
EXPANSIONS: dict[Any, Rule] = {}
"""Python callable → function (op, *args, **kwargs) that emits equations; handles and static values in, the same out."""


def define(primitive: Primitive, callables: tuple = ()) -> Primitive:
    """Register a primitive, and the Python callables that mean exactly it."""
    if primitive.name in PRIMITIVES:
        raise ValueError(f"primitive {primitive.name!r} is defined twice")
    PRIMITIVES[primitive.name] = primitive
    for function in callables:
        bind(function, primitive.name)
    return primitive


def bind(function: Any, name: str) -> None:
    """Let calls of ``function`` with positional arguments emit the primitive ``name``."""
    if isinstance(function, np.ufunc):
        EXPANSIONS[function] = functools.partial(_call_ufunc, name)
    else:
        EXPANSIONS[function] = lambda op, *args: op(name, *args)


def _call_ufunc(name: str, op: Any, *args: Any, **options: Any) -> Any:
    """Emit a primitive as NumPy's ufunc computes it; sequences become arrays, results NumPy's scalars."""
    count = len(PRIMITIVES[name].domain)
    unknown = [f"{key}=" for key in options] + ["out="] * (len(args) > count)
    if unknown:
        raise MissingRule(f"np.{name} with {unknown[0]} is not supported", remedy="Assign the result to a name.")
    return op.strong(name, *map(op.lift, args))


def expansion(*functions: Any) -> Callable[[Rule], Rule]:
    """Register how calls of some Python callables expand into primitives: ``f(op, *args, **kwargs)``."""

    def register(rule: Rule) -> Rule:
        for function in functions:
            EXPANSIONS[function] = rule
        return rule

    return register


LAZY: dict[str, Rule] = {}
"""``"module:name"`` → expansion, for callables of modules that are looked at only once somebody else imported them."""


def lazy_expansion(*names: str) -> Callable[[Rule], Rule]:
    """Register an expansion for callables given as ``"scipy.special:erf"``."""

    def register(rule: Rule) -> Rule:
        LAZY.update(dict.fromkeys(names, rule))
        return rule

    return register


def find(function: Any) -> Rule | None:
    """The expansion of a Python callable; None where there is none (unhashable callables included)."""
    if function is None:
        return None
    try:
        rule = EXPANSIONS.get(function)
    except TypeError:
        return None
    return rule or _find_lazy(function)


def _find_lazy(function: Any) -> Rule | None:
    for dotted, rule in LAZY.items():
        module, name = dotted.split(":")
        if getattr(sys.modules.get(module), name, None) is function:
            return rule
    return None


@functools.cache
def own_tables() -> tuple[dict[Any, Any], ...]:
    """The tables as adcompile fills them: first called at the end of its import."""
    return dict(PRIMITIVES), dict(EXPANSIONS), dict(LAZY)


def is_extended() -> bool:
    """Whether somebody else has registered something since."""
    return own_tables() != (PRIMITIVES, EXPANSIONS, LAZY)

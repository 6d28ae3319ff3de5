"""Entry: a Python function and the types of its arguments → a closed `Trace` with everything a caller must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument
from adcompile.frontend.calls import call
from adcompile.frontend.dependencies import Dependency, Same
from adcompile.frontend.tracer import Capture, Tracer, is_on_device, type_of
from adcompile.frontend.values import ListValue, Reference, is_dynamic
from adcompile.ir import Array, Atom, Const, Trace, Type, Value, free_values, is_float
from adcompile.ir.core import Block, substitute
from adcompile.primitives import Handle
from adcompile.source import SourceLoc
from adcompile.transform.simplify import emit_again
from adcompile.tree import LEAF, Structure, assemble, children_of, flatten, names, unflatten


@dataclass(frozen=True)
class Known:
    """An argument leaf or result that is known while tracing, compared by value."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> Any:
        """What two equal ones share."""
        plain = self.value is None or isinstance(self.value, bool | str)
        return (type(self.value), self.value) if plain else Same(self.value)


@dataclass(frozen=True)
class Signature:
    """What a compilation is specialised to: the structure of the arguments and, per leaf, its type or known value."""

    structure: Structure
    leaves: tuple[Any, ...]

    @property
    def is_flat(self) -> bool:
        """Whether every argument is a number or an array, given by position."""
        positional, keywords = self.structure.children
        flat = all(child is LEAF for child in positional.children) and not keywords.children
        return flat and len(self.dynamic) == len(self.leaves)

    @property
    def dynamic(self) -> list[int]:
        """The leaves that are parameters of the trace."""
        return [k for k, leaf in enumerate(self.leaves) if not isinstance(leaf, Known)]


def signature_of(args: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[Signature, list[Any]]:
    """The signature of a call, and its leaves."""
    leaves, structure = flatten((tuple(args), dict(sorted(keywords.items()))))
    return Signature(structure, tuple(map(_leaf_type, leaves))), leaves


def _leaf_type(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray | np.generic) or is_on_device(leaf):
        return type_of(leaf)
    if isinstance(leaf, int | float) and not isinstance(leaf, bool):
        return type_of(leaf)
    return Known(leaf)


@dataclass(frozen=True)
class Results:
    """The structure of what the function returned; ``known`` holds leaves that are no result of the trace."""

    structure: Structure
    known: Mapping[int, Any]

    def rebuild(self, values: Sequence[Any]) -> Any:
        """The returned object from the trace's results."""
        if not self.known and self.structure is LEAF:
            return values[0]
        rest = iter(values)
        leaves = [self.known[k] if k in self.known else next(rest) for k in range(self.structure.count)]
        return unflatten(self.structure, leaves)


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced function.

    Attributes
    ----------
    trace : params are the captured arrays, then the dynamic argument leaves; results are the dynamic result leaves.
    captures : the captured arrays, in the order of the first params.
    dependencies, arrays : values from outside that were compiled in, and the captured arrays; see `Surroundings`.
    written : positions of params (captures counted) whose array the function writes into.
    """

    trace: Trace
    results: Results
    signature: Signature
    captures: tuple[Capture, ...]
    dependencies: tuple[Dependency, ...]
    arrays: tuple[tuple[Any, Callable[[], Any], str], ...]
    written: tuple[int, ...]
    held: tuple[Any, ...]


def trace(function: Callable[..., Any], signature: Signature, argument_names: Sequence[str]) -> Traced:
    """Trace ``function`` for arguments of a signature."""
    t = Tracer()
    labels = [
        name
        for prefix, child in zip(
            argument_names,
            (*signature.structure.children[0].children, *signature.structure.children[1].children),
            strict=True,
        )
        for name in names(child, prefix)
    ]
    params = {k: Value(signature.leaves[k], labels[k]) for k in signature.dynamic}
    leaves = [_argument(t, params[k]) if k in params else leaf.value for k, leaf in enumerate(signature.leaves)]
    args, keywords = unflatten(signature.structure, leaves)
    value = call(t, function, args, keywords)
    if value is None:
        value = _written_arguments([leaves[k] for k in params])
    results, atoms = collect(t, value)
    captures = tuple(t.captures.values())
    block = t.root.builder.block([*(c.value for c in captures), *params.values()], atoms)
    references = [*(t.captured[k] for k in t.captures), *(leaves[k] for k in params)]
    written = tuple(k for k, r in enumerate(references) if isinstance(r, Reference) and r.written)
    name = getattr(function, "__name__", "function")
    return Traced(
        Trace("f" if name == "<lambda>" else name, block),
        results,
        signature,
        captures,
        tuple(t.outside.dependencies.values()),
        tuple(t.outside.arrays.values()),
        written,
        tuple(t.held),
    )


def _written_arguments(arguments: Sequence[Any]) -> Any:
    """What a function that returns nothing leaves in its arguments: that is its result."""
    written = [a for a in arguments if isinstance(a, Reference) and a.written]
    return None if not written else written[0] if len(written) == 1 else tuple(written)


def _argument(t: Tracer, param: Value) -> Any:
    handle = t.root.handle(param)
    return Reference(handle, 0) if isinstance(param.type, Array) else handle


def collect(t: Tracer, value: Any) -> tuple[Results, list[Atom]]:
    """Flatten a traced value into results of a trace and leaves that are known already."""
    leaves, structure = flatten(_plain(value))
    atoms: list[Atom] = []
    known: dict[int, Any] = {}
    for k, leaf in enumerate(leaves):
        leaf = t.read(leaf)
        if is_dynamic(leaf) or (isinstance(leaf, int | float | np.generic) and not isinstance(leaf, bool)):
            atoms.append(t.op.atom(leaf))
        else:
            known[k] = leaf
    return Results(structure, known), atoms


def _plain(value: Any) -> Any:
    """The value with Python's own lists for those of the tracer."""
    parts = children_of(value)
    if parts is None:
        return value
    kind = list if isinstance(value, ListValue) else type(value)
    return assemble(kind, parts[0], [_plain(child) for child in parts[1]])


# -- programs inside programs -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Inner:
    """A function traced inside another: a closed trace whose first params are what it captured from around it."""

    trace: Trace
    captured: tuple[Value, ...]
    arguments: tuple[Atom, ...]
    results: Results
    signature: Signature
    loc: SourceLoc | None


def trace_inner(
    t: Tracer,
    function: Any,
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    inside: Callable[[int, Type], Type] = lambda k, type: type,
) -> Inner:
    """Trace ``function`` on values of the program around it, as a trace of its own.

    ``inside`` gives the type of a leaf's parameter, where that is another than the argument's.
    """
    leaves, structure = flatten((tuple(args), dict(sorted(keywords.items()))))
    leaves = [t.read(leaf) for leaf in leaves]
    dynamic = [k for k, leaf in enumerate(leaves) if is_dynamic(leaf) or isinstance(leaf, float)]
    atoms = [t.op.atom(leaves[k]) for k in dynamic]
    params = [
        Value(inside(k, a.type), a.name if isinstance(a, Value) else "") for k, a in zip(dynamic, atoms, strict=True)
    ]
    loc = t.loc
    with t.region() as region:
        given = list(leaves)
        for k, param in zip(dynamic, params, strict=True):
            given[k] = t.wrap(t.op.handle(param))
        inner_args, inner_keywords = unflatten(structure, given)
        value = call(t, function, inner_args, inner_keywords)
        results, outs = collect(t, value)
        block = region.op.builder.block(params, outs)
        if region.writes:
            raise InvalidArgument(
                "a differentiated function writes into an array around it", loc, "Return the array instead."
            )
    captured = tuple(free_values(block))
    closed = Trace(getattr(function, "__name__", "f").strip("<>"), _close(block, captured))
    types = tuple(leaf_type(leaf) for leaf in leaves)
    return Inner(closed, captured, tuple(atoms), results, Signature(structure, types), loc)


def leaf_type(leaf: Any) -> Any:
    """The type of a dynamic leaf, else the known leaf."""
    if isinstance(leaf, Handle):
        return leaf.type
    return type_of(leaf) if isinstance(leaf, float) else Known(leaf)


def _close(block: Any, captured: Sequence[Value]) -> Any:
    fresh = [Value(v.type, v.name) for v in captured]
    inner = substitute(block, dict(zip(captured, fresh, strict=True)))
    return Block((*fresh, *inner.params), inner.eqns, inner.results)


def splice(t: Tracer, program: Trace, atoms: Sequence[Atom]) -> list[Any]:
    """Emit a closed trace into the current region, sharing what is there already; its results as traced values."""
    builder = t.op.builder
    before = builder.loc, builder.note
    results = emit_again(builder, program, atoms)
    builder.loc, builder.note = before
    return [t.wrap(t.op.handle(r)) for r in results]


__all__ = [
    "Const",
    "Inner",
    "Known",
    "Results",
    "Signature",
    "Traced",
    "is_float",
    "signature_of",
    "splice",
    "trace",
    "trace_inner",
]

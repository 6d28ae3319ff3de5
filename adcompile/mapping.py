"""`vmap`: a function that traces itself as a batch of calls of another.

The inner function is traced on one element of each mapped argument; `adcompile.transform.batch` makes the program of
all calls of it, which takes the place of the call. So every other transform sees an ordinary function.
Bradbury et al., JAX (2018), "vmap".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from adcompile.errors import AdcompileError, InvalidArgument
from adcompile.frontend.calls import call
from adcompile.frontend.trace import Inner, Known, splice, trace_inner
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import Closure, Method, Reference
from adcompile.ir import Array, Type
from adcompile.ir.types import shaped
from adcompile.source import SourceLoc
from adcompile.transform.batch import batch_trace
from adcompile.tree import Structure, children_of, flatten

AxesTree = Any
"""An int, None, or a container of them that is a prefix of the structure it belongs to."""


class Mapped:
    """A function over a batch; see `adcompile.vmap`."""

    def __init__(self, function: Any, in_axes: AxesTree, out_axes: AxesTree):
        if not callable(function) and not isinstance(function, Closure | Method):
            raise InvalidArgument(f"{function!r} is not a function")
        if not isinstance(function, Closure | Method):
            functools.update_wrapper(self, function, updated=())
        self.function, self.in_axes, self.out_axes = function, in_axes, out_axes

    def __adcompile_state__(self) -> tuple[Any, ...]:
        return self.function, self.in_axes, self.out_axes

    @property
    def label(self) -> str:
        """The function's name, for messages."""
        return getattr(self.function, "__name__", "f")

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Only the tracer can run it."""
        raise TypeError(f"vmap of {self.label} is run by the transform that holds it")

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit the program of the batch into a trace in progress."""
        loc = t.loc or _place(self.function)
        try:
            return self._inline(t, args, keywords, loc)
        except AdcompileError as error:
            raise error.at(loc) from error.__cause__

    def _inline(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any], loc: SourceLoc | None) -> Any:
        leaves, structure = flatten((tuple(args), dict(sorted(keywords.items()))))
        positional, named = structure.children
        axes = [*leaf_axes(self.in_axes, positional, "in_axes"), *[0] * named.count]
        axes = [_checked(axis, t.read(leaf)) for axis, leaf in zip(axes, leaves, strict=True)]
        if all(axis is None for axis in axes):
            raise InvalidArgument(f"vmap of {self.label} maps no array", loc, "Give one argument an axis.")
        inner = trace_inner(t, _Unwritten(self), args, keywords, lambda k, type: _element(type, axes[k]))
        wanted = [axis for axis, leaf in zip(axes, inner.signature.leaves, strict=True) if not isinstance(leaf, Known)]
        count = len(inner.captured)
        types = [*(v.type for v in inner.captured), *(a.type for a in inner.arguments)]
        program = batch_trace(inner.trace, [*[None] * count, *wanted], types, self._out_axes(inner), loc)
        return inner.results.rebuild(splice(t, program, [*inner.captured, *inner.arguments]))

    def _out_axes(self, inner: Inner) -> list[int | None]:
        axes = leaf_axes(self.out_axes, inner.results.structure, "out_axes")
        return [axis for k, axis in enumerate(axes) if k not in inner.results.known]


class _Unwritten:
    """The mapped function, which may not write into its arguments: those are elements that nobody would see."""

    def __init__(self, mapped: Mapped):
        self.mapped = mapped
        self.__name__ = mapped.label

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        value = call(t, self.mapped.function, args, keywords)
        if any(isinstance(leaf, Reference) and leaf.written for leaf in flatten((args, keywords))[0]):
            raise InvalidArgument(
                f"{self.mapped.label} writes into its argument, which vmap would not show",
                t.loc,
                "Work on a copy (a.copy()) and return it.",
            )
        return value


def leaf_axes(axes: AxesTree, structure: Structure, what: str) -> list[int | None]:
    """The axis of every leaf of a structure of which ``axes`` is a prefix."""
    if axes is None or (isinstance(axes, int) and not isinstance(axes, bool)):
        return [axes] * structure.count
    given = children_of(axes)
    if given is None:
        raise InvalidArgument(f"{what} holds {axes!r}", remedy="Use ints, None, and containers of them.")
    keys, children = given
    if structure.kind is None or len(children) != len(structure.children):
        wanted = "a single value" if structure.kind is None else f"{len(structure.children)} values"
        raise InvalidArgument(
            f"{what} has {len(children)} entries for {wanted}", remedy="Give one entry for each, or one int for all."
        )
    by_key = dict(zip(keys, children, strict=True))
    same_keys = isinstance(axes, dict) and set(by_key) == set(structure.keys)
    ordered = [by_key[key] for key in structure.keys] if same_keys else children
    return [
        axis for child, part in zip(ordered, structure.children, strict=True) for axis in leaf_axes(child, part, what)
    ]


def _checked(axis: int | None, leaf: Any) -> int | None:
    """The axis of an argument leaf, counted from the front; None for what is no number."""
    type = getattr(leaf, "type", None)
    if axis is None or (type is None and not isinstance(leaf, int | float)) or isinstance(leaf, bool):
        return None
    rank = type.rank if type is not None else 0
    if not -rank <= axis < rank:
        raise InvalidArgument(
            f"vmap over axis {axis} of an argument with {rank} dimensions" if rank else "vmap over a number",
            remedy="Give it in_axes=None, or an axis that it has.",
        )
    return axis % rank


def _element(type: Type, axis: int | None) -> Type:
    """The type of one element of a mapped argument."""
    if axis is None:
        return type
    assert isinstance(type, Array)
    return shaped(type.dtype, (*type.dims[:axis], *type.dims[axis + 1 :]))


def _place(function: Any) -> SourceLoc | None:
    """Where a function is defined, for errors about a call of it that has no place in traced code."""
    while hasattr(function, "function"):
        function = function.function
    code: Any = getattr(getattr(function, "py_func", function), "__code__", None)
    return None if code is None else SourceLoc(code.co_filename, code.co_firstlineno, 0, 0, code.co_name)

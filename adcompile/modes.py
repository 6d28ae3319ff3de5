"""What each transform asks of a trace: a derivative program, and how its flat results become the user's.

One class per public transform, each with ``program(trace, results, positions) → Program``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from adcompile.errors import InvalidArgument, NotDifferentiable
from adcompile.ir import Scalar, Trace, is_float
from adcompile.transform.derivatives import gradient_trace, jacobian_trace, jvp_trace, vjp_trace
from adcompile.transform.simplify import simplify
from adcompile.tree import LEAF, Structure, unflatten


@dataclass(frozen=True)
class Rebuild:
    """Turns a program's flat results into what the user gets."""

    rebuild: Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Program:
    """A derivative program and the shape of its results."""

    trace: Trace
    results: Rebuild


class Mode(Protocol):
    """What `adcompile.api.Transform` needs of a transform."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The derivative program of a traced function."""
        ...


Argnums = int | str | Sequence[int | str]


def _each(argnums: Argnums) -> tuple[int | str, ...]:
    return (argnums,) if isinstance(argnums, int | str) else tuple(argnums)


@dataclass(frozen=True)
class Primal:
    """The function itself, compiled."""

    name: str = "jit"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The trace, simplified."""
        return Program(simplify(trace), Rebuild(results.rebuild))


@dataclass(frozen=True)
class Batched:
    """A batch of calls (`adcompile.mapping`), compiled."""

    in_axes: Any
    out_axes: Any
    name: str = "vmap"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The trace, simplified; it is the program of the batch already."""
        header = (f"batched program of {trace.name}", f"in_axes: {self.in_axes}, out_axes: {self.out_axes}")
        program = replace(simplify(trace), name=f"{trace.name}_vmap", header=header)
        return Program(program, Rebuild(results.rebuild))


@dataclass(frozen=True)
class Gradient:
    """Reverse mode of a scalar function: grad and value_and_grad."""

    argnums: Argnums = 0
    value: bool = False
    has_aux: bool = False
    name: str = "grad"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The adjoint program seeded with one."""
        _require_scalar(trace, results, self.has_aux)
        chosen = _each(self.argnums)
        groups = [positions.floats(a) for a in chosen]
        flat = [p for group in groups for p in group]
        program = gradient_trace(trace, flat, value=self.value or self.has_aux, aux=self.has_aux)
        count = len(trace.results) if self.has_aux else 1
        lead = count if self.value or self.has_aux else 0

        if not self.has_aux and all(positions.is_leaf(which) for which in chosen):
            return Program(program, Rebuild(_PLAIN[self.value, isinstance(self.argnums, int | str)]))

        def rebuild(values: Sequence[Any]) -> Any:
            parts, place = [], lead
            for which, group in zip(chosen, groups, strict=True):
                parts.append(positions.rebuild(which, values[place : place + len(group)]))
                place += len(group)
            gradient = parts[0] if isinstance(self.argnums, int | str) else tuple(parts)
            if not self.has_aux:
                return (values[0], gradient) if self.value else gradient
            value, aux = results.rebuild(values[:count])
            return ((value, aux), gradient) if self.value else (gradient, aux)

        return Program(program, Rebuild(rebuild))


_PLAIN: dict[tuple[bool, bool], Callable[[Sequence[Any]], Any]] = {
    (False, True): lambda values: values[0],
    (False, False): tuple,
    (True, True): lambda values: (values[0], values[1]),
    (True, False): lambda values: (values[0], tuple(values[1:])),
}
"""How gradients of arguments that are no containers are returned: by (with value, single argnum)."""


def _require_scalar(trace: Trace, results: Any, has_aux: bool) -> None:
    structure: Structure = results.structure
    if has_aux and (structure.kind is not tuple or len(structure.children) != 2 or structure.children[0] is not LEAF):
        raise InvalidArgument("with has_aux=True the function must return (value, aux)")
    single = structure is LEAF or structure == LEAF
    if not has_aux and not single:
        raise NotDifferentiable(
            f"grad needs one number, but {trace.name} returns a {structure.kind.__name__}",  # type: ignore[union-attr]
            None,
            "Return one number (with has_aux=True, a number and anything), or use vjp or jacrev.",
        )
    if not trace.results or 0 in results.known:
        raise NotDifferentiable(f"{trace.name} returns no number", None, "Return the number to differentiate.")
    type = trace.results[0].type
    if not isinstance(type, Scalar):
        raise NotDifferentiable(
            f"grad needs one number, but {trace.name} returns an array of type {type}", None,
            "Reduce it (np.sum, np.mean), or use vjp or jacrev.",
        )  # fmt: skip
    if not is_float(type):
        raise NotDifferentiable(f"{trace.name} returns {type}, which has no derivative", None, "Return a float.")


@dataclass(frozen=True)
class Tangent:
    """Forward mode: the program takes every argument and a tangent of each."""

    name: str = "jvp"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """Values and tangents; the tangents are given as the last half of the arguments."""
        varied = [p for group in positions.params for p in group if p is not None and is_float(trace.params[p].type)]
        program = jvp_trace(trace, varied)
        return Program(program, Rebuild(lambda values: _pair(trace, results, values)))


def _pair(trace: Trace, results: Any, values: Sequence[Any]) -> tuple[Any, Any]:
    """The value and its tangent, both in the structure of the result; integers have tangent None."""
    count = len(trace.results)
    rest = iter(values[count:])
    tangents = [next(rest) if is_float(r.type) else None for r in trace.results]
    return results.rebuild(values[:count]), results.rebuild(tangents)


@dataclass(frozen=True)
class Pullback:
    """Reverse mode of any function: the program takes the arguments and a cotangent of each float result."""

    name: str = "vjp"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """Values and cotangents of every float argument."""
        wanted = [p for group in positions.params for p in group if p is not None and is_float(trace.params[p].type)]
        program = vjp_trace(trace, wanted)
        count = len(trace.results)

        def rebuild(values: Sequence[Any]) -> Any:
            bars = dict(zip(wanted, values[count:], strict=True))
            groups = tuple(
                unflatten(s, [bars.get(p) for p in group])
                for s, group in zip(positions.structures, positions.params, strict=True)
            )
            return results.rebuild(values[:count]), groups

        return Program(program, Rebuild(rebuild))


@dataclass(frozen=True)
class Jacobian:
    """jacfwd and jacrev: one array of dims result × argument for each pair of leaves."""

    argnums: Argnums = 0
    direction: str = "reverse"
    name: str = "jacrev"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The Jacobians, nested as the result, then as the argument."""
        chosen = _each(self.argnums)
        groups = [positions.floats(a) for a in chosen]
        flat = [p for group in groups for p in group]
        program = jacobian_trace(trace, flat, mode=self.direction)

        def rebuild(values: Sequence[Any]) -> Any:
            rest = iter(values)
            per_result: list[Any] = []
            for result in trace.results:
                if not is_float(result.type):
                    per_result.append(None)
                    continue
                parts = tuple(
                    positions.rebuild(which, [next(rest) for _ in group])
                    for which, group in zip(chosen, groups, strict=True)
                )
                per_result.append(parts[0] if isinstance(self.argnums, int | str) else parts)
            return results.rebuild(per_result)

        return Program(program, Rebuild(rebuild))


@dataclass(frozen=True)
class HessianVector:
    """Forward over reverse: the program takes the arguments and a tangent of each chosen leaf."""

    argnums: Argnums = 0
    name: str = "hvp"

    def program(self, trace: Trace, results: Any, positions: Any) -> Program:
        """The tangent of the gradient program."""
        _require_scalar(trace, results, False)
        chosen = _each(self.argnums)
        groups = [positions.floats(a) for a in chosen]
        flat = [p for group in groups for p in group]
        both = jvp_trace(gradient_trace(trace, flat, value=False, aux=False), flat)
        block = replace(both.block, results=both.results[len(flat) :])
        program = simplify(replace(both, name=f"{trace.name}_hvp", block=block))

        def rebuild(values: Sequence[Any]) -> Any:
            rest = iter(values)
            parts = tuple(positions.rebuild(w, [next(rest) for _ in g]) for w, g in zip(chosen, groups, strict=True))
            return parts[0] if isinstance(self.argnums, int | str) else parts

        return Program(program, Rebuild(rebuild))

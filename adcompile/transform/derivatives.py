"""Whole programs of derivatives: closed traces for jvp, vjp, gradients and Jacobians, from the primal's trace.

Conventions for parameters and results, flat:

- `jvp_trace`: (primals, tangents of the varied floats) → (results, tangents of the float results)
- `vjp_trace`: (primals, cotangents of the float results) → (results, cotangents of the wanted params)
- `gradient_trace`: primals → ([value,] [aux,] cotangents of the wanted params)
- `jacobian_trace`: primals → one array of dims result × param per (float result, wanted param)
"""

from __future__ import annotations

import functools
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from adcompile.ir import Array, Atom, Scalar, Trace, Value, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.types import shaped
from adcompile.primitives import Emitter
from adcompile.transform import batch_control, checkpoints, reverse_control, reverse_custom
from adcompile.transform.batch import batch_block
from adcompile.transform.forward import forward
from adcompile.transform.reverse import ADJOINT, accumulate, backward, sweep
from adcompile.transform.simplify import number_values, simplify
from adcompile.transform.updates import find_updates


def jvp_trace(trace: Trace, varied: Sequence[int]) -> Trace:
    """Values and tangents in one program; ``varied`` are the positions of the params that get a tangent."""
    number_values(trace.block)
    op = Emitter(Builder())
    dots = {k: Value(trace.params[k].type, f"{trace.params[k].name}_dot") for k in varied}
    results, tangents = forward(op, trace.block, {}, {trace.params[k]: d for k, d in dots.items()})
    outs = list(results)
    for result, tangent in zip(results, tangents, strict=True):
        if is_float(result.type):
            outs.append(_like(op, result, tangent))
    header = (f"tangent program of {trace.name}", f"varies: {_names(trace, varied)}")
    block = op.builder.block([*trace.params, *dots.values()], outs)
    return simplify(Trace(f"{trace.name}_jvp", block, header))


def vjp_trace(trace: Trace, wanted: Sequence[int]) -> Trace:
    """Values, and the pullback of cotangents given as further params."""
    number_values(trace.block)
    op = Emitter(Builder())
    swept = sweep(op, find_updates(trace.block), {}, {trace.params[k] for k in wanted})
    floats = [r for r in swept.results if is_float(r.type)]
    seeds = [Value(r.type, f"{_name(r, 'out')}_bar") for r in floats]
    bars: dict[Value, Atom] = {}
    for result, seed in zip(floats, seeds, strict=True):
        accumulate(op, bars, result, seed)
    backward(op, swept.steps, bars)
    outs = [*swept.results, *_cotangents(op, trace, wanted, bars)]
    block = op.builder.block([*trace.params, *seeds], outs)
    return _described(trace, wanted, floats, simplify(Trace(f"{trace.name}_vjp", block)))


def gradient_trace(trace: Trace, wanted: Sequence[int], *, value: bool, aux: bool = True) -> Trace:
    """The gradient of the first result, a scalar; the other results are returned as they are where ``aux``."""
    number_values(trace.block)
    op = Emitter(Builder())
    swept = sweep(op, find_updates(trace.block), {}, {trace.params[k] for k in wanted})
    loss, *others = swept.results
    bars: dict[Value, Atom] = {}
    accumulate(op, bars, loss, op.constant(1.0, loss.type).atom)
    backward(op, swept.steps, bars)
    outs = [*([loss] if value else []), *(others if aux else []), *_cotangents(op, trace, wanted, bars)]
    name = f"{trace.name}_value_and_grad" if value else f"{trace.name}_grad"
    return _described(trace, wanted, [loss], simplify(Trace(name, op.builder.block(trace.params, outs))))


def _described(trace: Trace, wanted: Sequence[int], useful: Sequence[Atom], program: Trace) -> Trace:
    """The program with a header that says what varies, what is useful and what is recorded."""
    tapes = Counter(
        o.name
        for e in program.block.eqns
        if e.regions and e.note != ADJOINT
        for o in e.outs
        if o.name.endswith(("tape", "snapshots"))
    )
    recorded = ", ".join(name if count == 1 else f"{name} ({count} of them)" for name, count in tapes.items())
    words = dict.fromkeys(
        "the result" if re.fullmatch(r"v\d+", n) else n for n in (_name(r, "the result") for r in useful)
    )
    header = (
        f"adjoint program of {trace.name}",
        f"varies: {_names(trace, wanted)}",
        f"useful: {', '.join(words)}",
        f"recorded: {recorded or 'nothing'}",
    )
    return replace(program, header=header)


def _cotangents(op: Emitter, trace: Trace, wanted: Sequence[int], bars: dict[Value, Atom]) -> list[Atom]:
    return [_like(op, trace.params[k], bars.get(trace.params[k])) for k in wanted]


def _like(op: Emitter, primal: Atom, derivative: Atom | None) -> Atom:
    """A tangent or cotangent as a number of its primal's kind: a Python float's is a Python float."""
    if derivative is None:
        return op.zeros_like(op.handle(primal)).atom
    type = primal.type
    if not isinstance(type, Scalar) or derivative.type == type:
        return derivative
    return op.cast(derivative, dtype=type.dtype, weak=type.weak).atom


def _names(trace: Trace, positions: Sequence[int]) -> str:
    return ", ".join(trace.params[k].name for k in positions) or "nothing"


def _name(atom: Atom, otherwise: str) -> str:
    return (atom.name if isinstance(atom, Value) else "") or otherwise


# -- Jacobians --------------------------------------------------------------------------------------------------


def jacobian_trace(trace: Trace, wanted: Sequence[int], *, mode: str) -> Trace:
    """Jacobians of the float results with respect to the wanted params, by columns (forward) or rows (reverse)."""
    number_values(trace.block)
    op = Emitter(Builder())
    emit = _by_columns if mode == "forward" else _by_rows
    outs = emit(op, trace, wanted)
    which = "columns, all tangents at once" if mode == "forward" else "rows, all adjoints at once"
    header = (f"Jacobian of {trace.name} by {which}", f"varies: {_names(trace, wanted)}")
    return simplify(Trace(f"{trace.name}_jacobian", op.builder.block(trace.params, outs), header))


def _by_columns(op: Emitter, trace: Trace, wanted: Sequence[int]) -> list[Atom]:
    """For each wanted param, the tangent program at all its unit vectors at once."""
    primals, _ = forward(op, trace.block, {}, {})
    floats = [k for k, r in enumerate(primals) if is_float(r.type)]
    columns: list[list[Atom]] = []
    for position in wanted:
        param = trace.params[position]

        def tangents(inner: Emitter, seed: Atom, param: Value = param) -> list[Atom]:
            _, found = forward(inner, trace.block, {}, {param: seed})
            return [_like(inner, primals[k], found[k]) for k in floats]

        found = _at_units(op, param, tangents)
        columns.append([_units_last(op, f, primals[k], param) for f, k in zip(found, floats, strict=True)])
    return [columns[j][i] for i in range(len(floats)) for j in range(len(wanted))]


def _by_rows(op: Emitter, trace: Trace, wanted: Sequence[int]) -> list[Atom]:
    """For each float result, the reverse sweep at all its unit vectors at once."""
    params = [trace.params[k] for k in wanted]
    swept = sweep(op, find_updates(trace.block), {}, set(params))
    rows: list[Atom] = []
    for result in swept.results:
        if not is_float(result.type):
            continue

        def cotangents(inner: Emitter, seed: Atom, result: Atom = result) -> list[Atom]:
            bars: dict[Value, Atom] = {}
            accumulate(inner, bars, result, seed)
            backward(inner, swept.steps, bars)
            return _cotangents(inner, trace, wanted, bars)

        found = _at_units(op, result, cotangents)
        rows += [_shape_back(op, f, result, param) for f, param in zip(found, params, strict=True)]
    return rows


def _at_units(op: Emitter, like: Atom, linear: Callable[[Emitter, Atom], list[Atom]]) -> list[Atom]:
    """What ``linear`` emits for a seed, at all unit vectors of the shape of ``like``: these in the first axis."""
    if isinstance(like.type, Scalar):
        return linear(op, op.constant(1.0, like.type).atom)
    inner = Emitter(op.builder.child())
    seed = Value(like.type)
    inner.builder.shapes[seed] = like
    block = inner.builder.block([seed], linear(inner, seed))
    return batch_block(op, block, {seed: _units(op, like)}, {seed: like})


def _units(op: Emitter, like: Atom) -> Atom:
    """The identity matrix, its rows in the shape of ``like``."""
    sizes = op.shape(op.handle(like))
    count = functools.reduce(operator.mul, sizes)
    dims = op.dims_of((count,))
    numbers = op("arange", 0, count, 1, dims=dims)
    same = op.eq(op.unsqueeze(numbers, (1,)), op.unsqueeze(numbers, (0,)))
    units = op.cast(same, dtype=like.type.dtype)
    return units.atom if len(sizes) == 1 else op("reshape", units, count, *sizes, dims=(*dims, *like.type.dims)).atom


def _units_last(op: Emitter, found: Atom, result: Atom, param: Value) -> Atom:
    """Columns in the last axes, in the shape of the param."""
    if isinstance(param.type, Array) and found.type.rank > 1:
        found = op("copy", op.transpose(found, perm=(*range(1, found.type.rank), 0))).atom
    return _shape_back(op, found, result, param)


def _shape_back(op: Emitter, table: Atom, result: Atom, param: Value) -> Atom:
    sizes = (*op.shape(op.handle(result)), *op.shape(op.handle(param)))
    type = shaped(table.type.dtype, (*result.type.dims, *param.type.dims))
    if type.rank == table.type.rank:
        return table
    return op.reshape_to(op.handle(table), sizes, type).atom


__all__ = [
    "batch_control",
    "checkpoints",
    "gradient_trace",
    "jacobian_trace",
    "jvp_trace",
    "reverse_control",
    "reverse_custom",
    "vjp_trace",
]

"""Whole programs of derivatives: closed traces for jvp, vjp, gradients and Jacobians, from the primal's trace.

Conventions for parameters and results, flat:

- `jvp_trace`: (primals, tangents of the varied floats) → (results, tangents of the float results)
- `vjp_trace`: (primals, cotangents of the float results) → (results, cotangents of the wanted params)
- `gradient_trace`: primals → ([value,] [aux,] cotangents of the wanted params)
- `jacobian_trace`: primals → one array of dims result × param per (float result, wanted param)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from adcompile.ir import Array, Atom, Scalar, Trace, Value, is_float
from adcompile.ir.builder import Builder
from adcompile.ir.types import shaped
from adcompile.primitives import Emitter
from adcompile.primitives.indexing import FULL
from adcompile.transform import reverse_control, reverse_custom
from adcompile.transform.forward import forward
from adcompile.transform.reverse import accumulate, backward, sweep
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
            outs.append(op.zeros_like(op.handle(result)).atom if tangent is None else tangent)
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
    tapes = Counter(o.name for e in program.block.eqns if e.regions for o in e.outs if o.name.endswith("tape"))
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
    params = [trace.params[k] for k in wanted]
    return [bars[p] if p in bars else op.zeros_like(op.handle(p)).atom for p in params]


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
    which = "columns, one tangent each" if mode == "forward" else "rows, one adjoint each"
    header = (f"Jacobian of {trace.name} by {which}", f"varies: {_names(trace, wanted)}")
    return simplify(Trace(f"{trace.name}_jacobian", op.builder.block(trace.params, outs), header))


def _by_columns(op: Emitter, trace: Trace, wanted: Sequence[int]) -> list[Atom]:
    """For each wanted param, a loop over its elements whose body is the tangent program seeded there."""
    primals, _ = forward(op, trace.block, {}, {})
    floats = [k for k, r in enumerate(primals) if is_float(r.type)]
    columns: list[list[Atom]] = []
    for position in wanted:
        param = trace.params[position]
        count = _count(op, param)

        def column(inner: Emitter, index: Value, param: Value = param) -> list[Atom]:
            seed = _unit(inner, param, index)
            _, tangents = forward(inner, trace.block, {}, {param: seed})
            found = [tangents[k] for k in floats]
            return [inner.zeros_like(primals[k]).atom if t is None else t for k, t in zip(floats, found, strict=True)]

        columns.append(_gather_columns(op, [primals[k] for k in floats], param, count, column))
    return [columns[j][i] for i in range(len(floats)) for j in range(len(wanted))]


def _by_rows(op: Emitter, trace: Trace, wanted: Sequence[int]) -> list[Atom]:
    """For each float result, a loop over its elements whose body is the reverse sweep seeded there."""
    params = [trace.params[k] for k in wanted]
    swept = sweep(op, find_updates(trace.block), {}, set(params))
    blocks: list[Atom] = []
    for result in swept.results:
        if not is_float(result.type):
            continue

        def row(inner: Emitter, index: Value, result: Atom = result) -> list[Atom]:
            bars: dict[Value, Atom] = {}
            accumulate(inner, bars, result, _unit(inner, result, index))
            backward(inner, swept.steps, bars)
            return _cotangents(inner, trace, wanted, bars)

        blocks += _gather_rows(op, result, params, row)
    return blocks


def _count(op: Emitter, atom: Atom):
    total = 1
    for size in op.shape(op.handle(atom)):
        total = size if isinstance(total, int) and total == 1 else total * size
    return total


def _unit(op: Emitter, like: Atom, index: Value) -> Atom:
    """The unit vector of the shape of ``like`` with its one at flat position ``index``."""
    if isinstance(like.type, Scalar):
        return op.constant(1.0, like.type).atom
    flat = op("full", op.zero(like.type.dtype), _count(op, like), dims=("?",))
    unit = op("store", flat, op.constant(1.0, Scalar(like.type.dtype)), index, spec=(("int",),))
    return op.reshape_to(unit, op.shape(op.handle(like)), like.type).atom


def _loop(op: Emitter, count, carried: list[Atom], body) -> tuple[Value, ...]:
    inner = Emitter(op.builder.child())
    index = Value(op.atom(0).type, "k")
    params = [Value(c.type) for c in carried]
    block = inner.builder.block([index, *params], body(inner, index, params))
    args = [op.atom(0), op.atom(count), op.atom(1), *carried]
    return op.builder.emit("loop", args, [c.type for c in carried], {}, [block])


def _gather_columns(op: Emitter, results: list[Atom], param: Value, count, column) -> list[Atom]:
    """Jacobians of dims result × param, filled column by column."""
    if isinstance(param.type, Scalar):
        return column(op, Value(op.atom(0).type))
    tables = []
    for result in results:
        sizes = op.shape(op.handle(result))
        tables.append(op("full", op.zero(result.type.dtype), *sizes, count, dims=(*result.type.dims, "?")).atom)

    def body(inner: Emitter, index: Value, params: list[Value]) -> list[Atom]:
        stored = []
        for table, tangent in zip(params, column(inner, index), strict=True):
            spec = (*(FULL,) * tangent.type.rank, ("int",))
            stored.append(inner("store", table, tangent, index, spec=spec).atom)
        return stored

    filled = _loop(op, count, tables, body)
    return [_shape_back(op, t, r, param) for t, r in zip(filled, results, strict=True)]


def _gather_rows(op: Emitter, result: Atom, params: list[Value], row) -> list[Atom]:
    """Jacobians of dims result × param, filled row by row."""
    if isinstance(result.type, Scalar):
        return row(op, Value(op.atom(0).type))
    count = _count(op, result)
    tables = []
    for param in params:
        sizes = op.shape(op.handle(param))
        tables.append(op("full", op.zero(param.type.dtype), count, *sizes, dims=("?", *param.type.dims)).atom)

    def body(inner: Emitter, index: Value, tables: list[Value]) -> list[Atom]:
        stored = []
        for table, cotangent in zip(tables, row(inner, index), strict=True):
            spec = (("int",), *(FULL,) * cotangent.type.rank)
            stored.append(inner("store", table, cotangent, index, spec=spec).atom)
        return stored

    filled = _loop(op, count, tables, body)
    return [_shape_back(op, t, result, p) for t, p in zip(filled, params, strict=True)]


def _shape_back(op: Emitter, table: Atom, result: Atom, param: Value) -> Atom:
    sizes = (*op.shape(op.handle(result)), *op.shape(op.handle(param)))
    type = shaped(table.type.dtype, (*result.type.dims, *param.type.dims))
    if isinstance(type, Array) and type.rank == table.type.rank:
        return table
    return op.reshape_to(op.handle(table), sizes, type).atom


__all__ = ["gradient_trace", "jacobian_trace", "jvp_trace", "reverse_control", "reverse_custom", "vjp_trace"]

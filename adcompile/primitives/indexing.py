"""Reading and writing parts of arrays: ``index``, ``store``, ``accumulate``.

A static ``spec`` says what each subscript is, in order; the dynamic parts follow as arguments:

- ``("int",)`` an integer scalar: one argument;
- ``("slice", has_start, has_stop, step)`` with Python's meaning of negative and far bounds: up to two arguments;
- ``("new",)`` a new axis: no argument;
- ``("array",)`` an integer array: one argument. NumPy's rules for the position of the broadcast dimensions hold.

The frontend resolves ``...``, pads with full slices up to the rank, and turns boolean masks into integer arrays
(``nonzero``). ``store(a, v, *subscripts)`` is a new version of ``a`` with ``a[subscripts] = v``;
``accumulate`` is ``np.add.at(a, subscripts, v)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adcompile.ir import ANY, Atom, Const, Type
from adcompile.ir.types import shaped
from adcompile.primitives import batched_indexing
from adcompile.primitives.registry import Primitive, define
from adcompile.primitives.scalar import broadcast_dims, broadcast_shape
from adcompile.primitives.specs import FULL, Spec, advanced_position, assembled, split, subscript_text, undone


def _infer_index(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    array, spec = types[0], attrs["spec"]
    kept, axis, arrays = [], 0, []
    for entry, args in split(spec, types[1:]):
        if entry[0] == "new":
            kept.append(1)
            continue
        if entry[0] == "slice":
            kept.append(array.dims[axis] if entry == FULL or entry == (*FULL[:3], -1) else ANY)
        elif entry[0] == "array":
            arrays.append(args[0])
        axis += 1
    return (shaped(array.dtype, assembled(spec, kept, list(broadcast_dims(tuple(arrays))) if arrays else [])),)


def slice_bounds(op: Any, size: Any, entry: tuple, args: Sequence[Any]) -> tuple[Any, Any]:
    """The first index and the number of elements of a slice over ``size`` elements."""
    given, step = list(args), entry[3]
    start = given.pop(0) if entry[1] else None
    stop = given.pop(0) if entry[2] else None
    cut = _constant_cut(op, size, start, stop) if step == 1 else None
    if cut is not None:
        return cut
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = _clip(op, start, size, low, high) if start is not None else (low if step > 0 else high)
    last = _clip(op, stop, size, low, high) if stop is not None else (high if step > 0 else low)
    span = last - first if step > 0 else first - last
    stride = abs(step)
    count = span if stride == 1 else (span + (stride - 1)) // stride
    if start is None and stop is None:
        return first, count
    return first, _at_least_zero(op, count)


def _constant_cut(op: Any, size: Any, start: Any, stop: Any) -> tuple[Any, Any] | None:
    """``a[2:]``, ``a[1:-1]``: with a constant cut off both ends, the count has one form, so equal counts are seen."""
    first = 0 if start is None else _static(op, start)
    last = 0 if stop is None else _static(op, stop)
    if isinstance(size, int) or first is None or last is None or first < 0 or (last >= 0 and stop is not None):
        return None
    return first, _at_least_zero(op, size - (first - last)) if first - last else size


def _clip(op: Any, bound: Any, size: Any, low: Any, high: Any) -> Any:
    """A slice bound with Python's rules, as few operations as its sign allows."""
    value = _static(op, bound)
    if value is not None and isinstance(size, int):
        return min(max(value + size if value < 0 else value, low), high)
    if value is None:
        bound = op.where(bound < 0, bound + size, bound)
        return op.minimum(op.maximum(bound, low), high)
    return op.maximum(size + value, low) if value < 0 else op.minimum(value, high)


def _static(op: Any, x: Any) -> int | None:
    if isinstance(x, int):
        return x
    value = getattr(x.atom, "value", None)
    return value if isinstance(value, int) else None


def _at_least_zero(op: Any, count: Any) -> Any:
    return max(count, 0) if isinstance(count, int) else op.maximum(count, 0)


def index_shape(op: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The sizes of ``a[subscripts]``."""
    array, spec = args[0], attrs["spec"]
    kept, axis, arrays = [], 0, []
    for entry, given in split(spec, args[1:]):
        if entry[0] == "new":
            kept.append(1)
            continue
        if entry[0] == "slice":
            kept.append(slice_bounds(op, op.size(array, axis), entry, given)[1])
        elif entry[0] == "array":
            arrays.append(given[0])
        axis += 1
    return assembled(spec, kept, list(broadcast_shape(op, tuple(arrays), {})) if arrays else [])


def _same(types, attrs):
    return (types[0],)


def _index_vjp(op, cts, outs, args, attrs, wanted):
    back = undone(attrs["spec"], [a.atom for a in args[1:]], args[0].type.dims)
    if back is None:
        return (op("accumulate", op.zeros_like(args[0]), cts[0], *args[1:], **attrs),)
    if cts[0].rank == 0:
        return (op.unsqueeze(cts[0], tuple(range(len(back)))),)
    return (op("index", cts[0], *(0,) * back.count(("int",)), spec=back),)


def _store_vjp(op, cts, outs, args, attrs, wanted):
    """Take the cotangent of what was written, then zero it: in this order no copy is needed."""
    value = op("index", cts[0], *args[2:], **attrs) if wanted[1] else None
    if value is not None and not _distinct(op, args[2:], attrs["spec"]):
        value = op.where(_last_written(op, args[0], value, args[2:], attrs), value, op.zero(value.type.dtype))
    base = op("store", cts[0], op.zero(args[0].type.dtype), *args[2:], **attrs) if wanted[0] else None
    return base, value


def _distinct(op: Any, args: Sequence[Any], spec: Spec) -> bool:
    """Whether no element is addressed twice, by the look of the subscripts."""
    arrays = [given[0] for entry, given in split(spec, args) if entry[0] == "array"]
    eqns = [op.builder.definition(a.atom) for a in arrays]
    atoms = [a.atom for a in arrays]
    counted = any(e is not None and e.op in ("arange", "nonzero") and all(o in atoms for o in e.outs) for e in eqns)
    return not arrays or (counted and all(a.rank == 1 for a in arrays))


def _last_written(op: Any, array: Any, written: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    """Which of the written elements stayed: of several stores to one place, the last."""
    sizes, count = op.shape(written), 1
    for size in sizes:
        count = count * size
    turns = op("arange", 0, count, 1, dims=op.dims_of((count,)))
    turns = op("reshape", turns, *sizes, dims=op.dims_of(sizes)) if len(sizes) > 1 else turns
    marks = op("full", op.zero("int64"), *op.shape(array), dims=array.type.dims)
    return op.eq(op("index", op("store", marks, turns, *args, **attrs), *args, **attrs), turns)


define(
    Primitive(
        "index",
        infer=_infer_index,
        shape=index_shape,
        python=lambda texts, eqn: f"{texts[0]}[{subscript_text(eqn.attrs['spec'], texts[1:])}]",
        linear=(0,),
        vjp=_index_vjp,
        batch=batched_indexing.index,
        doc="a[subscripts]",
    )
)
define(
    Primitive(
        "store",
        infer=_same,
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=lambda texts, eqn: f"{texts[0]}[{subscript_text(eqn.attrs['spec'], texts[2:])}] = {texts[1]}",
        jvp=lambda op, tangents, outs, args, attrs: (
            op(
                "store",
                op.zeros_like(args[0]) if tangents[0] is None else tangents[0],
                op.zeros_like(args[1]) if tangents[1] is None else tangents[1],
                *args[2:],
                **attrs,
            ),
        ),
        vjp=_store_vjp,
        batch=batched_indexing.update("store"),
        doc="a new version of a with a[subscripts] = v",
    )
)
define(
    Primitive(
        "accumulate",
        infer=_same,
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=lambda texts, eqn: _accumulate_text(texts, eqn),
        jvp=lambda op, tangents, outs, args, attrs: (
            tangents[0]
            if tangents[1] is None
            else op(
                "accumulate",
                op.zeros_like(args[0]) if tangents[0] is None else tangents[0],
                tangents[1],
                *args[2:],
                **attrs,
            ),
        ),
        vjp=lambda op, cts, outs, args, attrs, wanted: (
            cts[0],
            op("index", cts[0], *args[2:], **attrs) if wanted[1] else None,
        ),
        batch=batched_indexing.update("accumulate"),
        doc="a new version of a with v added at a[subscripts], repeated subscripts counted each time",
    )
)


def _accumulate_text(texts: Sequence[str], eqn: Any) -> str:
    subscript = subscript_text(eqn.attrs["spec"], texts[2:])
    if advanced_position(eqn.attrs["spec"]) is None:
        return f"{texts[0]}[{subscript}] += {texts[1]}"
    where = f"({subscript})" if ", " in subscript else subscript
    if ":" in subscript:
        where = "np.s_[" + subscript + "]"
    return f"np.add.at({texts[0]}, {where}, {texts[1]})"


def trip_count(op: Any, bounds: Sequence[Atom]) -> Any:
    """``len(range(start, stop, step))``."""
    start, stop, step = map(op.handle, bounds)
    if isinstance(step.atom, Const):
        span = stop - start if step.atom.value > 0 else start - stop
        size = abs(step.atom.value)
        return op.maximum((span + (size - 1)) // size if size != 1 else span, 0)
    up = (stop - start + step - 1) // step
    down = (start - stop - step - 1) // -step
    return op.maximum(op.where(step > 0, up, down), 0)

"""Primitives that look at whole arrays: making, reshaping, reducing, multiplying them.

Few and orthogonal; everything else NumPy offers expands into these (the `numpy_*` modules).
Sizes are arguments (index scalars), axes and permutations are static attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import ShapeMismatch
from adcompile.ir import ANY, NOT_ONE, Array, Const, Type
from adcompile.ir.types import INDEX, shaped
from adcompile.primitives import batching
from adcompile.primitives.registry import Primitive, define
from adcompile.primitives.scalar import broadcast_dims


def tuple_text(texts: Sequence[str]) -> str:
    """``(n, m)`` or ``n``: a shape as an argument."""
    return f"({', '.join(texts)})" if len(texts) != 1 else texts[0]


# -- sizes and checks -------------------------------------------------------------------------------------------

define(Primitive("dim", infer=lambda types, attrs: (INDEX,), python="{0}.shape[{axis}]", differentiable=False))
define(
    Primitive(
        "check_same",
        infer=lambda types, attrs: (),
        python=lambda texts, eqn: f"check_same({texts[0]}, {texts[1]}, {eqn.attrs['message']!r})",
        batch=batching.ragged,
        differentiable=False,
        effect=True,
    )
)


define(
    Primitive(
        "check_true",
        infer=lambda types, attrs: (),
        python=lambda texts, eqn: f"check_true({texts[0]}, {eqn.attrs['error']}, {eqn.attrs['message']!r})",
        batch=batching.check_true,
        differentiable=False,
        effect=True,
        doc="raise a built-in exception (its name) with a message unless the condition holds",
    )
)


# -- making arrays ----------------------------------------------------------------------------------------------


def _full_text(texts: Sequence[str], eqn: Any) -> str:
    shape, dtype = tuple_text(texts[1:]), eqn.outs[0].type.dtype
    kind = f", dtype=np.{'bool_' if dtype == 'bool' else dtype}" if dtype != "float64" else ""
    value = eqn.args[0]
    if (
        isinstance(value, Const)
        and not isinstance(value.value, bool)
        and value.value == 0
        and str(value.value)[0] != "-"
    ):
        return f"np.zeros({shape}{kind})"
    return f"np.full({shape}, {texts[0]}{kind})"


define(
    Primitive(
        "full",
        infer=lambda types, attrs: (Array(types[0].dtype, attrs.get("dims") or (ANY,) * (len(types) - 1)),),
        shape=lambda op, args, attrs: args[1:],
        python=_full_text,
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (
            op.sum(cts[0], axis=tuple(range(cts[0].rank)), keepdims=False),
        ),
        batch=batching.full,
        pure=False,
        doc="an array of the given sizes, every element the first argument; room: nobody reads what was not stored",
    )
)


def arange_count(op: Any, start: Any, stop: Any, step: Any) -> Any:
    """``len(range(start, stop, step))`` for index scalars."""
    span = (
        -((start - stop) // step) if not _is_const(op, step, 1) else stop if _is_const(op, start, 0) else stop - start
    )
    eqn = op.builder.definition(op.atom(span))
    return span if eqn is not None and eqn.op == "dim" else op.maximum(span, 0)


def _is_const(op: Any, x: Any, number: int) -> bool:
    atom = op.atom(x)
    return isinstance(atom, Const) and atom.value == number


def _arange_text(texts: Sequence[str], eqn: Any) -> str:
    start, _, step = eqn.args
    if not (isinstance(step, Const) and step.value == 1):
        return f"np.arange({', '.join(texts)})"
    return f"np.arange({texts[1] if isinstance(start, Const) and start.value == 0 else ', '.join(texts[:2])})"


define(
    Primitive(
        "arange",
        infer=lambda types, attrs: (Array("int64", attrs.get("dims") or (ANY,)),),
        shape=lambda op, args, attrs: (arange_count(op, *args),),
        python=_arange_text,
        batch=batching.ragged,
        differentiable=False,
        doc="integers from start to before stop by step, int64",
    )
)


# -- moving elements --------------------------------------------------------------------------------------------


def _inverse(perm: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(perm))


define(
    Primitive(
        "transpose",
        infer=lambda types, attrs: (Array(types[0].dtype, tuple(types[0].dims[i] for i in attrs["perm"])),),
        shape=lambda op, args, attrs: tuple(op.size(args[0], i) for i in attrs["perm"]),
        python=lambda texts, eqn: (
            f"{texts[0]}.T"
            if eqn.attrs["perm"] == tuple(range(len(eqn.attrs["perm"])))[::-1]
            else f"np.transpose({texts[0]}, {eqn.attrs['perm']})"
        ),
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (op.transpose(cts[0], perm=_inverse(attrs["perm"])),),
        batch=batching.transpose,
        doc="dimensions in the order perm",
    )
)
define(
    Primitive(
        "reshape",
        infer=lambda types, attrs: (shaped(types[0].dtype, attrs.get("dims") or (ANY,) * (len(types) - 1)),),
        shape=lambda op, args, attrs: args[1:],
        python=lambda texts, eqn: f"{texts[0]}.reshape({tuple_text(texts[1:]) if len(texts) != 1 else '()'})",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (op.reshape_to(cts[0], op.shape(args[0]), args[0].type),),
        batch=batching.reshape,
        doc="the same elements in C order; sizes are arguments (no -1: the expansion computes it)",
    )
)
define(
    Primitive(
        "broadcast_to",
        infer=lambda types, attrs: (Array(types[0].dtype, attrs.get("dims") or (ANY,) * (len(types) - 1)),),
        shape=lambda op, args, attrs: args[1:],
        python=lambda texts, eqn: f"np.broadcast_to({texts[0]}, {tuple_text(texts[1:])})",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (op.match(cts[0], args[0].type, args[0]),),
        batch=batching.broadcast_to,
    )
)


# -- reductions -------------------------------------------------------------------------------------------------


def kept(dims: Sequence[Any], axis: Sequence[int], keepdims: bool) -> tuple:
    """The dims or sizes that a reduction over ``axis`` leaves."""
    if keepdims:
        return tuple(1 if i in axis else d for i, d in enumerate(dims))
    return tuple(d for i, d in enumerate(dims) if i not in axis)


def reduced(op: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> tuple:
    """The sizes that a reduction leaves."""
    return kept(op.shape(args[0]), attrs["axis"], attrs["keepdims"])


def axis_text(attrs: Mapping[str, Any], rank: int) -> str:
    """``, axis=0, keepdims=True``; nothing where all dimensions go."""
    axis, keepdims = attrs["axis"], attrs["keepdims"]
    words = "" if len(axis) == rank else f", axis={axis[0] if len(axis) == 1 else axis}"
    return words + (", keepdims=True" if keepdims else "")


def axis_word(axis: int, rank: int) -> str:
    """``, axis=1``; nothing where there is only one."""
    return f", axis={axis}" if rank > 1 else ""


def spread(op: Any, value: Any, like: Any, attrs: Mapping[str, Any]) -> Any:
    """A reduced value broadcast back over the dimensions that went."""
    if not attrs["keepdims"] and len(attrs["axis"]) < like.rank:
        value = op.unsqueeze(value, attrs["axis"])
    return op.broadcast(value, op.shape(like), like.type.dims)


def sum_dtype(dtype: str) -> str:
    """The dtype that NumPy adds in: small integers and bools are widened."""
    return "int64" if dtype in ("bool", "int8", "int16", "int32") else "uint64" if dtype.startswith("u") else dtype


def _infer_sum(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    return (shaped(sum_dtype(types[0].dtype), kept(types[0].dims, attrs["axis"], attrs["keepdims"])),)


define(
    Primitive(
        "sum",
        infer=_infer_sum,
        shape=reduced,
        python=lambda texts, eqn: f"np.sum({texts[0]}{axis_text(eqn.attrs, eqn.args[0].type.rank)})",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (spread(op, cts[0], args[0], attrs),),
        batch=batching.along("sum"),
        doc="axis: a tuple of non-negative ints, sorted; keepdims: bool",
    )
)


# -- products ---------------------------------------------------------------------------------------------------


def _matmul_dims(a: Sequence[Any], b: Sequence[Any]) -> tuple:
    lead = (
        broadcast_dims((Array("float64", tuple(a[:-2])), Array("float64", tuple(b[:-2]))))
        if len(a) > 2 or len(b) > 2
        else ()
    )
    return (*lead, *(a[-2:-1] if len(a) > 1 else ()), *(b[-1:] if len(b) > 1 else ()))


def _infer_matmul(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    a, b = types
    inner_a, inner_b = a.dims[-1], b.dims[-2] if b.rank > 1 else b.dims[-1]
    if (isinstance(inner_a, int) and isinstance(inner_b, int) and inner_a != inner_b) or (
        1 in (inner_a, inner_b) and NOT_ONE in (inner_a, inner_b)
    ):
        raise ShapeMismatch(f"matmul: inner sizes differ: {a} @ {b}")
    return (shaped(np.result_type(a.dtype, b.dtype).name, _matmul_dims(a.dims, b.dims)),)


def _matmul_shape(op: Any, args: Sequence[Any], attrs: Mapping[str, Any]) -> tuple:
    a, b = args
    lead = ()
    if a.rank > 2 or b.rank > 2:
        lead = tuple(_lead_size(op, a, b, back) for back in range(max(a.rank, b.rank), 2, -1))
    rows = (op.size(a, a.rank - 2),) if a.rank > 1 else ()
    columns = (op.size(b, b.rank - 1),) if b.rank > 1 else ()
    return (*lead, *rows, *columns)


def _lead_size(op: Any, a: Any, b: Any, back: int) -> Any:
    for x in (a, b):
        if x.rank >= back and x.type.dims[-back] != 1:
            return op.size(x, x.rank - back)
    return 1


def _outer(op, x, y):
    """``x[i] * y[j]``, of what may have an int dtype beside a float."""
    return op.unsqueeze(x, (1,)) * y


_VECTOR_VJP = {
    (1, 1): (lambda op, ct, a, b: ct * b, lambda op, ct, a, b: ct * a),
    (2, 1): (lambda op, ct, a, b: _outer(op, ct, b), lambda op, ct, a, b: op.swap_last(a) @ ct),
    (1, 2): (lambda op, ct, a, b: b @ ct, lambda op, ct, a, b: _outer(op, a, ct)),
}
"""The cotangents of both factors where one is a vector, by their ranks."""


def _matmul_vjp(op, cts, outs, args, attrs, wanted):
    a, b = args
    ct = cts[0]
    if (a.rank, b.rank) in _VECTOR_VJP:
        found = _VECTOR_VJP[a.rank, b.rank]
        return tuple(bar(op, ct, a, b) if want else None for bar, want in zip(found, wanted, strict=True))
    rows = op.unsqueeze(a, (0,)) if a.rank == 1 else a
    columns = op.unsqueeze(b, (1,)) if b.rank == 1 else b
    full = ct
    if b.rank == 1:
        full = op.unsqueeze(full, (full.rank,))
    if a.rank == 1:
        full = op.unsqueeze(full, (full.rank - 1,))
    a_bar = b_bar = None
    if wanted[0]:
        a_bar = op.match(full @ op.swap_last(columns), rows.type, rows)
        a_bar = op.squeeze_axis(a_bar, 0) if a.rank == 1 else a_bar
    if wanted[1]:
        b_bar = op.match(op.swap_last(rows) @ full, columns.type, columns)
        b_bar = op.squeeze_axis(b_bar, 1) if b.rank == 1 else b_bar
    return a_bar, b_bar


define(
    Primitive(
        "matmul",
        infer=_infer_matmul,
        shape=_matmul_shape,
        infix=("@", 13),
        linear=(0, 1),
        vjp=_matmul_vjp,
        batch=batching.matmul,
        doc="np.matmul for ranks 1, 2 and stacks",
    )
)

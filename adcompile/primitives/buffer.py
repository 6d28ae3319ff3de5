"""Primitives of the loop dialect: buffers and the products that fill them. See docs/design/architecture.md."""

from __future__ import annotations

from adcompile.ir import ANY, Array
from adcompile.primitives import batching
from adcompile.primitives.array import tuple_text
from adcompile.primitives.indexing import FULL
from adcompile.primitives.registry import Primitive, define

define(
    Primitive(
        "empty",
        infer=lambda types, attrs: (Array(attrs["dtype"], attrs.get("dims") or (ANY,) * len(types)),),
        shape=lambda op, args, attrs: args,
        python=lambda texts, eqn: (
            f"np.empty({tuple_text(texts)}, dtype=np.{'bool_' if eqn.attrs['dtype'] == 'bool' else eqn.attrs['dtype']})"
        ),
        differentiable=False,
        batch=batching.ragged,
        pure=False,
        doc="a new buffer, its elements undefined",
    )
)
define(
    Primitive(
        "copy",
        infer=lambda types, attrs: (types[0],),
        shape=lambda op, args, attrs: op.shape(args[0]),
        python="{0}.copy()",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (cts[0],),
        batch=batching.same("copy"),
        pure=False,
        doc="a new buffer with the same elements",
    )
)


UP_TO = ("slice", False, True, 1)


def _gemm_text(texts, eqn):
    c, a, b = texts
    a = f"{a}.T" if eqn.attrs["trans_a"] else a
    b = f"{b}.T" if eqn.attrs["trans_b"] else b
    return f"{c}[...] += np.dot({a}, {b})" if eqn.attrs["accumulate"] else f"np.dot({a}, {b}, {c})"


define(
    Primitive(
        "gemm",
        infer=lambda types, attrs: (types[0],),
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=_gemm_text,
        differentiable=False,
        doc="c = op(a) @ op(b) [+ c] into the buffer c; trans_a, trans_b, accumulate: bool; all rank 2",
    )
)
define(
    Primitive(
        "check_index",
        infer=lambda types, attrs: (),
        python="check_index({0}, {1})",
        differentiable=False,
        effect=True,
        doc="raise IndexError unless -n <= i < n",
    )
)
define(
    Primitive(
        "check_nonzero",
        infer=lambda types, attrs: (),
        python="check_nonzero({0})",
        differentiable=False,
        effect=True,
        doc="raise ZeroDivisionError on integer division by zero",
    )
)
define(
    Primitive(
        "grow",
        infer=lambda types, attrs: (types[0],),
        python="grow({0}, {1})",
        jvp=lambda op, tangents, outs, args, attrs: (op("grow", tangents[0], args[1]),),
        vjp=lambda op, cts, outs, args, attrs, wanted: (
            op("index", cts[0], op.size(args[0], 0), spec=(UP_TO, *(FULL,) * (args[0].rank - 1))),
        ),
        batch=batching.grow,
        pure=False,
        doc="an array of at least the given length that begins with the argument: itself, or one over twice as long",
    )
)
define(
    Primitive(
        "identity",
        infer=lambda types, attrs: (types[0],),
        shape=lambda op, args, attrs: op.shape(args[0]),
        python="{0}",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (cts[0],),
        batch=batching.same("identity"),
        pure=False,
        doc="the same value under a name of its own, for transforms; `simplify` removes it",
    )
)

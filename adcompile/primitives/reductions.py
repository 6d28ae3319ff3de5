"""Primitives along axes: ``max``, ``min``, ``argmax``, ``argsort``, ``nonzero``, ``cumsum`` and more.

``max`` and ``min`` reduce over a tuple of axes as ``sum`` does (`adcompile.primitives.array`); ties share the
derivative equally. The others take one static non-negative axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adcompile.ir import ANY, Array, Type
from adcompile.ir.types import shaped
from adcompile.primitives import batching
from adcompile.primitives.array import axis_text, axis_word, kept, reduced, spread, sum_dtype
from adcompile.primitives.registry import Primitive, define

FULL = ("slice", False, False, 1)
_REVERSED = ("slice", False, False, -1)


# -- extrema ----------------------------------------------------------------------------------------------------


def _shares(op: Any, ans: Any, x: Any, attrs: Mapping[str, Any]) -> Any:
    """One over the number of ties where ``x`` attains its extremum, zero elsewhere."""
    attained = op.cast(op.eq(x, spread(op, ans, x, attrs)), dtype=x.type.dtype)
    return attained / spread(op, op.sum(attained, **attrs), x, attrs)


def _extremum_jvp(op, tangents, outs, args, attrs):
    return (op.sum(_shares(op, outs[0], args[0], attrs) * tangents[0], **attrs),)


def _extremum_vjp(op, cts, outs, args, attrs, wanted):
    return (_shares(op, outs[0], args[0], attrs) * spread(op, cts[0], args[0], attrs),)


for _name in ("max", "min"):
    define(
        Primitive(
            _name,
            infer=lambda types, attrs: (shaped(types[0].dtype, kept(types[0].dims, attrs["axis"], attrs["keepdims"])),),
            shape=reduced,
            python=lambda texts, eqn, name=_name: f"np.{name}({texts[0]}{axis_text(eqn.attrs, eqn.args[0].type.rank)})",
            jvp=_extremum_jvp,
            vjp=_extremum_vjp,
            batch=batching.along(_name),
            doc="axis: a sorted tuple of non-negative ints, keepdims: bool; an error on nothing, nan where any is",
        )
    )


# -- positions --------------------------------------------------------------------------------------------------


for _name in ("argmax", "argmin"):
    define(
        Primitive(
            _name,
            infer=lambda types, attrs: (shaped("int64", kept(types[0].dims, (attrs["axis"],), False)),),
            shape=lambda op, args, attrs: kept(op.shape(args[0]), (attrs["axis"],), False),
            python=lambda texts, eqn, name=_name: (
                f"np.{name}({texts[0]}{axis_word(eqn.attrs['axis'], eqn.args[0].type.rank)})"
            ),
            differentiable=False,
            batch=batching.along(_name),
            doc="the first position of the extremum (of the first nan, where there is one) along one axis",
        )
    )
define(
    Primitive(
        "argsort",
        infer=lambda types, attrs: (Array("int64", types[0].dims),),
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=lambda texts, eqn: f"np.argsort({texts[0]}{', axis=' + str(eqn.attrs['axis'])}, kind='stable')",
        differentiable=False,
        batch=batching.along("argsort"),
        doc="the order that sorts along one axis; stable, nan last",
    )
)
define(
    Primitive(
        "searchsorted",
        infer=lambda types, attrs: (shaped("int64", types[1].dims),),
        shape=lambda op, args, attrs: op.shape(args[1]),
        python=lambda texts, eqn: f"np.searchsorted({texts[0]}, {texts[1]}, side={eqn.attrs['side']!r})",
        differentiable=False,
        batch=batching.searchsorted,
        doc="where to insert the second argument into the sorted rank-1 first; side: 'left' or 'right'",
    )
)
define(
    Primitive(
        "nonzero",
        infer=lambda types, attrs: (Array("int64", (ANY,)),) * types[0].rank,
        python=lambda texts, eqn: f"np.nonzero({texts[0]})" + ("[0]" if len(eqn.outs) == 1 else ""),
        differentiable=False,
        batch=batching.ragged,
        doc="the positions of true elements, one index array per dimension, in C order; their size is data",
    )
)


# -- running sums -----------------------------------------------------------------------------------------------


def _backwards(op: Any, x: Any, axis: int) -> Any:
    return op("index", x, spec=tuple(_REVERSED if i == axis else FULL for i in range(x.rank)))


def _infer_cumsum(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    return (Array(sum_dtype(types[0].dtype), types[0].dims),)


define(
    Primitive(
        "cumsum",
        infer=_infer_cumsum,
        shape=lambda op, args, attrs: op.shape(args[0]),
        python=lambda texts, eqn: f"np.cumsum({texts[0]}{axis_word(eqn.attrs['axis'], eqn.args[0].type.rank)})",
        linear=(0,),
        vjp=lambda op, cts, outs, args, attrs, wanted: (
            _backwards(op, op.cumsum(_backwards(op, cts[0], attrs["axis"]), **attrs), attrs["axis"]),
        ),
        batch=batching.along("cumsum"),
        doc="running sums along one axis; small integers are added as int64, like sum",
    )
)

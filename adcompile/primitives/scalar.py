"""The elementwise primitives: value, partials, domain; both modes and the proofs follow from these records.

Policy at points without a derivative (documented in docs/rules.md, tested): abs'(0) = 0; ties of maximum and minimum
share equally; sqrt'(0) = inf; x**0 has derivative 0 and 0**y has derivative 0 in y; floor, ceil, sign, // have
derivative 0.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import ShapeMismatch, UnsupportedDtype
from adcompile.ir import ANY, NOT_ONE, Array, Scalar, Type
from adcompile.ir.types import DTYPES, FLOATS, PYTHON_INT, Dim
from adcompile.primitives.registry import Primitive, define

REAL = (-2.0, 2.0)
POSITIVE = (0.1, 4.0)
UNIT = (-0.9, 0.9)


# -- types ----------------------------------------------------------------------------------------------------


def broadcast_dims(types: tuple[Type, ...]) -> tuple[Dim, ...]:
    """NumPy's broadcasting on what is known of the sizes."""
    rank = max(t.rank for t in types)
    dims: list[Dim] = []
    for back in range(rank, 0, -1):
        dims.append(functools.reduce(_broadcast_dim, [t.dims[-back] for t in types if t.rank >= back]))
    return tuple(dims)


def _broadcast_dim(a: Dim, b: Dim) -> Dim:
    if a == 1 or a == b:
        return b
    if b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeMismatch(f"operands could not be broadcast together: sizes {a} and {b}")
    for exact in (a, b):
        if isinstance(exact, int):
            return exact
    return NOT_ONE


@functools.cache
def ufunc_dtype(ufunc: np.ufunc, operands: tuple[Scalar, ...]) -> str:
    """The result dtype NumPy gives, weak operands included (NEP 50)."""
    weak = all(o.weak for o in operands)
    python = {"float64": float, "int64": int, "bool": int if weak else np.dtype("bool")}
    if weak:
        given = tuple(np.dtype("int64" if o.dtype == "bool" and ufunc in _COUNT_BOOLS else o.dtype) for o in operands)
    else:
        given = tuple(python[o.dtype] if o.weak else np.dtype(o.dtype) for o in operands)
    try:
        name = ufunc.resolve_dtypes((*given, *(None,) * ufunc.nout))[-1].name
    except TypeError as error:
        raise UnsupportedDtype(f"{ufunc.__name__} has no meaning for {', '.join(map(str, operands))}") from error
    if name not in DTYPES:
        raise UnsupportedDtype(f"{ufunc.__name__} of {operands[0]} gives {name}", remedy="Convert to float64 first.")
    return name


_COUNT_BOOLS = (
    np.add, np.subtract, np.multiply, np.negative, np.floor_divide, np.remainder, np.power, np.absolute,
    np.left_shift, np.right_shift,
)  # fmt: skip
"""Ufuncs for which Python's own bools are the ints 0 and 1."""


def _scalars(types: tuple[Type, ...]) -> tuple[Scalar, ...]:
    return tuple(t if isinstance(t, Scalar) else Scalar(t.dtype) for t in types)


def result_type(dtype: str, types: tuple[Type, ...]) -> Type:
    """The result of an elementwise operation: an array where any operand is one, weak where all are weak."""
    if any(isinstance(t, Array) for t in types):
        return Array(dtype, broadcast_dims(types))
    return Scalar(dtype, weak=all(isinstance(t, Scalar) and t.weak for t in types))


def by_ufunc(ufunc: np.ufunc):
    """Infer like a ufunc."""
    return lambda types, attrs: (result_type(ufunc_dtype(ufunc, _scalars(types)), types),)


def _infer_pow(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    if types[0].dtype == "bool" and not (isinstance(types[0], Scalar) and types[0].weak):
        raise UnsupportedDtype("powers of NumPy's bools are not supported", remedy="Convert to int64 first.")
    return by_ufunc(np.power)(types, attrs)


def _infer_where(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    branches = _scalars(types[1:])
    weak = all(b.weak for b in branches)
    python = {"float64": 1.0, "int64": 1, "bool": True}
    dtype = np.result_type(*(python[b.dtype] if b.weak and not weak else np.dtype(b.dtype) for b in branches)).name
    result = result_type(dtype, types)
    return (Scalar(dtype, weak),) if isinstance(result, Scalar) else (result,)


def _infer_cast(types: tuple[Type, ...], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    (type,) = types
    if isinstance(type, Scalar):
        return (Scalar(attrs["dtype"], attrs.get("weak", False)),)
    return (Array(attrs["dtype"], type.dims),)


def broadcast_shape(op: Any, args: tuple[Any, ...], attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The sizes of an elementwise result: per dimension, those of the first operand that decides it."""
    rank = max(a.rank for a in args)
    sizes = []
    for back in range(rank, 0, -1):
        known = [(a, a.type.dims[-back]) for a in args if a.rank >= back]
        deciding = [(a, d) for a, d in known if d != 1]
        exact = [d for _, d in deciding if isinstance(d, int)]
        firm = [a for a, d in deciding if d != ANY] or [a for a, _ in deciding]
        sizes.append(1 if not deciding else exact[0] if exact else op.size(firm[0], firm[0].rank - back))
    return tuple(sizes)


# -- definitions ----------------------------------------------------------------------------------------------


def scalar(name: str, primal: Any, partials: tuple, domain: tuple, **options: Any) -> Primitive:
    """Define an elementwise primitive; by default typed and spelled by the NumPy ufunc of its name."""
    ufunc = options.pop("ufunc", None) or getattr(np, name, None)
    options.setdefault("infer", by_ufunc(ufunc) if isinstance(ufunc, np.ufunc) else None)
    options.setdefault(
        "python", f"np.{getattr(ufunc, '__name__', name)}({', '.join(f'{{{i}}}' for i in range(len(domain)))})"
    )
    if not options.get("infix"):
        options.setdefault("scalar_python", f"math.{name}({{0}})" if len(domain) == 1 and hasattr(math, name) else "")
    callables = options.pop("callables", ())
    return define(
        Primitive(name, primal=primal, partials=partials, domain=domain, ufunc=ufunc, shape=broadcast_shape, **options),
        callables,
    )


def _logic_text(word, texts, eqn):
    """``a and b`` of Python's bools, else NumPy's function."""
    if not (isinstance(eqn.outs[0].type, Scalar) and eqn.outs[0].type.weak):
        return f"np.logical_{word}({texts[0]}, {texts[1]})"
    text = f"({texts[0]} {word} {texts[1]})"
    return text if all(a.type.dtype == "bool" for a in eqn.args) else f"bool{text}"


def _zero(op, ans, *args):
    return None


def _converted(text: str, type: Type) -> str:
    """A conversion as Python or NumPy writes it."""
    if isinstance(type, Scalar) and type.weak:
        return f"{ {'float64': 'float', 'int64': 'int', 'bool': 'bool'}[type.dtype] }({text})"
    name = "bool_" if type.dtype == "bool" else type.dtype
    return f"{text}.astype(np.{name})" if isinstance(type, Array) else f"np.{name}({text})"


def _where_text(texts: Sequence[str], eqn: Any) -> str:
    """``np.where`` on arrays, a conditional expression on scalars whose branches both have the result's type."""
    type = eqn.outs[0].type
    if isinstance(type, Array):
        return f"np.where({', '.join(texts)})"
    then, other = (
        text if atom.type == type else _converted(text, type)
        for text, atom in zip(texts[1:], eqn.args[1:], strict=True)
    )
    return f"({then} if {texts[0]} else {other})"


# arithmetic

scalar(
    "add",
    lambda op, x, y: x + y,
    (lambda op, ans, x, y: 1.0, lambda op, ans, x, y: 1.0),
    (REAL, REAL),
    ufunc=np.add,
    infix=("+", 12),
    callables=(operator.add, operator.iadd, np.add),
)
scalar(
    "sub",
    lambda op, x, y: x - y,
    (lambda op, ans, x, y: 1.0, lambda op, ans, x, y: -1.0),
    (REAL, REAL),
    ufunc=np.subtract,
    infix=("-", 12),
    callables=(operator.sub, operator.isub, np.subtract),
)
scalar(
    "mul",
    lambda op, x, y: x * y,
    (lambda op, ans, x, y: y, lambda op, ans, x, y: x),
    (REAL, REAL),
    ufunc=np.multiply,
    infix=("*", 13),
    callables=(operator.mul, operator.imul, np.multiply),
)
scalar(
    "div",
    lambda op, x, y: x / y,
    (lambda op, ans, x, y: 1.0 / y, lambda op, ans, x, y: -(ans / y)),
    (REAL, POSITIVE),
    ufunc=np.divide,
    infix=("/", 13),
    callables=(operator.truediv, operator.itruediv, np.divide),
)
scalar(
    "floordiv",
    lambda op, x, y: op.floor(x / y),
    (_zero, _zero),
    (REAL, POSITIVE),
    ufunc=np.floor_divide,
    infix=("//", 13),
    callables=(operator.floordiv, operator.ifloordiv, np.floor_divide),
)
scalar(
    "mod",
    lambda op, x, y: x - y * op.floor(x / y),
    (lambda op, ans, x, y: 1.0, lambda op, ans, x, y: -(x // y)),
    (REAL, POSITIVE),
    ufunc=np.remainder,
    infix=("%", 13),
    callables=(operator.mod, operator.imod, np.remainder, np.mod),
)
scalar(
    "pow",
    lambda op, x, y: x**y,
    (
        lambda op, ans, x, y: op.where(op.eq(y, 0), 0.0 * x, y * x ** (op.where(op.eq(y, 0), 1, y) - 1)),
        lambda op, ans, x, y: op.where(x > 0.0, ans * op.log(op.where(x > 0.0, x, 1.0)), 0.0 * x),
    ),
    (POSITIVE, REAL),
    ufunc=np.power,
    infer=_infer_pow,
    infix=("**", 15),
    callables=(np.power,),
)
scalar("neg", lambda op, x: -x, (lambda op, ans, x: -1.0,), (REAL,), ufunc=np.negative, infix=("-", 14),
       callables=(operator.neg, np.negative))  # fmt: skip
scalar("square", lambda op, x: x * x, (lambda op, ans, x: 2.0 * x,), (REAL,), callables=(np.square,))
scalar("reciprocal", lambda op, x: 1.0 / x, (lambda op, ans, x: -ans * ans,), (POSITIVE,), callables=(np.reciprocal,))

# exponentials and logarithms

scalar("exp", lambda op, x: op.exp(x), (lambda op, ans, x: ans,), (REAL,), callables=(np.exp,))
scalar("expm1", lambda op, x: op.exp(x) - 1, (lambda op, ans, x: ans + 1.0,), (REAL,), callables=(np.expm1,))
scalar("log", lambda op, x: op.log(x), (lambda op, ans, x: 1.0 / x,), (POSITIVE,), callables=(np.log,))
scalar("log1p", lambda op, x: op.log(1 + x), (lambda op, ans, x: 1.0 / (1.0 + x),), (UNIT,), callables=(np.log1p,))
scalar(
    "log2",
    lambda op, x: op.log(x) / op.log(2),
    (lambda op, ans, x: 1.0 / (x * op.log(2.0)),),
    (POSITIVE,),
    callables=(np.log2,),
)
scalar(
    "log10",
    lambda op, x: op.log(x) / op.log(10),
    (lambda op, ans, x: 1.0 / (x * op.log(10.0)),),
    (POSITIVE,),
    callables=(np.log10,),
)
scalar(
    "logaddexp",
    lambda op, x, y: op.log(op.exp(x) + op.exp(y)),
    (lambda op, ans, x, y: op.exp(x - ans), lambda op, ans, x, y: op.exp(y - ans)),
    (REAL, REAL),
    callables=(np.logaddexp,),
)
scalar("sqrt", lambda op, x: op.sqrt(x), (lambda op, ans, x: 0.5 / ans,), (POSITIVE,), callables=(np.sqrt,))
scalar(
    "cbrt",
    lambda op, x: op.cbrt(x),
    (lambda op, ans, x: 1.0 / (3.0 * ans * ans),),
    (POSITIVE,),
    callables=(np.cbrt,),
)
scalar(
    "hypot",
    lambda op, x, y: op.sqrt(x * x + y * y),
    (
        lambda op, ans, x, y: x / op.where(ans > 0.0, ans, 1.0),
        lambda op, ans, x, y: y / op.where(ans > 0.0, ans, 1.0),
    ),
    (POSITIVE, REAL),
    scalar_python="math.hypot({0}, {1})",
    callables=(np.hypot,),
)

# trigonometric and hyperbolic

scalar("sin", lambda op, x: op.sin(x), (lambda op, ans, x: op.cos(x),), (REAL,), callables=(np.sin,))
scalar("cos", lambda op, x: op.cos(x), (lambda op, ans, x: -op.sin(x),), (REAL,), callables=(np.cos,))
scalar("tan", lambda op, x: op.tan(x), (lambda op, ans, x: 1.0 + ans * ans,), (UNIT,), callables=(np.tan,))
for _name, _partial, _domain in (
    ("arcsin", lambda op, ans, x: 1.0 / op.sqrt(1.0 - x * x), UNIT),
    ("arccos", lambda op, ans, x: -1.0 / op.sqrt(1.0 - x * x), UNIT),
    ("arctan", lambda op, ans, x: 1.0 / (1.0 + x * x), REAL),
    ("arcsinh", lambda op, ans, x: 1.0 / op.sqrt(x * x + 1.0), REAL),
    ("arccosh", lambda op, ans, x: 1.0 / op.sqrt(x * x - 1.0), (1.1, 4.0)),
    ("arctanh", lambda op, ans, x: 1.0 / (1.0 - x * x), UNIT),
):
    scalar(
        _name,
        lambda op, x, name=_name: getattr(op, name)(x),
        (_partial,),
        (_domain,),
        scalar_python=f"math.{_name.replace('arc', 'a')}({{0}})",
        callables=(getattr(np, _name),),
    )
scalar(
    "arctan2",
    lambda op, y, x: op.arctan2(y, x),
    (lambda op, ans, y, x: x / (x * x + y * y), lambda op, ans, y, x: -y / (x * x + y * y)),
    (REAL, POSITIVE),
    scalar_python="math.atan2({0}, {1})",
    callables=(np.arctan2,),
)
scalar("sinh", lambda op, x: op.sinh(x), (lambda op, ans, x: op.cosh(x),), (REAL,), callables=(np.sinh,))
scalar("cosh", lambda op, x: op.cosh(x), (lambda op, ans, x: op.sinh(x),), (REAL,), callables=(np.cosh,))
scalar("tanh", lambda op, x: op.tanh(x), (lambda op, ans, x: 1.0 - ans * ans,), (REAL,), callables=(np.tanh,))
scalar(
    "expit",
    lambda op, x: 1.0 / (1.0 + op.exp(-x)),
    (lambda op, ans, x: ans * op.expit(-x),),  # 1 - ans would cancel for large x
    (REAL,),
    ufunc=np.exp,
    python="special.expit({0})",
)

# error function


def _gauss(op, x):
    return 2.0 / op.sqrt(op.pi) * op.exp(-x * x)


for _name, _sign in (("erf", 1.0), ("erfc", -1.0)):
    scalar(
        _name,
        lambda op, x, name=_name: getattr(op, name)(x),
        (lambda op, ans, x, sign=_sign: sign * _gauss(op, x),),
        (REAL,),
        ufunc=np.exp,
        python=f"special.{_name}({{0}})",
    )

# piecewise


def _share(op, wins, ties):
    return op.where(wins, 1.0, op.where(ties, 0.5, 0.0))


scalar("abs", lambda op, x: op.abs(x), (lambda op, ans, x: op.sign(x),), (POSITIVE,), ufunc=np.absolute,
       scalar_python="abs({0})", callables=(np.abs, operator.abs, abs))  # fmt: skip
scalar("sign", lambda op, x: op.sign(x), (_zero,), (POSITIVE,), callables=(np.sign,))
scalar("floor", lambda op, x: op.floor(x), (_zero,), (REAL,), scalar_python="", callables=(np.floor,))
scalar("ceil", lambda op, x: op.ceil(x), (_zero,), (REAL,), scalar_python="", callables=(np.ceil,))
scalar("trunc", lambda op, x: op.trunc(x), (_zero,), (REAL,), scalar_python="", callables=(np.trunc,))
scalar("rint", lambda op, x: op.rint(x), (_zero,), (REAL,), callables=(np.rint,))
for _name, _better in (("maximum", operator.gt), ("minimum", operator.lt)):
    scalar(
        _name,
        lambda op, x, y, name=_name: getattr(op, name)(x, y),
        (
            lambda op, ans, x, y, better=_better: op.like(ans, _share(op, better(x, y), op.eq(x, y))),
            lambda op, ans, x, y, better=_better: op.like(ans, _share(op, better(y, x), op.eq(x, y))),
        ),
        (REAL, REAL),
        python=lambda texts, eqn, name=_name: (
            f"{name[:3]}({texts[0]}, {texts[1]})"
            if eqn.outs[0].type == PYTHON_INT
            else f"np.{name}({texts[0]}, {texts[1]})"
        ),
        callables=(getattr(np, _name),),
    )
scalar(
    "where",
    lambda op, condition, x, y: op.where(condition, x, y),
    (None, lambda op, ans, condition, x, y: None, lambda op, ans, condition, x, y: None),
    ((0.0, 1.0), REAL, REAL),
    ufunc=np.add,
    infer=_infer_where,
    python=_where_text,
    jvp=lambda op, tangents, outs, args, attrs: (
        op.where(args[0], *(op.zeros_like(outs[0]) if t is None else t for t in tangents[1:])),
    ),
    vjp=lambda op, cotangents, outs, args, attrs, wanted: (
        None,
        op.where(args[0], cotangents[0], op.zero(outs[0].type.dtype)) if wanted[1] else None,
        op.where(args[0], op.zero(outs[0].type.dtype), cotangents[0]) if wanted[2] else None,
    ),
)

# comparisons and logic: no derivative

for _symbol, _ufunc, _python in (
    ("lt", np.less, "<"), ("le", np.less_equal, "<="), ("gt", np.greater, ">"), ("ge", np.greater_equal, ">="),
    ("eq", np.equal, "=="), ("ne", np.not_equal, "!="),
):  # fmt: skip
    scalar(_symbol, lambda op, x, y, name=_symbol: getattr(op, name)(x, y), (_zero, _zero), (REAL, REAL),
           ufunc=_ufunc, infix=(_python, 8), differentiable=False,
           callables=(getattr(operator, _symbol), _ufunc))  # fmt: skip
for _name, _infix in (("logical_and", "and"), ("logical_or", "or")):
    scalar(_name, lambda op, x, y, name=_name: getattr(op, name)(x, y), (_zero, _zero), (REAL, REAL),
           python=functools.partial(_logic_text, _infix), differentiable=False,
           callables=(getattr(np, _name),))  # fmt: skip
scalar("logical_not", lambda op, x: op.logical_not(x), (_zero,), (REAL,), scalar_python="(not {0})",
       differentiable=False, callables=(np.logical_not, operator.not_))  # fmt: skip
for _name, _symbol, _precedence, _ufunc, _operators in (
    ("bitand", "&", 10, np.bitwise_and, (operator.and_, operator.iand)),
    ("bitor", "|", 8.5, np.bitwise_or, (operator.or_, operator.ior)),
    ("bitxor", "^", 9, np.bitwise_xor, (operator.xor, operator.ixor)),
    ("lshift", "<<", 11, np.left_shift, (operator.lshift, operator.ilshift)),
    ("rshift", ">>", 11, np.right_shift, (operator.rshift, operator.irshift)),
):
    scalar(_name, lambda op, x, y, name=_name: getattr(op, name)(x, y), (_zero, _zero), (REAL, REAL), ufunc=_ufunc,
           infix=(_symbol, _precedence), differentiable=False, callables=(*_operators, _ufunc))  # fmt: skip
for _name in ("isfinite", "isnan", "isinf"):
    scalar(_name, lambda op, x, name=_name: getattr(op, name)(x), (_zero,), (REAL,), differentiable=False,
           callables=(getattr(np, _name),))  # fmt: skip

# conversions

scalar(
    "cast",
    lambda op, x: x,
    (lambda op, ans, x: 1.0,),
    (REAL,),
    ufunc=np.positive,
    infer=_infer_cast,
    python=lambda texts, eqn: _converted(texts[0], eqn.outs[0].type),
    jvp=lambda op, tangents, outs, args, attrs: (
        (op("cast", tangents[0], **attrs),) if attrs["dtype"] in FLOATS else (None,)
    ),
    vjp=lambda op, cotangents, outs, args, attrs, wanted: (cotangents[0],),
)
scalar("stop_gradient", lambda op, x: x, (_zero,), (REAL,), ufunc=np.positive, python="{0}", scalar_python="{0}")

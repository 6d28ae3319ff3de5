"""The table from elementwise primitives on scalars to LLVM instructions, with NumPy's meaning.

`emit(code, op, dtype, operands)` writes one operation whose operands already have ``dtype``; the result has the type
that `result_dtype` says. Kinds of dtype: ``b`` bool, ``i`` signed, ``u`` unsigned, ``f`` floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adcompile.backend.llvm import vecmath
from adcompile.backend.llvm.code import BYTES, LLVM, SUFFIX, Code, is_literal, literal
from adcompile.errors import MissingRule
from adcompile.source import SourceLoc

PREDICATES = (
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "logical_and",
    "logical_or",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
)
Rule = Callable[..., str]


def kind(dtype: str) -> str:
    """The kind of a dtype: b, i, u or f."""
    return dtype[0]


def emit(code: Code, op: str, dtype: str, operands: list[str], loc: SourceLoc | None = None) -> str:
    """Write an elementwise operation; a `MissingRule` where the table has no line for it."""
    rule = RULES.get((op, kind(dtype)))
    if rule is None:
        raise MissingRule(f"the llvm backend has no {op} of {dtype}", loc)
    return rule(code, dtype, *operands)


def convert(code: Code, operand: str, source: str, target: str) -> str:
    """Cast a scalar as NumPy does; a float outside an integer's range gives some integer, never undefined behaviour."""
    if source == target:
        return operand
    if target == "bool":
        return truth(code, source, operand)
    frm, to = LLVM[source], LLVM[target]
    match kind(source), kind(target):
        case "f", "f":
            return code.let(f"{'fpext' if target == 'float64' else 'fptrunc'} {frm} {operand} to {to}")
        case (("b" | "u"), "f"):
            return code.let(f"uitofp {frm} {operand} to {to}")
        case "i", "f":
            return code.let(f"sitofp {frm} {operand} to {to}")
        case "f", _:
            return _float_to_integer(code, operand, source, target)
    if frm == to:
        return operand
    widen = "sext" if kind(source) == "i" else "zext"
    return code.let(f"{widen if _bits(source) < _bits(target) else 'trunc'} {frm} {operand} to {to}")


def _bits(dtype: str) -> int:
    return 1 if dtype == "bool" else BYTES[dtype] * 8


def _float_to_integer(code: Code, operand: str, source: str, target: str) -> str:
    frm, to = LLVM[source], LLVM[target]
    wide = "i32" if target in ("int8", "int16", "int32") else "i64"
    signed = code.let(f"freeze {wide} {code.let(f'fptosi {frm} {operand} to {wide}')}")
    if target == "uint64":
        unsigned = code.let(f"freeze i64 {code.let(f'fptoui {frm} {operand} to i64')}")
        negative = code.let(f"fcmp olt {frm} {operand}, {literal(0.0, source)}")
        return code.let(f"select i1 {negative}, i64 {signed}, i64 {unsigned}")
    return signed if wide == to else code.let(f"trunc {wide} {signed} to {to}")


def truth(code: Code, dtype: str, operand: str) -> str:
    """Whether a scalar is true: not zero."""
    if dtype == "bool":
        return operand
    compare = "fcmp une" if kind(dtype) == "f" else "icmp ne"
    return code.let(f"{compare} {LLVM[dtype]} {operand}, {literal(0, dtype)}")


# -- makers of rules ----------------------------------------------------------------------------------------------


def _binary(instruction: str) -> Rule:
    flagged = instruction.startswith("f")
    return lambda c, t, a, b: c.let(f"{instruction} {c.module.flags if flagged else ''}{LLVM[t]} {a}, {b}")


def _compare(predicate: str) -> Rule:
    instruction = "fcmp" if predicate[0] == "o" or predicate == "une" else "icmp"
    return lambda c, t, a, b: c.let(f"{instruction} {predicate} {LLVM[t]} {a}, {b}")


def _intrinsic(name: str) -> Rule:
    return lambda c, t, *xs: c.call(LLVM[t], f"llvm.{name}.{SUFFIX.get(t) or LLVM[t]}", *((LLVM[t], x) for x in xs))


def _libm(name: str) -> Rule:
    def rule(c: Code, t: str, *xs: str) -> str:
        return c.call(LLVM[t], name + ("f" if t == "float32" else ""), *((LLVM[t], x) for x in xs))

    return rule


def _logical(instruction: str) -> Rule:
    return lambda c, t, a, b: c.let(f"{instruction} i1 {truth(c, t, a)}, {truth(c, t, b)}")


def _constant(text: str) -> Rule:
    return lambda c, t, *xs: text


def _same(c: Code, t: str, x: str) -> str:
    return x


# -- floating point -----------------------------------------------------------------------------------------------


def _float_extreme(name: str, predicate: str) -> Rule:
    """NaN wins, as in np.maximum; against a constant one comparison is enough."""
    intrinsic = _intrinsic(name)

    def rule(c: Code, t: str, a: str, b: str) -> str:
        if is_literal(a):
            a, b = b, a
        if not is_literal(b) or b == literal(float("nan"), t):
            return intrinsic(c, t, a, b)
        beaten = c.let(f"fcmp {predicate} {LLVM[t]} {a}, {b}")
        return c.let(f"select i1 {beaten}, {LLVM[t]} {b}, {LLVM[t]} {a}")

    return rule


def _float_sign(c: Code, t: str, x: str) -> str:
    zero = literal(0.0, t)
    unsigned = c.let(f"select i1 {c.let(f'fcmp oeq {LLVM[t]} {x}, {zero}')}, {LLVM[t]} {zero}, {LLVM[t]} {x}")
    for predicate, value in (("ogt", 1.0), ("olt", -1.0)):
        holds = c.let(f"fcmp {predicate} {LLVM[t]} {x}, {zero}")
        unsigned = c.let(f"select i1 {holds}, {LLVM[t]} {literal(value, t)}, {LLVM[t]} {unsigned}")
    return unsigned


def _logaddexp(c: Code, t: str, x: str, y: str) -> str:
    """The larger one + log1p(exp(-|x - y|)); equal infinities have no difference."""
    f = LLVM[t]
    larger = c.let(f"select i1 {c.let(f'fcmp ogt {f} {x}, {y}')}, {f} {x}, {f} {y}")
    gap = c.let(f"fneg {f} {_intrinsic('fabs')(c, t, c.let(f'fsub {f} {x}, {y}'))}")
    apart = c.let(f"fadd {f} {larger}, {_libm('log1p')(c, t, _libm('exp')(c, t, gap))}")
    equal = c.let(f"fadd {f} {x}, {literal(math.log(2.0), t)}")
    return c.let(f"select i1 {c.let(f'fcmp oeq {f} {x}, {y}')}, {f} {equal}, {f} {apart}")


def _float_mod(c: Code, t: str, a: str, b: str) -> str:
    return _float_divmod(c, t, a, b)[1]


def _float_floordiv(c: Code, t: str, a: str, b: str) -> str:
    return _float_divmod(c, t, a, b)[0]


def _float_divmod(c: Code, t: str, a: str, b: str) -> tuple[str, str]:
    """npy_divmod: the remainder takes the divisor's sign, the quotient is floored to it; by zero: a / b and nan."""
    f, zero, one, half = LLVM[t], literal(0.0, t), literal(1.0, t), literal(0.5, t)
    sign = _intrinsic("copysign")
    ratio = c.let(f"fdiv {f} {a}, {b}")
    rest = c.let(f"frem {f} {a}, {b}")
    exact = c.let(f"fcmp oeq {f} {rest}, {zero}")
    signs = [c.let(f"fcmp olt {f} {x}, {zero}") for x in (b, rest)]
    wrong = c.let(f"xor i1 {signs[0]}, {signs[1]}")
    fix = c.let(f"select i1 {exact}, i1 false, i1 {wrong}")
    rest_fixed = c.let(f"select i1 {fix}, {f} {c.let(f'fadd {f} {rest}, {b}')}, {f} {rest}")
    remainder = c.let(f"select i1 {exact}, {f} {sign(c, t, zero, b)}, {f} {rest_fixed}")
    quotient = c.let(f"fdiv {f} {c.let(f'fsub {f} {a}, {rest}')}, {b}")
    quotient = c.let(f"select i1 {fix}, {f} {c.let(f'fsub {f} {quotient}, {one}')}, {f} {quotient}")
    floor = _intrinsic("floor")(c, t, quotient)
    short = c.let(f"fcmp ogt {f} {c.let(f'fsub {f} {quotient}, {floor}')}, {half}")
    floor = c.let(f"select i1 {short}, {f} {c.let(f'fadd {f} {floor}, {one}')}, {f} {floor}")
    nothing = c.let(f"fcmp oeq {f} {quotient}, {zero}")
    floor = c.let(f"select i1 {nothing}, {f} {sign(c, t, zero, ratio)}, {f} {floor}")
    by_zero = c.let(f"fcmp oeq {f} {b}, {zero}")
    return c.let(f"select i1 {by_zero}, {f} {ratio}, {f} {floor}"), remainder


# -- integers -----------------------------------------------------------------------------------------------------


def _guarded(c: Code, t: str, b: str) -> tuple[str, str, str]:
    """A divisor that never traps (0 and -1 become 1), and whether it was 0 or -1."""
    i = LLVM[t]
    zero = c.let(f"icmp eq {i} {b}, 0")
    minus = c.let(f"icmp eq {i} {b}, -1") if kind(t) == "i" else "false"
    bad = c.let(f"or i1 {zero}, {minus}")
    return c.let(f"select i1 {bad}, {i} 1, {i} {b}"), zero, minus


def _integer_floordiv(c: Code, t: str, a: str, b: str) -> str:
    """Rounds down; division by zero gives 0 and the smallest number by -1 wraps, as in NumPy."""
    i, (safe, zero, minus) = LLVM[t], _guarded(c, t, b)
    if kind(t) == "u":
        quotient = c.let(f"udiv {i} {a}, {safe}")
    else:
        quotient = c.let(f"sdiv {i} {a}, {safe}")
        rest = c.let(f"srem {i} {a}, {safe}")
        down = c.let(f"zext i1 {_opposed(c, t, rest, safe)} to {i}")
        quotient = c.let(f"sub {i} {quotient}, {down}")
        quotient = c.let(f"select i1 {minus}, {i} {c.let(f'sub {i} 0, {a}')}, {i} {quotient}")
    return c.let(f"select i1 {zero}, {i} 0, {i} {quotient}")


def _integer_mod(c: Code, t: str, a: str, b: str) -> str:
    """The remainder of the floored quotient; modulo zero gives 0, as in NumPy.

    Periodic grids ask for it of subscripts that are in range but at the borders: by a divisor that is not known, what
    is in range already branches around the division, which takes longer than all else that such a cell needs.
    """
    if kind(t) != "i" or is_literal(b):
        return _divided_mod(c, t, a, b)
    i, before = LLVM[t], c.here
    divide, join = c.label("divide"), c.label("remainder")
    size = c.call(i, f"llvm.smax.{i}", (i, b), (i, "0"))
    inside = c.let(f"icmp ult {i} {a}, {size}")
    c.do(f"br i1 {inside}, label %{join}, label %{divide}")
    c.start(divide)
    rest = _divided_mod(c, t, a, b)
    c.do(f"br label %{join}")
    c.start(join)
    return c.let(f"phi {i} [ {a}, %{before} ], [ {rest}, %{divide} ]")


def _divided_mod(c: Code, t: str, a: str, b: str) -> str:
    i, (safe, zero, minus) = LLVM[t], _guarded(c, t, b)
    rest = c.let(f"{'u' if kind(t) == 'u' else 's'}rem {i} {a}, {safe}")
    if kind(t) == "i":
        lifted = c.let(f"add {i} {rest}, {safe}")
        rest = c.let(f"select i1 {_opposed(c, t, rest, safe)}, {i} {lifted}, {i} {rest}")
    none = c.let(f"or i1 {zero}, {minus}")
    return c.let(f"select i1 {none}, {i} 0, {i} {rest}")


def _opposed(c: Code, t: str, rest: str, divisor: str) -> str:
    """Whether a remainder is not zero and its sign differs from the divisor's."""
    i = LLVM[t]
    signs = c.let(f"icmp slt {i} {c.let(f'xor {i} {rest}, {divisor}')}, 0")
    return c.let(f"and i1 {c.let(f'icmp ne {i} {rest}, 0')}, {signs}")


def _integer_sign(c: Code, t: str, x: str) -> str:
    i = LLVM[t]
    positive = c.let(f"zext i1 {c.let(f'icmp sgt {i} {x}, 0')} to {i}")
    negative = c.let(f"zext i1 {c.let(f'icmp slt {i} {x}, 0')} to {i}")
    return c.let(f"sub {i} {positive}, {negative}")


def _unsigned_sign(c: Code, t: str, x: str) -> str:
    return c.let(f"zext i1 {c.let(f'icmp ne {LLVM[t]} {x}, 0')} to {LLVM[t]}")


def _integer_power(c: Code, t: str, x: str, n: str) -> str:
    """By squaring; a negative exponent was refused by the caller."""
    name, i = f"adcompile_power_{LLVM[t]}", LLVM[t]
    c.module.functions[name] = _POWER.format(name=name, i=i)
    return c.let(f"call {i} @{name}({i} {x}, {i} {n})")


_POWER = """\
define internal {i} @{name}({i} %x, {i} %n) nounwind willreturn memory(none) {{
entry:
  br label %loop
loop:
  %b = phi {i} [ %x, %entry ], [ %square, %step ]
  %e = phi {i} [ %n, %entry ], [ %half, %step ]
  %r = phi {i} [ 1, %entry ], [ %next, %step ]
  %done = icmp eq {i} %e, 0
  br i1 %done, label %exit, label %step
step:
  %bit = trunc {i} %e to i1
  %product = mul {i} %r, %b
  %next = select i1 %bit, {i} %product, {i} %r
  %square = mul {i} %b, %b
  %half = lshr {i} %e, 1
  br label %loop
exit:
  ret {i} %r
}}"""


def _shift(instruction: str) -> Rule:
    """A shift by the width or more empties the number, as in NumPy."""

    def rule(c: Code, t: str, a: str, n: str) -> str:
        i, bits = LLVM[t], BYTES[t] * 8
        inside = c.let(f"icmp ult {i} {n}, {bits}")
        if instruction == "ashr":
            return c.let(f"ashr {i} {a}, {c.let(f'select i1 {inside}, {i} {n}, {i} {bits - 1}')}")
        shifted = c.let(f"{instruction} {i} {a}, {c.let(f'select i1 {inside}, {i} {n}, {i} 0')}")
        return c.let(f"select i1 {inside}, {i} {shifted}, {i} 0")

    return rule


# -- the table ----------------------------------------------------------------------------------------------------

_LIBM = {
    "log2": "log2", "log10": "log10", "cbrt": "cbrt", "hypot": "hypot", "tan": "tan", "sin": "sin", "cos": "cos",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "exp": "exp", "expm1": "expm1", "log": "log",
    "log1p": "log1p", "erf": "erf", "erfc": "erfc", "pow": "pow",
}  # fmt: skip

_FLOAT: dict[str, Rule] = {
    "add": _binary("fadd"), "sub": _binary("fsub"), "mul": _binary("fmul"), "div": _binary("fdiv"),
    "floordiv": _float_floordiv, "mod": _float_mod, "sign": _float_sign, "logaddexp": _logaddexp,
    "expit": lambda c, t, x: vecmath.call(c, "expit", t, [x]),
    "neg": lambda c, t, x: c.let(f"fneg {LLVM[t]} {x}"),
    "square": lambda c, t, x: c.let(f"fmul {c.module.flags}{LLVM[t]} {x}, {x}"),
    "reciprocal": lambda c, t, x: c.let(f"fdiv {c.module.flags}{LLVM[t]} {literal(1.0, t)}, {x}"),
    "abs": _intrinsic("fabs"), "sqrt": _intrinsic("sqrt"), "floor": _intrinsic("floor"), "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"), "rint": _intrinsic("rint"),
    "maximum": _float_extreme("maximum", "olt"), "minimum": _float_extreme("minimum", "ogt"),
    "lt": _compare("olt"), "le": _compare("ole"), "gt": _compare("ogt"), "ge": _compare("oge"),
    "eq": _compare("oeq"), "ne": _compare("une"),
    "isnan": lambda c, t, x: c.let(f"fcmp uno {LLVM[t]} {x}, {x}"),
    "isinf": lambda c, t, x: c.let(f"fcmp oeq {LLVM[t]} {_intrinsic('fabs')(c, t, x)}, {literal(float('inf'), t)}"),
    "isfinite": lambda c, t, x: c.let(f"fcmp olt {LLVM[t]} {_intrinsic('fabs')(c, t, x)}, {literal(float('inf'), t)}"),
    **{op: _libm(name) for op, name in _LIBM.items()},
}  # fmt: skip

_INTEGER: dict[str, Rule] = {
    "add": _binary("add"), "sub": _binary("sub"), "mul": _binary("mul"),
    "floordiv": _integer_floordiv, "mod": _integer_mod, "pow": _integer_power,
    "neg": lambda c, t, x: c.let(f"sub {LLVM[t]} 0, {x}"),
    "square": lambda c, t, x: c.let(f"mul {LLVM[t]} {x}, {x}"),
    "eq": _compare("eq"), "ne": _compare("ne"),
    "bitand": _binary("and"), "bitor": _binary("or"), "bitxor": _binary("xor"), "lshift": _shift("shl"),
    "floor": _same, "ceil": _same, "trunc": _same, "rint": _same,
    "isnan": _constant("false"), "isinf": _constant("false"), "isfinite": _constant("true"),
}  # fmt: skip

_SIGNED: dict[str, Rule] = {
    "abs": lambda c, t, x: c.call(LLVM[t], f"llvm.abs.{LLVM[t]}", (LLVM[t], x), ("i1", "false")),
    "sign": _integer_sign, "rshift": _shift("ashr"),
    "maximum": _intrinsic("smax"), "minimum": _intrinsic("smin"),
    "lt": _compare("slt"), "le": _compare("sle"), "gt": _compare("sgt"), "ge": _compare("sge"),
}  # fmt: skip

_UNSIGNED: dict[str, Rule] = {
    "abs": _same, "sign": _unsigned_sign, "rshift": _shift("lshr"),
    "maximum": _intrinsic("umax"), "minimum": _intrinsic("umin"),
    "lt": _compare("ult"), "le": _compare("ule"), "gt": _compare("ugt"), "ge": _compare("uge"),
}  # fmt: skip

_BOOL: dict[str, Rule] = {
    "add": _binary("or"), "mul": _binary("and"), "maximum": _binary("or"), "minimum": _binary("and"),
    "bitand": _binary("and"), "bitor": _binary("or"), "bitxor": _binary("xor"), "square": _same, "abs": _same,
    "lt": _compare("ult"), "le": _compare("ule"), "gt": _compare("ugt"), "ge": _compare("uge"),
    "eq": _compare("eq"), "ne": _compare("ne"), "floor": _same, "ceil": _same, "trunc": _same,
    "isnan": _constant("false"), "isinf": _constant("false"), "isfinite": _constant("true"),
}  # fmt: skip

_ANY: dict[str, Rule] = {
    "logical_and": _logical("and"), "logical_or": _logical("or"),
    "logical_not": lambda c, t, x: c.let(f"xor i1 {truth(c, t, x)}, true"),
    "stop_gradient": _same,
}  # fmt: skip

RULES: dict[tuple[str, str], Rule] = {
    (op, k): rule
    for kinds, table in (
        ("biuf", _ANY),
        ("f", _FLOAT),
        ("iu", _INTEGER),
        ("i", _SIGNED),
        ("u", _UNSIGNED),
        ("b", _BOOL),
    )
    for k in kinds
    for op, rule in table.items()
}

"""Sine and cosine that the vectoriser can widen, in float64 (which float32 goes through).

Cody and Waite's reduction by three parts of π/2, exact with fused multiply-add up to 2⁴⁰, then FreeBSD's k_sin.c and
k_cos.c, or k_sinf.c and k_cosf.c for float32. Beyond, libm's function behind a branch that is hardly ever taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adcompile.backend.llvm.real import Real

_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_FAR = 2.0**40
_SIN = (
    8.33333333332248946124e-03, -1.98412698298579493134e-04, 2.75573137070700676789e-06, -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)  # fmt: skip
_SIN_CUBIC = -1.66666666666666324348e-01
_COS = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05, -2.75573143513906633035e-07,
    2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip
_SHORT_SIN = (
    -0.166666666416265235595,
    0.0083333293858894631756,
    -0.000198393348360966317347,
    2.7183114939898219064e-06,
)
_SHORT_COS = (
    1.0, -0.499999997251031003120, 0.0416666233237390631894, -0.00138867637746099294692, 2.43904487962774090654e-05,
)  # fmt: skip


def _remainder(m: Real, x: str) -> tuple[str, str, str]:
    """The remainder x - n π/2 as a sum of two numbers, and n; the first product is exact."""
    n, quadrant = m.round(x, 2.0 / math.pi)
    minus = m.neg(n)
    first = m.intrinsic("fma", minus, _HALF_PI[0], x)
    step = m.mul(minus, _HALF_PI[1])
    step_error = m.intrinsic("fma", minus, _HALF_PI[1], m.neg(step))
    r = m.add(first, step)
    part = m.sub(r, first)
    error = m.add(m.sub(first, m.sub(r, part)), m.sub(step, part))
    return r, m.fma(minus, _HALF_PI[2], m.add(error, step_error)), quadrant


def _sine_cosine(m: Real, x: str) -> tuple[str, str, str]:
    """Sine and cosine of the remainder, and the quadrant."""
    r, rest, quadrant = _remainder(m, x)
    z = m.mul(r, r)
    v = m.mul(z, r)
    inner = m.sub(m.mul(z, m.fma(v, m.neg(m.polynomial(z, _SIN)), m.mul(rest, 0.5))), rest)
    sine = m.sub(r, m.fma(v, -_SIN_CUBIC, inner))
    half = m.mul(z, 0.5)
    w = m.sub(1.0, half)
    tail = m.sub(m.mul(m.mul(z, z), m.polynomial(z, _COS)), m.mul(r, rest))
    return sine, m.add(w, m.add(m.sub(m.sub(1.0, w), half), tail)), quadrant


def _short_sine_cosine(m: Real, x: str) -> tuple[str, str, str]:
    """The same, as good as float32 needs (FreeBSD's k_sinf.c and k_cosf.c)."""
    n, quadrant = m.round(x, 2.0 / math.pi)
    minus = m.neg(n)
    r = m.fma(minus, _HALF_PI[1], m.intrinsic("fma", minus, _HALF_PI[0], x))
    z = m.mul(r, r)
    sine = m.mul(r, m.fma(z, m.polynomial(z, _SHORT_SIN), 1.0))
    return sine, m.polynomial(z, _SHORT_COS), quadrant


def quarter_turned(name: str, turn: int) -> Callable[[Real, str], str]:
    """Sine with ``turn`` quarter turns added; float32 is computed in float64."""

    def wide(m: Real, x: str, parts: Callable[[Real, str], tuple[str, str, str]]) -> str:
        sine, cosine, quadrant = parts(m, x)
        quarter = m.whole("add", quadrant, turn)
        odd = m.code.let(f"trunc i64 {quarter} to i1")
        sign = m.whole("shl", m.whole("and", quarter, 2), 62)
        value = m.from_bits(m.whole("xor", m.bits(m.select(odd, cosine, sine)), sign))
        return _guarded(m, name, x, value)

    def rule(m: Real, x: str) -> str:
        if m.double:
            return wide(m, x, _sine_cosine)
        x = m.code.let(f"fpext float {x} to double")
        return m.code.let(f"fptrunc double {wide(Real(m.code, 'float64'), x, _short_sine_cosine)} to float")

    return rule


def _guarded(m: Real, name: str, x: str, value: str) -> str:
    """The value where the reduction is exact, libm's for huge x and inf; the vectoriser keeps this as a rare branch."""
    code, far, join = m.code, m.code.label("far"), m.code.label("join")
    is_far = m.test("ugt", m.intrinsic("fabs", x), _FAR)
    before = code.here
    weights = code.module.shared('!{!"branch_weights", i32 1, i32 100000}')
    code.do(f"br i1 {is_far}, label %{far}, label %{join}, !prof {weights}")
    code.start(far)
    slow = code.let(f"call {m.type} @{_far(m, name)}({m.type} {x})")
    code.do(f"br label %{join}")
    code.start(join)
    return code.let(f"phi {m.type} [ {value}, %{before} ], [ {slow}, %{far} ]")


def _far(m: Real, name: str) -> str:
    """A libm function with masked vector variants: the vectoriser calls one per vector, and that tests the whole mask.

    It must not be a libm name itself: LLVM would compute those for every lane, taken branch or not.
    """
    symbol, functions = f"adcompile_far_{name}", m.code.module.functions
    if symbol not in functions:
        m.code.module.declare(f"declare double @{name}(double) nounwind willreturn memory(none)")
        names = {lanes: f"{symbol}_{lanes}" for lanes in _LANES}
        mangled = ",".join(f"_ZGV_LLVM_M{lanes}v_{symbol}({variant})" for lanes, variant in names.items())
        functions[symbol] = _FAR_SCALAR.format(symbol=symbol, name=name, variants=mangled)
        for lanes, variant in names.items():
            functions[variant] = _FAR_VECTOR.format(symbol=variant, name=name, lanes=lanes)
            m.code.module.used.append(variant)
    return symbol


_LANES = (2, 4, 8, 16)
_FAR_SCALAR = """\
define internal double @{symbol}(double %x) noinline nounwind willreturn memory(none) "vector-function-abi-variant"="{variants}" {{
  %y = call double @{name}(double %x)
  ret double %y
}}"""  # noqa: E501
_FAR_VECTOR = """\
define internal <{lanes} x double> @{symbol}(<{lanes} x double> %x, <{lanes} x i1> %mask) noinline nounwind willreturn memory(none) {{
entry:
  %bits = bitcast <{lanes} x i1> %mask to i{lanes}
  %none = icmp eq i{lanes} %bits, 0
  br i1 %none, label %out, label %lane
lane:
  %i = phi i32 [ 0, %entry ], [ %next, %step ]
  %v = phi <{lanes} x double> [ %x, %entry ], [ %w, %step ]
  %on = extractelement <{lanes} x i1> %mask, i32 %i
  %a = extractelement <{lanes} x double> %x, i32 %i
  br i1 %on, label %far, label %step
far:
  %y = call double @{name}(double %a)
  br label %step
step:
  %z = phi double [ %a, %lane ], [ %y, %far ]
  %w = insertelement <{lanes} x double> %v, double %z, i32 %i
  %next = add i32 %i, 1
  %more = icmp ult i32 %next, {lanes}
  br i1 %more, label %lane, label %out
out:
  %r = phi <{lanes} x double> [ %x, %entry ], [ %w, %step ]
  ret <{lanes} x double> %r
}}"""  # noqa: E501

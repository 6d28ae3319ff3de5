"""Elementary functions that LLVM's loop vectoriser can widen: branch-free polynomial code in float32 and float64.

LLVM has no vector mathematics library here and would call libm once per element. Used inside loops; straight-line code
calls libm, which compiles faster. Within 2 ulp of the exact value everywhere, signed zeros, subnormals, inf and nan
included (tests/backend/test_vecmath.py).

exp, expm1, sinh, cosh, tanh: x = n ln 2 + r with |r| <= ln 2 / 2, eʳ - 1 = r + r² q(r), q a Chebyshev interpolant.
log, log1p: FreeBSD's e_log.c and s_log1p.c. sin, cos: Cody and Waite's reduction by three parts of π/2, exact with fused
multiply-add up to 2⁴⁰, then FreeBSD's k_sin.c and k_cos.c; libm beyond, behind a branch that is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adcompile.backend.llvm.code import LLVM, SUFFIX, Code, literal

Rule = Callable[..., str]


def call(code: Code, name: str, dtype: str, operands: list[str]) -> str:
    """Call a function of this module, which is defined on the way."""
    symbol, type = f"adcompile_{name}_{SUFFIX[dtype]}", LLVM[dtype]
    if symbol not in code.module.functions:
        real = Real(Code(code.module), dtype)
        names = [f"%x{k}" for k in range(len(operands))]
        result = FUNCTIONS[name](real, *names)
        head = f"define internal {type} @{symbol}({', '.join(f'{type} {n}' for n in names)}) alwaysinline nounwind {{"
        lines = [head, "entry:", *real.code.lines, f"  ret {type} {result}", "}"]
        code.module.functions[symbol] = "\n".join(lines)
    return code.let(f"call {type} @{symbol}({', '.join(f'{type} {x}' for x in operands)})")


class Real:
    """Arithmetic on one floating-point dtype and on its bits; no flag lets LLVM change what is rounded."""

    def __init__(self, code: Code, dtype: str):
        self.code, self.dtype, self.type = code, dtype, LLVM[dtype]
        self.double = dtype == "float64"
        self.integer, self.mantissa, self.bias = ("i64", 52, 1023) if self.double else ("i32", 23, 127)
        self.magic = 1.5 * 2.0**self.mantissa

    def _number(self, x: str | float) -> str:
        return x if isinstance(x, str) else literal(x, self.dtype)

    def _binary(self, instruction: str, x: str | float, y: str | float) -> str:
        return self.code.let(f"{instruction} {self.type} {self._number(x)}, {self._number(y)}")

    def add(self, x: str | float, y: str | float) -> str:
        """x + y."""
        return self._binary("fadd", x, y)

    def sub(self, x: str | float, y: str | float) -> str:
        """x - y."""
        return self._binary("fsub", x, y)

    def mul(self, x: str | float, y: str | float) -> str:
        """x * y."""
        return self._binary("fmul", x, y)

    def div(self, x: str | float, y: str | float) -> str:
        """x / y."""
        return self._binary("fdiv", x, y)

    def neg(self, x: str) -> str:
        """-x."""
        return self.code.let(f"fneg {self.type} {x}")

    def intrinsic(self, name: str, *operands: str | float) -> str:
        """An LLVM intrinsic on numbers of the dtype."""
        pairs = [(self.type, self._number(x)) for x in operands]
        return self.code.call(self.type, f"llvm.{name}.{SUFFIX[self.dtype]}", *pairs)

    def fma(self, x: str | float, y: str | float, z: str | float) -> str:
        """x y + z, rounded once where the CPU can."""
        return self.intrinsic("fmuladd", x, y, z)

    def polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        """Horner's rule; the constant coefficient comes first."""
        value: str | float = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            value = self.fma(value, x, coefficient)
        return self._number(value)

    def test(self, predicate: str, x: str, y: float) -> str:
        """A comparison with a constant."""
        return self.code.let(f"fcmp {predicate} {self.type} {x}, {self._number(y)}")

    def select(self, test: str, x: str | float, y: str | float) -> str:
        """X where the test holds, else y."""
        return self.code.let(f"select i1 {test}, {self.type} {self._number(x)}, {self.type} {self._number(y)}")

    def clamp(self, x: str, low: float, high: float) -> str:
        """The number in [low, high] nearest to x; nan stays."""
        x = self.select(self.test("ogt", x, high), high, x)
        return self.select(self.test("olt", x, low), low, x)

    def bits(self, x: str | float) -> str:
        """The bits of a number as an integer."""
        return self.code.let(f"bitcast {self.type} {self._number(x)} to {self.integer}")

    def from_bits(self, x: str) -> str:
        """The number that has some bits."""
        return self.code.let(f"bitcast {self.integer} {x} to {self.type}")

    def whole(self, instruction: str, x: str, y: str | int) -> str:
        """An integer instruction."""
        return self.code.let(f"{instruction} {self.integer} {x}, {y}")

    def power_of_two(self, exponent: str) -> str:
        """2 to an integer within the range of normal numbers."""
        return self.from_bits(self.whole("shl", self.whole("add", exponent, self.bias), self.mantissa))

    def round(self, x: str, factor: float) -> tuple[str, str]:
        """The integer nearest to x times a factor: as a number, and as the integer that its bits hold."""
        shifted = self.fma(x, factor, self.magic)
        return self.sub(shifted, self.magic), self.whole("sub", self.bits(shifted), self.bits(self.magic))


# -- exponentials -------------------------------------------------------------------------------------------------

_LN2 = {"float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10), "float32": (0.693359375, -2.12194440e-4)}
_EXP = {
    "float64": (
        0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326025, 0.001388888888888367,
        0.00019841269875205077, 2.4801587325822283e-05, 2.75572549134867e-06, 2.7557273295539724e-07,
        2.5105419192016337e-08, 2.091483135138041e-09,
    ),
    "float32": (
        0.5000000013620138, 0.16666666681794626, 0.041666463386339524, 0.008333310754576892, 0.001393382048977602,
        0.00019891180158282143,
    ),
}  # fmt: skip
_EXP_RANGE = {"float64": (-750.0, 720.0), "float32": (-110.0, 95.0)}
_EXPM1_RANGE = {"float64": (-60.0, 709.9), "float32": (-30.0, 89.0)}
_SINH_LIMIT = {"float64": 711.0, "float32": 90.0}


def _reduced(m: Real, x: str) -> tuple[str, str]:
    """eʳ - 1 for the remainder r of x by ln 2, and the integer quotient."""
    high, low = _LN2[m.dtype]
    n, exponent = m.round(x, 1.0 / math.log(2.0))
    n = m.neg(n)
    r = m.fma(n, low, m.fma(n, high, x))
    return m.fma(m.mul(r, r), m.polynomial(r, _EXP[m.dtype]), r), exponent


def _exp(m: Real, x: str) -> str:
    """Scaled by 2ⁿ in two halves: n itself may lie outside the range of exponents."""
    p, n = _reduced(m, m.clamp(x, *_EXP_RANGE[m.dtype]))
    half = m.whole("sub", m.whole("lshr", m.whole("add", n, 4096), 1), 2048)
    first, second = m.power_of_two(half), m.power_of_two(m.whole("sub", n, half))
    return m.mul(m.mul(m.add(p, 1.0), first), second)


def _expm1_quarter(m: Real, x: str) -> str:
    """(eˣ - 1) / 4, which cannot overflow before 4 (eˣ - 1) / 4 does."""
    p, n = _reduced(m, x)
    scale = m.power_of_two(m.whole("sub", n, 2))
    return m.fma(scale, p, m.sub(scale, 0.25))


def _expm1(m: Real, x: str) -> str:
    """Below the rounding of 1 + x, x itself."""
    value = m.mul(_expm1_quarter(m, m.clamp(x, *_EXPM1_RANGE[m.dtype])), 4.0)
    tiny = m.test("olt", m.intrinsic("fabs", x), 2.0 ** -(m.mantissa + 2))
    return m.select(tiny, x, value)


def _tanh(m: Real, x: str) -> str:
    """E / (e + 2) with e = exp(2|x|) - 1."""
    y = m.intrinsic("fabs", m.add(x, x))
    limit = 44.0 if m.double else 20.0
    p, n = _reduced(m, m.select(m.test("ogt", y, limit), limit, y))
    scale = m.power_of_two(n)
    e = m.fma(scale, p, m.sub(scale, 1.0))
    return m.intrinsic("copysign", m.div(e, m.add(e, 2.0)), x)


def _sinh(m: Real, x: str) -> str:
    """(e + e / (e + 1)) / 2 with e = exp|x| - 1, by quarters."""
    y = m.intrinsic("fabs", x)
    limit = _SINH_LIMIT[m.dtype]
    quarter = _expm1_quarter(m, m.select(m.test("ogt", y, limit), limit, y))
    value = m.mul(m.add(quarter, m.div(quarter, m.fma(quarter, 4.0, 1.0))), 2.0)
    tiny = m.test("olt", y, 2.0 ** -(m.mantissa // 2 + 1))
    return m.intrinsic("copysign", m.select(tiny, y, value), x)


def _cosh(m: Real, x: str) -> str:
    """(e + 1 / e) / 2 with e = exp|x|, by quarters."""
    y = m.intrinsic("fabs", x)
    limit = _SINH_LIMIT[m.dtype]
    p, n = _reduced(m, m.select(m.test("ogt", y, limit), limit, y))
    quarter = m.mul(m.add(p, 1.0), m.power_of_two(m.whole("sub", n, 2)))
    return m.mul(m.add(quarter, m.div(0.0625, quarter)), 2.0)


# -- logarithms ---------------------------------------------------------------------------------------------------

_LOG = {
    "float64": (
        6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
        1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
    ),
    "float32": (0.66666662693023682, 0.40000972151756287, 0.28498786687850952, 0.24279078841209412),
}  # fmt: skip
_LOG_LN2 = {
    "float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
    "float32": (6.9313812256e-01, 9.0580006145e-06),
}
_SQRT_HALF = {"float64": 0x3FE6A09E00000000, "float32": 0x3F3504F3}


def _split(m: Real, x: str) -> tuple[str, str]:
    """k, and f with 1 + f in [√½, √2], such that x = 2ᵏ (1 + f); for normal numbers above zero."""
    one, low = m.bias << m.mantissa, _SQRT_HALF[m.dtype]
    shifted = m.whole("add", m.bits(x), one - low)
    exponent = m.whole("sub", m.whole("lshr", shifted, m.mantissa), m.bias)
    fraction = m.whole("add", m.whole("and", shifted, (1 << m.mantissa) - 1), low)
    k = m.sub(m.from_bits(m.whole("add", exponent, m.bits(m.magic))), m.magic)
    return k, m.sub(m.from_bits(fraction), 1.0)


def _log_sum(m: Real, k: str, f: str, correction: str | float) -> str:
    """K ln 2 + log(1 + f) + correction."""
    high, low = _LOG_LN2[m.dtype]
    s = m.div(f, m.add(f, 2.0))
    z = m.mul(s, s)
    r = m.mul(z, m.polynomial(z, _LOG[m.dtype]))
    half_square = m.mul(m.mul(f, f), 0.5)
    small = m.add(m.mul(s, m.add(half_square, r)), m.fma(k, low, correction))
    return m.fma(k, high, m.add(m.sub(small, half_square), f))


def _special_logs(m: Real, value: str, x: str, pole: float) -> str:
    """-inf at the pole, nan below it, inf and nan as they are."""
    value = m.select(m.test("olt", x, math.inf), value, x)
    value = m.select(m.test("oeq", x, pole), -math.inf, value)
    return m.select(m.test("olt", x, pole), math.nan, value)


def _log(m: Real, x: str) -> str:
    """Subnormal numbers are scaled up first."""
    shift = m.mantissa + 2
    subnormal = m.test("olt", x, 2.0 ** (1 - m.bias))
    k, f = _split(m, m.select(subnormal, m.mul(x, 2.0**shift), x))
    k = m.select(subnormal, m.sub(k, float(shift)), k)
    return _special_logs(m, _log_sum(m, k, f, 0.0), x, 0.0)


def _log1p(m: Real, x: str) -> str:
    """log(u) with u = 1 + x rounded, and what the rounding lost; near zero u is not needed at all."""
    u = m.add(x, 1.0)
    k, f = _split(m, u)
    lost_small, lost_large = m.sub(x, m.sub(u, 1.0)), m.sub(1.0, m.sub(u, x))
    lost = m.div(m.select(m.test("oge", x, 1.0), lost_large, lost_small), u)
    above, below = m.test("ogt", x, -0.29), m.test("olt", x, 0.41)
    near = m.code.let(f"and i1 {above}, {below}")
    value = _log_sum(m, m.select(near, 0.0, k), m.select(near, x, f), m.select(near, 0.0, lost))
    tiny = m.test("olt", m.intrinsic("fabs", x), 2.0 ** -(m.mantissa + 2))
    return m.select(tiny, x, _special_logs(m, value, x, -1.0))


def _logaddexp(m: Real, x: str, y: str) -> str:
    """The larger one + log1p(exp(-|x - y|)); equal infinities have no difference."""
    larger = m.select(m.code.let(f"fcmp ogt {m.type} {x}, {y}"), x, y)
    gap = m.neg(m.intrinsic("fabs", m.sub(x, y)))
    apart = m.add(larger, _log1p(m, _exp(m, gap)))
    return m.select(m.code.let(f"fcmp oeq {m.type} {x}, {y}"), m.add(x, math.log(2.0)), apart)


# -- sine and cosine ----------------------------------------------------------------------------------------------

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


def _remainder(m: Real, x: str) -> tuple[str, str, str]:
    """X - n π/2 as a sum of two numbers, and n; the first product is exact."""
    n, quadrant = m.round(x, 2.0 / math.pi)
    minus = m.neg(n)
    first = m.intrinsic("fma", minus, _HALF_PI[0], x)
    step = m.mul(minus, _HALF_PI[1])
    step_error = m.intrinsic("fma", minus, _HALF_PI[1], m.neg(step))
    r = m.add(first, step)
    part = m.sub(r, first)
    error = m.add(m.sub(first, m.sub(r, part)), m.sub(step, part))
    return r, m.fma(minus, _HALF_PI[2], m.add(error, step_error)), quadrant


def _trigonometric(name: str, turn: int) -> Rule:
    """Sine with ``turn`` quarter turns added; float32 is computed in float64."""

    def near(m: Real, x: str) -> str:
        r, rest, quadrant = _remainder(m, x)
        z = m.mul(r, r)
        v = m.mul(z, r)
        inner = m.sub(m.mul(z, m.fma(v, m.neg(m.polynomial(z, _SIN)), m.mul(rest, 0.5))), rest)
        sine = m.sub(r, m.fma(v, -_SIN_CUBIC, inner))
        half = m.mul(z, 0.5)
        w = m.sub(1.0, half)
        tail = m.sub(m.mul(m.mul(z, z), m.polynomial(z, _COS)), m.mul(r, rest))
        cosine = m.add(w, m.add(m.sub(m.sub(1.0, w), half), tail))
        quarter = m.whole("add", quadrant, turn)
        odd = m.code.let(f"trunc {m.integer} {quarter} to i1")
        sign = m.whole("shl", m.whole("and", quarter, 2), 62)
        return m.from_bits(m.whole("xor", m.bits(m.select(odd, cosine, sine)), sign))

    def rule(m: Real, x: str) -> str:
        if m.double:
            return _guarded(m, name, x, near(m, x))
        wide = Real(m.code, "float64")
        x = m.code.let(f"fpext float {x} to double")
        return m.code.let(f"fptrunc double {_guarded(wide, name, x, near(wide, x))} to float")

    return rule


def _guarded(m: Real, name: str, x: str, value: str) -> str:
    """The value where the reduction is exact, libm's for huge x and inf; the vectoriser keeps this as a rare branch."""
    code, far, join = m.code, m.code.label("far"), m.code.label("join")
    is_far = m.test("ugt", m.intrinsic("fabs", x), _FAR)
    before = code.here
    weights = code.module.shared('!{!"branch_weights", i32 1, i32 100000}')
    code.do(f"br i1 {is_far}, label %{far}, label %{join}, !prof {weights}")
    code.start(far)
    slow = code.call(m.type, name, (m.type, x))
    code.do(f"br label %{join}")
    code.start(join)
    return code.let(f"phi {m.type} [ {value}, %{before} ], [ {slow}, %{far} ]")


FUNCTIONS: dict[str, Rule] = {
    "exp": _exp, "expm1": _expm1, "tanh": _tanh, "sinh": _sinh, "cosh": _cosh,
    "log": _log, "log1p": _log1p, "logaddexp": _logaddexp,
    "sin": _trigonometric("sin", 0), "cos": _trigonometric("cos", 1),
}  # fmt: skip

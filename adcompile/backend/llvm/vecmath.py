"""Elementary functions that LLVM's loop vectoriser can widen: branch-free polynomial code in float32 and float64.

LLVM has no vector mathematics library here and would call libm once per element. Used inside loops; straight-line code
calls libm, which compiles faster. Within 2 ulp of the exact value everywhere, signed zeros, subnormals, inf and nan
included (tests/backend/test_vecmath.py).

exp and what is made of it: x = n ln 2 + r with |r| <= ln 2 / 2, eʳ - 1 = r + r² q(r), q a Chebyshev interpolant.
log, log1p: FreeBSD's e_log.c and s_log1p.c. erf: x + x p(x²) below 1, else 1 - exp(-p(|x|)), minimax polynomials.
sin, cos: see `adcompile.backend.llvm.trigonometry`; pow: see `adcompile.backend.llvm.power`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adcompile.backend.llvm import power, trigonometry
from adcompile.backend.llvm.code import LLVM, SUFFIX, Code
from adcompile.backend.llvm.real import Real

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
_SINH_LIMIT = {"float64": 710.6, "float32": 89.6}
"""Beyond the overflow of sinh and cosh, where 2ⁿ / 4 is still finite."""


def _reduced(m: Real, x: str, careful: bool = True) -> tuple[str, str]:
    """eʳ - 1 for the remainder r of x by ln 2, and the integer quotient; ``careful`` keeps what rounding r loses."""
    high, low = _LN2[m.dtype]
    n, exponent = m.round(x, 1.0 / math.log(2.0))
    n = m.neg(n)
    most = m.fma(n, high, x)
    r = m.fma(n, low, most)
    square, q = m.mul(r, r), m.polynomial(r, _EXP[m.dtype])
    if not careful:
        return m.fma(square, q, r), exponent
    return m.add(r, m.fma(square, q, m.fma(n, low, m.sub(most, r)))), exponent


def _exp(m: Real, x: str, rest: str = "") -> str:
    """Of x, or of x and a tiny ``rest``; scaled by 2ⁿ in two halves: n may lie outside the range of exponents."""
    p, n = _reduced(m, m.clamp(x, *_EXP_RANGE[m.dtype]), careful=False)
    value = m.add(p, 1.0)
    first, second = _halves(m, n)
    return m.mul(m.mul(m.fma(value, rest, value) if rest else value, first), second)


def _halves(m: Real, n: str) -> tuple[str, str]:
    """Two powers of two whose product is 2ⁿ."""
    half = m.whole("sub", m.whole("lshr", m.whole("add", n, 4096), 1), 2048)
    return m.power_of_two(half), m.power_of_two(m.whole("sub", n, half))


def _expit(m: Real, x: str) -> str:
    """Quotient e / (1 + e), e = exp(-|x|), for x < 0, and one minus that for others.

    What rounding e and 1 + e loses is put back by 1 / (1 + e) = 1 - e / (1 + e).
    """
    lowest = _EXP_RANGE[m.dtype][0]
    y = m.neg(m.intrinsic("fabs", x))
    p, n = _reduced(m, m.select(m.test("olt", y, lowest), lowest, y), careful=False)
    value, (first, second) = m.add(p, 1.0), _halves(m, n)
    e = m.mul(m.mul(value, first), second)
    divisor = m.add(e, 1.0)
    quotient = m.div(e, divisor)
    lost = m.sub(m.sub(p, m.sub(value, 1.0)), m.sub(e, m.sub(divisor, 1.0)))
    small = m.fma(m.mul(quotient, m.sub(1.0, quotient)), lost, quotient)
    return m.select(m.test("olt", x, 0.0), small, m.sub(1.0, small))


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
    """Quotient e / (e + 2), e = exp(2|x|) - 1; the rounding of e + 2 is put back by 1 / (e + 2) = (1 - tanh) / 2."""
    y = m.intrinsic("fabs", m.add(x, x))
    limit = 44.0 if m.double else 20.0
    p, n = _reduced(m, m.select(m.test("ogt", y, limit), limit, y))
    scale = m.power_of_two(n)
    e = m.fma(scale, p, m.sub(scale, 1.0))
    divisor = m.add(e, 2.0)
    value = m.div(e, divisor)
    lost = m.select(m.test("olt", e, 2.0), m.add(m.sub(2.0, divisor), e), 0.0)
    value = m.fma(m.mul(value, lost), m.fma(value, 0.5, -0.5), value)
    return m.intrinsic("copysign", value, x)


def _sinh(m: Real, x: str) -> str:
    """(e + e / (e + 1)) / 2 with e = exp|x| - 1, by quarters; the rounding of e + 1 is put back where it matters."""
    y = m.intrinsic("fabs", x)
    limit = _SINH_LIMIT[m.dtype]
    quarter = _expm1_quarter(m, m.select(m.test("ogt", y, limit), limit, y))
    e = m.mul(quarter, 4.0)
    divisor = m.add(e, 1.0)
    fraction = m.div(quarter, divisor)
    lost = m.select(m.test("olt", e, 1.0), m.add(m.sub(1.0, divisor), e), 0.0)
    fraction = m.fma(m.mul(fraction, lost), m.fma(fraction, 4.0, -1.0), fraction)
    value = m.mul(m.add(quarter, fraction), 2.0)
    tiny = m.test("olt", y, 2.0 ** -(m.mantissa // 2 + 1))
    return m.intrinsic("copysign", m.select(tiny, y, value), x)


def _cosh(m: Real, x: str) -> str:
    """(e + 1 / e) / 2 with e = exp|x|, by quarters."""
    y = m.intrinsic("fabs", x)
    limit = _SINH_LIMIT[m.dtype]
    p, n = _reduced(m, m.select(m.test("ogt", y, limit), limit, y))
    quarter = m.mul(m.add(p, 1.0), m.power_of_two(m.whole("sub", n, 2)))
    return m.mul(m.add(quarter, m.div(0.0625, quarter)), 2.0)


# -- error function -----------------------------------------------------------------------------------------------

_ERF_NEAR = {
    "float64": (
        0.1283791670955126, -0.3761263890318375, 0.11283791670954885, -0.026866170645077816, 0.005223977624827876,
        -0.0008548326981394397, 0.00012055331131845379, -1.4925595746089525e-05, 1.6461008068454026e-06,
        -1.6350391977460007e-07, 1.4660300780835797e-08, -1.1374850023180465e-09, 5.96051026342651e-11,
    ),
    "float32": (
        0.12837916591226717, -0.37612627125193926, 0.11283600049869535, -0.026854439176510644, 0.005189524861146724,
        -0.0008020747897265106, 7.88880759459246e-05,
    ),
}  # fmt: skip
_ERF_FAR = {
    "float64": (
        1.083077217048305e-06, 1.128368537325126, 0.6366683043198917, 0.10263580302032839, -0.01886215702122651,
        -0.0005881695925510947, 0.0021027081286361074, -0.0009228374818249025, 0.0002323009955831326,
        -2.8732973050409354e-05, -3.3576884410878885e-06, 2.6060750249149836e-06, -6.744634088934768e-07,
        1.0630246892319158e-07, -1.0713441169649226e-08, 6.40298138455098e-10, -1.738186015483516e-11,
    ),
    "float32": (
        -0.00018963526419225337, 1.1295855356316258, 0.6332065576560163, 0.1084322037302211, -0.025216446557026206,
        0.004207455866444846, -0.0004418928889394122, 2.1731764570482605e-05,
    ),
}  # fmt: skip
_ERF_ONE = {"float64": 6.0, "float32": 4.0}
"""From here on erf rounds to one."""


def _erf(m: Real, x: str) -> str:
    """The second polynomial is -log(1 - erf), weighted by what of its error erf sees."""
    y = m.intrinsic("fabs", x)
    near = m.fma(x, m.polynomial(m.mul(x, x), _ERF_NEAR[m.dtype]), x)
    limit = _ERF_ONE[m.dtype]
    rest = m.polynomial(m.select(m.test("ogt", y, limit), limit, y), _ERF_FAR[m.dtype])
    far = m.intrinsic("copysign", m.sub(1.0, _exp(m, m.neg(rest))), x)
    return m.select(m.test("olt", y, 1.0), near, far)


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
    """The k, and f with 1 + f in [√½, √2], such that x = 2ᵏ (1 + f); for normal numbers above zero."""
    one, low = m.bias << m.mantissa, _SQRT_HALF[m.dtype]
    shifted = m.whole("add", m.bits(x), one - low)
    exponent = m.whole("sub", m.whole("lshr", shifted, m.mantissa), m.bias)
    fraction = m.whole("add", m.whole("and", shifted, (1 << m.mantissa) - 1), low)
    k = m.sub(m.from_bits(m.whole("add", exponent, m.bits(m.magic))), m.magic)
    return k, m.sub(m.from_bits(fraction), 1.0)


def _log_sum(m: Real, k: str, f: str, correction: str | float) -> str:
    """The sum k ln 2 + log(1 + f) + correction."""
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


def _split_any(m: Real, x: str) -> tuple[str, str]:
    """The same for all numbers above zero; subnormal ones are scaled up first."""
    shift = m.mantissa + 2
    subnormal = m.test("olt", x, 2.0 ** (1 - m.bias))
    k, f = _split(m, m.select(subnormal, m.mul(x, 2.0**shift), x))
    return m.select(subnormal, m.sub(k, float(shift)), k), f


def _log(m: Real, x: str) -> str:
    k, f = _split_any(m, x)
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


FUNCTIONS: dict[str, Rule] = {
    "exp": _exp, "expm1": _expm1, "tanh": _tanh, "sinh": _sinh, "cosh": _cosh,
    "log": _log, "log1p": _log1p, "logaddexp": _logaddexp, "erf": _erf, "expit": _expit,
    "pow": power.power(_split_any, _exp),
    "sin": trigonometry.quarter_turned("sin", 0), "cos": trigonometry.quarter_turned("cos", 1),
}  # fmt: skip

"""Powers that the vectoriser can widen, with C's and NumPy's special cases; float32 is computed in float64.

|x|ʸ = exp(y log|x|), the logarithm as a sum of two float64 numbers: y multiplies its relative error, up to 2¹⁰ of it.
log(1 + f) = 2s + ⅔s³ + s⁵ q(s²) with s = f / (2 + f), q a minimax polynomial; products are split by fused multiply-add
(Dekker's sums, Ogita, Rump and Oishi: Accurate sum and dot product, 2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adcompile.backend.llvm.real import Real

_SERIES = (
    0.4, 0.28571428571429375, 0.22222222221650387, 0.18181818336540118, 0.15384594848603506, 0.13334810496482705,
    0.11706089851418164, 0.11724630720101542,
)  # fmt: skip
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
Split = Callable[[Real, str], tuple[str, str]]
Exponential = Callable[[Real, str, str], str]


def power(split: Split, exponential: Exponential) -> Callable[[Real, str, str], str]:
    """The rule of x ** y, from ``split(x) = k, f`` with x = 2ᵏ (1 + f), and ``exponential(a, b) = exp(a + b)``."""

    def wide(m: Real, x: str, y: str) -> str:
        size = m.intrinsic("fabs", x)
        log, rest = _logarithm(m, *split(m, size))
        product = m.mul(y, log)
        error = m.fma(y, rest, m.intrinsic("fma", y, log, m.neg(product)))
        near = m.test("olt", m.intrinsic("fabs", product), 750.0)
        return _special(m, exponential(m, product, m.select(near, error, 0.0)), x, y, size)

    def rule(m: Real, x: str, y: str) -> str:
        if m.double:
            return wide(m, x, y)
        x, y = (m.code.let(f"fpext float {v} to double") for v in (x, y))
        return m.code.let(f"fptrunc double {wide(Real(m.code, 'float64'), x, y)} to float")

    return rule


def _product(m: Real, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
    """The product of two sums of two numbers."""
    high = m.mul(a[0], b[0])
    error = m.intrinsic("fma", a[0], b[0], m.neg(high))
    return high, m.fma(a[1], b[0], m.fma(a[0], b[1], error))


def _sum(m: Real, large: str | float, small: str) -> tuple[str, str]:
    """A sum and what its rounding lost, where the first summand is larger or zero."""
    total = m.add(large, small)
    return total, m.add(m.sub(large, total), small)


def _logarithm(m: Real, k: str, f: str) -> tuple[str, str]:
    """The sum k ln 2 + log(1 + f), to about 65 bits."""
    divisor = m.add(f, 2.0)
    below = m.sub(f, m.sub(divisor, 2.0))
    inverse = m.div(1.0, divisor)
    ratio = m.mul(f, inverse)
    left = m.intrinsic("fma", m.neg(ratio), divisor, f)
    s = ratio, m.mul(m.fma(m.neg(ratio), below, left), inverse)
    square = _product(m, s, s)
    tail = m.mul(square[0], m.polynomial(square[0], _SERIES))
    factor, lost = _sum(m, _TWO_THIRDS[0], tail)
    cubic = _product(m, _product(m, s, square), (factor, m.add(lost, _TWO_THIRDS[1])))
    first, error = _sum(m, m.mul(k, _LN2[0]), m.add(s[0], s[0]))
    second, more = _sum(m, first, cubic[0])
    low = m.add(m.add(m.fma(s[1], 2.0, cubic[1]), m.fma(k, _LN2[1], error)), more)
    return _sum(m, second, low)


def _special(m: Real, value: str, x: str, y: str, size: str) -> str:
    """Zeros, infinities, ones, nan and negative bases, in the order in which the later ones win."""
    both = lambda a, b: m.code.let(f"and i1 {a}, {b}")
    infinite = m.test("oeq", size, math.inf)
    grows = m.code.let(f"xor i1 {infinite}, {m.test('olt', y, 0.0)}")
    edge = m.code.let(f"or i1 {infinite}, {m.test('oeq', size, 0.0)}")
    known = m.code.let(f"fcmp ord double {y}, 0.0")
    value = m.select(both(edge, known), m.select(grows, math.inf, 0.0), value)
    value = m.select(m.test("oeq", size, 1.0), 1.0, value)
    whole = m.code.let(f"fcmp oeq double {m.intrinsic('rint', y)}, {y}")
    half = m.intrinsic("trunc", m.mul(y, 0.5))
    odd = both(whole, m.code.let(f"fcmp une double {m.add(half, half)}, {y}"))
    value = m.select(odd, m.intrinsic("copysign", value, x), value)
    negative = both(m.test("olt", x, 0.0), m.test("ogt", x, -math.inf))
    value = m.select(both(negative, m.code.let(f"xor i1 {whole}, true")), math.nan, value)
    value = m.select(m.code.let(f"fcmp uno double {x}, {y}"), math.nan, value)
    one = m.code.let(f"or i1 {m.test('oeq', x, 1.0)}, {m.test('oeq', y, 0.0)}")
    return m.select(one, 1.0, value)

"""Arithmetic on one floating-point dtype and on its bits, as LLVM text: what `vecmath` writes its functions in."""

from __future__ import annotations

from adcompile.backend.llvm.code import LLVM, SUFFIX, Code, literal


class Real:
    """Writes instructions of a dtype; no fast-math flag lets LLVM change what is rounded."""

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
        """The sum."""
        return self._binary("fadd", x, y)

    def sub(self, x: str | float, y: str | float) -> str:
        """The difference."""
        return self._binary("fsub", x, y)

    def mul(self, x: str | float, y: str | float) -> str:
        """The product."""
        return self._binary("fmul", x, y)

    def div(self, x: str | float, y: str | float) -> str:
        """The quotient."""
        return self._binary("fdiv", x, y)

    def neg(self, x: str) -> str:
        """-x."""
        return self.code.let(f"fneg {self.type} {x}")

    def intrinsic(self, name: str, *operands: str | float) -> str:
        """An LLVM intrinsic on numbers of the dtype."""
        pairs = [(self.type, self._number(x)) for x in operands]
        return self.code.call(self.type, f"llvm.{name}.{SUFFIX[self.dtype]}", *pairs)

    def fma(self, x: str | float, y: str | float, z: str | float) -> str:
        """The product of x and y plus z, rounded once where the CPU can."""
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
        """One number where the test holds, else the other."""
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

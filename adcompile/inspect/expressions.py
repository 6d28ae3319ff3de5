"""SSA values as formulas: ``x2_bar - v1_bar * v1 / x2``, and the same with numbers in the places of the names.

A value with a label is a name; any other is written as the expression that defines it. The forms are the lecture's: the
cotangent leads a product, a product keeps no parentheses around a quotient, a negative number has parentheses unless it
comes first. These regroup ``a * (b / c)`` as ``a * b / c``, for reading; the program does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adcompile.inspect.numbers import show_number
from adcompile.ir import Array, Atom, Const, Eqn, Value
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.evaluate import spell

ATOMIC, UNARY, PRODUCT, SUM, LOWEST = 20.0, 14.0, 13.0, 12.0, 0.0
SUFFIXED = ("index", "dim", "transpose", "reshape", "copy")
SILENT = ("cast", "identity", "again", "stop_gradient")


@dataclass(frozen=True)
class Expression:
    """A text and the precedence of its outermost operator."""

    text: str
    precedence: float = ATOMIC

    def within(self, precedence: float, first: bool = True) -> str:
        """The text as an operand of an operator; a minus sign that does not come first gets parentheses."""
        bare = self.precedence >= precedence and (first or not self.text.startswith("-"))
        return self.text if bare else f"({self.text})"


@dataclass
class Speller:
    """Writes atoms as formulas.

    Attributes
    ----------
    definition : the equation behind a value without a label.
    labels : the names of values.
    leading : values that come first in a product, the cotangents.
    """

    definition: Callable[[Atom], Eqn | None]
    labels: Mapping[Value, str]
    leading: set[Value] = field(default_factory=set)

    def formula(self, atom: Atom) -> str:
        """The name of a value, or the formula that stands for it."""
        return self._atom(atom, self._name).text

    def operand(self, atom: Atom) -> str:
        """The same in parentheses, unless it is a name, a number or a call."""
        return self._atom(atom, self._name).within(ATOMIC)

    def equation(self, eqn: Eqn) -> str:
        """The right-hand side of an equation with names."""
        return self._equation(eqn, self._name).text

    def numbers(self, eqn: Eqn, values: Mapping[Value, Any]) -> str:
        """The right-hand side of an equation with numbers, calls inside it replaced by their values."""
        return self._equation(eqn, self._number(values)).text

    # -- leaves -----------------------------------------------------------------------------------------------

    def _name(self, atom: Atom) -> Expression | None:
        if isinstance(atom, Const):
            return _signed(repr(atom.value))
        return Expression(self.labels[atom]) if atom in self.labels else None

    def _number(self, values: Mapping[Value, Any]) -> Callable[[Atom], Expression | None]:
        def leaf(atom: Atom) -> Expression | None:
            if isinstance(atom, Const):
                return _signed(show_number(atom.value))
            eqn = None if atom in self.labels else self.definition(atom)
            nested = eqn is not None and (_infix(eqn) or eqn.op in SILENT)
            return None if nested else _signed(show_number(values[atom]))

        return leaf

    # -- expressions ------------------------------------------------------------------------------------------

    def _atom(self, atom: Atom, leaf: Callable[[Atom], Expression | None]) -> Expression:
        found = leaf(atom)
        if found is not None:
            return found
        eqn = self.definition(atom)
        return Expression(f"<{atom.type}>") if eqn is None else self._equation(eqn, leaf)

    def _equation(self, eqn: Eqn, leaf: Callable[[Atom], Expression | None]) -> Expression:
        args = self._ordered(eqn)
        texts = [self._atom(a, leaf) for a in args]
        if eqn.op in SILENT:
            return texts[0]
        infix = _infix(eqn)
        negated = self._negated(args[1]) if eqn.op == "add" else None
        if negated is not None:
            return _subtract(texts[0], self._atom(negated, leaf))
        if infix is not None:
            return _unary(infix[0], texts[0]) if len(texts) == 1 else _binary(infix, texts[0], texts[1])
        return _called(eqn, texts)

    def _ordered(self, eqn: Eqn) -> Sequence[Atom]:
        """The operands, a cotangent first where the order of a product is free."""
        swap = eqn.op == "mul" and eqn.args[1] in self.leading and eqn.args[0] not in self.leading
        return eqn.args[::-1] if swap else eqn.args

    def _negated(self, atom: Atom) -> Atom | None:
        """What ``atom`` is the negative of, where that is how it is written."""
        if atom in self.labels:
            return None
        eqn = self.definition(atom)
        return eqn.args[0] if eqn is not None and eqn.op == "neg" else None


def _infix(eqn: Eqn) -> tuple[str, float] | None:
    return PRIMITIVES[eqn.op].infix if eqn.op in PRIMITIVES else None


def _signed(text: str) -> Expression:
    return Expression(text, UNARY if text.startswith("-") else ATOMIC)


def _unary(symbol: str, operand: Expression) -> Expression:
    return Expression(symbol + operand.within(PRODUCT, first=False), UNARY)


def _subtract(left: Expression, right: Expression) -> Expression:
    return Expression(f"{left.within(SUM)} - {right.within(SUM + 0.1, first=False)}", SUM)


def _binary(infix: tuple[str, float], left: Expression, right: Expression) -> Expression:
    symbol, precedence = infix
    if symbol == "**":
        return Expression(f"{left.within(precedence + 0.1)} ** {right.within(precedence, first=False)}", precedence)
    free = symbol in ("*", "+")
    return Expression(
        f"{left.within(precedence)} {symbol} {right.within(precedence + (0 if free else 0.1), first=False)}", precedence
    )


def _called(eqn: Eqn, texts: Sequence[Expression]) -> Expression:
    """A function call: elementwise ones by their plain names, the others as NumPy spells them."""
    if eqn.op not in PRIMITIVES or PRIMITIVES[eqn.op].elementwise:
        return Expression(f"{eqn.attrs.get('name', eqn.op)}({', '.join(t.text for t in texts)})")
    if eqn.op in ("store", "accumulate"):
        change = spell(eqn, ["", *(t.text for t in texts[1:])])
        if change.startswith("["):
            return Expression(f"{texts[0].within(ATOMIC)} with {change}", LOWEST)
    lead = [t.within(ATOMIC) if eqn.op in SUFFIXED else t.text for t in texts[:1]]
    return Expression(spell(eqn, [*lead, *(t.text for t in texts[1:])]))


def is_scalar(*atoms: Atom) -> bool:
    """Whether no atom is an array, so that numbers can stand in their places."""
    return not any(isinstance(a.type, Array) for a in atoms)

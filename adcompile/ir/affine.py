"""Affine forms of index scalars: ``constant + Σ factor·value``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adcompile.ir.core import Value


@dataclass(frozen=True)
class Affine:
    """``constant + Σ factor·value``; no factor is zero."""

    constant: int = 0
    terms: Mapping[Value, int] = field(default_factory=dict)

    def plus(self, other: Affine, factor: int = 1) -> Affine:
        """``self + factor·other``."""
        terms = dict(self.terms)
        for value, count in other.terms.items():
            terms[value] = terms.get(value, 0) + factor * count
        return Affine(self.constant + factor * other.constant, {a: c for a, c in terms.items() if c})

    def without(self, value: Value) -> Affine:
        """Drop one term."""
        return Affine(self.constant, {a: c for a, c in self.terms.items() if a is not value})

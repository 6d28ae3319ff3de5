"""What `adcompile.verify` found: one line per derivative, and a text that says how each was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adcompile.symbolic.proofs import NUMERIC, SIMPLIFIED


@dataclass(frozen=True)
class Finding:
    """What was found about one derivative (or value: no input) in one generated program.

    Attributes
    ----------
    mode : "jvp", "vjp", "grad": the program; "primal": the trace against CPython.
    output, input : names of the result and of the argument; input is "" where the value itself was compared.
    ok : whether it is right.
    how : "simplify", "50 digits at 20 points", "central differences …" or "dot-product test …"; else what is wrong.
    """

    mode: str
    output: str
    input: str
    ok: bool
    how: str


@dataclass(frozen=True)
class Report:
    """The findings of `verify` about one function; printing it gives a table."""

    name: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether anything was checked and everything is right."""
        return bool(self.findings) and all(f.ok for f in self.findings)

    @property
    def how(self) -> Mapping[tuple[str, str, str], str]:
        """How each (mode, output, input) was checked."""
        return {(f.mode, f.output, f.input): f.how for f in self.findings}

    @property
    def proved(self) -> bool:
        """Whether every derivative was proved symbolically, by simplification or by 50-digit evaluation."""
        return self.ok and all(f.how.startswith((SIMPLIFIED, NUMERIC)) for f in self.findings if f.input)

    def raise_if_failed(self) -> Report:
        """Return the report, or raise AssertionError with its text."""
        if not self.ok:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        title = f"{self.name}: {'verified' if self.ok else 'FAILED' if self.findings else 'nothing checked'}"
        rows = [(f.mode, f"d {f.output} / d {f.input}" if f.input else f.output, f.how) for f in self.findings]
        marks = ["ok " if f.ok else "NOT" for f in self.findings]
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
        lines = [f"  {m} {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for m, (a, b, c) in zip(marks, rows, strict=True)]
        return "\n".join([title, *lines, *(f"  note: {n}" for n in self.notes)])

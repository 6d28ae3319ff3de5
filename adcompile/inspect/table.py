"""A table of rows ``name = formula = numbers = value``: plain text in a terminal, HTML in a notebook."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from adcompile.source import SourceLoc

_STYLE = "font-family: monospace; text-align: left; white-space: pre"


@dataclass(frozen=True)
class Row:
    """One line; a row with a formula but no name is a line of code."""

    name: str
    formula: str = ""
    numbers: str = ""
    value: str = ""
    loc: SourceLoc | None = None

    @property
    def text(self) -> str:
        """``v1 = x1 / x2 = 1.5000 / 0.5000 = 3.0000``; what would only be repeated is left out."""
        return " = ".join(part for part in self.cells if part) if self.name else f"    {self.formula}"

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Name, formula, numbers, value; numbers only where they differ from the value."""
        return self.name, self.formula, "" if self.numbers == self.value else self.numbers, self.value


@dataclass(frozen=True)
class Table:
    """An evaluation trace; ``sections`` are separated by rules.

    ``str()`` gives the text, and a notebook shows HTML with the user's lines beside the rows.
    """

    title: str
    sections: tuple[tuple[Row, ...], ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in order."""
        return tuple(row for section in self.sections for row in section)

    def __str__(self) -> str:
        width = min(max((len(r.text) for r in self.rows), default=20), 72)
        blocks = ["\n".join(r.text for r in section) for section in self.sections if section]
        return "\n".join([self.title, "=" * len(self.title), f"\n{'-' * width}\n".join(blocks)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = ["<table>", f"<caption>{html.escape(self.title)}</caption>"]
        for section in filter(None, self.sections):
            lines += ['<tbody style="border-top: 1px solid">', *map(_html_row, section), "</tbody>"]
        return "\n".join([*lines, "</table>"])


def _html_row(row: Row) -> str:
    place = f"{row.loc.short}: {row.loc.text.strip()}" if row.loc else ""
    last = f'<td style="text-align: left; color: #888">{html.escape(place)}</td>'
    if not row.name:
        return f'<tr><td colspan="4" style="{_STYLE}">    {html.escape(row.formula)}</td>{last}</tr>'
    name, *rest = map(_marked, row.cells)
    cells = [name, *(f"= {text}" if text else "" for text in rest)]
    return "<tr>" + "".join(f'<td style="{_STYLE}">{text}</td>' for text in cells) + last + "</tr>"


def _marked(text: str) -> str:
    """HTML of a formula with ``v4_bar`` as v̄₄ and ``v4_dot`` as v̇₄."""
    return _VARIABLE.sub(_variable, html.escape(text, quote=False))


_VARIABLE = re.compile(r"\b([A-Za-z])(\d*)(?:_(bar|dot))?\b(?!\()")


def _variable(match: re.Match[str]) -> str:
    letter, number, mark = match.groups()
    if not number and not mark:
        return match.group()
    accent = {"bar": "\u0304", "dot": "\u0307", None: ""}[mark]
    return f"{letter}{accent}<sub>{number}</sub>" if number else letter + accent

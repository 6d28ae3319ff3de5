"""Places in the user's files: what every error and every generated line points back to."""

from __future__ import annotations

import linecache
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceLoc:
    """A span of one line of a user's file; columns count from 0."""

    file: str
    line: int
    column: int = 0
    end_column: int = 0
    function: str = ""

    @property
    def text(self) -> str:
        """The source line, without its line end."""
        return linecache.getline(self.file, self.line).rstrip("\n")

    @property
    def short(self) -> str:
        """``file.py:12``, for comments in generated code."""
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"

    def show(self) -> str:
        """The place with its text and a caret line under the offending columns."""
        head = f'  File "{self.file}", line {self.line}, in {self.function or "<module>"}'
        text = self.text
        if not text.strip():
            return head
        indent = len(text) - len(text.lstrip())
        start = max(self.column - indent, 0)
        width = max(self.end_column - self.column, 1)
        return f"{head}\n    {text.strip()}\n    {' ' * start}{'^' * min(width, max(len(text.strip()) - start, 1))}"

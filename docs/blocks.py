"""Pages with what their programs print: Markdown → the same Markdown, every output made again by running its program.

A page's Python blocks run in order and share their names. A block titled ``title="lecture.py"`` is also written to a
file of that name, so that places in messages and in generated code can be looked up in the block. What follows a block
says what is kept of it: a fence titled ``output`` its prints, one titled ``error`` the error it raises, one titled
``on one machine`` prints that differ by processor and are never compared. In a ``console`` fence the lines after
``$ `` are run. Between ``<!-- generated: name -->`` and ``<!-- end -->`` stands what `tables.SECTIONS` writes.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^<!-- generated: ([\w-]+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
COMPARED = ("output", "error")
ONCE = "on one machine"


class Page:
    """One run of a page: the names its blocks share, and what the latest block printed or raised."""

    def __init__(self, name: str, *, compare_only: bool):
        self.name, self.compare_only = name, compare_only
        self.space: dict[str, object] = {"__name__": "__main__"}
        self.count = 0
        self.printed, self.raised = "", ""

    def fence(self, match: re.Match[str]) -> str:
        """The fence with its output made again; the outputs of programs are left alone until they come."""
        language, title, body = match[1], match[2] or "", match[3]
        if title in COMPARED:
            body = self.taken(title)
        elif title == ONCE:
            body = body if self.compare_only else self.taken(title)
        elif language == "python":
            self.run(body, title)
            return match[0]
        elif language == "console":
            body = self.console(body)
        else:
            return match[0]
        head = f'```{language} title="{title}"' if title else f"```{language}"
        return f"{head}\n{body.rstrip()}\n```"

    def taken(self, title: str) -> str:
        """What the latest block left for a fence; each can be shown once."""
        if self.raised and title != "error":
            raise ValueError(f"{self.name}: block {self.count} raised\n{self.raised}")
        text = self.raised if title == "error" else self.printed
        if not text:
            raise ValueError(f"{self.name}: block {self.count} has no {title}")
        self.raised, self.printed = "", ""
        return text

    def run(self, text: str, title: str) -> None:
        """Run a Python block."""
        if self.raised:
            raise ValueError(f"{self.name}: block {self.count} raised\n{self.raised}")
        self.count += 1
        file = title or f"{self.name}_{self.count}.py"
        Path(file).write_text(text, encoding="utf-8")
        out = io.StringIO()
        self.printed = self.raised = ""
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(text, file, "exec"), self.space)
        except Exception as error:
            self.raised = f"{type(error).__name__}: {error}"
        self.printed = out.getvalue()

    def console(self, body: str) -> str:
        """Run the commands of a console fence."""
        lines = []
        for command in [line[2:] for line in body.splitlines() if line.startswith("$ ")]:
            words = [sys.executable if w == "python" else w for w in shlex.split(command)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            lines += [f"$ {command}", done.stdout + done.stderr]
        return "\n".join(lines)


def render(text: str, name: str, sections: Mapping[str, Callable[[], str]], *, compare_only: bool = False) -> str:
    """The Markdown of a page with its outputs and generated sections made again."""
    text = SECTION.sub(lambda m: f"<!-- generated: {m[1]} -->\n\n{sections[m[1]]().strip()}\n\n<!-- end -->", text)
    page = Page(name, compare_only=compare_only)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            text = FENCE.sub(page.fence, text)
        finally:
            os.chdir(here)
            sys.path.remove(folder)
    if page.raised:
        raise ValueError(f"{name}: block {page.count} raised\n{page.raised}")
    return text

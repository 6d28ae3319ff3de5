"""Brings the documentation up to date: ``python docs/generate.py [--check] [PAGE …]``.

Without ``--check`` the pages are rewritten in place; with it, a page that is not current is an error.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from blocks import render
from tables import SECTIONS

DOCS = Path(__file__).parent


def pages() -> list[Path]:
    """Every page of the site."""
    return sorted(DOCS.rglob("*.md"))


def main(arguments: list[str]) -> int:
    """Rewrite or check pages; the exit status."""
    check = "--check" in arguments
    chosen = [Path(a).resolve() for a in arguments if a != "--check"] or pages()
    stale = 0
    for path in chosen:
        old = path.read_text(encoding="utf-8")
        new = render(old, path.stem.replace("-", "_"), SECTIONS, compare_only=check)
        if new == old:
            continue
        stale += 1
        if check:
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(path), "now"))
        else:
            path.write_text(new, encoding="utf-8")
            print(f"rewrote {path.relative_to(DOCS)}")
    if check and stale:
        print(f"{stale} pages are not current: run python docs/generate.py and look at what changed")
    return int(check and stale > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

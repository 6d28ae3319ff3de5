"""Brings the documentation up to date: ``python docs/generate.py [--check] [PAGE …]``.

Without ``--check`` the pages are rewritten in place; with it, a page that is not current is an error. Every page has a
process of its own, because a page may change the compiler (it defines primitives).
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def pages() -> list[Path]:
    """Every page of the site."""
    return sorted(DOCS.rglob("*.md"))


def main(arguments: list[str]) -> int:
    """Rewrite or check pages; the exit status."""
    check = "--check" in arguments
    chosen = [Path(a).resolve() for a in arguments if a != "--check"] or pages()
    if len(chosen) == 1:
        return bring_up_to_date(chosen[0], check=check)
    flags = ["--check"] if check else []
    return max(subprocess.run([sys.executable, __file__, *flags, page], check=False).returncode for page in chosen)


def bring_up_to_date(path: Path, *, check: bool) -> int:
    """Rewrite or check one page; the exit status."""
    from blocks import render
    from tables import SECTIONS

    old = path.read_text(encoding="utf-8")
    new = render(old, path.stem.replace("-", "_"), SECTIONS, compare_only=check)
    if new == old:
        return 0
    if check:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), path.name, "now"))
        print(f"{path.name} is not current: run python docs/generate.py and look at what changed")
        return 1
    path.write_text(new, encoding="utf-8")
    print(f"rewrote {path.relative_to(DOCS)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

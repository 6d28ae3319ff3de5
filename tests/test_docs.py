"""The documentation is true: the blocks of every page run and print what the page shows, every word is defined."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import adcompile

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))
TERMS = (
    "primal", "tangent", "cotangent", "adjoint", "jvp", "vjp", "pullback", "seed", "trace", "SSA value", "equation",
    "block", "partial", "varied", "useful", "active", "to be recorded", "tape", "checkpoint", "residual", "signature",
)  # fmt: skip


def anchors(page):
    """The anchors of a page's headings, as mkdocs makes them."""
    text = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_page_is_current(page, tmp_path):
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check", DOCS / page], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = ((DOCS / page).parent / path).resolve() if path else DOCS / page
        assert found.is_file(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(found.relative_to(DOCS)), f"{page}: {target}"


@pytest.mark.parametrize("term", TERMS)
def test_term_is_defined(term):
    heads = [h.lower() for h in re.findall(r"^### (.*)$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)]
    assert any(h.startswith(term.lower()) for h in heads)


def test_glossary_is_sorted():
    heads = re.findall(r"^### (.*)$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert heads == sorted(heads, key=str.lower)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == PAGES


def test_every_error_class_has_an_example():
    heads = re.findall(r"^## (.*)$", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    kinds = {n for n in adcompile.__all__ if n[0].isupper()} - {"AdcompileError"}
    assert kinds <= set(heads)


def test_sentences_have_lines_of_their_own():
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"<!-- generated.*?<!-- end -->", "", text, flags=re.DOTALL)
        for line in text.splitlines():
            assert line.startswith("|") or not re.search(r"[a-z)`]\. [A-Z]", line), f"{page}: {line}"

"""The README is true: its programs run and print what it shows, its table is complete, its links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import adcompile

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def render(text):
    """The README with every output made again, by the renderer of the documentation."""
    spec = importlib.util.spec_from_file_location("docs_blocks", ROOT / "docs" / "blocks.py")
    blocks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(blocks)
    return blocks.render(text, "readme", {})


def test_programs_print_what_the_readme_shows(request):
    shown = README.read_text(encoding="utf-8")
    now = render(shown)
    if request.config.getoption("--update-golden"):
        README.write_text(now, encoding="utf-8")
        return
    assert now == shown, "run pytest tests/test_readme.py --update-golden and look at the diff"


def test_every_public_function_is_in_the_table():
    table = README.read_text(encoding="utf-8").split("## Functions")[1].split("\n\n")[1]
    listed = set(re.findall(r"`(\w+)\(", table))
    errors = {name for name in adcompile.__all__ if name[0].isupper()}
    assert listed == set(adcompile.__all__) - errors


def factor(a):
    return np.sum(np.linalg.cholesky(a))


def spectrum(x):
    return np.sum(np.abs(np.fft.fft(x)))


def test_what_is_not_there_yet_is_not_there():
    for function, argument in ((factor, np.eye(2)), (spectrum, np.ones(4))):
        with pytest.raises(adcompile.MissingRule):
            adcompile.grad(function)(argument)
    with pytest.raises(adcompile.UnsupportedDtype):
        adcompile.grad(np.sum)(np.ones(3, np.float16))


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (demo|test|bench|\w+)(?= +#|`)", README.read_text())) <= targets


def test_links_lead_somewhere():
    pages = (README, ROOT / "examples" / "README.md", ROOT / "CHANGELOG.md")
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"

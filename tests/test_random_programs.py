"""Random programs: CPython's values, and derivatives that agree with differences and each other, twice over.

``ADCOMPILE_PROGRAMS=5000 pytest tests/test_random_programs.py -n 2`` runs as many; ``ADCOMPILE_FIRST_SEED`` says which.
A failure is shown as the smallest program that fails in the same way.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from adcompile.errors import StaticValueRequired, UnsupportedAlias, UnsupportedSyntax
from tests.corpus.checks import Case, difference, direction, fresh, moved, tolerance
from tests.corpus.generate import generate, load, shrink, with_returns

COUNT = int(os.environ.get("ADCOMPILE_PROGRAMS", "160"))
FIRST = int(os.environ.get("ADCOMPILE_FIRST_SEED", "0"))
GROUP = 10
REFUSALS = (UnsupportedAlias, StaticValueRequired, UnsupportedSyntax)
"""What a program may be refused for: aliases decided at run time, and names that a loop may leave unset."""


def backends_of(program):
    """LLVM takes long where many branches and loops nest: it runs every tenth program, if that is small."""
    compounds = program.source().split("def f(")[1].count(":\n") - 1
    return ("python", "llvm") if program.seed % 10 == 0 and compounds <= 2 else ("python",)


def has_differences(f, decisions, args, seed):
    """Whether differences tell a derivative: the runs they need decide alike, and two step sizes agree."""
    dots, near = direction(args, seed), tolerance(args)
    runs = [decisions(*moved(args, dots, step * near.eps)) for step in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    if any(run != runs[0] for run in runs):
        return False
    coarse, fine = (difference(f, args, dots, eps) for eps in (near.eps, near.eps / 3.0))
    return all(np.allclose(a, b, rtol=near.rtol / 4, atol=near.atol / 4) for a, b in zip(coarse, fine, strict=True))


def check(program, folder, second):
    """All checks of one program; the error it was refused with, if it was."""
    f, decisions = load(program, folder)
    args = program.arguments()
    with np.errstate(all="ignore"):
        for backend in backends_of(program):
            case = Case(f, args, backend, exact=True)
            try:
                case.check_value()
            except REFUSALS as error:
                assert error.loc is not None, "a refusal without a place"
                return error
            if has_differences(f, decisions, fresh(args), 1):
                case.check_forward()
            case.check_reverse()
            if second:
                case.check_second(differences=False)
    return None


def failure(program, second):
    """What is wrong with a program; empty if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check(program, Path(folder), second)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""


def report(program, second):
    """The smallest program that fails in the same way, and how."""
    kind = failure(program, second)[:40]
    small = shrink(program, lambda p: failure(p, second)[:40] == kind)
    return f"{small.source()}\n{failure(small, second)}"


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, GROUP))
def test_random_programs(first, tmp_path, verified):
    refused = []
    for seed in range(first, min(first + GROUP, FIRST + COUNT)):
        program, second = with_returns(generate(seed)), seed % 8 == 0
        try:
            error = check(program, tmp_path, second)
        except Exception as wrong:
            pytest.fail(f"seed {seed}: {type(wrong).__name__}: {wrong}\n{report(program, second)}")
        refused += [f"seed {seed}: {error}"] if error else []
    assert len(refused) <= GROUP * 0.4, "\n".join(refused)

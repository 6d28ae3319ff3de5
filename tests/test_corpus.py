"""Every corpus program on every backend: its value, its derivatives of both modes, and their derivatives."""

import pytest

from tests.corpus import PROGRAMS
from tests.corpus.checks import Case

BACKENDS = ("python", "llvm")


def case_of(program, backend):
    return Case(
        program.function,
        program.arguments(),
        backend,
        writes="writes" in program.tags,
        exact=not program.tags & {"transforms", "rounded"},
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_first_order(program, backend, verified):
    case = case_of(program, backend)
    case.check_value()
    case.check_forward()
    case.check_reverse()
    case.check_gradient()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", [p for p in PROGRAMS if "once" not in p.tags], ids=lambda p: p.name)
def test_second_order(program, backend, verified):
    case_of(program, backend).check_second()

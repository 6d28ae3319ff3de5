"""The generated adjoints, byte for byte, and what must hold of their text."""

import ast
from pathlib import Path

import numpy as np
import pytest

import adcompile
from tests.codegen.golden_programs import PROGRAMS, heat

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_is_as_kept(name, request):
    function, args, argnums = PROGRAMS[name]
    text = adcompile.value_and_grad(function, argnums).source(*args)
    path = GOLDEN / f"{name}.py"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; look at it, then run pytest --update-golden"


@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_runs_alone_and_agrees_with_the_compiled_one(name):
    function, args, argnums = PROGRAMS[name]
    compiled = adcompile.value_and_grad(function, argnums)(*args)
    stepped = adcompile.value_and_grad(function, argnums, backend="python")(*args)
    ours, reference = (adcompile.tree.flatten(r)[0] for r in (compiled, stepped))
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    ast.parse(adcompile.value_and_grad(function, argnums).source(*args))


def test_source_does_not_grow_with_the_number_of_steps():
    u = np.linspace(0.0, 1.0, 8)
    texts = {adcompile.grad(heat).source(u, 0.1, steps) for steps in (0, 10, 10_000)}
    assert len(texts) == 1

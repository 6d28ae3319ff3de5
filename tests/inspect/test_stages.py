"""Every stage is there, in order, and says what it should."""

import numpy as np
import pytest

import adcompile
from adcompile.api import Options, Transform
from adcompile.modes import HessianVector, Pullback
from tests.inspect.programs import lecture, network, network_arguments

NAMES = ["user source", "trace", "derivative", "source", "lowered", "llvm", "optimized llvm", "assembly"]
SIGNS = [
    "def lecture",
    "trace lecture(",
    "trace lecture_grad(",
    "def lecture_grad(",
    "def lecture_grad(",
    "define",
    "define",
    ".text",
]


def test_stages_in_order():
    stages = adcompile.grad(lecture).stages(1.5, 0.5)
    assert list(stages) == NAMES
    for text, sign in zip(stages.values(), SIGNS, strict=True):
        assert sign in text


def test_source_runs():
    transform = adcompile.grad(lecture)
    source = transform.source(1.5, 0.5)
    space = {"np": np, "math": __import__("math")}
    exec(source, space)
    np.testing.assert_allclose(space["lecture_grad"](1.5, 0.5)[0], transform(1.5, 0.5), rtol=1e-14)


@pytest.mark.parametrize("mode", [Pullback(), HessianVector()])
def test_stages_of_other_modes(mode):
    assert list(Transform(lecture, mode, Options(backend="python")).stages(1.5, 0.5)) == NAMES


def test_latest_call():
    transform = adcompile.grad(network, (0, 1), backend="python")
    args = network_arguments()
    transform(*args)
    assert transform.source() == transform.source(*args)
    assert transform.stages() == transform.stages(*args)


def test_function_without_source():
    assert adcompile.grad(np.sin, backend="python").stages(0.5)["user source"] == "# sin has no Python source\n"


def test_transform_of_a_transform():
    stages = adcompile.hessian(lecture, backend="python").stages(1.5, 0.5)
    assert stages["user source"].startswith("def lecture")

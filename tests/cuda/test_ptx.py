"""The PTX of the three programs: assembled for sm_80 and sm_90, and executed on the CPU with checks.

Needs NVIDIA's compiler as wheels (the extra ``cuda-test``), and gcc for the execution.
"""

import functools
import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import adcompile
from adcompile.backend import cuda
from adcompile.codegen.cuda import emit
from adcompile.lower import lower
from adcompile.lower.kernels import kernels
from adcompile.tree import flatten
from tests.cuda import compare
from tests.cuda.device import SMALL
from tests.cuda.machine import Machine, ptx_of
from tests.cuda.programs import MISSION, arguments


def tool(name):
    """A program of the wheels; None where they are not installed."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(root).glob(f"cu*/bin/{name}"):
            return str(path)
    return None


pytestmark = pytest.mark.skipif(tool("ptxas") is None, reason='the extra "cuda-test" is not installed')
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@functools.cache
def module_of(name, dtype=np.float64, sizes=None):
    program = adcompile.value_and_grad(MISSION[name], backend="cuda").specialisation(*arguments(name, dtype)).program
    return emit(kernels(lower(program.trace, vectors=False)), sizes)


def all_ptx(module, capability=(9, 0)):
    """The PTX of the kernels of a module, in order."""
    space = cuda.load(module)
    return [ptx_of(kernel, space[kernel.name].py_func, capability) for kernel in module.kernels]


# -- assembled --------------------------------------------------------------------------------------------------------


def assembled(ptx, capability, folder):
    """What ptxas says of a kernel: registers, and bytes of spills and stack."""
    source = folder / "kernel.ptx"
    source.write_text(ptx)
    command = [tool("ptxas"), "-v", f"-arch=sm_{capability[0]}{capability[1]}", source, "-o", folder / "kernel.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    find = lambda pattern: int((re.findall(pattern, done.stderr) or [0])[-1])
    return find(r"Used (\d+) registers"), find(r"(\d+) bytes spill stores"), find(r"(\d+) bytes stack frame")


@pytest.mark.parametrize(
    ("name", "capability"),
    [("perceptron", (8, 0)), ("burgers", (8, 0)), ("perceptron", (9, 0)), ("burgers", (9, 0)), ("pinn", (9, 0))],
)
def test_float32_kernels(name, capability, tmp_path):
    module = module_of(name, np.float32)
    for kernel, ptx in zip(module.kernels, all_ptx(module, capability), strict=True):
        assert ".f64" not in ptx, f"{kernel.name} computes in float64"
        registers, spills, stack = assembled(ptx, capability, tmp_path)
        assert (spills, stack) == (0, 0), kernel.name
        assert registers <= 128, kernel.name


# -- executed ---------------------------------------------------------------------------------------------------------


def executed(name, order=None, module=None):
    """The results of a program, and the machine that it ran on."""
    machine = Machine(order)
    return machine.run(module or module_of(name, sizes=SMALL), *flatten(arguments(name))[0]), machine


def assert_same(found, name, rtol=1e-12):
    expected = flatten(adcompile.value_and_grad(MISSION[name])(*arguments(name)))[0]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@needs_gcc
@pytest.mark.parametrize("order", [None, 1], ids=["in order", "shuffled"])
@pytest.mark.parametrize("name", ["burgers", "perceptron"])
def test_executed_without_faults(name, order):
    found, machine = executed(name, order)
    assert_same(found, name)
    assert not [launch for launch in machine.launches if launch.faults]


CHOSEN = (
    "heat_one_dimension", "wave", "heat_two_dimensions", "loop_break", "while_counted", "out_arguments",
    "repeated_indices_last_wins", "float32_meets_float64", "arrays_rebound_in_branches", "view_of_row",
)  # fmt: skip
"""A few of the corpus; ``python -m tests.cuda.compare ptx`` runs all of it."""


@needs_gcc
@pytest.mark.parametrize("name", CHOSEN)
def test_programs_of_the_corpus(name):
    assert compare.ptx(name) == ""


@needs_gcc
def test_bytes_moved_by_a_step_of_the_solver():
    """A step reads and writes v, u and their cotangents, and writes and reads the tape: five arrays each way."""
    _, machine = executed("burgers")
    moved = dict.fromkeys((2, 3, 6, 7), 0)
    for launch in machine.launches:
        number = int(launch.name.rpartition("_")[2])
        if number in moved:
            moved[number] += launch.loaded + launch.stored
    _, _, steps, *_ = arguments("burgers")
    array = arguments("burgers")[0].nbytes
    forward, reverse = ((moved[a] + moved[b]) / steps / array for a, b in ((2, 3), (6, 7)))
    assert forward == 5.0
    assert reverse == 7.0  # what is added to atomically is read, and cleared before


MUTANTS = {
    "atomic of a scatter": ("burgers", r"cuda\.atomic\.add\(u_bar, j, (.*)\)", r"u_bar[j] += \1", "race"),
    "neighbour of a stencil": ("burgers", r"\(t1 if t1 < n else i - n \+ 1\)", "t1", "outside unknown"),
    "tail of a grid": ("perceptron", r"range\(cuda\.grid\(1\), (t\d+), ", r"range(cuda.grid(1), \1 + 8, ", "outside"),
    "shifted subscript": ("burgers", r"u_tape\[(\w+), i\] = ", r"u_tape[\1, i + 1] = ", "race outside unknown"),
    "first barrier of a product": ("perceptron", r"cuda\.syncthreads\(\)\n        for k", "\n        for k", "race"),
    "last barrier of a product": ("perceptron", r"(total \+= .*\n)        cuda\.syncthreads\(\)", r"\1", "race"),
    "barrier of a sum": ("perceptron", r"(\] = part\n)    cuda\.syncthreads\(\)", r"\1", "race unknown"),
    "barrier in the tree of a sum": (
        "perceptron",
        r"        cuda\.syncthreads\(\)\n        width",
        "        width",
        "race",
    ),
    "barrier before a block adds": ("perceptron", r"    cuda\.syncthreads\(\)\n    add_all", "    add_all", "race"),
    "guard of a product": (
        "perceptron",
        r"if row < c\.shape\[0\] and column < c\.shape\[1\]",
        "if True",
        "outside race",
    ),
    "atomic of a block": ("perceptron", r"cuda\.atomic\.add\(result, 0, parts\[0\]\)", "result[0] += parts[0]", "race"),
    "early return": (
        "perceptron",
        r"    inner = a\.shape",
        "    if row > 4:\n        return\n    inner = a.shape",
        "barrier",
    ),
}
"""A fault put into the generated text: program, pattern, replacement, and what must be found (any of the words)."""


@needs_gcc
@pytest.mark.parametrize("mutant", MUTANTS)
def test_faults_are_found(mutant):
    name, pattern, replacement, faults = MUTANTS[mutant]
    module = module_of(name, sizes=SMALL)
    text, count = re.subn(pattern, replacement, module.text)
    assert count, "the pattern is not in the text"
    broken = replace(module, text=text)
    changed = {k.name for k, a, b in zip(module.kernels, all_ptx(module), all_ptx(broken), strict=True) if a != b}
    assert changed
    _, machine = executed(name, module=broken)
    found = {fault for launch in machine.launches for fault in launch.faults}
    assert found & set(faults.split()), f"found {found}"

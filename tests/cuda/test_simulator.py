"""Corpus programs and the three of the mission in Numba's CUDA simulator, against the llvm backend.

The simulator must be chosen before Numba is imported, hence a process of its own.
"""

import subprocess
import sys

from tests.corpus import PROGRAMS
from tests.cuda.programs import MISSION

CHOSEN = (
    *MISSION, "heat_one_dimension", "burgers_periodic", "wave", "heat_two_dimensions",
    "out_arguments", "residual_network", "repeated_indices_last_wins", "float32_meets_float64", "while_loop",
    "break_else", "early_return_second", "over_arrays_together", "arrays_rebound_in_branches", "sorting_network",
    "history_read_back", "scalar_mix", "view_of_row", "store_paired_indices", "conditional_chain", "trajectory",
)  # fmt: skip
"""One program of each kind; ``python -m tests.cuda.compare simulator`` runs all of the corpus."""


def test_the_chosen_programs_exist():
    assert set(CHOSEN) <= {*MISSION, *(p.name for p in PROGRAMS)}


def test_same_as_the_cpu():
    """One test, so that one process computes them all."""
    command = [sys.executable, "-m", "tests.cuda.compare", "simulator", *CHOSEN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    differences = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    assert differences == dict.fromkeys(CHOSEN, "")


def simulated(code):
    """What a process with the simulator prints."""
    text = (
        "import os\nos.environ['NUMBA_ENABLE_CUDASIM'] = '1'\nimport numpy as np, adcompile\nfrom numba import cuda\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_arrays_on_the_device_stay_there():
    code = """
from tests.cuda.programs import perceptron, arguments
from adcompile.tree import map_leaves, flatten
args = arguments("perceptron")
on_device = map_leaves(cuda.to_device, args)
value, gradient = adcompile.value_and_grad(perceptron, backend="cuda")(*on_device)
expected = adcompile.value_and_grad(perceptron)(*args)
leaves, wanted = flatten(gradient)[0], flatten(expected[1])[0]
print(*{type(leaf).__name__ for leaf in leaves}, type(value).__name__)
print(all(np.allclose(a.copy_to_host(), b, rtol=1e-12) for a, b in zip(leaves, wanted)))
try:
    adcompile.grad(perceptron)(*on_device)
except adcompile.errors.InvalidArgument as error:
    print(error.fact)
"""
    kinds, same, refused = simulated(code)
    assert (kinds, same) == ("FakeCUDAArray float64", "True")
    assert refused == "an argument is on a GPU, and the llvm backend computes on the CPU"


def test_checks_in_kernels_raise_with_the_line(tmp_path):
    (tmp_path / "gather.py").write_text(
        "def f(x, at):\n    s = 0.0\n    for i in range(len(at)):\n        s += x[at[i]] ** 2\n    return s\n"
    )
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import gather
g = adcompile.grad(gather.f, backend="cuda")
print(g(np.arange(4.0), np.array([3, 1, 3])))
try:
    g(np.arange(4.0), np.array([0, 9]))
except IndexError as error:
    print(error)
"""
    lines = simulated(code)
    assert lines[0] == "[ 0.  2.  0. 12.]"
    assert lines[1] == "index 9 is out of bounds for size 4"
    assert 'gather.py", line 3' in lines[2]


def test_device_functions_are_called_from_kernels():
    code = """
import math
from tests.cuda.device_functions import wave
gradient = adcompile.value_and_grad(wave, (0, 1))
device = gradient.cuda_function(0.5, 0.25)

@cuda.jit
def kernel(x, out):
    i = cuda.grid(1)
    if i < x.size:
        out[i, 0], out[i, 1], out[i, 2] = device(x[i], 2.0 * x[i])

x, out = np.linspace(-1.0, 1.0, 7), np.zeros((7, 3))
kernel[2, 4](x, out)
value = np.sin(2.0 * x * x) ** 2
slope = np.sin(4.0 * x * x)
print(np.allclose(out, np.stack([value, 2.0 * x * slope, x * slope], 1), rtol=1e-13))
"""
    assert simulated(code) == ["True"]

"""The cuda backend where there is no GPU: what it says, and what it would run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import adcompile
from adcompile.backend import cuda
from adcompile.inspect.stages import CUDA_STAGES
from adcompile.lower import lower
from tests.cuda.programs import MISSION, arguments

GOLDEN = Path(__file__).parents[1] / "golden" / "cuda.py"


def module_of(function, *args, transform=adcompile.value_and_grad):
    program = transform(function, backend="cuda").specialisation(*args).program
    return cuda.source(lower(program.trace, vectors=False))


def scaled(x, a):
    return np.sum(np.tanh(a * x) ** 2)


def test_a_call_without_a_gpu_names_the_place_and_the_remedy():
    code = "import numpy as np, adcompile\nfrom tests.backend.test_cuda import scaled\n"
    code += "try:\n    adcompile.grad(scaled, backend='cuda')(np.ones(3), 2.0)\n"
    code += "except adcompile.errors.MissingDevice as error:\n    print(error)\n"
    hidden = {"CUDA_VISIBLE_DEVICES": "", "NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **hidden}
    )
    assert done.returncode == 0, done.stderr
    fact, place, line, *_, remedy = done.stdout.splitlines()
    assert fact == "no CUDA GPU and driver were found"
    assert "test_cuda.py" in place and "np.tanh" in line
    assert "cuda12" in remedy and 'backend="llvm"' in remedy


def test_making_a_cuda_transform_does_not_import_numba():
    code = "import sys, adcompile\nadcompile.grad(lambda x: x * x, backend='cuda')\nprint('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_generated_kernels_are_readable(request):
    text = module_of(scaled, np.ones(5, np.float32), np.float32(0.5)).text
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_burgers_launches_two_kernels_a_step_each_way():
    text = module_of(MISSION["burgers"], *arguments("burgers")).text
    host = text[text.rindex("\ndef burgers_value_and_grad(") :]
    forward, reverse = re.findall(r"    for \w+ in range\(.*\n((?:        .*\n)+)", host)
    assert len(re.findall(r"^        burgers_value_and_grad_\d+\[", forward, re.M)) == 2
    assert len(re.findall(r"^        burgers_value_and_grad_\d+\[", reverse, re.M)) == 2


@pytest.mark.parametrize("name", MISSION)
def test_no_float64_is_written_into_float32_kernels(name):
    text = module_of(MISSION[name], *arguments(name, np.float32)).text
    kernels = text[: text.rindex(f"\ndef {name}_value_and_grad(")]
    assert "float32" in kernels and "float64" not in kernels
    bare = re.findall(r"(?<![\w(.])\d+\.\d*(?![\w)])", kernels)
    assert not bare, f"Python constants are float64 on the device: {bare}"


def test_parameter_gradients_are_added_up_in_blocks():
    text = module_of(MISSION["pinn"], *arguments("pinn")).text
    assert re.search(r"add_near_1_float64\(params_\d_1_bar, params_\d_1_bar_near, column, ", text)
    assert not re.findall(r"cuda\.atomic\.add\(params\w*,", text)


def test_a_time_loop_stays_on_the_host_and_stores_of_one_element_are_a_kernel():
    def program(x, steps):
        u = x.copy()
        for _ in range(steps):
            u[0] = u[1] * 2.0
            u[1] = 0.5
            u = np.sin(u) + u
        return np.sum(u)

    text = module_of(program, np.ones(4), 3, transform=adcompile.jit).text
    assert re.search(r"    for \w+ in range\(steps\):", text)
    assert re.search(r"^        program_\d+\[1, 1\]\(", text, re.M)


def test_stages_reach_the_kernels():
    names = ["user source", "trace", "derivative", "source", "kernels", "ptx"]
    assert list(CUDA_STAGES) == names


def test_what_a_device_function_cannot_do():
    gradient = adcompile.grad(scaled, backend="cuda")
    with pytest.raises(adcompile.errors.MissingRule, match="a device function"):
        gradient.cuda_function(np.ones(3), 2.0)


def test_texts_are_deterministic():
    args = arguments("perceptron")
    assert module_of(MISSION["perceptron"], *args).text == module_of(MISSION["perceptron"], *args).text

"""Random programs: values against CPython, derivatives against differences and against each other.

150 programs, with python for all and llvm for every third (``ADCOMPILE_RANDOM_LLVM=1``: for all);
``ADCOMPILE_RANDOM_PROGRAMS=N`` runs N of them, ``ADCOMPILE_RANDOM_FIRST=S`` starts at another seed.
"""

from __future__ import annotations

import importlib.util
import os
import traceback

import numpy as np
import pytest

import adcompile
from adcompile.errors import AdcompileError

from .random_programs import generate

PROGRAMS = int(os.environ.get("ADCOMPILE_RANDOM_PROGRAMS", "150"))
FIRST = int(os.environ.get("ADCOMPILE_RANDOM_FIRST", "0"))
GROUPS = 15
LLVM_EVERY = int(os.environ.get("ADCOMPILE_RANDOM_LLVM", "3"))  # machine code takes longest: for every third program
TOLERANCES = {"python": 1e-15, "llvm": 1e-11}


def load(folder, seed):
    path = folder / f"program_{seed}.py"
    path.write_text(generate(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def close(got, expected, tolerance, what):
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    scale = max(1.0, float(np.max(np.abs(expected))))
    assert got.shape == expected.shape and np.all(np.abs(got - expected) <= tolerance * scale), (
        f"{what}: got {got!r}, expected {expected!r}"
    )


def difference(f, point, direction, h):
    """The central difference, or None where the two sides disagree."""
    above, here, below = (float(f(*(p + s * h * d for p, d in zip(point, direction, strict=True)))) for s in (1, 0, -1))
    left, right = (here - below) / h, (above - here) / h
    scale = max(1.0, abs(left), abs(right))
    return (above - below) / (2 * h) if abs(left - right) <= 1e-2 * scale else None


def check_difference(program, point, n, direction, derivative):
    f = lambda x, y: program(x.copy(), y.copy(), n)
    coarse, fine = difference(f, point, direction, 1e-5), difference(f, point, direction, 2e-6)
    if coarse is None or fine is None or abs(coarse - fine) > 1e-4 * max(1.0, abs(fine)):
        return
    close(derivative, fine, 3e-4, f"jvp against a difference, n = {n}")


def check_second(program, point, n, first, second, backend):
    gradient = adcompile.grad(program, argnums=(0, 1), backend=backend)
    product = lambda d: adcompile.jvp(gradient, (*point, n), (*d, None), backend=backend)[1]
    inner = lambda a, b: sum(float(np.sum(p * q)) for p, q in zip(a, b, strict=True))
    there, back = product(first), product(second)
    size = sum(float(np.sum(np.abs(p * q))) for p, q in zip(second, there, strict=True))
    assert abs(inner(second, there) - inner(first, back)) <= 1e-8 * max(1.0, size), (
        f"second order on {backend}, n = {n}: v H u = {inner(second, there)!r}, u H v = {inner(first, back)!r}"
    )


def check(program, seed):
    rng = np.random.default_rng(seed)
    draw = lambda: (rng.normal(size=5), rng.normal(size=(3, 4)))
    backends = ("python", "llvm") if seed % LLVM_EVERY == 0 else ("python",)
    values = {b: adcompile.jit(program, backend=b) for b in backends}
    gradients = {b: adcompile.value_and_grad(program, argnums=(0, 1), backend=b) for b in backends}
    for n in (seed % 5, (seed * 3 + 2) % 5):
        point, direction = draw(), draw()
        given = [a.copy() for a in point]
        expected = float(program(*(a.copy() for a in point), n))
        found, tangents = {}, {}
        for backend in backends:
            close(values[backend](*point, n), expected, TOLERANCES[backend], f"value on {backend}, n = {n}")
            value, tangent = adcompile.jvp(program, (*point, n), (*direction, None), backend=backend)
            close(value, expected, 1e-11, f"value of jvp on {backend}, n = {n}")
            value, bars = gradients[backend](*point, n)
            close(value, expected, 1e-11, f"value of grad on {backend}, n = {n}")
            size = sum(float(np.sum(np.abs(b * d))) for b, d in zip(bars, direction, strict=True))
            along = sum(float(np.sum(b * d)) for b, d in zip(bars, direction, strict=True))
            assert abs(along - tangent) <= 1e-9 * max(1.0, size), (
                f"grad and jvp on {backend}, n = {n}: {along!r} and {tangent!r}"
            )
            found[backend], tangents[backend] = bars, tangent
        for k in (0, 1):
            close(found[backends[-1]][k], found["python"][k], 1e-9, f"grad {k} of the backends, n = {n}")
        check_difference(program, point, n, direction, tangents["python"])
        if seed % 4 == 0:
            check_second(program, point, n, direction, draw(), backends[-1] if seed % 24 == 0 else "python")
        for a, b in zip(given, point, strict=True):
            assert np.array_equal(a, b), "an argument was modified"


def run(folder, seed):
    """None, the refusal, or what went wrong."""
    try:
        check(load(folder, seed), seed)
    except AdcompileError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, AssertionError) else f" at {last.filename}:{last.lineno}"
        return "failed", f"seed {seed}: {type(error).__name__}: {error}{place}"
    return "passed", ""


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_programs(tmp_path, group):
    seeds = range(FIRST + group, FIRST + PROGRAMS, GROUPS)
    outcomes = {seed: run(tmp_path, seed) for seed in seeds}
    failures = [f"{text}\n{generate(seed)}" for seed, (kind, text) in outcomes.items() if kind == "failed"]
    assert not failures, "\n\n".join(failures)
    refused = [text for kind, text in outcomes.values() if kind == "refused"]
    # a group is small: the bound is that of the whole, with its spread
    bound = 0.25 * len(seeds) + 2 * np.sqrt(0.25 * 0.75 * len(seeds))
    assert len(refused) <= bound, "\n\n".join(refused)

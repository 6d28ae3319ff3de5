"""Loops as a GPU gets them: stencils' adjoints write each element once, time loops allocate nothing, at every size."""

import numpy as np
import pytest

import adcompile
from adcompile.ir.core import walk
from adcompile.lower import lower
from adcompile.primitives import PRIMITIVES
from tests.lower.programs import run_in_place
from tests.lower.test_gather import SIZES, box, by_complex_steps, line, plane


def periodic(u, steps):
    """Neighbours around the ends, by conditions."""
    n = u.shape[0]
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(n):
            left = u[i - 1] if i > 0 else u[n - 1]
            right = u[i + 1] if i < n - 1 else u[0]
            v[i] = u[i] + 0.1 * (left - 2.0 * u[i] + right) * u[i]
        u, v = v, u
    return np.sum(u * u)


def rolled(u, steps):
    for _ in range(steps):
        u = u - 0.1 * u * (np.roll(u, -1) - np.roll(u, 1))
    return np.sum(u * u)


def torus(u, steps):
    n, m = u.shape
    u = u.copy()
    for _ in range(steps):
        v = u.copy()
        for i in range(n):
            for j in range(m):
                v[i, j] = u[i - 1, j] + 0.5 * u[i, (j + 1) % m] * u[i, j] + u[(i + 1) % n, j - 1]
        u = v
    return np.sum(u * u)


def sliced(u, steps):
    for _ in range(steps):
        w = u.copy()
        w[1:-1, 1:-1] = 0.25 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] * u[1:-1, :-2])
        u = w
    return np.sum(u**2)


def added(u, steps):
    """What the gathered terms are added to is not zero before."""
    total = 0.0
    for _ in range(steps):
        total = total + np.sum(u * u)
        u = u[:-2] * u[2:] + u[1:-1]
    return total + np.sum(u)


def half(u, steps):
    """Another range is cleared than the terms reach."""
    n = u.shape[0]
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            v[i] = u[i - 1] * u[i + 1]
        for i in range(n // 2):
            u[i] = v[i] * v[i]
    return np.sum(u * v)


STENCILS = {
    **SIZES,
    periodic: [(n,) for n in (1, 2, 3, 4, 9)],
    rolled: [(n,) for n in (1, 2, 3, 8)],
    torus: [(1, 1), (1, 4), (3, 1), (2, 2), (4, 5)],
    sliced: [(1, 3), (2, 2), (3, 3), (5, 6)],
    added: [(n,) for n in (7, 8, 12)],
    half: [(n,) for n in (1, 2, 3, 4, 9)],
}


def program_of(kernel, u, steps):
    compiled = adcompile.grad(kernel, backend="python").specialisation(u, steps)
    return lower(compiled.program.trace, vectors=False)


@pytest.mark.parametrize("kernel", STENCILS, ids=lambda f: f.__name__)
def test_every_size(kernel):
    for sizes in STENCILS[kernel]:
        u = np.random.default_rng(0).standard_normal(sizes)
        for steps in (0, 1, 3):
            (found,) = run_in_place(program_of(kernel, u, steps), (u, steps))
            np.testing.assert_allclose(found, by_complex_steps(kernel, u, steps), rtol=1e-11, atol=1e-11)


def scatters(trace):
    """The innermost loops that add to several elements of one array in an iteration."""
    loops = [e for e in walk(trace.block) if e.op == "loop"]
    return [e for e in loops if sum(i.op == "accumulate" for i in e.regions[0].eqns) > 1]


@pytest.mark.parametrize("kernel", [periodic, rolled, torus, sliced, line, plane, box], ids=lambda f: f.__name__)
def test_each_element_is_written_once(kernel):
    u = np.ones(STENCILS[kernel][-1])
    assert not scatters(program_of(kernel, u, 3))


@pytest.mark.parametrize("kernel", [periodic, rolled, sliced], ids=lambda f: f.__name__)
def test_time_loops_allocate_nothing(kernel):
    u = np.ones(STENCILS[kernel][-1])
    inside = [i for e in walk(program_of(kernel, u, 3).block) if e.op == "loop" for i in walk(e.regions[0])]
    assert not [i for i in inside if i.op == "empty"]


def test_an_array_that_no_iteration_would_make_is_not_made_before():
    def program(x, n, steps):
        total = np.sum(x)
        for _ in range(steps):
            total = total + np.sum(np.sin(np.zeros(n) + x[0]) * x[1])
        return total

    x = np.ones(2)
    compiled = adcompile.jit(program, backend="python").specialisation(x, 3, 1)
    assert run_in_place(lower(compiled.program.trace, vectors=False), (x, -1, 0)) == (2.0,)


def test_what_the_bounds_of_a_loop_decide_is_not_asked():
    ops = [e.op for e in walk(program_of(periodic, np.ones(5), 3).block)]
    assert not [op for op in ops if op in PRIMITIVES and PRIMITIVES[op].effect]

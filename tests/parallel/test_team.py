"""The threads themselves: repeatable results, errors, callers at once, forks, the end of the process."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import adcompile
from benchmarks import burgers
from tests.parallel.common import assert_same, on_threads

X = np.random.default_rng(0).standard_normal(2000)


def energy(x, at):
    t = 0.0
    for i in range(at.shape[0]):
        t += np.sin(x[at[i]]) * x[i]
    return t


AT = np.random.default_rng(1).integers(0, 2000, 2000)


@pytest.fixture(scope="module")
def gradient():
    return adcompile.value_and_grad(energy, parallel=True, cache=False)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_number_of_threads_gives_the_same_bits_again(gradient, count):
    first = on_threads(count, gradient, X, AT)
    for _ in range(200):
        assert_same(on_threads(count, gradient, X, AT), first, exact=True)


def test_the_number_of_threads_may_change_between_calls(gradient):
    expected = {count: on_threads(count, gradient, X, AT) for count in (1, 2, 4)}
    for count in (4, 1, 2, 4, 2, 1):
        assert_same(on_threads(count, gradient, X, AT), expected[count], exact=True)


def test_callers_at_once_get_what_they_get_alone(gradient):
    """One has the team, the others do the same chunks themselves."""
    adcompile.set_num_threads(3)
    solve = adcompile.value_and_grad(burgers.solve, parallel=True)
    v0, target, a, c = burgers.data(300)
    calls = [lambda k=k: gradient(X + k, AT) for k in range(4)]
    calls += [lambda k=k: solve(v0 * (1.0 + 0.1 * k), target, 5, a, c) for k in range(4)]
    alone = [call() for call in calls]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            for found, expected in zip(pool.map(lambda call: call(), calls), alone, strict=True):
                assert_same(found, expected, exact=True)


# -- errors ---------------------------------------------------------------------------------------------------------


def picked(x, at):
    out = np.empty(at.shape[0])
    for i in range(at.shape[0]):
        out[i] = x[at[i]]
    return out


@pytest.mark.parametrize("places", [(0,), (1999,), (150, 1900), (1200, 1300)])
def test_the_first_failing_iteration_is_reported(places):
    at = AT.copy()
    for number, place in enumerate(places):
        at[place] = 5000 + number
    together = adcompile.jit(picked, parallel=True)
    for count in (1, 2, 3):
        with pytest.raises(
            IndexError, match=r'index 5000 is out of bounds for size 2000\n(?s:.*)test_team\.py", line \d+, in picked'
        ):
            on_threads(count, together, X, at)
    assert_same(on_threads(3, together, X, AT), [X[AT]], exact=True)  # and the team is free again


def test_exceptions_of_the_user():
    def roots(x):
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            if x[i] < 0:
                raise ValueError("a negative number")
            out[i] = np.sqrt(x[i])
        return out

    together = adcompile.jit(roots, parallel=True)
    np.testing.assert_array_equal(on_threads(2, together, np.abs(X))[0], np.sqrt(np.abs(X)))
    with pytest.raises(ValueError, match="a negative number"):
        on_threads(2, together, X)


# -- processes ------------------------------------------------------------------------------------------------------

PROCESS = """
import atexit, os
atexit.register(lambda: print("late", fits()))
import numpy as np
import adcompile
from adcompile.backend.llvm import regions

def f(x):
    return np.sum(np.sin(x) * x)

regions.LEAST = regions.PRIVATE = 0.0
adcompile.set_num_threads(3)
g = adcompile.grad(f, parallel=True)
x = np.linspace(0.0, 1.0, 1000)
expected = np.cos(x) * x + np.sin(x)
fits = lambda: np.allclose(g(x), expected, rtol=1e-12, atol=0)
assert fits()
"""


@pytest.fixture
def finished(tmp_path):
    """Runs some code in a fresh process, any warning being an error; the process must end by itself."""

    def run(code):
        script = tmp_path / "script.py"
        script.write_text(PROCESS + code)
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_process_with_threads_ends(finished):
    assert finished("print('ends')").startswith("ends\n")


def test_a_call_while_the_interpreter_exits(finished):
    """What is registered first runs last: the team is gone by then, and the caller does the work."""
    assert finished("").endswith("late True\n")


def test_both_sides_of_a_fork_compute_on(finished):
    code = """
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if fits() and fits() else 1)
    assert fits()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("both")
"""
    assert finished(code).startswith("both\n")


def test_a_fork_while_another_thread_computes(finished):
    code = """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        assert fits()
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of any fork beside another thread
thread = threading.Thread(target=busy)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if fits() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
thread.join()
print("both")
"""
    assert finished(code).startswith("both\n")

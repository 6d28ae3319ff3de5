"""When programs are compiled, how many, and what is kept in memory; threads."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import adcompile
from adcompile import api, tree
from adcompile.errors import InvalidArgument
from tests.api.common import ALL_BACKENDS, BACKENDS, P, Pair, as_dict, cubes, product, read_only


@pytest.fixture
def compilations(monkeypatch):
    """A list that grows with every compilation."""
    made = []
    compile_program = api.compile_program
    monkeypatch.setattr(api, "compile_program", lambda *args: made.append(args) or compile_program(*args))
    return made


def test_one_compilation_serves_all_sizes(compilations):
    gradient = adcompile.grad(lambda x: np.sum(np.sin(x) * x))
    for n in (2, 3, 7, 100, 0, 2):
        assert gradient(np.ones(n)).shape == (n,)
    assert len(compilations) == 1
    gradient(np.ones(1))
    assert len(compilations) <= 2  # which sizes are 1 decides broadcasting
    gradient(np.ones(1))
    before = len(compilations)
    gradient(np.ones(4, np.float32))
    assert len(compilations) == before + 1
    gradient(np.ones(9, np.float32))
    gradient(np.ones(9))
    assert len(compilations) == before + 1


def test_one_compilation_serves_all_values_and_trip_counts(compilations):
    def f(x, n):
        for _ in range(n):
            x = x * 1.5
        return x

    gradient = adcompile.grad(f)
    assert [gradient(2.0, n) for n in (0, 1, 5)] == [1.0, 1.5, 1.5**5]
    assert gradient(-1.0, 2) == 2.25
    assert len(compilations) == 1


def test_jvp_and_vjp_of_one_function_compile_once(compilations):
    for x in (1.0, 2.0):
        adcompile.jvp(product, (x, 2.0), (1.0, 0.0))
        adcompile.vjp(product, x, 2.0)[1](1.0)
    assert len(compilations) == 3


SCALE = 2.0


TABLE = {"rate": 2.0, "list": [1.0, 2.0]}


VECTOR = np.array([1.0, 2.0])


SAME = VECTOR


def helper(x):
    return x * 2.0


def test_changed_global_number():
    global SCALE
    gradient = adcompile.grad(lambda x: x * SCALE)
    assert gradient(1.0) == 2.0
    SCALE = 5.0
    try:
        assert gradient(1.0) == 5.0
    finally:
        SCALE = 2.0


def test_changed_global_container():
    gradient = adcompile.grad(lambda x: x * TABLE["rate"] * TABLE["list"][0])
    assert gradient(1.0) == 2.0
    TABLE["rate"] = 3.0
    assert gradient(1.0) == 3.0
    TABLE["list"][0] = 4.0
    assert gradient(1.0) == 12.0
    TABLE.update(rate=2.0, list=[1.0, 2.0])


def test_changed_global_array(monkeypatch):
    gradient = adcompile.grad(lambda x: np.sum(x * VECTOR * SAME))
    np.testing.assert_array_equal(gradient(np.ones(2)), [1.0, 4.0])
    VECTOR[0] = 3.0
    np.testing.assert_array_equal(gradient(np.ones(2)), [9.0, 4.0])
    VECTOR[0] = 1.0
    monkeypatch.setitem(globals(), "SAME", np.array([5.0, 5.0]))
    np.testing.assert_array_equal(gradient(np.ones(2)), [5.0, 10.0])
    monkeypatch.setitem(globals(), "SAME", np.array(7.0))
    np.testing.assert_array_equal(gradient(np.ones(2)), [7.0, 14.0])


def test_changed_helper(monkeypatch):
    gradient = adcompile.grad(lambda x: helper(x))
    assert gradient(1.0) == 2.0
    monkeypatch.setitem(globals(), "helper", lambda x: x * 9.0)
    assert gradient(1.0) == 9.0


class Rate:
    def __init__(self, rate, weights=None):
        self.rate, self.weights = rate, weights

    def apply(self, x):
        return x * self.rate

    def weigh(self, x):
        return np.sum(x * self.weights)

    @adcompile.grad(argnums=1)
    def slope(self, x):
        return self.rate * x * x

    @staticmethod
    def double(x):
        return 2.0 * x


def test_global_list_is_not_changed_while_tracing():
    with pytest.raises(adcompile.errors.StaticValueRequired, match="from outside the function"):
        adcompile.jit(lambda x: x * len(TABLE["list"].append(1.0) or TABLE["list"]))(1.0)
    assert TABLE["list"] == [1.0, 2.0]


def test_methods():
    rate = Rate(3.0, np.array([1.0, 2.0]))
    assert adcompile.grad(rate.apply)(2.0) == 3.0
    np.testing.assert_array_equal(adcompile.grad(rate.weigh)(np.ones(2)), [1.0, 2.0])
    assert rate.slope(2.0) == 12.0
    assert Rate(1.0).slope(2.0) == 4.0
    assert adcompile.grad(Rate.double)(1.0) == 2.0
    rate.rate = 5.0
    assert rate.slope(2.0) == 20.0
    assert adcompile.grad(rate.apply)(2.0) == 5.0


class Callable:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


def test_callable_object():
    assert adcompile.grad(Callable(4.0))(1.0) == 4.0


def test_gradient_has_the_structure_of_the_argument():
    gradient = adcompile.grad(lambda p: np.sum(p["a"].w ** 2) * p["b"][0])
    argument = {"a": Pair(np.array([1.0, 2.0]), None), "b": [3.0]}
    found = gradient(argument)
    assert isinstance(found["a"], Pair)
    assert found["a"].n is None
    np.testing.assert_array_equal(found["a"].w, [6.0, 12.0])
    assert found["b"] == [5.0]


def test_threads():
    def f(x, n):
        for _ in range(n):
            x = np.sin(x) * 1.1
        return np.sum(x)

    gradient = adcompile.grad(f)
    points = [
        np.random.default_rng(k).normal(size=3 + k % 4).astype((np.float64, np.float32)[k % 2]) for k in range(16)
    ]
    expected = [adcompile.grad(f, backend="python")(x, 5) for x in points]
    found, failures = [None] * 16, []

    def work(k):
        try:
            for _ in range(50):
                found[k] = gradient(points[k], 5)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if b.dtype == np.float32 else 1e-12)


LATE = """\
import adcompile


def f(x):
    import late_module
    from math import sin

    return late_module.twice(x) * sin(x)


print(adcompile.grad(f, backend="python")(0.0), adcompile.grad(f)(0.0))
"""


def test_modules_imported_late(tmp_path):
    (tmp_path / "late_module.py").write_text("def twice(x):\n    return 2.0 * x\n")
    (tmp_path / "main_module.py").write_text(LATE)
    done = subprocess.run(
        [sys.executable, "main_module.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(adcompile.__file__).parents[1]), "PATH": "", "HOME": str(tmp_path)},
    )
    assert (done.stdout.split(), done.stderr) == (["0.0", "0.0"], "")


def test_fresh_results():
    gradient = adcompile.grad(lambda x: np.sum(x * x))
    x = np.ones(3)
    first, second = gradient(x), gradient(x)
    first[:] = 7.0
    np.testing.assert_array_equal(second, 2.0 * np.ones(3))
    np.testing.assert_array_equal(gradient(x), 2.0 * np.ones(3))


def test_written_argument_is_left_alone():
    def f(x):
        x[0] = x[1] * x[2]
        return np.sum(x)

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(adcompile.grad(f)(x), [0.0, 4.0, 3.0])
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("call", [lambda: adcompile.grad(3), lambda: adcompile.grad(product, backend="tpu")])
def test_refused_at_once(call):
    with pytest.raises(InvalidArgument):
        call()


def arrays_of(results):
    return [leaf for leaf in tree.flatten(results)[0] if isinstance(leaf, np.ndarray)]


def gives_argument(x, y):
    return x, x, x[1:], y.T, np.reshape(x, (3, 1))


def adds_up(x, y):
    return np.sum(x + y)


def rewrites(x, y):
    x[0] = y[0] * 2.0
    y += x
    return np.sum(x * y)


CALLS = {
    "jit": lambda b, x, y: adcompile.jit(gives_argument, backend=b)(x, y),
    "grad": lambda b, x, y: adcompile.grad(adds_up, argnums=(0, 1), backend=b)(x, y),
    "written": lambda b, x, y: adcompile.grad(rewrites, argnums=(0, 1), backend=b)(x, y),
    "aux": lambda b, x, y: adcompile.grad(lambda x, y: (np.sum(x), (x, y, x)), has_aux=True, backend=b)(x, y),
    "vjp": lambda b, x, y: [(out, back((x, x, y[1:], y, x[:, None]))) for out, back in
                            [adcompile.vjp(gives_argument, x, y, backend=b)]],
    "jvp": lambda b, x, y: adcompile.jvp(gives_argument, (x, y), (y, x), backend=b),
    "jacrev": lambda b, x, y: adcompile.jacrev(lambda x, y: (x, y), argnums=(0, 1), backend=b)(x, y),
    "hvp": lambda b, x, y: adcompile.hvp(lambda x, y: np.sum(x * x) + np.sum(y), backend=b)(x, y, x),
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("call", CALLS)
def test_results_are_fresh_and_arguments_stay(call, backend):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    results = arrays_of(CALLS[call](backend, x, y))
    assert results
    for k, result in enumerate(results):
        assert result.flags.writeable
        assert result.flags.c_contiguous
        for other in [x, y, *results[:k]]:
            assert not np.shares_memory(result, other)
        result[...] = -1.0
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(y, [4.0, 5.0, 6.0])
    for first, second in zip(results, arrays_of(CALLS[call](backend, x, y)), strict=True):
        assert np.all(first == -1.0)
        assert not np.shares_memory(first, second)


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_only_argument_that_the_function_writes_into(backend):
    x, y = read_only(np.array([1.0, 2.0])), read_only(np.array([3.0, 4.0]))
    found = adcompile.grad(rewrites, argnums=(0, 1), backend=backend)(x, y)
    copies = x.copy(), y.copy()
    expected = adcompile.grad(rewrites, argnums=(0, 1), backend="python")(*copies)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, [[0.0, 8.0], [36.0, 2.0]])


def test_captured_array_is_not_handed_out():
    held = np.array([1.0, 2.0])
    found = adcompile.jit(lambda x: (held, held * x))(1.0)
    assert not np.shares_memory(found[0], held)
    found[0][:] = 7.0
    np.testing.assert_array_equal(held, [1.0, 2.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_entries_of_compiled(backend):
    gradient = adcompile.grad(lambda x, s: np.sum(np.tanh(x) * s), backend=backend)
    for batch in (2, 5, 64, 3, 0):
        assert gradient(np.ones((batch, 3)), 2.0).shape == (batch, 3)
    assert len(gradient.compiled) == 1
    gradient(np.asfortranarray(np.ones((4, 3))), 3.0)
    gradient(np.ones((8, 6))[::2, ::2], s=3.0)
    count = len(gradient.compiled)
    assert count <= 2  # s as a keyword is another signature
    for k, other in enumerate([np.ones((2, 3), np.float32), np.ones(3), np.ones((1, 3))], 1):
        gradient(other, 2.0)
        gradient(other, 2.0)
        assert len(gradient.compiled) == count + k
    gradient(np.ones((2, 3)), np.float32(2.0))
    assert len(gradient.compiled) == count + 4


def test_known_arguments_have_programs_of_their_own():
    run = adcompile.jit(lambda x, mode, pair: x * pair[0] if mode == "a" and pair[1] else x * 3.0)
    for _ in range(2):
        assert run(1.0, "a", (2.0, True)) == 2.0
        assert run(1.0, "a", (2.0, False)) == 3.0
        assert run(1.0, "b", (2.0, True)) == 3.0
        assert run(1.0, "".join(["a"]), (5.0, True)) == 5.0
    assert len(run.compiled) == 3
    apply = adcompile.jit(lambda g, x: g(x))
    assert [apply(g, 0.0) for g in (np.sin, np.cos, product_of_one, np.sin)] == [0.0, 1.0, 0.0, 0.0]
    assert len(apply.compiled) == 3


def product_of_one(x):
    return x * x


def test_containers_of_one_structure_share_a_program():
    gradient = adcompile.grad(as_dict)
    for n in (2, 3, 7):
        assert gradient({"z": np.ones(n), "a": 2.0})["a"] == n
    assert len(gradient.compiled) == 1
    assert gradient({"a": 2.0, "z": np.ones(3)})["a"] == 3.0
    assert len(gradient.compiled) == 2
    assert list(gradient({"a": 2.0, "z": np.ones(3)})) == ["a", "z"]


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_eight_threads(backend):
    """They start together on a transform that has compiled nothing."""

    def f(x, n):
        for _ in range(n):
            x = np.cos(x) * 1.3
        return np.sum(x**2)

    gradient = adcompile.grad(f, backend=backend)
    points = [np.random.default_rng(k).normal(size=2 + k % 4) for k in range(8)]
    reference = adcompile.grad(f, backend="python")
    expected = [reference(x, 3 + k) for k, x in enumerate(points)]
    barrier, failures = threading.Barrier(8), []

    def work(k):
        try:
            barrier.wait()
            for _ in range(30):
                np.testing.assert_allclose(gradient(points[k], 3 + k), expected[k], rtol=1e-12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_import_is_light():
    code = (
        "import sys, adcompile; print(sorted({m.split('.')[0] for m in sys.modules} "
        "& {'llvmlite', 'numba', 'scipy', 'sympy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_njit_gives_a_dispatcher():
    import numba

    gradient = adcompile.grad(cubes, argnums=(0, 1)).njit(P, np.array([2.0, 3.0]))
    value = adcompile.jit(cubes).njit(P, np.array([2.0, 3.0]))

    @numba.njit
    def descend(x, y, steps):
        for _ in range(steps):
            x_bar, y_bar = gradient(x, y)
            x = x - 0.01 * x_bar
            y = y - 0.01 * y_bar
        return value(x, y)

    x, y = P.copy(), np.array([2.0, 3.0])
    found = descend(x, y, 5)
    run = adcompile.grad(cubes, argnums=(0, 1))
    for _ in range(5):
        x_bar, y_bar = run(x, y)
        x, y = x - 0.01 * x_bar, y - 0.01 * y_bar
    np.testing.assert_allclose(found, cubes(x, y), rtol=1e-13)
    np.testing.assert_allclose(gradient(x, y)[0], run(x, y)[0], rtol=1e-13)
    np.testing.assert_array_equal(P, [0.5, -1.0, 2.0])


def test_njit_takes_containers_apart():
    run = adcompile.value_and_grad(as_dict).njit({"z": P, "a": 2.0})
    value, z_bar, a_bar = run(P, 2.0)
    assert value == 2.0 * np.sum(P)
    np.testing.assert_array_equal(z_bar, np.full(3, 2.0))
    assert a_bar == np.sum(P)


def test_njit_refuses_captured_arrays():
    with pytest.raises(InvalidArgument, match="captures arrays"):
        adcompile.grad(lambda x: np.sum(x * VECTOR)).njit(np.ones(2))

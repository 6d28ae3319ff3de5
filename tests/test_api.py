"""The transforms as a user calls them: decorators, argnums, kinds of arrays, when programs are compiled, threads."""

import dataclasses
import enum
import math
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest

import adcompile
from adcompile import api, tree
from adcompile.errors import InvalidArgument

BACKENDS = ("python", "llvm")


def product(x, y, n=2):
    return x * y**n


@pytest.fixture
def compilations(monkeypatch):
    """A list that grows with every compilation."""
    made = []
    compile_program = api.compile_program
    monkeypatch.setattr(api, "compile_program", lambda *args: made.append(args) or compile_program(*args))
    return made


# -- decorators and argnums -------------------------------------------------------------------------------------


@adcompile.grad
def decorated(x):
    """Documented."""
    return x**3


@adcompile.grad(argnums=(1, 0), backend="python")
def decorated_with_arguments(x, y):
    return x**2 * y


@adcompile.jit
def compiled(x):
    return x + 1.0


@adcompile.value_and_grad(argnums="y")
def decorated_by_name(x, y):
    return x * y * y


@adcompile.hessian
def decorated_hessian(x):
    return np.sum(x**3)


def test_decorators():
    assert decorated(2.0) == 12.0
    assert decorated.__doc__ == "Documented."
    assert decorated.__name__ == "decorated"
    assert decorated_with_arguments(3.0, 5.0) == (9.0, 30.0)
    assert compiled(1.0) == 2.0
    assert decorated_by_name(2.0, 3.0) == (18.0, 12.0)
    np.testing.assert_array_equal(decorated_hessian(np.array([1.0, 2.0])), [[6.0, 0.0], [0.0, 12.0]])


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [(0, 8.0), (1, 36.0), (-2, 36.0), ("x", 8.0), ("y", 36.0), ((0, 1), (8.0, 36.0)), ((1, 0), (36.0, 8.0)),
     (("y", 0), (36.0, 8.0)), ((0,), (8.0,)), ([0, 1], (8.0, 36.0))],
)  # fmt: skip
def test_argnums(argnums, expected):
    found = adcompile.grad(product, argnums)(3.0, 2.0, 3)
    assert found == expected
    assert type(found) is type(expected)


def test_keywords():
    gradient = adcompile.grad(product)
    assert gradient(3.0, y=2.0) == 4.0
    assert gradient(3.0, 2.0, n=3) == 8.0
    assert gradient(y=2.0, x=3.0) == 4.0
    assert gradient(3.0, 2.0) == 4.0
    assert adcompile.grad(product, "y")(3.0, n=1, y=2.0) == 3.0


def test_static_keyword_is_part_of_the_signature():
    def f(x, kind="sin", flag=False):
        return math.sin(x) if kind == "sin" else x * (3.0 if flag else 2.0)

    gradient = adcompile.grad(f)
    assert gradient(0.0) == 1.0
    assert gradient(0.0, kind="linear") == 2.0
    assert gradient(0.0, "linear", True) == 3.0
    assert gradient(0.0, kind="linear", flag=False) == 2.0


def test_has_aux():
    def f(x):
        y = x * 2.0
        return np.sum(y * y), {"y": y, "n": 3, "word": "w"}

    x = np.array([1.0, 2.0])
    gradient, aux = adcompile.grad(f, has_aux=True)(x)
    np.testing.assert_array_equal(gradient, 8.0 * x)
    np.testing.assert_array_equal(aux["y"], 2.0 * x)
    assert (aux["n"], aux["word"]) == (3, "w")
    (value, aux), gradient = adcompile.value_and_grad(f, has_aux=True)(x)
    assert value == 20.0
    np.testing.assert_array_equal(gradient, 8.0 * x)


def test_pullback_can_be_called_again():
    out, pullback = adcompile.vjp(lambda x: np.sin(x), np.array([0.0, 1.0]))
    np.testing.assert_allclose(pullback(np.array([1.0, 0.0]))[0], [1.0, 0.0], rtol=1e-15)
    np.testing.assert_allclose(pullback(np.array([0.0, 2.0]))[0], [0.0, 2.0 * math.cos(1.0)], rtol=1e-15)
    np.testing.assert_allclose(out, np.sin([0.0, 1.0]), rtol=1e-15)


def test_pullback_keeps_the_point():
    x = np.array([1.0, 2.0])
    _, pullback = adcompile.vjp(lambda v: v**2, x)
    first = pullback(np.ones(2))[0]
    np.testing.assert_array_equal(first, [2.0, 4.0])


def test_pullback_keeps_the_point_where_arguments_change():
    x, p = np.array([1.0, 2.0]), {"s": np.array([3.0])}
    out, pullback = adcompile.vjp(lambda v, q: v**2 * q["s"], x, p)
    x[:], p["s"][:] = 100.0, 100.0
    x_bar, p_bar = pullback(np.ones(2))
    np.testing.assert_array_equal(out, [3.0, 12.0])
    np.testing.assert_array_equal(x_bar, [6.0, 12.0])
    np.testing.assert_array_equal(p_bar["s"], [5.0])


class Alike:
    """Equal to all others."""

    def __init__(self, factor):
        self.factor = factor

    def __eq__(self, other):
        return isinstance(other, Alike)

    def __hash__(self):
        return 1

    def __call__(self, x):
        return self.factor * x


class Unhashable(Alike):
    __hash__ = None


@pytest.mark.parametrize("kind", [Alike, Unhashable])
def test_jvp_of_equal_callables(kind):
    for factor in (1.0, 2.0, 3.0):
        assert adcompile.jvp(kind(factor), (1.0,), (2.0,)) == (factor, 2.0 * factor)
        assert adcompile.vjp(kind(factor), 1.0)[1](2.0) == (2.0 * factor,)
        assert adcompile.grad(kind(factor))(1.0) == factor


# -- kinds of arrays --------------------------------------------------------------------------------------------


def weighted(x):
    return np.sum(x * np.arange(1.0, x.shape[0] + 1.0)[:, None] ** 2)


def read_only(x):
    y = x.copy()
    y.flags.writeable = False
    return y


VARIANTS = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "transposed": lambda x: x.T.copy().T,
    "byte-swapped": lambda x: x.astype(">f8"),
    "subclass": lambda x: x.view(type("Sub", (np.ndarray,), {})),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float64).reshape(x.shape),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_layouts(variant, backend):
    x = np.random.default_rng(0).normal(size=(3, 4))
    given = VARIANTS[variant](x)
    found = adcompile.grad(weighted, backend=backend)(given)
    np.testing.assert_array_equal(found, np.broadcast_to(np.array([[1.0], [4.0], [9.0]]), (3, 4)))
    assert found.dtype == np.float64
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(np.asarray(given, np.float64), x)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_sizes_of_zero_and_one(shape, backend):
    x = np.ones(shape)
    value, gradient = adcompile.value_and_grad(weighted, backend=backend)(x)
    assert value == weighted(x)
    assert gradient.shape == shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_dimensional_array(backend):
    found = adcompile.grad(lambda x: x * x * 1.5, backend=backend)(np.array(2.0))
    assert found == 6.0
    assert np.shape(found) == ()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(dtype, backend):
    def f(x, s):
        return np.sum(np.tanh(x) * s * 2.0 + 1)

    x, s = np.linspace(0.1, 1.0, 5, dtype=dtype), dtype(0.5)
    value, (x_bar, s_bar) = adcompile.value_and_grad(f, (0, 1), backend=backend)(x, s)
    assert np.asarray(value).dtype == dtype
    assert x_bar.dtype == dtype
    assert np.asarray(s_bar).dtype == dtype
    out, out_dot = adcompile.jvp(f, (x, s), (np.ones_like(x), dtype(0)), backend=backend)
    assert np.asarray(out).dtype == np.asarray(out_dot).dtype == dtype
    assert adcompile.jacrev(np.sin, backend=backend)(x).dtype == dtype


def test_numbers_of_each_kind_have_programs_of_their_own():
    def f(x, a):
        return np.sum(x * a)

    run, a = adcompile.jit(f), np.ones(3, np.float32)
    for x in (1.0, np.float64(1.0), np.float32(1), 1, np.int64(1), 1.0, np.float64(1.0)):
        assert run(x, a).dtype == f(x, a).dtype, type(x)


# -- when programs are compiled ---------------------------------------------------------------------------------


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
CHOSEN = {1}


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


def test_changed_set():
    gradient = adcompile.grad(lambda x: x * (2.0 if 2 in CHOSEN else 1.0))
    assert gradient(1.0) == 1.0
    CHOSEN.add(2)
    assert gradient(1.0) == 2.0
    CHOSEN.remove(2)


def scaled(x, factor=2.0, *, shift=1.0):
    return x * factor + shift * x


def test_changed_defaults(monkeypatch):
    gradient = adcompile.grad(lambda x: scaled(x))
    assert gradient(1.0) == 3.0
    monkeypatch.setattr(scaled, "__defaults__", (4.0,))
    assert gradient(1.0) == 5.0
    monkeypatch.setattr(scaled, "__kwdefaults__", {"shift": 0.0})
    assert gradient(1.0) == 4.0


def make(factor):
    def inner(x):
        return x * factor

    def change(value):
        nonlocal factor
        factor = value

    return inner, change


def test_changed_cells():
    (first, change_first), (second, change_second) = make(1.0), make(2.0)
    gradient = adcompile.grad(lambda x: first(x) + 10.0 * second(x))
    assert gradient(1.0) == 21.0
    change_second(5.0)
    assert gradient(1.0) == 51.0
    change_first(3.0)
    assert gradient(1.0) == 53.0


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


def test_changed_attributes():
    one, two = Rate(1.0), Rate(2.0)
    gradient = adcompile.grad(lambda x: x * one.rate + 10.0 * x * two.rate)
    assert gradient(1.0) == 21.0
    two.rate = 7.0
    assert gradient(1.0) == 71.0
    one.rate = 2.0
    assert gradient(1.0) == 72.0


def test_global_list_is_not_changed_while_tracing():
    with pytest.raises(adcompile.errors.StaticValueRequired, match="from outside the function"):
        adcompile.jit(lambda x: x * len(TABLE["list"].append(1.0) or TABLE["list"]))(1.0)
    assert TABLE["list"] == [1.0, 2.0]


# -- methods, containers, threads -------------------------------------------------------------------------------


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


Pair = namedtuple("Pair", "w n")


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


# -- values, shapes and structures of every transform -------------------------------------------------------------

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
P = np.array([0.5, -1.0, 2.0])
ALL_BACKENDS = ("python", "llvm", "numba")


def mapped(x):
    return np.sin(A @ x)


def cubes(x, y):
    return np.sum(x**3 * y[0]) + y[1] ** 2 * x[0]


@dataclasses.dataclass
class Weights:
    w: np.ndarray
    b: float


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
def test_jacobian_of_a_vector(jacobian, backend):
    found = jacobian(mapped, backend=backend)(P)
    np.testing.assert_allclose(found, np.cos(A @ P)[:, None] * A, rtol=1e-14)
    assert found.shape == (2, 3)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
@pytest.mark.parametrize(
    ("function", "x", "shape"),
    [(lambda x: x, 2.0, ()), (lambda x: x * P, 2.0, (3,)), (lambda x: np.sum(x * x), P, (3,)),
     (lambda x: x[:2] * x[1:], P, (2, 3)), (lambda x: np.outer(x, x), P, (3, 3, 3)), (lambda x: x.T, A, (3, 2, 2, 3)),
     (lambda x: x @ P, A, (2, 2, 3)), (lambda x: x * 2.0, np.ones((0,)), (0, 0)), (lambda x: x[:0], P, (0, 3)),
     (lambda x: np.ones(2), P, (2, 3))],
    ids=["number", "number-vector", "vector-number", "vectors", "outer", "transpose", "product", "empty", "no rows",
         "constant"],
)  # fmt: skip
def test_jacobian_shapes(function, x, shape, jacobian, backend):
    found = np.asarray(jacobian(function, backend=backend)(x))
    assert found.shape == shape
    assert found.dtype == np.float64
    flat, step = np.ravel(x), 1e-6
    for k in range(flat.size):
        moved = [np.reshape(flat + sign * step * (np.arange(flat.size) == k), np.shape(x)) for sign in (1, -1)]
        up, down = (np.asarray(function(m if np.ndim(x) else float(m))) for m in moved)
        column = found.reshape((*up.shape, flat.size))[..., k]
        np.testing.assert_allclose(column, (up - down) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
def test_jacobian_of_containers(jacobian):
    def f(p, s):
        return {"out": p["w"] * s, "total": np.sum(p["w"]) * p["b"] * s}

    p = {"w": P, "b": 2.0}
    found = jacobian(f)(p, 3.0)
    assert set(found) == {"out", "total"}
    assert {k: set(v) for k, v in found.items()} == {"out": {"w", "b"}, "total": {"w", "b"}}
    np.testing.assert_allclose(found["out"]["w"], 3.0 * np.eye(3))
    np.testing.assert_allclose(found["out"]["b"], np.zeros(3))
    np.testing.assert_allclose(found["total"]["w"], np.full(3, 6.0))
    assert found["total"]["b"] == 4.5
    both = jacobian(f, argnums=(1, 0))(p, 3.0)
    assert isinstance(both["out"], tuple)
    np.testing.assert_allclose(both["out"][0], P)
    np.testing.assert_allclose(both["out"][1]["w"], 3.0 * np.eye(3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_hessian_values(backend):
    y = np.array([2.0, 3.0])
    np.testing.assert_allclose(adcompile.hessian(cubes, backend=backend)(P, y), np.diag(12.0 * P), rtol=1e-14)
    xy = adcompile.hessian(cubes, argnums=(0, 1), backend=backend)(P, y)
    np.testing.assert_allclose(xy[0][0], np.diag(12.0 * P), rtol=1e-14)
    np.testing.assert_allclose(xy[0][1], np.array([[0.75, 6.0], [3.0, 0.0], [12.0, 0.0]]), rtol=1e-14)
    np.testing.assert_allclose(xy[1][0], xy[0][1].T, rtol=1e-14)
    np.testing.assert_allclose(xy[1][1], [[0.0, 0.0], [0.0, 1.0]], rtol=1e-14)
    assert adcompile.hessian(lambda x: x**3, backend=backend)(2.0) == 12.0
    assert adcompile.hessian(lambda m: np.sum(m**2), backend=backend)(A).shape == (2, 3, 2, 3)


def test_hessian_of_a_container():
    found = adcompile.hessian(lambda p: np.sum(p["w"] ** 2) * p["b"])({"w": P, "b": 3.0})
    np.testing.assert_allclose(found["w"]["w"], 6.0 * np.eye(3))
    np.testing.assert_allclose(found["w"]["b"], 2.0 * P)
    np.testing.assert_allclose(found["b"]["w"], 2.0 * P)
    assert found["b"]["b"] == 0.0


@pytest.mark.parametrize("compose", [
    lambda f: adcompile.jacfwd(adcompile.jacrev(f)), lambda f: adcompile.jacrev(adcompile.jacfwd(f)),
    lambda f: adcompile.jacrev(adcompile.grad(f)), lambda f: adcompile.jacfwd(adcompile.jacfwd(f)),
    lambda f: adcompile.jit(adcompile.hessian(f)), lambda f: adcompile.hessian(adcompile.jit(f)),
    lambda f: adcompile.jacfwd(lambda x, y: adcompile.value_and_grad(f)(x, y)[1]),
])  # fmt: skip
def test_hessian_is_a_composition(compose):
    found = compose(cubes)(P, np.array([2.0, 3.0]))
    np.testing.assert_allclose(found, np.diag(12.0 * P), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hvp_values(backend):
    y, v = np.array([2.0, 3.0]), np.array([1.0, -2.0, 0.5])
    product = adcompile.hvp(cubes, backend=backend)
    np.testing.assert_allclose(product(P, y, v), 12.0 * P * v, rtol=1e-14)
    np.testing.assert_allclose(product(P, y, 2 * v), 24.0 * P * v, rtol=1e-14)
    x_bar, y_bar = adcompile.hvp(cubes, argnums=(0, 1), backend=backend)(P, y, (v, np.array([1.0, 1.0])))
    np.testing.assert_allclose(x_bar, 12.0 * P * v + [6.75, 3.0, 12.0], rtol=1e-14)
    np.testing.assert_allclose(y_bar, [3.0 * np.sum(P**2 * v), 6.0 * v[0] + 1.0], rtol=1e-14)
    found = adcompile.hvp(lambda p: np.sum(p["w"] ** 3) * p["b"], backend=backend)(
        {"w": P, "b": 2.0}, {"w": v, "b": 1.0}
    )
    np.testing.assert_allclose(found["w"], 12.0 * P * v + 3.0 * P**2, rtol=1e-14)
    np.testing.assert_allclose(found["b"], 3.0 * np.sum(P**2 * v), rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_jvp_and_vjp_structures(backend):
    def f(p, n, s):
        return {"a": p["w"] * s, "k": n + 1, "pair": Pair(np.sum(p["w"]) * n, "text")}

    primals = ({"w": P}, 3, 2.0)
    out, dot = adcompile.jvp(f, primals, ({"w": np.ones(3)}, None, 1.0), backend=backend)
    assert isinstance(out["pair"], Pair)
    assert (out["k"], out["pair"].n) == (4, "text")
    np.testing.assert_allclose(dot["a"], 2.0 + P)
    assert dot["k"] is None
    np.testing.assert_allclose(dot["pair"].w, 9.0)
    out, pullback = adcompile.vjp(f, *primals, backend=backend)
    np.testing.assert_allclose(out["a"], 2.0 * P)
    bars = pullback({"a": np.ones(3), "k": None, "pair": Pair(1.0, None)})
    assert isinstance(bars, tuple)
    assert len(bars) == 3
    np.testing.assert_allclose(bars[0]["w"], np.full(3, 5.0))
    assert bars[1] is None
    np.testing.assert_allclose(bars[2], np.sum(P))


@pytest.mark.parametrize("backend", BACKENDS)
def test_jvp_and_vjp_are_adjoint(backend):
    x, v, u = P, np.array([0.3, 0.1, -0.7]), np.array([2.0, -1.0])
    _, out_dot = adcompile.jvp(mapped, (x,), (v,), backend=backend)
    _, pullback = adcompile.vjp(mapped, x, backend=backend)
    np.testing.assert_allclose(u @ out_dot, pullback(u)[0] @ v, rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_stop_gradient(backend):
    def f(x):
        return adcompile.stop_gradient(x * x) * x * x

    def g(p):
        held = adcompile.stop_gradient(p)
        return np.sum(held["w"] * p["w"]) * held["b"]

    assert adcompile.grad(f, backend=backend)(3.0) == 54.0
    assert adcompile.grad(adcompile.grad(f), backend=backend)(3.0) == 18.0
    assert adcompile.grad(adcompile.grad(adcompile.grad(f)), backend=backend)(3.0) == 0.0
    assert adcompile.hessian(f, backend=backend)(3.0) == 18.0
    assert adcompile.hvp(f, backend=backend)(3.0, 2.0) == 36.0
    assert adcompile.jvp(f, (3.0,), (1.0,), backend=backend) == (81.0, 54.0)
    assert adcompile.jacfwd(f, backend=backend)(3.0) == 54.0
    found = adcompile.grad(g, backend=backend)({"w": P, "b": 2.0})
    np.testing.assert_allclose(found["w"], 2.0 * P)
    assert found["b"] == 0.0
    assert adcompile.stop_gradient(3.0) == 3.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_nested_transforms(backend):
    """A gradient step inside a function, differentiated through; perturbations are not confused."""

    def loss(w, x):
        return np.sum((w * x - 1.0) ** 2)

    def outer(w, x):
        return loss(w - 0.1 * adcompile.grad(loss)(w, x), x)

    x = np.array([1.0, 2.0])
    w = 0.7
    step = w - 0.1 * np.sum(2 * (w * x - 1) * x)
    expected = np.sum(2 * (step * x - 1) * x) * (1 - 0.2 * np.sum(x * x))
    np.testing.assert_allclose(adcompile.grad(outer, backend=backend)(w, x), expected, rtol=1e-13)
    confusing = adcompile.grad(lambda a: a * adcompile.grad(lambda b: a + b)(1.0), backend=backend)
    assert confusing(5.0) == 1.0
    mixed = adcompile.grad(lambda a: a * adcompile.jvp(lambda b: a * b * b, (2.0,), (1.0,))[1], backend=backend)
    assert mixed(3.0) == 24.0
    pulled = adcompile.grad(lambda a: adcompile.vjp(lambda b: a * b * b, a)[1](1.0)[0], backend=backend)
    assert pulled(3.0) == 12.0


def test_grad_of_grad_four_times():
    derivative, expected = math.sin, [math.cos, lambda x: -math.sin(x), lambda x: -math.cos(x), math.sin]
    for value in expected:
        derivative = adcompile.grad(derivative)
        np.testing.assert_allclose(derivative(0.4), value(0.4), rtol=1e-14)


# -- kinds of numbers and containers ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_python_float_in_python_float_out(backend):
    value, gradient = adcompile.value_and_grad(lambda x: math.sin(x) * x, backend=backend)(0.5)
    assert (type(value), type(gradient)) == (float, float)
    assert type(adcompile.jit(lambda x: x * 2.0, backend=backend)(0.5)) is float
    gradients = adcompile.grad(lambda x, s: x * s, argnums=(0, 1), backend=backend)(0.5, np.float32(2.0))
    assert [type(g) for g in gradients] == [float, np.float32]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_of_a_python_float(dtype, backend):
    """Also beside arrays: a step of gradient descent must not change the type of the parameter."""

    def f(b, x):
        return np.sum(x * b) * b

    gradient, x, b = adcompile.grad(f, backend=backend), P.astype(dtype), 2.0
    for _ in range(3):
        found = gradient(b, x)
        assert type(found) is float
        b = b - 0.01 * found
    assert len(gradient.compiled) == 1
    assert type(adcompile.hvp(f, backend=backend)(2.0, x, 1.0)) is float
    assert type(adcompile.vjp(f, 2.0, x, backend=backend)[1](1.0)[0]) is float


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("second", [adcompile.hessian, adcompile.jacfwd, adcompile.jacrev])
def test_float32_in_higher_transforms(second, backend):
    x = np.linspace(0.1, 1.0, 3, dtype=np.float32)

    def f(x):
        return np.sum(np.exp(x) * x**2)

    assert np.asarray(second(f, backend=backend)(x)).dtype == np.float32
    assert adcompile.hvp(f, backend=backend)(x, np.ones(3, np.float32)).dtype == np.float32
    assert adcompile.hvp(f, backend=backend)(x, np.ones(3)).dtype == np.float32
    out, pullback = adcompile.vjp(np.tanh, x, backend=backend)
    assert out.dtype == pullback(np.ones(3))[0].dtype == np.float32
    assert np.asarray(adcompile.jit(f, backend=backend)(x)).dtype == np.float32


class Metres(float):
    pass


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_subclasses_of_numbers(backend):
    gradient = adcompile.grad(product, argnums=(0, 1), backend=backend)
    assert gradient(Metres(3.0), 2.0, Level.HIGH) == (4.0, 12.0)
    assert gradient(3.0, Metres(2.0), Level.LOW) == (2.0, 3.0)
    assert adcompile.jit(lambda x, k: x // k, backend=backend)(7, Level.HIGH) == 3  # an IntEnum counts as an int


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("x", [1.5, 2, np.float64(1.5), np.float32(1.5), np.int64(2), np.int32(3)], ids=repr)
@pytest.mark.parametrize("k", [2, 2.5, np.float32(2.5), np.float64(2.5), np.int16(3), np.bool_(True), True], ids=repr)
def test_types_of_numbers_are_those_of_numpy(x, k, backend):
    def f(x, k):
        return x * k, x + k, np.sqrt(x) * k

    for found, expected in zip(adcompile.jit(f, backend=backend)(x, k), f(x, k), strict=True):
        assert type(found) is type(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_gradient_of_a_dataclass(backend):
    def f(weights, x):
        return np.sum(weights.w * x) * weights.b

    found = adcompile.grad(f, backend=backend)(Weights(P, 2.0), np.ones(3))
    assert type(found) is Weights
    np.testing.assert_allclose(found.w, np.full(3, 2.0))
    assert found.b == np.sum(P)
    assert type(found.b) is float


def as_list(p):
    return np.sum(p[0]) * p[1]


def as_dict(p):
    return np.sum(p["z"]) * p["a"]


def as_fields(p):
    return np.sum(p.w) * p[1]


def as_nest(p):
    return np.sum(p[0][0]) * p[1][0]["b"]


def as_nest_with_empty_ones(p):
    return np.sum(p[1]) * p[3]


@pytest.mark.parametrize(
    ("function", "argument"),
    [(as_list, [P, 2.0]), (as_list, (P, 2.0)), (as_dict, {"z": P, "a": 2.0}), (as_fields, Pair(P, 2.0)),
     (as_dict, OrderedDict(z=P, a=2.0)), (as_nest, ((P,), [{"b": 2.0}])), (as_nest_with_empty_ones, [(), P, {}, 2.0])],
    ids=["list", "tuple", "dict", "namedtuple", "ordered dict", "nest", "empty"],
)  # fmt: skip
def test_gradient_keeps_the_container(function, argument):
    for gradient in (adcompile.grad(function)(argument), adcompile.value_and_grad(function)(argument)[1]):
        leaves, structure = tree.flatten(gradient)
        assert structure == tree.flatten(argument)[1]
        np.testing.assert_allclose(leaves[0], np.full(3, 2.0))
        assert leaves[1] == np.sum(P)


# -- memory -------------------------------------------------------------------------------------------------------


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


# -- how many programs --------------------------------------------------------------------------------------------


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


# -- numba --------------------------------------------------------------------------------------------------------


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

"""Decorators, argnums, kinds of arrays, numbers and containers that a call takes."""

import enum
import math
from collections import OrderedDict

import numpy as np
import pytest

import adcompile
from adcompile import tree
from tests.api.common import ALL_BACKENDS, BACKENDS, P, Pair, Weights, as_dict, product, read_only


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


def weighted(x):
    return np.sum(x * np.arange(1.0, x.shape[0] + 1.0)[:, None] ** 2)


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

"""Axes, containers, composition with other transforms, and what the program of a batch looks like."""

import collections
import dataclasses

import numpy as np
import pytest

import adcompile
from adcompile.ir.core import walk
from tests.vmap.common import FAST, XS, R, in_loop


def affine(a, x, b):
    return a @ x + b


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(
    ("in_axes", "out_axes"),
    [((None, 0, None), 0), ((0, None, 0), 1), ((1, 1, -1), -1), ((2, 0, None), 0), ((None, None, 0), 1), (0, 0)],
    ids=str,
)
def test_axes(in_axes, out_axes, backend):
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * 3
    args = [R.normal(size=(2, 3)), R.normal(size=3), R.normal(size=2)]
    whole = [
        a if axis is None else np.stack([a, 2 * a, a * a, a - 1], axis) for a, axis in zip(args, axes, strict=True)
    ]
    single = [
        affine(*(w if axis is None else np.take(w, k, axis) for w, axis in zip(whole, axes, strict=True)))
        for k in range(4)
    ]
    found = adcompile.vmap(affine, in_axes, out_axes, backend=backend)(*whole)
    np.testing.assert_allclose(found, np.stack(single, out_axes), rtol=1e-13)


@dataclasses.dataclass
class Layer:
    w: np.ndarray
    b: float


Pair = collections.namedtuple("Pair", "first second")


def of_containers(layers, pair, scale=1.0):
    total = pair.first * scale
    for layer in layers:
        total = layer.w * total + layer.b
    return {"total": total, "parts": (pair.second, 2.0, None, "name")}


@pytest.mark.parametrize("backend", FAST)
def test_containers(backend):
    layers = [Layer(R.normal(size=(3, 2)), R.normal()), Layer(R.normal(size=(3, 2)), R.normal())]
    pair = Pair(R.normal(size=2), R.normal(size=(2, 3)))
    axes = ([Layer(0, None), Layer(0, None)], Pair(None, 1))
    outs = {"total": 1, "parts": (0, None, None, None)}
    found = adcompile.vmap(of_containers, axes, outs, backend=backend)(layers, pair)
    for k in range(3):
        single = of_containers([Layer(x.w[k], x.b) for x in layers], Pair(pair.first, pair.second[:, k]))
        np.testing.assert_allclose(found["total"][:, k], single["total"], rtol=1e-14)
        np.testing.assert_array_equal(found["parts"][0][k], single["parts"][0])
    assert found["parts"][1:] == (2.0, None, "name")


def test_keywords_are_mapped_along_their_first_axis():
    found = adcompile.vmap(of_containers, ([], Pair(None, None)))([], Pair(2.0, 1.0), scale=np.array([1.0, 3.0]))
    np.testing.assert_array_equal(found["total"], [2.0, 6.0])
    np.testing.assert_array_equal(found["parts"][1], [2.0, 2.0])


def test_results_that_do_not_depend_on_the_batch_are_repeated():
    found = adcompile.vmap(lambda x: (7, np.ones(2), x))(np.zeros(3))
    np.testing.assert_array_equal(found[0], [7, 7, 7])
    np.testing.assert_array_equal(found[1], np.ones((3, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_dtypes_stay(dtype):
    """An element of a float32 array is a float32 that a Python float does not widen."""

    def f(x, k):
        return x * 0.5 + float(k), x * k

    xs, ks = np.arange(3).astype(dtype), np.arange(3)
    found = adcompile.vmap(f, backend="python")(xs, ks)
    for got, want in zip(found, zip(*map(f, xs, ks), strict=True), strict=True):
        np.testing.assert_array_equal(got, np.stack(want))
        assert got.dtype == np.stack(want).dtype


@pytest.mark.parametrize("backend", FAST)
def test_one_program_serves_every_size(backend):
    def f(x, w):
        return np.sum(np.tanh(x * w)) if w > 0 else x[0]

    mapped = adcompile.vmap(f, (0, 0), backend=backend)
    for count in (2, 5, 1000, 0):
        xs, ws = R.normal(size=(count, 3)), R.normal(size=count)
        expected = [f(x, w) for x, w in zip(xs, ws, strict=True)]
        np.testing.assert_allclose(mapped(xs, ws), expected, rtol=1e-13)
    assert len(mapped.compiled) == 1
    np.testing.assert_allclose(mapped(xs := np.ones((1, 3)), np.ones(1)), [f(xs[0], 1.0)], rtol=1e-13)
    assert len(mapped.compiled) == 2


def wave(x, a):
    return np.sum(np.sin(a * x) * x)


@pytest.mark.parametrize("backend", FAST)
def test_orders_of_transforms(backend):
    a = np.array([0.5, 1.0, 2.0])
    gradient = np.sin(a[:, None] * XS) + a[:, None] * XS * np.cos(a[:, None] * XS)
    of_grad = adcompile.vmap(adcompile.grad(wave), backend=backend)(XS, a)
    np.testing.assert_allclose(of_grad, gradient, rtol=1e-12)

    def total(xs):
        return np.sum(adcompile.vmap(wave)(xs, a))

    np.testing.assert_allclose(adcompile.grad(total, backend=backend)(XS), gradient, rtol=1e-12)
    second = 2 * a[:, None] * np.cos(a[:, None] * XS) - a[:, None] ** 2 * XS * np.sin(a[:, None] * XS)
    hessians = adcompile.vmap(adcompile.hessian(wave), backend=backend)(XS, a)
    np.testing.assert_allclose(hessians, [np.diag(row) for row in second], rtol=1e-12, atol=1e-14)

    def along(x, a, v):
        return adcompile.hvp(wave)(x, a, v), adcompile.jvp(lambda y: wave(y, a), (x,), (v,))[1]

    products, tangents = adcompile.vmap(along, backend=backend)(XS, a, XS)
    np.testing.assert_allclose(products, second * XS, rtol=1e-12)
    np.testing.assert_allclose(tangents, np.sum(gradient * XS, axis=1), rtol=1e-12)


def test_numba():
    mapped = adcompile.vmap(adcompile.value_and_grad(wave), (0, None), backend="numba")
    value, gradient = mapped(XS, 2.0)
    np.testing.assert_allclose(value, in_loop(lambda x: wave(x, 2.0), XS), rtol=1e-13)
    np.testing.assert_allclose(gradient, np.sin(2.0 * XS) + 2.0 * XS * np.cos(2.0 * XS), rtol=1e-13)


@pytest.mark.parametrize("backend", FAST)
def test_nested(backend):
    table = adcompile.vmap(adcompile.vmap(lambda x, y: x / y, (None, 0)), (0, None), backend=backend)
    np.testing.assert_allclose(table(XS[0], XS[1]), XS[0][:, None] / XS[1], rtol=1e-15)

    def outer(x):
        rows = adcompile.vmap(lambda y: adcompile.vmap(lambda z: z * y + x[0])(x))(x)
        return np.sum(rows**2)

    np.testing.assert_allclose(
        adcompile.vmap(outer, backend=backend)(XS), in_loop(lambda x: np.sum((np.outer(x, x) + x[0]) ** 2), XS), 1e-13
    )
    adcompile.check_grads(outer, (XS[0],), order=1, backend=backend)


@pytest.mark.parametrize("jacobian", [adcompile.jacfwd, adcompile.jacrev])
def test_jacobians(jacobian):
    mapped = adcompile.vmap(jacobian(lambda x, a: np.sin(a * x)), (0, None))(XS, 2.0)
    np.testing.assert_allclose(mapped, [np.diag(2.0 * np.cos(2.0 * x)) for x in XS], atol=1e-14)
    by_hand = adcompile.vmap(lambda v: adcompile.jvp(np.cumsum, (XS[0],), (v,))[1], out_axes=1)(np.eye(4))
    np.testing.assert_allclose(by_hand, np.tril(np.ones((4, 4))), rtol=1e-15)


def test_jit_inside_and_outside():
    inside = adcompile.vmap(adcompile.jit(wave), (0, None))(XS, 2.0)
    outside = adcompile.jit(adcompile.vmap(wave, (0, None)))(XS, 2.0)
    np.testing.assert_allclose(inside, in_loop(lambda x: wave(x, 2.0), XS), rtol=1e-13)
    np.testing.assert_array_equal(inside, outside)


def test_decorators():
    @adcompile.vmap
    def double(x):
        return x * 2.0

    @adcompile.vmap(in_axes=1, backend="python")
    def total(x):
        return np.sum(x)

    np.testing.assert_array_equal(double(XS), XS * 2)
    np.testing.assert_allclose(total(XS), XS.sum(0), rtol=1e-15)


@adcompile.custom_jvp
def clipped(x, y):
    return np.minimum(x, 1.0) * y


@clipped.defjvp
def clipped_rule(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    return clipped(x, y), 3.0 * x_dot * y + np.minimum(x, 1.0) * y_dot


@adcompile.custom_vjp
def doubled(x, w):
    return x * np.sum(w)


doubled.defvjp(
    lambda x, w: (x * np.sum(w), (x, w)), lambda kept, bar: (2.0 * bar * np.sum(kept[1]), bar * kept[0] * kept[1])
)


@pytest.mark.parametrize("backend", FAST)
def test_rules_of_the_user(backend):
    """The rules above are not the derivatives, so that it shows whether they are used."""
    ys = XS[:, 0]
    mapped = adcompile.vmap(adcompile.grad(clipped, (0, 1)), (0, 0), backend=backend)(ys, ys)
    np.testing.assert_allclose(mapped, (3.0 * ys, np.minimum(ys, 1.0)), rtol=1e-14)
    one = adcompile.grad(lambda y: np.sum(adcompile.vmap(clipped, (0, None))(ys, y)), backend=backend)(2.0)
    np.testing.assert_allclose(one, np.sum(np.minimum(ys, 1.0)), rtol=1e-14)
    w = np.array([1.0, 2.0])
    of_w = adcompile.grad(lambda w: np.sum(adcompile.vmap(doubled, (0, None))(ys, w)), backend=backend)(w)
    np.testing.assert_allclose(of_w, np.sum(ys) * w, rtol=1e-14)
    each = adcompile.vmap(adcompile.grad(doubled, (0, 1)), (0, None), backend=backend)(ys, w)
    np.testing.assert_allclose(each[0], [6.0] * 3, rtol=1e-14)
    np.testing.assert_allclose(each[1], ys[:, None] * w, rtol=1e-14)


def operations(transform, *args):
    """How many equations of each kind a program has, loops counted once."""
    return collections.Counter(e.op for e in walk(transform.specialisation(*args).program.trace.block))


def test_a_matrix_times_a_mapped_vector_is_one_product():
    mapped = adcompile.vmap(lambda w, x: np.tanh(w @ x), (None, 0))
    text = mapped.source(np.ones((2, 4)), XS)
    assert "np.tanh(x @ w.T)" in text
    assert text.startswith("# batched program of f\n# in_axes: (None, 0), out_axes: 0\ndef f_vmap(w, x):")


def test_a_scalar_branch_is_one_selection():
    def relu(x):
        if x > 0:
            return x * x
        return -x

    assert "return np.where(x > 0, x * x, -x)," in adcompile.vmap(relu).source(np.ones(3))


def test_inspection():
    mapped = adcompile.vmap(wave, (0, None))
    assert "def wave(x, a):" in mapped.stages(XS, 2.0)["user source"]
    assert "np.sum" in str(mapped.trace(XS, 2.0))
    assert repr(mapped) == "<adcompile.vmap of wave>"
    assert mapped.__name__ == "wave"


def divided(v, k):
    n = 0
    for x in v:
        if x > 0.5:
            n += 1
    return n // k, n % 2


@pytest.mark.parametrize("axis", [0, None])
def test_counts_are_divided_as_in_a_single_call(axis):
    mapped = adcompile.vmap(divided, (0, axis), backend="python")
    one = [divided(x, 2) for x in XS]
    found = mapped(XS, np.full(3, 2) if axis == 0 else 2)
    np.testing.assert_array_equal(found, np.transpose(one))


def nth_of_count(v, w):
    n = 0
    while n < len(v) and v[n] > w:
        n += 1
    return 7 // n


def test_integer_division_by_zero_in_a_live_call():
    with pytest.raises(ZeroDivisionError):
        adcompile.vmap(nth_of_count, (0, None), backend="python")(XS, 9.0)
    np.testing.assert_array_equal(adcompile.vmap(nth_of_count, (0, None))(XS, 0.0), [1, 1, 1])

"""`adcompile.vmap`: batches against Python loops over the calls, composition, control flow, errors."""

import collections
import dataclasses

import numpy as np
import pytest

import adcompile
from adcompile.ir.core import walk
from adcompile.tree import flatten, unflatten
from tests.corpus import PROGRAMS
from tests.corpus import checks as c

BACKENDS = ("python", "llvm", "numba")
FAST = ("python", "llvm")
R = np.random.default_rng(4)
XS = R.uniform(0.3, 1.5, (3, 4))
RAGGED = {
    "mask_of_varying_size", "store_mask", "store_mask_of_values", "reads_of_all_kinds",
    "rows_until_a_return_in_nested_loops",
}  # fmt: skip
"""Corpus programs whose arrays have another size in every call: refused with a located error.

The last returns an array from a loop: until a call returns, its array is empty. Only the run finds out.
"""
RAGGED_TAPES = {
    "while_in_for_with_return", "break_of_inner_and_outer", "arrays_rebound_in_branches", "sorting_network",
    "early_returns_in_helpers",
}  # fmt: skip
"""Corpus programs whose adjoint reads sizes from a tape, where every call would have its own."""


def in_loop(function, *columns):
    """The results of single calls, stacked."""
    return np.stack([function(*elements) for elements in zip(*columns, strict=True)])


# -- the corpus -------------------------------------------------------------------------------------------------


def batch_of(args, count=3):
    """Perturbed arguments, the same in one batch, and the axes of it; None where no leaf is a float."""
    found, structure = flatten(args)
    mapped = [c.is_float(leaf) for leaf in found]
    if not any(mapped):
        return None
    columns = [
        np.stack([np.asarray(x * (1.0 + 1e-3 * k)).astype(np.asarray(x).dtype) for k in range(count)]) if m else x
        for x, m in zip(found, mapped, strict=True)
    ]
    each = [
        unflatten(structure, [x[k] if m else x for x, m in zip(columns, mapped, strict=True)]) for k in range(count)
    ]
    return each, unflatten(structure, columns), unflatten(structure, [0 if m else None for m in mapped])


def assert_stacked(found, singles, rtol):
    """A batch of results against the results of the calls, leaf by leaf."""
    got, structure = flatten(found)
    wanted = [flatten(s) for s in singles]
    assert all(s == structure for _, s in wanted)
    for leaf, column in zip(got, zip(*(w for w, _ in wanted), strict=True), strict=True):
        if column[0] is None or isinstance(column[0], str):
            assert leaf == column[0]
            continue
        want = np.stack(column)
        assert np.shape(leaf) == want.shape
        scale = rtol * max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(np.asarray(leaf, float), np.asarray(want, float), rtol=rtol, atol=scale)


def check_program(program, transform, backend, refused):
    """vmap of a transform of a corpus program against its single calls."""
    batch = batch_of(program.arguments())
    if batch is None:
        return
    each, stacked, axes = batch
    single = transform(program.function, backend=backend)
    mapped = adcompile.vmap(transform(program.function), axes, backend=backend)
    with np.errstate(all="ignore"):
        if program.name in refused:
            with pytest.raises((adcompile.MissingRule, adcompile.ShapeMismatch)) as caught:
                mapped(*stacked)
            assert caught.value.loc is not None
            return
        singles = [single(*c.fresh(args)) for args in each]
        assert_stacked(mapped(*stacked), singles, 2e-4 if "float32" in program.tags else 1e-9)


READING = [p for p in PROGRAMS if "writes" not in p.tags]
SAMPLE = READING[::12]


@pytest.mark.parametrize("program", [p for p in READING if p.argnums is None], ids=lambda p: p.name)
def test_corpus_values(program):
    check_program(program, adcompile.jit, "python", RAGGED)


@pytest.mark.parametrize("program", [p for p in READING if p.argnums is not None], ids=lambda p: p.name)
def test_corpus_values_and_gradients(program):
    def transform(function, **options):
        return adcompile.value_and_grad(function, program.argnums, **options)

    check_program(program, transform, "python", RAGGED | RAGGED_TAPES)


@pytest.mark.parametrize("program", SAMPLE, ids=lambda p: p.name)
def test_corpus_compiled(program):
    check_program(program, adcompile.jit, "llvm", RAGGED)


# -- axes -------------------------------------------------------------------------------------------------------


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


# -- composition ------------------------------------------------------------------------------------------------


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


# -- branches and loops -----------------------------------------------------------------------------------------


def logarithm(x):
    if x > 0:
        return np.log(x) * x
    return x * x


def norm_or_sum(v):
    """The side not taken divides by zero in an array, where no selection of one number helps."""
    if np.sum(v) > 0:
        w = v / np.sum(v * v)
        return np.sum(w * np.log(v))
    return 3.0 * np.sum(v)


def scaled(v, w):
    """An unmapped parameter on a side that some calls do not take."""
    if v[0] > 0:
        return np.sum(np.sqrt(v) * w) + np.log(v) @ w
    return w[0]


@pytest.mark.parametrize("backend", FAST)
def test_sides_not_taken_give_no_nan(backend):
    xs = np.array([0.5, -1.0, 2.0, 0.0])
    with np.errstate(all="ignore"):
        value, gradient = adcompile.vmap(adcompile.value_and_grad(logarithm), backend=backend)(xs)
        again = adcompile.grad(lambda x: np.sum(adcompile.vmap(logarithm)(x)), backend=backend)(xs)
        second = adcompile.vmap(adcompile.grad(adcompile.grad(logarithm)), backend=backend)(xs)
    np.testing.assert_allclose(value, [0.5 * np.log(0.5), 1.0, 2 * np.log(2), 0.0], rtol=1e-14)
    expected = [np.log(0.5) + 1.0, -2.0, np.log(2) + 1.0, 0.0]
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)
    np.testing.assert_allclose(again, expected, rtol=1e-14)
    np.testing.assert_allclose(second, [2.0, 2.0, 0.5, 2.0], rtol=1e-14)


@pytest.mark.parametrize("backend", FAST)
def test_sides_not_taken_give_no_nan_to_arrays_and_parameters(backend):
    """Nothing is computed that no single call computes: not even a warning."""
    vs = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0], [0.5, 3.0]])
    of_single = in_loop(adcompile.grad(norm_or_sum, backend=backend), vs)
    np.testing.assert_allclose(adcompile.vmap(adcompile.grad(norm_or_sum), backend=backend)(vs), of_single, rtol=1e-12)
    total = adcompile.grad(lambda v: np.sum(adcompile.vmap(norm_or_sum)(v)), backend=backend)
    np.testing.assert_allclose(total(vs), of_single, rtol=1e-12)
    w = np.array([2.0, 3.0])
    expected = sum(adcompile.grad(scaled, 1)(v, w) for v in vs)
    of_w = adcompile.grad(lambda w: np.sum(adcompile.vmap(scaled, (0, None))(vs, w)), backend=backend)
    np.testing.assert_allclose(of_w(w), expected, rtol=1e-12)
    none = -np.ones((2, 2))
    np.testing.assert_array_equal(total(none), 3.0 * np.ones((2, 2)))
    along = adcompile.jvp(lambda v: np.sum(adcompile.vmap(norm_or_sum)(v)), (vs,), (np.ones_like(vs),), backend=backend)
    np.testing.assert_allclose(along[1], np.sum(of_single), rtol=1e-12)


def checked(x):
    if x > 0:
        if x > 5:
            raise ValueError("over five")
        return np.sqrt(x)
    return x


@pytest.mark.parametrize("backend", BACKENDS)
def test_checks_of_live_calls(backend):
    mapped = adcompile.vmap(checked, backend=backend)
    np.testing.assert_allclose(mapped(np.array([4.0, -9.0])), [2.0, -9.0])
    np.testing.assert_allclose(mapped(np.array([-4.0, -9.0])), [-4.0, -9.0])
    with pytest.raises(ValueError, match="over five"):
        mapped(np.array([4.0, 6.0]))


def first_above(v, t):
    i = 0
    while i < len(v) and v[i] < t:
        i += 1
    return i * t if i == len(v) else v[i] * t


def root(a):
    x = a
    steps = 0
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
        steps += 1
    return x, steps


def power(x, n):
    y = 1.0
    for _ in range(n):
        y = y * x
    return y


def strided(x, start, stop, step):
    total = 0.0
    for k in range(start, stop, step):
        total += k * x * (total + 1.0)
    return total


def running(v, n):
    w = np.zeros(len(v))
    for i in range(1, n):
        if v[i] < 1.0:
            w[i] = w[i - 1] + v[i] ** 2
        else:
            w[i - 1] += v[i]
    return w


LOOPS = [
    (first_above, (XS, np.array([0.1, 9.0, 0.9])), (0, 1)),
    (lambda a: root(a)[0], (np.array([1.0, 2.0, 1e4]),), 0),
    (power, (np.array([2.0, 3.0, 4.0]), np.array([0, 2, 3])), 0),
    (power, (np.array([2.0, 3.0]), np.array([0, -1])), 0),
    (strided, (np.array([0.1, 0.2, 0.3]), np.array([0, 9, 2]), np.array([5, 1, 3]), np.array([2, -3, 1])), 0),
    (lambda v, n: np.sum(running(v, n) ** 2), (XS, np.array([4, 1, 3])), 0),
]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("case", LOOPS, ids=["search", "newton", "power", "no trips", "strided", "stores"])
def test_loops_that_calls_leave_at_different_times(case, backend):
    function, columns, argnums = case
    found = adcompile.vmap(function, backend=backend)(*columns)
    np.testing.assert_allclose(found, in_loop(function, *columns), rtol=1e-12)
    gradient = adcompile.grad(function, argnums, backend=backend)
    expected = [gradient(*elements) for elements in zip(*columns, strict=True)]
    assert_stacked(adcompile.vmap(adcompile.grad(function, argnums), backend=backend)(*columns), expected, 1e-10)

    def total(*arrays):
        return np.sum(adcompile.vmap(function)(*arrays))

    assert_stacked(adcompile.grad(total, argnums, backend=backend)(*columns), expected, 1e-10)


def test_counts_of_finished_calls_stay():
    values, steps = adcompile.vmap(root)(np.array([1.0, 2.0, 1e4]))
    singles = [root(a) for a in (1.0, 2.0, 1e4)]
    np.testing.assert_array_equal(steps, [s for _, s in singles])
    np.testing.assert_array_equal(values, [v for v, _ in singles])


def test_a_loop_over_no_calls_does_not_run():
    for function in (root, first_above, checked):
        columns = [np.zeros((0, 3)), np.zeros(0)] if function is first_above else [np.zeros(0)]
        assert np.shape(flatten(adcompile.vmap(function)(*columns))[0][0]) == (0,)


# -- subscripts -------------------------------------------------------------------------------------------------


def read_and_write(v, i, k):
    w = v.copy()
    w[i] += v[k][0] * v[-1]
    np.add.at(w, k, v[i])
    w[i : i + 2] *= 3.0
    return w[k] * v[i]


@pytest.mark.parametrize("backend", FAST)
def test_mapped_subscripts(backend):
    columns = (XS, np.array([0, 2, 1]), np.array([[0, 0], [3, -1], [1, 2]]))
    found = adcompile.vmap(read_and_write, backend=backend)(*columns)
    np.testing.assert_allclose(found, in_loop(read_and_write, *columns), rtol=1e-14)
    shared = adcompile.vmap(read_and_write, (None, 0, 0), backend=backend)(XS[0], *columns[1:])
    np.testing.assert_allclose(shared, in_loop(lambda i, k: read_and_write(XS[0], i, k), *columns[1:]), rtol=1e-14)


@pytest.mark.parametrize("start", [-1, 3])
def test_a_mapped_slice_out_of_range(start):
    with pytest.raises(IndexError):
        adcompile.vmap(lambda v, i: np.sum(v[i : i + 2]), backend="python")(XS, np.array([0, start, 1]))


def test_an_index_out_of_range():
    with pytest.raises(IndexError):
        adcompile.vmap(lambda v, i: v[i])(XS, np.array([0, 4, 1]))


# -- errors -----------------------------------------------------------------------------------------------------


def product(a, b):
    return a @ b


ERRORS = [
    (lambda: adcompile.vmap(product)(XS, XS[:1]), adcompile.ShapeMismatch, "mapped arguments have different sizes"),
    (lambda: adcompile.vmap(product)(XS, XS[:2]), adcompile.ShapeMismatch, "different sizes: sizes 3 and 2"),
    (lambda: adcompile.vmap(product, backend="python")(XS, XS[:2]), adcompile.ShapeMismatch, "sizes 3 and 2"),
    (lambda: adcompile.vmap(product, (2, 0))(XS, XS), adcompile.InvalidArgument, "axis 2 of an argument with 2"),
    (lambda: adcompile.vmap(product, (None, None))(XS, XS), adcompile.InvalidArgument, "maps no array"),
    (lambda: adcompile.vmap(product, (0,))(XS, XS), adcompile.InvalidArgument, "in_axes has 1 entries for 2"),
    (lambda: adcompile.vmap(product, "a")(XS, XS), adcompile.InvalidArgument, "in_axes holds 'a'"),
    (lambda: adcompile.vmap(product)(XS, 2.0), adcompile.InvalidArgument, "vmap over a number"),
    (lambda: adcompile.vmap(product, out_axes=None)(XS, XS), adcompile.InvalidArgument, "its out_axes is None"),
    (lambda: adcompile.vmap(product, out_axes=1)(XS, XS), adcompile.InvalidArgument, "out_axes 1 for a result with 0"),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case[2])
def test_errors_show_the_mapped_function(case):
    call, kind, words = case
    with pytest.raises(kind, match=words) as caught:
        call()
    assert caught.value.loc.function == "product"
    assert caught.value.loc.file == __file__
    assert caught.value.loc.text == "def product(a, b):"


def writes(x):
    x[0] = 1.0
    return x


def of_size(n):
    return np.zeros(n)


def masked(x):
    return np.sum(x[x > 0.5])


def inner_error(xs):
    return np.sum(adcompile.vmap(product, (0, 3))(xs, xs))


@pytest.mark.parametrize(
    ("function", "argument", "kind", "words", "line"),
    [
        (writes, XS, adcompile.InvalidArgument, "writes into its argument", "def writes(x):"),
        (of_size, np.arange(3), adcompile.MissingRule, "size of an array would differ", "    return np.zeros(n)"),
        (masked, XS, adcompile.MissingRule, "size of an array would differ", "    return np.sum(x[x > 0.5])"),
    ],
    ids=["writes", "size", "mask"],
)
def test_refused(function, argument, kind, words, line):
    with pytest.raises(kind, match=words) as caught:
        adcompile.vmap(function)(argument)
    assert caught.value.loc.text == line
    assert caught.value.remedy


def test_errors_inside_a_traced_function_show_the_call():
    with pytest.raises(adcompile.InvalidArgument, match="axis 3") as caught:
        adcompile.jit(inner_error)(XS)
    assert caught.value.loc.text == "    return np.sum(adcompile.vmap(product, (0, 3))(xs, xs))"


def test_what_is_no_function():
    with pytest.raises(adcompile.InvalidArgument, match="'a' is not a function"):
        adcompile.vmap("a")


# -- what the program looks like ----------------------------------------------------------------------------------


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

"""Batches in tiles: every size gives what NumPy gives, products are few, and what is no row by row work stays right."""

import numpy as np
import pytest

import adcompile
from adcompile.frontend.trace import signature_of, trace
from adcompile.ir.core import walk
from adcompile.lower import executable, tiles
from benchmarks import pinn, pinn_adjoint

ROWS = 8
WIDTHS = (2, 5, 5, 5, 1)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of eight rows, whatever the widths, for small networks too."""
    monkeypatch.setattr(tiles, "PRODUCTS", 3)
    monkeypatch.setattr(tiles, "CACHE", 1)
    monkeypatch.setattr(tiles, "REUSE", 0)
    monkeypatch.setattr(tiles, "LEAST_ROWS", ROWS)


def weights(seed=0):
    return pinn.data("float64", WIDTHS, 1)[0]


def network(params, h):
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    return h @ w + b


def inputs(count, seed=1):
    return np.random.default_rng(seed).standard_normal((count, 2))


def lowered(function, *args):
    """The lowered program of a function, or of its gradient."""
    if isinstance(function, adcompile.api.Transform):
        return executable(function.specialisation(*args).program.trace)
    signature, _ = signature_of(args, {})
    return executable(trace(function, signature, [f"x{k}" for k in range(len(args))]).trace)


def tile_loops(program):
    """The loops whose bodies multiply matrices."""
    return [e for e in program.block.eqns if e.op == "loop" and any(i.op == "gemm" for i in walk(e.regions[0]))]


# -- the residual of a network ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def residual_gradient():
    return adcompile.value_and_grad(pinn.loss, cache=False)


@pytest.mark.parametrize("count", [1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS, 5 * ROWS + 3])
def test_residual_gradient_against_the_hand_written_one(residual_gradient, count):
    params, x, t = pinn.data("float64", WIDTHS, count)
    value, bars = residual_gradient(params, x, t)
    expected, expected_bars = pinn_adjoint.value_and_gradient(params, x, t, pinn.VISCOSITY)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for found, wanted in zip(bars, expected_bars, strict=True):
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-13)


def test_one_compilation_serves_all_sizes(residual_gradient):
    for count in (2, 3, 50):
        residual_gradient(*pinn.data("float64", WIDTHS, count))
    assert len(residual_gradient.compiled) <= 2  # a batch of one is another signature


def test_a_layer_is_one_product_for_all_derivatives():
    """Four channels and three sweeps; the first layer needs no cotangent of its input."""
    args = pinn.data("float64", WIDTHS, 20)
    (loop,) = tile_loops(lowered(adcompile.value_and_grad(pinn.loss, cache=False), *args))
    products = [e for e in walk(loop.regions[0]) if e.op == "gemm"]
    layers = len(WIDTHS) - 1
    forward = [e for e in products if not e.attrs["trans_a"] and not e.attrs["accumulate"]]
    assert len(forward) == layers + layers - 2, str(loop)  # the last product back is an outer one: a loop
    hidden = [e for e in products if e.attrs["trans_a"] and e.args[1].name.endswith("stack")]
    assert len(hidden) == layers - 2, str(loop)
    assert sum(e.op == "tanh" for e in walk(loop.regions[0])) == layers - 1


def test_derivatives_share_the_primal_and_one_another():
    """u, u_x, u_t and u_xx are four channels; the inputs of the first layer have no second derivative."""
    args = pinn.data("float64", WIDTHS, 20)
    program = adcompile.jit(pinn.loss, cache=False).specialisation(*args).program.trace
    layers = len(WIDTHS) - 1
    assert sum(e.op == "matmul" for e in program.block.eqns) == 3 + 4 * (layers - 1)
    assert sum(e.op == "tanh" for e in program.block.eqns) == layers - 1


def test_float32_stays_float32():
    params, x, t = pinn.data("float32", WIDTHS, 3 * ROWS + 1)
    value, bars = adcompile.value_and_grad(pinn.loss, cache=False)(params, x, t)
    expected, expected_bars = pinn_adjoint.value_and_gradient(*pinn.data("float32", WIDTHS, 3 * ROWS + 1), 0.01 / np.pi)
    assert value.dtype == bars[0][0].dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(bars[1][0], expected_bars[1][0], rtol=1e-3, atol=1e-6)


# -- what leaves the loop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2, ROWS, ROWS + 1, 3 * ROWS - 1])
def test_rows_that_are_results(count):
    f = lambda params, h: (network(params, h), np.tanh(h))
    run = adcompile.jit(f, cache=False)
    for found, expected in zip(run(weights(), inputs(count)), f(weights(), inputs(count)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_no_rows_have_a_sum_of_zero():
    value, bars = adcompile.value_and_grad(lambda p, h: np.sum(network(p, h) ** 2), cache=False)(weights(), inputs(0))
    assert value == 0.0 and all(not a.any() for layer in bars for a in layer)


def difference(function, params, h, step=1e-6):
    """A central difference along a fixed direction, and the direction."""
    random = np.random.default_rng(5)
    direction = [tuple(random.standard_normal(a.shape) for a in layer) for layer in params]
    moved = [
        [tuple(a + sign * step * d for a, d in zip(*pair, strict=True)) for pair in zip(params, direction, strict=True)]
        for sign in (1, -1)
    ]
    return (function(moved[0], h) - function(moved[1], h)) / (2 * step), direction


PROGRAMS = {
    "square root of a mean": lambda p, h: np.sqrt(np.mean(network(p, h) ** 2)),
    "two batches": lambda p, h: np.mean(network(p, h) ** 2) + np.sum(np.sin(network(p, 2.0 * h[:5]))),
    "rows of another row": lambda p, h: np.sum(network(p, h)[1:] * network(p, h)[:-1]),
    "centred": lambda p, h: np.sum(np.cos(network(p, h - np.mean(h, axis=0)))),
    "normalised inside": lambda p, h: np.var(network(p, np.tanh(h @ p[1][0][:2, :2]))),
    "a running sum": lambda p, h: np.sum(np.cumsum(network(p, h)) ** 2),
    "products of the batch with itself": lambda p, h: np.sum((network(p, h) @ network(p, h).T) ** 2),
    "columns": lambda p, h: np.sum(np.tanh(p[1][0] @ np.tanh(p[2][0] @ np.tanh(p[0][0].T @ h.T))) ** 2),
    "difference of sums": lambda p, h: np.sum(network(p, h)) - np.sum(np.sin(network(p, h)) ** 2),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradient_against_differences(name):
    function = PROGRAMS[name]
    params, h = weights(), inputs(3 * ROWS + 2)
    gradient = adcompile.value_and_grad(function, cache=False)
    value, bars = gradient(params, h)
    np.testing.assert_allclose(value, function(params, h), rtol=1e-11)
    expected, direction = difference(function, params, h)
    found = sum(np.sum(a * d) for pair in zip(bars, direction, strict=True) for a, d in zip(*pair, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert tile_loops(lowered(gradient, params, h))


def test_sizes_that_differ_are_refused():
    params, x, t = pinn.data("float64", WIDTHS, 20)
    gradient = adcompile.value_and_grad(pinn.loss, cache=False)
    with pytest.raises(adcompile.ShapeMismatch, match="sizes 20 and 19"):
        gradient(params, x, t[:-1])
    with pytest.raises(adcompile.ShapeMismatch, match="sizes"):
        gradient([(params[0][0], params[0][1][:-1]), *params[1:]], x, t)


# -- how large a tile is ----------------------------------------------------------------------------------------


def test_large_matrices_get_large_tiles(monkeypatch):
    """A matrix that passes through the cache for every tile should not do so for a few rows."""
    monkeypatch.undo()
    monkeypatch.setattr(tiles, "PRODUCTS", 3)
    f = lambda w, h: np.tanh(np.tanh(np.tanh(h @ w) @ w) @ w)
    for width, rows in ((20, 1250), (1000, 2500)):
        w, h = np.zeros((width, width)), np.zeros((20_000, width))
        program = lowered(adcompile.jit(f, cache=False), w, h)
        (loop,) = tile_loops(program)
        assert step_of(program, loop, {"w": w, "h": h}) == rows


def step_of(program, loop, arguments):
    """The step of a loop, computed from the sizes that its program asks for."""
    made = {o: e for e in program.block.eqns for o in e.outs}
    rules = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "floordiv": np.floor_divide,
             "maximum": np.maximum, "minimum": np.minimum}  # fmt: skip

    def value(atom):
        if atom not in made:
            return atom.value
        eqn = made[atom]
        if eqn.op == "dim":
            return arguments[eqn.args[0].name].shape[eqn.attrs["axis"]]
        return rules[eqn.op](*map(value, eqn.args))

    return value(loop.args[2])

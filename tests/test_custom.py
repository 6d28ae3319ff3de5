"""Rules of the user's own: both modes, higher orders, loops, containers, and every refusal."""

import doctest

import numpy as np
import pytest

import adcompile
from adcompile import check_grads, custom_jvp, custom_vjp, grad, value_and_grad

BACKENDS = ("python", "llvm")


@custom_vjp
def scaled_sine(x, y):
    return np.sin(x) * y


def scaled_sine_forward(x, y):
    return scaled_sine(x, y), (np.cos(x), np.sin(x), y)


scaled_sine.defvjp(scaled_sine_forward, lambda res, out_bar: (res[0] * out_bar * res[2], res[1] * out_bar))


@custom_jvp
def sine_scaled(x, y):
    return np.sin(x) * y


@sine_scaled.defjvp
def sine_scaled_rule(primals, tangents):
    x, y = primals
    x_dot, y_dot = tangents
    return sine_scaled(x, y), np.cos(x) * x_dot * y + np.sin(x) * y_dot


@custom_jvp
def rounded(x):
    return np.round(x)


@rounded.defjvp
def rounded_rule(primals, tangents):
    return rounded(primals[0]), tangents[0]


@custom_vjp
def rounded_back(x):
    return np.round(x)


rounded_back.defvjp(lambda x: (rounded_back(x), None), lambda _, out_bar: (out_bar,))

BOTH = pytest.mark.parametrize("f", [scaled_sine, sine_scaled], ids=["vjp", "jvp"])
STRAIGHT = pytest.mark.parametrize("f", [rounded, rounded_back], ids=["jvp", "vjp"])
EACH = pytest.mark.parametrize("backend", BACKENDS)
A = np.array([0.3, 1.0, 2.0])


# -- derivatives ------------------------------------------------------------------------------------------------


@BOTH
def test_outside_a_trace_it_is_the_function(f):
    assert f(1.0, 2.0) == np.sin(1.0) * 2.0
    np.testing.assert_array_equal(f(A, y=2.0), np.sin(A) * 2.0)
    assert f.__name__ in ("scaled_sine", "sine_scaled")
    assert repr(f).startswith("<adcompile.custom_")


@EACH
@BOTH
def test_gradient(f, backend):
    value, (x_bar, y_bar) = value_and_grad(f, (0, 1), backend=backend)(1.0, 2.0)
    np.testing.assert_allclose([value, x_bar, y_bar], [2 * np.sin(1), 2 * np.cos(1), np.sin(1)], rtol=1e-14)


@EACH
@BOTH
def test_gradient_of_arrays(f, backend):
    x_bar, y_bar = grad(lambda x, y: np.sum(f(x, y) ** 2), (0, 1), backend=backend)(A, 2.0 * A)
    np.testing.assert_allclose(x_bar, 8 * A**2 * np.sin(A) * np.cos(A), rtol=1e-13)
    np.testing.assert_allclose(y_bar, 4 * A * np.sin(A) ** 2, rtol=1e-13)


@EACH
def test_forward_mode(backend):
    out, out_dot = adcompile.jvp(sine_scaled, (1.0, 2.0), (0.5, 0.25), backend=backend)
    np.testing.assert_allclose([out, out_dot], [2 * np.sin(1), np.cos(1) + np.sin(1) / 4], rtol=1e-14)


@EACH
@BOTH
def test_second_order(f, backend):
    found = grad(grad(f), (0, 1), backend=backend)(1.0, 2.0)
    np.testing.assert_allclose(found, [-2 * np.sin(1), np.cos(1)], rtol=1e-14)


def iterated(f, x):
    y = x
    for _ in range(5):
        y = f(y, x)
    return y


@EACH
@BOTH
def test_inside_a_loop(f, backend):
    def ruled(x):
        return iterated(f, x)

    def plain(x):
        return iterated(f.function, x)

    np.testing.assert_allclose(grad(ruled, backend=backend)(1.3), grad(plain, backend=backend)(1.3), rtol=1e-13)
    second, expected = grad(grad(ruled), backend=backend)(1.3), grad(grad(plain), backend=backend)(1.3)
    np.testing.assert_allclose(second, expected, rtol=1e-12)


def test_hessian_vector_product():
    found = adcompile.hvp(lambda x: np.sum(sine_scaled(x, x)))(A, np.ones(3))
    np.testing.assert_allclose(found, 2 * np.cos(A) - A * np.sin(A), rtol=1e-13)


def test_forward_over_reverse_of_a_rule_that_does_not_call_its_function():
    found = adcompile.hvp(lambda x: np.sum(product(x, x) * x))(A, np.ones(3))
    np.testing.assert_allclose(found, 6 * A, rtol=1e-13)


def test_forward_over_reverse_of_a_rule_that_calls_its_function_is_an_error():
    with pytest.raises(adcompile.MissingRule, match="no forward rule"):
        adcompile.hvp(lambda x: np.sum(scaled_sine(x, x) * x))(A, np.ones(3))


@EACH
@STRAIGHT
def test_the_rule_holds_at_every_order(f, backend):
    def squared(x):
        return f(x) ** 2

    assert grad(squared, backend=backend)(1.6) == 4.0
    assert grad(grad(squared), backend=backend)(1.6) == 2.0
    assert grad(grad(grad(squared)), backend=backend)(1.6) == 0.0


@STRAIGHT
def test_the_rule_survives_a_transform_that_does_not_need_it(f):
    def product(x, w):
        return f(w) * x

    def slope(w):
        return grad(product)(2.0, w)

    assert grad(slope)(1.6) == 1.0


def test_nesting_ends_with_an_error():
    f = grad(grad(grad(lambda x: rounded_back(x) ** 6)))
    assert f(1.6) == 6 * 5 * 4 * 2.0**3
    with pytest.raises(adcompile.MissingRule, match="the rule of rounded_back calls rounded_back"):
        grad(f)(1.6)


@custom_vjp
def product(x, y):
    return x * y


product.defvjp(lambda x, y: (x * y, (x, y)), lambda res, out_bar: (out_bar * res[1], out_bar * res[0]))


@custom_jvp
def log1pexp(x):
    return np.log(1.0 + np.exp(x))


@log1pexp.defjvp
def log1pexp_rule(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    return log1pexp(x), (1.0 - 1.0 / (1.0 + np.exp(x))) * x_dot


def test_the_rule_replaces_an_unstable_derivative():
    with np.errstate(over="ignore"):
        assert grad(log1pexp, backend="python")(1000.0) == 1.0


# -- arguments, residuals, results ------------------------------------------------------------------------------


@custom_vjp
def layer(params, x, kind):
    y = x @ params["w"] + params["b"]
    return (np.tanh(y) if kind == "tanh" else y), x.shape[0]


def layer_forward(params, x, kind):
    out = layer(params, x, kind)
    return out, {"x": x, "w": params["w"], "y": out[0], "kind": kind, "axis": 0}


def layer_backward(res, out_bar):
    y_bar = out_bar[0] * (1.0 - res["y"] ** 2) if res["kind"] == "tanh" else out_bar[0]
    params_bar = {"w": res["x"].T @ y_bar, "b": np.sum(y_bar, axis=res["axis"])}
    return params_bar, y_bar @ res["w"].T, None


layer.defvjp(layer_forward, layer_backward)


@EACH
@pytest.mark.parametrize("kind", ["tanh", "linear"])
def test_containers_and_known_residuals(kind, backend):
    rng = np.random.default_rng(3)
    params, x = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}, rng.normal(size=(4, 3))

    def loss(params, x):
        y, n = layer(params, x, kind)
        return np.sum(y**2) / n

    def plain(params, x):
        y, n = layer.function(params, x, kind)
        return np.sum(y**2) / n

    found, expected = (value_and_grad(f, (0, 1), backend=backend)(params, x) for f in (loss, plain))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-14)
    np.testing.assert_allclose(found[1][1], expected[1][1], rtol=1e-12)
    for key in params:
        np.testing.assert_allclose(found[1][0][key], expected[1][0][key], rtol=1e-12)


@custom_jvp
def pair(x, n):
    return x**n, (n, np.sum(x))


@pair.defjvp
def pair_rule(primals, tangents):
    x, n = primals
    assert tangents[1] is None
    return pair(x, n), (n * x ** (n - 1) * tangents[0], (None, np.sum(tangents[0])))


@EACH
def test_ints_among_arguments_and_results(backend):
    def total(x, n):
        y, (m, s) = pair(x, n)
        return np.sum(y) * s + m

    np.testing.assert_allclose(grad(total, backend=backend)(A, 3), 3 * A**2 * A.sum() + (A**3).sum(), rtol=1e-13)
    _, out_dot = adcompile.jvp(pair, (A, 3), (np.ones(3), None), backend=backend)
    np.testing.assert_allclose(out_dot[0], 3 * A**2, rtol=1e-13)


@custom_vjp
def ignoring(x, y):
    return x * y


ignoring.defvjp(lambda x, y: (x * y, y), lambda y, out_bar: (out_bar * y, None))


def test_none_is_a_zero_cotangent():
    x_bar, y_bar = grad(lambda x, y: np.sum(ignoring(x, y)), (0, 1))(A, A)
    np.testing.assert_array_equal(x_bar, A)
    np.testing.assert_array_equal(y_bar, np.zeros(3))


WEIGHTS = np.array([1.0, 2.0, 3.0])


@custom_vjp
def weighted(x):
    return np.sum(WEIGHTS * x)


weighted.defvjp(lambda x: (np.sum(WEIGHTS * x), None), lambda _, out_bar: (WEIGHTS * out_bar,))


@EACH
def test_global_arrays_may_be_read(backend):
    np.testing.assert_array_equal(grad(weighted, backend=backend)(A), WEIGHTS)


def test_float32_stays():
    x = A.astype(np.float32)
    found = grad(lambda x: np.sum(sine_scaled(x, x)))(x)
    assert found.dtype == np.float32


# -- checks -----------------------------------------------------------------------------------------------------


def test_check_passes_and_fails():
    scaled_sine.check(1.0, 2.0)
    sine_scaled.check(1.0, 2.0)
    log1pexp.check(0.3)
    with pytest.raises(AssertionError, match="ignoring: reverse mode against central differences"):
        ignoring.check(1.0, 2.0)


@BOTH
def test_check_grads(f):
    check_grads(lambda x, y: f(x, y) * y, (0.7, 1.2), modes=("rev",))


def test_verify():
    assert adcompile.verify(lambda x, y: sine_scaled(x * y, y), 0.7, 1.2).proved
    assert adcompile.verify(lambda x, y: scaled_sine(x * y, y), 0.7, 1.2).proved


# -- refusals ---------------------------------------------------------------------------------------------------


def ruled(forward, backward):
    @custom_vjp
    def f(x):
        return x * 2.0

    f.defvjp(forward, backward)
    return f


def tangent_ruled(rule):
    @custom_jvp
    def f(x):
        return x * 2.0

    f.defjvp(rule)
    return f


REFUSED = {
    "no pair": (ruled(lambda x: x * 2.0, lambda r, b: (b,)), "must return a tuple of two"),
    "other structure": (ruled(lambda x: ((x, x), None), lambda r, b: (b,)), "another structure than f itself"),
    "other type": (ruled(lambda x: (np.sum(x), None), lambda r, b: (b,)), "returns float64 where f itself returns"),
    "no tuple": (ruled(lambda x: (x * 2.0, None), lambda r, b: b), "must return a tuple of 1"),
    "wrong rank": (ruled(lambda x: (x * 2.0, None), lambda r, b: (np.sum(b),)), "returns float64 as cotangent of"),
    "wrong cotangents": (ruled(lambda x: (x * 2.0, None), lambda r, b: ((b, b),)), "has not the argument's structure"),
    "wrong tangents": (tangent_ruled(lambda p, t: (p[0] * 2.0, (t[0], t[0]))), "has not the structure of the result"),
    "constant tangent": (tangent_ruled(lambda p, t: (p[0] * 2.0, 1.0)), "not linear in the tangents"),
    "tangent of another type": (tangent_ruled(lambda p, t: (p[0] * 2.0, np.sum(t[0]))), "tangent float64 of a result"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rule_that_does_not_fit_is_refused(name):
    f, message = REFUSED[name]
    with pytest.raises(adcompile.InvalidArgument, match=message) as raised:
        grad(lambda x: np.sum(f(x)))(A)
    assert raised.value.loc is not None


@EACH
@pytest.mark.parametrize(
    ("f", "whose"),
    [
        (ruled(lambda x: (x * 2.0, None), lambda r, b: (b[1:],)), "cotangent"),
        (tangent_ruled(lambda p, t: (p[0] * 2.0, t[0][1:])), "tangent"),
    ],
)
def test_wrong_size_is_found_at_run_time(f, whose, backend):
    with pytest.raises(ValueError, match=f"the {whose} that the rule of f returns has another shape"):
        grad(lambda x: np.sum(f(x) ** 2), backend=backend)(A)


def clear_first(x):
    x[0] = 0.0
    return np.sum(x)


clearing = custom_vjp(clear_first)
clearing.defvjp(lambda x: (np.sum(x), None), lambda _, out_bar: (None,))


def test_writing_into_an_argument_is_refused():
    with pytest.raises(adcompile.UnsupportedAlias, match="clear_first or its rule writes into an argument") as raised:
        grad(lambda x: clearing(x * 1.0))(A)
    assert raised.value.loc is not None


def sees_a_local(x):
    scale = x * 2.0

    def inner(y):
        return y * scale

    return capturing(inner, x)


@custom_vjp
def capturing(f, x):
    return f(x)


capturing.defvjp(lambda f, x: (f(x), None), lambda _, out_bar: (None, out_bar))


def test_capturing_what_may_vary_is_refused():
    with pytest.raises(adcompile.MissingRule, match="capturing reads scale from the function around it") as raised:
        grad(sees_a_local)(1.5)
    assert raised.value.loc is not None


def test_missing_rule_is_an_error():
    @custom_vjp
    def f(x):
        return x

    with pytest.raises(adcompile.MissingRule, match="f has no rule yet"):
        grad(lambda x: f(x))(1.0)


def test_forward_mode_of_a_reverse_rule_is_an_error():
    with pytest.raises(adcompile.MissingRule, match="no forward rule") as raised:
        adcompile.jvp(lambda x: scaled_sine(x, x), (1.0,), (1.0,))
    assert raised.value.loc is not None


def test_wrong_call_is_an_error():
    with pytest.raises(adcompile.InvalidArgument, match="scaled_sine"):
        grad(lambda x: scaled_sine(x))(1.0)


def test_keyword_only_arguments_are_refused():
    @custom_vjp
    def f(x, *, n=2):
        return x * n

    f.defvjp(lambda x: (x, None), lambda r, b: (b,))
    with pytest.raises(adcompile.InvalidArgument, match="keyword-only"):
        grad(lambda x: f(x, n=3))(1.0)


def test_docstrings():
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    for item in (custom_vjp, custom_jvp, check_grads, adcompile.verify):
        for example in finder.find(item, item.__name__, globs={"__name__": "__main__"}):
            assert runner.run(example).failed == 0

"""Every corpus program on every backend: its value, its derivatives of both modes, and their derivatives."""

import functools

import numpy as np
import pytest

import adcompile
from adcompile.ir.verifier import verify
from adcompile.primitives.evaluate import infer
from adcompile.tree import flatten, map_leaves, unflatten
from tests.corpus import PROGRAMS
from tests.corpus import checks as c

BACKENDS = ("python", "llvm")
GENERAL = [p for p in PROGRAMS if p.argnums is None]
SCALAR = [p for p in PROGRAMS if p.argnums is not None]
RUNS = [
    pytest.param(p, backend, id=f"{p.name}-{backend}")
    for p in SCALAR
    for backend in (*BACKENDS, "numba")
    if backend != "numba" or "numba" in p.tags
]


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


# -- programs with results of any kind --------------------------------------------------------------------------


def case_of(program, backend):
    return c.Case(
        program.function,
        program.arguments(),
        backend,
        writes="writes" in program.tags,
        exact=not program.tags & {"transforms", "rounded"},
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", GENERAL, ids=lambda p: p.name)
def test_first_order(program, backend, verified):
    case = case_of(program, backend)
    case.check_value()
    case.check_forward()
    case.check_reverse()
    case.check_gradient()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", [p for p in GENERAL if "once" not in p.tags], ids=lambda p: p.name)
def test_second_order(program, backend, verified):
    case_of(program, backend).check_second()


# -- programs with one float as their result --------------------------------------------------------------------


@functools.cache
def value_and_gradient(program, backend):
    """The compiled transform, kept for every test of this process; gradients of all chosen arguments."""
    return adcompile.value_and_grad(program.function, wanted(program), backend=backend)


def wanted(program):
    return program.argnums if isinstance(program.argnums, tuple) else (program.argnums,)


@functools.cache
def reference(program):
    """What CPython gives, and the central differences of it by each number of the chosen arguments."""
    args = program.arguments()
    value = program.function(*c.fresh(args))
    single = "float32" in program.tags
    f = adcompile.jit(program.function) if "transforms" in program.tags else program.function
    wide = map_leaves(widened, args)
    leaves, structure = flatten(wide)
    chosen = {id(leaf) for k in wanted(program) for leaf in flatten(wide[k])[0] if c.is_float(leaf)}
    zeros = [np.zeros(np.shape(leaf)) if c.is_float(leaf) else None for leaf in leaves]
    gradient = []
    for k, leaf in enumerate(leaves):
        if id(leaf) not in chosen:
            continue
        found = np.zeros(np.shape(leaf))
        for place in np.ndindex(np.shape(leaf)):
            one = np.zeros(np.shape(leaf))
            one[place] = 1.0
            dots = unflatten(structure, [*zeros[:k], one, *zeros[k + 1 :]])
            found[place] = c.difference(f, wide, dots, 1e-2 if single else 1e-4)[0]
        gradient.append(found)
    return value, gradient


def widened(leaf):
    """The leaf in float64; a new object, so that its identity tells it from others."""
    if not c.is_float(leaf):
        return leaf
    return leaf.astype(np.float64) if isinstance(leaf, np.ndarray) else float(np.float64(leaf) * 1.0)


def assert_relative(found, expected, rtol, scale, what):
    assert np.isfinite(found), what
    assert abs(found - expected) <= rtol * max(scale, 1e-3), f"{what}: {found!r} against {expected!r}"


@pytest.mark.parametrize(("program", "backend"), RUNS)
def test_value_gradient_and_tangent(program, backend):
    args, single = program.arguments(), "float32" in program.tags
    before = c.fresh(args)
    transform = value_and_gradient(program, backend)
    value, gradient = transform(*args)
    expected, differences = reference(program)
    rtol = 1e-15 if backend == "python" and "transforms" not in program.tags else 1e-11
    np.testing.assert_allclose(value, expected, rtol=2e-5 if single and backend != "python" else rtol)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    c.assert_near(gradient, differences, *((1e-3, 1e-4) if single else (1e-6, 1e-9)), "gradient against differences")
    for k, part in zip(wanted(program), gradient, strict=True):
        c.assert_gradient_type(part, args[k], f"gradient by argument {k}")
    c.assert_no_alias(gradient, args)
    dots = c.direction(args, 1)
    dots = tuple(d if k in wanted(program) else c._zero(d) for k, d in enumerate(dots))
    again, tangent = adcompile.jvp(program.function, args, dots, backend=backend)
    np.testing.assert_allclose(again, expected, rtol=2e-5 if single and backend != "python" else rtol)
    product, size = c.dot(gradient, tuple(dots[k] for k in wanted(program)))
    assert_relative(tangent, product, 1e-4 if single else 1e-10, size, "tangent against gradient")
    c.assert_unmodified(args, before)
    compiled = transform.specialisation(*args)
    verify(compiled.primal.trace, infer)
    verify(compiled.program.trace, infer)


@pytest.mark.parametrize("program", [p for p in SCALAR if "once" not in p.tags], ids=lambda p: p.name)
def test_hessian_vector_products(program):
    args, single = program.arguments(), "float32" in program.tags
    before, numbers = c.fresh(args), wanted(program)
    product = adcompile.hvp(program.function, numbers)
    u, v = (tuple(c.direction(args[k], seed + k) for k in numbers) for seed in (20, 40))
    along_u, along_v = product(*args, u), product(*args, v)
    (left, size), (right, _) = c.dot(u, along_v), c.dot(v, along_u)
    assert_relative(left, right, 2e-4 if single else 1e-9, size, "symmetry of second derivatives")
    dots = tuple(v[numbers.index(k)] if k in numbers else c._zero(c.direction(a, 0)) for k, a in enumerate(args))
    gradient = value_and_gradient(program, "llvm")
    wide = map_leaves(widened, args)
    expected = c.difference(lambda *a: gradient(*a)[1], wide, map_leaves(widened, dots), 1e-2 if single else 1e-4)
    c.assert_near(along_v, expected, *((1e-3, 1e-3) if single else (1e-5, 1e-8)), "second derivatives")
    c.assert_unmodified(args, before)
    c.assert_no_alias(along_v, args, v)

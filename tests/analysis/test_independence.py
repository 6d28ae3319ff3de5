"""Which loops have independent iterations: by example, and by running what is claimed in the opposite order."""

import math
from dataclasses import replace

import numpy as np
import pytest

import adcompile
from adcompile.analysis.independence import homes, independence
from adcompile.ir.core import walk
from adcompile.ir.interpreter import _Interpreter
from adcompile.lower import lower
from adcompile.lower.kernels import with_additions
from adcompile.primitives.evaluate import evaluate, number
from tests.corpus import PROGRAMS

A, B = np.arange(1.0, 7.0), np.arange(6)


def loops_of(function, *args, transform=adcompile.jit):
    trace = lower(transform(function, backend="python").specialisation(*args).program.trace, vectors=False)
    return [e for e in walk(with_additions(trace.block)) if e.op == "loop"]


def last_loop(function, *args):
    """What is known of the last loop at the top of a function's program."""
    return independence(loops_of(function, *args)[-1])


def stores_its_own(x, at):
    y = x.copy()
    for i in range(len(x)):
        y[i] = y[i] * 2.0
    return y


def backwards(x, at):
    y = x.copy()
    for i in range(len(x) - 1, -1, -1):
        y[i] = y[i] * 2.0
    return y


def reads_the_next(x, at):
    y = x.copy()
    for i in range(len(x) - 1):
        y[i] = y[i + 1] * 2.0
    return y


def even_from_odd(x, at):
    y = x.copy()
    for i in range(3):
        y[2 * i] = y[2 * i + 1]
    return y


def meets_in_two_steps(x, at):
    y = x.copy()
    for i in range(2):
        y[2 * i] = y[2 * i + 2]
    return y


def one_place(x, at):
    y = x.copy()
    for i in range(len(x)):
        y[0] = x[i]
    return y


def another_place(x, at):
    y = x.copy()
    for i in range(1, len(x)):
        y[i] = y[i] + 1.0
        y[i] = y[i] * y[i]
    return y


def scatters(x, at):
    y = np.zeros(6)
    for i in range(len(at)):
        y[at[i]] = x[i]
    return y


def adds_where_told(x, at):
    y = np.zeros(6)
    for i in range(len(at)):
        y[at[i]] += x[i]
    return y


def adds_and_reads(x, at):
    y = np.zeros(6)
    for i in range(len(at)):
        y[at[i]] += x[i] + y[0]
    return y


def sums(x, at):
    s = 0.0
    for i in range(len(x)):
        s = s + x[i] * x[i]
    return s


def sums_in_branches(x, at):
    s = 0.0
    for i in range(len(x)):
        if x[i] > 2.0:
            s += x[i]
        else:
            s -= 1.0
    return s


def running_sum(x, at):
    y, s = np.zeros(6), 0.0
    for i in range(len(x)):
        s += x[i]
        y[i] = s
    return y


def horner(x, at):
    s = 0.0
    for i in range(len(x)):
        s = s * 0.5 + x[i]
    return s


def sum_of_its_square(x, at):
    s = 1.0
    for i in range(len(x)):
        s = s + s * x[i]
    return s


def sum_and_product(x, at):
    s = 0.0
    for i in range(len(x)):
        s = (s + x[i]) * 2.0
    return s


def swaps(x, at):
    y, z = x.copy(), np.zeros(6)
    for i in range(4):
        z[i] = y[i]
        y, z = z, y
    return y


EXPECTED = {
    stores_its_own: True, backwards: True, reads_the_next: False, even_from_odd: True, meets_in_two_steps: False,
    one_place: False, another_place: True, scatters: False, adds_where_told: True, adds_and_reads: False, sums: True,
    sums_in_branches: True, running_sum: False, horner: False, sum_of_its_square: False, sum_and_product: False,
    swaps: False,
}  # fmt: skip


@pytest.mark.parametrize("function", EXPECTED, ids=lambda f: f.__name__)
def test_examples(function):
    known = last_loop(function, A, B)
    assert known.holds is EXPECTED[function], known.obstacle


def test_what_is_known():
    assert last_loop(adds_where_told, A, B).added == {0}
    assert last_loop(stores_its_own, A, B).added == frozenset()
    assert last_loop(sums, A, B).sums == ((0, "add"),)
    assert last_loop(sums_in_branches, A, B).sums == ((0, "add"),)
    assert last_loop(reads_the_next, A, B).obstacle == "an iteration may read what another stores: an element of y"


def test_homes():
    (loop,) = loops_of(swaps, A, B)[-1:]
    assert homes(loop.regions[0]) == (2, 1)
    (loop,) = loops_of(stores_its_own, A, B)[-1:]
    assert homes(loop.regions[0]) == (1,)


# -- what is claimed, run in the opposite order -----------------------------------------------------------------------


class Backwards(_Interpreter):
    """Runs the iterations of every independent loop from the last to the first."""

    turned = 0

    def loop(self, eqn, values, env):
        if not independence(eqn).holds:
            return super().loop(eqn, values, env)
        self.turned += 1
        start, stop, step, *carried = values
        for index in reversed(range(int(start), int(stop), int(step))):
            carried = self.block(eqn.regions[0], (index, *carried), dict(env))
        return tuple(carried)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.argnums is not None][::6], ids=lambda p: p.name)
def test_independent_loops_run_backwards(program):
    transform = adcompile.value_and_grad(program.function, program.argnums, backend="python")
    compiled = transform.specialisation(*program.arguments())
    trace = lower(compiled.program.trace, vectors=False)
    trace = replace(trace, block=with_additions(trace.block))
    flat = transform._flat(compiled, transform_leaves(program.arguments()))
    with np.errstate(all="ignore"):
        forwards = _Interpreter(evaluate, number).block(trace.block, flat, {})
        backwards = Backwards(evaluate, number)
        found = backwards.block(trace.block, flat, {})
    for a, b in zip(found, forwards, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if np.asarray(b).dtype == np.float32 else 1e-11, atol=1e-11)


def transform_leaves(args):
    from adcompile.tree import flatten

    return flatten((args, {}))[0]


def test_some_loops_are_turned():
    compiled = adcompile.grad(lambda x: np.sum(np.sin(x) * x), backend="python").specialisation(A)
    backwards = Backwards(evaluate, number)
    backwards.block(lower(compiled.program.trace, vectors=False).block, [A], {})
    assert backwards.turned == 1
    assert math.isfinite(A.sum())

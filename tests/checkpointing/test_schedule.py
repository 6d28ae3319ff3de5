"""Where snapshots go: as few iterations run again as can be, from k slots."""

import functools
import math
import types
from collections import Counter

import numpy as np
import pytest

from adcompile import checkpointed, value_and_grad
from tests.checkpointing.common import SNAPSHOTS, U, counting_step

TRIPS = pytest.mark.parametrize("n", [0, 1, 2, 7, 20, 100])


@functools.cache
def counted(k):
    def f(u, n):
        for _ in checkpointed(range(n), snapshots=k):
            u = counting_step(u)
        return np.tanh(np.sum(u[1:]))

    return f


@functools.cache
def uncounted(k):
    def f(u, n):
        while checkpointed(u[0] < n, snapshots=k):
            u = counting_step(u)
        return np.tanh(np.sum(u[1:]))

    return f


class Watched(types.ModuleType):
    """NumPy for one run: the iterations whose sine and cosine are taken, and the snapshots after the forward sweep."""

    def __init__(self):
        super().__init__("watched")
        self.forward, self.backward, self.slots = [], [], []
        self.places = self.left = None

    def __getattr__(self, name):
        return getattr(np, name)

    def sin(self, u):
        self.forward.append(int(u[0]))
        return np.sin(u)

    def cos(self, u):
        self.backward.append(int(u[0]))
        return np.cos(u)

    def zeros(self, shape, dtype=float):
        found = np.zeros(shape, dtype)
        if np.ndim(shape) == 0 and dtype is np.int64:
            self.places = found
        if np.ndim(shape) == 1 and len(shape) == 2:
            self.slots.append(shape[0])
        return found

    def tanh(self, x):
        self.left = int(self.places.max())
        return np.tanh(x)


def watch(f, n):
    """What a run of the generated gradient does."""
    watched = Watched()
    module = {"np": watched, "math": math, **helpers()}
    exec(source_of(f), module)
    module[f"{f.__name__}_value_and_grad"](U, n)
    return watched


@functools.cache
def source_of(f):
    return value_and_grad(f, backend="python").source(U, 1)


def helpers():
    from adcompile.primitives import runtime

    return {name: getattr(runtime, name) for name in ("check_same", "grow")}


@functools.cache
def fewest(steps, slots):
    """The least number of iterations to run again so that ``steps`` can be reversed, by dynamic programming."""
    if steps <= 1:
        return 0
    if slots == 1:
        return steps * (steps - 1) // 2
    return min(m + fewest(steps - m, slots - 1) + fewest(m, slots) for m in range(1, steps))


def repetitions(steps, slots):
    """The least r with (slots + r)! / (slots! r!) ≥ steps."""
    return next(r for r in range(steps + 1) if math.comb(slots + r, slots) >= steps)


@TRIPS
@SNAPSHOTS
@pytest.mark.parametrize("loop", [counted, uncounted])
def test_every_iteration_is_reversed_once_from_k_slots(loop, n, k):
    seen = watch(loop(k), n)
    assert seen.backward == list(range(n))[::-1]
    assert seen.slots == [k]


@TRIPS
@SNAPSHOTS
def test_a_counted_loop_runs_as_few_iterations_again_as_can_be(n, k):
    """The forward sweep runs each once, and sets the first snapshots on its way; a sine is not read by its adjoint."""
    seen = watch(counted(k), n)
    assert len(seen.forward) == n + fewest(n, k) - seen.left


@TRIPS
@SNAPSHOTS
def test_a_loop_of_unknown_length_has_the_least_repetition(n, k):
    seen = Counter(watch(uncounted(k), n).forward)
    assert max(seen.values(), default=0) <= 1 + repetitions(n, k)


def test_the_online_schedule_is_close_to_the_best():
    for n in range(1, 60):
        for k in (2, 3, 5):
            again = len(watch(uncounted(k), n).forward) - n
            assert again <= fewest(n, k) + n

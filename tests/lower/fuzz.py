"""Random programs with views, updates, loops and branches, from a seed: every array is rank 1 or 2 of size n × n."""

from __future__ import annotations

import random
from typing import Any

from adcompile.ir import Array, Trace
from adcompile.primitives import Emitter
from tests.lower.programs import FULL, branch, build, loop, part

_VECTOR, _MATRIX = Array("float64", ("n",)), Array("float64", ("n", "n"))


def random_program(seed: int) -> Trace:
    """Three parameters (two vectors and a matrix of one size), some twenty equations, up to four results."""
    return build([_VECTOR, _VECTOR, _MATRIX], lambda op, u, v, m: _Writer(seed, op).program([u, v, m]), f"seed{seed}")


class _Writer:
    def __init__(self, seed: int, op: Emitter):
        self.random, self.op = random.Random(seed), op

    def program(self, values: list) -> tuple:
        self.block(values, self.random.randint(6, 14), 2)
        return tuple(self.random.choice(values) for _ in range(self.random.randint(1, 4)))

    def block(self, values: list, length: int, depth: int) -> None:
        """Append equations; ``values`` holds what later ones may use."""
        for _ in range(length):
            steps = [self.map, self.map, self.store, self.store, self.view, self.shift, self.reduce, self.product]
            if depth:
                steps += [self.loop, self.branch]
            self.random.choice(steps)(values, depth)

    def pick(self, values: list, rank: int) -> Any:
        return self.random.choice([v for v in values if v.rank == rank])

    def map(self, values: list, depth: int) -> None:
        a, b = self.random.choice(values), self.random.choice(values)
        function = self.random.choice([lambda: a * 0.5 + b, lambda: self.op.sin(a), lambda: self.op.maximum(a, b)])
        values.append(function())

    def view(self, values: list, depth: int) -> None:
        m, u = self.pick(values, 2), self.pick(values, 1)
        row = lambda: self.op.index(m, self.random.choice([0, 1, -1]), spec=(("int",), FULL))
        back = lambda: self.op.index(u, spec=(part(False, False, -1),))
        values.append(self.random.choice([row, back, lambda: self.op.transpose(m, perm=(1, 0))])())

    def store(self, values: list, depth: int) -> None:
        m, u, v = self.pick(values, 2), self.pick(values, 1), self.pick(values, 1)
        name = self.random.choice(["store", "accumulate"])
        head = self.op.index(v, -1, spec=(part(False, True),))
        values.append(
            self.random.choice(
                [
                    lambda: self.op(name, u, 0.5 * head, 1, spec=(part(True, False),)),
                    lambda: self.op(name, u, v, spec=(FULL,)),
                    lambda: self.op(name, m, v, 1, spec=(("int",), FULL)),
                    lambda: self.op(name, m, v, 0, spec=(FULL, ("int",))),
                    lambda: self.op(name, u, 0.25, 0, spec=(("int",),)),
                ]
            )()
        )

    def shift(self, values: list, depth: int) -> None:
        u = self.random.choice(values)
        values.append(self.op.roll(u, self.random.choice([1, -1, 2]), axis=u.rank - 1))

    def reduce(self, values: list, depth: int) -> None:
        values.append(self.op.sum(self.pick(values, 2), axis=(self.random.randint(0, 1),), keepdims=False) * 0.1)

    def product(self, values: list, depth: int) -> None:
        a, b = self.pick(values, 2), self.random.choice(values)
        values.append(self.random.choice([lambda: a @ b * 0.1, lambda: self.pick(values, b.rank) + a @ b])())

    def loop(self, values: list, depth: int) -> None:
        carried = [self.random.choice(values) for _ in range(self.random.randint(1, 3))]

        def body(op: Emitter, i: Any, *inner: Any) -> tuple:
            seen = [*values, *inner]
            self.block(seen, self.random.randint(1, 4), depth - 1)
            return tuple(self.pick(seen[len(values) // 2 :], c.rank) for c in carried)

        found = loop(self.op, 0, self.random.randint(0, 3), 1, carried, body)
        values.extend(found if isinstance(found, tuple) else [found])

    def branch(self, values: list, depth: int) -> None:
        ranks = [self.random.randint(1, 2) for _ in range(self.random.randint(1, 2))]

        def side(op: Emitter) -> tuple:
            seen = list(values)
            self.block(seen, self.random.randint(0, 3), depth - 1)
            return tuple(self.pick(seen[-4:] + values, rank) for rank in ranks)

        test = self.op.index(self.pick(values, 1), 0, spec=(("int",),)) > 0.0
        found = branch(self.op, test, side, side)
        values.extend(found if isinstance(found, tuple) else [found])

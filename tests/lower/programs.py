"""Little array programs for the tests of `adcompile.lower` and `adcompile.analysis.inplace`, and ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from adcompile.ir import Array, Block, Eqn, Scalar, Trace, Value
from adcompile.ir.builder import Builder
from adcompile.ir.interpreter import interpret
from adcompile.ir.types import PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT
from adcompile.primitives import Emitter, runtime
from adcompile.primitives.evaluate import evaluate, number, spell

FULL = ("slice", False, False, 1)
N = "n"


def part(start: bool, stop: bool, step: int = 1) -> tuple:
    """The spec entry of a slice."""
    return ("slice", start, stop, step)


def build(types: Sequence[Any], body: Callable, name: str = "f") -> Trace:
    """The trace of ``body(op, *handles)``."""
    builder = Builder()
    op = Emitter(builder)
    params = [Value(t, "abcdefgh"[k]) for k, t in enumerate(types)]
    outs = body(op, *map(op.handle, params))
    outs = outs if isinstance(outs, tuple) else (outs,)
    return Trace(name, builder.block(params, [op.atom(o) for o in outs]))


@contextmanager
def region(op: Emitter) -> Iterator[Builder]:
    """Let every handle emit into a region."""
    outer, op.builder = op.builder, op.builder.child()
    yield op.builder
    op.builder = outer


def _block(op: Emitter, params: Sequence[Value], body: Callable) -> Block:
    with region(op) as builder:
        results = [op.atom(r) for r in body(op, *map(op.handle, params))]
        return builder.block(params, results)


def loop(op: Emitter, start: Any, stop: Any, step: Any, carried: Sequence[Any], body: Callable) -> Any:
    """Emit a loop; ``body(op, i, *carried) → tuple``."""
    atoms = [op.atom(c) for c in carried]
    block = _block(op, [Value(PYTHON_INT, "i"), *(Value(a.type) for a in atoms)], body)
    args = [op.atom(start), op.atom(stop), op.atom(step), *atoms]
    return _handles(op, op.builder.emit("loop", args, [a.type for a in atoms], {}, (block,)))


def branch(op: Emitter, condition: Any, then: Callable, other: Callable) -> Any:
    """Emit an ``if``; both functions take an emitter and return a tuple."""
    blocks = [_block(op, (), body) for body in (then, other)]
    types = [r.type for r in blocks[0].results]
    return _handles(op, op.builder.emit("if", (op.atom(condition),), types, {}, blocks))


def repeat(op: Emitter, carried: Sequence[Any], condition: Callable, body: Callable) -> Any:
    """Emit a ``while``."""
    atoms = [op.atom(c) for c in carried]
    blocks = [_block(op, [Value(a.type) for a in atoms], function) for function in (condition, body)]
    return _handles(op, op.builder.emit("while", atoms, [a.type for a in atoms], {}, blocks))


def _handles(op: Emitter, values: Sequence[Value]) -> Any:
    handles = tuple(map(op.handle, values))
    return handles[0] if len(handles) == 1 else handles


# -- running in place -----------------------------------------------------------------------------------------------


def run_in_place(trace: Trace, args: Sequence[Any]) -> tuple:
    """Run a trace as a compiled program does: updates overwrite, new buffers hold garbage, parameters are read-only."""
    given = [_frozen(a) for a in args]
    results = interpret(trace, given, _evaluate_in_place, number)
    arrays = [r for r in results if isinstance(r, np.ndarray)]
    for k, one in enumerate(arrays):
        assert not any(np.shares_memory(one, g) for g in given if isinstance(g, np.ndarray)), "a result is a parameter"
        assert not any(np.shares_memory(one, other) for other in arrays[k + 1 :]), "two results share memory"
    return results


def _frozen(x: Any) -> Any:
    if not isinstance(x, np.ndarray):
        return x
    x = x.copy()
    x.flags.writeable = False
    return x


def _evaluate_in_place(eqn: Eqn, values: Sequence[Any]) -> tuple:
    if eqn.op in ("store", "accumulate", "gemm"):
        names = [f"a{k}" for k in range(len(values))]
        exec(spell(eqn, names), dict(runtime.NAMESPACE), dict(zip(names, values, strict=True)))
        return (values[0],)
    outs = evaluate(eqn, values)
    if eqn.op == "empty":
        outs[0][...] = 77
    return outs


# -- the programs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """Parameters by example (an array of floats, ints or a Python number) and a body."""

    body: Callable
    args: tuple

    def types(self, dtype: str) -> list:
        return [_type(a, dtype) for a in self.args]

    def values(self, dtype: str) -> list:
        return [a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype == "float64" else a for a in self.args]


def _type(value: Any, dtype: str) -> Any:
    if isinstance(value, np.ndarray):
        kind = dtype if value.dtype == "float64" else value.dtype.name
        return Array(kind, tuple(1 if s == 1 else N for s in value.shape))
    return {bool: PYTHON_BOOL, int: PYTHON_INT, float: PYTHON_FLOAT}.get(type(value)) or Scalar(value.dtype.name)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape)


def _ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def _mlp(op, x, y, w1, b1, w2, b2):
    d = op.tanh(x @ w1 + b1) @ w2 + b2 - y
    return op.sum(d * d, axis=(0, 1), keepdims=False) / op.cast(op.size(d, 0), dtype="float64")


def _mlp_adjoint(op, x, y, w1, b1, w2, b2):
    h = op.tanh(x @ w1 + b1)
    d = h @ w2 + b2 - y
    d_bar = 2.0 * d
    h_bar = d_bar @ op.swap_last(w2)
    z_bar = h_bar * (1.0 - h * h)
    rows = {"axis": (0,), "keepdims": False}
    return (
        op.sum(d * d, axis=(0, 1), keepdims=False),
        op.swap_last(x) @ z_bar,
        op.sum(z_bar, **rows),
        op.swap_last(h) @ d_bar,
        op.sum(d_bar, **rows),
    )


def _stencil(op, u, dt):
    mid = op.index(u, 1, -1, spec=(part(True, True),))
    left, right = op.index(u, -2, spec=(part(False, True),)), op.index(u, 2, spec=(part(True, False),))
    return mid + dt * (right - 2.0 * mid + left)


def _stencil_adjoint(op, u, v, dt):
    bar = op.zeros_like(u)
    bar = op("accumulate", bar, v * (1.0 - 2.0 * dt), 1, -1, spec=(part(True, True),))
    bar = op("accumulate", bar, dt * v, 2, spec=(part(True, False),))
    return op("accumulate", bar, dt * v, -2, spec=(part(False, True),))


def _steps(op, u, dt, count):
    def step(op, i, u):
        return (op("store", u, _stencil(op, u, dt), 1, -1, spec=(part(True, True),)),)

    return loop(op, 0, count, 1, [u], step)


def _advect(op, u, shift, count):
    """Semi-Lagrangian steps on a circle: gathers at computed places."""
    n = op.size(u, 0)
    x = op.arange(0, n, 1)

    def step(op, i, u):
        at = op.cast(x, dtype="float64") - shift
        low = op.floor(at)
        weight = op.cast(at - low, dtype=u.type.dtype)
        j = op.cast(low, dtype="int64")
        left = op.index(u, j % n, spec=(("array",),))
        right = op.index(u, (j + 1) % n, spec=(("array",),))
        return (left * (1.0 - weight) + right * weight,)

    return loop(op, 0, count, 1, [u], step)


def _rolled(op, u, dt, count):
    def step(op, i, u):
        return (u + dt * (op.roll(u, 1, axis=0) - 2.0 * u + op.roll(u, -1, axis=0)),)

    return loop(op, 0, count, 1, [u], step)


def _scalar_loops(op, u):
    """for i in range(1, n - 1): v[i] = u[i - 1] + u[i + 1], as a user writes it."""
    n = op.size(u, 0)

    def step(op, i, v):
        total = op.index(u, i - 1, spec=(("int",),)) + op.index(u, i + 1, spec=(("int",),))
        return (op("store", v, total, i, spec=(("int",),)),)

    return loop(op, 1, n - 1, 1, [op.zeros_like(u)], step)


def _swap(op, u, v, count):
    return loop(op, 0, count, 1, [u, v], lambda op, i, a, b: (b, a + b))


def _prefix_views(op, u):
    head = op.index(u, 3, spec=(part(False, True),))
    changed = op("store", u, 5.0, 0, spec=(("int",),))
    return head, changed, u


def _branches(op, u, flag):
    doubled = u * 2.0
    out = branch(
        op,
        flag,
        lambda op: (op("store", doubled, 1.0, 0, spec=(("int",),)), u),
        lambda op: (op.exp(doubled), doubled),
    )
    return out


def _halving(op, u, limit):
    total = lambda op, x: op.sum(op.abs(x), axis=(0,), **_SUM)
    return repeat(
        op, [u, 0], lambda op, x, k: (op.logical_and(total(op, x) > limit, k < 60),), lambda op, x, k: (0.5 * x, k + 1)
    )


def _growing(op, u, count):
    start = op.index(u, 1, spec=(part(False, True),))
    widened = op.broadcast(start, (op.size(start, 0),), ("?",))
    return loop(op, 0, count, 1, [widened], lambda op, i, x: (op.concatenate(x, 2.0 * x, axis=0),))


def _scatter(op, u, at, v):
    return op("accumulate", u, v, at, spec=(("array",),)), op("store", u, v, at, spec=(("array",),))


def _taped(op, u, count):
    """Store every state in a tape, then run backwards over it."""
    n = op.size(u, 0)
    tape = op("full", op.zero(u.type.dtype), count, n, dims=("?", u.type.dims[0]))
    spec = (("int",), FULL)

    def forward(op, k, x, tape):
        return op.sin(x) * x, op("store", tape, x, k, spec=spec)

    def backward(op, k, bar):
        x = op.index(tape, count - 1 - k, spec=spec)
        return (bar * (op.cos(x) * x + op.sin(x)),)

    x, tape = loop(op, 0, count, 1, [u, tape], forward)
    return x, loop(op, 0, count, 1, [op.like(x, 1.0) + 0.0 * x], backward)


_SUM = {"keepdims": False}
PROGRAMS: dict[str, Program] = {
    "mlp": Program(_mlp, (_normal(5, 3), _normal(5, 1), _normal(3, 4), _normal(4), _normal(4, 1), _normal(1))),
    "mlp_adjoint": Program(
        _mlp_adjoint, (_normal(5, 3), _normal(5, 1), _normal(3, 4), _normal(4), _normal(4, 1), _normal(1))
    ),
    "stencil": Program(_stencil, (_normal(7), 0.1)),
    "stencil_tiny": Program(_stencil, (_normal(2), 0.1)),
    "stencil_empty": Program(_stencil, (_normal(0), 0.1)),
    "stencil_adjoint": Program(_stencil_adjoint, (_normal(7), _normal(5), 0.1)),
    "steps_in_place": Program(_steps, (_normal(7), 0.1, 4)),
    "advect": Program(_advect, (_normal(8), 0.3, 3)),
    "rolled": Program(_rolled, (_normal(8), 0.1, 3)),
    "rolled_one": Program(_rolled, (_normal(2)[:2], 0.1, 1)),
    "rolled_empty": Program(_rolled, (_normal(0), 0.1, 2)),
    "roll_far": Program(lambda op, u, k: (op.roll(u, k, axis=0), op.roll(u, 3, axis=0) * u), (_normal(5), -7)),
    "roll_matrix": Program(
        lambda op, u: op.roll(u, 1, axis=0) + op.roll(u, -1, axis=1) - op.roll(u, 2, axis=1), (_normal(4, 5),)
    ),
    "scalar_loops": Program(_scalar_loops, (_normal(6),)),
    "swap": Program(_swap, (_normal(3), _normal(3) + 1, 5)),
    "views": Program(_prefix_views, (_normal(5),)),
    "branch_true": Program(_branches, (_normal(4), True)),
    "branch_false": Program(_branches, (_normal(4), False)),
    "halving": Program(_halving, (_normal(4), 0.25)),
    "growing": Program(_growing, (_normal(4), 3)),
    "scatter": Program(_scatter, (_normal(5), _ints(0, -1, 0, 3), _normal(4))),
    "taped": Program(_taped, (_normal(4), 3)),
    "sum_rows": Program(lambda op, a, b: op.sum(a * b, axis=(0,), **_SUM), (_normal(3, 4), _normal(3, 4))),
    "sum_columns": Program(lambda op, a, b: op.sum(a * b, axis=(1,), **_SUM), (_normal(3, 4), _normal(3, 1))),
    "sum_middle": Program(lambda op, a: op.sum(a, axis=(1,), keepdims=True), (_normal(2, 3, 4),)),
    "sum_outer_inner": Program(lambda op, a: op.sum(op.exp(a), axis=(0, 2), **_SUM), (_normal(2, 3, 4),)),
    "sum_empty": Program(lambda op, a: (op.sum(a, axis=(0,), **_SUM), op.sum(a, axis=(1,), **_SUM)), (_normal(0, 4),)),
    "sum_ints": Program(lambda op, a: op.sum(a, axis=(0,), **_SUM), (np.array([1, 2, 3], np.int32),)),
    "sum_keep_all": Program(lambda op, a: op.sum(a, axis=(0, 1), keepdims=True) * a, (_normal(3, 2),)),
    "extrema": Program(
        lambda op, a: (op.max(a, axis=(0,), **_SUM), op.min(a, axis=(1,), **_SUM), op.max(a, axis=(0, 1), **_SUM)),
        (_normal(3, 4),),
    ),
    "positions": Program(
        lambda op, a: (
            op.argmax(a, axis=0),
            op.argmin(a, axis=1),
            op.argmax(op.index(a, 1, spec=(("int",), FULL)), axis=0),
        ),
        (_normal(3, 4),),
    ),
    "positions_nan": Program(lambda op, a: op.argmax(a, axis=0), (np.array([1.0, np.nan, 3.0, np.nan]),)),
    "running": Program(lambda op, a: (op.cumsum(a, axis=0), op.cumsum(a * a, axis=1)), (_normal(3, 4),)),
    "argsort": Program(
        lambda op, a, b: (op.argsort(a, axis=0), op.argsort(b, axis=1), op.argsort(b, axis=0)),
        (np.array([3.0, 1.0, np.nan, 1.0, -2.0, 3.0, 0.5]), _normal(4, 9)),
    ),
    "argsort_empty": Program(lambda op, a: op.argsort(a, axis=0), (_normal(0),)),
    "searchsorted": Program(
        lambda op, a, v: (op.searchsorted(a, v, side="left"), op.searchsorted(a, v, side="right")),
        (np.array([0.0, 1.0, 1.0, 2.0, 5.0]), np.array([-1.0, 0.0, 1.0, 1.5, 5.0, 7.0, np.nan])),
    ),
    "nonzero": Program(lambda op, a: op.nonzero(a > 0.0), (_normal(3, 5),)),
    "mask": Program(lambda op, a: op.index(a, op.nonzero(a > 0.0), spec=(("array",),)), (_normal(9),)),
    "vector": Program(
        lambda op, a, s: op.vector(op.index(a, 1, spec=(("int",),)), op.cast(s, dtype=a.type.dtype)), (_normal(3), 2.5)
    ),
    "transposes": Program(
        lambda op, a, b: (op.swap_last(a) @ op.swap_last(b), op.swap_last(a) * b), (_normal(3, 4), _normal(4, 3))
    ),
    "products": Program(
        lambda op, a, v, w: (a @ v, w @ a, w @ w, op.swap_last(a) @ w), (_normal(3, 4), _normal(4), _normal(3))
    ),
    "outer": Program(
        lambda op, a, b: (a @ b, op.unsqueeze(op.squeeze_axis(a, 1), (1,)) @ b), (_normal(3, 1), _normal(1, 4))
    ),
    "stacks": Program(
        lambda op, a, b, c: (a @ c, a @ b, op.swap_last(b) @ op.swap_last(a), op.swap_last(c) @ b),
        (_normal(2, 3, 4), _normal(2, 4, 3), _normal(4, 3)),
    ),
    "products_empty": Program(lambda op, a, b: a @ b, (_normal(3, 0), _normal(0, 4))),
    "accumulated_product": Program(
        lambda op, c, a, b: (c * 1.5 + a @ b, c), (_normal(3, 2), _normal(3, 4), _normal(4, 2))
    ),
    "weights_over_time": Program(
        lambda op, w, x: loop(op, 0, 3, 1, [w], lambda op, i, s: (s + op.swap_last(x) @ (x @ w),)),
        (_normal(4, 4), _normal(3, 4)),
    ),
    "reshapes": Program(
        lambda op, a: (
            op.reshape(a * 2.0, op.size(a, 0) * op.size(a, 1), dims=(N,)),
            op.reshape(a, op.size(a, 1), op.size(a, 0), dims=(N, N)) + 1.0,
            op.reshape(a, op.size(a, 0), 1, op.size(a, 1), dims=(N, 1, N)) * 3.0,
        ),
        (_normal(3, 4),),
    ),
    "broadcasts": Program(
        lambda op, a, b, c: (op.broadcast(b, op.shape(a), a.type.dims) * a + c, op.exp(c) * a, op.exp(b) - a),
        (_normal(3, 4), _normal(4), _normal(3, 1)),
    ),
    "negative_steps": Program(
        lambda op, a: (
            op.index(a, spec=(part(False, False, -1),)),
            op.index(a, -2, 1, spec=(part(True, True, -2),)),
            op.index(a, 1, spec=(part(True, False, 3),)),
            op.index(a, -9, 4, spec=(part(True, True, 2),)),
            op.index(a, 20, spec=(part(True, False, -3),)),
        ),
        (_normal(8),),
    ),
    "dynamic_slices": Program(
        lambda op, a, i, j: (
            op.index(a, i, j, spec=(part(True, True),)),
            op.index(a, j, i, spec=(part(True, True, -2),)),
            op.index(a, i, spec=(part(False, True, 2),)),
        ),
        (_normal(8), -6, 30),
    ),
    "new_axes": Program(
        lambda op, a: op.index(a, spec=(FULL, ("new",))) - op.index(a, spec=(("new",), FULL)), (_normal(4),)
    ),
    "gathers": Program(
        lambda op, a, i, j: (
            op.index(a, i, j, spec=(("array",), ("array",))),
            op.index(a, i, spec=(FULL, ("array",))),
            op.index(a, 0, i, spec=(("int",), ("array",))),
            op.index(a, op.index(i, spec=(FULL, ("new",))), spec=(("array",), FULL)),
        ),
        (_normal(3, 4), _ints(0, 2, -1), _ints(1, 1, 0)),
    ),
    "overlap_forward": Program(
        lambda op, a: op("store", a, op.index(a, -1, spec=(part(False, True),)), 1, spec=(part(True, False),)),
        (_normal(6),),
    ),
    "overlap_reverse": Program(
        lambda op, a: op("store", a * 2.0, op.index(a * 2.0, spec=(part(False, False, -1),)), spec=(FULL,)),
        (_normal(6),),
    ),
    "overlap_owned": Program(
        lambda op, a: _shifted(op, op.exp(a)),
        (_normal(6),),
    ),
    "store_rows": Program(
        lambda op, a, v: (
            op("store", a, v, 1, spec=(("int",), FULL)),
            op("store", a, 0.5, 1, spec=(FULL, part(True, False, 2))),
            op("accumulate", a, v, -1, 0, spec=(("int",), part(True, False))),
        ),
        (_normal(3, 4), _normal(4)),
    ),
    "scatter_grid": Program(
        lambda op, a, i, v: op("accumulate", a, v, i, spec=(FULL, ("array",))),
        (_normal(3, 4), _ints(1, 1, 0), _normal(3, 3)),
    ),
    "gather_own": Program(
        lambda op, a, i: _update_gathered(op, op.exp(a), i),
        (_normal(4), _ints(1, 1, 0)),
    ),
    "promotion": Program(
        lambda op, a, i: (
            a * i,
            i / 2,
            i // 2,
            i % 3,
            i > 1.5,
            op.where(i > 1, a, 2.0),
            -i,
            op.sqrt(op.abs(i)),
            i**2,
            a**0.5,
        ),
        (np.abs(_normal(4)) + 0.1, _ints(1, 2, 3, -4)),
    ),
    "bools": Program(
        lambda op, a, b: (op.logical_and(a > 0.0, b), op.cast(b, dtype="float32") + 1, op.sum(b, axis=(0,), **_SUM)),
        (_normal(4), np.array([True, False, True, True])),
    ),
    "ranges": Program(lambda op, a: (op.arange(2, op.size(a, 0), 1) * 2, op.arange(9, 0, -2)), (_normal(6),)),
    "shared": Program(lambda op, a: (op.tanh(a), 1.0 - op.tanh(a) * op.tanh(a), op.tanh(a) + a), (_normal(5),)),
    "column_then_row": Program(
        lambda op, c, r: (op.exp(c) * op.tanh(r), op.sum(op.exp(c) * r, axis=(0,), **_SUM)),
        (_normal(3, 1), _normal(1, 4)),
    ),
    "same_twice": Program(lambda op, a: (a, a, op.swap_last(a)), (_normal(3, 3),)),
    "scalars": Program(lambda op, x, k: (x * 2.0 + k, k // 2, op.where(x > 0.0, x, 0.0), k % 3), (1.5, 7)),
    "pad": Program(
        lambda op, a: op(
            "store", op("full", op.zero(a.type.dtype), op.size(a, 0) + 2, dims=(N,)), a, 1, -1, spec=(part(True, True),)
        ),
        (_normal(4),),
    ),
}


def _shifted(op, b):
    return op("store", b, 0.5 * op.index(b, -1, spec=(part(False, True),)), 1, spec=(part(True, False),))


def _update_gathered(op, b, i):
    return op("store", b, op.index(b, i, spec=(("array",),)) + 1.0, i, spec=(("array",),))

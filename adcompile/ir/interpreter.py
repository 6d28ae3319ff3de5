"""Runs a trace equation by equation with NumPy: the oracle for every later stage.

Slow and obviously right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adcompile.ir.core import Atom, Block, Const, Eqn, Trace, Value

Evaluate = Callable[[Eqn, Sequence[Any]], tuple[Any, ...]]


def interpret(trace: Trace, args: Sequence[Any], evaluate: Evaluate, constant: Callable[[Any, Any], Any]) -> tuple:
    """The results of ``trace``; ``evaluate`` computes one equation, ``constant`` makes a number of a type."""
    return _Interpreter(evaluate, constant).block(trace.block, args, {})


def record(trace: Trace, args: Sequence[Any], evaluate: Evaluate, constant: Callable[[Any, Any], Any]) -> dict:
    """The value of every SSA value of the outermost block."""
    values: dict[Value, Any] = {}
    _Interpreter(evaluate, constant).block(trace.block, args, values)
    return values


class _Interpreter:
    """Holds the two functions; environments are plain dictionaries that regions extend."""

    def __init__(self, evaluate: Evaluate, constant: Callable[[Any, Any], Any]):
        self.evaluate, self.constant = evaluate, constant

    def block(self, block: Block, args: Sequence[Any], env: dict[Value, Any]) -> tuple:
        env.update(zip(block.params, args, strict=True))
        for eqn in block.eqns:
            env.update(zip(eqn.outs, self.equation(eqn, env), strict=True))
        return tuple(self.read(r, env) for r in block.results)

    def read(self, atom: Atom, env: Mapping[Value, Any]) -> Any:
        return self.constant(atom.value, atom.type) if isinstance(atom, Const) else env[atom]

    def equation(self, eqn: Eqn, env: dict[Value, Any]) -> tuple:
        values = [self.read(a, env) for a in eqn.args]
        control = {"if": self.branch, "loop": self.loop, "while": self.repeat, "checkpoint": self.inside}.get(eqn.op)
        if control is not None:
            return control(eqn, values, env)
        return self.evaluate(eqn, values)

    def inside(self, eqn: Eqn, values: list, env: dict[Value, Any]) -> tuple:
        return self.block(eqn.regions[0], values, dict(env))

    def branch(self, eqn: Eqn, values: list, env: dict[Value, Any]) -> tuple:
        then, otherwise = eqn.regions
        return self.block(then if values[0] else otherwise, (), dict(env))

    def loop(self, eqn: Eqn, values: list, env: dict[Value, Any]) -> tuple:
        start, stop, step, *carried = values
        for index in range(int(start), int(stop), int(step)):
            carried = self.block(eqn.regions[0], (index, *carried), dict(env))
        return tuple(carried)

    def repeat(self, eqn: Eqn, values: list, env: dict[Value, Any]) -> tuple:
        condition, body = eqn.regions
        carried: Sequence[Any] = values
        while self.block(condition, carried, dict(env))[0]:
            carried = self.block(body, carried, dict(env))
        return tuple(carried)

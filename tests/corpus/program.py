"""What a corpus program is, and the decorator that enters a function into the corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """A function whose derivatives are checked.

    Attributes
    ----------
    args : positional arguments from a random generator.
    argnums : the arguments to differentiate with respect to, of a program that returns one float; else None.
    tags : ``float32`` (looser tolerances), ``writes`` (writes into its arguments), ``once`` (no second derivative),
        ``transforms`` (the function calls transforms, so that CPython's result is compiled code's too),
        ``rounded`` (sums in another order than NumPy), ``numba`` (run on that backend too).
    """

    name: str
    function: Callable[..., Any]
    args: Callable[[np.random.Generator], tuple[Any, ...]]
    tags: frozenset[str] = frozenset()
    argnums: int | tuple[int, ...] | None = None

    def arguments(self, seed: int = 0) -> tuple[Any, ...]:
        """The arguments of a seed: the same at every call."""
        return self.args(np.random.default_rng([seed, *self.name.encode()]))


PROGRAMS: list[Program] = []


def program(args: Callable[[np.random.Generator], tuple[Any, ...]], *tags: str):
    """Enter the decorated function into the corpus with a generator of arguments."""

    def enter(function: Any) -> Any:
        add(function.__name__, function, args, *tags)
        return function

    return enter


def add(
    name: str,
    function: Any,
    args: Callable[[np.random.Generator], tuple[Any, ...]],
    *tags: str,
    argnums: int | tuple[int, ...] | None = None,
) -> None:
    """Enter a callable that is no plain ``def`` (a lambda, a partial, a bound method)."""
    if any(p.name == name for p in PROGRAMS):
        raise ValueError(f"two corpus programs are called {name}")
    PROGRAMS.append(Program(name, function, args, frozenset(tags), argnums))


def scalar(args: Callable[[np.random.Generator], tuple[Any, ...]], argnums: int | tuple[int, ...] = 0, *tags: str):
    """Enter the decorated function, which returns one float, with the arguments to differentiate it by."""

    def enter(function: Any) -> Any:
        add(function.__name__, function, args, *tags, argnums=argnums)
        return function

    return enter


def vector(n: int = 5):
    """One float64 array of n elements."""
    return lambda r: (r.normal(size=n),)


def normals(*shapes: Any):
    """Float64 arguments of the given shapes; a float for ``()``, an array of n for an int."""
    return lambda r: tuple(r.normal() if s == () else r.normal(size=s) for s in shapes)


def positives(*shapes: Any):
    """The same with values between 0.5 and 2."""
    return lambda r: tuple(r.uniform(0.5, 2.0) if s == () else r.uniform(0.5, 2.0, size=s) for s in shapes)


def singles(*shapes: Any):
    """Float32 arguments."""
    return lambda r: tuple(np.float32(r.normal()) if s == () else r.normal(size=s).astype(np.float32) for s in shapes)

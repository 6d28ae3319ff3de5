"""What there is to look at: the traces of one specialisation, and the values of a call where one was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.ir import Trace
from adcompile.modes import Mode


@dataclass(frozen=True, eq=False)
class Subject:
    """One specialisation of a transform.

    Attributes
    ----------
    function : the user's function.
    mode : what was asked of it.
    primal, program : the traces of the function and of what was asked.
    chosen : positions of the float params that ``argnums`` names; all of the arguments' where there is no ``argnums``.
    varied : positions of all float params that are arguments.
    values : one value per param of ``primal``; None where only types are known.
    """

    function: Callable[..., Any]
    mode: Mode
    primal: Trace
    program: Trace
    chosen: tuple[int, ...]
    varied: tuple[int, ...]
    values: Sequence[Any] | None

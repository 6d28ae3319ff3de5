"""How many threads programs compiled with ``parallel=True`` run on: a number of the process, as in Numba.

`COUNT` is the memory cell that compiled code reads when it meets a parallel loop: a new number compiles nothing.
"""

from __future__ import annotations

import ctypes
import os

from adcompile.errors import InvalidArgument

VARIABLE = "ADCOMPILE_NUM_THREADS"
"""The environment variable with the number of threads that a process begins with."""
MOST = 1024


def _available() -> int:
    """The processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _initial() -> int:
    """What the environment asks for, or every available processor."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return min(_available(), MOST)
    return _checked(int(text) if text.isdecimal() else text, VARIABLE)


def _checked(n: object, what: str) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST:
        raise InvalidArgument(f"{what} is {n!r}, no number of threads", remedy=f"Use an integer from 1 to {MOST}.")
    return n


COUNT = ctypes.c_int64(0)
"""The number of threads; 0 until somebody asks."""


def get_num_threads() -> int:
    """The number of threads that loops of programs compiled with ``parallel=True`` are shared among.

    Returns
    -------
    int
        What `set_num_threads` was given last; before that ``ADCOMPILE_NUM_THREADS`` of the environment, or as many as
        there are processors that the process may use.

    Raises
    ------
    InvalidArgument
        If the environment variable is no integer from 1 to 1024.

    Examples
    --------
    >>> import adcompile
    >>> adcompile.set_num_threads(2)
    >>> adcompile.get_num_threads()
    2
    """
    if not COUNT.value:
        COUNT.value = _initial()
    return COUNT.value


def set_num_threads(n: int) -> None:
    """Choose how many threads loops of programs compiled with ``parallel=True`` are shared among.

    Parameters
    ----------
    n : int
        From 1 to 1024, for all threads of the process; it may be more than there are processors. Nothing is compiled
        again.

    Raises
    ------
    InvalidArgument
        If ``n`` is no such number.

    Notes
    -----
    Results depend on the number of threads to rounding, where a loop adds numbers up: each thread adds its share, and
    the shares are added in the order of the threads. They do not depend on how the threads are scheduled.
    """
    COUNT.value = _checked(n, "the argument of set_num_threads")


__all__ = ["COUNT", "get_num_threads", "set_num_threads"]

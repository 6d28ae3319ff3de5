"""The table of views against what NumPy's results really share with their arguments."""

from __future__ import annotations

import numpy as np
import pytest

from adcompile.primitives import ATTRIBUTES, EXPANSIONS, METHODS, VIEWS
from tests.primitives.calls import flat

M = np.arange(12.0).reshape(3, 4)
S = np.arange(1.0, 17.0).reshape(4, 4)


def shares(name, x):
    """Whether NumPy's result of a view-like call shares memory with its argument."""
    if isinstance(name, type):
        x = x.astype(name)
    if isinstance(name, str):
        found = getattr(x, name)
        args = {"reshape": (-1,), "swapaxes": (0, 1)}.get(name, ())
        return np.shares_memory(x, found(*args) if callable(found) else found)
    return any(np.shares_memory(x, part) for part in flat(name(x, *VIEW_ARGUMENTS.get(name, ()))))


VIEW_ARGUMENTS = {
    np.reshape: (-1,), np.swapaxes: (0, 1), np.moveaxis: (0, 1), np.expand_dims: (0,), np.split: (1,),
    np.broadcast_to: ((2, 3, 4),),
}  # fmt: skip


COPIERS = sorted(
    (g for g in EXPANSIONS if getattr(np, getattr(g, "__name__", ""), None) is g and g not in VIEWS),
    key=lambda g: g.__name__,
)


def test_views_are_those_that_share_memory():
    assert all(shares(name, M.copy()) for name in VIEWS)


@pytest.mark.parametrize("function", COPIERS, ids=lambda g: g.__name__)
def test_nothing_else_shares_memory(function):
    x = np.abs(S) % 0.9
    try:
        with np.errstate(all="ignore"):
            results = flat(function(x))
    except (TypeError, ValueError):
        return
    assert not any(np.shares_memory(x, r) for r in results if isinstance(r, np.ndarray))


@pytest.mark.parametrize("name", sorted(set(METHODS) | set(ATTRIBUTES)))
def test_other_methods_share_no_memory(name):
    x = S.copy()
    found = getattr(x, name)
    try:
        result = found() if callable(found) else found
    except (TypeError, ValueError):
        return
    shared = isinstance(result, np.ndarray) and np.shares_memory(x, result)
    assert shared == (name in VIEWS)

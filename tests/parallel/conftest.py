"""Every loop is shared, however short, and the number of threads is what it was before."""

import pytest

import adcompile
from adcompile.backend.llvm import regions


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Loops are shared whatever their work; tests of the choice itself set the bounds back."""
    before = adcompile.get_num_threads()
    monkeypatch.setattr(regions, "LEAST", 0.0)
    monkeypatch.setattr(regions, "PRIVATE", 0.0)
    yield
    adcompile.set_num_threads(before)

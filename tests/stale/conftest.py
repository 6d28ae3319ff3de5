"""A fixture of the tests of changed surroundings."""

import pytest


@pytest.fixture
def change(monkeypatch, request):
    """Rebinds a global of the test's module until the test ends."""
    return lambda name, value: monkeypatch.setitem(vars(request.module), name, value)

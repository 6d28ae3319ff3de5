"""Fixtures of the tests of programs on disk: a cache of their own, and modules that are written and loaded anew."""

import importlib.util
import linecache
import sys

import pytest

from adcompile import api


@pytest.fixture(autouse=True)
def programs_on_disk(tmp_path, monkeypatch):
    """A folder of its own for every test, in use."""
    monkeypatch.setenv("ADCOMPILE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def traces(monkeypatch):
    """The names of the functions that were traced so far."""
    traced, trace = [], api.trace
    monkeypatch.setattr(api, "trace", lambda f, *rest: traced.append(getattr(f, "__name__", "")) or trace(f, *rest))
    return traced


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write modules and load them as a fresh process would: nothing is shared with what was loaded before."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)

    def loaded(text, helper="", name="user"):
        (tmp_path / "helper.py").write_text(helper)
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\nimport adcompile\n{text}\n")
        linecache.clearcache()
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "helper", raising=False)
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return loaded

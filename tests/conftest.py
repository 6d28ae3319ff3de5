"""Options of the test suite."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from what is generated now")


@pytest.fixture(autouse=True)
def programs_on_disk(monkeypatch):
    """Every test traces: what an earlier run left on disk is not looked at. `tests/recall` has a fixture of its own."""
    from adcompile import recall

    monkeypatch.setattr(recall, "ask", lambda *about: None)


@pytest.fixture
def verified(monkeypatch):
    """Run the IR verifier on every trace that a test makes: primal, derivative, and lowered."""
    import adcompile.lower
    from adcompile import api
    from adcompile.ir.verifier import verify
    from adcompile.primitives.evaluate import infer

    trace, compile_program, lower = api.trace, api.compile_program, adcompile.lower.lower

    def checked_trace(*args, **keywords):
        traced = trace(*args, **keywords)
        verify(traced.trace, infer)
        return traced

    def checked_compile(program, options):
        return compile_program(verify(program, infer), options)

    monkeypatch.setattr(api, "trace", checked_trace)
    monkeypatch.setattr(api, "compile_program", checked_compile)
    monkeypatch.setattr(adcompile.lower, "lower", lambda program, **options: verify(lower(program, **options), infer))

"""The text of every stage between the user's function and machine code, as the pipeline makes it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from adcompile.backend import python
from adcompile.codegen import emit
from adcompile.inspect.subject import Subject
from adcompile.lower import executable, lower


def source(subject: Subject) -> str:
    """The readable Python of the program."""
    return python.source(subject.program).text


def stages(subject: Subject, fastmath: bool = False, backend: str = "llvm") -> dict[str, str]:
    """Stage → text, in the order of the pipeline."""
    return {name: text(subject, fastmath) for name, text in (CUDA_STAGES if backend == "cuda" else STAGES).items()}


def stage(subject: Subject, name: str, fastmath: bool = False) -> str:
    """The text of one stage, of the CPU's or of the GPU's."""
    return {**CUDA_STAGES, **STAGES}[name](subject, fastmath)


def _user_source(subject: Subject, fastmath: bool) -> str:
    function: Any = subject.function
    while hasattr(function, "mode"):  # a transform of a transform
        function = function.function
    try:
        return textwrap.dedent(inspect.getsource(getattr(function, "py_func", function)))
    except (OSError, TypeError):
        return f"# {getattr(function, '__name__', function)} has no Python source\n"


def _native(name: str) -> Callable[[Subject, bool], str]:
    def text(subject: Subject, fastmath: bool) -> str:
        from adcompile.backend import llvm

        return llvm.emit(executable(subject.program), fastmath=fastmath, stage=name)

    return text


def _kernels(subject: Subject, fastmath: bool) -> str:
    from adcompile.backend import cuda

    return cuda.source(lower(subject.program, vectors=False)).text


def _ptx(subject: Subject, fastmath: bool) -> str:
    from adcompile.backend import cuda

    return cuda.ptx(cuda.source(lower(subject.program, vectors=False)), fastmath=fastmath)


_COMMON: dict[str, Callable[[Subject, bool], str]] = {
    "user source": _user_source,
    "trace": lambda subject, fastmath: str(subject.primal),
    "derivative": lambda subject, fastmath: str(subject.program),
    "source": lambda subject, fastmath: source(subject),
}
STAGES: dict[str, Callable[[Subject, bool], str]] = {
    **_COMMON,
    "lowered": lambda subject, fastmath: emit(executable(subject.program)).text,
    "llvm": _native("llvm"),
    "optimized llvm": _native("optimised"),
    "assembly": _native("assembly"),
}
"""The name of each stage and what writes it."""
CUDA_STAGES: dict[str, Callable[[Subject, bool], str]] = {**_COMMON, "kernels": _kernels, "ptx": _ptx}
"""The same for a GPU."""

"""The text of every stage between the user's function and machine code, as the pipeline makes it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from adcompile.api import Options
from adcompile.backend import python
from adcompile.codegen import emit
from adcompile.inspect.subject import Subject
from adcompile.ir import Trace
from adcompile.lower import executable, lower

DEFAULT = Options()


def source(subject: Subject) -> str:
    """The readable Python of the program."""
    return python.source(subject.program).text


def stages(subject: Subject, options: Options = DEFAULT) -> dict[str, str]:
    """Stage → text, in the order of the pipeline."""
    table = CUDA_STAGES if options.backend == "cuda" else STAGES
    return {name: text(subject, options) for name, text in table.items()}


def stage(subject: Subject, name: str) -> str:
    """The text of one stage, of the CPU's or of the GPU's."""
    return {**CUDA_STAGES, **STAGES}[name](subject, DEFAULT)


def _user_source(subject: Subject, options: Options) -> str:
    function: Any = subject.function
    while hasattr(function, "mode"):  # a transform of a transform
        function = function.function
    try:
        return textwrap.dedent(inspect.getsource(getattr(function, "py_func", function)))
    except (OSError, TypeError):
        return f"# {getattr(function, '__name__', function)} has no Python source\n"


def _lowered(subject: Subject, options: Options) -> Trace:
    """The program as the llvm backend compiles it."""
    return executable(subject.program, threads=options.parallel)


def _native(name: str) -> Callable[[Subject, Options], str]:
    def text(subject: Subject, options: Options) -> str:
        from adcompile.backend import llvm

        return llvm.emit(_lowered(subject, options), fastmath=options.fastmath, stage=name)

    return text


def _kernels(subject: Subject, options: Options) -> str:
    from adcompile.backend import cuda

    return cuda.source(lower(subject.program, vectors=False)).text


def _ptx(subject: Subject, options: Options) -> str:
    from adcompile.backend import cuda

    return cuda.ptx(cuda.source(lower(subject.program, vectors=False)), fastmath=options.fastmath)


_COMMON: dict[str, Callable[[Subject, Options], str]] = {
    "user source": _user_source,
    "trace": lambda subject, options: str(subject.primal),
    "derivative": lambda subject, options: str(subject.program),
    "source": lambda subject, options: source(subject),
}
STAGES: dict[str, Callable[[Subject, Options], str]] = {
    **_COMMON,
    "lowered": lambda subject, options: emit(_lowered(subject, options)).text,
    "llvm": _native("llvm"),
    "optimized llvm": _native("optimised"),
    "assembly": _native("assembly"),
}
"""The name of each stage and what writes it."""
CUDA_STAGES: dict[str, Callable[[Subject, Options], str]] = {**_COMMON, "kernels": _kernels, "ptx": _ptx}
"""The same for a GPU."""

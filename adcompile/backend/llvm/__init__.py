"""Compiles a trace of the loop dialect to native code through LLVM; llvmlite is imported on first use.

`compile` returns a `Compiled` whose ``call`` is a C function: flat arguments to a tuple of flat results, or
``NotImplemented`` where an argument does not have exactly the type that the trace was compiled for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import entry
from adcompile.backend.llvm.code import Module
from adcompile.backend.llvm.emit import Kernel
from adcompile.backend.llvm.linking import ENTRY, Linkage, link
from adcompile.backend.llvm.repeats import repeated
from adcompile.ir import Trace
from adcompile.ir.core import walk


@dataclass(frozen=True)
class Compiled:
    """Native code of a trace.

    Attributes
    ----------
    call : the C function; see `compile`.
    trace : what was compiled.
    text : its LLVM IR before optimisation.
    linkage : what makes ``call`` of its object code.
    """

    call: Callable[..., Any]
    trace: Trace
    text: str
    linkage: Linkage


def compile(trace: Trace, *, fastmath: bool = False, cache: bool = True, bare: bool = False) -> Compiled:
    """Compile a trace of the loop dialect.

    Parameters
    ----------
    trace : Trace
        In the loop dialect; see docs/design/architecture.md.
    fastmath : bool
        Let LLVM reorder floating-point operations and ignore the sign of zero; NaN and inf keep their meaning.
    cache : bool
        Read and write object code in ``$ADCOMPILE_CACHE_DIR`` or ``~/.cache/adcompile``.
    bare : bool
        Return a single result itself instead of a tuple of one: the fastest entry for a function of one result.

    Returns
    -------
    Compiled
        ``call(*args)`` returns a tuple of flat results (Python numbers for weak scalars, NumPy scalars for others,
        fresh arrays), or ``NotImplemented``, having done nothing, unless every argument has exactly the type, dtype,
        rank and contiguity of its parameter.

    Raises
    ------
    MissingRule
        An equation is not in the loop dialect.

    Notes
    -----
    ``call`` raises `ShapeMismatch`, IndexError, ZeroDivisionError, ValueError or MemoryError with the user's line.
    The order of sums is not kept: an addition into a loop-carried sum may be reassociated to vectorise it.
    """
    from adcompile.backend.llvm import engine

    text, names, failures = _emit(trace, fastmath, bare)
    level = _level(trace)
    file = engine.object_name(text, level) if cache else None
    linkage = Linkage(trace.name, file, tuple(names), tuple(failures))
    return Compiled(link(linkage, engine.object_code(text, level, cache)), trace, text, linkage)


def emit(trace: Trace, *, fastmath: bool = False, stage: str = "llvm") -> str:
    """The text of a trace at a stage: ``"llvm"``, ``"optimised"`` LLVM IR, or ``"assembly"`` of the host."""
    from adcompile.backend.llvm import engine

    text, _, _ = _emit(trace, fastmath, bare=False)
    if stage == "llvm":
        return text
    module = engine.optimise(engine.parse(text), _level(trace))
    return {"optimised": str, "assembly": engine.assembly}[stage](module)


def _emit(trace: Trace, fastmath: bool, bare: bool) -> tuple[str, list[str], list[Failure]]:
    """The LLVM IR of a trace, the names of its table, and its failures by number."""
    module = Module(fastmath)
    kernel = Kernel(trace, module, repeated=repeated(trace.block))
    functions = [kernel.emit(), entry.emit(trace, module, entry.slot_count(trace), bare)]
    for name, text in zip(("kernel", ENTRY), functions, strict=True):
        module.functions[name] = text
    return module.text(), list(module.addresses), kernel.failures


def _level(trace: Trace) -> int:
    """How much to optimise."""
    from adcompile.backend.llvm import engine

    looping = any(eqn.op in ("loop", "while", "gemm") for eqn in walk(trace.block))
    return engine.LOOPS if looping else engine.STRAIGHT


__all__ = ["Compiled", "compile", "emit"]

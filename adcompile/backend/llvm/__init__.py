"""Compiles a trace of the loop dialect to native code through LLVM; llvmlite is imported on first use.

`compile` returns a `Compiled` whose ``call`` is a C function: flat arguments to a tuple of flat results, or
``NotImplemented`` where an argument does not have exactly the type that the trace was compiled for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import entry
from adcompile.backend.llvm.code import Module
from adcompile.backend.llvm.emit import Kernel
from adcompile.ir import Trace
from adcompile.ir.core import walk

_METH_FASTCALL = 0x0080
_ENTRY, _TABLE = "adcompile_entry", "adcompile_table"


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Compiled:
    """Native code of a trace.

    Attributes
    ----------
    call : the C function; see `compile`.
    trace : what was compiled.
    text : its LLVM IR before optimisation.
    """

    call: Callable[..., Any]
    trace: Trace
    text: str


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
    from adcompile.backend.llvm import addresses, engine

    text, names, failures = _emit(trace, fastmath, bare)
    library = engine.load(engine.object_code(text, _has_loops(trace), cache), (_ENTRY, _TABLE))
    fail = _failing(failures)
    engine.fill(library[_TABLE], [addresses.find(name, fail, cache) for name in names])
    return Compiled(_function(trace.name, library[_ENTRY], (library, fail)), trace, text)


def emit(trace: Trace, *, fastmath: bool = False, stage: str = "llvm") -> str:
    """The text of a trace at a stage: ``"llvm"``, ``"optimised"`` LLVM IR, or ``"assembly"`` of the host."""
    from adcompile.backend.llvm import engine

    text, _, _ = _emit(trace, fastmath, bare=False)
    if stage == "llvm":
        return text
    module = engine.optimise(engine.parse(text), _has_loops(trace))
    return {"optimised": str, "assembly": engine.assembly}[stage](module)


def _emit(trace: Trace, fastmath: bool, bare: bool) -> tuple[str, list[str], list[Failure]]:
    """The LLVM IR of a trace, the names of its table, and its failures by number."""
    module = Module(fastmath)
    kernel = Kernel(trace, module)
    functions = [kernel.emit(), entry.emit(trace, module, entry.slot_count(trace), bare)]
    for name, text in zip(("kernel", _ENTRY), functions, strict=True):
        module.functions[name] = text
    return module.text(), list(module.addresses), kernel.failures


def _has_loops(trace: Trace) -> bool:
    return any(eqn.op in ("loop", "while", "gemm") for eqn in walk(trace.block))


def _failing(failures: Sequence[Failure]) -> Callable[[int, int, int], None]:
    """The function that the entry calls with the number of a failure and its details."""

    def fail(number: int, a: int, b: int) -> None:
        failures[number - 1].fail(a, b)

    return fail


def _function(name: str, address: int, owned: tuple) -> Callable[..., Any]:
    """A built-in function of a C address; it keeps what its code needs alive."""
    method = _MethodDef(name.encode(), address, _METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    return make(ctypes.addressof(method), (*owned, method), None)


__all__ = ["Compiled", "compile", "emit"]

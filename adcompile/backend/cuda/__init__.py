"""The CUDA backend: the lowered trace as numba.cuda kernels, launched by a sequential host program.

NumPy arguments are copied to the device and results back; where an argument is on the device already (whatever has
``__cuda_array_interface__``), results stay there. Numba is imported on first use; without a GPU a call says so.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.backend.failures import Failure
from adcompile.backend.python import last_line, located, register
from adcompile.codegen.cuda import Module, Sizes, emit
from adcompile.codegen.device import emit_function
from adcompile.errors import InvalidArgument, MissingDevice
from adcompile.frontend.tracer import is_on_device
from adcompile.ir import Array, Eqn, Scalar, Trace, Type
from adcompile.ir.core import walk
from adcompile.lower.kernels import kernels
from adcompile.primitives.runtime import NAMESPACE
from adcompile.source import SourceLoc

_SIMULATED = Sizes(threads=8, tile=4, near=5, few=2)
"""The simulator makes a Python thread of each thread."""
_ADVICE = 'Install the extra "cuda12" or "cuda13" on a machine with an NVIDIA GPU, or use backend="llvm".'


class _Noted(Exception):
    """Carries the exception of a check in a kernel, which has its place already."""


def compile(trace: Trace, *, fastmath: bool = False) -> Callable[..., tuple[Any, ...]]:
    """A function from flat arguments to a tuple of flat results; kernels are compiled when they are first launched.

    Parameters
    ----------
    trace : Trace
        In the loop dialect.
    fastmath : bool
        Approximate division, square roots and elementary functions.

    Raises
    ------
    MissingDevice
        At a call: there is no GPU.
    """
    program = functools.cache(lambda: _program(trace, fastmath))

    def run(*args: Any) -> tuple[Any, ...]:
        module, function = program()
        on_device = any(is_on_device(a) for a in args)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Grid size .* will likely result in GPU under-utilization")
                found = function(*map(_to_device, args))
        except _Noted as noted:
            raise noted.args[0] from None
        except (ValueError, IndexError, ArithmeticError) as error:
            found = located(error, module, last_line(error, module))
            raise found from (None if found is error else error)
        except ImportError as error:  # Numba's NvvmSupportError, when the first kernel is compiled
            raise MissingDevice(f"there is no CUDA compiler for Numba: {error}", _place(trace), _ADVICE) from error
        return tuple(_result(v, r.type, on_device) for v, r in zip(found, trace.results, strict=True))

    return run


def _program(trace: Trace, fastmath: bool) -> tuple[Module, Callable[..., Any]]:
    """The module of a trace, and the host's function."""
    module = emit(kernels(trace), _SIMULATED if require_device(trace) else None)
    return module, load(module, fastmath)[module.name]


def source(trace: Trace) -> Module:
    """The generated module of a trace of the loop dialect, as a GPU would get it."""
    return emit(kernels(trace))


def function(trace: Trace) -> Callable[..., Any]:
    """A device function of a trace of the loop dialect, for the user's own kernels."""
    import math

    from numba import cuda

    from adcompile.backend.cuda import device, simulated

    written = emit_function(trace)
    space = {**vars(device), "np": np, "math": simulated if is_simulated() else math, "cuda": cuda}
    exec(register(written), space)
    jit: Any = cuda.jit
    return jit(device=True, inline="always")(space[written.name])


def ptx(module: Module, *, capability: tuple[int, int] = (9, 0), fastmath: bool = False) -> str:
    """The PTX of a module's kernels, in order; it takes NVIDIA's compiler libraries but no GPU.

    Raises
    ------
    MissingDevice
        The libraries are not installed.
    """
    from adcompile.backend.cuda.compiler import text

    space = load(module)
    return "\n".join(text(k, space[k.name].py_func, capability=capability, fastmath=fastmath) for k in module.kernels)


def load(module: Module, fastmath: bool = False) -> dict[str, Any]:
    """The names of a generated module: its kernels, and the host's function."""
    from numba import cuda

    failures = [_failure(check) for check in module.checks]

    def raise_failure(failed: Any) -> None:
        """Raise what a kernel noted."""
        number, a, b = map(int, failed.copy_to_host())
        if number:
            try:
                failures[number - 1].fail(a, b)
            except Exception as error:
                raise _Noted(error) from None

    space: dict[str, Any] = {
        **NAMESPACE,
        "__name__": f"adcompile.generated.{module.name}",
        "raise_failure": raise_failure,
    }
    exec(register(module), space)
    if is_simulated():
        from adcompile.backend.cuda import simulated

        space["math"] = simulated
    elif fastmath:
        for kernel in module.kernels:
            space[kernel.name] = cuda.jit(fastmath=True)(space[kernel.name].py_func)
    return space


def require_device(trace: Trace) -> bool:
    """Raise unless kernels can run; whether they run in Numba's simulator."""
    try:
        from numba import cuda
    except ImportError as error:
        raise MissingDevice(f"numba.cuda cannot be imported: {error}", _place(trace), _ADVICE) from error
    if not cuda.is_available():
        raise MissingDevice("no CUDA GPU and driver were found", _place(trace), _ADVICE)
    return is_simulated()


def _place(trace: Trace) -> SourceLoc | None:
    """The first line of the user's."""
    return next((e.loc for e in walk(trace.block) if e.loc), None)


def is_simulated() -> bool:
    """Whether Numba's simulator stands for the GPU."""
    from numba import config

    return bool(getattr(config, "ENABLE_CUDASIM", False))


def _failure(check: Eqn) -> Failure:
    kinds = {"check_index": "index", "check_nonzero": "zero"}
    kind = kinds.get(check.op) or f"raise {check.attrs['error']}"
    return Failure(kind, check.loc, check.attrs.get("message", ""))


def _to_device(value: Any) -> Any:
    """An argument as the host program takes it: arrays on the device, C-contiguous."""
    from numba import cuda

    if isinstance(value, np.ndarray):
        return cuda.to_device(value)
    if not hasattr(value, "__cuda_array_interface__"):
        return value
    array = cuda.as_cuda_array(value)
    if not array.is_c_contiguous():
        raise InvalidArgument("an array on the GPU is not C-contiguous", remedy="Pass a contiguous copy of it.")
    return array


def _result(value: Any, type: Type, on_device: bool) -> Any:
    """A result as its type says: numbers are Python's or NumPy's, arrays where the arguments are."""
    if isinstance(type, Array):
        return value if on_device else value.copy_to_host()
    if isinstance(type, Scalar) and type.weak:
        return {"float64": float, "int64": int, "bool": bool}[type.dtype](value)
    return np.dtype(type.dtype).type(value)


__all__: Sequence[str] = ("compile", "function", "load", "ptx", "require_device", "source")

"""PTX of generated kernels for a GPU that need not be there: NVIDIA's compiler libraries are enough."""

from __future__ import annotations

from typing import Any

from adcompile.codegen.cuda import Kernel
from adcompile.errors import MissingDevice
from adcompile.ir import Array, Type

CAPABILITY = (9, 0)
"""The compute capability of sm_90."""


def text(kernel: Kernel, function: Any, *, capability: tuple[int, int] = CAPABILITY, fastmath: bool = False) -> str:
    """The PTX of a kernel, given as a plain Python function."""
    import numba.cuda

    cuda: Any = numba.cuda
    if cuda.compile_ptx is None:
        raise MissingDevice("Numba's simulator makes no PTX", remedy="Unset NUMBA_ENABLE_CUDASIM.")
    try:
        found, _ = cuda.compile_ptx(function, tuple(map(numba_type, kernel.params)), cc=capability, fastmath=fastmath)
    except (ImportError, OSError, RuntimeError) as error:
        advice = 'Install the extra "cuda-test", "cuda12" or "cuda13".'
        raise MissingDevice(f"there is no CUDA compiler for Numba: {error}", remedy=advice) from error
    return found


def numba_type(type: Type) -> Any:
    """Numba's name of a type; arrays are C-contiguous."""
    from numba import types

    scalar = getattr(types, "boolean" if type.dtype == "bool" else type.dtype)
    return types.Array(scalar, type.rank, "C") if isinstance(type, Array) else scalar

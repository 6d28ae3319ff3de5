"""The addresses that compiled modules find in their table: CPython's and NumPy's C API, types, BLAS, the runtime."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from adcompile.backend.llvm import blas, engine

_ARRAY_API = {"PyArray_NewFromDescr": 94, "PyArray_EquivTypes": 182}
_DEFAULT_HANDLER = 306


@functools.cache
def _array_api() -> Any:
    """NumPy's table of C functions."""
    from numpy._core import multiarray

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.cast(pointer(multiarray._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))


_OBJECTS: dict[str, Any] = {
    "NotImplemented": NotImplemented,
    "True": True,
    "False": False,
    "numpy True": np.True_,
    "numpy False": np.False_,
    "float": float,
    "int": int,
    "ndarray": np.ndarray,
}


def find(name: str, fail: Callable[..., None], cache: bool) -> int:
    """The address of a name of the table; ``fail`` is the function that raises, ``cache`` as in `compile`."""
    if name == "fail":
        return id(fail)
    if name in _OBJECTS:
        return id(_OBJECTS[name])
    if name.startswith("scalar "):
        return id(np.dtype(name[7:]).type)
    if name.startswith("dtype "):
        return id(np.dtype(name[6:]))
    if name.startswith("adcompile_"):
        return engine.runtime_addresses(cache)[name]
    return _function(name)


@functools.cache
def _function(name: str) -> int:
    if name in _ARRAY_API:
        return _array_api()[_ARRAY_API[name]]
    if name == "memory handler":
        return ctypes.c_void_p.from_address(_array_api()[_DEFAULT_HANDLER]).value or 0
    if name in ("blas get threads", "blas set threads"):
        return (blas.thread_control() or (0, 0))[name == "blas set threads"]
    if name.startswith("blas "):
        return blas.address(name[5:])
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0

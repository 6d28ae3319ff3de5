"""What the host part of a generated module calls: arrays on the device, sizes of grids, and failures of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

MOST_BLOCKS = 4096
"""A grid has no more blocks than keep any GPU busy; threads take several iterations then."""

BUSY = 264
"""Blocks that keep a large GPU busy."""


def empty_array(shape: tuple[int, ...], dtype: Any) -> Any:
    """A new array on the device, its elements undefined."""
    return cuda.device_array(shape, dtype)


def copied(array: Any) -> Any:
    """A new array on the device with the same elements."""
    new = cuda.device_array(array.shape, array.dtype)
    if new.size:
        new.copy_to_device(array)
    return new


def box(start: Any, dtype: Any) -> Any:
    """A number on the device: an array of one element, undefined where ``start`` is None."""
    return cuda.device_array(1, dtype) if start is None else cuda.to_device(np.full(1, start, dtype))


def clear(array: Any) -> None:
    """Set every element to zero."""
    array.copy_to_device(np.zeros(array.shape, array.dtype))


def blocks(count: int, threads: int, most: int = MOST_BLOCKS) -> int:
    """How many blocks a grid has for a number of iterations."""
    return max(1, min(-(-count // threads), most))


def tiles(c: Any, tile: int, inner: int = 0) -> tuple[int, int, int]:
    """How many tiles a matrix has along either side, and in how many strips the inner dimension of a product is cut."""
    rows, columns = (max(1, -(-size // tile)) for size in c.shape)
    strips = min(-(-inner // (4 * tile)), BUSY // (rows * columns))
    return rows, columns, max(1, strips)


def no_failure() -> Any:
    """Where kernels note the number of a check that failed, and two integers."""
    return cuda.to_device(np.zeros(3, np.int64))

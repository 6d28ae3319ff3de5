"""What stands for a GPU in tests: its memory are NumPy arrays, its kernels whatever a `Device` makes of their text."""

import contextlib
from unittest import mock

import numpy as np

from adcompile.backend import cuda
from adcompile.backend.cuda import host
from adcompile.codegen.cuda import Sizes, emit
from adcompile.lower.kernels import kernels

SMALL = Sizes(threads=8, tile=4, near=5, few=2)
"""Blocks so small that few elements fill several."""


class OnDevice(np.ndarray):
    """An array in the memory that stands for a GPU's."""

    def copy_to_host(self):
        return np.array(self)


class Device:
    """The host's functions on NumPy arrays; a subclass says what a kernel is.

    ``order`` is the order in which threads and blocks run: None, "descending", or a seed.
    """

    def __init__(self, order=None):
        self.order = order

    def empty(self, shape, dtype):
        """An array that nobody has written yet."""
        return np.full(shape, -77, dtype).view(OnDevice)

    def clear(self, array):
        """Set every element to zero."""
        array[...] = 0

    def box(self, start, dtype):
        """A number on the device, perhaps not written yet."""
        return self.empty(1, dtype) if start is None else np.full(1, start, dtype).view(OnDevice)

    def host(self):
        """What a generated module imports from `adcompile.backend.cuda.host`."""
        return {
            "blocks": host.blocks,
            "box": self.box,
            "clear": self.clear,
            "copied": lambda array: np.array(array).view(OnDevice),
            "empty_array": self.empty,
            "no_failure": lambda: np.zeros(3, np.int64).view(OnDevice),
            "tiles": host.tiles,
        }

    def permuted(self, count):
        """The numbers of threads or blocks in the order in which they run."""
        if self.order is None or self.order == "descending":
            return np.arange(count, dtype=np.int32)[:: -1 if self.order else 1].copy()
        return np.random.default_rng(self.order).permutation(count).astype(np.int32)

    def load(self, module):
        """The names of a generated module."""
        raise NotImplementedError

    def run(self, module, *arguments):
        """The results of a module's host function."""
        with np.errstate(all="ignore"):
            return self.load(module)[module.name](*arguments)


@contextlib.contextmanager
def standing_in(device, sizes=SMALL):
    """Inside, programs of the cuda backend run on a device."""

    def program(trace, fastmath):
        module = emit(kernels(trace), sizes)
        return module, device.load(module)[module.name]

    def moved(value):
        return value.view(OnDevice) if isinstance(value, np.ndarray) else value

    with mock.patch.multiple(cuda, _program=program, _to_device=moved):
        yield


def fingerprint(function):
    """What the code of a kernel depends on besides the types of its arguments; not its name."""
    code, known = function.__code__, function.__globals__
    sizes = [(name, value) for name, value in sorted(known.items()) if name.isupper() and isinstance(value, int)]
    called = [known[name].py_func for name in code.co_names if hasattr(known.get(name), "py_func")]
    own = code.co_code, repr(code.co_consts), code.co_names, code.co_argcount, repr(sizes)
    return own, tuple(map(fingerprint, called))


def launch_sizes(config):
    """Grid and block of a launch, three sizes each."""
    grid, block = (tuple(np.atleast_1d(c).tolist()) for c in config)
    return grid + (1,) * (3 - len(grid)), block + (1,) * (3 - len(block))


__all__ = ["SMALL", "Device", "OnDevice", "fingerprint", "launch_sizes", "standing_in"]

"""Compiles the text of generated kernels for the CPU: `cuda` is a module that ``njit`` can type, threads are fibers.

Found are texts that do not type, values that are wrong at any size and in float32, results that depend on the order
of threads, and barriers that not all threads reach.
"""

import contextlib
import ctypes
import importlib.util
import subprocess
import sys
import tempfile
import types as python
from pathlib import Path
from unittest import mock

import numba
import numpy as np
from numba import carray, njit
from numba.core import types
from numba.extending import intrinsic, models, overload_attribute, register_model, typeof_impl

from adcompile.backend import cuda as backend
from adcompile.backend.cuda import device as device_functions
from adcompile.backend.cuda.compiler import numba_type
from tests.cuda.device import Device, fingerprint, launch_sizes

SHARED = 1 << 16
"""Bytes of a block's shared memory."""
FIBERS = """
static uint64_t used[1024];
void (*kernel)(uint64_t *);
static void body(void) { used[thread % per_block] = 0; kernel(params); }
void wait_for_block(void) { barrier(); }
uint64_t reserve(uint64_t bytes) {
    uint64_t at = used[thread % per_block];
    used[thread % per_block] = (at + bytes + 15) / 16 * 16;
    if (used[thread % per_block] > SHARED) abort();
    return (uint64_t)shared + at;
}
uint64_t position(int k) { return (uint64_t)(uint32_t *[]){tid, ctaid, ntid, nctaid}[k]; }
"""


def _library():
    """`machine.c` with a body that calls a kernel by its address."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "fibers.c")
        text = Path(__file__).with_name("machine.c").read_text()
        source.write_text(f"#define SHARED {SHARED}\n#define TABLES 0\n{text}\n{FIBERS}")
        command = ["gcc", "-O1", "-w", "-shared", "-fPIC", source, "-o", source.with_suffix(".so"), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(source.with_suffix(".so")))


LIBRARY = _library()
LIBRARY.position.restype = ctypes.c_uint64
LIBRARY.launch.restype = ctypes.POINTER(ctypes.c_int64)
LIBRARY.reserve.restype, LIBRARY.reserve.argtypes = ctypes.c_int64, (ctypes.c_int64,)
LIBRARY.wait_for_block.restype, LIBRARY.wait_for_block.argtypes = None, ()
reserve, wait_for_block = LIBRARY.reserve, LIBRARY.wait_for_block
plain = njit(error_model="numpy")


@intrinsic
def pointer(context, address):
    """An address as a pointer."""

    def emit(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), emit


# -- the module that stands for numba.cuda ----------------------------------------------------------------------------


class Place:
    """``cuda.threadIdx`` and its siblings: three numbers in the library's memory."""

    def __init__(self, number):
        self.address = LIBRARY.position(number)


class PlaceType(types.Dummy):
    def __init__(self, address):
        super().__init__(f"Place({address})")
        self.address = address


register_model(PlaceType)(models.OpaqueModel)
typeof_impl.register(Place)(lambda value, context: PlaceType(value.address))


def _coordinate(axis):
    def attribute(place):
        address = place.address
        return lambda place: np.int32(carray(pointer(address), 3, np.int32)[axis])

    overload_attribute(PlaceType, "xyz"[axis])(attribute)


for _axis in range(3):
    _coordinate(_axis)

threadIdx, blockIdx, blockDim, gridDim = map(Place, range(4))


@plain
def grid(dimensions):
    return np.int64(blockIdx.x) * blockDim.x + threadIdx.x


@plain
def gridsize(dimensions):
    return np.int64(blockDim.x) * gridDim.x


@plain
def syncthreads():
    wait_for_block()


@plain
def shared_array(shape, dtype):
    return carray(pointer(reserve(np.empty(shape, np.int64).nbytes)), shape, dtype)


@plain
def local_array(shape, dtype):
    return np.empty(shape, dtype)


@plain
def add(array, where, value):
    old = array[where]
    array[where] = old + value
    return old


@plain
def compare_and_swap(array, expected, value):
    old = array[0]
    if old == expected:
        array[0] = value
    return old


@plain
def cbrt(x):
    return np.cbrt(x)


def _module(name, **members):
    module = python.ModuleType(name)
    vars(module).update(members)
    return module


def jit(function=None, device=False, **options):
    """``cuda.jit``: a device function is compiled as it is, a kernel when it is launched."""
    if function is None:
        return plain if device else jit
    return Text(function)


class Text:
    """A kernel that is not compiled yet."""

    def __init__(self, function):
        self.py_func = function


CUDA = _module(
    "numba.cuda", jit=jit, grid=grid, gridsize=gridsize, threadIdx=threadIdx, blockIdx=blockIdx, blockDim=blockDim,
    gridDim=gridDim, syncthreads=syncthreads, cbrt=cbrt, shared=_module("shared", array=shared_array),
    local=_module("local", array=local_array), atomic=_module("atomic", add=add, compare_and_swap=compare_and_swap),
)  # fmt: skip


@contextlib.contextmanager
def _instead_of_cuda():
    """Inside, ``numba.cuda`` is the module above, and the device functions are compiled with it."""
    name = device_functions.__name__
    fakes = {"numba": _module("numba", cuda=CUDA, config=numba.config), "numba.cuda": CUDA}
    with mock.patch.dict(sys.modules, fakes):
        if not FUNCTIONS:
            spec = importlib.util.spec_from_file_location(name, device_functions.__file__)
            FUNCTIONS.append(importlib.util.module_from_spec(spec))
            spec.loader.exec_module(FUNCTIONS[0])
        with mock.patch.dict(sys.modules, {name: FUNCTIONS[0]}):
            yield


FUNCTIONS = []
"""`adcompile.backend.cuda.device`, compiled for the CPU."""


COMPILED = {}
"""Kernels by what they depend on."""


# -- launches ---------------------------------------------------------------------------------------------------------


class Native(Device):
    """Kernels are machine code of the CPU; ``launches`` are the names of those that ran."""

    def __init__(self, order=None):
        super().__init__(order)
        self.launches = []

    def load(self, module):
        with _instead_of_cuda():
            space = backend.load(module)
        for kernel in module.kernels:
            space[kernel.name] = _Kernel(self, kernel, space[kernel.name].py_func)
        space.update(self.host())
        return space


class _Kernel:
    def __init__(self, device, kernel, function):
        self.device, self.kernel, self.function = device, kernel, function

    def __getitem__(self, config):
        return lambda *arguments: self.launch(*launch_sizes(config), arguments)

    def launch(self, grid, block, arguments):
        found = tuple(map(numba.typeof, arguments))
        wanted = tuple(map(numba_type, self.kernel.params))
        assert [_bare(t) for t in found] == [_bare(t) for t in wanted], f"{self.kernel.name} gets {found}"
        key = fingerprint(self.function), wanted
        if key not in COMPILED:
            COMPILED[key] = _compiled(plain(self.function), wanted)
        words = [w for a in arguments for w in _words(a)]
        region = (ctypes.c_uint64 * 7)()  # one Region, which the machine fills
        ctypes.c_void_p.in_dll(LIBRARY, "kernel").value = COMPILED[key].address
        order, blocks = (self.device.permuted(int(np.prod(c))) for c in (block, grid))
        faults = LIBRARY.launch(
            region, 1, (ctypes.c_uint64 * len(words))(*words), (ctypes.c_uint32 * 3)(*grid),
            (ctypes.c_uint32 * 3)(*block), *(a.ctypes.data_as(ctypes.c_void_p) for a in (order, blocks)),
        )  # fmt: skip
        assert not faults[3], f"{self.kernel.name}: a barrier that not all threads of a block reach"
        self.device.launches.append(self.kernel.name)


def _bare(type):
    """A type without what a launch does not see."""
    return (type.dtype, type.ndim) if isinstance(type, types.Array) else type


def _words(value):
    """An argument as 64-bit words: an array is its address and its sizes."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return value.ctypes.data, *value.shape
    return (int.from_bytes(np.asarray(value).tobytes().ljust(8, b"\0"), "little"),)


def _compiled(kernel, given):
    """A function of C's that calls a kernel with arguments from an array of words."""
    texts, at = [], 0
    for k, type in enumerate(given):
        if isinstance(type, types.Array):
            sizes = ", ".join(f"words[{at + 1 + d}]" for d in range(type.ndim))
            texts.append(f"carray(pointer(words[{at}]), ({sizes},), type_{k})")
            at += 1 + type.ndim
        else:
            texts.append(f"carray(pointer(start + {8 * at}), 1, type_{k})[0]")
            at += 1
    text = f"def run(start):\n    words = carray(pointer(start), {max(at, 1)}, np.int64)\n"
    text += f"    kernel({', '.join(texts)})\n"
    space = {"carray": carray, "pointer": pointer, "np": np, "kernel": kernel}
    space |= {f"type_{k}": np.dtype(str(getattr(t, "dtype", t))) for k, t in enumerate(given)}
    exec(text, space)
    return numba.cfunc(types.void(types.int64))(space["run"])

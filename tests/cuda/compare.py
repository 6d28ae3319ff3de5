"""Runs programs on what stands for a GPU: ``python -m tests.cuda.compare DEVICE [PROGRAM ...]``.

``simulator`` is Numba's simulator, ``native`` the text compiled for the CPU, ``ptx`` the PTX executed on the CPU with
checks. Prints a line for each program: its name, and what differs from the llvm backend or what faults were found,
nothing where all is well. Without names of programs, all of the corpus.
"""

import os
import sys
import threading
import time
import warnings

if __name__ == "__main__" and sys.argv[1] == "simulator":  # Numba wants to know before it is imported
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

import numpy as np

import adcompile
from adcompile.tree import flatten
from tests.corpus import PROGRAMS, checks
from tests.cuda.programs import MISSION, arguments


def difference(found, expected, single):
    """Where two results differ: dtype, shape, or by more than rounding in another order."""
    rtol = 2e-4 if single else 1e-10
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(b, int | float | np.generic | np.ndarray):
            continue
        a, b = np.asarray(a), np.asarray(b)
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"leaf {k} is {a.dtype}{a.shape}, expected {b.dtype}{b.shape}"
        scale = np.max(np.abs(b.astype(float)), initial=1.0, where=np.isfinite(b.astype(float)))
        if not np.allclose(a, b, rtol=rtol, atol=rtol * scale, equal_nan=True):
            return f"leaf {k} is {a}, expected {b}"
    return ""


def runs_of(name):
    """What is computed of a program: whether there is float32 in it, and a function of the backend."""
    if name in MISSION:
        for dtype in (np.float64, np.float32):
            args = arguments(name, dtype)
            yield (
                dtype is np.float32,
                lambda backend, args=args: adcompile.value_and_grad(MISSION[name], backend=backend)(*args),
            )
        return
    program = next(p for p in PROGRAMS if p.name == name)
    args = lambda: checks.fresh(program.arguments())
    single = any(getattr(leaf, "dtype", None) == np.float32 for leaf in flatten(args())[0])
    if "writes" not in program.tags:
        yield single, lambda backend: adcompile.jit(program.function, backend=backend)(*args())
    if program.argnums is not None:
        gradient = lambda backend: adcompile.value_and_grad(program.function, program.argnums, backend=backend)
        yield single, lambda backend: gradient(backend)(*args())
        return

    def pullback(backend):
        out, pull = adcompile.vjp(program.function, *args(), backend=backend)
        return pull(checks.direction(out, 3))

    yield single, pullback


def compare(name):
    """What is wrong with a program; programs that the llvm backend refuses must be refused."""
    for single, run in runs_of(name):
        try:
            expected = flatten(run("llvm"))[0]
        except Exception as error:
            expected = type(error)
        try:
            found = flatten(run("cuda"))[0]
        except Exception as error:
            found = type(error)
            if expected is not found:
                return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if isinstance(found, type) or isinstance(expected, type):
            if found is not expected:
                return f"{found}, expected {expected}"
            continue
        if wrong := difference(found, expected, single):
            return wrong
    return ""


# -- devices ----------------------------------------------------------------------------------------------------------


def simulator(name):
    """What is wrong with a program in Numba's simulator."""
    from numba.cuda.simulator import kernelapi

    sys.setswitchinterval(1e-5)
    kernelapi.FakeCUDAShared.array = _shared_array
    return compare(name)


def _shared_array(self, shape, dtype, lock=threading.Lock()):
    """Shared memory by the line that asks for it; the simulator's own lets each of two threads make the array."""
    frame = sys._getframe(1)
    with lock:
        return self._allocations.setdefault(
            (frame.f_code.co_filename, frame.f_lineno), np.full(shape, np.nan).astype(dtype)
        )


def native(name, order=1):
    """What is wrong with a program whose kernels are compiled for the CPU."""
    from tests.cuda.device import standing_in
    from tests.cuda.native import Native

    with standing_in(Native(order)):
        return compare(name)


def ptx(name, order=1):
    """What is wrong with a program whose kernels run as PTX, and what faults its kernels have."""
    from tests.cuda.device import standing_in
    from tests.cuda.machine import Machine

    machine = Machine(order)
    with standing_in(machine):
        wrong = compare(name)
    return wrong or ", ".join(f"{f.name}: {' '.join(f.faults)}" for f in machine.launches if f.faults)


DEVICES = {"simulator": simulator, "native": native, "ptx": ptx}


def main(device, *names):
    warnings.simplefilter("ignore")
    for name in names or [*MISSION, *(p.name for p in PROGRAMS)]:
        with np.errstate(all="ignore"):
            start = time.perf_counter()
            print(name, DEVICES[device](name), sep="\t", flush=True)
            print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])

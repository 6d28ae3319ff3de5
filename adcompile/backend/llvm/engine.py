"""Machine code from LLVM text: optimise, emit object code (cached on disk), link into the process.

The object code holds no address of the process: the C library's functions are resolved by name at link time, everything
else is read from the module's table, which `load` fills. The only module that imports llvmlite.

On disk (`adcompile.disk`) object code has the hash of its text, the options, the tool version and the CPU as its name.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Mapping
from typing import Any

from adcompile import disk
from adcompile.backend.llvm import runtime

_SINGLY = ",+prefer-no-gather,+prefer-no-scatter"
_NAMES = itertools.count()


@functools.cache
def _binding() -> Any:
    """llvmlite, imported and set up once."""
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def version() -> str:
    """Of llvmlite."""
    import llvmlite

    return llvmlite.__version__


@functools.cache
def host() -> tuple[str, str]:
    """The CPU's name and features; elements from all over memory are loaded one by one.

    Measured on Zen 4, the instructions that gather and scatter took a sixth longer in loops down a column, and as long
    as single loads where subscripts are data.
    """
    binding = _binding()
    features = binding.get_host_cpu_features().flatten()
    return binding.get_host_cpu_name(), features + (_SINGLY if "+sse2" in features else "")


@functools.cache
def _machine() -> Any:
    binding = _binding()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(*host(), opt=3, reloc="pic", codemodel="small")


@functools.cache
def _jit() -> Any:
    """One JIT for the process; each module is a library of it. It never dies: code may run during interpreter exit."""
    keep_memory()
    return _binding().create_lljit_compiler(_machine(), use_jit_link=True)


def parse(text: str) -> Any:
    """The module of an LLVM text, for the host."""
    machine = _machine()
    module = _binding().parse_assembly(f'target datalayout = "{machine.target_data}"\n{text}')
    module.triple = machine.triple
    return module


LOOPS, STRAIGHT, PLAIN = 2, 1, 0
"""How much to optimise: LLVM's level for code with loops (and its vectoriser of loops), for other code, and none."""


def optimise(module: Any, level: int = LOOPS) -> Any:
    """Run LLVM's pipeline of a level.

    The vectoriser of straight-line code stays off: it gathers what loops wrote a moment ago, and costs more than it
    saves.
    """
    if level == PLAIN:
        return module
    binding = _binding()
    options = binding.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization, options.slp_vectorization = level == LOOPS, False
    options.loop_interleaving = options.loop_unrolling = level == LOOPS
    builder = binding.create_pass_builder(_machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


def generate(module: Any) -> bytes:
    """The object code of a module."""
    return _machine().emit_object(module)


def assembly(module: Any) -> str:
    """The machine code of a module, as text."""
    return _machine().emit_assembly(module)


def object_name(text: str, level: int) -> str:
    """The name in the disk cache of the object code of an LLVM text."""
    return f"{disk.key(text, str(level), version(), *host())}.o"


def object_code(text: str, level: int, cache: bool) -> bytes:
    """The object code of an LLVM text, from the disk cache where it is there."""
    name = object_name(text, level) if cache else None
    found = disk.read(name) if name else None
    if found is not None:
        return found
    code = generate(optimise(parse(text), level))
    if name:
        disk.write(name, code)
    return code


def load(code: bytes, exports: tuple[str, ...]) -> Any:
    """Link object code into the process; the result maps exported names to addresses while it lives."""
    builder = _binding().JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in exports:
        builder.export_symbol(name)
    return builder.link(_jit(), f"adcompile{next(_NAMES)}")


def keep_memory() -> None:
    """Let glibc keep freed memory instead of giving it back to the system after every call.

    Buffers of a few hundred kilobytes and more would otherwise be mapped and cleared by the kernel in every call, which
    costs as much as the arithmetic on them. The thresholds hold for the whole process.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 512 * 2**20)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""


@functools.cache
def runtime_addresses(cache: bool) -> Mapping[str, int]:
    """The addresses of the memory runtime, loaded once; it is not optimised, which would take longer than it saves."""
    tracker = load(object_code(runtime.TEXT, PLAIN, cache), runtime.FUNCTIONS)
    _KEPT.append(tracker)
    return {name: tracker[name] for name in runtime.FUNCTIONS}


_KEPT: list[Any] = []
"""Libraries that live as long as the process."""


def fill(table: int, addresses: list[int]) -> None:
    """Write the table of a loaded module."""
    (ctypes.c_void_p * len(addresses)).from_address(table)[:] = addresses

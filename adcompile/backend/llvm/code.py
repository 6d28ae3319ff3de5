"""Writes LLVM IR as text: `Module` collects what a module declares and defines, `Code` the lines of one function.

Text, because llvmlite's own builders (`llvmlite.ir`) take longer than LLVM needs to parse what they print.
"""

from __future__ import annotations

import math
import struct
from typing import Any

LLVM = {
    "bool": "i1",
    **{f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32": "float",
    "float64": "double",
}
SUFFIX = {"float32": "f32", "float64": "f64"}
BYTES = {"bool": 1, "float32": 4, "float64": 8, **{f"{s}int{b}": b // 8 for s in ("", "u") for b in (8, 16, 32, 64)}}
STRICT = "contract "
FAST = "reassoc nsz arcp contract afn "
"""Flags of ``fastmath``; without nnan and ninf, so that isnan and isfinite keep their meaning."""


def memory_type(dtype: str) -> str:
    """The LLVM type of an element in memory: a bool takes a byte."""
    return "i8" if dtype == "bool" else LLVM[dtype]


def literal(value: Any, dtype: str) -> str:
    """A number as an LLVM constant of a dtype, wrapped into its range as NumPy casts it."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype == "float32":
        value = _to_float32(float(value))
    if dtype in SUFFIX:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    bits = BYTES[dtype] * 8
    wrapped = int(value) & (1 << bits) - 1
    return str(wrapped - (1 << bits) if wrapped >> bits - 1 else wrapped)


def _to_float32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def is_literal(operand: str) -> bool:
    """Whether an operand is a constant."""
    return operand[0] not in "%@"


class Module:
    """Declarations, functions and metadata of a module, each once, in order of first use."""

    def __init__(self, fastmath: bool = False):
        self.flags = FAST if fastmath else STRICT
        self.declarations: dict[str, None] = {}
        self.functions: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.addresses: dict[str, int] = {}
        self.metadata: list[str] = []
        self.nodes: dict[str, str] = {}
        self.used: list[str] = []

    def declare(self, line: str) -> None:
        """Declare a function, type or constant once."""
        self.declarations[line] = None

    def external(self, name: str) -> int:
        """The position of a run-time address in the table of the module."""
        return self.addresses.setdefault(name, len(self.addresses))

    def node(self, text: str) -> str:
        """Add a metadata node; ``{self}`` in its text stands for its own name."""
        name = f"!{len(self.metadata)}"
        self.metadata.append(f"{name} = {text.replace('{self}', name)}")
        return name

    def shared(self, text: str) -> str:
        """The metadata node of a text, added once."""
        if text not in self.nodes:
            self.nodes[text] = self.node(text)
        return self.nodes[text]

    def define(self, hint: str, text: str) -> str:
        """The name of a function, defined once per text; ``{self}`` in the text stands for the name."""
        if text not in self.names:
            self.names[text] = f"{hint}.{len(self.names)}"
            self.functions[self.names[text]] = text.replace("{self}", self.names[text])
        return self.names[text]

    def text(self) -> str:
        """The whole module."""
        table = [f"@adcompile_table = global [{max(len(self.addresses), 1)} x ptr] zeroinitializer, align 8"]
        if self.used:
            names = ", ".join(f"ptr @{name}" for name in self.used)
            kind = f"appending global [{len(self.used)} x ptr] [{names}]"
            table.append(f'@llvm.compiler.used = {kind}, section "llvm.metadata"')
        return "\n".join([*self.declarations, *table, *self.functions.values(), *self.metadata]) + "\n"


class Code:
    """The body of a function under construction; ``here`` is the label of the block being written."""

    def __init__(self, module: Module):
        self.module = module
        self.lines: list[str] = []
        self.here = "entry"
        self.count = 0

    def let(self, text: str) -> str:
        """Append ``%name = text``."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """Append an instruction without a result."""
        self.lines.append(f"  {text}")

    def label(self, hint: str) -> str:
        """A fresh label."""
        self.count += 1
        return f"{hint}.{self.count}"

    def start(self, label: str) -> None:
        """Begin the block of a label."""
        self.lines.append(f"{label}:")
        self.here = label

    def reserve(self) -> int:
        """Hold a line open, for a phi whose last operand is not known yet."""
        self.lines.append("")
        return len(self.lines) - 1

    def call(self, type: str, name: str, *operands: tuple[str, str], pure: bool = True) -> str:
        """Call a function declared on the way; operands are (type, text) pairs."""
        signature = ", ".join(t for t, _ in operands)
        attributes = " nounwind willreturn memory(none)" if pure and not name.startswith("llvm.") else ""
        self.module.declare(f"declare {type} @{name}({signature}){attributes}")
        return self.let(f"call {type} @{name}({', '.join(f'{t} {v}' for t, v in operands)})")

    def address(self, name: str) -> str:
        """Load an address from the table."""
        index = self.module.external(name)
        return self.let(f"load ptr, ptr getelementptr (ptr, ptr @adcompile_table, i64 {index})")

    def at(self, pointer: str, offset: int, type: str) -> str:
        """Load a field of a C structure."""
        field = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        return self.let(f"load {type}, ptr {field}")

"""Buffers of a kernel: stack slots, the frame of heap allocations, and what LLVM may assume about aliasing.

A buffer of constant, small size that does not outlive its block is on the stack. All others are recorded in a *frame*
(see `adcompile.backend.llvm.runtime`): at the end of an iteration `sweep` releases what the iteration allocated and did
not carry on, and at the end of the kernel `finish` releases everything but the results, on the way of a failure too.

Every access names the *scope* of its root and the scopes it cannot meet, so that LLVM needs no run-time alias checks.
The runtime is opaque to LLVM: no access moves across a release, hence a reused address cannot confuse it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from adcompile.backend.llvm.code import BYTES, Code, memory_type
from adcompile.backend.llvm.roots import Roots, allocations
from adcompile.backend.llvm.runtime import FRAME_BYTES
from adcompile.ir import Block, Trace, Value

MOST_SCOPES = 80
"""Buffers that are told apart for LLVM's alias analysis, at most."""
STACK_BUFFER = 4096
STACK_TOTAL = 65536


@dataclass(frozen=True)
class Buffer:
    """An array in memory: its pointer, its sizes, and the root that names its memory."""

    pointer: str
    sizes: tuple[str, ...]
    root: Value


Operand = Any
"""The text of a scalar, or a `Buffer`."""


class Memory:
    """Where the buffers of one kernel live.

    ``strides`` gives sizes that are known not to be 1 as LLVM should see them between rows: of a size about which it
    knows nothing it assumes, and tests, that it is 1, and vectorises the loop along a column for that case only.
    ``group`` names the accesses of the loop being written, where its iterations are independent.
    """

    def __init__(self, code: Code, roots: Roots, trace: Trace):
        self.code, self.roots = code, roots
        self.trusted: set[str] = set()
        self.strides: dict[str, str] = {}
        self.group = ""
        self.on_stack = _stack_buffers(roots, trace)
        self.framed = any(a not in self.on_stack for a in allocations(trace.block))
        self.kept = 0
        self.entry: list[str] = []
        self.scopes: dict[Value, tuple[str, str]] = {}
        self.domain = ""
        self.scoped = True

    def prologue(self) -> list[str]:
        """The first lines of the kernel: its stack slots and its frame."""
        lines = list(self.entry)
        if self.framed:
            lines += ["  %frame = alloca [" + str(FRAME_BYTES) + " x i8], align 16"]
            lines += [f"  %kept = alloca [{max(self.kept, 1)} x ptr], align 8"]
            lines += [f"  %open = load ptr, ptr getelementptr (ptr, ptr @adcompile_table, i64 {self._symbol('open')})"]
            lines += ["  call void %open(ptr %frame)"]
        return lines

    def _symbol(self, name: str) -> int:
        return self.code.module.external(f"adcompile_{name}")

    def allocate(self, value: Value, sizes: tuple[str, ...], dtype: str) -> str:
        """Memory for an array; null where there is none, or where the number of bytes overflows."""
        if value in self.on_stack:
            name = f"%stack{len(self.entry)}"
            count = math.prod(map(int, sizes))
            self.entry.append(f"  {name} = alloca [{max(count, 1)} x {memory_type(dtype)}], align 64")
            return name
        known = math.prod(int(s) for s in sizes if s[0] != "%")
        first, *others = [s for s in sizes if s[0] == "%"] or ["1"]
        for size in others[:-1]:
            first = self.code.call("i64", "llvm.umul.fix.sat.i64", ("i64", first), ("i64", size), ("i32", "0"))
        last = others[-1] if others else "1"
        function = self.code.address("adcompile_alloc")
        unit = known * BYTES[dtype]
        return self.code.let(f"call ptr {function}(ptr %frame, i64 {unit}, i64 {first}, i64 {last})")

    def mark(self, body: Block) -> str | None:
        """The height of the frame before a loop whose body allocates; None where it does not."""
        if all(a in self.on_stack for a in allocations(body)):
            return None
        return self.code.let("load i64, ptr %frame")

    def sweep(self, mark: str, seen: str, pointers: list[str]) -> str:
        """Release what was allocated since ``mark`` except some pointers; the height after that.

        Where the height is what it was ``seen`` to be after the iteration before, nothing was allocated.
        """
        code, some, none = self.code, self.code.label("sweep"), self.code.label("swept")
        before = code.here
        unmoved = code.let(f"icmp eq i64 {code.let('load i64, ptr %frame')}, {seen}")
        code.do(f"br i1 {unmoved}, label %{none}, label %{some}")
        code.start(some)
        function = code.address("adcompile_sweep")
        code.do(f"call void {function}(ptr %frame, i64 {mark}, i64 {self._keep(pointers)}, ptr %kept)")
        swept = code.let("load i64, ptr %frame")
        code.do(f"br label %{none}")
        code.start(none)
        return code.let(f"phi i64 [ {seen}, %{before} ], [ {swept}, %{some} ]")

    def finish(self, pointers: list[str]) -> None:
        """Release everything except some pointers."""
        if self.framed:
            function = self.code.address("adcompile_finish")
            self.code.do(f"call void {function}(ptr %frame, i64 {self._keep(pointers)}, ptr %kept)")

    def _keep(self, pointers: list[str]) -> int:
        self.kept = max(self.kept, len(pointers))
        for position, pointer in enumerate(pointers):
            slot = self.code.let(f"getelementptr ptr, ptr %kept, i64 {position}")
            self.code.do(f"store ptr {pointer}, ptr {slot}")
        return len(pointers)

    # -- aliasing -------------------------------------------------------------------------------------------------

    def access(self, root: Value) -> str:
        """The metadata of a load or store: its scope, and the scopes it cannot meet (filled in at the end)."""
        group = f", !llvm.access.group {self.group}" if self.group else ""
        if not self.scoped:
            return group
        scope, others = self._scope(root)
        return f", !alias.scope {scope}, !noalias {others}{group}"

    def announce(self, root: Value, depth: int) -> None:
        """Declare where a root begins inside a loop: its scope means another buffer in every iteration."""
        if depth:
            self.code.module.declare("declare void @llvm.experimental.noalias.scope.decl(metadata)")
            self.code.do(f"call void @llvm.experimental.noalias.scope.decl(metadata {self._scope(root)[0]})")

    def _scope(self, root: Value) -> tuple[str, str]:
        node = self.code.module.node
        self.domain = self.domain or node("distinct !{{self}}")
        if root not in self.scopes:
            scope = node("distinct !{{self}, " + self.domain + "}")
            self.scopes[root] = (node("!{" + scope + "}"), node("!{}"))
        return self.scopes[root]

    def describe_scopes(self) -> None:
        """Fill in, for every root, the scopes of the roots that it is disjoint from.

        Not in very large programs: LLVM's time grows with the square of their number.
        """
        metadata = self.code.module.metadata
        if len(self.scopes) > MOST_SCOPES:
            return
        for root, (_, others) in self.scopes.items():
            apart = [
                s for other, (s, _) in self.scopes.items() if other is not root and self.roots.disjoint(root, other)
            ]
            scopes = ", ".join(metadata[int(s[1:])].split("{")[1].rstrip("}") for s in apart)
            metadata[int(others[1:])] = f"{others} = !{{{scopes}}}"


def _stack_buffers(roots: Roots, trace: Trace) -> set[Value]:
    """The allocations of constant, small size that do not outlive their block, as far as the stack allows."""
    chosen, total = set(), 0
    for value in allocations(trace.block):
        dims = [d for d in value.type.dims if isinstance(d, int)]
        size = BYTES[value.type.dtype] * math.prod(dims)
        if len(dims) < value.type.rank or size > STACK_BUFFER or total + size > STACK_TOTAL or roots.escapes(value):
            continue
        chosen.add(value)
        total += size
    return chosen

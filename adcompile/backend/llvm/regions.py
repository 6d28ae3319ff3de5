"""Loops that threads share: a kernel of its own for the loop, called for all iterations or for a chunk of them.

The kernel that meets such a loop computes how many chunks it is worth (`adcompile.backend.llvm.effort`); one chunk is a
plain call. For several it writes down a *task*, what the loop reads and updates, and hands it to the team
(`adcompile.backend.llvm.team`), whose threads call ``chunk(task, number, chunks)``. That function finds the bounds of
its iterations and the arrays of its own, and calls the loop. Every chunk has a *share*: what became of it (0 or the
number of a failure), its sums, and the details of a failure. The caller adds the shares up in the order of the chunks,
which is that of the iterations: results do not depend on who computed what, and the first failure is the one that the
loop on one thread would have met.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import blas, scalars
from adcompile.backend.llvm.code import BYTES, LLVM, Code, Module, literal
from adcompile.backend.llvm.control import initial
from adcompile.backend.llvm.effort import effort
from adcompile.backend.llvm.memory import Buffer, Operand
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Trace, Value, free_values
from adcompile.ir.core import walk
from adcompile.ir.types import INDEX

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel

LEAST = 100_000.0
"""Work below which a loop stays on its thread: five microseconds of vector code, some ten of other code.

A sweep of a stencil over 64 × 64 cells (two microseconds) is below, one over 24 × 24 × 24 cells (fourteen) above."""
PRIVATE = 4.0
"""Work of clearing and adding up an element of an array of a thread's own."""
LONG = 4096
"""Elements above which the arrays of the threads are added up by all of them."""


def share(kernel: Kernel, eqn: Eqn, make: type[Kernel]) -> list[Operand]:
    """Emit a loop with a `Sharing`; ``make`` builds the kernel of the loop."""
    return _Region(kernel, eqn, make).emit()


Parts = list[tuple[str, str]]
"""The machine values of an operand, as (type, text) pairs: a scalar, or a pointer and sizes."""


def _parts(operand: Operand, type: Any) -> Parts:
    if isinstance(operand, Buffer):
        return [("ptr", operand.pointer), *(("i64", size) for size in operand.sizes)]
    return [(LLVM[type.dtype], operand)]


@contextmanager
def _each(code: Code, first: str, limit: str) -> Iterator[str]:
    """A loop over the numbers from ``first`` to below ``limit``, of which there is at least one."""
    before, begin, leave = code.here, code.label("each"), code.label("done")
    code.do(f"br label %{begin}")
    code.start(begin)
    number, line = code.let("phi"), len(code.lines) - 1
    yield number
    following = code.let(f"add nsw i64 {number}, 1")
    code.lines[line] = f"  {number} = phi i64 [ {first}, %{before} ], [ {following}, %{code.here} ]"
    code.do(f"br i1 {code.let(f'icmp slt i64 {following}, {limit}')}, label %{begin}, label %{leave}")
    code.start(leave)


def _slot(code: Code, base: str, position: int | str) -> str:
    return code.let(f"getelementptr i64, ptr {base}, i64 {position}")


class _Region:
    """One shared loop."""

    def __init__(self, kernel: Kernel, eqn: Eqn, make: type[Kernel]):
        self.kernel, self.code, self.module, self.eqn = kernel, kernel.code, kernel.module, eqn
        self.sharing = eqn.attrs["threads"]
        self.name = f"loop.{len(self.module.functions) + 1}"
        self.inits = [kernel.fitted(a, out) for a, out in zip(initial(eqn), eqn.outs, strict=True)]
        self.bounds = [kernel.scalar(a, "int64") for a in eqn.args[:3]]
        captured = free_values(eqn.regions[0])
        self.carried = [Value(self._type(a, out), out.name) for a, out in zip(initial(eqn), eqn.outs, strict=True)]
        self.limits = [Value(INDEX) for _ in range(3)]
        self.params = [*self.carried, *captured]
        self.operands = [*self.inits, *(kernel.env[v] for v in captured)]
        self.parts = [_parts(o, p.type) for o, p in zip(self.operands, self.params, strict=True)]
        self.summed = [k for k, _, _ in self.sharing.sums]
        self.can_fail = self._define_loop(make)
        self.width = 1 + len(self.summed) + 2

    @staticmethod
    def _type(atom: Atom, out: Value) -> Any:
        return out.type if isinstance(out.type, Scalar) else atom.type

    # -- the loop as a function -----------------------------------------------------------------------------------

    def _define_loop(self, make: type[Kernel]) -> bool:
        """Add the kernel of the loop to the module; whether it can fail."""
        self.module.functions[self.name] = ""  # its place, before the functions that it needs itself
        step = self.eqn.args[2] if isinstance(self.eqn.args[2], Const) else self.limits[2]
        attrs = {name: value for name, value in self.eqn.attrs.items() if name != "threads"}
        outs = tuple(Value(p.type, p.name) for p in self.carried)
        loop = replace(self.eqn, args=(*self.limits[:2], step, *self.carried), outs=outs, attrs=attrs)
        block = Block((*self.limits, *self.params), (loop,), tuple(outs[k] for k in self.summed))
        written = frozenset(p for p in self.carried if isinstance(p.type, Array))
        inner = make(Trace(self.name, block), self.module, self.name, self.kernel.failures, written)
        self.module.functions[self.name] = inner.emit()
        return bool(inner.failing)

    def _call(self, code: Code, bounds: list[str], parts: list[Parts], slots: str) -> str:
        arguments = [("i64", b) for b in bounds] + [part for operand in parts for part in operand] + [("ptr", slots)]
        return code.let(f"call i64 @{self.name}({', '.join(f'{t} {v}' for t, v in arguments)})")

    # -- where the loop stands ------------------------------------------------------------------------------------

    def emit(self) -> list[Operand]:
        """The choice, both ways, and the results."""
        code, entry = self.code, self.kernel.memory.entry
        slots, task = f"%slots{len(entry)}", f"%task{len(entry)}"
        entry.append(f"  {slots} = alloca [{self.width} x i64], align 8")
        count = self._count()
        chunks = self._chunks(count)
        plain, shared, join = code.label("plain"), code.label("shared"), code.label("join")
        code.do(f"br i1 {code.let(f'icmp sgt i64 {chunks}, 1')}, label %{shared}, label %{plain}")
        code.start(plain)
        status = self._call(code, self.bounds, self.parts, slots)
        self._check(status, _slot(code, slots, len(self.summed)))
        code.do(f"br label %{join}")
        code.start(shared)
        self._run(task, slots, count, chunks)
        code.do(f"br label %{join}")
        code.start(join)
        return [self._result(k, out, slots) for k, out in enumerate(self.eqn.outs)]

    def _result(self, k: int, out: Value, slots: str) -> Operand:
        if k not in self.summed:
            return self.inits[k]
        return self.code.let(f"load {LLVM[out.type.dtype]}, ptr {_slot(self.code, slots, self.summed.index(k))}")

    def _count(self) -> str:
        """How many iterations the loop has; a step of zero fails."""
        code, (start, stop, step) = self.code, self.bounds
        if not isinstance(self.eqn.args[2], Const):
            self.kernel.fail_if(code.let(f"icmp eq i64 {step}, 0"), Failure("step", self.eqn.loc))
        up = code.let(f"icmp sgt i64 {step}, 0")
        unit = code.let(f"select i1 {up}, i64 1, i64 -1")
        span = code.let(f"add i64 {code.let(f'sub i64 {stop}, {start}')}, {code.let(f'sub i64 {step}, {unit}')}")
        return code.call("i64", "llvm.smax.i64", ("i64", code.let(f"sdiv i64 {span}, {step}")), ("i64", "0"))

    def _chunks(self, count: str) -> str:
        """Into how many chunks the iterations go: as many as there are threads, or one."""
        code = self.code
        threads = code.let(f"load atomic i64, ptr {code.address('threads')} monotonic, align 8")
        least = literal(LEAST, "float64")
        for k in self.sharing.added:
            number = code.let(f"sitofp i64 {code.let(f'mul i64 {threads}, {self._elements(k)}')} to double")
            own = code.let(f"fmul double {number}, {literal(PRIVATE, 'float64')}")
            least = code.let(f"fadd double {least}, {own}")
        enough = code.let(f"fcmp oge double {effort(self.kernel, self.eqn, count)}, {least}")
        most = code.call("i64", "llvm.smin.i64", ("i64", threads), ("i64", count))
        return code.let(f"select i1 {enough}, i64 {most}, i64 1")

    def _elements(self, k: int) -> str:
        elements = "1"
        for size in self.inits[k].sizes:
            elements = size if elements == "1" else self.code.let(f"mul i64 {elements}, {size}")
        return elements

    def _check(self, status: str, details: str) -> None:
        """Leave with the failure of a chunk, if it failed."""
        if self.can_fail:
            code = self.code
            a, b = (code.let(f"load i64, ptr {_slot(code, details, k)}") for k in range(2))
            self.kernel.leave_if(code.let(f"icmp ne i64 {status}, 0"), status, a, b)

    # -- on several threads ---------------------------------------------------------------------------------------

    def _run(self, task: str, slots: str, count: str, chunks: str) -> None:
        """Write the task down, let the team do it, add up the shares."""
        code, memory = self.code, self.kernel.memory
        memory.framed = True
        mark = code.let("load i64, ptr %frame")
        shares = self._allocate(self.width * 8, chunks)
        others, own = code.let(f"sub i64 {chunks}, 1"), {}
        for k in self.sharing.added:
            elements = self._elements(k)
            own[k] = (self._allocate(BYTES[self.eqn.outs[k].type.dtype], others, elements), elements)
        noted = [("i64", self.bounds[0]), ("i64", count), ("i64", self.bounds[2]), ("ptr", shares)]
        noted += [part for pointer, elements in own.values() for part in (("ptr", pointer), ("i64", elements))]
        noted += [part for parts in self.parts for part in parts]
        memory.entry.append(f"  {task} = alloca [{len(noted)} x i64], align 8")
        for position, (type, text) in enumerate(noted):
            code.do(f"store {type} {text}, ptr {_slot(code, task, position)}")
        self.module.functions[f"{self.name}.chunk"] = self._chunk([type for type, _ in noted])
        control = self._blas_control()
        run = code.address("team_run")
        code.do(f"call void {run}(ptr @{self.name}.chunk, ptr {task}, i64 {chunks}, {control})")
        self._add_up(shares, slots, chunks)
        for k, (pointer, elements) in own.items():
            self._add_arrays(k, pointer, elements, others, chunks)
        memory.sweep(mark, mark, [])

    def _allocate(self, unit: int, rows: str, columns: str = "1") -> str:
        """Memory of the frame, or MemoryError."""
        code = self.code
        function = code.address("adcompile_alloc")
        pointer = code.let(f"call ptr {function}(ptr %frame, i64 {unit}, i64 {rows}, i64 {columns})")
        self.kernel.fail_if(code.let(f"icmp eq ptr {pointer}, null"), Failure("memory", self.eqn.loc))
        return pointer

    def _blas_control(self) -> str:
        """OpenBLAS's get and set of its number of threads, where the loop multiplies matrices."""
        if not any(e.op == "gemm" for e in walk(self.eqn.regions[0])) or not blas.thread_control():
            return "ptr null, ptr null"
        return ", ".join(f"ptr {self.code.address(f'blas {word} threads')}" for word in ("get", "set"))

    def _add_up(self, shares: str, slots: str, chunks: str) -> None:
        """The first failure, or the sums of all chunks, from what the loop started with."""
        code = self.code
        for position, k in enumerate(self.summed):
            code.do(f"store {LLVM[self.eqn.outs[k].type.dtype]} {self.inits[k]}, ptr {_slot(code, slots, position)}")
        if not self.summed and not self.can_fail:
            return
        with _each(code, "0", chunks) as number:
            share = _slot(code, shares, code.let(f"mul nsw i64 {number}, {self.width}"))
            self._check(code.let(f"load i64, ptr {share}"), _slot(code, share, 1 + len(self.summed)))
            for position, (k, operation, _) in enumerate(self.sharing.sums):
                dtype, total = self.eqn.outs[k].type.dtype, _slot(code, slots, position)
                old = code.let(f"load {LLVM[dtype]}, ptr {total}")
                more = code.let(f"load {LLVM[dtype]}, ptr {_slot(code, share, 1 + position)}")
                code.do(f"store {LLVM[dtype]} {scalars.emit(code, operation, dtype, [old, more])}, ptr {total}")

    def _add_arrays(self, k: int, own: str, elements: str, others: str, chunks: str) -> None:
        """Add the arrays of the other threads to that of the first, in their order; a long array by all threads."""
        code, entry = self.code, self.kernel.memory.entry
        task = f"%sum{len(entry)}"
        entry.append(f"  {task} = alloca [4 x i64], align 8")
        noted = [("ptr", self.inits[k].pointer), ("ptr", own), ("i64", elements), ("i64", others)]
        for position, (type, text) in enumerate(noted):
            code.do(f"store {type} {text}, ptr {_slot(code, task, position)}")
        long = code.let(f"icmp ugt i64 {elements}, {LONG}")
        parts = code.let(f"select i1 {long}, i64 {chunks}, i64 1")
        adder = _adder(self.module, self.eqn.outs[k].type.dtype)
        code.do(f"call void {code.address('team_run')}(ptr @{adder}, ptr {task}, i64 {parts}, ptr null, ptr null)")

    # -- a chunk --------------------------------------------------------------------------------------------------

    def _chunk(self, types: list[str]) -> str:
        """The function that a thread calls: its bounds and arrays from the task, then the loop."""
        code = Code(self.module)
        noted = [code.let(f"load {type}, ptr {_slot(code, '%task', k)}") for k, type in enumerate(types)]
        start, count, step, shares = noted[:4]
        own, rest = noted[4 : 4 + 2 * len(self.sharing.added)], noted[4 + 2 * len(self.sharing.added) :]
        bounds = _bounds(code, start, count, step)
        parts = []
        for operand in self.parts:
            parts.append([(type, text) for (type, _), text in zip(operand, rest[: len(operand)], strict=True)])
            rest = rest[len(operand) :]
        for place, k in enumerate(self.sharing.added):
            array = _array(code, self.eqn.outs[k].type.dtype, parts[k][0][1], *own[2 * place : 2 * place + 2])
            parts[k] = [("ptr", array), *parts[k][1:]]
        for k, _, nothing in self.sharing.sums:
            dtype = self.eqn.outs[k].type.dtype
            parts[k] = [(LLVM[dtype], literal(nothing.value, dtype))]
        share = _slot(code, shares, code.let(f"mul nsw i64 %chunk, {self.width}"))
        status = self._call(code, bounds, parts, _slot(code, share, 1))
        code.do(f"store i64 {status}, ptr {share}")
        code.do("ret void")
        head = f"define internal void @{self.name}.chunk(ptr %task, i64 %chunk, i64 %chunks) noinline nounwind {{"
        return "\n".join([head, "entry:", *code.lines, "}"])


def _bounds(code: Code, start: str, count: str, step: str) -> list[str]:
    """The bounds of a chunk: all are equally long to one iteration."""
    length = code.let(f"udiv i64 {count}, %chunks")
    rest = code.let(f"urem i64 {count}, %chunks")
    longer = code.call("i64", "llvm.umin.i64", ("i64", "%chunk"), ("i64", rest))
    before = code.let(f"add i64 {code.let(f'mul i64 %chunk, {length}')}, {longer}")
    more = code.let(f"zext i1 {code.let(f'icmp ult i64 %chunk, {rest}')} to i64")
    own = code.let(f"add i64 {length}, {more}")
    first = code.let(f"add i64 {start}, {code.let(f'mul i64 {before}, {step}')}")
    return [first, code.let(f"add i64 {first}, {code.let(f'mul i64 {own}, {step}')}"), step]


def _array(code: Code, dtype: str, original: str, own: str, elements: str) -> str:
    """The array that a chunk adds to: the original in the first one, zeros of its own in every other."""
    first = code.let("icmp eq i64 %chunk, 0")
    offset = code.let(f"mul i64 {code.let('sub i64 %chunk, 1')}, {elements}")
    mine = code.let(f"getelementptr {LLVM[dtype]}, ptr {own}, i64 {offset}")
    size = code.let(f"select i1 {first}, i64 0, i64 {code.let(f'mul i64 {elements}, {BYTES[dtype]}')}")
    code.module.declare("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    code.do(f"call void @llvm.memset.p0.i64(ptr {mine}, i8 0, i64 {size}, i1 false)")
    return code.let(f"select i1 {first}, ptr {original}, ptr {mine}")


def _adder(module: Module, dtype: str) -> str:
    """A function for the team that adds the rows of one array to another array: a chunk is a part of the elements."""
    name, type = f"add.{dtype}", LLVM[dtype]
    if name not in module.functions:
        code = Code(module)
        to, own = (code.let(f"load ptr, ptr {_slot(code, '%task', k)}") for k in range(2))
        elements, rows = (code.let(f"load i64, ptr {_slot(code, '%task', 2 + k)}") for k in range(2))
        first, stop, _ = _bounds(code, "0", elements, "1")
        begin, leave = code.label("some"), code.label("none")
        code.do(f"br i1 {code.let(f'icmp slt i64 {first}, {stop}')}, label %{begin}, label %{leave}")
        code.start(begin)
        with _each(code, "0", rows) as row:
            array = code.let(f"getelementptr {type}, ptr {own}, i64 {code.let(f'mul nsw i64 {row}, {elements}')}")
            with _each(code, first, stop) as number:
                total, more = (code.let(f"getelementptr {type}, ptr {p}, i64 {number}") for p in (to, array))
                one, two = (code.let(f"load {type}, ptr {p}") for p in (total, more))
                code.do(f"store {type} {scalars.emit(code, 'add', dtype, [one, two])}, ptr {total}")
        code.do(f"br label %{leave}")
        code.start(leave)
        code.do("ret void")
        head = f"define internal void @{name}(ptr %task, i64 %chunk, i64 %chunks) noinline nounwind {{"
        module.functions[name] = "\n".join([head, "entry:", *code.lines, "}"])
    return name

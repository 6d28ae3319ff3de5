"""Turns a trace of the loop dialect into an LLVM function: regions into blocks, carried values into phis.

``kernel(parameters…, slots) -> i64``: a scalar parameter is one argument, an array a pointer and its sizes; ``slots``
takes the results (a scalar one slot of 8 bytes, an array its pointer and sizes), then two details of a failure.
Returns 0 or the number of a `Failure`. Nothing that the kernel allocated outlives it but its results.

Loops are emitted as LLVM's vectoriser wants them: a guard, then a body that tests at its end, a 64-bit counter that
does not wrap. An addition that only feeds a loop-carried sum carries ``reassoc``: the order of a sum is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import arrays, control, gram, regions, repeats, scalars, vecmath
from adcompile.backend.llvm.code import LLVM, Code, Module, literal
from adcompile.backend.llvm.memory import Buffer, Memory, Operand
from adcompile.backend.llvm.roots import Roots
from adcompile.errors import MissingRule
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Trace, Value
from adcompile.ir.core import uses
from adcompile.ir.types import FLOATS, NOT_ONE


class Kernel:
    """One kernel under construction, or the function of a loop that is repeated (`within`).

    ``written`` are the array parameters that it updates in place, ``repeated`` the loops that are to be functions.

    A program has one, and one for each loop that threads share; they number their failures together.
    """

    def __init__(
        self,
        trace: Trace,
        module: Module,
        name: str = "kernel",
        failures: list[Failure] | None = None,
        written: frozenset[Value] = frozenset(),
        repeated: Set[Eqn] = frozenset(),
    ):
        self.trace, self.module, self.name, self.written = trace, module, name, written
        self.repeated = repeated
        self.code = Code(module)
        self.roots = Roots(trace)
        self.uses = Counter(uses(trace.block))
        self.env: dict[Value, Operand] = {}
        self.made: dict[Value, Eqn] = {}
        self.depths: dict[str, int] = {}
        self.failures: list[Failure] = [] if failures is None else failures
        self.failing: list[tuple[str, str, str, str]] = []
        self.sums: set[int] = set()
        self.depth = 0
        self.memory = Memory(self.code, self.roots, trace)

    # -- the function ---------------------------------------------------------------------------------------------

    def emit(self) -> str:
        """The text of the kernel's definition."""
        self.roots.check_results(self.trace)
        signature = [part for i, p in enumerate(self.trace.params) for part in self._parameter(i, p)]
        self._return(self.block(self.trace.block))
        body = self.memory.prologue() + self.code.lines
        self.memory.describe_scopes()
        arguments = ", ".join([*signature, "ptr noalias %slots"])
        apart = "noinline " if self.name == "kernel" else ""  # a short loop had better not stand apart
        head = f"define internal i64 @{self.name}({arguments}) {apart}nounwind {{\nentry:\n"
        return head + "\n".join(body) + "\n}"

    def within(self, trace: Trace) -> Kernel:
        """The kernel of a loop in a function of its own; its parameters tell LLVM which buffers are disjoint."""
        kernel = Kernel(trace, self.module)
        kernel.memory.scoped = False
        return kernel

    def _parameter(self, index: int, param: Value) -> list[str]:
        if isinstance(param.type, Scalar):
            self.env[param] = f"%p{index}"
            return [f"{LLVM[param.type.dtype]} %p{index}"]
        sizes = tuple(str(d) if isinstance(d, int) else f"%p{index}.{k}" for k, d in enumerate(param.type.dims))
        self.env[param] = Buffer(f"%p{index}", sizes, param)
        self.memory.trusted.update(sizes)
        for size, known in zip(sizes[1:], param.type.dims[1:], strict=True):
            if known == NOT_ONE:
                self.memory.strides[size] = self.code.call("i64", "llvm.umax.i64", ("i64", size), ("i64", "2"))
        access = "noalias" if param in self.written else "noalias readonly"
        return [f"ptr {access} %p{index}", *(f"i64 %p{index}.{k}" for k in range(param.type.rank))]

    def _return(self, results: list[Operand]) -> None:
        position, kept = 0, []
        for result, operand in zip(self.trace.results, results, strict=True):
            if isinstance(operand, Buffer):
                kept.append(operand.pointer)
            for type, text in slots_of(self.code, result, operand):
                self.code.do(f"store {type} {text}, ptr {self._slot(position)}")
                position += 1
        self.memory.finish(kept)
        self.code.do("ret i64 0")
        if self.failing:
            self._fail(position)

    def _slot(self, position: int) -> str:
        return self.code.let(f"getelementptr i64, ptr %slots, i64 {position}")

    def _fail(self, position: int) -> None:
        self.code.start("failed")
        for name, column in (("code", 1), ("a", 2), ("b", 3)):
            choices = ", ".join(f"[ {failing[column]}, %{failing[0]} ]" for failing in self.failing)
            self.code.do(f"%failed.{name} = phi i64 {choices}")
        for offset, name in enumerate(("a", "b")):
            self.code.do(f"store i64 %failed.{name}, ptr {self._slot(position + offset)}")
        self.memory.finish([])
        self.code.do("ret i64 %failed.code")

    def fail_if(self, bad: str, failure: Failure, a: str = "0", b: str = "0") -> None:
        """Leave the kernel with a failure where ``bad`` holds."""
        self.failures.append(failure)
        self.leave_if(bad, str(len(self.failures)), a, b)

    def leave_if(self, bad: str, number: str, a: str, b: str) -> None:
        """Leave the kernel with the failure of a number where ``bad`` holds."""
        going_on = self.code.label("checked")
        self.failing.append((self.code.here, number, a, b))
        unlikely = self.module.shared('!{!"branch_weights", i32 1, i32 100000}')
        self.code.do(f"br i1 {bad}, label %failed, label %{going_on}, !prof {unlikely}")
        self.code.start(going_on)

    # -- operands -------------------------------------------------------------------------------------------------

    def read(self, atom: Atom) -> Operand:
        """The operand of an atom."""
        return literal(atom.value, atom.type.dtype) if isinstance(atom, Const) else self.env[atom]

    def scalar(self, atom: Atom, dtype: str) -> str:
        """A scalar atom converted to a dtype."""
        if isinstance(atom, Const):
            return literal(atom.value, dtype)
        return scalars.convert(self.code, self.env[atom], atom.type.dtype, dtype)

    def index(self, atom: Atom) -> str:
        """A scalar atom as a 64-bit integer."""
        return self.scalar(atom, "int64")

    def fitted(self, atom: Atom, like: Value) -> Operand:
        """What a region hands to a merge of the type of ``like``."""
        return self.scalar(atom, like.type.dtype) if isinstance(like.type, Scalar) else self.read(atom)

    # -- equations ------------------------------------------------------------------------------------------------

    def block(self, block: Block) -> list[Operand]:
        """Write the equations of a block and read its results."""
        for eqn in block.eqns:
            self.equation(eqn)
        return [self.read(r) for r in block.results]

    def equation(self, eqn: Eqn) -> None:
        """Write one equation."""
        handler = _HANDLERS.get(eqn.op)
        outs = handler(self, eqn) if handler else (self.elementwise(eqn),)
        for out, operand in zip(eqn.outs, outs, strict=True):
            self.env[out], self.made[out] = operand, eqn
            if isinstance(operand, str):
                self.depths.setdefault(operand, self.depth)

    def elementwise(self, eqn: Eqn) -> str:
        """An elementwise primitive on scalars."""
        if any(isinstance(a.type, Array) for a in eqn.args) or not eqn.outs:
            raise MissingRule(f"{eqn.op} of arrays is not in the loop dialect", eqn.loc)
        out = eqn.outs[0].type.dtype
        dtype = _common(eqn.args) if eqn.op in scalars.PREDICATES else out
        if eqn.op == "pow":
            simple = self._power(eqn, dtype)
            if simple is not None:
                return simple
        operands = [self.scalar(a, dtype) for a in eqn.args]
        if self.depth and dtype in FLOATS and eqn.op in vecmath.FUNCTIONS:
            return vecmath.call(self.code, eqn.op, dtype, operands)
        if id(eqn) in self.sums:
            return self.code.let(f"f{eqn.op} reassoc {self.module.flags}{LLVM[dtype]} {operands[0]}, {operands[1]}")
        return scalars.emit(self.code, eqn.op, dtype, operands, eqn.loc)

    def _power(self, eqn: Eqn, dtype: str) -> str | None:
        """Powers that are cheaper than pow, and the refusal of negative integer exponents."""
        base, exponent = eqn.args
        known = exponent.value if isinstance(exponent, Const) else None
        if dtype in FLOATS:
            return _float_power(self.code, self.scalar(base, dtype), known, dtype)
        if known is None or known < 0:
            power = self.scalar(exponent, dtype)
            if scalars.kind(dtype) == "i":
                bad = self.code.let(f"icmp slt {LLVM[dtype]} {power}, 0")
                self.fail_if(bad, Failure("power", eqn.loc))
        return None


def _loop(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """A loop shared among threads, a call where it is one of many that are equal, or else the loop itself."""
    if "threads" in eqn.attrs:
        return regions.share(kernel, eqn, Kernel)
    called = repeats.call(kernel, eqn) if eqn in kernel.repeated else None
    return control.loop(kernel, eqn) if called is None else called


def _cast(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    return [kernel.scalar(eqn.args[0], eqn.outs[0].type.dtype)]


def _where(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    condition, *choices = eqn.args
    dtype = eqn.outs[0].type.dtype
    test = scalars.truth(kernel.code, condition.type.dtype, kernel.read(condition))
    one, two = (f"{LLVM[dtype]} {kernel.scalar(c, dtype)}" for c in choices)
    return [kernel.code.let(f"select i1 {test}, {one}, {two}")]


_HANDLERS = {"cast": _cast, "where": _where, **control.HANDLERS, **arrays.HANDLERS, **gram.HANDLERS, "loop": _loop}


def slots_of(code: Code, result: Atom, operand: Operand) -> list[tuple[str, str]]:
    """The 8-byte slots of a result as (type, text) pairs."""
    if isinstance(operand, Buffer):
        return [("ptr", operand.pointer), *(("i64", size) for size in operand.sizes)]
    if result.type.dtype == "bool":
        return [("i64", code.let(f"zext i1 {operand} to i64"))]
    return [(LLVM[result.type.dtype], operand)]


def _common(atoms: Sequence[Atom]) -> str:
    """The dtype in which scalars are compared."""
    dtypes = {a.type.dtype for a in atoms}
    if len(dtypes) == 1:
        return dtypes.pop()
    samples = [_sample(a) for a in atoms]
    try:
        return np.result_type(*samples).name
    except OverflowError:  # a Python number beyond a small integer dtype
        return np.result_type(*{a.type.dtype for a in atoms}).name


def _sample(atom: Atom) -> Any:
    """What stands for an atom in NumPy's promotion."""
    if not (isinstance(atom.type, Scalar) and atom.type.weak):
        return np.dtype(atom.type.dtype)
    if isinstance(atom, Const):
        return atom.value
    return {"float64": 1.0, "int64": 1, "bool": True}[atom.type.dtype]


def _float_power(code: Code, base: str, exponent: object, dtype: str) -> str | None:
    """Powers x ** c that take one or two instructions; each rounds once, the cube twice."""
    type, one = LLVM[dtype], literal(1.0, dtype)
    match exponent:
        case 0:
            return one
        case 1:
            return base
        case 2:
            return code.let(f"fmul {code.module.flags}{type} {base}, {base}")
        case 3:
            return code.let(f"fmul {code.module.flags}{type} {code.let(f'fmul {type} {base}, {base}')}, {base}")
        case -1:
            return code.let(f"fdiv {code.module.flags}{type} {one}, {base}")
    return None

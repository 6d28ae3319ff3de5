"""Loops that a program repeats (the layers of a list, the parameters of a network) as functions that are called.

LLVM optimises and compiles such a loop once, so that compile time does not grow with the number of layers. Two loops
repeat each other if they are equal up to what their values are called; whether one function serves both is then decided
by its text, in which equal operands are one parameter. What LLVM knows of a loop in place it knows in the function: its
buffers are disjoint (``noalias``), checked here by `Roots.disjoint`.

A loop becomes a function only as a whole: outermost of those that neither allocate nor fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from adcompile.backend.llvm.code import LLVM, is_literal
from adcompile.backend.llvm.memory import Buffer, Operand
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Trace, Value
from adcompile.ir.core import free_values, walk

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel

TIMES = 3
"""How often a loop is repeated before it is worth a function."""
_OPEN = frozenset({"empty", "copy", "part", "gemm", "check_same", "check_index", "check_nonzero", "check_true"})
"""Equations that make, cut, hand on or fail: not in a function."""


def repeated(block: Block) -> set[Eqn]:
    """The loops that are to become calls of functions."""
    patterns = {loop: _pattern(loop) for loop in _closed_loops(block)}
    times = Counter(patterns.values())
    return {loop for loop, pattern in patterns.items() if times[pattern] >= TIMES}


def _closed_loops(block: Block) -> Iterator[Eqn]:
    """The outermost loops that a function can hold."""
    for eqn in block.eqns:
        if eqn.op == "loop" and not any(e.op in _OPEN for e in walk(eqn.regions[0])):
            yield eqn
        else:
            for region in eqn.regions:
                yield from _closed_loops(region)


def _pattern(loop: Eqn) -> tuple:
    """What a loop is, up to what its values are called and where the user wrote it."""
    numbers: dict[Value, int] = {}

    def atom(a: Atom) -> Any:
        return a.key if isinstance(a, Const) else (numbers.setdefault(a, len(numbers)), a.type)

    def block(b: Block) -> tuple:
        return tuple(map(atom, b.params)), tuple(map(equation, b.eqns)), tuple(map(atom, b.results))

    def equation(e: Eqn) -> tuple:
        regions, outs = tuple(map(block, e.regions)), tuple(map(atom, e.outs))
        return e.op, tuple(map(atom, e.args)), repr(sorted(e.attrs.items())), regions, outs

    return equation(loop)


class _Parameters:
    """The parameters of a function, one for each operand of the caller; numbers stay numbers."""

    def __init__(self):
        self.names: dict[tuple[str, str], str] = {}

    def of(self, type: str, operand: str) -> str:
        """The parameter that an operand is handed to."""
        return operand if is_literal(operand) else self.names.setdefault((type, operand), f"%p{len(self.names)}")

    def take(self, value: Value, operand: Operand) -> Operand:
        """An operand of the caller as the function sees it."""
        if isinstance(value.type, Scalar):
            return self.of(LLVM[value.type.dtype], operand)
        return Buffer(self.of("ptr", operand.pointer), tuple(self.of("i64", size) for size in operand.sizes), value)


def call(kernel: Kernel, loop: Eqn) -> list[Operand] | None:
    """Call the function of a loop, which is defined on the way; None where it must stay in place."""
    inputs = free_values(Block((), (loop,), ()))
    written = _written(kernel, loop, inputs)
    if written is None:
        return None
    parameters = _Parameters()
    inner = kernel.within(Trace("loop", Block(inputs, (loop,), loop.outs)))
    inner.env.update({v: parameters.take(v, kernel.env[v]) for v in inputs})
    results = inner.block(inner.trace.block)
    if inner.failures:
        return None
    scalars = [(LLVM[o.type.dtype], r) for o, r in zip(loop.outs, results, strict=True) if isinstance(o.type, Scalar)]
    returned = _return(inner, scalars)
    marked = {"ptr": "ptr noalias readonly", **{p: "ptr noalias" for p in written}}
    head = ", ".join(f"{marked.get(o) or marked.get(t, t)} {p}" for (t, o), p in parameters.names.items())
    lines = [f"define internal {returned} @{{self}}({head}) noinline nounwind {{", "entry:", *inner.code.lines, "}"]
    name = kernel.module.define("loop", "\n".join(lines))
    given = f"@{name}({', '.join(f'{t} {o}' for t, o in parameters.names)})"
    found = _called(kernel, f"call {returned} {given}", [t for t, _ in scalars])
    pairs = zip(loop.outs, loop.args[3:], strict=True)
    return [next(found) if isinstance(out.type, Scalar) else kernel.read(start) for out, start in pairs]


def _written(kernel: Kernel, loop: Eqn, inputs: tuple[Value, ...]) -> set[str] | None:
    """The buffers that a loop writes; None unless it is certain that they are no other's, and it keeps to them."""
    roots = {kernel.env[v].pointer: kernel.roots.root(v) for v in inputs if isinstance(v.type, Array)}
    arrays = [o for e in walk(Block((), (loop,), ())) for o in e.outs if isinstance(o.type, Array)]
    if any(kernel.roots.root(o) not in roots.values() for o in arrays):
        return None
    written = {kernel.read(a).pointer for a in loop.args[3:] if isinstance(a.type, Array)}
    apart = all(kernel.roots.disjoint(roots[w], r) for w in written for p, r in roots.items() if p != w)
    return written if apart else None


def _return(inner: Kernel, scalars: list[tuple[str, str]]) -> str:
    """End a function with its scalar results; the type that it returns."""
    if not scalars:
        inner.code.do("ret void")
        return "void"
    type = f"{{ {', '.join(t for t, _ in scalars)} }}"
    whole = "poison"
    for k, (part, operand) in enumerate(scalars):
        whole = inner.code.let(f"insertvalue {type} {whole}, {part} {operand}, {k}")
    inner.code.do(f"ret {type} {whole}")
    return type


def _called(kernel: Kernel, instruction: str, types: list[str]) -> Iterator[str]:
    """Call a function; its scalar results."""
    if not types:
        kernel.code.do(instruction)
        return iter(())
    whole = kernel.code.let(instruction)
    type = f"{{ {', '.join(types)} }}"
    return iter([kernel.code.let(f"extractvalue {type} {whole}, {k}") for k in range(len(types))])

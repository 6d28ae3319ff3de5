"""Control flow: ``if``, ``loop`` and ``while`` as LLVM blocks; carried values as phis.

A carried array that stays in its buffer (see `adcompile.backend.llvm.roots`) needs no phi at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from adcompile.backend.failures import Failure
from adcompile.backend.llvm import scalars
from adcompile.backend.llvm.code import LLVM
from adcompile.backend.llvm.memory import Buffer, Operand
from adcompile.backend.llvm.roots import carried, initial
from adcompile.ir import Block, Const, Eqn, Scalar, Value
from adcompile.ir.core import walk
from adcompile.ir.types import FLOATS

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel


def _branch(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """``if``: two blocks, and a phi for every result that differs."""
    code = kernel.code
    condition = scalars.truth(code, eqn.args[0].type.dtype, kernel.read(eqn.args[0]))
    labels, join, ends = [code.label("then"), code.label("else")], code.label("join"), []
    code.do(f"br i1 {condition}, label %{labels[0]}, label %{labels[1]}")
    for label, region in zip(labels, eqn.regions, strict=True):
        code.start(label)
        kernel.block(region)
        results = [kernel.fitted(r, out) for r, out in zip(region.results, eqn.outs, strict=True)]
        ends.append((results, code.here))
        code.do(f"br label %{join}")
    code.start(join)
    outs = [_merge(kernel, out, [(results[k], label) for results, label in ends]) for k, out in enumerate(eqn.outs)]
    _announce(kernel, eqn.outs)
    return outs


def _merge(kernel: Kernel, out: Value, choices: list[tuple[Operand, str]]) -> Operand:
    """A phi per scalar, pointer and size, where the choices differ."""
    if isinstance(out.type, Scalar):
        return _phi(kernel, LLVM[out.type.dtype], choices)
    pointer = _phi(kernel, "ptr", [(buffer.pointer, label) for buffer, label in choices])
    sizes = tuple(_phi(kernel, "i64", [(b.sizes[k], label) for b, label in choices]) for k in range(out.type.rank))
    kernel.memory.trusted.update(sizes)
    return Buffer(pointer, sizes, kernel.roots.root(out))


def _phi(kernel: Kernel, type: str, choices: list[tuple[str, str]]) -> str:
    if len({text for text, _ in choices}) == 1:
        return choices[0][0]
    return kernel.code.let(f"phi {type} " + ", ".join(f"[ {text}, %{label} ]" for text, label in choices))


def _announce(kernel: Kernel, values: tuple[Value, ...]) -> None:
    """Tell LLVM that the roots which begin here are new in every iteration."""
    for value in values:
        if value in kernel.roots.order and kernel.roots.root(value) is value:
            kernel.memory.announce(value, kernel.depth)


class _Carried:
    """The phis at the head of a loop, closed when the end of its body is known.

    Where the body allocates, one of them is how high the frame was after the iteration before (``seen``), at first its
    height before the loop (``mark``).
    """

    def __init__(self, kernel: Kernel, eqn: Eqn, inits: list[Operand], before: str, mark: str | None):
        self.kernel, self.eqn, self.before, self.mark = kernel, eqn, before, mark
        self.open: list[tuple[int, str, str, str, Callable[[list[Operand]], str]]] = []
        self.operands = [self._enter(k, init) for k, init in enumerate(inits)]
        self.height = ""
        self.seen = "" if mark is None else self.phi("i64", mark, lambda results: self.height)

    def _enter(self, k: int, init: Operand) -> Operand:
        param = carried(self.eqn)[k]
        if isinstance(param.type, Scalar):
            return self.phi(LLVM[param.type.dtype], init, lambda results: results[k])
        if self.kernel.roots.in_place(self.eqn, k):
            return init
        pointer = self.phi("ptr", init.pointer, lambda results: results[k].pointer)
        sizes = tuple(
            self.phi("i64", size, lambda results, axis=axis: results[k].sizes[axis])
            for axis, size in enumerate(init.sizes)
        )
        self.kernel.memory.trusted.update(sizes)
        return Buffer(pointer, sizes, param)

    def phi(self, type: str, init: str, pick: Callable[[list[Operand]], str]) -> str:
        """Open a phi; ``pick`` finds its operand among the results of the body."""
        name = self.kernel.code.let("phi")
        self.kernel.depths[name] = self.kernel.depth
        self.open.append((len(self.kernel.code.lines) - 1, name, type, init, pick))
        return name

    def close(self, results: list[Operand]) -> None:
        """Complete the phis from the results at the end of the body."""
        for line, name, type, init, pick in self.open:
            choices = f"[ {init}, %{self.before} ], [ {pick(results)}, %{self.kernel.code.here} ]"
            self.kernel.code.lines[line] = f"  {name} = phi {type} {choices}"

    def moved(self, results: list[Operand]) -> list[str]:
        """The pointers that the next iteration inherits, carried in place ones aside."""
        places = [k for k, r in enumerate(results) if isinstance(r, Buffer)]
        return [results[k].pointer for k in places if not self.kernel.roots.in_place(self.eqn, k)]


def _body(kernel: Kernel, eqn: Eqn, phis: _Carried) -> list[Operand]:
    """The equations of a loop's body and its results; what it allocated and did not carry on is released."""
    body: Block = eqn.regions[-1]
    kernel.env.update(zip(carried(eqn), phis.operands, strict=True))
    _announce(kernel, carried(eqn))
    kernel.block(body)
    results = [kernel.fitted(r, out) for r, out in zip(body.results, eqn.outs, strict=True)]
    if phis.mark is not None:
        phis.height = kernel.memory.sweep(phis.mark, phis.seen, phis.moved(results))
    return results


def loop(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """A counted loop: guard, body, test at the end of the body."""
    code, body = kernel.code, eqn.regions[0]
    index, (first, stop, stride, test) = _counter(kernel, eqn)
    inits = [kernel.fitted(a, out) for a, out in zip(initial(eqn), eqn.outs, strict=True)]
    mark = kernel.memory.mark(body)
    begin, leave, before = code.label("loop"), code.label("done"), code.here
    code.do(f"br i1 {code.let(f'icmp {test} i64 {first}, {stop}')}, label %{begin}, label %{leave}")
    kernel.depth += 1
    summed = sums(eqn, kernel.uses)
    kernel.sums |= summed
    code.start(begin)
    phis = _Carried(kernel, eqn, inits, before, mark)
    following: list[str] = []
    counter = phis.phi("i64", first, lambda results: following[0])
    kernel.env[body.params[0]] = index(counter)
    kernel.depths[kernel.env[body.params[0]]] = kernel.depth
    kernel.memory.group = kernel.module.shared("distinct !{}") if eqn.attrs.get("independent") else ""
    results = _body(kernel, eqn, phis)
    following.append(code.let(f"add nsw i64 {counter}, {stride}"))
    again = code.let(f"icmp {test} i64 {following[0]}, {stop}")
    phis.close(results)
    after = code.here
    code.do(f"br i1 {again}, label %{begin}, label %{leave}{_hints(kernel, body, bool(summed))}")
    kernel.depth, kernel.memory.group = kernel.depth - 1, ""
    code.start(leave)
    outs = [
        init if _stays(kernel, eqn, k) else _merge(kernel, eqn.outs[k], [(init, before), (result, after)])
        for k, (init, result) in enumerate(zip(inits, results, strict=True))
    ]
    _announce(kernel, eqn.outs)
    return outs


def _hints(kernel: Kernel, body: Block, summed: bool) -> str:
    """Metadata against copies of a loop's body, which take longer to compile than they save at run time.

    A loop is not unrolled by LLVM, nor, unless it builds up a sum and waits for each addition, interleaved with itself.
    Where its iterations are known to be independent, LLVM need not find out.
    """
    shared = kernel.module.shared
    hints = [shared('!{!"llvm.loop.unroll.runtime.disable"}')]
    if not summed and not any(eqn.op in ("loop", "while") for eqn in walk(body)):
        hints.append(shared('!{!"llvm.loop.interleave.count", i32 1}'))
    if kernel.memory.group:
        hints.append(shared(f'!{{!"llvm.loop.parallel_accesses", {kernel.memory.group}}}'))
    listed = ", ".join(["{self}", *hints])
    return f", !llvm.loop {shared('distinct !{' + listed + '}')}"


def _stays(kernel: Kernel, eqn: Eqn, k: int) -> bool:
    return not isinstance(eqn.outs[k].type, Scalar) and kernel.roots.in_place(eqn, k)


def _counter(kernel: Kernel, eqn: Eqn) -> tuple[Callable[[str], str], tuple[str, str, str, str]]:
    """How a loop counts: the index from the counter, and the counter's first value, bound, stride and test."""
    code = kernel.code
    start, stop, step = (kernel.scalar(a, "int64") for a in eqn.args[:3])
    if isinstance(eqn.args[2], Const) and eqn.args[2].value:
        return lambda counter: counter, (start, stop, step, "slt" if eqn.args[2].value > 0 else "sgt")
    kernel.fail_if(code.let(f"icmp eq i64 {step}, 0"), Failure("step", eqn.loc))
    up = code.let(f"icmp sgt i64 {step}, 0")
    span = code.let(f"sub i64 {stop}, {start}")
    toward = code.let(f"select i1 {up}, i64 {step}, i64 {code.let(f'sub i64 0, {step}')}")
    length = code.let(f"select i1 {up}, i64 {span}, i64 {code.let(f'sub i64 0, {span}')}")
    rounded = code.let(f"add i64 {length}, {code.let(f'sub i64 {toward}, 1')}")
    count = code.let(f"sdiv i64 {rounded}, {toward}")

    def index(counter: str) -> str:
        return code.let(f"add i64 {start}, {code.let(f'mul i64 {counter}, {step}')}")

    return index, ("0", count, "1", "slt")


def sums(eqn: Eqn, uses: Counter) -> set[int]:
    """The float additions of a loop's body that only build up one of its carried values; LLVM may reorder them.

    What is subtracted from the value counts as added.
    """
    body, found = eqn.regions[0], set()
    made = {e.outs[0]: e for e in body.eqns if e.op in ("add", "sub") and e.outs[0].type.dtype in FLOATS}
    for param, result in zip(carried(eqn), body.results, strict=True):
        chain, current = set(), result
        while current in made and uses[current] == 1 and uses[param] == 1:
            added = made[current]
            chain.add(id(added))
            carrying = added.args if added.op == "add" else added.args[:1]
            if param in carrying:
                found |= chain
                break
            current = next((a for a in carrying if a in made), None)
    return found


def _while(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """``while``: the condition at the head, where the loop also leaves."""
    code, (condition, body) = kernel.code, eqn.regions
    inits = [kernel.fitted(a, out) for a, out in zip(eqn.args, eqn.outs, strict=True)]
    mark = kernel.memory.mark(body)
    head, begin, leave, before = code.label("while"), code.label("body"), code.label("done"), code.here
    code.do(f"br label %{head}")
    kernel.depth += 1
    code.start(head)
    phis = _Carried(kernel, eqn, inits, before, mark)
    kernel.env.update(zip(condition.params, phis.operands, strict=True))
    (test,) = kernel.block(condition)
    going_on = scalars.truth(code, condition.results[0].type.dtype, test)
    code.do(f"br i1 {going_on}, label %{begin}, label %{leave}")
    code.start(begin)
    results = _body(kernel, eqn, phis)
    phis.close(results)
    code.do(f"br label %{head}")
    kernel.depth -= 1
    code.start(leave)
    _announce(kernel, eqn.outs)
    return [
        Buffer(o.pointer, o.sizes, kernel.roots.root(out)) if isinstance(o, Buffer) else o
        for o, out in zip(phis.operands, eqn.outs, strict=True)
    ]


HANDLERS = {"if": _branch, "while": _while}

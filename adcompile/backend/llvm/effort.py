"""How much work a loop is, computed by the program before it runs the loop: for the choice between threads and none.

The unit is an addition in a vectorised loop, about a twentieth of a nanosecond. Iterations times the cost of the body,
where the lengths of inner loops are computed from what is known before the loop (sizes above all); one that depends on
the loop's own index is taken as long as in the middle iteration, any other unknown one as `UNKNOWN`. An estimate,
nothing more: it decides who does the work, never what is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adcompile.backend.llvm.code import is_literal, literal
from adcompile.ir import Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.core import walk

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel

UNKNOWN = 8
PRODUCT = 4000
"""A product of matrices, whose sizes are not looked at."""
_COSTS = {"exp": 12, "log": 12, "tanh": 16, "sin": 12, "cos": 12, "pow": 40, "div": 4, "sqrt": 4, "gemm": PRODUCT}
_FREE = frozenset({"empty", "dim", "reshape", "part", "cast", "identity", "stop_gradient"})
_DIRECT = {"add": "add i64 {}, {}", "sub": "sub i64 {}, {}", "mul": "mul i64 {}, {}"}
_EXTREMES = {"minimum": "smin", "maximum": "smax"}


def effort(kernel: Kernel, loop: Eqn, count: str) -> str:
    """The work of ``count`` iterations of a loop, a double."""
    return _Estimate(kernel, loop, count).total()


class _Estimate:
    """Reads sizes where the kernel stands, before the loop."""

    def __init__(self, kernel: Kernel, loop: Eqn, count: str):
        self.kernel, self.code, self.count, (self.body,) = kernel, kernel.code, count, loop.regions
        self.definitions = {o: e for e in walk(self.body) for o in e.outs}
        start = self.known(loop.args[0])
        half = self.code.let(f"sdiv i64 {count}, 2")
        middle = self.code.let(f"add i64 {start or '0'}, {half}")
        self.seen: dict[Value, str | None] = {self.body.params[0]: middle}

    def total(self) -> str:
        return self.times(self.count, self.block(self.body))

    def times(self, count: str, cost: str) -> str:
        """A number of iterations times the cost of one, in floating point so that nothing overflows."""
        number = (
            literal(float(count), "float64") if is_literal(count) else self.code.let(f"sitofp i64 {count} to double")
        )
        return self.code.let(f"fmul double {number}, {cost}")

    def block(self, block: Block) -> str:
        """The cost of a block's equations."""
        fixed = sum(_COSTS.get(e.op, 1) for e in block.eqns if not e.regions and e.op not in _FREE)
        cost = literal(float(fixed + 1), "float64")
        for eqn in (e for e in block.eqns if e.regions):
            inner = self.block(eqn.regions[-1])
            if eqn.op != "if":
                inner = self.times(self.trips(eqn), inner)
            cost = self.code.let(f"fadd double {cost}, {inner}")
        return cost

    def trips(self, eqn: Eqn) -> str:
        """About how many iterations a loop has."""
        bounds = [self.known(a) for a in eqn.args[:3]] if eqn.op == "loop" else [None]
        if None in bounds:
            return str(UNKNOWN)
        start, stop, step = (str(b) for b in bounds)
        span = self.code.let(f"sub i64 {stop}, {start}")
        if is_literal(step):
            length = self.code.let(f"sdiv i64 {span}, {step}") if int(step) else "0"
            return self.code.call("i64", "llvm.smax.i64", ("i64", length), ("i64", "0"))
        return str(UNKNOWN)

    def known(self, atom: Atom) -> str | None:
        """An integer as it is before the loop; None where it is not known then."""
        if isinstance(atom, Const):
            return literal(atom.value, "int64")
        if isinstance(atom.type, Array) or atom.type.dtype != "int64":
            return None
        if atom in self.kernel.env:
            return self.kernel.scalar(atom, "int64")
        if atom not in self.seen:
            self.seen[atom] = self.computed(self.definitions.get(atom))
        return self.seen[atom]

    def computed(self, eqn: Eqn | None) -> str | None:
        """The value of an equation of the body, on numbers that are known."""
        if eqn is None:
            return None
        if eqn.op == "dim" and eqn.args[0] in self.kernel.env:
            return self.kernel.read(eqn.args[0]).sizes[eqn.attrs["axis"]]
        if eqn.op not in (*_DIRECT, *_EXTREMES):
            return None
        operands = [self.known(a) for a in eqn.args]
        if None in operands:
            return None
        one, two = (str(o) for o in operands)
        if eqn.op in _DIRECT:
            return self.code.let(_DIRECT[eqn.op].format(one, two))
        return self.code.call("i64", f"llvm.{_EXTREMES[eqn.op]}.i64", ("i64", one), ("i64", two))

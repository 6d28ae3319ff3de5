"""Which arrays of a block are stored: a plan made before lowering, from how often each element would be computed.

Every use of an array is traced to the loop nests that would compute it: an elementwise operation hands on the nests of
its result, a view changes the index map, a broadcast repeats. An array that several nests (or one nest several times)
would compute is stored unless that costs next to nothing; so is what must be a buffer anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from adcompile.ir import Array, Block, Eqn, Type, Value, free_values
from adcompile.primitives import PRIMITIVES

_CHEAP = 2
"""Operations per element below which computing twice beats storing."""
HEAVY = 8
_FREE = frozenset({"cast", "identity", "again", "stop_gradient"})
_COSTS = {"div": 4, "sqrt": 4, "floordiv": 4, "mod": 4, **dict.fromkeys(
    ("add", "sub", "mul", "neg", "square", "abs", "sign", "maximum", "minimum", "where", "lt", "le", "gt", "ge", "eq",
     "ne", "logical_and", "logical_or", "logical_not", "bitand", "bitor", "bitxor", "floor", "ceil", "trunc", "rint",
     "isnan", "isinf", "isfinite"), 1)}  # fmt: skip
_MAPS = frozenset({"index", "transpose", "broadcast_to", "reshape", "roll"})
_STREAMS = frozenset({"sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "concatenate"})

Nests = dict[tuple, None]
"""Loop nests with the index maps on the way to them; two tell as much as many."""


def to_force(block: Block) -> set[Value]:
    """The arrays of a block that are to be stored in a buffer where they are defined."""
    uses: dict[Value, int] = {}
    for eqn in block.eqns:
        for a in eqn.args:
            if isinstance(a, Value):
                uses[a] = uses.get(a, 0) + 1
    forced = {o for e in block.eqns for o in e.outs if uses.get(o, 0) > 1 and own_cost(e) >= HEAVY}
    for _ in range(4):
        found = _Plan(block, _costs(block, forced)).forced
        if found == forced:
            break
        forced = found
    return forced


def own_cost(eqn: Eqn) -> int:
    """Operations per element of one equation."""
    if eqn.op in _FREE or not (eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise):
        return 0
    return _COSTS.get(eqn.op, 20)


def _costs(block: Block, forced: set[Value]) -> dict[Value, int]:
    """Operations per element of every delayed array, given which others are stored."""
    costs: dict[Value, int] = {}
    for eqn in block.eqns:
        delayed = eqn.op in _MAPS or (eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise)
        if not delayed or not isinstance(eqn.outs[0].type, Array):
            continue
        operands = {a for a in eqn.args if isinstance(a, Value) and a not in forced}
        costs[eqn.outs[0]] = own_cost(eqn) + sum(costs.get(a, 0) for a in operands)
    return costs


class _Plan:
    """One backward walk; ``forced`` is its result."""

    def __init__(self, block: Block, costs: dict[Value, int]):
        self.costs = costs
        self.nests: dict[Value, Nests] = {}
        self.needed: set[Value] = set()
        self.forced: set[Value] = set()
        self.defined_by = {o: e for e in block.eqns for o in e.outs}
        self.store(block.results)
        for eqn in reversed(block.eqns):
            self.equation(eqn)

    def equation(self, eqn: Eqn) -> None:
        """Decide on the results, then hand the uses on to the operands."""
        for out in eqn.outs:
            if isinstance(out.type, Array) and eqn.op != "full" and (out in self.needed or self.repeats(out)):
                self.forced.add(out)
        if eqn.regions:
            self.control(eqn)
            return
        out = eqn.outs[0] if eqn.outs else None
        here: Nests = {(out,): None} if out in self.forced or out is None else self.nests.get(out, {})
        self.operands(eqn, here)

    def repeats(self, value: Value) -> bool:
        """Whether storing pays."""
        return len(self.nests.get(value, ())) > 1 and self.costs.get(value, 0) > _CHEAP

    # -- uses -------------------------------------------------------------------------------------------------

    def store(self, atoms: Iterable[Any]) -> None:
        """These are buffers; a transposed matrix leaves its transposition to its consumer."""
        self.needed.update(a for a in atoms if isinstance(a, Value))

    def use(self, atom: Any, nests: Iterable[tuple]) -> None:
        """The element-wise computation of ``atom`` happens in these nests."""
        if isinstance(atom, Value) and isinstance(atom.type, Array):
            known = self.nests.setdefault(atom, {})
            for nest in nests:
                if len(known) < 2:
                    known[nest] = None

    def control(self, eqn: Eqn) -> None:
        """Carried arrays are stored, captured ones would be computed again and again."""
        self.store(eqn.args)
        for region in eqn.regions:
            for value in free_values(region):
                self.use(value, [(eqn, 0), (eqn, 1)])
                if value in self.defined_by and self.defined_by[value].op == "transpose":
                    self.store([value])

    def operands(self, eqn: Eqn, here: Nests) -> None:
        """The uses that one equation makes of its operands."""
        if eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise:
            for a in eqn.args:
                self.use(a, _through(eqn, a.type, eqn.outs[0].type, here))
        elif eqn.op in _MAPS:
            self.map(eqn, here)
        elif eqn.op in _STREAMS:
            for position, a in enumerate(eqn.args):
                self.use(a, [(eqn, position)])
        elif eqn.op in ("store", "accumulate"):
            self.store(eqn.args[:1])
            for position, a in enumerate(eqn.args[1:]):
                self.use(a, [(eqn, position)])
        elif eqn.op in ("matmul", "gemm"):
            self.product(eqn, here)
        elif eqn.op not in ("dim", "empty", "full"):
            self.store(eqn.args)

    def map(self, eqn: Eqn, here: Nests) -> None:
        """Views and gathers."""
        base, out = eqn.args[0], eqn.outs[0].type
        if eqn.op == "index" and not isinstance(out, Array):
            return
        if eqn.op == "reshape" and _long(base.type) != _long(out):
            self.store([base])
            return
        gathers = eqn.op == "index" and ("array",) in eqn.attrs["spec"]
        repeats = gathers or (eqn.op == "broadcast_to" and not _is_column(base.type, out))
        self.use(base, _tagged(here, eqn, repeats))
        for position, a in enumerate(eqn.args[1:], 1):
            self.use(a, [(*nest, eqn, position) for nest in here])

    def product(self, eqn: Eqn, here: Nests) -> None:
        """Operands of a matrix product are stored, those of an outer product are read elementwise."""
        a, b = eqn.args[-2:]
        if eqn.op == "matmul" and a.type.rank == b.type.rank == 1:
            self.use(a, [(eqn,)])
            self.use(b, [(eqn,)])
        elif eqn.op == "matmul" and a.type.rank == b.type.rank == 2 and a.type.dims[1] == 1:
            self.use(a, _tagged(here, eqn, False))
            self.use(b, _tagged(here, eqn, True))
        else:
            self.store(self.untransposed(x) for x in eqn.args)

    def untransposed(self, atom: Any) -> Any:
        """The matrix behind a transposition."""
        eqn = self.defined_by.get(atom)
        return eqn.args[0] if eqn is not None and eqn.op == "transpose" and eqn.attrs["perm"] == (1, 0) else atom


def _through(eqn: Eqn, operand: Type, result: Type, here: Nests) -> Sequence[tuple]:
    """The nests of a result as seen by an elementwise operand."""
    if operand.dims == result.dims or not isinstance(operand, Array):
        return list(here)
    if [d == 1 for d in operand.dims] == [d == 1 for d in result.dims]:
        return list(here)
    return _tagged(here, eqn, not _is_column(operand, result))


def _tagged(here: Nests, eqn: Eqn, repeats: bool) -> list[tuple]:
    """The nests with another index map in between, twice where elements are read repeatedly."""
    return [(*nest, eqn, time) for nest in here for time in range(2 if repeats else 1)]


def _is_column(operand: Type, result: Type) -> bool:
    """Whether an operand is constant along the innermost dimensions only, where its computation leaves the loop."""
    lead = result.rank - operand.rank
    varies = [axis + lead for axis, d in enumerate(operand.dims) if d != 1]
    axes = [axis for axis, d in enumerate(result.dims) if d != 1]
    return axes[: len(varies)] == varies


def _long(type: Type) -> int:
    """How many dimensions are not known to be 1."""
    return sum(d != 1 for d in type.dims)

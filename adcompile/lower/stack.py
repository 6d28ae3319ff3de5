"""Loop dialect → loop dialect: products with one matrix become one product, their operands laid out side by side.

A value and its derivatives go through a layer by the same weights: ``h @ w``, ``h_x @ w``, ``h_xx @ w``. Their buffers
become parts of one buffer, row after row, and so do the results; then a single ``gemm`` does the work of all. The
cotangents of the weights, ``h.T @ v_bar + h_x.T @ v_x_bar + …``, are one product of the same buffers.

The last pass: from here on the equations' order, not their operands alone, says that a part is written before the whole
is read. It needs updates that are legal in place (`adcompile.analysis.inplace`), and keeps them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from adcompile.ir import ANY, Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.ir.types import INDEX

_UPDATES = frozenset({"store", "accumulate", "gemm"})
_PLAIN = _UPDATES | {"empty", "index", "dim", "copy", "loop"}
"""Equations that leave a buffer where it is; one that meets another equation is in no stack."""


def stack_products(block: Block) -> Block:
    """Stack the products of a block, and of the blocks in it."""
    eqns = [replace(e, regions=tuple(map(stack_products, e.regions))) if e.regions else e for e in block.eqns]
    block = Block(block.params, tuple(eqns), block.results)
    return _Stacking(block).rewritten()


@dataclass(eq=False)
class _Stack:
    """Buffers of equal sizes that become parts of one."""

    members: list[Eqn]
    whole: Value = field(init=False)

    def __post_init__(self):
        (first,) = self.members[0].outs
        self.whole = Value(
            Array(first.type.dtype, (ANY, *first.type.dims[1:])), f"{first.name}_stack" * bool(first.name)
        )

    def place(self, origin: Eqn) -> int:
        """The position of a buffer; -1 where it is no part."""
        return next((k for k, member in enumerate(self.members) if member is origin), -1)

    def allocation(self) -> list[Eqn]:
        """The equations that make the whole, before the first of its parts."""
        first = self.members[0]
        rows = Value(INDEX)
        count = Eqn("mul", (Const(len(self.members), INDEX), first.args[0]), (rows,), {}, first.loc, (), first.note)
        attrs = {"dtype": self.whole.type.dtype, "dims": self.whole.type.dims}
        return [count, Eqn("empty", (rows, *first.args[1:]), (self.whole,), attrs, first.loc, (), first.note)]

    def part(self, origin: Eqn) -> Eqn:
        """The equation that takes the place of an allocation."""
        return replace(origin, op="part", args=(self.whole, *origin.args), attrs={"place": self.place(origin)})


class _Stacking:
    """Which products of one block are stacked, and the block with them."""

    def __init__(self, block: Block):
        self.block = block
        self.origins: dict[Atom, Eqn] = {}
        self.positions: dict[int, int] = {}
        self.touched: dict[int, list[int]] = {}
        self.kept: set[int] = set()
        for position, eqn in enumerate(block.eqns):
            self.positions[id(eqn)] = position
            self.follow(eqn, position)
        self.keep(block.results)
        self.stacks: dict[int, _Stack] = {}
        self.joined: dict[int, list[Eqn]] = {}

    def follow(self, eqn: Eqn, position: int) -> None:
        """Note which allocation every version of a buffer is in, and where it is read or written."""
        for value in eqn_inputs(eqn):
            if value in self.origins:
                self.touched[id(self.origins[value])].append(position)
        if eqn.op not in _PLAIN:
            self.keep(eqn_inputs(eqn))
        if eqn.op == "empty" and eqn.outs[0].type.rank == 2:
            self.origins[eqn.outs[0]] = eqn
            self.touched[id(eqn)] = []
        elif eqn.op in _UPDATES and eqn.args[0] in self.origins:
            self.origins[eqn.outs[0]] = self.origins[eqn.args[0]]
        elif eqn.op == "loop":
            for k, (out, start) in enumerate(zip(eqn.outs, eqn.args[3:], strict=True)):
                if start in self.origins and _in_place(eqn, k):
                    self.origins[out] = self.origins[start]
                else:
                    self.keep([start])

    def keep(self, atoms: Iterable[Atom]) -> None:
        """Buffers that may go on under another name, and stay by themselves."""
        self.kept |= {id(self.origins[a]) for a in atoms if isinstance(a, Value) and a in self.origins}

    # -- which products ---------------------------------------------------------------------------------------------

    def rewritten(self) -> Block:
        """The block with one product for each group."""
        products = [e for e in self.block.eqns if e.op == "gemm"]
        for group in self.groups(products):
            self.stack(group, products)
        for chain in self.chains(products):
            self.join(chain)
        return self.emit() if self.joined else self.block

    def groups(self, products: Sequence[Eqn]) -> Iterator[list[Eqn]]:
        """Products of different buffers with the same matrix, none of which needs the result of another."""
        found: dict[tuple, list[Eqn]] = {}
        for eqn in products:
            c, a, b = eqn.args
            plain = not eqn.attrs["accumulate"] and not eqn.attrs["trans_a"]
            if plain and self.is_free(a) and self.is_free(c) and b not in self.origins:
                sizes = (self.origins[c].args, self.origins[a].args, c.type, a.type)
                found.setdefault((b, eqn.attrs["trans_b"], *sizes), []).append(eqn)
        for group in found.values():
            while len(group) > 1:
                together = self.independent(group)
                group = group[len(together) :]
                if len(together) > 1:
                    yield together

    def is_free(self, atom: Atom) -> bool:
        """A buffer of this block that does not outlive it and is in no stack yet."""
        origin = self.origins.get(atom) if isinstance(atom, Value) else None
        return origin is not None and id(origin) not in self.kept and id(origin) not in self.stacks

    def independent(self, group: Sequence[Eqn]) -> list[Eqn]:
        """The first products of a group that may be computed where the last of them is."""
        chosen: list[Eqn] = []
        for eqn in group:
            until = self.positions[id(eqn)]
            fresh = len({id(self.origins[x]) for e in (*chosen, eqn) for x in e.args[:2]}) == 2 * len(chosen) + 2
            if not fresh or not all(self.may_wait(e, until) for e in chosen):
                break
            chosen.append(eqn)
        return chosen

    def may_wait(self, eqn: Eqn, until: int) -> bool:
        """Whether nothing reads the result or changes the operand of a product before a position."""
        c, a, _ = eqn.args
        here = self.positions[id(eqn)]
        used = any(here < p < until for p in self.touched[id(self.origins[c])])
        written = any(
            here < p < until and any(self.origins.get(o) is self.origins[a] for o in self.block.eqns[p].outs)
            for p in self.touched[id(self.origins[a])]
        )
        return not used and not written

    def stack(self, group: list[Eqn], products: Sequence[Eqn]) -> None:
        """Lay the operands and the results of a group side by side, in the order of what they are multiplied with."""
        if not all(self.is_free(x) for e in group for x in e.args[:2]):
            return
        order = sorted(group, key=lambda e: self.partner(e, products))
        for position in (0, 1):
            members = [self.origins[e.args[position]] for e in order]
            stack = _Stack(members)
            self.stacks.update((id(m), stack) for m in members)
        self.joined[id(max(group, key=lambda e: self.positions[id(e)]))] = group

    def partner(self, eqn: Eqn, products: Sequence[Eqn]) -> int:
        """The place in its stack of the buffer whose product with this operand is a cotangent of the weights."""
        for other in products:
            left, right = other.args[1:]
            if other.attrs["trans_a"] and self.origins.get(right) is self.origins[eqn.args[1]]:
                origin = self.origins.get(left)
                return self.stacks[id(origin)].place(origin) if origin and id(origin) in self.stacks else 0
        return 0

    # -- sums of products -------------------------------------------------------------------------------------------

    def chains(self, products: Sequence[Eqn]) -> Iterator[list[Eqn]]:
        """Products added to one array, one after the other."""
        shares: dict[Atom, Eqn] = {e.args[0]: e for e in products if e.attrs["accumulate"] and self.is_share(e)}
        made: set[Atom] = {e.outs[0] for e in shares.values()}
        for start in [e for target, e in shares.items() if target not in made]:
            chain = [start]
            while (following := shares.get(chain[-1].outs[0])) is not None:
                chain.append(following)
            yield chain

    def is_share(self, eqn: Eqn) -> bool:
        """Whether a product is a sum over rows of two stacked buffers."""
        flags = eqn.attrs["trans_a"] and not eqn.attrs["trans_b"]
        return flags and all(id(self.origins.get(x)) in self.stacks for x in eqn.args[1:])

    def join(self, chain: list[Eqn]) -> None:
        """A chain over all pairs of two stacks is one product."""
        pairs = [(self.origins[a], self.origins[b]) for _, a, b in (e.args for e in chain)]
        left, right = (self.stacks[id(o)] for o in pairs[0])
        found = sorted((left.place(a), right.place(b)) for a, b in pairs)
        whole = found == [(k, k) for k in range(len(left.members))] and len(right.members) == len(left.members)
        last = self.positions[id(chain[-1])]
        if whole and all(self.unchanged(e, last) and not self.is_read(e, last) for e in chain):
            self.joined[id(chain[-1])] = chain

    def is_read(self, eqn: Eqn, until: int) -> bool:
        """Whether the result of a product is read before a position, other than by the next of its chain."""
        between = self.block.eqns[self.positions[id(eqn)] + 1 : until]
        readers = [e for e in between if eqn.outs[0] in eqn_inputs(e)]
        return any(e.op != "gemm" or e.args[0] is not eqn.outs[0] or eqn.outs[0] in e.args[1:] for e in readers)

    def unchanged(self, eqn: Eqn, until: int) -> bool:
        """Whether nothing writes into the operands of a product before a position."""
        here = self.positions[id(eqn)]
        between = self.block.eqns[here + 1 : until]
        origins = {id(self.origins[x]) for x in eqn.args[1:]}
        return not any(id(self.origins.get(o)) in origins for e in between for o in e.outs)

    # -- the new block ----------------------------------------------------------------------------------------------

    def emit(self) -> Block:
        """Allocations become parts, groups become one product where their last one was."""
        dropped = {id(e) for group in self.joined.values() for e in group}
        names: dict[Value, Atom] = {}
        made: set[int] = set()
        eqns: list[Eqn] = []
        for eqn in self.block.eqns:
            stack = self.stacks.get(id(eqn))
            if stack is not None:
                eqns += [] if id(stack) in made else stack.allocation()
                made.add(id(stack))
                eqn = stack.part(eqn)
            if id(eqn) in self.joined:
                eqns.append(self.product(self.joined[id(eqn)], eqn))
            elif id(eqn) not in dropped:
                eqns.append(eqn)
            if id(eqn) in dropped and eqn.outs[0] not in (eqns[-1].outs if eqns else ()):
                target = eqn.args[0]
                names[eqn.outs[0]] = names.get(target, target) if isinstance(target, Value) else target
        inner = substitute(Block((), tuple(eqns), self.block.results), names, lambda value: value)
        return Block(self.block.params, inner.eqns, inner.results)

    def product(self, group: Sequence[Eqn], last: Eqn) -> Eqn:
        """The one product that stands for a group."""
        c, a, b = group[0].args
        left = self.stacks[id(self.origins[a])].whole
        if last.attrs["accumulate"]:
            return replace(last, args=(c, left, self.stacks[id(self.origins[b])].whole))
        target = self.stacks[id(self.origins[c])].whole
        return replace(last, args=(target, left, b), outs=(Value(target.type),))


def _in_place(loop: Eqn, k: int) -> bool:
    """Whether a loop hands its k-th carried array on in the buffer that it came in."""
    (body,) = loop.regions
    made: dict[Atom, Eqn] = {o: e for e in body.eqns for o in e.outs}
    value = body.results[k]
    while value in made:
        eqn = made[value]
        if eqn.op in _UPDATES:
            value = eqn.args[0]
        elif eqn.op == "loop" and _in_place(eqn, list(eqn.outs).index(value)):  # type: ignore[arg-type]
            value = eqn.args[3 + list(eqn.outs).index(value)]  # type: ignore[arg-type]
        else:
            return False
    return value is body.params[1 + k]


__all__ = ["stack_products"]

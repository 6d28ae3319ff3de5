"""Products and transposes: ``(A B)ᵀ`` is ``Bᵀ Aᵀ``, and a symmetric matrix is its own transpose.

The adjoint of ``X.T @ X`` is a sum of two products, one of them transposed. With ``S`` symmetric these are one and the
same: ``X @ S`` and ``(S @ X.T).T``. Symmetric are ``X.T @ X``, ``X @ X.T``, and what is computed of symmetric matrices
and numbers element by element. Products of the primal stay what they are, to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adcompile.ir import Atom, Block, Eqn, Value
from adcompile.ir.core import uses, walk
from adcompile.primitives import PRIMITIVES

_SAME = frozenset({"copy", "identity", "again", "stop_gradient"})


def share_products(block: Block) -> Block:
    """An equal block in which no product is computed twice, one of them transposed.

    Parameters
    ----------
    block : a block of the array dialect; its regions are rewritten, too.

    Returns
    -------
    Block
        The block; what nobody reads any more is still there.
    """
    if not any(e.op == "matmul" for e in walk(block)):
        return block
    return _Products(Counter(uses(block))).block(block)


@dataclass
class _Products:
    """What is known of the matrices of a program; ``names`` says what a value is now."""

    count: Counter
    made: dict[Atom, Eqn] = field(default_factory=dict)
    names: dict[Atom, Atom] = field(default_factory=dict)
    symmetric: set[Atom] = field(default_factory=set)

    def block(self, block: Block) -> Block:
        """A block with its products shared, those of the blocks around it included."""
        shared: dict[tuple[Atom, ...], Atom] = {}
        eqns: list[Eqn] = []
        for eqn in block.eqns:
            args = tuple(self.names.get(a, a) for a in eqn.args)
            new = replace(eqn, args=args, regions=tuple(map(self.block, eqn.regions)))
            for step in self.turned(new, shared):
                self.made.update(dict.fromkeys(step.outs, step))
                if self.is_symmetric(step):
                    self.symmetric.update(step.outs)
                if _is_product(step) and step.args in shared:
                    self.names[step.outs[0]] = shared[step.args]
                elif step.op == "transpose" and step.args[0] in self.symmetric:
                    self.names[step.outs[0]] = step.args[0]
                else:
                    eqns.append(step)
                    shared.update({step.args: step.outs[0]} if _is_product(step) else {})
        return Block(block.params, tuple(eqns), tuple(self.names.get(r, r) for r in block.results))

    def turned(self, eqn: Eqn, shared: Mapping[tuple[Atom, ...], Atom]) -> list[Eqn]:
        """A transposed product of this block as the product of the transposes, where nobody wants the product itself.

        ``shared`` are the products of this block.
        """
        product = self.made.get(eqn.args[0]) if _is_transpose(eqn) else None
        if product is None or product.note != "adjoint" or product.args not in shared or self.count[eqn.args[0]] > 1:
            return [eqn]
        left, right = product.args
        steps: list[Eqn] = []
        turned = tuple(self.transpose(a, eqn, steps) for a in (right, left))
        return [*steps, replace(product, args=turned, outs=eqn.outs, loc=eqn.loc, note=eqn.note)]

    def transpose(self, atom: Atom, like: Eqn, steps: list[Eqn]) -> Atom:
        """The transpose of an operand: what it is the transpose of, itself, or a new equation of ``steps``."""
        eqn = self.made.get(atom)
        if atom in self.symmetric:
            return atom
        if eqn is not None and _is_transpose(eqn):
            return eqn.args[0]
        steps.append(replace(like, args=(atom,), outs=(Value(replace(atom.type, dims=atom.type.dims[::-1])),)))  # type: ignore[type-var]
        return steps[-1].outs[0]

    def is_symmetric(self, eqn: Eqn) -> bool:
        """Whether the result of an equation is a symmetric matrix."""
        if _is_product(eqn):
            left, right = eqn.args
            return self.opposite(left, right) or self.opposite(right, left)
        elementwise = eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise
        if not eqn.outs or eqn.outs[0].type.rank != 2 or not (elementwise or eqn.op in _SAME or _is_transpose(eqn)):
            return False
        return all(a.type.rank == 0 or a in self.symmetric for a in eqn.args)

    def opposite(self, one: Atom, two: Atom) -> bool:
        """Whether the first is the transpose of the second."""
        eqn = self.made.get(one)
        return eqn is not None and _is_transpose(eqn) and eqn.args[0] is two


def _is_transpose(eqn: Eqn) -> bool:
    return eqn.op == "transpose" and eqn.attrs["perm"] == (1, 0)


def _is_product(eqn: Eqn) -> bool:
    return eqn.op == "matmul" and all(a.type.rank == 2 for a in eqn.args)

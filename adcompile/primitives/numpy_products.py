"""NumPy's products: dot, matmul, inner, outer, kron, tensordot, einsum, cross, around ``matmul``."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from adcompile.errors import InvalidArgument, MissingRule, ShapeMismatch, StaticValueRequired
from adcompile.primitives.algebra import Handle
from adcompile.primitives.arguments import axes_of, axis_of, firm, product, refuse
from adcompile.primitives.numpy_rearranging import diagonal
from adcompile.primitives.numpy_shapes import flatten, reshape, stack, transpose
from adcompile.primitives.registry import expansion


@expansion(np.matmul, operator.matmul, operator.imatmul)
def matmul(op, x1, x2, **options):
    """``np.matmul``."""
    refuse("np.matmul", **options)
    a, b = op.lift(x1), op.lift(x2)
    if a.rank == 0 or b.rank == 0:
        raise ShapeMismatch("matmul: an operand is a scalar; use * instead")
    return a @ b


@expansion(np.dot)
def dot(op, a, b, out=None):
    """``np.dot``: over the last axis of ``a`` and the last but one of ``b``."""
    refuse("np.dot", out=out)
    a, b = op.lift(a), op.lift(b)
    if a.rank == 0 or b.rank == 0:
        return firm(op, a) * firm(op, b)  # Python's numbers count as NumPy's here
    if b.rank <= 2:
        return a @ b
    return tensordot(op, a, b, ((a.rank - 1,), (b.rank - 2,)))


@expansion(np.inner)
def inner(op, a, b):
    """``np.inner``: over the last axes."""
    a, b = op.lift(a), op.lift(b)
    if a.rank == 0 or b.rank == 0:
        return firm(op, a) * firm(op, b)  # Python's numbers count as NumPy's here
    if b.rank == 1:
        return a @ b
    return tensordot(op, a, b, ((a.rank - 1,), (b.rank - 1,)))


@expansion(np.vdot)
def vdot(op, a, b):
    """``np.vdot``."""
    return flatten(op, a) @ flatten(op, b)


@expansion(np.outer)
def outer(op, a, b, out=None):
    """``np.outer``."""
    refuse("np.outer", out=out)
    return op.unsqueeze(flatten(op, a), (1,)) * op.unsqueeze(flatten(op, b), (0,))


@expansion(np.kron)
def kron(op, a, b):
    """``np.kron``: every element of ``a`` times ``b``."""
    a, b = firm(op, a), firm(op, b)
    if a.rank == 0 or b.rank == 0:
        return a * b
    rank = max(a.rank, b.rank)
    a, b = (op.unsqueeze(x, tuple(range(rank - x.rank))) if x.rank < rank else x for x in (a, b))
    pairs = list(zip(op.shape(a), op.shape(b), strict=True))
    grid = reshape(op, outer(op, a, b), (*(n for n, _ in pairs), *(m for _, m in pairs)))
    order = [i for axis in range(rank) for i in (axis, rank + axis)]
    return reshape(op, transpose(op, grid, order), [n * m for n, m in pairs])


@expansion(np.tensordot)
def tensordot(op, a, b, axes=2):
    """``np.tensordot``."""
    a, b = op.lift(a), op.lift(b)
    if isinstance(axes, (tuple, list)):
        sum_a, sum_b = axes_of(axes[0], a.rank), axes_of(axes[1], b.rank)
    else:
        sum_a, sum_b = tuple(range(a.rank - axes, a.rank)), tuple(range(axes))
    if len(sum_a) != len(sum_b):
        raise ShapeMismatch("shape-mismatch for sum")
    for i, j in zip(sum_a, sum_b, strict=True):
        op.check_same(op.size(a, i), op.size(b, j), "shape-mismatch for sum")
    free_a = tuple(i for i in range(a.rank) if i not in sum_a)
    free_b = tuple(j for j in range(b.rank) if j not in sum_b)
    rows, columns = [op.size(a, i) for i in free_a], [op.size(b, j) for j in free_b]
    inner_size = product([op.size(a, i) for i in sum_a])
    left = reshape(op, transpose(op, a, (*free_a, *sum_a)), (product(rows), inner_size))
    right = reshape(op, transpose(op, b, (*sum_b, *free_b)), (inner_size, product(columns)))
    return reshape(op, left @ right, (*rows, *columns))


@expansion(np.cross)
def cross(op, a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """``np.cross`` of three-dimensional vectors along the last axis."""
    a, b = op.lift(a), op.lift(b)
    places = [
        axis_of(i, x.rank) for i, x in ((axisa if axis is None else axis, a), (axisb if axis is None else axis, b))
    ]
    if places != [a.rank - 1, b.rank - 1] or axisc != -1 or (a.type.dims[-1], b.type.dims[-1]) == (2, 2):
        raise MissingRule("np.cross is supported for 3-vectors along the last axis", remedy="Move the axis to the end.")
    for x in (a, b):
        op.check_same(op.size(x, x.rank - 1), 3, "incompatible dimensions for cross product (dimension must be 3)")
    x, y = ([_component(op, v, i) for i in range(3)] for v in (a, b))
    return stack(op, [x[i - 2] * y[i - 1] - x[i - 1] * y[i - 2] for i in range(3)], axis=-1)


def _component(op: Any, x: Handle, i: int) -> Handle:
    return op("index", x, i, spec=(*(("slice", False, False, 1),) * (x.rank - 1), ("int",)))


# -- einsum -----------------------------------------------------------------------------------------------------


@expansion(np.einsum)
def einsum(op, subscripts, *operands, **options):
    """``np.einsum`` with static subscripts: operands are contracted pairwise from the left."""
    refuse("np.einsum", **{k: v for k, v in options.items() if k != "optimize"})
    if not isinstance(subscripts, str):
        raise StaticValueRequired("np.einsum needs its subscripts as a string", remedy="Write them as a literal.")
    terms, output = _parse(subscripts)
    arrays = [firm(op, x) for x in operands]
    if len(terms) != len(arrays):
        raise InvalidArgument("einstein sum subscripts string does not match the number of operands")
    for term, x in zip(terms, arrays, strict=True):
        if len(term) != x.rank:
            raise ShapeMismatch(f"einsum subscripts {term!r} do not fit an operand of rank {x.rank}")
    pairs = [_diagonals(op, term, x) for term, x in zip(terms, arrays, strict=True)]
    terms, arrays = [p[0] for p in pairs], [p[1] for p in pairs]
    labels, x = terms[0], arrays[0]
    for k in range(1, len(terms)):
        needed = set(output).union(*terms[k + 1 :])
        labels, x = _contract(op, (labels, x), (terms[k], arrays[k]), needed)
    labels, x = _summed(op, labels, x, set(output))
    return transpose(op, x, [labels.index(i) for i in output]) if x.rank > 1 else x


def _parse(subscripts: str) -> tuple[list[str], str]:
    """The labels of every operand and of the result."""
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if "." in text:
        raise MissingRule(f"einsum subscripts {subscripts!r} have an ellipsis", remedy="Write out the labels.")
    if len(set(output)) != len(output):
        raise InvalidArgument(f"einsum subscripts {subscripts!r} have an output label twice")
    if not arrow:
        output = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if set(output) - set(left):
        raise InvalidArgument(f"einsum subscripts {subscripts!r} have an output label without an input")
    return terms, output


def _diagonals(op: Any, labels: str, x: Handle) -> tuple[str, Handle]:
    """An operand with every label once: a repeated one stands for the diagonal of its axes."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            one = labels.index(label)
            two = labels.index(label, one + 1)
            op.check_same(op.size(x, one), op.size(x, two), f"einsum: label {label!r}")
            x = diagonal(op, x, axis1=one, axis2=two)
            labels = "".join(c for k, c in enumerate(labels) if k not in (one, two)) + label
    return labels, x


def _summed(op: Any, labels: str, x: Handle, needed: set[str]) -> tuple[str, Handle]:
    """Sum over the labels that nobody needs."""
    axes = tuple(i for i, c in enumerate(labels) if c not in needed)
    if not axes:
        return labels, x
    total = op.sum(x, axis=axes, keepdims=False)
    return "".join(c for c in labels if c in needed), op.cast(total, dtype=x.type.dtype)


def _contract(op: Any, one: tuple[str, Handle], two: tuple[str, Handle], needed: set[str]) -> tuple[str, Handle]:
    """One product over the labels that both have and nobody needs later, batched over those they share."""
    (left, a), (right, b) = one, two
    left, a = _summed(op, left, a, needed | set(right))
    right, b = _summed(op, right, b, needed | set(left))
    shared = [c for c in left if c in right]
    batch = [c for c in shared if c in needed]
    inner_labels = [c for c in shared if c not in needed]
    rows, columns = [c for c in left if c not in shared], [c for c in right if c not in shared]
    for c in shared:
        op.check_same(op.size(a, left.index(c)), op.size(b, right.index(c)), f"einsum: label {c!r}")
    a_sizes = dict(zip(left, op.shape(a), strict=True))
    b_sizes = dict(zip(right, op.shape(b), strict=True))
    kept = "".join((*batch, *rows, *columns))
    if not inner_labels:
        return kept, _aligned(op, left, a, kept) * _aligned(op, right, b, kept)
    result = _grouped(op, left, a, (batch, rows, inner_labels)) @ _grouped(op, right, b, (batch, inner_labels, columns))
    return kept, reshape(op, result, [{**b_sizes, **a_sizes}[c] for c in kept])


def _aligned(op: Any, labels: str, x: Handle, kept: str) -> Handle:
    """Dimensions in the order of ``kept``, of size one where it has no such label."""
    x = transpose(op, x, [labels.index(c) for c in kept if c in labels]) if x.rank > 1 else x
    missing = [i for i, c in enumerate(kept) if c not in labels]
    return op.unsqueeze(x, missing) if missing else x


def _grouped(op: Any, labels: str, x: Handle, groups: Sequence[Sequence[str]]) -> Handle:
    """Dimensions merged by group: a stack of matrices, or one matrix where the first group is empty."""
    sizes = dict(zip(labels, op.shape(x), strict=True))
    x = transpose(op, x, [labels.index(c) for group in groups for c in group])
    return reshape(op, x, [product([sizes[c] for c in group]) for group in (groups if groups[0] else groups[1:])])

"""Matrix products → ``gemm`` into a new buffer, transposes absorbed; dot products and outer products → loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from adcompile.ir import Array, Block, Eqn, Scalar, Value
from adcompile.ir.core import eqn_inputs
from adcompile.lower.context import Context, Delayed, Lowered
from adcompile.lower.elementwise import apply, mapped
from adcompile.lower.indices import Index, is_one
from adcompile.lower.movement import mapped_view, reshaped, sized
from adcompile.lower.reductions import spread_scalar
from adcompile.primitives import PRIMITIVES, Handle

_INNER = "matmul: inner sizes differ"


def matmul(context: Context, eqn: Eqn, a: Delayed, b: Delayed) -> Lowered:
    """``a @ b`` for ranks 1, 2 and stacks."""
    type = eqn.outs[0].type
    inner = a.sizes[-1]
    context.indices.check_same(inner, b.sizes[max(b.rank - 2, 0)], _INNER)
    a, b = (_in_dtype(context, x, type.dtype) for x in (a, b))
    if a.rank == b.rank == 1:
        return dot(context, a, b, type)
    if a.rank > 2 or b.rank > 2:
        return stacked(context, eqn, a, b)
    rows, columns = a.sizes[:-1], b.sizes[1:]
    one = a if a.rank == 2 else reshaped(context, a, Array(type.dtype, (1, *a.type.dims)), (1, inner))
    two = b if b.rank == 2 else reshaped(context, b, Array(type.dtype, (*b.type.dims, 1)), (inner, 1))
    product = outer(context, one, two) if is_one(inner) else gemm_into_new(context, one, two, eqn.outs[0].name)
    if a.rank == b.rank == 2:
        return product
    return reshaped(context, product, sized(type, (*rows, *columns)), (*rows, *columns))


def _in_dtype(context: Context, x: Delayed, dtype: str) -> Delayed:
    """An operand in the dtype of the product."""
    if x.type.dtype == dtype:
        return x
    return mapped(context, "cast", (x,), Array(dtype, x.type.dims), {"dtype": dtype})


def dot(context: Context, a: Delayed, b: Delayed, type: Scalar | Array) -> Lowered:
    """Two vectors: a sum."""
    scalar = Scalar(type.dtype)

    def take(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        product = apply(context, "mul", (context.at(a, at), context.at(b, at)), scalar, {})
        return [apply(context, "add", (carried[0], product), scalar, {})]

    (total,) = context.nest((0,), a.sizes, (context.op.zero(type.dtype),), take)
    return spread_scalar(total, type, ())


def outer(context: Context, a: Delayed, b: Delayed) -> Delayed:
    """A column by a row: elementwise."""
    scalar, sizes = Scalar(a.type.dtype), (a.sizes[0], b.sizes[1])

    def read(at: tuple[Index, ...]) -> Handle:
        left = context.at(a, (0 if is_one(a.sizes[0]) else at[0], 0))
        return apply(context, "mul", (left, context.at(b, (0, 0 if is_one(b.sizes[1]) else at[1]))), scalar, {})

    type = sized(Array(a.type.dtype, (a.type.dims[0], b.type.dims[1])), sizes)
    return Delayed(type, sizes, read, a.sources | b.sources, depth=1 + max(a.depth, b.depth))


def operand(context: Context, x: Delayed) -> tuple[Handle, bool]:
    """A buffer and whether the operand is its transpose."""
    if x.buffer is None and x.transposed is not None:
        return context.buffer(x.transposed), True
    return context.buffer(x), False


def gemm(context: Context, target: Handle, a: Delayed, b: Delayed, accumulate: bool = False) -> Handle:
    """``target = a @ b`` or ``target += a @ b``."""
    (one, trans_a), (two, trans_b) = operand(context, a), operand(context, b)
    return context.op("gemm", target, one, two, trans_a=trans_a, trans_b=trans_b, accumulate=accumulate)


def gemm_into_new(context: Context, a: Delayed, b: Delayed, name: str = "") -> Delayed:
    """A product in a buffer of its own."""
    sizes = (a.sizes[0], b.sizes[1])
    type = sized(Array(a.type.dtype, (a.type.dims[0], b.type.dims[1])), sizes)
    return context.leaf(gemm(context, context.empty(type, sizes, name), a, b), sizes)


def gemm_rule(context: Context, eqn: Eqn, c: Delayed, a: Delayed, b: Delayed) -> Delayed:
    """A product that is already in the loop dialect's form."""
    attrs = dict(eqn.attrs)
    a, b = _flipped(context, a) if attrs["trans_a"] else a, _flipped(context, b) if attrs["trans_b"] else b
    context.indices.check_same(a.sizes[1], b.sizes[0], _INNER)
    for size, other in zip(c.sizes, (a.sizes[0], b.sizes[1]), strict=True):
        context.indices.check_same(size, other, "operands could not be broadcast together")
    a, b = (_in_dtype(context, x, c.type.dtype) for x in (a, b))
    target = context.force(c, eqn.outs[0].name)
    context.protect(set(target.sources))
    return context.leaf(gemm(context, context.buffer(target), a, b, attrs["accumulate"]), c.sizes)


def _flipped(context: Context, x: Delayed) -> Delayed:
    """The transpose of a matrix."""
    type, read = Array(x.type.dtype, x.type.dims[::-1]), lambda at: context.at(x, at[::-1])
    return mapped_view(x, type, x.sizes[::-1], read, transposed=x)


def fuse_sums(block: Block) -> Block:
    """Array dialect → array dialect: ``c + a @ b`` becomes an accumulating ``gemm`` if nothing else reads ``a @ b``.

    Not where c is computed element by element: then the sum is a part of that computation, and c is no array at all.
    """
    delayed = {e.outs[0] for e in block.eqns if e.op in PRIMITIVES and PRIMITIVES[e.op].elementwise}
    uses = Counter(v for e in block.eqns for v in eqn_inputs(e)) + Counter(set(block.results))
    products = {e.outs[0]: e for e in block.eqns if is_product(e) and uses[e.outs[0]] == 1}
    fused: dict[Value, Eqn] = {}
    for eqn in block.eqns:
        for c, product in (eqn.args, eqn.args[::-1]) if eqn.op == "add" else ():
            if product in products and c is not product and c.type == product.type and c not in delayed - fused.keys():
                attrs = {"trans_a": False, "trans_b": False, "accumulate": True}
                fused[eqn.outs[0]] = replace(eqn, op="gemm", args=(c, *products.pop(product).args), attrs=attrs)
                fused[product] = eqn
                break
    kept = (e for e in block.eqns if not (is_product(e) and e.outs[0] in fused))
    return replace(block, eqns=tuple(fused.get(e.outs[0], e) if e.outs else e for e in kept))


def is_product(eqn: Eqn) -> bool:
    """A product of two matrices that is not an outer product."""
    return eqn.op == "matmul" and all(a.type.rank == 2 for a in eqn.args) and eqn.args[0].type.dims[1] != 1


# -- stacks -------------------------------------------------------------------------------------------------------


def stacked(context: Context, eqn: Eqn, a: Delayed, b: Delayed) -> Delayed:
    """Products over leading dimensions: one gemm where ``b`` is a single matrix, else a loop of gemms on copies."""
    type = eqn.outs[0].type
    if b.rank <= 2 and a.transposed is None:
        rows: Index = 1
        for size in a.sizes[:-1]:
            rows = context.indices.mul(rows, size)
        inner = a.sizes[-1]
        flat = reshaped(context, a, sized(Array(type.dtype, ("?", a.type.dims[-1])), (rows, inner)), (rows, inner))
        matrix = b if b.rank == 2 else reshaped(context, b, Array(type.dtype, (*b.type.dims, 1)), (inner, 1))
        product = gemm_into_new(context, flat, matrix, eqn.outs[0].name)
        sizes = (*a.sizes[:-1], *b.sizes[1:])
        return reshaped(context, product, sized(type, sizes), sizes)
    return _loop_of_products(context, eqn, a, b)


def _loop_of_products(context: Context, eqn: Eqn, a: Delayed, b: Delayed) -> Delayed:
    """One product per element of the leading dimensions, the sums innermost over contiguous rows of ``b``."""
    type = eqn.outs[0].type
    a, b = context.force(a), context.force(b)
    rows = a.sizes[-2:-1] if a.rank > 1 else ()
    columns = b.sizes[-1:] if b.rank > 1 else ()
    lead = _leading_sizes(context, a, b)
    inner, count = a.sizes[-1], len(lead)
    sizes = (*lead, *rows, *columns)
    scalar = Scalar(type.dtype)
    buffer = context.empty(sized(type, sizes), sizes, eqn.outs[0].name)
    zero = context.op.zero(type.dtype)
    (buffer,) = context.nest(
        range(len(sizes)), sizes, (buffer,), lambda at, c: [context.store(c[0], zero, at)], parallel=True
    )

    def step(at: tuple[Index, ...], carried: tuple[Handle, ...]) -> list[Handle]:
        place = count + len(rows)
        stack, k, rest = at[:count], at[place], (*at[count:place], *at[place + 1 :])
        left = (*_stack_at(a, stack), *rest[: len(rows)], k)
        right = (*_stack_at(b, stack), k, *rest[len(rows) :])
        product = apply(context, "mul", (context.at(a, left), context.at(b, right)), scalar, {})
        return [context.accumulate(carried[0], product, (*stack, *rest))]

    walked = (*lead, *rows, inner, *columns)
    return context.leaf(context.nest(range(len(walked)), walked, (buffer,), step)[0], sizes)


def _stack_at(x: Delayed, stack: Sequence[Index]) -> tuple[Index, ...]:
    """Which piece of an operand an element of the leading dimensions uses."""
    lead = max(x.rank - 2, 0)
    return tuple(0 if d == 1 else i for d, i in zip(x.type.dims[:lead], stack[len(stack) - lead :], strict=True))


def _leading_sizes(context: Context, a: Delayed, b: Delayed) -> tuple[Index, ...]:
    """The broadcast leading sizes."""
    sizes: list[Index] = []
    for back in range(max(a.rank, b.rank), 2, -1):
        met = [x.sizes[-back] for x in (a, b) if x.rank >= back and x.type.dims[-back] != 1]
        for other in met[1:]:
            context.indices.check_same(met[0], other, "matmul: operands could not be broadcast together")
        sizes.append(met[0] if met else 1)
    return tuple(sizes)


RULES = {"matmul": matmul, "gemm": gemm_rule}

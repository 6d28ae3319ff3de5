"""The kernels that do not come from loops: matrix products through shared memory, and reductions of a block."""

from __future__ import annotations

from adcompile.codegen.python import Source
from adcompile.ir import Eqn

_PRODUCT = '''\
@cuda.jit
def {name}(a, b, c):
    """c {sign} {left} @ {right}; a block makes one tile of c from strips of tiles in shared memory."""
    a_tile = cuda.shared.array((TILE, PITCH), np.{dtype})
    b_tile = cuda.shared.array((TILE, PITCH), np.{dtype})
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    top, first = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    row, column = top + y, first + x
    inner = a.shape[{a_inner}]
    total = np.{dtype}(0)
    for start in range({strips}):
        {a_load}
        {b_load}
        cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[y, k] * b_tile[k, x]
        cuda.syncthreads()
    if row < c.shape[0] and column < c.shape[1]:
        {write}


'''
_LOADS = {
    ("a", False): ("a_tile[y, x] = a[row, start + x]", "row < a.shape[0] and start + x < inner"),
    ("a", True): ("a_tile[x, y] = a[start + y, top + x]", "start + y < inner and top + x < a.shape[1]"),
    ("b", False): ("b_tile[y, x] = b[start + y, column]", "start + y < inner and column < b.shape[1]"),
    ("b", True): ("b_tile[x, y] = b[first + y, start + x]", "first + y < b.shape[0] and start + x < inner"),
}
"""Neighbouring threads read neighbouring elements, whether the operand is transposed or not."""
_NEARBY = '''\
@cuda.jit(device=True, inline="always")
def {name}(array, near, {places}, value):
    """array[{places}] += value, first within the block, in one step."""
    e = {flat}
    if e < NEAR:
        cuda.atomic.add(near, e, value)
    else:
        cuda.atomic.add(array, {place}, value)


'''
_FLUSH = '''\
@cuda.jit(device=True, inline="always")
def {name}(array, near):
    """Add what the block has added up to the array: one step for each element."""
    for e in range(cuda.threadIdx.x, min(array.size, NEAR), THREADS):
        cuda.atomic.add(array, {place}, near[e])


'''
_REDUCTION = '''\
@cuda.jit(device=True, inline="always")
def {name}(result, part):
    """{doc}"""
    parts = cuda.shared.array(THREADS, np.{dtype})
    here = cuda.threadIdx.x
    parts[here] = part
    cuda.syncthreads()
    width = THREADS // 2
    while width > 0:
        if here < width:
            parts[here] = {combined}
        cuda.syncthreads()
        width //= 2
    if here == 0:
        {write}
    cuda.syncthreads()


'''
_COMBINE = {
    "add": "{0} + {1}",
    "mul": "{0} * {1}",
    "maximum": "maximum_{dtype}({0}, {1})",
    "minimum": "minimum_{dtype}({0}, {1})",
    "logical_and": "{0} and {1}",
    "logical_or": "{0} or {1}",
}
_INTEGER = {"maximum": "max({0}, {1})", "minimum": "min({0}, {1})"}


def in_strips(eqn: Eqn) -> bool:
    """Whether several blocks share the inner dimension of a ``gemm``: it is long where ``a`` is transposed."""
    return eqn.attrs["trans_a"] and eqn.outs[0].type.dtype.startswith("float")


def kernel(eqn: Eqn) -> Source:
    """The kernel of a ``gemm`` equation; equal products share one."""
    dtype, attrs, strips = eqn.outs[0].type.dtype, eqn.attrs, in_strips(eqn)
    adds = attrs["accumulate"] or strips
    name = f"{'add_product' if adds else 'product'}_{'nt'[attrs['trans_a']]}{'nt'[attrs['trans_b']]}_{dtype}"
    write = "c[row, column] += total" if adds else "c[row, column] = total"
    text = _PRODUCT.format(
        name=name,
        dtype=dtype,
        sign="+=" if adds else "=",
        left="a.T" if attrs["trans_a"] else "a",
        right="b.T" if attrs["trans_b"] else "b",
        a_inner=0 if attrs["trans_a"] else 1,
        strips="cuda.blockIdx.z * TILE, inner, cuda.gridDim.z * TILE" if strips else "0, inner, TILE",
        a_load=_load("a", attrs["trans_a"], dtype),
        b_load=_load("b", attrs["trans_b"], dtype),
        write="cuda.atomic.add(c, (row, column), total)" if strips else write,
    )
    return Source(name, text, {})


def _load(operand: str, transposed: bool, dtype: str) -> str:
    assignment, inside = _LOADS[operand, transposed]
    return f"{assignment} if {inside} else np.{dtype}(0)"


def reduction(operation: str, dtype: str) -> Source:
    """A device function that combines the parts of a block's threads; only sums may come from several blocks."""
    add = operation == "add"
    name = f"{'add' if add else operation}_in_block_{dtype}"
    spelling = _COMBINE[operation] if "float" in dtype else _INTEGER.get(operation, _COMBINE[operation])
    text = _REDUCTION.format(
        name=name,
        dtype="bool_" if dtype == "bool" else dtype,
        doc="Add the parts of the block's threads to the result, in one step."
        if add
        else "Combine the parts of the block's threads; the grid is this block.",
        combined=spelling.format("parts[here]", "parts[here + width]", dtype=dtype),
        write="cuda.atomic.add(result, 0, parts[0])" if add else "result[0] = parts[0]",
    )
    return Source(name, text, {})


def nearby(dtype: str, rank: int) -> Source:
    """A device function that adds to an element of an array in the shared memory of the block."""
    places = [f"i{axis}" for axis in range(rank)]
    flat = places[0]
    for axis in range(1, rank):
        flat = f"({flat}) * array.shape[{axis}] + i{axis}" if axis > 1 else f"{flat} * array.shape[1] + i1"
    text = _NEARBY.format(
        name=f"add_near_{rank}_{dtype}",
        places=", ".join(places),
        flat=flat,
        place=places[0] if rank == 1 else f"({', '.join(places)})",
    )
    return Source(f"add_near_{rank}_{dtype}", text, {})


def flush(dtype: str, rank: int) -> Source:
    """A device function that adds what `nearby` collected to the array."""
    places, rest = [], "e"
    for axis in reversed(range(1, rank)):
        places.insert(0, f"{rest} % array.shape[{axis}]")
        rest = f"{rest} // array.shape[{axis}]"
    places.insert(0, rest)
    place = places[0] if rank == 1 else f"({', '.join(places)})"
    return Source(f"add_all_{rank}_{dtype}", _FLUSH.format(name=f"add_all_{rank}_{dtype}", place=place), {})

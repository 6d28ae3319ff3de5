"""Array dialect → loop dialect (docs/design/architecture.md): delayed arrays, fused loop nests, buffers, ``gemm``.

Every equation is turned by the rule of its primitive (`RULES`); `adcompile.lower.fusion` decides which arrays are
stored. The result obeys the in-place rule of `adcompile.analysis.inplace`.
"""

from __future__ import annotations

from dataclasses import replace

from adcompile.analysis.inplace import insert_copies
from adcompile.ir import Array, Block, Trace
from adcompile.ir.builder import Builder
from adcompile.lower import elementwise, movement, products, reductions, searching, solving, updates
from adcompile.lower.allocations import hoist_allocations
from adcompile.lower.collect import collect_loops
from adcompile.lower.context import Context
from adcompile.lower.control import lower_block
from adcompile.lower.decided import decide
from adcompile.lower.gather import gather_loops
from adcompile.lower.independent import free_iterations
from adcompile.lower.keep import keep_invariants
from adcompile.lower.late import overwrite_late
from adcompile.lower.merge import merge_loops
from adcompile.lower.rows import fill_rows
from adcompile.lower.split import split_loops
from adcompile.lower.stack import stack_products
from adcompile.lower.threads import share_loops
from adcompile.lower.tiles import tile
from adcompile.primitives import Emitter
from adcompile.transform.simplify import drop_dead, simplify

RULES = {
    name: rule
    for file in (elementwise, movement, reductions, searching, solving, products, updates)
    for name, rule in file.RULES.items()
}
"""Primitive → ``(context, eqn, *args) → result`` over scalars (`Handle`) and arrays (`Delayed`)."""


def lower(trace: Trace, *, vectors: bool = True, threads: bool = False) -> Trace:
    """Turn array equations into fused loops over buffers.

    Parameters
    ----------
    trace : a trace of the array dialect (a trace of the loop dialect is also one).
    vectors : shape the loops for a CPU's caches and vector registers: a batch is worked through in tiles, loops that
        vectorise are not merged with others, and are split where a condition on the index changes. A GPU, with a
        thread per iteration, wants none of it.
    threads : mark the loops whose iterations threads of a CPU may share (`adcompile.lower.threads`).

    Returns
    -------
    Trace
        The same program in the loop dialect, with the same parameters; every ``store``, ``accumulate`` and ``gemm`` in
        it is legal in place, and no result is a parameter or another result.

    Raises
    ------
    MissingRule
        Where a primitive has no lowering.
    """
    trace = tile(trace, threads) if vectors else trace
    trace = replace(trace, block=fill_rows(overwrite_late(trace.block)))
    context = Context(Emitter(Builder()))
    params = {}
    for param in trace.params:
        handle = context.op.handle(param)
        params[param] = context.leaf(handle, context.op.shape(handle)) if isinstance(param.type, Array) else handle
    results = lower_block(context, trace.block, RULES, params)
    atoms = tuple(context.buffer(r).atom for r in results)
    block = drop_dead(Block(trace.params, tuple(context.op.builder.eqns), atoms))
    merged = simplify(replace(trace, block=merge_loops(block, vectors)))
    finished = insert_copies(_for_vectors(merged) if vectors else _for_kernels(merged))
    return replace(finished, block=share_loops(finished.block)) if threads else finished


def _for_vectors(trace: Trace) -> Trace:
    """The loops as vector registers like them."""
    for stage in (keep_invariants, split_loops, gather_loops, free_iterations):
        trace = simplify(replace(trace, block=stage(trace.block)))
    return trace


def _for_kernels(trace: Trace) -> Trace:
    """The loops as the threads of a GPU like them."""
    for stage in (decide, collect_loops, hoist_allocations):
        trace = simplify(replace(trace, block=stage(trace.block)))
    return trace


def executable(trace: Trace, *, threads: bool = False) -> Trace:
    """Lower a trace and lay its buffers out: what the backends compile.

    Equations of the result are to be run in their order, in place: a part of a buffer is written before the whole is
    read (`adcompile.lower.stack`). What `lower` returns is pure, and can be interpreted. ``threads`` as for `lower`.
    """
    lowered = lower(trace, threads=threads)
    return replace(lowered, block=stack_products(lowered.block))


__all__ = ["RULES", "executable", "lower"]

"""Batching: a program of one call → the program of all calls at once, their values in a new first axis.

Every equation is emitted again by the batching rule of its primitive; what no mapped value enters stays as it was.
Sizes stay symbolic: one program serves every batch. Branches and loops are in `batch_control`.
Guarantees the types of the single call with one more dimension, and no error that no single call has.

The reader of `adcompile.primitives.batching`; what is mapped is found beforehand (`adcompile.analysis.mapped`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from adcompile.analysis.mapped import DIFFERENT_SIZES, mapped_values
from adcompile.errors import AdcompileError, InvalidArgument, MissingRule, ShapeMismatch
from adcompile.ir import ANY, Array, Atom, Block, Eqn, Trace, Type, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import Dim
from adcompile.primitives import PRIMITIVES, Emitter, Handle
from adcompile.primitives.batching import align, as_live, elementwise, repeated
from adcompile.source import SourceLoc
from adcompile.transform.forward import Env, emit_copy, name_after, read
from adcompile.transform.simplify import simplify

Axes = Sequence[int | None]


def batch_trace(trace: Trace, in_axes: Axes, types: Sequence[Type], out_axes: Axes, loc: SourceLoc | None) -> Trace:
    """The program of a batch of calls.

    Parameters
    ----------
    trace : the program of one call.
    in_axes, types : for each param the axis that it is mapped along (None: the same in every call), and its type in
        the program of the batch; one at least is mapped.
    out_axes : for each result the axis that gets the batch; None for one that is the same in every call.
    loc : where the calls are asked for, for messages.

    Raises
    ------
    ShapeMismatch
        Mapped params whose sizes differ; where only the run can tell, it raises.
    InvalidArgument
        A result that differs between calls where ``out_axes`` is None.
    MissingRule
        A primitive without a batching rule, or sizes that would differ between the calls.
    """
    op = Emitter(Builder())
    op.builder.loc = loc
    params = [
        p if axis is None else Value(type, p.name) for p, axis, type in zip(trace.params, in_axes, types, strict=True)
    ]
    mapped = [(p, old, axis) for p, old, axis in zip(params, trace.params, in_axes, strict=True) if axis is not None]
    size, dim = _common_size(op, [(p, axis) for p, _, axis in mapped], loc)
    batching = Batching(size, dim, mapped_values(trace.block, [old for _, old, _ in mapped]))
    env: Env = dict(zip(trace.params, params, strict=True))
    for param, old, axis in mapped:
        order = (axis, *(i for i in range(param.type.rank) if i != axis))
        batching.bind(op, env, old, param if axis == 0 else op.transpose(param, perm=order).atom)
    results = batching.block(op, Builder(), trace.block, env)
    op.builder.loc = loc
    outs = [
        _placed(op, batching, old, new, axis) for old, new, axis in zip(trace.results, results, out_axes, strict=True)
    ]
    return simplify(Trace(f"{trace.name}_vmap", op.builder.block(params, outs)))


def batch_block(op: Emitter, block: Block, seeds: Mapping[Value, Atom], likes: Mapping[Value, Atom]) -> list[Atom]:
    """The results of a block for a batch of values of some parameters, every one with the batch in its first axis.

    ``seeds`` gives the batch of each parameter, ``likes`` a value of the shape of one element.
    """
    first = op.handle(next(iter(seeds.values())))
    batching = Batching(op.atom(op.size(first, 0)), first.type.dims[0], mapped_values(block, seeds))
    source = op.builder.child()
    source.shapes.update(likes)
    env: Env = {}
    for param, seed in seeds.items():
        batching.bind(op, env, param, seed)
    results = batching.block(op, source, block, env)
    return [batching.spread(op, old, new) for old, new in zip(block.results, results, strict=True)]


def _common_size(op: Emitter, mapped: Sequence[tuple[Value, int]], loc: SourceLoc | None) -> tuple[Atom, Dim]:
    """The size of the batch, checked to be the same in all mapped params, and what is known of it."""
    sizes = [op.size(param, axis) for param, axis in mapped]
    dims = [param.type.dims[axis] for param, axis in mapped]
    known = {d for d in dims if d != ANY}
    if len(known) > 1 and (1 in known or all(isinstance(d, int) for d in known)):
        names = ", ".join(f"{p.name or 'an argument'}: {p.type} along axis {axis}" for p, axis in mapped)
        raise ShapeMismatch(f"{DIFFERENT_SIZES} ({names})", loc, "Map over axes of one size.")
    for size in sizes[1:]:
        op.check_same(sizes[0], size, DIFFERENT_SIZES)
    return op.atom(sizes[0]), next((d for d in dims if d != ANY), ANY)


def _placed(op: Emitter, batching: Batching, old: Atom, new: Atom, axis: int | None) -> Atom:
    """A result with the batch where it is wanted."""
    if axis is None:
        if batching.is_mapped(old):
            raise InvalidArgument(
                f"a result of type {old.type} differs between the mapped calls, and its out_axes is None",
                op.builder.loc,
                "Give it an axis.",
            )
        return new
    new = batching.spread(op, old, new)
    if not -old.type.rank - 1 <= axis <= old.type.rank:
        raise InvalidArgument(f"out_axes {axis} for a result with {old.type.rank} dimensions", op.builder.loc)
    axis %= old.type.rank + 1
    order = [*range(1, old.type.rank + 1)]
    order.insert(axis, 0)
    return new if axis == 0 else op.transpose(new, perm=tuple(order)).atom


@dataclass(frozen=True)
class Batching:
    """The batch of one transform.

    Attributes
    ----------
    size, dim : the number of calls, and what is known of it while tracing.
    mapped : the values of the program of one call that differ between calls.
    read_live : arrays that are only read where a guarded region reads them (`adcompile.transform.batch_control`),
        with the calls that are live there.
    write_live : arrays that are only written where a guarded region stores to them, with the calls that are live there.
    """

    size: Atom
    dim: Dim
    mapped: frozenset[Value]
    read_live: dict[Value, Atom] = field(default_factory=dict)
    write_live: dict[Value, Atom] = field(default_factory=dict)

    # -- values -----------------------------------------------------------------------------------------------

    def is_mapped(self, atom: Atom) -> bool:
        """Whether an atom of the program of one call differs between calls."""
        return isinstance(atom, Value) and atom in self.mapped

    def type(self, value: Atom) -> Type:
        """The type of a value in the program of the batch."""
        return Array(value.type.dtype, (self.dim, *value.type.dims)) if self.is_mapped(value) else value.type

    def param(self, op: Emitter, value: Value) -> Value:
        """The parameter of a region that stands for one of a single call."""
        param = Value(self.type(value), value.name)
        if self.is_mapped(value):
            op.builder.sizes[param, 0] = self.size
        return param

    def bind(self, op: Emitter, env: Env, old: Value, new: Atom) -> None:
        """Let ``new`` stand for a value of a single call."""
        name_after(new, old.name)
        if self.is_mapped(old) and isinstance(new, Value):
            op.builder.sizes.setdefault((new, 0), self.size)
        env[old] = new

    def spread(self, op: Emitter, old: Atom, new: Atom) -> Atom:
        """A value with a batch axis, repeated where it is the same in every call."""
        if self.is_mapped(old):
            return new
        return repeated(op, op.handle(new), op.handle(self.size), self.dim).atom

    def results(self, op: Emitter, wanted: Sequence[Value], block: Block, results: Sequence[Atom]) -> list[Atom]:
        """The results of a region, with a batch axis where what they become is mapped."""
        return [
            self.spread(op, old, new) if self.is_mapped(out) else new
            for out, old, new in zip(wanted, block.results, results, strict=True)
        ]

    # -- equations --------------------------------------------------------------------------------------------

    def block(self, op: Emitter, source: Builder, block: Block, env: Env) -> list[Atom]:
        """Emit a block; ``source`` sees the equations of the single call, to be asked about shapes."""
        for eqn in block.eqns:
            op.builder.loc, op.builder.note = eqn.loc or op.builder.loc, eqn.note
            try:
                CONTROL.get(eqn.op, _plain)(self, op, source, eqn, env)
            except AdcompileError as error:
                raise error.at(eqn.loc) from error.__cause__
            source.append(eqn)
        return [read(env, r) for r in block.results]


Rule = Callable[[Batching, Emitter, Builder, Eqn, Env], None]
CONTROL: dict[str, Rule] = {}
"""How equations with regions are batched: filled by `batch_control`."""


def batches(*names: str) -> Callable[[Rule], Rule]:
    """Register how equations with regions are batched."""

    def register(rule: Rule) -> Rule:
        CONTROL.update(dict.fromkeys(names, rule))
        return rule

    return register


def _plain(batching: Batching, op: Emitter, source: Builder, eqn: Eqn, env: Env) -> None:
    """An equation without regions."""
    flags = [batching.is_mapped(a) for a in eqn.args]
    if not any(flags):
        emit_copy(op, eqn, env)
        return
    args = [op.handle(read(env, a)) for a in eqn.args]
    if eqn.op == "dim":
        env[eqn.outs[0]] = op.atom(op.size(args[0], eqn.attrs["axis"] + 1))
        return
    if eqn.op == "store" and eqn.args[0] in batching.write_live:
        args[1], flags[1] = _where_live(batching, op, eqn, args, flags), True
    outs = _apply(op, eqn, args, flags)
    if eqn.op == "index" and eqn.args[0] in batching.read_live:
        live = op.handle(batching.read_live[eqn.args[0]])
        outs = [as_live(op, live, x) for x in outs]
    for old, new in zip(eqn.outs, outs, strict=True):
        batching.bind(op, env, old, new.atom)


def _where_live(batching: Batching, op: Emitter, eqn: Eqn, args: Sequence[Handle], flags: Sequence[bool]) -> Handle:
    """What a guarded region stores: in calls that are not live, what is there already."""
    live, (array, value, *at) = op.handle(batching.write_live[eqn.args[0]]), args  # type: ignore[index]
    read = Eqn("index", (eqn.args[0], *eqn.args[2:]), (), eqn.attrs, eqn.loc)
    (there,) = _apply(op, read, (array, *at), (flags[0], *flags[2:]))
    value = op.cast(value, dtype=there.type.dtype) if value.type.dtype != there.type.dtype else value
    return op.where(align(op, live, True, there.rank - 1), align(op, value, flags[1], there.rank - 1), there)


def _apply(op: Emitter, eqn: Eqn, args: Sequence[Handle], flags: Sequence[bool]) -> Sequence[Handle]:
    primitive = PRIMITIVES[eqn.op]
    if primitive.elementwise:
        return (elementwise(op, eqn, args, flags),)
    if primitive.batch is None:
        raise MissingRule(f"{eqn.op} has no batching rule", eqn.loc, "Loop over the calls in Python.")
    outs = primitive.batch(op, args, flags, eqn.attrs)
    return outs if isinstance(outs, tuple) else (outs,)

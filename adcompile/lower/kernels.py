"""Loop dialect → a host program and kernels: what touches array elements is a ``launch``.

``launch (inputs) {inputs → results}`` has one closed region. Where its attribute ``parallel`` holds an `Independence`,
the region is one loop, each iteration of which is a thread's; ``gathered`` are the inputs that threads of every row add
to, which a block should add up on its own first. Otherwise a single thread runs the region. ``homes`` says for each
result which input it is, updated in place; scalars come back to the host. Everything else (sizes, time loops,
allocations, products of matrices) is the host's, in the order of the program.

Perfect nests of independent loops become one loop over the product of their ranges, so that neighbouring threads touch
neighbouring elements; scalar arithmetic that no iteration changes is left to the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from adcompile.analysis.independence import Independence, homes, independence
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Trace, Value, free_values
from adcompile.ir.core import eqn_inputs, substitute, walk
from adcompile.ir.types import FLOATS, INDEX
from adcompile.lower.reductions import identity
from adcompile.primitives import PRIMITIVES

COLUMN = "column"
"""The name of the index along the last dimension of a nest that became one loop."""
LOCAL = 256
"""How many elements an array of a thread's own may have."""
_UPDATES = frozenset({"store", "accumulate"})
_CONTROL = frozenset({"loop", "while", "if"})
_ELEMENTS = frozenset({"index", "dim", *_UPDATES, *_CONTROL})
_HOISTED = frozenset({
    "add", "sub", "mul", "neg", "cast", "minimum", "maximum", "lt", "le", "gt", "ge", "eq", "ne", "where",
    "logical_and", "logical_or", "logical_not", "dim",
})  # fmt: skip
"""What the host may compute although no iteration asked for it: it never fails."""
_ADDABLE = ("int32", "int64", "uint32", "uint64", "float32", "float64")
"""Dtypes that the hardware adds as one step."""


def kernels(trace: Trace) -> Trace:
    """Split a trace of the loop dialect into what the host does and launches of kernels.

    Parameters
    ----------
    trace : Trace
        What `adcompile.lower.lower` made.

    Returns
    -------
    Trace
        The host program, with the same parameters and results.
    """
    return replace(trace, block=_Splitter(trace.name).block(with_additions(trace.block)))


def with_additions(block: Block) -> Block:
    """Loop dialect → loop dialect: ``a[i] = a[i] + v`` becomes ``a[i] += v``, which iterations may do in any order."""
    reads = Counter(v for e in block.eqns for v in eqn_inputs(e)) + Counter(_values(block.results))
    made = {o: e for e in block.eqns for o in e.outs}
    kept: list[Eqn] = []
    for eqn in block.eqns:
        addition = _addition(eqn, made, reads) if eqn.op == "store" else None
        if addition is None:
            kept.append(replace(eqn, regions=tuple(map(with_additions, eqn.regions))) if eqn.regions else eqn)
            continue
        total, load, value = addition
        kept = [e for e in kept if e is not total and e is not load]
        if total.op == "sub":
            negative = Value(value.type)
            kept.append(Eqn("neg", (value,), (negative,), {}, total.loc, (), total.note))
            value = negative
        kept.append(replace(eqn, op="accumulate", args=(eqn.args[0], value, *eqn.args[2:])))
    return Block(block.params, tuple(kept), block.results)


def _addition(store: Eqn, made: Mapping[Value, Eqn], reads: Counter) -> tuple[Eqn, Eqn, Atom] | None:
    """The sum that a store stores, the load in it, and what is added to that; None where it is something else."""
    target, stored, *at = store.args
    total = made.get(stored) if isinstance(stored, Value) and reads[stored] == 1 else None
    if total is None or total.op not in ("add", "sub") or target.type.dtype != total.outs[0].type.dtype:
        return None
    for place, loaded in enumerate(total.args[: 1 if total.op == "sub" else 2]):
        load = made.get(loaded) if isinstance(loaded, Value) and reads[loaded] == 1 else None
        if load is not None and load.op == "index" and load.args == (target, *at):
            return total, load, total.args[1 - place]
    return None


class _Splitter:
    """Turns blocks into host blocks; counts the kernels."""

    def __init__(self, name: str):
        self.name, self.count = name, 0

    def block(self, block: Block) -> Block:
        """A block of the host's."""
        eqns: list[Eqn] = []
        for position, run in _runs(block.eqns):
            later = {v for e in block.eqns[position:] for v in eqn_inputs(e)} | {*_values(block.results)}
            eqns += self.updates(run, later) if run[0].op in _UPDATES else self.equation(run[0])
        return Block(block.params, tuple(eqns), block.results)

    def equation(self, eqn: Eqn) -> list[Eqn]:
        """One equation: a kernel, or the host's."""
        if eqn.op not in _CONTROL:
            return [eqn]
        if is_thread_code(eqn):
            found = self.parallel(eqn) if eqn.op == "loop" else None
            if found is None and _touches(eqn) and not any(e.op == "loop" and _independent(e) for e in _inside(eqn)):
                found = self.serial([eqn], eqn.outs)
            if found is not None:
                return found
        return [replace(eqn, regions=tuple(map(self.block, eqn.regions)))]

    # -- launches ---------------------------------------------------------------------------------------------------

    def parallel(self, loop: Eqn) -> list[Eqn] | None:
        """A launch with a thread per iteration; None where iterations depend on each other."""
        known = _independent(loop)
        if known is None:
            return None
        before, loop = _hoist(loop)
        if collapsed := _collapse(loop, known):
            around, loop, known = collapsed
            before += around
        loop, after = _from_identities(loop, known)
        launch = self.launch([loop], loop.outs, known)
        if launch is None:
            return None
        gathered = frozenset(
            launch.attrs["homes"][k] for k in known.added if _is_gathered(launch.regions[0].eqns[0], k)
        )
        return [*before, replace(launch, attrs={**launch.attrs, "gathered": gathered}), *after]

    def updates(self, run: Sequence[Eqn], later: set[Value]) -> list[Eqn]:
        """Stores of the host's as one launch of a single thread."""
        launch = self.launch(run, [o for e in run for o in e.outs if o in later], None)
        assert launch is not None
        return [launch]

    def serial(self, eqns: Sequence[Eqn], outs: Sequence[Value]) -> list[Eqn] | None:
        """A launch of a single thread; None where it would exchange whole arrays."""
        launch = self.launch(eqns, outs, None)
        return None if launch is None else [launch]

    def launch(self, eqns: Sequence[Eqn], outs: Sequence[Value], known: Independence | None) -> Eqn | None:
        """A closed region around some equations; None where the results are not in arrays of the caller's."""
        inputs = tuple(free_values(Block((), tuple(eqns), tuple(outs))))
        region = substitute(Block(inputs, tuple(eqns), tuple(outs)), {})
        found = homes(region)
        if found is None:
            return None
        self.count += 1
        attrs = {"name": f"{self.name}_{self.count}", "parallel": known, "homes": found, "gathered": frozenset()}
        return Eqn("launch", inputs, tuple(outs), attrs, eqns[0].loc, (region,), eqns[0].note)


def _runs(eqns: Sequence[Eqn]) -> Iterator[tuple[int, list[Eqn]]]:
    """The equations one by one, stores in a row together, with the position after each."""
    run: list[Eqn] = []
    for position, eqn in enumerate(eqns):
        if run and eqn.op not in _UPDATES and not _may_overtake(eqn, run):
            yield position, run
            run = []
        if eqn.op in _UPDATES:
            run.append(eqn)
        else:
            yield position + 1, [eqn]
    if run:
        yield len(eqns), run


def _may_overtake(eqn: Eqn, run: Sequence[Eqn]) -> bool:
    """Whether a scalar may be computed before some stores."""
    touched = {v for e in run for v in (*e.outs, *e.args)}
    return (_is_scalar(eqn) or eqn.op == "index") and not touched.intersection(_arrays(eqn.args))


# -- what a thread can run --------------------------------------------------------------------------------------------


def is_thread_code(eqn: Eqn) -> bool:
    """Whether an equation works on elements only: no new arrays but small ones of known size, no products."""
    top = {id(e) for r in eqn.regions for e in r.eqns}
    return all(
        e.op in _ELEMENTS or _is_scalar(e) or _is_check(e) or (id(e) in top and _is_local(e))
        for e in (eqn, *_inside(eqn))
    )


def _inside(eqn: Eqn) -> Iterator[Eqn]:
    for region in eqn.regions:
        yield from walk(region)


def _is_local(eqn: Eqn) -> bool:
    if eqn.op != "empty" or not all(isinstance(a, Const) for a in eqn.args):
        return False
    count = 1
    for size in eqn.args:
        count *= size.value if isinstance(size, Const) else LOCAL + 1
    return 0 < count <= LOCAL


def _is_scalar(eqn: Eqn) -> bool:
    return eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise


def _is_check(eqn: Eqn) -> bool:
    return eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].effect and eqn.op != "check_same"


def _touches(eqn: Eqn) -> bool:
    """Whether elements are read or written, other than the sizes of arrays."""
    return any(e.op in ("index", *_UPDATES) for e in _inside(eqn))


def _independent(loop: Eqn) -> Independence | None:
    """What is known of a loop that can be a kernel."""
    if not is_thread_code(loop) or not _touches(loop):
        return None
    known = independence(loop)
    if not known.holds or any(loop.outs[k].type.dtype not in _ADDABLE for k in known.added):
        return None
    checked = any(_is_check(e) for e in _inside(loop))
    return known if all(_combines(op, loop.outs[k].type.dtype, checked) for k, op in known.sums) else None


def _combines(operation: str, dtype: str, checked: bool) -> bool:
    """Whether parts of threads can be combined: added one by one, or by a block none of whose threads gave up."""
    return dtype in _ADDABLE if operation == "add" else dtype in (*_ADDABLE, "bool") and not checked


def _values(atoms: Sequence[Atom]) -> list[Value]:
    return [a for a in atoms if isinstance(a, Value)]


def _arrays(atoms: Sequence[Atom]) -> list[Value]:
    return [a for a in _values(atoms) if isinstance(a.type, Array)]


# -- loops as kernels want them ---------------------------------------------------------------------------------------


def _hoist(loop: Eqn) -> tuple[list[Eqn], Eqn]:
    """Scalar arithmetic that no iteration changes, and the loop without it."""
    before: list[Eqn] = []
    inner = {v for e in _inside(loop) for v in (*e.outs, *(p for r in e.regions for p in r.params))}
    inner.update(loop.regions[0].params)

    def rebuilt(block: Block) -> Block:
        kept = []
        for eqn in block.eqns:
            if _is_cheap(eqn) and eqn.op in _HOISTED and not inner.intersection(_values(eqn.args)):
                before.append(eqn)
                inner.difference_update(eqn.outs)
            else:
                kept.append(replace(eqn, regions=tuple(map(rebuilt, eqn.regions))) if eqn.regions else eqn)
        return Block(block.params, tuple(kept), block.results)

    body = rebuilt(loop.regions[0])
    return before, replace(loop, regions=(body,))


def _collapse(outer: Eqn, known: Independence) -> tuple[list[Eqn], Eqn, Independence] | None:
    """A nest of two loops, and deeper, as one over the product of their ranges; what the host computes for it first."""
    (body,) = outer.regions
    *first, inner = body.eqns
    if inner.op != "loop" or not all(_is_cheap(e) for e in first) or not _handed_through(body, inner):
        return None
    inside = _independent(inner)
    places = [inner.args[3:].index(p) for p in body.params[1:]]
    if inside is None or {places[k]: operation for k, operation in known.sums} != dict(inside.sums):
        return None
    before: list[Eqn] = []
    if deeper := _collapse(inner, inside):
        before, inner, inside = deeper
    counted = all(_is_counted(e) for e in (outer, inner))
    own = {*body.params, *(o for e in first for o in e.outs)}
    if not counted or own.intersection(_values([inner.args[1], *(a for e in before for a in e.args)])):
        return None
    total = Value(INDEX)
    product = Eqn("mul", (outer.args[1], inner.args[1]), (total,), {}, outer.loc)
    loop = _product(outer, inner, first, places, total)
    added = known.added | {k for k, place in enumerate(places) if place in inside.added}
    return [*before, product], loop, replace(known, added=frozenset(added))


def _is_cheap(eqn: Eqn) -> bool:
    """Whether an equation may be computed more often, or although nobody asks for it."""
    to_integer = eqn.op == "cast" and eqn.args[0].type.dtype in FLOATS and eqn.outs[0].type.dtype not in FLOATS
    return (eqn.op in _HOISTED or eqn.op in ("index", "div")) and not to_integer


def _is_counted(loop: Eqn) -> bool:
    zero, one = Const(0, INDEX), Const(1, INDEX)
    return loop.args[0] == zero and loop.args[2] == one


def _handed_through(body: Block, inner: Eqn) -> bool:
    """Whether the inner loop carries exactly what the outer one does."""
    params = body.params[1:]
    if len(inner.outs) != len(params) or {*inner.args[3:]} != {*params}:
        return False
    return all(body.results[k] is inner.outs[inner.args[3:].index(p)] for k, p in enumerate(params))


def _product(outer: Eqn, inner: Eqn, first: Sequence[Eqn], places: Sequence[int], total: Value) -> Eqn:
    """One loop that finds both indices by division."""
    (body,), (core,) = outer.regions, inner.regions
    index, row, column = Value(INDEX, "k"), Value(INDEX), Value(INDEX, COLUMN)
    find = (
        Eqn("floordiv", (index, inner.args[1]), (body.params[0],), {}, outer.loc),
        Eqn("mul", (body.params[0], inner.args[1]), (row,), {}, outer.loc),
        Eqn("sub", (index, row), (column,), {}, outer.loc),
    )
    names: dict[Value, Atom] = {core.params[1 + place]: p for place, p in zip(places, body.params[1:], strict=True)}
    names[core.params[0]] = column
    renamed = substitute(Block((), core.eqns, tuple(core.results[p] for p in places)), names, lambda value: value)
    merged = Block((index, *body.params[1:]), (*find, *first, *renamed.eqns), renamed.results)
    return replace(outer, args=(outer.args[0], total, outer.args[2], *outer.args[3:]), regions=(merged,))


def _is_gathered(loop: Eqn, position: int) -> bool:
    """Whether many iterations add to each element of a carried array: none chooses it by its row, or by data."""
    (body,) = loop.regions
    if any(_is_check(e) for e in _inside(loop)) or not loop.outs[position].type.dtype.startswith("float"):
        return False
    rows = {body.params[0]}
    for eqn in walk(body):
        column = eqn.op == "sub" and eqn.outs[0].name == COLUMN and eqn.args[0] is body.params[0]
        if eqn.op == "index" or (rows.intersection(_values(eqn.args)) and not column):
            rows.update(o for o in eqn.outs if isinstance(o.type, Scalar))
    added = {body.params[1 + position]}
    for eqn in walk(body):
        if eqn.op == "loop":
            added.update(p for p, start in zip(eqn.regions[0].params[1:], eqn.args[3:], strict=True) if start in added)
        if eqn.op == "accumulate" and eqn.args[0] in added:
            added.update(eqn.outs)
            if rows.intersection(_values(eqn.args[2:])):
                return False
        elif eqn.op in ("if", "while") and added.intersection(eqn_inputs(eqn)):
            return False
    return True


def _from_identities(loop: Eqn, known: Independence) -> tuple[Eqn, list[Eqn]]:
    """The loop with sums that start from nothing, and the host's additions of what they started from."""
    args, outs, after = list(loop.args), list(loop.outs), []
    for k, operation in known.sums:
        out, start = loop.outs[k], loop.args[3 + k]
        nothing = identity(operation, out.type)
        if isinstance(start, Const) and start.value == nothing.value:
            continue
        args[3 + k], outs[k] = nothing, Value(nothing.type)
        after.append(Eqn(operation, (start, outs[k]), (out,), {}, loop.loc))
    return replace(loop, args=tuple(args), outs=tuple(outs)), after


__all__ = ["is_thread_code", "kernels"]

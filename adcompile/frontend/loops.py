"""Loops whose iterations are counted, or ended, at run time: one equation each.

The body is traced with what it changes as carried values (names, leaves of containers, array objects); what that is, is
found by tracing it again until nothing new changes and the types stand still.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from adcompile.errors import AdcompileError, InvalidArgument, StaticValueRequired, UnsupportedAlias, UnsupportedSyntax
from adcompile.frontend.iteration import iteration
from adcompile.frontend.merging import (
    Fresh,
    Outcome,
    as_atom,
    choose,
    common_type,
    explore,
    mark,
    owner,
    placeholder,
    plain,
    same,
    type_in,
)
from adcompile.frontend.tracer import Region, Tracer
from adcompile.frontend.values import PENDING, Range, Reference, Undefined, assigned_names, is_dynamic, read_names
from adcompile.ir import Atom, Block, Type, Value
from adcompile.ir.types import INDEX
from adcompile.primitives import Handle
from adcompile.primitives.shapes import keeping_sizes, steady
from adcompile.tree import flatten, unflatten

WRITTEN = "this array was handed through a loop that writes into it under another name"
MAX_UNROLL = 256
MAX_PASSES = 8

Place = tuple[str, int]
"""A name, and the leaf of its container (0 for a number or an array)."""


@dataclass(eq=False)
class Carried:
    """What a loop hands from one iteration to the next: names and array objects, with their types."""

    names: dict[Place, Type]
    arrays: dict[Reference, Type]
    resized: frozenset[tuple[int, int]] = frozenset()
    """The (position, axis) pairs whose sizes change from one iteration to the next."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One tracing of a loop body: the region, its parameters, and the outcome."""

    block: Region
    index: Value | None
    params: tuple[Value, ...]
    outcome: Outcome
    entered: dict[Place, Reference]
    looked_at: set[Reference]
    condition: Block | None = None


@dataclass(frozen=True)
class Header:
    """What a loop runs over or tests, and the attributes of its equation (``snapshots`` where it is checkpointed)."""

    node: ast.expr
    attrs: dict[str, Any]


HEADER = "__adcompile_header__"
"""A callable with this attribute stands around the header of a loop: it gives ``(header, attributes)``."""


def header(t: Tracer, node: ast.expr) -> Header:
    """The header of a loop without what may stand around it (`adcompile.checkpointed`)."""
    from adcompile.frontend.expressions import evaluate

    if not isinstance(node, ast.Call) or not _is_dotted(node.func):
        return Header(node, {})
    marker = evaluate(t, node.func)
    if not hasattr(marker, HEADER):
        return Header(node, {})
    with t.locating(node):
        values = [a if k == 0 else evaluate(t, a) for k, a in enumerate(node.args)]
        inside, attrs = getattr(marker, HEADER)(
            *values, **{k.arg: evaluate(t, k.value) for k in node.keywords if k.arg}
        )
        return Header(inside, attrs)


def _is_dotted(node: ast.expr) -> bool:
    """Whether an expression is a name, or attributes of one."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def rolled_for(t: Tracer, node: ast.For, source: Any, attrs: dict[str, Any]) -> None:
    """A ``for`` loop as one equation: counted, or a ``while`` where a jump can leave it."""
    from adcompile.frontend.statements import bind_target, execute_loop_body

    item: Callable[[Any], Any]
    if isinstance(source, Range):
        start, stop, step = source.start, source.stop, source.step
        item = lambda index: index
    else:
        parts = iteration(t, source)
        start, stop, step = 0, parts.length(t), 1
        item = lambda index: parts.item(t, index)
    hint = node.target.id if isinstance(node.target, ast.Name) and isinstance(source, Range) else "i"
    leave = getattr(node, "leave", None)

    def body(index: Handle) -> None:
        bind_target(t, node.target, item(index))
        execute_loop_body(t, node.body)

    runs = all(isinstance(x, int) for x in (start, stop, step)) and len(range(start, stop, step)) > 0
    later = read_names([s for rest in t.frame.rest for s in rest or []]) if runs else set()
    if leave is None:
        _roll(t, node.body, body, [t.op.atom(x) for x in (start, stop, step)], hint, None, attrs, later=later)
        return
    place = f" {hint} {node.lineno}_{node.col_offset}"
    t.frame.locals[place] = t.op.handle(t.op.atom(start))

    def advance(_: Any) -> None:
        index = t.lookup(place)
        body(t.op.handle(index.atom))
        t.frame.locals[place] = t.op.handle(index.atom) + step

    def more() -> Handle:
        index = t.read(t.lookup(place))
        ahead = (index < stop if step > 0 else index > stop) if isinstance(step, int) else (stop - index) * step > 0
        return t.op.logical_and(t.op.logical_not(t.read(t.lookup(f" {leave}"))), ahead)

    _roll(t, node.body, advance, None, "", more, attrs, (place,), later)


def rolled_while(t: Tracer, node: ast.While) -> None:
    """A ``while`` loop as one equation."""
    from adcompile.frontend.expressions import condition, truth
    from adcompile.frontend.statements import execute_loop_body

    leave = getattr(node, "leave", None)
    head = header(t, node.test)

    def more() -> Handle:
        test = lambda: t.op.handle(t.op.atom(condition(t, head.node)))
        if leave is None:
            return test()
        left = t.op.handle(t.op.atom(truth(t, t.lookup(f" {leave}"))))
        return choose(t, left, lambda: t.op.handle(t.op.atom(False)), test)

    _roll(t, node.body, lambda index: execute_loop_body(t, node.body), None, "", more, head.attrs)


def _roll(
    t: Tracer,
    statements: list[ast.stmt],
    body: Callable[[Handle], None],
    bounds: list[Atom] | None,
    hint: str,
    test: Callable[[], Handle] | None,
    attrs: dict[str, Any],
    more: Sequence[str] = (),
    later: Set[str] = frozenset(),
) -> None:
    """Emit a loop; ``later`` holds the names that are read after it although only it sets them, as it runs for sure."""
    carried = _first_guess(t, statements, more)
    for _ in range(MAX_PASSES):
        found = _trace_pass(t, carried, body, indexed=bounds is not None, hint=hint, test=test)
        _start_unset(t, later, found.outcome)
        grown = _grow(t, carried, found.outcome)
        if grown is None and _emit_loop(t, carried, found, bounds, attrs):
            return
        carried = grown or replace(carried, resized=_resized(t, carried, found))
    raise InvalidArgument(
        "the types of this loop's variables do not settle", t.loc, "Set them to their final dtype before."
    )


def _first_guess(t: Tracer, statements: list[ast.stmt], more: Sequence[str]) -> Carried:
    """Numbers that the body assigns are carried for sure; the rest is found by tracing."""
    names = {}
    for name in sorted({*assigned_names(statements), *more}):
        value = t.frame.locals.get(name)
        if isinstance(value, Handle) or (isinstance(value, int | float) and not isinstance(value, bool)):
            names[name, 0] = t.op.atom(value).type
    return Carried(names, {})


def _leaf(t: Tracer, place: Place) -> Any:
    """The value of a carried place: a name, or a leaf of the container it stands for."""
    return flatten(t.frame.locals[place[0]])[0][place[1]]


def _put(t: Tracer, place: Place, value: Any) -> None:
    leaves, structure = flatten(t.frame.locals[place[0]])
    leaves[place[1]] = value
    t.frame.locals[place[0]] = unflatten(structure, leaves)


def _params(t: Tracer, carried: Carried) -> tuple[Value, ...]:
    """Fresh parameters for everything carried."""
    names = []
    for (name, k), type in carried.names.items():
        single = flatten(t.frame.locals[name])[1].kind is None
        names.append(Value(type, name.split()[0] + ("" if single else f"_{k}")))
    return (*names, *(Value(type, _array_name(r)) for r, type in carried.arrays.items()))


def _trace_pass(
    t: Tracer, carried: Carried, body: Callable[[Handle], None], *, indexed: bool, hint: str, test: Any
) -> Pass:
    """Trace the body once with fresh parameters for everything carried."""
    index = Value(INDEX, hint) if indexed else None
    params = _params(t, carried)
    condition = _trace_condition(t, carried, test) if test is not None else None
    saved = dict(t.frame.locals)
    entered: dict[Place, Reference] = {}
    starts = _starts(t, carried)
    looked_at: set[Reference] = set()
    earlier, t.looked_at = t.looked_at, set()

    def run() -> None:
        steady(t.op, starts, params, _axes(starts) - carried.resized).tell(t.op.builder)
        entered.update(_enter(t, carried, params))
        body(t.op.handle(index) if index is not None else None)  # type: ignore[arg-type]
        looked_at.update(t.looked_at)

    outcome = explore(t, run)
    t.frame.locals.clear()
    t.frame.locals.update(saved)
    t.looked_at |= earlier
    return Pass(outcome.region, index, params, outcome, entered, looked_at, condition)


def _array_name(reference: Reference) -> str:
    atom = reference.version.atom if reference.version is not None else None
    return atom.name if isinstance(atom, Value) else ""


def _enter(t: Tracer, carried: Carried, params: Sequence[Value]) -> dict[Place, Reference]:
    """Let carried names and array objects stand for the loop's parameters; the array objects of the names."""
    count = len(carried.names)
    entered = {}
    for place, param in zip(carried.names, params[:count], strict=True):
        value = t.wrap(t.op.handle(param))
        _put(t, place, value)
        if isinstance(value, Reference):
            entered[place] = value
    for reference, param in zip(carried.arrays, params[count:], strict=True):
        t.write(reference, t.op.handle(param))
    return entered


def _trace_condition(t: Tracer, carried: Carried, test: Callable[[], Handle]) -> Block:
    params = _params(t, carried)
    found: list[Handle] = []

    def run() -> None:
        _enter(t, carried, params)
        found.append(test())

    outcome = explore(t, run)
    return outcome.region.op.builder.block(params, [found[0].atom])


def _grow(t: Tracer, carried: Carried, outcome: Outcome) -> Carried | None:
    """The carried values that the pass showed to be needed; None where they stand still."""
    names, arrays = dict(carried.names), dict(carried.arrays)
    for name, value in outcome.names.items():
        _settle_pending(t, name, value, outcome)
        if name not in t.frame.locals or isinstance(t.frame.locals[name], Undefined):
            continue
        if isinstance(value, Undefined):
            raise UnsupportedSyntax(f"{name!r} {value.reason}", t.loc, "Set it before.")
        (before, structure), (after, other) = flatten(t.frame.locals[name]), flatten(value)
        if structure != other:
            raise StaticValueRequired(
                f"{name!r} has another structure after an iteration", t.loc, "Keep the containers alike, or use arrays."
            )
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            if not same(old, new):
                names[name, k] = _carried_type(t, names.get((name, k)), old, plain(new, outcome), name)
    for reference, version in outcome.arrays.items():
        before_type = arrays.get(reference) or t.read(reference).type
        arrays[reference] = common_type(t, before_type, version.type, "an array")
    grown = (names, arrays) != (carried.names, carried.arrays)
    return Carried(names, arrays, carried.resized) if grown else None


def _start_unset(t: Tracer, later: Set[str], outcome: Outcome) -> None:
    """Give names that only the loop sets a start that nobody will see, to carry them out of it.

    The body was traced without it, and so sets them before it reads them, on every path; arrays that others may see are
    left out.
    """
    for name in sorted(later & outcome.names.keys()):
        if not isinstance(t.frame.locals.get(name, PENDING), Undefined):
            continue
        leaves, structure = flatten(outcome.names[name])
        inside = [isinstance(x, Fresh) and x.root.born >= outcome.region.serial for x in leaves]
        if all(own or isinstance(x, Handle | int | float) for own, x in zip(inside, leaves, strict=True)):
            types = [type_in(t, outcome.region.op, plain(leaf, outcome), name) for leaf in leaves]
            t.frame.locals[name] = unflatten(structure, [t.wrap(placeholder(t.op, type)) for type in types])


def _settle_pending(t: Tracer, name: str, value: Any, outcome: Outcome) -> None:
    """Give a value that a ``return`` in the loop will set a placeholder of its types."""
    if t.frame.locals.get(name) is not PENDING or value is PENDING:
        return
    leaves, structure = flatten(value)
    types = [type_in(t, outcome.region.op, plain(leaf, outcome), name) for leaf in leaves]
    t.frame.locals[name] = unflatten(structure, [t.wrap(placeholder(t.op, type)) for type in types])


def _carried_type(t: Tracer, known: Type | None, before: Any, after: Any, name: str) -> Type:
    initial = t.read(before)
    if not isinstance(initial, Handle) and not isinstance(initial, bool | int | float):
        raise StaticValueRequired(
            f"{name!r} changes in a loop and is not a number or an array", t.loc, "Loop over a tuple, or use arrays."
        )
    start = known or t.op.atom(initial).type
    return common_type(t, start, type_in(t, t.op, after, name), repr(name))


def _starts(t: Tracer, carried: Carried) -> list[Atom]:
    """The start values of everything carried."""
    pairs = [(t.read(_leaf(t, place)), type, repr(place[0])) for place, type in carried.names.items()]
    pairs += [(t.read(reference), type, "an array") for reference, type in carried.arrays.items()]
    return [as_atom(t, t.op, value, type, what) for value, type, what in pairs]


def _body(t: Tracer, carried: Carried, found: Pass) -> Block:
    """The traced body as a block from parameters to what it hands on."""
    outcome, inner, results = found.outcome, found.block.op, []
    for ((name, k), type), param in zip(carried.names.items(), found.params, strict=False):
        after = inner.handle(param)
        if name in outcome.names:
            after = plain(flatten(outcome.names[name])[0][k], outcome)
        results.append(as_atom(t, inner, after, type, repr(name)))
    for reference, type in carried.arrays.items():
        results.append(as_atom(t, inner, outcome.arrays[reference], type, "an array"))
    lead = [found.index] if found.index is not None else []
    return inner.builder.block([*lead, *found.params], results)


def _axes(starts: Sequence[Atom]) -> frozenset[tuple[int, int]]:
    """Every axis of every carried array, by position."""
    return frozenset((k, axis) for k, start in enumerate(starts) for axis in range(start.type.rank))


def _resized(t: Tracer, carried: Carried, found: Pass) -> frozenset[tuple[int, int]]:
    """Which sizes of carried arrays do not stay as they were assumed to."""
    starts = _starts(t, carried)
    return _axes(starts) - keeping_sizes(t.op.builder, starts, found.params, _body(t, carried, found))


def _emit_loop(t: Tracer, carried: Carried, found: Pass, bounds: list[Atom] | None, attrs: dict[str, Any]) -> bool:
    """Emit the loop and bind what it leaves; False where an array did not keep its shape, as the pass had assumed."""
    if _resized(t, carried, found) - carried.resized:
        return False
    _refuse_aliases(t, carried, found)
    block = _body(t, carried, found)
    types = [*carried.names.values(), *carried.arrays.values()]
    regions = [block] if found.condition is None else [found.condition, block]
    kind = "loop" if bounds is not None else "while"
    names = [param.name for param in found.params]
    outs = t.op.builder.emit(kind, [*(bounds or []), *_starts(t, carried)], types, attrs, regions, names=names)
    _leave(t, carried, found, outs)
    return True


def _refuse_aliases(t: Tracer, carried: Carried, found: Pass) -> None:
    """Arrays that a loop hands on under its names are values of their own: no two may be one array that is written."""
    before = [leaf.root for leaf in (_leaf(t, p) for p in carried.names) if isinstance(leaf, Reference)]
    roots = list(_owners(carried, found.outcome).values())
    maybe = {other for root in roots for other, _ in root.maybe}
    params = found.params[len(carried.names) :]
    written = {r for r, p in zip(carried.arrays, params, strict=True) if found.outcome.arrays[r].atom is not p}
    met = bool(written & {*before, *roots, *maybe})
    if any(reference.written for reference in found.entered.values()):
        older = any(root.born < found.block.serial for root in (*roots, *maybe)) or any(r.frozen for r in roots)
        twice = len(set(before)) < len(before) or len(set(roots)) < len(roots)
        met = met or older or twice or bool(found.looked_at & set(before))
    if met:
        raise UnsupportedAlias(
            "two names of this loop may stand for one array, which the loop writes", t.loc, "Copy one (a.copy())."
        )


def _owners(carried: Carried, outcome: Outcome) -> dict[Place, Reference]:
    """The array object that each carried name stands for at the end of an iteration."""
    found = {(n, k): owner(flatten(outcome.names[n])[0][k]) for n, k in carried.names if n in outcome.names}
    return {place: root for place, root in found.items() if root is not None}


def _origins(t: Tracer, carried: Carried, found: Pass) -> dict[Place, dict[Reference, bool]]:
    """The array objects that each carried name may stand for after the loop, and whether they are that name's alone.

    After no iteration it is the one it stood for before; after some, what an iteration gave it, which may be what
    another name stood for before (``u, v = v, u``), and so on.
    """
    inside = _owners(carried, found.outcome)
    before = {place: _leaf(t, place) for place in inside}
    before = {place: leaf for place, leaf in before.items() if isinstance(leaf, Reference)}
    starts = [leaf.root for leaf in before.values()]
    alone = {leaf.root: t.holders_are(leaf, 1) and starts.count(leaf.root) == 1 for leaf in before.values()}
    place_of = {param: place for place, param in found.entered.items()}
    given = list(inside.values())
    origins = {}
    for place in inside:
        reached, last = [place], place
        while inside[last] in place_of and place_of[inside[last]] not in reached:
            last = place_of[inside[last]]
            reached.append(last)
        distinct = all(given.count(inside[p]) == 1 for p in reached)
        fresh = [inside[p] for p in reached if inside[p] not in place_of]
        origins[place] = {before[p].root: distinct and alone[before[p].root] for p in reached if p in before}
        origins[place] |= {root: distinct and root.born >= found.block.serial for root in fresh}
    return origins


def _leave(t: Tracer, carried: Carried, found: Pass, outs: Sequence[Value]) -> None:
    """Bind what the loop left behind."""
    outcome = found.outcome
    count = len(carried.names)
    origins = _origins(t, carried, found)
    for reference, out, param in zip(carried.arrays, outs[count:], found.params[count:], strict=True):
        if outcome.arrays[reference].atom is not param:
            t.write(reference, t.op.handle(out))
    for place, out in zip(carried.names, outs[:count], strict=True):
        before = _leaf(t, place)
        if isinstance(before, Reference) and any(r.written for r in found.entered.values()):
            before.root.stale, before.root.written = WRITTEN, True
        value = t.wrap(t.op.handle(out))
        for root, moved in origins.get(place, {}).items():
            mark(value, root, found.block, shared=not moved, moved=moved)
        _put(t, place, value)
        t.name_after(value, place[0].split()[0])
    carried_names = {name for name, _ in carried.names}
    for name in outcome.names:
        if name not in carried_names and (name not in t.frame.locals or isinstance(t.frame.locals[name], Undefined)):
            t.frame.locals[name] = Undefined(name, "is set only inside a loop that may not run")


def unrollable(error: AdcompileError, source: Any) -> int | None:
    """How many iterations to write out one by one when a loop must be known while tracing; None where it cannot be."""
    if not isinstance(error, StaticValueRequired) or not isinstance(source, Range):
        return None
    bounds = (source.start, source.stop, source.step)
    if any(is_dynamic(b) for b in bounds):
        return None
    count = len(range(*bounds))
    return count if count <= MAX_UNROLL else None

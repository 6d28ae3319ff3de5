"""Branches and loops that are decided at run time: regions, what they change, and how the changes come together.

A region is traced like any code. What it changed is found by looking: names bound to other values, array objects with
another version. A branch merges the two outcomes; a loop is traced again with what it changed as carried values, until
nothing new changes and the types stand still.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adcompile.errors import AdcompileError, InvalidArgument, StaticValueRequired, UnsupportedAlias, UnsupportedSyntax
from adcompile.frontend.tracer import Region, Tracer
from adcompile.frontend.values import PENDING, Range, Reference, Undefined, assigned_names, is_dynamic
from adcompile.ir import ANY, Array, Atom, Block, Eqn, Scalar, Type, Value
from adcompile.ir.types import INDEX, join
from adcompile.primitives import Emitter, Handle
from adcompile.primitives.indexing import trip_count
from adcompile.primitives.shapes import keeping_shape
from adcompile.primitives.subscripts import subscript
from adcompile.tree import flatten, unflatten

MAYBE_ALIAS = "which array this is was decided at run time, so that a write could be missed under another name"
WRITTEN = "this array was handed through a loop that writes into it under another name"
_TOTAL = {"add", "sub", "mul", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne", "logical_and", "logical_or",
          "logical_not", "maximum", "minimum", "where", "cast", "dim", "square"}  # fmt: skip
"""Cheap equations that give a number for every operand."""
MAX_SPECULATED = 10
MAX_UNROLL = 256
MAX_PASSES = 8


def placeholder(op: Emitter, type: Type) -> Any:
    """A value of a type that nobody will look at; an array without elements."""
    if isinstance(type, Scalar):
        return op.constant(op.zero(type.dtype).atom.value, type)  # type: ignore[union-attr]
    sizes = [d if isinstance(d, int) else 0 for d in type.dims]
    dims = tuple(d if isinstance(d, int) else ANY for d in type.dims)
    return op("full", op.zero(type.dtype), *sizes, dims=dims)


# -- bringing values together -----------------------------------------------------------------------------------


def common_type(t: Tracer, a: Type, b: Type, what: str) -> Type:
    """The type that holds both; an integer that meets a float becomes one, as Python's arithmetic would make it."""
    joined = join(a, b)
    if joined is None and isinstance(a, Scalar) and isinstance(b, Scalar):
        for one, two in ((a, b), (b, a)):
            if one.weak and not one.dtype.startswith("float") and one.dtype != "bool" and two.dtype.startswith("float"):
                joined = two
    if joined is None:
        raise InvalidArgument(
            f"{what} would be {a} on one path and {b} on another", t.loc, "Give it one dtype and rank on every path."
        )
    return joined


def as_atom(t: Tracer, op: Emitter, value: Any, type: Type | None, what: str) -> Atom:
    """The atom of a number or array handle, converted to a type."""
    if not isinstance(value, Handle) and not isinstance(value, bool | int | float):
        raise StaticValueRequired(f"{what} would depend on a run-time condition", t.loc, "Use numbers or arrays.")
    handle = op.handle(op.atom(value))
    if type is not None and handle.type.dtype != type.dtype:
        handle = op.cast(handle, dtype=type.dtype, weak=getattr(type, "weak", False))
    return handle.atom


def _type_of(t: Tracer, op: Emitter, value: Any, what: str) -> Type:
    return as_atom(t, op, value, None, what).type


def _same(a: Any, b: Any) -> bool:
    """Whether two traced values are the same without asking at run time."""
    if a is b:
        return True
    if isinstance(a, Handle) and isinstance(b, Handle):
        return a.atom == b.atom
    return not is_dynamic(a) and not is_dynamic(b) and type(a) is type(b) and a == b


@dataclass(eq=False)
class Outcome:
    """What a region led to: its frozen region, names and array versions (read inside it), and an optional value."""

    __adcompile_leaf__ = True

    region: Region
    names: dict[str, Any]
    arrays: dict[Reference, Handle]
    value: Any


def explore(t: Tracer, run: Callable[[], Any]) -> Outcome:
    """Trace ``run`` in a region of its own and undo what it changed."""
    saved = dict(t.frame.locals)
    with t.region() as region:
        value = run()
        names = {k: v for k, v in t.frame.locals.items() if k not in saved or saved[k] is not v}
        arrays = {r: t.read(r) for r in region.writes}
        value = _frozen_leaves(t, value, region)
        names = {k: _frozen_leaves(t, v, region) for k, v in names.items()}
    t.frame.locals.clear()
    t.frame.locals.update(saved)
    return Outcome(region, names, arrays, value)


@dataclass(frozen=True, eq=False)
class Fresh:
    """An array made inside a region: its last version there, and the object that owns its elements."""

    __adcompile_leaf__ = True

    handle: Handle
    root: Reference


def _frozen_leaves(t: Tracer, value: Any, region: Region) -> Any:
    """Array objects born in the region (or views) as their last version; older ones stay objects."""
    leaves, structure = flatten(value)
    return unflatten(structure, [_freeze(t, leaf, region) for leaf in leaves])


def _freeze(t: Tracer, leaf: Any, region: Region) -> Any:
    if isinstance(leaf, Reference) and (leaf.base is not None or leaf.born >= region.serial):
        return Fresh(t.read(leaf), leaf.root)
    return leaf


def _plain(leaf: Any, outcome: Outcome) -> Any:
    """A leaf as a handle of its region or a known value."""
    if isinstance(leaf, Fresh):
        return leaf.handle
    if isinstance(leaf, Reference):
        found = outcome.arrays.get(leaf, leaf.version)
        return leaf if found is None else outcome.region.op.handle(found.atom)
    return leaf


class Merge:
    """Collects pairs of values of two branches and gives the results of one ``if``."""

    def __init__(self, t: Tracer, then: Outcome, other: Outcome):
        self.t, self.sides = t, (then, other)
        self.pairs: list[tuple[Atom, Atom, Type]] = []

    def add(self, a: Any, b: Any, what: str) -> Callable[[Sequence[Value]], Any]:
        """Note a pair of traced values; the result is a function from the ``if``'s results to the merged value."""
        (ones, structure), (twos, other) = flatten(a), flatten(b)
        if a is PENDING or b is PENDING:
            structure = other = other if a is PENDING else structure
            ones = [PENDING] * structure.count if a is PENDING else ones
            twos = [PENDING] * structure.count if b is PENDING else twos
        if structure != other:
            raise InvalidArgument(f"{what} has another structure on each path", self.t.loc, "Make them alike.")
        makers = [self._leaf(x, y, what) for x, y in zip(ones, twos, strict=True)]
        return lambda outs: unflatten(structure, [m(outs) for m in makers])

    def _leaf(self, a: Any, b: Any, what: str) -> Callable[[Sequence[Value]], Any]:
        if _same(a, b):
            return lambda outs: a
        if a is PENDING or b is PENDING:
            a, b = (self._placeholder(b, 1), b) if a is PENDING else (a, self._placeholder(a, 0))
        if isinstance(a, Undefined) or isinstance(b, Undefined):
            return lambda outs: Undefined(what, "is set on one path only")
        shared = [leaf for leaf in (a, b) if isinstance(leaf, Reference)]
        for leaf in shared:
            leaf.root.frozen = MAYBE_ALIAS
        one, two = _plain(a, self.sides[0]), _plain(b, self.sides[1])
        ops = [side.region.op for side in self.sides]
        type = common_type(self.t, _type_of(self.t, ops[0], one, what), _type_of(self.t, ops[1], two, what), what)
        place = len(self.pairs)
        atoms = [as_atom(self.t, o, v, type, what) for o, v in zip(ops, (one, two), strict=True)]
        self.pairs.append((atoms[0], atoms[1], type))
        return lambda outs: self._merged(outs[place], shared)

    def _placeholder(self, given: Any, side: int) -> Any:
        """Something of the type of the value that the other side returns."""
        value = _plain(given, self.sides[side])
        return placeholder(self.sides[1 - side].region.op, self.sides[side].region.op.atom(value).type)

    def _merged(self, out: Value, shared: Sequence[Reference]) -> Any:
        """The result of the branch; one that may be an older array must not be written."""
        value = self.t.wrap(self.t.op.handle(out))
        if shared and isinstance(value, Reference):
            value.frozen = MAYBE_ALIAS
        return value

    def close(self, condition: Handle) -> tuple[Value, ...]:
        """Emit the ``if``."""
        then, other = self.sides
        if not self.pairs and not then.region.op.builder.eqns and not other.region.op.builder.eqns:
            return ()
        if len(self.pairs) and self._speculable():
            return self._select(condition)
        regions = [
            then.region.op.builder.block((), [p[0] for p in self.pairs]),
            other.region.op.builder.block((), [p[1] for p in self.pairs]),
        ]
        types = [p[2] for p in self.pairs]
        return self.t.op.builder.emit("if", (self.t.op.atom(condition),), types, {}, regions)

    def _speculable(self) -> bool:
        """Whether both sides may simply be computed: cheap equations that cannot fail, or one element of one array."""
        eqns = [eqn for side in self.sides for eqn in side.region.op.builder.eqns]
        if any(isinstance(type, Array) for _, _, type in self.pairs) or len(eqns) > MAX_SPECULATED:
            return False
        loads = [self._common_load(a, b) for a, b, _ in self.pairs]
        selected = {id(eqn) for pair in loads if pair for eqn in pair}
        elements = {eqn.outs[0] for pair in loads if pair for eqn in pair}
        others = [eqn for eqn in eqns if id(eqn) not in selected]
        return all(eqn.op in _TOTAL and not elements & set(eqn.args) for eqn in others)

    def _common_load(self, a: Atom, b: Atom) -> tuple[Eqn, Eqn] | None:
        """The equations of a pair of results that are elements of the same array, read at different places."""
        builders = [side.region.op.builder for side in self.sides]
        one, two = (b.definition(x) if x in b.definitions else None for b, x in zip(builders, (a, b), strict=True))
        if one is None or two is None or one.op != "index" or two.op != "index" or one.args[0] is not two.args[0]:
            return None
        return (one, two) if one.attrs == two.attrs else None

    def _select(self, condition: Handle) -> tuple[Value, ...]:
        """Both sides in straight line, and a selection of each result (or of its place in an array)."""
        op = self.t.op
        loads = [self._common_load(a, b) for a, b, _ in self.pairs]
        skipped = {id(eqn) for pair in loads if pair for eqn in pair}
        for side in self.sides:
            for eqn in side.region.op.builder.eqns:
                if id(eqn) not in skipped:
                    op.builder.append(eqn)
        outs = []
        for (a, b, _), pair in zip(self.pairs, loads, strict=True):
            if pair is None:
                outs.append(op.where(condition, a, b).atom if a != b else a)
                continue
            places = [op.where(condition, x, y) for x, y in zip(pair[0].args[1:], pair[1].args[1:], strict=True)]
            outs.append(op("index", pair[0].args[0], *places, **pair[0].attrs).atom)
        return tuple(outs)


def choose(t: Tracer, condition: Handle, then: Callable[[], Any], other: Callable[[], Any]) -> Any:
    """Trace two ways to go; the merged value, and whatever they changed merged too."""
    outcomes = explore(t, then), explore(t, other)
    return merge(t, condition, *outcomes)


def merge(t: Tracer, condition: Handle, then: Outcome, other: Outcome) -> Any:
    """Bring two outcomes together in the current region."""
    joint = Merge(t, then, other)
    value = joint.add(then.value, other.value, "the result")
    names = {}
    for name in dict.fromkeys((*then.names, *other.names)):
        missing = Undefined(name, "is set on one path only")
        before = t.frame.locals.get(name, missing)
        names[name] = joint.add(then.names.get(name, before), other.names.get(name, before), name)
    arrays = {}
    for reference in dict.fromkeys((*then.arrays, *other.arrays)):
        before = reference.version
        versions = [side.region.op.handle(side.arrays.get(reference, before).atom) for side in (then, other)]  # type: ignore[union-attr]
        arrays[reference] = joint.add(Fresh(versions[0], reference), Fresh(versions[1], reference), "an array")
    outs = joint.close(condition)
    for reference, made in arrays.items():
        t.write(reference, t.read(_thaw(t, made(outs))))
    for name, made in names.items():
        t.assign(name, _thaw(t, made(outs)))
    return _thaw(t, value(outs))


def _thaw(t: Tracer, value: Any) -> Any:
    leaves, structure = flatten(value)
    return unflatten(structure, [t.wrap(x.handle) if isinstance(x, Fresh) else x for x in leaves])


# -- what a loop runs over --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Items:
    """The elements of an array along its first dimension."""

    __adcompile_leaf__ = True

    array: Reference

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return t.op.size(t.read(self.array), 0)

    def item(self, t: Tracer, index: Handle) -> Any:
        """One of them."""
        from adcompile.frontend.expressions import get_item

        return get_item(t, self.array, index)


@dataclass(frozen=True)
class Counted:
    """The numbers of a range, by their position."""

    __adcompile_leaf__ = True

    range: Range

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        atoms = [t.op.atom(x) for x in (self.range.start, self.range.stop, self.range.step)]
        return trip_count(t.op, atoms)

    def item(self, t: Tracer, index: Handle) -> Any:
        """One of them."""
        return index * self.range.step + self.range.start


@dataclass(frozen=True)
class Listed:
    """A container that every element of a loop takes whole: its items must be known while tracing."""

    __adcompile_leaf__ = True

    items: Sequence[Any]

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return len(self.items)

    def item(self, t: Tracer, index: Handle) -> Any:
        """Not at a run-time position."""
        raise StaticValueRequired("a container is looped over together with an array", t.loc, "Stack it first.")


@dataclass(frozen=True)
class Zipped:
    """Several things looped over together."""

    __adcompile_leaf__ = True

    parts: Sequence[Any]

    def length(self, t: Tracer) -> Any:
        """The length of the shortest."""
        lengths = [p.length(t) for p in self.parts]
        shortest = lengths[0]
        for length in lengths[1:]:
            shortest = shortest if _same(shortest, length) else t.op.minimum(shortest, length)
        return shortest

    def item(self, t: Tracer, index: Handle) -> Any:
        """One element of each."""
        return tuple(p.item(t, index) for p in self.parts)


@dataclass(frozen=True)
class Numbered:
    """``enumerate``."""

    __adcompile_leaf__ = True

    part: Any
    start: Any

    def length(self, t: Tracer) -> Any:
        """How many there are."""
        return self.part.length(t)

    def item(self, t: Tracer, index: Handle) -> Any:
        """The number and the element."""
        return (index if _same(self.start, 0) else index + self.start, self.part.item(t, index))


def iteration(t: Tracer, value: Any) -> Any:
    """What ``for`` does with a value that is not a plain container."""
    if isinstance(value, Items | Counted | Zipped | Numbered | Listed):
        return value
    if isinstance(value, Range):
        return Counted(value)
    if isinstance(value, Reference):
        return Items(value)
    if isinstance(value, tuple | list):
        return Listed(value)
    raise InvalidArgument(f"a {type(value).__name__} cannot be looped over", t.loc, "Use range, an array or a tuple.")


# -- loops ------------------------------------------------------------------------------------------------------


Place = tuple[str, int]
"""A name, and the leaf of its container (0 for a number or an array)."""


@dataclass(eq=False)
class Carried:
    """What a loop hands from one iteration to the next: names and array objects, with their types."""

    names: dict[Place, Type]
    arrays: dict[Reference, Type]
    resized: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Pass:
    """One tracing of a loop body: the region, its parameters, and the outcome."""

    block: Region
    index: Value | None
    params: tuple[Value, ...]
    outcome: Outcome
    entered: list[Reference]
    condition: Block | None = None


def rolled_for(t: Tracer, node: ast.For, source: Any) -> None:
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

    if leave is None:
        _roll(t, node.body, body, [t.op.atom(x) for x in (start, stop, step)], hint, None)
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

    _roll(t, node.body, advance, None, "", more, (place,))


def rolled_while(t: Tracer, node: ast.While) -> None:
    """A ``while`` loop as one equation."""
    from adcompile.frontend.expressions import evaluate, truth
    from adcompile.frontend.statements import execute_loop_body

    leave = getattr(node, "leave", None)

    def more() -> Handle:
        test = lambda: t.op.handle(t.op.atom(truth(t, evaluate(t, node.test))))
        if leave is None:
            return test()
        left = t.op.handle(t.op.atom(truth(t, t.lookup(f" {leave}"))))
        return choose(t, left, lambda: t.op.handle(t.op.atom(False)), test)

    _roll(t, node.body, lambda index: execute_loop_body(t, node.body), None, "", more)


def _roll(
    t: Tracer,
    statements: list[ast.stmt],
    body: Callable[[Handle], None],
    bounds: list[Atom] | None,
    hint: str,
    test: Callable[[], Handle] | None,
    more: Sequence[str] = (),
) -> None:
    carried = _first_guess(t, statements, more)
    for _ in range(MAX_PASSES):
        found = _trace_pass(t, carried, body, indexed=bounds is not None, hint=hint, test=test)
        grown = _grow(t, carried, found.outcome)
        if grown is None and _emit_loop(t, carried, found, bounds):
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
        names.append(Value(type, name.split()[0] if single else f"{name}_{k}"))
    return (*names, *(Value(type, _array_name(r)) for r, type in carried.arrays.items()))


def _trace_pass(
    t: Tracer, carried: Carried, body: Callable[[Handle], None], *, indexed: bool, hint: str, test: Any
) -> Pass:
    """Trace the body once with fresh parameters for everything carried."""
    index = Value(INDEX, hint) if indexed else None
    params = _params(t, carried)
    condition = _trace_condition(t, carried, test) if test is not None else None
    saved = dict(t.frame.locals)
    entered: list[Reference] = []

    def run() -> None:
        for k, init in enumerate(_starts(t, carried)):
            if isinstance(init.type, Array) and k not in carried.resized:
                t.op.builder.shapes[params[k]] = init
        entered.extend(_enter(t, carried, params))
        body(t.op.handle(index) if index is not None else None)  # type: ignore[arg-type]

    outcome = explore(t, run)
    t.frame.locals.clear()
    t.frame.locals.update(saved)
    return Pass(outcome.region, index, params, outcome, entered, condition)


def _array_name(reference: Reference) -> str:
    atom = reference.version.atom if reference.version is not None else None
    return atom.name if isinstance(atom, Value) else ""


def _enter(t: Tracer, carried: Carried, params: Sequence[Value]) -> list[Reference]:
    """Let carried names and array objects stand for the loop's parameters; the array objects of the names."""
    count = len(carried.names)
    entered = []
    for place, param in zip(carried.names, params[:count], strict=True):
        value = t.wrap(t.op.handle(param))
        _put(t, place, value)
        entered += [value] if isinstance(value, Reference) else []
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
        (before, structure), (after, other) = flatten(t.frame.locals[name]), flatten(value)
        if structure != other:
            raise StaticValueRequired(
                f"{name!r} has another structure after an iteration", t.loc, "Keep the containers alike, or use arrays."
            )
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            if not _same(old, new):
                names[name, k] = _carried_type(t, names.get((name, k)), old, _plain(new, outcome), name)
    for reference, version in outcome.arrays.items():
        before_type = arrays.get(reference) or t.read(reference).type
        arrays[reference] = common_type(t, before_type, version.type, "an array")
    grown = (names, arrays) != (carried.names, carried.arrays)
    return Carried(names, arrays, carried.resized) if grown else None


def _settle_pending(t: Tracer, name: str, value: Any, outcome: Outcome) -> None:
    """Give a value that a ``return`` in the loop will set a placeholder of its types."""
    if t.frame.locals.get(name) is not PENDING or value is PENDING:
        return
    leaves, structure = flatten(value)
    types = [_type_of(t, outcome.region.op, _plain(leaf, outcome), name) for leaf in leaves]
    t.frame.locals[name] = unflatten(structure, [t.wrap(placeholder(t.op, type)) for type in types])


def _carried_type(t: Tracer, known: Type | None, before: Any, after: Any, name: str) -> Type:
    initial = t.read(before)
    if not isinstance(initial, Handle) and not isinstance(initial, bool | int | float):
        raise StaticValueRequired(
            f"{name!r} changes in a loop and is not a number or an array", t.loc, "Loop over a tuple, or use arrays."
        )
    start = known or t.op.atom(initial).type
    return common_type(t, start, _type_of(t, t.op, after, name), repr(name))


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
            after = _plain(flatten(outcome.names[name])[0][k], outcome)
        results.append(as_atom(t, inner, after, type, repr(name)))
    for reference, type in carried.arrays.items():
        results.append(as_atom(t, inner, outcome.arrays[reference], type, "an array"))
    lead = [found.index] if found.index is not None else []
    return inner.builder.block([*lead, *found.params], results)


def _resized(t: Tracer, carried: Carried, found: Pass) -> frozenset[int]:
    """Which carried arrays do not keep the shape they were assumed to keep."""
    inits = _starts(t, carried)
    arrays = {k for k, init in enumerate(inits) if isinstance(init.type, Array)}
    return frozenset(arrays - keeping_shape(t.op.builder, inits, found.params, _body(t, carried, found)))


def _emit_loop(t: Tracer, carried: Carried, found: Pass, bounds: list[Atom] | None) -> bool:
    """Emit the loop and bind what it leaves; False where an array did not keep its shape, as the pass had assumed."""
    if _resized(t, carried, found) - carried.resized:
        return False
    _refuse_aliases(t, carried, found)
    block = _body(t, carried, found)
    types = [*carried.names.values(), *carried.arrays.values()]
    regions = [block] if found.condition is None else [found.condition, block]
    kind = "loop" if bounds is not None else "while"
    names = [param.name for param in found.params]
    outs = t.op.builder.emit(kind, [*(bounds or []), *_starts(t, carried)], types, {}, regions, names=names)
    _leave(t, carried, found, outs)
    return True


def _refuse_aliases(t: Tracer, carried: Carried, found: Pass) -> None:
    """Arrays that a loop hands on under its names are values of their own: no two may be one array that is written."""
    if not any(reference.written for reference in found.entered):
        return
    before = [leaf.root for leaf in (_leaf(t, p) for p in carried.names) if isinstance(leaf, Reference)]
    after = [flatten(found.outcome.names[n])[0][k] for n, k in carried.names if n in found.outcome.names]
    roots = [leaf.root for leaf in after if isinstance(leaf, Fresh | Reference)]
    older = any(root.born < found.block.serial for root in roots)
    params = found.params[len(carried.names) :]
    arrays = {r for r, p in zip(carried.arrays, params, strict=True) if found.outcome.arrays[r].atom is not p}
    if len(set(before)) < len(before) or arrays & set(before) or len(set(roots)) < len(roots) or older:
        raise UnsupportedAlias(
            "two names of this loop may stand for one array, which the loop writes", t.loc, "Copy one (a.copy())."
        )


def _leave(t: Tracer, carried: Carried, found: Pass, outs: Sequence[Value]) -> None:
    """Bind what the loop left behind."""
    outcome = found.outcome
    count = len(carried.names)
    for reference, out, param in zip(carried.arrays, outs[count:], found.params[count:], strict=True):
        if outcome.arrays[reference].atom is not param:
            t.write(reference, t.op.handle(out))
    for place, out in zip(carried.names, outs[:count], strict=True):
        before = _leaf(t, place)
        if isinstance(before, Reference) and any(r.written for r in found.entered):
            before.root.stale, before.root.written = WRITTEN, True
        value = t.wrap(t.op.handle(out))
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


__all__ = ["Array", "UnsupportedSyntax", "choose", "iteration", "rolled_for", "rolled_while", "subscript", "unrollable"]

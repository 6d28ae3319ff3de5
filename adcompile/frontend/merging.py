"""Branches that are decided at run time: what each way changes, and how the changes come together.

A region is traced like any code. What it changed is found by looking: names bound to other values, array objects with
another version. The two ways of a branch merge into one ``if``, or into selections where both are cheap and safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adcompile.errors import InvalidArgument, StaticValueRequired, UnsupportedAlias, UnsupportedSyntax
from adcompile.frontend.tracer import Region, Tracer
from adcompile.frontend.values import PENDING, Reference, Undefined, held_by, is_dynamic
from adcompile.ir import ANY, Array, Atom, Eqn, Scalar, Type, Value
from adcompile.ir.types import join
from adcompile.primitives import Emitter, Handle
from adcompile.tree import flatten, unflatten

MAYBE_ALIAS = "which array this is was decided at run time, so that a write could be missed under another name"
_TOTAL = {"add", "sub", "mul", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne", "logical_and", "logical_or",
          "logical_not", "maximum", "minimum", "where", "cast", "dim", "square"}  # fmt: skip
"""Cheap equations that give a number for every operand."""
MAX_SPECULATED = 10


def placeholder(op: Emitter, type: Type) -> Any:
    """A value of a type that nobody will look at; an array without elements."""
    if isinstance(type, Scalar):
        return op.constant(op.zero(type.dtype).atom.value, type)  # type: ignore[union-attr]
    sizes = [d if isinstance(d, int) else 0 for d in type.dims]
    dims = tuple(d if isinstance(d, int) else ANY for d in type.dims)
    return op("full", op.zero(type.dtype), *sizes, dims=dims)


def common_type(t: Tracer, a: Type, b: Type, what: str) -> Type:
    """The type that holds both; a Python number that meets a float gives way to it, as in arithmetic."""
    joined = join(a, b)
    if joined is None and isinstance(a, Scalar) and isinstance(b, Scalar):
        for one, two in ((a, b), (b, a)):
            gives_way = one.weak and one.dtype != "bool" and (not two.weak or not one.dtype.startswith("float"))
            if gives_way and two.dtype.startswith("float"):
                joined = two
    if joined is None:
        raise InvalidArgument(
            f"{what} would be {a} on one path and {b} on another", t.loc, "Give it one dtype and rank on every path."
        )
    return joined


def as_atom(t: Tracer, op: Emitter, value: Any, type: Type | None, what: str) -> Atom:
    """The atom of a number or array handle, converted to a type."""
    if isinstance(value, Undefined):
        raise UnsupportedSyntax(f"{what} {value.reason}", t.loc, "Set it before.")
    if not isinstance(value, Handle) and not isinstance(value, bool | int | float):
        raise StaticValueRequired(f"{what} would depend on a run-time condition", t.loc, "Use numbers or arrays.")
    handle = op.handle(op.atom(value))
    if type is not None and handle.type.dtype != type.dtype:
        handle = op.cast(handle, dtype=type.dtype, weak=getattr(type, "weak", False))
    return handle.atom


def type_in(t: Tracer, op: Emitter, value: Any, what: str) -> Type:
    """The type a traced value has as an atom."""
    return as_atom(t, op, value, None, what).type


def same(a: Any, b: Any) -> bool:
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
        value = frozen_leaves(t, value, region)
        names = {k: _frozen_name(t, k, v, region) for k, v in names.items()}
    t.frame.locals.clear()
    t.frame.locals.update(saved)
    return Outcome(region, names, arrays, value)


@dataclass(frozen=True, eq=False)
class Fresh:
    """An array made inside a region: its last version there, and the object that owns its elements."""

    __adcompile_leaf__ = True

    handle: Handle
    root: Reference


def frozen_leaves(t: Tracer, value: Any, region: Region) -> Any:
    """Array objects born in the region (or views) as their last version; older ones stay objects."""
    leaves, structure = flatten(value)
    return unflatten(structure, [_freeze(t, leaf, region) for leaf in leaves])


def _frozen_name(t: Tracer, name: str, value: Any, region: Region) -> Any:
    """The same for what a name stands for; what may not be read any more is only refused where it is read."""
    try:
        return frozen_leaves(t, value, region)
    except UnsupportedAlias:
        if not name.isidentifier():
            raise
        return Undefined(name, "may stand for an array that was written since")


def _freeze(t: Tracer, leaf: Any, region: Region) -> Any:
    if isinstance(leaf, Reference) and (leaf.base is not None or leaf.born >= region.serial):
        return Fresh(t.read(leaf), leaf.root)
    return leaf


def plain(leaf: Any, outcome: Outcome) -> Any:
    """A leaf as a handle of its region or a known value."""
    if isinstance(leaf, Fresh):
        return leaf.handle
    if isinstance(leaf, Reference):
        return outcome.region.op.handle(_version_in(leaf, outcome).atom)
    return leaf


def _version_in(reference: Reference, outcome: Outcome) -> Handle:
    """The version of an older array, or of a view of one, at the end of a region."""
    if reference.base is not None:
        return reference.subscript.read(outcome.region.op, _version_in(reference.base, outcome))
    return outcome.arrays.get(reference, reference.version)  # type: ignore[return-value]


def owner(leaf: Any) -> Reference | None:
    """The array object whose elements a leaf of an outcome has."""
    return leaf.root if isinstance(leaf, Fresh | Reference) else None


def mark(value: Reference, root: Reference, region: Region, *, shared: bool, moved: bool = False) -> None:
    """Note on an array that a region hands out what else it may be, ``root`` being the array object it was inside.

    An array from before the region that others see, one that another result is too, or one that was in doubt inside,
    must not be written; it can be read as long as no array that it may be has been written since. With ``moved`` all
    names of an older array move on to what the region hands out, where only one is that array: then a write is missed
    by nobody.
    """
    older = root.born < region.serial
    if shared or root.frozen or (older and not moved):
        value.frozen = MAYBE_ALIAS
    candidates = [root] if older else [other for other, _ in root.maybe if other.born < region.serial]
    value.maybe += tuple((r.root, r.version.atom) for r in candidates if r.version is not None)


class Merge:
    """Collects pairs of values of two branches and gives the results of one ``if``."""

    def __init__(self, t: Tracer, then: Outcome, other: Outcome, ending: bool):
        self.t, self.sides = t, (then, other)
        self.pairs: list[tuple[Atom, Atom, Type]] = []
        self.owners: list[tuple[Reference | None, ...]] = []
        names = {*then.names, *other.names} & t.frame.locals.keys()
        held = [leaf.root for n in names for leaf in held_by(t.frame.locals[n]) if isinstance(leaf, Reference)]
        self.moved = {root for root in held if t.holders_are(root, held.count(root))}
        if ending:
            given = [owner(leaf) for outcome in self.sides for leaf in flatten(outcome.value)[0]]
            self.moved |= {root for root in given if root is not None and t.dies_with_call(root)}

    def add_version(self, reference: Reference) -> Callable[[Sequence[Value]], Any]:
        """Note the two versions of an array that a side has written."""
        before = reference.version
        versions = [side.region.op.handle(side.arrays.get(reference, before).atom) for side in self.sides]  # type: ignore[union-attr]
        return self._pair(versions[0], versions[1], "an array", (None, None))

    def add(self, a: Any, b: Any, what: str) -> Callable[[Sequence[Value]], Any]:
        """Note a pair of traced values; the result is a function from the ``if``'s results to the merged value."""
        unset = next((x for x in (a, b) if isinstance(x, Undefined) and x is not PENDING), None)
        if unset is not None:
            return lambda outs: Undefined(what, unset.reason)
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
        if same(a, b):
            self.moved.discard(owner(a))  # type: ignore[arg-type]
            return lambda outs: a
        unset = [x for x in (a, b) if isinstance(x, Undefined)]
        if len(unset) == 2 or any(x is not PENDING for x in unset):
            return lambda outs: Undefined(what, "is set on one path only")
        if unset:
            a, b = (self._placeholder(b, 1), b) if a is PENDING else (a, self._placeholder(a, 0))
        return self._pair(plain(a, self.sides[0]), plain(b, self.sides[1]), what, tuple(map(owner, (a, b))))

    def _pair(self, one: Any, two: Any, what: str, owners: tuple) -> Callable[[Sequence[Value]], Any]:
        ops = [side.region.op for side in self.sides]
        type = common_type(self.t, type_in(self.t, ops[0], one, what), type_in(self.t, ops[1], two, what), what)
        place = len(self.pairs)
        atoms = [as_atom(self.t, o, v, type, what) for o, v in zip(ops, (one, two), strict=True)]
        self.pairs.append((atoms[0], atoms[1], type))
        self.owners.append(owners)
        return lambda outs: self._merged(outs[place], place)

    def _placeholder(self, given: Any, side: int) -> Any:
        """Something of the type of the value that the other side returns."""
        value = plain(given, self.sides[side])
        return placeholder(self.sides[1 - side].region.op, self.sides[side].region.op.atom(value).type)

    def _merged(self, out: Value, place: int) -> Any:
        """The result of the branch; one that may be an older array, or that of another result, must not be written."""
        value = self.t.wrap(self.t.op.handle(out))
        for side, owners in zip(self.sides, zip(*self.owners, strict=True), strict=True):
            root = owners[place]
            if root is not None and isinstance(value, Reference):
                mark(value, root, side.region, shared=owners.count(root) > 1, moved=root in self.moved)
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


def merge(t: Tracer, condition: Handle, then: Outcome, other: Outcome, *, ending: bool = False) -> Any:
    """Bring two outcomes together in the current region; with ``ending`` the function returns their merged value."""
    joint = Merge(t, then, other, ending)
    value = joint.add(then.value, other.value, "the result")
    names = {}
    for name in dict.fromkeys((*then.names, *other.names)):
        missing = Undefined(name, "is set on one path only")
        before = t.frame.locals.get(name, missing)
        names[name] = joint.add(then.names.get(name, before), other.names.get(name, before), name)
    arrays = {}
    for reference in dict.fromkeys((*then.arrays, *other.arrays)):
        arrays[reference] = joint.add_version(reference)
    outs = joint.close(condition)
    for reference, made in arrays.items():
        t.write(reference, t.read(_thaw(t, made(outs))))
    for name, made in names.items():
        t.assign(name, _thaw(t, made(outs)))
    return _thaw(t, value(outs))


def _thaw(t: Tracer, value: Any) -> Any:
    leaves, structure = flatten(value)
    return unflatten(structure, [t.wrap(x.handle) if isinstance(x, Fresh) else x for x in leaves])

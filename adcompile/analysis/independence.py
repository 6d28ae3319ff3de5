"""Whether the iterations of a loop may run in any order, or at the same time.

Needs the loop dialect, in which an array's new version is its old buffer. `independence` looks at every access to the
arrays that a loop carries, and at how it builds its scalars up. Iterations are independent where

- two accesses of different iterations, one of them a store, never meet: at some dimension both subscripts are affine
  in the loop index with one factor, and what is left of them differs by something other than a multiple of it, or is
  the same (the dependence test of Banerjee, Dependence Analysis for Supercomputing, 1988, in its simplest form);
  a loop over tiles touches rows ``index + i`` with i below its step;
- or both only add to the element (`accumulate`): additions of several iterations commute, if each is made whole;
- a carried scalar is a reduction: nothing but one associative operation ever takes it.

Arrays that a loop reads and does not carry are not written by it: `adcompile.analysis.inplace` copies otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adcompile.ir import Array, Atom, Block, Const, Eqn, Value
from adcompile.ir.affine import Affine
from adcompile.ir.core import eqn_inputs, free_values, walk
from adcompile.ir.types import INDEX

ASSOCIATIVE = {
    "add": "add", "sub": "add", "mul": "mul", "maximum": "maximum", "minimum": "minimum",
    "logical_and": "logical_and", "logical_or": "logical_or",
}  # fmt: skip
"""Operation on a carried scalar → how the parts of several threads are combined."""
_UPDATES = {"store": "store", "accumulate": "add"}


@dataclass(frozen=True)
class Independence:
    """What is known of a loop's iterations.

    Attributes
    ----------
    obstacle : why the iterations depend on each other, with the place; None where they are independent.
    added : positions of carried arrays whose elements several iterations may add to; they add as one step.
    shared : those of them that the loop does nothing else with: each thread may add to an array of its own.
    sums : position of a carried scalar → the associative operation that builds it up.
    """

    obstacle: str | None = None
    added: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()
    sums: tuple[tuple[int, str], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the iterations are independent."""
        return self.obstacle is None


def independence(loop: Eqn) -> Independence:
    """What is known of the iterations of a ``loop`` equation of the loop dialect.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> from adcompile.lower import lower
    >>> trace = adcompile.jit(lambda x: np.cumsum(x)).specialisation(np.ones(3)).program.trace
    >>> [independence(eqn).obstacle for eqn in lower(trace).block.eqns if eqn.op == "loop"]
    ['a number of one iteration is read by the next']
    """
    try:
        return _independence(loop)
    except _Dependent as found:
        return Independence(str(found))


def homes(block: Block) -> tuple[int | None, ...] | None:
    """For each result of a closed block the position of the parameter whose buffer it is, None for a scalar.

    None where the buffer of an array depends on the course of the program, or is none of the parameters'.
    """
    roots = {p: k for k, p in enumerate(block.params) if isinstance(p.type, Array)}
    try:
        _Scan(block).block(block, roots)
    except _Dependent:
        return None
    found = tuple(roots.get(r) if isinstance(r, Value) else None for r in block.results)
    lost = any(isinstance(r.type, Array) and k is None for r, k in zip(block.results, found, strict=True))
    return None if lost else found


class _Dependent(Exception):
    """An obstacle."""


@dataclass(frozen=True)
class _Access:
    """One access to a carried array: its position among the carried values, "read", "store" or "add", and where."""

    position: int
    kind: str
    subscripts: tuple[Affine, ...]


def _independence(loop: Eqn) -> Independence:
    (body,) = loop.regions
    carried = dict(enumerate(body.params[1:]))
    scan = _Scan(body, loop.args[2])
    roots = {param: k for k, param in carried.items() if isinstance(param.type, Array)}
    scan.block(body, roots)
    for k, result in enumerate(body.results):
        if isinstance(result.type, Array) and (not isinstance(result, Value) or roots.get(result) != k):
            raise _Dependent(f"carries {_name(carried[k])} to the next iteration as another array")
    sums = tuple((k, _reduction(body, k)) for k in carried if k not in roots.values())
    added = frozenset(k for k in set(roots.values()) if scan.meets(k, carried[k]))
    other = {a.position for a in scan.accesses if a.kind != "add"}
    return Independence(None, added, added - other, sums)


def _name(value: Value) -> str:
    return value.name or "an array"


# -- arrays -----------------------------------------------------------------------------------------------------------


class _Scan:
    """Collects the accesses of a body to carried arrays; dies with the analysis."""

    def __init__(self, body: Block, step: Atom | None = None):
        self.index, self.step = body.params[0] if body.params else Value(INDEX), step
        self.accesses: list[_Access] = []
        self.inner = {*body.params}
        for eqn in walk(body):
            self.inner.update(eqn.outs, *(r.params for r in eqn.regions))
        self.definitions = {o: e for e in walk(body) for o in e.outs}
        loops = [e for e in walk(body) if e.op == "loop"]
        self.rows = {e.regions[0].params[0] for e in loops if self.is_part(e)}

    # -- accesses -------------------------------------------------------------------------------------------------

    def block(self, block: Block, roots: dict[Value, int]) -> None:
        """Note the accesses of a block; ``roots`` says which carried array each version is, and learns the new ones."""
        for eqn in block.eqns:
            if eqn.regions:
                self.control(eqn, roots)
            elif eqn.op == "index" and eqn.args[0] in roots:
                self.note(roots[eqn.args[0]], "read", eqn.args[1:])  # type: ignore[index]
            elif eqn.op in _UPDATES or (eqn.op == "gemm" and eqn.attrs["accumulate"]):
                self.update(eqn, roots)
            elif eqn.op != "dim" and any(a in roots for a in eqn.args):
                raise _Dependent(f"uses the whole of {next(_name(a) for a in eqn.args if a in roots)}")  # type: ignore

    def note(self, position: int, kind: str, subscripts: Sequence[Atom]) -> None:
        self.accesses.append(_Access(position, kind, tuple(map(self.form, subscripts))))

    def update(self, eqn: Eqn, roots: dict[Value, int]) -> None:
        target = eqn.args[0]
        assert isinstance(target, Value)
        if target in roots:
            if eqn.op == "gemm":  # adds to every element: the result stands for a subscript of which nothing is known
                self.note(roots[target], "add", eqn.outs * target.type.rank)
            else:
                self.note(roots[target], _UPDATES[eqn.op], eqn.args[2:])
            roots[eqn.outs[0]] = roots[target]
        elif target not in self.inner:
            raise _Dependent(f"writes into {_name(target)}, which it does not carry")

    def control(self, eqn: Eqn, roots: dict[Value, int]) -> None:
        """A region's parameters stand for what they start with, its results for what goes on."""
        lead = {"loop": 3, "while": 0}.get(eqn.op, len(eqn.args))
        skip = 1 if eqn.op == "loop" else 0
        starts = [roots.get(a) if isinstance(a, Value) else None for a in eqn.args[lead:]]
        ends = []
        for region in eqn.regions:
            params = region.params[skip:]
            roots.update((p, k) for p, k in zip(params, starts, strict=bool(params)) if k is not None)
            self.block(region, roots)
            ends.append([roots.get(r) if isinstance(r, Value) else None for r in region.results])
        if eqn.op != "if":
            ends = [ends[-1], starts]
        for out, one, two in zip(eqn.outs, *ends, strict=True):
            if one != two:
                raise _Dependent(f"{_name(out)} is one of several arrays")
            if one is not None:
                roots[out] = one

    # -- do accesses meet? ------------------------------------------------------------------------------------------

    def meets(self, position: int, array: Value) -> bool:
        """Whether additions of several iterations meet; a dependence where other accesses do."""
        found = [a for a in self.accesses if a.position == position]
        met = False
        for place, one in enumerate(found):
            for two in found[place:]:
                if one.kind == two.kind == "read" or self.apart(one, two):
                    continue
                if one.kind != "add" or two.kind != "add":
                    raise _Dependent(f"an iteration may {_WORDS[one.kind, two.kind]} of {_name(array)}")
                met = True
        return met

    def apart(self, one: _Access, two: _Access) -> bool:
        """Whether accesses of different iterations never meet."""
        return any(self.differ(a, b) for a, b in zip(one.subscripts, two.subscripts, strict=True))

    def differ(self, a: Affine, b: Affine) -> bool:
        """Whether two subscripts of one dimension differ in different iterations."""
        factor = a.terms.get(self.index, 0)
        rest = a.plus(b, -1)
        if factor == 1 == b.terms.get(self.index) and self.same_rows(a.without(self.index), b.without(self.index)):
            return True
        if factor != b.terms.get(self.index, 0) or rest.terms:
            return False
        if self.inner.intersection({*a.without(self.index).terms, *b.without(self.index).terms}):
            return False
        return rest.constant != 0 if factor == 0 else rest.constant == 0 or rest.constant % factor != 0

    def same_rows(self, a: Affine, b: Affine) -> bool:
        """Whether two subscripts are rows of the tile that begins at the same place."""
        one, two = ([v for v in form.terms if v in self.inner] for form in (a, b))
        if len(one) != 1 or len(two) != 1 or not self.rows.issuperset((*one, *two)):
            return False
        (i,), (k,) = one, two
        begin, other = a.without(i), b.without(k)
        return a.terms[i] == b.terms[k] == 1 and begin.terms == other.terms and begin.constant == other.constant

    def is_part(self, loop: Eqn) -> bool:
        """Whether a loop inside runs from 0 to at most the step of this one."""
        start, stop, step = loop.args[:3]
        return start == Const(0, INDEX) and step == Const(1, INDEX) and self.at_most_step(stop)

    def at_most_step(self, atom: Atom) -> bool:
        """Whether a number is at most the step, or 0."""
        if atom == self.step:
            return True
        eqn = self.definitions.get(atom) if isinstance(atom, Value) else None
        if eqn is None or eqn.op not in ("minimum", "maximum"):
            return False
        below = [self.at_most_step(a) for a in eqn.args]
        return (
            any(below)
            if eqn.op == "minimum"
            else all(b or a == Const(0, INDEX) for a, b in zip(eqn.args, below, strict=True))
        )

    # -- subscripts -------------------------------------------------------------------------------------------------

    def form(self, atom: Atom) -> Affine:
        """A subscript as an affine form of the loop index and what the body does not define."""
        if isinstance(atom, Const):
            return Affine(int(atom.value))
        eqn = self.definitions.get(atom)
        if eqn is None or atom.type.dtype != "int64" or any(a.type.dtype != "int64" for a in eqn.args):
            return Affine(0, {atom: 1})
        match eqn.op:
            case "add":
                return self.form(eqn.args[0]).plus(self.form(eqn.args[1]))
            case "sub":
                return self.form(eqn.args[0]).plus(self.form(eqn.args[1]), -1)
            case "neg":
                return Affine().plus(self.form(eqn.args[0]), -1)
            case "mul":
                one, two = map(self.form, eqn.args)
                if not one.terms or not two.terms:
                    return Affine().plus(two, one.constant) if not one.terms else Affine().plus(one, two.constant)
        return Affine(0, {atom: 1})


_WORDS = {
    ("read", "store"): "read what another stores: an element",
    ("store", "read"): "read what another stores: an element",
    ("read", "add"): "read what another adds to: an element",
    ("add", "read"): "read what another adds to: an element",
    ("store", "store"): "store where another stores: an element",
    ("store", "add"): "store where another adds: an element",
    ("add", "store"): "store where another adds: an element",
}


# -- scalars ----------------------------------------------------------------------------------------------------------


def _reduction(body: Block, place: int) -> str:
    """The one associative operation that leads from a carried scalar to its next value."""
    param = body.params[1 + place]
    found = _chain(body, param, place)
    if found is None or len(found) != 1:
        raise _Dependent(f"{param.name or 'a number'} of one iteration is read by the next")
    (operation,) = found
    return operation


def _chain(block: Block, start: Value, place: int) -> frozenset[str] | None:
    """The operations by which the result at ``place`` takes ``start`` in, once; None where anything else reads it."""
    taken, found = {start}, frozenset[str]()
    for eqn in block.eqns:
        if not taken.intersection(eqn_inputs(eqn)):
            continue
        step = _step(eqn, taken)
        if step is None:
            return None
        taken.add(step[0])
        found |= step[1]
    return found if [k for k, r in enumerate(block.results) if r in taken] == [place] else None


def _step(eqn: Eqn, taken: set[Value]) -> tuple[Value, frozenset[str]] | None:
    """The result of an equation that takes a scalar in, and by which operations; None where it does something else."""
    places = [k for k, a in enumerate(eqn.args) if a in taken]
    captured = [v for r in eqn.regions for v in free_values(r) if v in taken]
    if eqn.op in ASSOCIATIVE:
        fits = len(places) == 1 and not (eqn.op == "sub" and places == [1])
        same = eqn.outs[0].type.dtype == eqn.args[places[0]].type.dtype
        return (eqn.outs[0], frozenset({ASSOCIATIVE[eqn.op]})) if fits and same else None
    if eqn.op == "where":
        return (eqn.outs[0], frozenset()) if places == [1, 2] else None
    if eqn.op == "loop" and not captured and len(places) == 1 and places[0] >= 3:
        (body,), place = eqn.regions, places[0] - 3
        found = _chain(body, body.params[1 + place], place)
        return None if found is None else (eqn.outs[place], found)
    if eqn.op == "if" and not places and len(set(captured)) == 1:
        return _through_branch(eqn, captured[0])
    return None


def _through_branch(eqn: Eqn, start: Value) -> tuple[Value, frozenset[str]] | None:
    for place, out in enumerate(eqn.outs):
        found = [_chain(r, start, place) for r in eqn.regions]
        if None not in found:
            return out, frozenset().union(*(f for f in found if f is not None))
    return None

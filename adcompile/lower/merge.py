"""Loop dialect → loop dialect: loops over the same range become one; what one stores the other reads from a register.

Two loops merge where every element that the later one reads of the earlier one's results was finished in the same
iteration: all updates and all reads have the loop index at one and the same dimension. Merged rows are merged again
inside, so that chains of elementwise operations, their reductions and their tapes become single loop nests.
Loops that LLVM can vectorise are not merged with loops that it cannot (gathers with checks, scatters, searches).
Loops that add to shifted elements of one array do merge, since sums commute: where the nest may gather from them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from adcompile.ir import Array, Atom, Block, Const, Eqn, Value, free_values
from adcompile.ir.core import eqn_inputs, substitute, walk
from adcompile.lower.fusion import HEAVY, own_cost
from adcompile.lower.gather import may_gather
from adcompile.primitives import PRIMITIVES

_NEAR = 40
"""How many equations apart two loops may be."""
_LARGEST = 240
"""How many equations a merged loop may have."""
_CHECKS = frozenset({"check_index", "check_nonzero", "check_same", "check_true"})
_LINEAR = frozenset({"add", "sub", "mul"})
_SUMS = frozenset({"add", "mul", "maximum", "minimum", "logical_and", "logical_or"})
_ELEMENTS = frozenset({"index", "store", "accumulate", "dim"})


def merge_loops(block: Block, vectors: bool = True) -> Block:
    """Merge the loops of a block, then those inside them, then forward what is stored and read in one iteration.

    Unless ``vectors``, what vectorises is merged with what does not.
    """
    return _merged(_plain_ranges(block, {}) if vectors else block, vectors)


def _plain_ranges(block: Block, made: Mapping[Atom, Eqn]) -> Block:
    """A block whose loops run to ``n`` where they ran to ``maximum(n, 0)``, which is the same from 0 on."""
    made = {**made, **{o: e for e in block.eqns for o in e.outs}}
    eqns = []
    for eqn in block.eqns:
        eqn = replace(eqn, regions=tuple(_plain_ranges(r, made) for r in eqn.regions))
        stop = made.get(eqn.args[1]) if eqn.op == "loop" and _is(eqn.args[0], 0) and _is(eqn.args[2], 1) else None
        if stop is not None and stop.op == "maximum" and _is(stop.args[1], 0):
            eqn = replace(eqn, args=(eqn.args[0], stop.args[0], *eqn.args[2:]))
        eqns.append(eqn)
    return Block(block.params, tuple(eqns), block.results)


def _is(atom: Atom, value: int) -> bool:
    return isinstance(atom, Const) and atom.value == value


def _merged(block: Block, vectors: bool) -> Block:
    eqns = list(block.eqns)
    position = 0
    while position < len(eqns):
        merged = _merge_back(eqns, position, block.results, vectors)
        if merged is None:
            position += 1
        else:
            eqns, position = merged
    inner = [replace(e, regions=tuple(_merged(r, vectors) for r in e.regions)) if e.regions else e for e in eqns]
    return forward(Block(block.params, tuple(inner), block.results))


def _merge_back(eqns: list[Eqn], later: int, results: Sequence[Atom], vectors: bool) -> tuple[list[Eqn], int] | None:
    """The equations with the loop at ``later`` merged into one before it, and where to go on; None if there is none."""
    if not mergeable(eqns[later]):
        return None
    for earlier in range(later - 1, max(-1, later - 1 - _NEAR), -1):
        if mergeable(eqns[earlier]) and _alike(eqns[earlier], eqns[later], vectors):
            found = _merge(eqns, earlier, later, results, vectors)
            if found is None and vectors:
                found = _merge_scatters(eqns, earlier, later, results)
            if found is not None:
                return found
    return None


def _alike(one: Eqn, two: Eqn, vectors: bool) -> bool:
    """The same range, the same kind, and not too large together; no heavy loop moves out of its vector registers."""
    size = sum(1 for e in (one, two) for _ in walk(e.regions[0]))
    if one.args[:3] != two.args[:3] or size > _LARGEST or (vectors and is_vector(one) != is_vector(two)):
        return False
    nested = [any(e.op == "loop" for e in loop.regions[0].eqns) for loop in (one, two)]
    if not vectors:  # nests of one range each, or none: they stay one loop over all elements
        return _inner_ranges(one) == _inner_ranges(two)
    return nested[0] == nested[1] or not _is_heavy(two if nested[0] else one)


def _inner_ranges(loop: Eqn) -> set[tuple[Atom, ...]]:
    return {e.args[:3] for e in loop.regions[0].eqns if e.op == "loop"}


def _is_heavy(eqn: Eqn) -> bool:
    """Whether a loop computes transcendental functions."""
    return any(own_cost(e) > HEAVY for e in walk(eqn.regions[0]))


def mergeable(eqn: Eqn) -> bool:
    """A loop, or a nest of loops, over scalar operations on elements."""
    return eqn.op == "loop" and all(_is_element_wise(e) for e in walk(eqn.regions[0]))


def _is_element_wise(eqn: Eqn) -> bool:
    return eqn.op == "loop" or eqn.op in _ELEMENTS or _is_check(eqn) or _is_scalar(eqn)


def _is_scalar(eqn: Eqn) -> bool:
    return eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].elementwise


def _is_check(eqn: Eqn) -> bool:
    return eqn.op in PRIMITIVES and PRIMITIVES[eqn.op].effect


def is_vector(eqn: Eqn) -> bool:
    """Whether iterations are independent but for sums: no checks, no positions that are data, no searches."""
    defined = {o: e for e in walk(eqn.regions[0]) for o in e.outs}
    for inner in (eqn, *walk(eqn.regions[0])):
        if _is_check(inner):
            return False
        if inner.op in ("store", "accumulate") and not all(_linear(a, defined) for a in inner.args[2:]):
            return False
        if inner.op == "loop" and not all(_is_sum(r, inner.regions[0]) for r in inner.regions[0].results):
            return False
    return True


def _linear(atom: Atom, defined: dict[Value, Eqn]) -> bool:
    """Whether a subscript is linear in loop indices."""
    eqn = defined.get(atom) if isinstance(atom, Value) else None
    return eqn is None or (eqn.op in _LINEAR and all(_linear(a, defined) for a in eqn.args))


def _is_sum(result: Atom, body: Block) -> bool:
    """Whether a carried value is an array or builds up by an associative operation."""
    if isinstance(result.type, Array):
        return True
    return any(result in e.outs and e.op in (*_SUMS, "loop") for e in body.eqns)


# -- may two loops become one? ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """Two loops and what lies between them: what the later one needs first, and the rest.

    With ``shifted`` they may add to any elements of one array.
    """

    first: Eqn
    second: Eqn
    needed: list[Eqn]
    rest: list[Eqn]
    vectors: bool
    shifted: bool

    def legal(self, read_after: set[Value]) -> bool:
        """Whether the later loop, and what it needs, may move before the rest and into the first."""
        return self._order_is_free() and all(self._in_step(k, out, read_after) for k, out in enumerate(self.first.outs))

    def _order_is_free(self) -> bool:
        """Nothing that moves forward overwrites what is read by what it overtakes."""
        overtaken = {v for e in (self.first, *self.rest) for v in eqn_inputs(e)}
        if not all(_movable(e) for e in self.needed):
            return False
        written = {t for e in (*self.needed, self.second) for t in _targets(e)}
        targets = set(_targets(self.first))
        return not (written & overtaken) and not (targets & set(eqn_inputs(self.second)))

    def _in_step(self, k: int, out: Value, read_after: set[Value]) -> bool:
        """Whether the later loop's use of the k-th result stays within one iteration."""
        if out not in eqn_inputs(self.second):
            return True
        if not isinstance(out.type, Array):
            return False
        writes = _accesses(self.first.regions[0], self.first.regions[0].params[1 + k])
        starts = [m for m, a in enumerate(self.second.args[3:]) if a is out]
        body = self.second.regions[0]
        if not starts:
            reads = _accesses(body, out)
        elif len(starts) > 1 or out in free_values(body) or out in read_after:
            return False
        else:
            reads = _accesses(body, body.params[1 + starts[0]])
            adding = writes.only_adds and reads.only_adds
            if adding and (self.shifted or not (self.vectors and is_vector(self.first))):
                return True
        return bool(writes.along(self.first.regions[0].params[0]) & reads.along(body.params[0]))


def _targets(eqn: Eqn) -> list[Value]:
    """The arrays whose memory an equation takes over."""
    lead = {"loop": 3, "store": 0, "accumulate": 0, "gemm": 0}.get(eqn.op)
    if lead is None:
        return []
    taken = eqn.args[lead:] if eqn.op == "loop" else eqn.args[:1]
    return [a for a in taken if isinstance(a, Value) and isinstance(a.type, Array)]


def _movable(eqn: Eqn) -> bool:
    """What may be computed earlier than it stands."""
    plain = eqn.op in ("empty", "reshape", "dim", "index", "gemm")
    return plain or mergeable(eqn) or _is_check(eqn) or _is_scalar(eqn)


@dataclass(frozen=True)
class _Accesses:
    """The subscripts of every access to an array, all its versions in a loop body; None stands for any other use."""

    subscripts: tuple[tuple[Atom, ...] | None, ...]
    only_adds: bool

    def along(self, index: Value) -> set[int]:
        """The dimensions at which every access has the loop index."""
        if not self.subscripts or None in self.subscripts:
            return set()
        rank = len(self.subscripts[0] or ())
        return {axis for axis in range(rank) if all(s and s[axis] is index for s in self.subscripts)}


def _accesses(block: Block, array: Value) -> _Accesses:
    """Every access in ``block`` to ``array`` and to the versions that updates make of it."""
    found = list(_walk_accesses(block, {array}))
    return _Accesses(tuple(s for s, _ in found), all(op == "accumulate" for _, op in found))


def _walk_accesses(block: Block, versions: set[Value]) -> Iterator[tuple[tuple[Atom, ...] | None, str]]:
    for eqn in block.eqns:
        places = [k for k, a in enumerate(eqn.args) if a in versions]
        if eqn.op == "loop":
            inner = eqn.regions[0]
            carried = {k - 3 for k in places}
            yield from _walk_accesses(inner, versions | {inner.params[1 + k] for k in carried})
            versions |= {eqn.outs[k] for k in carried}
        elif places and eqn.op in ("index", "store", "accumulate") and places == [0]:
            yield eqn.args[1 if eqn.op == "index" else 2 :], eqn.op
            versions |= {o for o in eqn.outs if eqn.op != "index"}
        elif places and eqn.op != "dim":
            yield None, eqn.op


# -- the merged loop ------------------------------------------------------------------------------------------------


def _merge_scatters(eqns: list[Eqn], earlier: int, later: int, results: Sequence[Atom]) -> tuple[list[Eqn], int] | None:
    """Merge two loops, and those inside them, that add to shifted elements of an array, if all may gather then."""
    found = _merge(eqns, earlier, later, results, True, shifted=True)
    if found is None:
        return None
    merged, following = found
    merged[following - 1] = _as_one_nest(merged[following - 1])
    return found if may_gather(merged[following - 1]) else None


def _as_one_nest(eqn: Eqn) -> Eqn:
    """A loop whose body holds one loop where it held two."""
    (body,) = eqn.regions
    eqns, loops = list(body.eqns), [k for k, e in enumerate(body.eqns) if e.op == "loop"]
    if len(loops) == 2 and eqns[loops[0]].args[:3] == eqns[loops[1]].args[:3]:
        found = _merge(eqns, loops[0], loops[1], body.results, True, shifted=True)
        eqns = found[0] if found else eqns
    inner = tuple(_as_one_nest(e) if e.op == "loop" else e for e in eqns)
    return replace(eqn, regions=(replace(body, eqns=inner),))


def _merge(
    eqns: list[Eqn], earlier: int, later: int, results: Sequence[Atom], vectors: bool, shifted: bool = False
) -> tuple[list[Eqn], int] | None:
    """Merge two loops of a list of equations, or give up."""
    first, second = eqns[earlier], eqns[later]
    needed, rest = _split(eqns[earlier + 1 : later], second)
    pair = _Pair(first, second, needed, rest, vectors, shifted)
    dependent = set(first.outs)
    if any(dependent.intersection(eqn_inputs(e)) for e in needed):
        return None
    after = {v for e in (*rest, *eqns[later + 1 :]) for v in eqn_inputs(e)} | {
        r for r in results if isinstance(r, Value)
    }
    if not pair.legal(after):
        return None
    merged = [*eqns[:earlier], *needed, _joined(first, second), *rest, *eqns[later + 1 :]]
    return merged, earlier + len(needed) + 1


def _split(between: Sequence[Eqn], second: Eqn) -> tuple[list[Eqn], list[Eqn]]:
    """What the later loop depends on among the equations before it, all checks included, and the others, in order."""
    wanted = set(eqn_inputs(second))
    needed: list[Eqn] = []
    rest: list[Eqn] = []
    for eqn in reversed(between):
        if wanted.intersection(eqn.outs) or _is_check(eqn):
            needed.insert(0, eqn)
            wanted.update(eqn_inputs(eqn))
        else:
            rest.insert(0, eqn)
    return needed, rest


def _joined(first: Eqn, second: Eqn) -> Eqn:
    """One loop that does both bodies in turn."""
    one, two = first.regions[0], second.regions[0]
    results, outs = list(one.results), list(first.outs)
    names: dict[Value, Atom] = {two.params[0]: one.params[0]}
    names.update((out, one.results[k]) for k, out in enumerate(first.outs) if isinstance(out.type, Array))
    params, args = list(one.params), list(first.args)
    follow = []
    for k, start in enumerate(second.args[3:]):
        place = next((m for m, out in enumerate(first.outs) if out is start), None)
        if place is None:
            params.append(two.params[1 + k])
            args.append(start)
        else:
            names[two.params[1 + k]] = one.results[place]
        follow.append(place)
    body = substitute(Block((), two.eqns, two.results), names, lambda value: value)
    for place, result, out in zip(follow, body.results, second.outs, strict=True):
        if place is None:
            results.append(result)
            outs.append(out)
        else:
            results[place], outs[place] = result, out
    attrs = first.attrs if first.attrs == second.attrs else {}
    block = Block(tuple(params), (*one.eqns, *body.eqns), tuple(results))
    return replace(first, args=tuple(args), outs=tuple(outs), attrs=attrs, regions=(block,))


# -- reads of what was just stored ----------------------------------------------------------------------------------


def forward(block: Block) -> Block:
    """Read from the stored scalar what an equation of the same block stored at the same place."""
    stores: dict[Value, Eqn] = {}
    names: dict[Value, Atom] = {}
    for eqn in block.eqns:
        if eqn.op == "store":
            stores[eqn.outs[0]] = eqn
        made = stores.get(eqn.args[0]) if eqn.op == "index" and isinstance(eqn.args[0], Value) else None
        if made is not None and _same_place(made.args[2:], eqn.args[1:], names):
            value = names.get(made.args[1], made.args[1]) if isinstance(made.args[1], Value) else made.args[1]
            if value.type.dtype == eqn.outs[0].type.dtype:
                names[eqn.outs[0]] = value
    if not names:
        return block
    kept = tuple(e for e in block.eqns if not names.keys() & set(e.outs))
    inner = substitute(Block((), kept, block.results), names, lambda value: value)
    return Block(block.params, inner.eqns, inner.results)


def _same_place(one: Sequence[Atom], two: Sequence[Atom], names: dict[Value, Atom]) -> bool:
    return [names.get(a, a) if isinstance(a, Value) else a for a in one] == [
        names.get(a, a) if isinstance(a, Value) else a for a in two
    ]

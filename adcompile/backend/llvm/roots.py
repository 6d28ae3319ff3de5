"""Which buffer an array value lives in, and which of them may be the same memory.

Needs the loop dialect's promise that every ``store``, ``accumulate`` and ``gemm`` is legal in place.
The *root* of an array value is the value that introduced its buffer: a parameter, an ``empty`` or ``copy``, or a merge
(a loop parameter or the result of an ``if``) where control flow decides. A carried array whose body ends at its own
parameter merges nothing. `Roots.disjoint` proves that two roots never name the same buffer at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adcompile.errors import InvalidTrace, MissingRule
from adcompile.ir import Array, Atom, Block, Eqn, Trace, Value

_SAME_BUFFER = ("store", "accumulate", "gemm", "reshape", "stop_gradient")
_FRESH = ("empty", "copy")
_OWN = (*_FRESH, "part")
"""Parts of a buffer are roots: nothing but products, which are calls, reads the whole."""
_MERGES = ("if", "loop", "while")


class Roots:
    """The buffers of a trace; queries are memoised."""

    def __init__(self, trace: Trace):
        self.definitions: dict[Value, tuple[str, Eqn | None, int]] = {}
        self.order: dict[Value, int] = {}
        self.home: dict[Value, Block] = {}
        self.chased: dict[Value, Value] = {}
        self.known: dict[tuple[Value, Value], bool] = {}
        for param in trace.params:
            self._define(param, "input", None, 0)
        self._scan(trace.block)

    # -- where a value comes from ---------------------------------------------------------------------------------

    def _define(self, value: Value, kind: str, eqn: Eqn | None, position: int) -> None:
        if isinstance(value.type, Array):
            self.definitions[value] = (kind, eqn, position)
            self.order[value] = len(self.order)

    def _scan(self, block: Block) -> None:
        for eqn in block.eqns:
            skip = 1 if eqn.op == "loop" else 0
            for region in eqn.regions:
                for position, param in enumerate(region.params[skip:]):
                    self._define(param, "carried", eqn, position)
                self._scan(region)
            for position, out in enumerate(eqn.outs):
                if isinstance(out.type, Array) and eqn.op not in (*_SAME_BUFFER, *_OWN, *_MERGES):
                    raise MissingRule(f"{eqn.op} of arrays is not in the loop dialect", eqn.loc)
                self._define(out, "out", eqn, position)
                self.home[out] = block

    def root(self, value: Atom) -> Value:
        """The value that introduced the buffer of an array."""
        found = self._chase(value)
        kind, eqn, position = self.definitions[found]
        while kind == "carried" and eqn and self.in_place(eqn, position):
            found = self._chase(initial(eqn)[position])
            kind, eqn, position = self.definitions[found]
        return found

    def in_place(self, eqn: Eqn, position: int) -> bool:
        """Whether a carried array of a loop stays in the buffer it came in."""
        body = eqn.regions[-1]
        return self._chase(body.results[position]) is carried(eqn)[position]

    def _chase(self, value: Any) -> Value:
        if value not in self.chased:
            self.chased[value] = self._step(value)
        return self.chased[value]

    def _step(self, value: Value) -> Value:
        """The root of a value, a carried array being its own."""
        kind, eqn, position = self.definitions[value]
        if kind == "input" or eqn is None:
            return value
        if kind == "carried":
            return carried(eqn)[position]
        if eqn.op in _SAME_BUFFER:
            return self._chase(eqn.args[0])
        if eqn.op in ("loop", "while"):
            return self._chase(initial(eqn)[position]) if self.in_place(eqn, position) else value
        if eqn.op == "if":
            then, otherwise = (self._chase(r.results[position]) for r in eqn.regions)
            return then if then is otherwise else value
        return value

    # -- what may be the same memory ------------------------------------------------------------------------------

    def sources(self, root: Value) -> tuple[Value, ...]:
        """The roots that a merge chooses from; none for a buffer."""
        kind, eqn, position = self.definitions[root]
        if kind == "input" or eqn is None or (kind == "out" and eqn.op in _OWN):
            return ()
        if eqn.op == "if":
            return tuple(self.root(r.results[position]) for r in eqn.regions)
        return self.root(initial(eqn)[position]), self.root(eqn.regions[-1].results[position])

    def buffers(self, root: Value) -> set[Value]:
        """Every parameter and allocation that a root may stand for."""
        seen, pending, found = {root}, [root], set()
        while pending:
            current = pending.pop()
            sources = self.sources(current)
            found |= set() if sources else {current}
            pending += [s for s in sources if s not in seen]
            seen |= set(sources)
        return found

    def disjoint(self, a: Value, b: Value) -> bool:
        """Whether two roots in sight of each other are certainly different memory."""
        key = (a, b) if self.order[a] > self.order[b] else (b, a)
        if key not in self.known:
            self.known[key] = self._disjoint(*key, set())
        return self.known[key]

    def _disjoint(self, late: Value, early: Value, assumed: set[tuple[Value, Value]]) -> bool:
        """By induction over iterations: a pair under proof holds until a counterexample is met."""
        if self.order[late] < self.order[early]:
            late, early = early, late
        if late is early:
            return False
        if (late, early) in assumed:
            return True
        sources = self.sources(late)
        if not sources:
            return True  # two inputs, or a buffer allocated while the other was alive
        assumed.add((late, early))
        kind, eqn, _ = self.definitions[late]
        if self.definitions[early][:2] == (kind, eqn):  # two merges of one equation choose together
            return all(self._disjoint(x, y, assumed) for x, y in zip(sources, self.sources(early), strict=True))
        return all(self._disjoint(source, early, assumed) for source in sources)

    def escapes(self, allocation: Value) -> bool:
        """Whether a buffer outlives the block that allocates it."""
        arrays = [r for r in self.home[allocation].results if isinstance(r.type, Array)]
        return any(allocation in self.buffers(self.root(r)) for r in arrays)

    def check_results(self, trace: Trace) -> None:
        """Refuse a trace whose results are not buffers of their own."""
        roots = [self.root(r) for r in trace.results if isinstance(r.type, Array)]
        if any(b in trace.params for r in roots for b in self.buffers(r)):
            raise InvalidTrace("a result of the loop dialect is a parameter")
        if any(not self.disjoint(a, b) for i, a in enumerate(roots) for b in roots[:i]):
            raise InvalidTrace("two results of the loop dialect may be one buffer")


def initial(eqn: Eqn) -> tuple[Atom, ...]:
    """What a loop starts its carried values from."""
    return eqn.args[3:] if eqn.op == "loop" else eqn.args


def carried(eqn: Eqn) -> tuple[Value, ...]:
    """The parameters of a loop's body that stand for its carried values."""
    return eqn.regions[-1].params[1:] if eqn.op == "loop" else eqn.regions[-1].params


def allocations(block: Block) -> Iterator[Value]:
    """Every new buffer of a block and its regions."""
    for eqn in block.eqns:
        if eqn.op in _FRESH:
            yield eqn.outs[0]
        for region in eqn.regions:
            yield from allocations(region)

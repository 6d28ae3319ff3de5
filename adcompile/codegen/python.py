"""Writes a trace as the Python function a person would have written.

Needs a trace in which every ``store`` is legal in place (`adcompile.analysis.inplace`); either dialect. Temporaries
that are read once are written into the expression that reads them; control flow becomes ``if``, ``for`` and ``while``;
every line of a derivative says which line of the user's it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from adcompile.codegen.names import Names, uses
from adcompile.ir import Array, Atom, Block, Const, Eqn, Scalar, Trace, Value, free_values
from adcompile.ir.core import eqn_inputs
from adcompile.primitives import PRIMITIVES
from adcompile.primitives.evaluate import spell
from adcompile.primitives.indexing import advanced_position
from adcompile.source import SourceLoc

WIDTH = 88
ATOMIC, UNARY, LOWEST = 20.0, 14.0, 0.0
IN_PLACE = ("store", "accumulate", "gemm")


@dataclass(frozen=True)
class Source:
    """Generated text; ``lines`` maps each line (from 1) to the place that an error there means."""

    name: str
    text: str
    lines: dict[int, SourceLoc]


@dataclass(frozen=True)
class Text:
    """An expression with the precedence of its outermost operator."""

    text: str
    precedence: float


def emit(trace: Trace) -> Source:
    """The source of a module with one function, ``trace.name``."""
    return Writer().function(trace)


class Writer:
    """One function being written; lines with the places they come from."""

    def __init__(self, reserved: frozenset[str] = frozenset()):
        self.lines: list[tuple[str, SourceLoc | None]] = []
        self.errors: dict[int, SourceLoc] = {}
        self.places: dict[Value, SourceLoc] = {}
        self.place: SourceLoc | None = None
        self.names = Names(reserved)
        self.pending: dict[Value, Text] = {}
        self.reads: dict[Value, set[Value]] = {}
        self.loading: set[Value] = set()

    # -- frame ----------------------------------------------------------------------------------------------

    def function(self, trace: Trace) -> Source:
        """The whole function."""
        params = [self.names.give(p, set(), p.name or "x") for p in trace.params]
        for line in trace.header:
            self.write(0, f"# {line}")
        self.write(0, f"def {trace.name}({', '.join(params)}):")
        self.block(trace.block, 1, set(trace.params))
        self.give_back(trace.results)
        places = {k: loc for k, (_, loc) in enumerate(self.lines, 1) if loc} | self.errors
        return Source(trace.name, "\n".join(self.with_places()) + "\n", places)

    def give_back(self, results: Sequence[Atom]) -> None:
        """The return statement; a result a line where they do not fit on one."""
        places = [self.places.get(r) if isinstance(r, Value) else None for r in results]
        texts = [self.read(r).text for r in results]
        line = f"return {', '.join(texts)}{',' if len(texts) == 1 else ''}" if texts else "return ()"
        if len(line) <= WIDTH:
            self.place = next(filter(None, places), None)
            self.write(1, line)
            return
        self.write(1, "return (")
        for text, self.place in zip(texts, places, strict=True):
            self.write(2, f"{text},")
        self.write(1, ")")

    def with_places(self) -> list[str]:
        """The lines, each run that comes from one user line marked once."""
        texts, last = [], None
        for text, loc in self.lines:
            mark = loc.short if loc and text.strip() not in ("else:",) else None
            texts.append(f"{text:<{WIDTH - 24}}  # {mark}" if mark and mark != last else text)
            last = mark or last
        return texts

    def write(self, depth: int, text: str, loc: SourceLoc | None = None) -> None:
        """Add a line with the place that it shows; an error in it means the first expression written into it."""
        self.lines.append(("    " * depth + text, loc))
        if self.place is not None:
            self.errors[len(self.lines)] = self.place
        self.place = None

    # -- atoms ----------------------------------------------------------------------------------------------

    def read(self, atom: Atom) -> Text:
        """The text of an atom; a pending expression is written where it is read."""
        if isinstance(atom, Const):
            return self.constant(atom)
        if atom in self.pending:
            self.place = self.place or self.places.get(atom)
            return self.pending.pop(atom)
        return Text(self.names.of[atom], ATOMIC)

    def constant(self, atom: Const) -> Text:
        """A number as Python or NumPy writes it."""
        text = repr(atom.value)
        if isinstance(atom.value, float) and text in ("inf", "-inf", "nan"):
            text = text.replace("inf", "np.inf").replace("nan", "np.nan")
        type = atom.type
        if isinstance(type, Scalar) and not type.weak and type.dtype not in ("float64", "int64", "bool"):
            return Text(f"np.{type.dtype}({text})", ATOMIC)
        return Text(text, UNARY if text.startswith("-") else ATOMIC)

    def operands(self, eqn: Eqn) -> list[str]:
        """The argument texts, parenthesised as the operator of the equation needs."""
        texts = [self.operand(eqn, a) for a in eqn.args]
        infix = PRIMITIVES[eqn.op].infix
        if infix is None:
            lead = [wrap(t, ATOMIC) for t in texts[:1]]
            return lead + [t.text for t in texts[1:]]
        precedence = infix[1]
        if len(texts) == 1:
            return [wrap(texts[0], precedence)]
        right = precedence + 0.1 if eqn.op != "pow" else precedence
        left = precedence if eqn.op != "pow" else precedence + 0.1
        return [wrap(texts[0], left), wrap(texts[1], right)]

    def operand(self, eqn: Eqn, atom: Atom) -> Text:
        """An argument of an equation."""
        return _firm(eqn, atom, self.read(atom))

    def expression(self, eqn: Eqn) -> Text:
        """The text of an equation's result."""
        infix = PRIMITIVES[eqn.op].infix
        text = spell(eqn, self.operands(eqn) if infix or _leads(eqn) else [self.read(a).text for a in eqn.args])
        return Text(text, infix[1] if infix else ATOMIC)

    # -- equations ------------------------------------------------------------------------------------------

    def block(self, block: Block, depth: int, live_out: set[Value]) -> None:
        """The lines of a block's equations."""
        counts = uses(block)
        last = _last_reads(block)
        ended, ending = set(), _by_position(last, live_out)
        for position, eqn in enumerate(block.eqns):
            ended |= ending.get(position, set())
            dead = ended - self.held(eqn)
            if eqn.regions:
                self.flush(eqn, depth)
                live = live_out | {v for v, k in last.items() if k > position}
                getattr(self, self.CONTROL[eqn.op])(eqn, depth, dead, live)
            elif eqn.op in IN_PLACE:
                self.in_place(eqn, depth)
            elif eqn.op == "check_true":
                self.require(eqn, depth)
            elif not eqn.outs:
                self.effect(eqn, depth)
            else:
                self.assign(block, position, counts, depth, dead)

    def effect(self, eqn: Eqn, depth: int) -> None:
        """An equation without results."""
        self.write(depth, self.expression(eqn).text, eqn.loc)

    def held(self, eqn: Eqn) -> set[Value]:
        """What texts still to be written read: their names must not be taken yet (the next line's own may)."""
        waiting = [v for v in self.pending if v not in eqn.args]
        return {read for v in waiting for read in self.reads[v]}

    def reads_of(self, atoms: Sequence[Atom]) -> set[Value]:
        """The named values that the texts of some atoms read."""
        values = [a for a in atoms if isinstance(a, Value)]
        return {read for v in values for read in (self.reads[v] if v in self.pending else {v})}

    def assign(self, block: Block, position: int, counts: dict[Value, int], depth: int, dead: set[Value]) -> None:
        """A line for an equation, or its text kept for its only reader."""
        eqn = block.eqns[position]
        reads = self.reads_of(eqn.args)
        loads = _touches_memory(eqn) or any(a in self.pending and a in self.loading for a in eqn.args)
        text = self.expression(eqn)
        (out,) = eqn.outs if len(eqn.outs) == 1 else (None,)
        if out is not None and counts.get(out) == 1 and self.may_inline(block, position, text, loads):
            place, self.place = self.place or (eqn.loc if _may_fail(eqn) else None), None
            self.places.update({out: place} if place else {})
            self.pending[out], self.reads[out] = text, reads
            self.loading |= {out} if loads else set()
            return
        names = ", ".join(self.names.give(o, dead) for o in eqn.outs)
        if names != text.text:
            self.write(depth, f"{names} = {bare(text.text)}", eqn.loc)

    def may_inline(self, block: Block, position: int, text: Text, loads: bool) -> bool:
        """Whether a value read once may move to its reader: no store in between, no name worth a line of its own."""
        eqn = block.eqns[position]
        (out,) = eqn.outs
        if not _is_temporary(out) or len(text.text) > WIDTH // 2 or not PRIMITIVES[eqn.op].pure:
            return False
        if out in block.results:
            return not any(e.regions or e.op in IN_PLACE for e in block.eqns[position + 1 :])
        for later in block.eqns[position + 1 :]:
            if out in later.args:
                if later.op in IN_PLACE and later.args[0] is out:
                    return False
                return not later.regions or later.op == "if" or not loads
            if later.regions or (later.op in IN_PLACE and loads):
                return False
        return False

    def require(self, eqn: Eqn, depth: int) -> None:
        """A raise of the user's under its condition."""
        condition = self.read(eqn.args[0])
        opposite = condition.text.removeprefix("(not ").removesuffix(")")
        negated = opposite if condition.text == f"(not {opposite})" else f"not {wrap(condition, UNARY)}"
        self.write(depth, f"if {negated}:", eqn.loc)
        self.write(depth + 1, f"raise {eqn.attrs['error']}({eqn.attrs['message']!r})")

    def in_place(self, eqn: Eqn, depth: int) -> None:
        """An update of an array, whose new version takes the name."""
        texts = [self.read(a) for a in eqn.args]
        words = [wrap(texts[0], ATOMIC), *(t.text for t in texts[1:])]
        negated = texts[1].precedence == UNARY and words[1].startswith("-")
        if negated and eqn.op == "accumulate" and advanced_position(eqn.attrs["spec"]) is None:
            line = spell(eqn, [words[0], bare(words[1][1:]), *words[2:]]).replace("] += ", "] -= ", 1)
        else:
            line = spell(eqn, words)
        self.write(depth, line, eqn.loc)
        self.names.take(eqn.outs[0], texts[0].text)

    def flush(self, eqn: Eqn, depth: int) -> None:
        """Write out temporaries that a region is about to read."""
        for value in eqn_inputs(eqn):
            if value in self.pending and value not in eqn.args:
                text = self.pending.pop(value)
                self.write(depth, f"{self.names.give(value, set())} = {text.text}", eqn.loc)

    # -- control --------------------------------------------------------------------------------------------

    def branch(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """``if``."""
        self.write(depth, f"if {self.read(eqn.args[0]).text}:", eqn.loc)
        names = self.branch_names(eqn, dead)
        for word, region in zip((None, "else:"), eqn.regions, strict=True):
            if word:
                if not region.eqns and all(self.is_named(r, n) for r, n in zip(region.results, names, strict=True)):
                    continue
                self.write(depth, word)
            start = len(self.lines)
            self.block(region, depth + 1, live)
            self.assign_all(names, region.results, depth + 1)
            if len(self.lines) == start:
                self.write(depth + 1, "pass")
        for out, name in zip(eqn.outs, names, strict=True):
            self.names.take(out, name)

    def branch_names(self, eqn: Eqn, dead: set[Value]) -> list[str]:
        """A name for each result: that of the value a branch leaves as it was, where it can be, else a new one."""
        kept: dict[int, Value] = {}
        for place, out in enumerate(eqn.outs):
            for value in (r.results[place] for r in eqn.regions):
                if not isinstance(value, Value) or value not in dead or value not in self.names.of:
                    continue
                if value not in kept.values() and (not out.name or value.name == out.name):
                    kept.setdefault(place, value)
        free = dead - set(kept.values())
        return [
            self.names.of[kept[place]] if place in kept else self.names.give(out, free)
            for place, out in enumerate(eqn.outs)
        ]

    def is_named(self, atom: Atom, name: str) -> bool:
        """Whether an atom has this name."""
        return isinstance(atom, Value) and self.names.of.get(atom) == name

    def assign_all(self, names: Sequence[str], atoms: Sequence[Atom], depth: int) -> None:
        """``names = atoms`` in parallel, leaving out what is in its place already."""
        pairs = [(n, self.read(a).text) for n, a in zip(names, atoms, strict=True)]
        pairs = [(n, t) for n, t in pairs if n != t]
        if pairs:
            self.write(depth, f"{', '.join(n for n, _ in pairs)} = {', '.join(t for _, t in pairs)}")

    def loop(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """``for``."""
        (body,) = eqn.regions
        needed = set(free_values(body)) | self.reads_of(eqn.args[:3])
        bounds = [self.read(a) for a in eqn.args[:3]]
        names = self.carry(body.params[1:], eqn.args[3:], depth, dead - needed)
        index = self.names.give(body.params[0], dead - set(free_values(body)), _index_hint(body))
        self.write(depth, f"for {index} in {self.range(eqn, bounds)}:", eqn.loc)
        self.body(body, names, depth, live | set(free_values(body)))
        self.names.forget(body)
        self.finish(eqn, names)

    def range(self, eqn: Eqn, bounds: Sequence[Text]) -> str:
        """What a loop runs over."""
        start, stop, step = (b.text for b in bounds)
        word = "prange" if "threads" in eqn.attrs else "range"
        if step != "1":
            return f"{word}({start}, {stop}, {step})"
        return f"{word}({stop})" if start == "0" else f"{word}({start}, {stop})"

    def repeat(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """``while``."""
        condition, body = eqn.regions
        live = live | {*free_values(body), *free_values(condition)}
        names = self.carry(body.params, eqn.args, depth, dead - live)
        for param, name in zip(condition.params, names, strict=True):
            self.names.of[param] = name
        start = len(self.lines)
        self.write(depth, "while True:", eqn.loc)
        self.block(condition, depth + 1, live | set(condition.params))
        test = self.read(condition.results[0])
        if len(self.lines) == start + 1:
            self.lines[start] = ("    " * depth + f"while {bare(test.text)}:", eqn.loc)
        else:
            self.write(depth + 1, f"if not {wrap(test, UNARY)}:")
            self.write(depth + 2, "break")
        for param, name in zip(body.params, names, strict=True):
            self.names.take(param, name)
        self.body(body, names, depth, live)
        self.names.forget(condition)
        self.names.forget(body)
        self.finish(eqn, names)

    def carry(self, params: Sequence[Value], inits: Sequence[Atom], depth: int, dead: set[Value]) -> list[str]:
        """Name the carried values and set them to their starts."""
        texts = [self.read(a).text for a in inits]
        names = []
        for param, init in zip(params, inits, strict=True):
            names.append(self.carried_name(param, init, dead))
        pairs = [(n, t) for n, t in zip(names, texts, strict=True) if n != t]
        words = {word for _, text in pairs for word in re.findall(r"\w+", text)}
        if pairs and not {n for n, _ in pairs} & words:
            for name, text in pairs:
                self.write(depth, f"{name} = {text}")
        elif pairs:
            self.write(depth, f"{', '.join(n for n, _ in pairs)} = {', '.join(t for _, t in pairs)}")
        return names

    def carried_name(self, param: Value, init: Atom, dead: set[Value]) -> str:
        """The name of the start value where it ends with the loop, else the user's word."""
        held = self.names.of.get(init) if isinstance(init, Value) and init in dead else None
        if held is not None and self.names.holder.get(held) is init and not param.name:
            return self.names.take(param, held)
        hint = param.name or (init.name if isinstance(init, Value) else "")
        return self.names.give(param, dead, hint)

    def body(self, body: Block, names: Sequence[str], depth: int, live_out: set[Value]) -> None:
        """The body of a loop."""
        start = len(self.lines)
        self.block(body, depth + 1, live_out)
        self.assign_all(names, body.results, depth + 1)
        if len(self.lines) == start:
            self.write(depth + 1, "pass")

    def finish(self, eqn: Eqn, names: Sequence[str]) -> None:
        """After a loop its results have the names of what it carried."""
        for out, name in zip(eqn.outs, names, strict=True):
            self.names.take(out, name)

    CONTROL: ClassVar[Mapping[str, str]] = {"if": "branch", "loop": "loop", "while": "repeat"}
    """The method for each equation with regions."""


def bare(text: str) -> str:
    """A text without parentheses around the whole of it."""
    if not text.startswith("("):
        return text
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:-1] if place == len(text) - 1 and "," not in text else text
    return text


def _firm(eqn: Eqn, atom: Atom, text: Text) -> Text:
    """A NumPy float64 constant that meets a float32 array as such: Python's own number would give way to the array."""
    wide = isinstance(atom, Const) and atom.type == Scalar("float64")
    narrow = any(isinstance(a.type, Array) and a.type.dtype != "float64" for a in eqn.args)
    return Text(f"np.float64({text.text})", ATOMIC) if wide and narrow else text


def wrap(text: Text, precedence: float) -> str:
    """A text in parentheses where its operator binds more loosely than the one around it."""
    return f"({text.text})" if text.precedence < precedence else text.text


def _leads(eqn: Eqn) -> bool:
    """Whether the spelling puts a suffix (a subscript, an attribute, a method) behind its first argument."""
    return eqn.op in ("index", "dim", "transpose", "reshape", "copy") or (
        eqn.op == "cast" and isinstance(eqn.outs[0].type, Array)
    )


def _is_temporary(value: Value) -> bool:
    return not value.name or (value.name[0] == "v" and value.name[1:].isdigit())


def _may_fail(eqn: Eqn) -> bool:
    return _touches_memory(eqn) or eqn.op in ("div", "floordiv", "mod", "pow")


def _touches_memory(eqn: Eqn) -> bool:
    return any(isinstance(a.type, Array) for a in eqn.args)


def _last_reads(block: Block) -> dict[Value, int]:
    """For each value, the position of the last equation that reads it; results are read at the end."""
    last = {v: k for k, eqn in enumerate(block.eqns) for v in eqn_inputs(eqn)}
    last.update({r: len(block.eqns) for r in block.results if isinstance(r, Value)})
    return last


def _index_hint(body: Block) -> str:
    """The user's word for a loop's index; one that they throw away gets a name where the program reads it."""
    index = body.params[0]
    word = index.name or "i"
    return "k" if not word.strip("_") and index in uses(body) else word


def _by_position(last: dict[Value, int], live_out: set[Value]) -> dict[int, set[Value]]:
    """The values whose last read stands at each position, and that nobody reads after the block."""
    ending: dict[int, set[Value]] = {}
    for value, position in last.items():
        if value not in live_out:
            ending.setdefault(position, set()).add(value)
    return ending

"""A table in the making: equations are emitted by the transforms themselves, worded, and evaluated at once.

The rows so follow from the rules that the compiled derivative follows from. Each row's result is cut off from its
expression by a value of its own, whose name later rows use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adcompile.analysis.inplace import insert_copies
from adcompile.codegen import emit
from adcompile.inspect.expressions import Speller, is_scalar
from adcompile.inspect.labels import Labels, label
from adcompile.inspect.numbers import show_value
from adcompile.inspect.table import Row
from adcompile.ir import Atom, Block, Const, Eqn, Trace, Value, free_values
from adcompile.ir.builder import Builder
from adcompile.ir.core import eqn_inputs, substitute
from adcompile.ir.interpreter import interpret, record
from adcompile.primitives import Emitter
from adcompile.primitives.evaluate import evaluate, number
from adcompile.source import SourceLoc

RULED = ("custom_jvp", "custom_vjp")


class Sheet:
    """The emitter, the names, the values and the rows of one table."""

    def __init__(self, trace: Trace, values: Sequence[Any] | None):
        self.op = Emitter(Builder())
        self.names = label(trace.block)
        self.labels = Labels(self.names.values())
        self.known = values is not None
        self.values: dict[Value, Any] = {}
        self.done = 0
        self.speller = Speller(self.op.builder.definition, self.labels.of)
        self.sections: list[list[Row]] = [[]]
        for k, param in enumerate(trace.params):
            self.labels.put(param, self.names[param])
            if values is not None:
                self.values[param] = values[k]

    # -- rows -------------------------------------------------------------------------------------------------

    def rule(self) -> None:
        """Start a new section."""
        self.sections.append([])

    def given(self, value: Value, of: Any = None) -> None:
        """A row for an input."""
        if of is not None and self.known:
            self.values[value] = of
        name = self.labels.of[value]
        self._add(Row(name, value=self._shown(value)) if self.known else Row(f"{name}: {value.type}"))

    def seed(self, like: Atom, name: str, of: Callable[[Any], Any]) -> Value:
        """An input that goes with a value: its tangent or cotangent."""
        value = Value(like.type, name)
        self.labels.put(value, name)
        self.given(value, of(self.value(like)) if self.known else None)
        return value

    def primal(self, out: Value, atom: Atom, loc: SourceLoc | None) -> None:
        """A row for a value of the function, which keeps its definition."""
        name = self.names[out]
        if atom in self.labels.of and self.labels.of[atom] == name:
            return  # a result of a loop or branch, which has its rows
        self._write(name, atom, loc)
        if isinstance(atom, Value) and atom not in self.labels.of:
            self.labels.put(atom, name)

    def derived(self, name: str, atom: Atom, loc: SourceLoc | None) -> Value:
        """A row for a tangent or cotangent; the value that stands for it from now on."""
        if not (isinstance(atom, Value) and self.labels.of.get(atom) == name and self._of_region(atom)):
            self._write(name, atom, loc)
        leaf = Value(atom.type, name)
        self.labels.put(leaf, name)
        if self.known:
            self.values[leaf] = self.value(atom)
        return leaf

    def line(self, name: str, atom: Atom) -> None:
        """A row that only gives another name."""
        self._add(Row(name, self.speller.formula(atom), value=self._shown(atom)))

    def _write(self, name: str, atom: Atom, loc: SourceLoc | None) -> None:
        value = self._shown(atom)
        eqn = None if atom in self.labels.of else self.op.builder.definition(atom)
        formula = self.speller.formula(atom) if eqn is None else self.speller.equation(eqn)
        numbers = ""
        if self.known and eqn is not None and is_scalar(atom, *self._leaves(atom)):
            numbers = self.speller.numbers(eqn, self.values)
        self._add(Row(name, formula, numbers, value, loc))

    def _leaves(self, atom: Atom) -> list[Atom]:
        """The named values and constants that the expression of ``atom`` reads."""
        eqn = None if atom in self.labels.of else self.op.builder.definition(atom)
        return [atom] if eqn is None else [leaf for a in eqn.args for leaf in self._leaves(a)]

    def _add(self, row: Row) -> None:
        self.sections[-1].append(row)

    # -- values -----------------------------------------------------------------------------------------------

    def value(self, atom: Atom) -> Any:
        """The number or array of an atom."""
        if isinstance(atom, Const):
            return number(atom.value, atom.type)
        self._evaluate()
        return self.values[atom]

    def _shown(self, atom: Atom) -> str:
        return show_value(self.value(atom)) if self.known else ""

    def _evaluate(self) -> None:
        """Compute what was emitted since the last time."""
        pending = tuple(self.op.builder.eqns[self.done :])
        self.done = len(self.op.builder.eqns)
        free = tuple(free_values(Block((), pending, ())))
        program = Trace("pending", Block(free, pending, ()))
        self.values.update(record(program, [self.values[v] for v in free], _compute, number))

    # -- loops and branches -----------------------------------------------------------------------------------

    def regions(self, start: int, names: dict[Value, str]) -> None:
        """Rows for the control equations emitted since ``start``: their code, then their results."""
        for eqn in self.op.builder.eqns[start:]:
            if not eqn.regions or eqn.op in RULED:
                continue
            for out, hint in zip(eqn.outs, _hints(eqn), strict=True):
                if out in names:
                    self.labels.put(out, names[out])
                else:
                    self.labels.give(out, out.name or hint)
            for text in self._code(eqn):
                self._add(Row("", text, loc=eqn.loc))
            for out in eqn.outs if self.known else ():
                self._add(Row(self.labels.of[out], value=self._shown(out)))

    def _of_region(self, value: Value) -> bool:
        eqn = self.op.builder.definition(value)
        return eqn is not None and bool(eqn.regions)

    def _code(self, eqn: Eqn) -> list[str]:
        """A control equation as the Python that the code generator writes for it, the names of the table in it."""
        block = self._fragment(eqn)
        names = {v: self.labels.of[v] for v in (*block.params, *eqn.outs)}
        for region in eqn.regions if eqn.op != "if" else ():
            names.update({p: self.labels.of[o] for p, o in zip(_carried(eqn, region), eqn.outs, strict=True)})
        renamed = substitute(block, {}, lambda v: Value(v.type, names.get(v, v.name)))
        text = emit(insert_copies(Trace("fragment", renamed))).text
        return [line.split("  # ")[0].rstrip()[4:] for line in text.splitlines()[1:-1]]

    def _fragment(self, eqn: Eqn) -> Block:
        """The equation with what defines the values without names that it reads."""
        needed: dict[Eqn, None] = {}
        params: dict[Value, None] = {}

        def collect(value: Value) -> None:
            source = None if value in self.labels.of else self.op.builder.definition(value)
            if source is None:
                params[value] = None
                return
            for inner in eqn_inputs(source):
                collect(inner)
            needed[source] = None

        for value in eqn_inputs(eqn):
            collect(value)
        return Block(tuple(params), (*needed, eqn), eqn.outs)


def _compute(eqn: Eqn, values: Sequence[Any]) -> tuple[Any, ...]:
    """The results of an equation; a call of a function with a rule of the user's runs the function."""
    if eqn.op in RULED:
        return interpret(Trace(eqn.op, eqn.regions[0]), values, _compute, number)
    return evaluate(eqn, values)


def _carried(eqn: Eqn, region: Block) -> Sequence[Value]:
    """The params of a loop's region that hold what its results end as."""
    return region.params[len(region.params) - len(eqn.outs) :]


def _hints(eqn: Eqn) -> list[str]:
    """Names for results of a control equation that have none."""
    if eqn.op == "if":
        return ["kept"] * len(eqn.outs)
    return [p.name or "tape" for p in _carried(eqn, eqn.regions[-1])]

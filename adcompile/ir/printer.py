"""Writes traces as text: one line per equation, regions indented; numbers follow the order of definition."""

from __future__ import annotations

from adcompile.ir.core import Atom, Block, Const, Eqn, Trace, Value


def show(trace: Trace) -> str:
    """The text of a whole trace."""
    names = _Names()
    params = ", ".join(f"{names.define(p)}: {p.type}" for p in trace.params)
    lines = [f"trace {trace.name}({params}):", *_block_lines(trace.block, names, "    ")]
    lines.append(f"    return {', '.join(map(names.read, trace.results))}")
    return "\n".join(lines) + "\n"


def show_eqn(eqn: Eqn) -> str:
    """One equation on its own."""
    return _lines(eqn, _Names(), "")[0]


class _Names:
    """Gives every value a unique name: the user's word where there is one, else t1, t2, …."""

    def __init__(self):
        self.names: dict[Value, str] = {}
        self.taken: set[str] = set()
        self.count = 0

    def define(self, value: Value) -> str:
        if value.name:
            name, copies = value.name, 1
            while name in self.taken:
                copies += 1
                name = f"{value.name}_{copies}"
        else:
            self.count += 1
            while f"t{self.count}" in self.taken:
                self.count += 1
            name = f"t{self.count}"
        self.taken.add(name)
        self.names[value] = name
        return name

    def read(self, atom: Atom) -> str:
        if isinstance(atom, Const):
            return repr(atom.value)
        return self.names.get(atom) or self.define(atom)


def _block_lines(block: Block, names: _Names, indent: str) -> list[str]:
    return [line for eqn in block.eqns for line in _lines(eqn, names, indent)]


def _lines(eqn: Eqn, names: _Names, indent: str) -> list[str]:
    args = ", ".join(map(names.read, eqn.args))
    attrs = "".join(f" {k}={v}" for k, v in sorted(eqn.attrs.items()))
    body: list[str] = []
    for region in eqn.regions:
        params = ", ".join(f"{names.define(p)}: {p.type}" for p in region.params)
        body.append(f"{indent}  ({params}):")
        body += _block_lines(region, names, indent + "    ")
        body.append(f"{indent}    yield {', '.join(map(names.read, region.results))}")
    outs = ", ".join(f"{names.define(o)}: {o.type}" for o in eqn.outs)
    place = f"  # {eqn.loc.short}" if eqn.loc else ""
    return [f"{indent}{outs}{' = ' if outs else ''}{eqn.op} {args}{attrs}{place}", *body]

"""``break``, ``continue`` and ``return`` inside loops, rewritten as flags that guard what follows.

``for …: if c: break; rest`` becomes ``leave = False; for … (while not leave): if c: leave = True; if not leave: rest``.
A loop so rewritten has no jumps left, so that branches and loops need to know nothing about them.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from typing import Any

from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import PENDING, Reference, contains, is_array
from adcompile.tree import flatten, unflatten

JUMPS = (ast.Break, ast.Continue, ast.Return)


@functools.lru_cache(maxsize=1024)
def without_jumps(node: Any) -> tuple[ast.stmt, ...] | None:
    """The statements that replace a loop; None where it holds no jump of its own."""
    if not jumps(node.body):
        return None
    tag = f"{node.lineno}_{node.col_offset}"
    return tuple(_Loop(node, f"leave {tag}", f"skip {tag}", f"returned {tag}", f"value {tag}").rewritten())


def jumps(body: list[ast.stmt]) -> bool:
    """Whether some statements of a loop's body leave it, or an iteration of it, by a jump."""
    return any(isinstance(s, ast.Return) or _jumps(s) for s in body)


def _jumps(node: ast.AST) -> bool:
    if isinstance(node, JUMPS):
        return True
    if isinstance(node, ast.For | ast.While):
        return contains(node.body, (ast.Return,)) or any(map(_jumps, node.orelse))
    if isinstance(node, ast.If):
        return any(map(_jumps, (*node.body, *node.orelse)))
    return False


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def kept_value(value: Any) -> Any:
    """What a ``return`` in a loop gives, while the rest of the loop is traced: see `kept`."""
    return value


kept_value.__adcompile_inline__ = lambda t, args, keywords: kept(t, args[0])  # type: ignore[attr-defined]


def kept(t: Tracer, value: Any) -> Any:
    """The value with arrays that die with the call as they are now: nobody can write them after the ``return``.

    Arrays that others see, and parts of one array, stay the objects that they are.
    """
    leaves, structure = flatten(value)
    roots = [leaf.root for leaf in leaves if isinstance(leaf, Reference)]
    mine = {root for root in roots if roots.count(root) == 1 and t.dies_with_call(root)}
    return unflatten(structure, [t.wrap(t.read(x)) if is_array(x) and x.root in mine else x for x in leaves])


@dataclass
class _Loop:
    """One loop being rewritten; the flags get names that no program can spell."""

    node: Any
    leave: str
    skip: str
    returned: str
    value: str
    used: set[str] = field(default_factory=set)

    @functools.cached_property
    def returns_nothing(self) -> bool:
        """Whether every ``return`` in the loop is a bare one."""
        stack: list[ast.AST] = [*self.node.body]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Return) and not _is_none(node.value):
                return False
            if not isinstance(node, ast.Lambda | ast.FunctionDef):
                stack.extend(ast.iter_child_nodes(node))
        return True

    def rewritten(self) -> list[ast.stmt]:
        body = self.block(self.node.body)
        if self.skip in self.used:
            body = [self.set(self.skip, False), *body]
        loop = type(self.node)(**{f: getattr(self.node, f) for f in self.node._fields})
        loop.body, loop.orelse = body, []
        loop.leave = self.leave if self.leave in self.used else None
        ast.copy_location(loop, self.node)
        before = [self.set(self.leave, False)] if loop.leave else []
        after: list[ast.stmt] = []
        if self.returned in self.used:
            before.append(self.set(self.returned, False))
            before += [self.set(self.value, PENDING)] if self.value in self.used else []
            value = self.load(self.value) if self.value in self.used else None
            after.append(self.when(self.load(self.returned), [self.place(ast.Return(value))]))
        if self.node.orelse:
            after.append(self.when(self.no(self.leave), self.node.orelse) if loop.leave else ast.Pass())
        return [*before, loop, *after] if not self.node.orelse or loop.leave else [*before, loop, *self.node.orelse]

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for k, statement in enumerate(statements):
            if not _jumps(statement):
                made.append(statement)
                continue
            made += self.statement(statement)
            rest = self.block(statements[k + 1 :])
            flags = [f for f in (self.leave, self.skip) if f in self.used]
            if rest and not isinstance(statement, JUMPS):
                made.append(self.when(self.no(*flags), rest))
            break
        return made

    def statement(self, node: Any) -> list[ast.stmt]:
        if isinstance(node, ast.Break):
            return [self.set(self.leave, True)]
        if isinstance(node, ast.Continue):
            return [self.set(self.skip, True)]
        if isinstance(node, ast.Return):
            flags = [self.set(self.returned, True), self.set(self.leave, True)]
            if self.returns_nothing:
                return flags
            keep: Any = ast.Constant(kept_value)  # type: ignore[arg-type]
            kept = self.place(ast.Call(keep, [node.value or ast.Constant(None)], []), node)
            ast.fix_missing_locations(kept)
            return [self.place(ast.Assign([self.store(self.value)], kept), node), *flags]
        if isinstance(node, ast.If):
            branch = ast.If(node.test, self.block(node.body), self.block(node.orelse))
            return [ast.copy_location(branch, node)]
        return self.block(list(without_jumps(node) or (node,)))

    # -- pieces of syntax, placed at the loop -----------------------------------------------------------------

    def place(self, node: Any, like: ast.AST | None = None) -> Any:
        return ast.copy_location(node, like or self.node)

    def store(self, name: str) -> ast.Name:
        self.used.add(name)
        return self.place(ast.Name(f" {name}", ast.Store()))

    def load(self, name: str) -> ast.Name:
        return self.place(ast.Name(f" {name}", ast.Load()))

    def set(self, name: str, value: Any) -> ast.stmt:
        return self.place(ast.Assign([self.store(name)], self.place(ast.Constant(value))))

    def no(self, *names: str) -> ast.expr:
        loaded: list[ast.expr] = [self.load(n) for n in names]
        test = loaded[0] if len(loaded) == 1 else self.place(ast.BoolOp(ast.Or(), loaded))
        return self.place(ast.UnaryOp(ast.Not(), test))

    def when(self, test: ast.expr, body: list[ast.stmt]) -> ast.If:
        return self.place(ast.If(test, body or [self.place(ast.Pass())], []))

"""Random programs from a seed: nested loops, jumps, branches, overwrites, views, helpers, on scalars and arrays.

A program is a tree of statements, so that a failing one can be made smaller (`shrink`). It is written twice: as the
function that is differentiated, and with every decision recorded, so that differences are only taken where nearby runs
decide alike. Values stay bounded: what is stored goes through sin, tanh or a small factor.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

Statement = str | tuple[str, list]
"""A line, or a header with its body; an ``else`` is a statement of its own after its ``if``."""

HEAD = """\
import math

import numpy as np


def blend(p, q):
    if D(p > q):
        return p * 0.5 + math.sin(q)
    return q - 0.3 * p * q


def bump(a, i, p):
    a[i] = math.sin(a[i] + p)
    return a[i] * p


def smooth(a, p):
    for j in range(1, len(a) - 1):
        a[j] = 0.5 * a[j] + 0.25 * (a[j - 1] + a[j + 1]) * p


def rotate(a, p):
    b = np.roll(a, 1)
    b[0] = p
    return np.sin(b)

"""

START = [
    "p, q, z = s, t, 0.5",
    "a, b, c = u.copy(), v * 1.0, np.zeros(len(u))",
    "w, g = m.copy(), np.outer(u, v) * 0.5",
]


@dataclass(frozen=True)
class Generated:
    """A random program: its statements, and the expression it returns."""

    seed: int
    size: int
    body: list[Statement]
    result: str
    start: list[str] = field(default_factory=lambda: list(START))

    def source(self, recorded: bool = False) -> str:
        """The text of the module; with ``recorded``, decisions go through ``D``."""
        lines = [HEAD, "def f(s, t, u, v, m, k, n):", *_render([*self.start, *self.body, f"return {self.result}"], 1)]
        text = "\n".join(lines) + "\n"
        return text if recorded else text.replace("D(", "(")

    def arguments(self) -> tuple[Any, ...]:
        """Two floats, two vectors, a matrix, places in them, a number of trips."""
        r = np.random.default_rng(self.seed)
        n = self.size
        return (
            float(r.normal()), float(r.normal()), r.normal(size=n), r.normal(size=n), r.normal(size=(n, n)),
            r.integers(-n, n, size=n), int(r.integers(0, 4)),
        )  # fmt: skip


def _render(body: Sequence[Statement], depth: int) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, str):
            yield "    " * depth + statement
        else:
            yield "    " * depth + statement[0]
            yield from _render(statement[1] or ["pass"], depth + 1)


def generate(seed: int) -> Generated:
    """The program of a seed."""
    return _Generator(seed).program()


class _Generator:
    """Draws one program: templates whose ``{holes}`` are filled after one of them was drawn."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.seed, self.size = seed, self.r.randint(3, 5)
        self.indices: list[str] = []
        self.views: list[str] = []
        self.loops = self.serial = 0

    def program(self) -> Generated:
        """The program of the seed."""
        return Generated(self.seed, self.size, self.block(self.r.randint(2, 6), 0), self.r.choice(RESULTS))

    def chance(self, probability: float) -> bool:
        return self.r.random() < probability

    def draw(self, templates: Sequence[str], depth: int = 1) -> str:
        """One of some templates, its holes filled."""
        return self.fill(self.r.choice(templates), depth)

    def fill(self, template: str, depth: int = 1) -> str:
        """Fill the holes of a template, those that hold expressions with expressions of a smaller depth."""
        return re.sub(r"{(\w+)}", lambda hole: self.hole(hole[1], depth - 1), template)

    def hole(self, kind: str, depth: int) -> str:
        if kind in EXPRESSIONS:
            atoms, deeper = EXPRESSIONS[kind]
            return self.draw(atoms) if depth < 0 or self.chance(0.3) else self.draw(deeper, depth)
        if kind in TEMPLATES:
            return self.draw(TEMPLATES[kind])
        if kind in WORDS:
            return self.r.choice(WORDS[kind])
        return self.name(kind)

    def name(self, kind: str) -> str:
        """A hole that depends on what the program has so far."""
        match kind:
            case "a":
                return self.r.choice([*"abcabc", *self.views])
            case "i":
                return self.draw(PLACES if not self.indices or self.chance(0.3) else INDEX_PLACES)
            case "index":
                return self.r.choice(self.indices) if self.indices else "2"
            case "number":
                return f"{self.r.uniform(-1, 1):.2f}"
            case "place":
                return str(self.r.randrange(self.size))
            case "N":
                return str(self.size)
            case "last":
                return str(self.size - 1)
        raise ValueError(f"unknown hole {kind!r}")

    # -- statements -------------------------------------------------------------------------------------------

    def block(self, count: int, depth: int) -> list[Statement]:
        kept = list(self.views)
        body = [line for _ in range(count) for line in self.statement(depth)]
        self.views = kept
        return body

    def statement(self, depth: int) -> list[Statement]:
        choices: list[tuple[int, Callable[[int], list[Statement]]]] = [(12, self.line), (1, self.make_view)]
        if depth < 2:
            choices += [(4 - depth, self.branch), (5 - depth, self.loop), (1, self.repeat)]
        if self.loops:
            choices.append((1, self.jump))
        (make,) = self.r.choices([make for _, make in choices], [weight for weight, _ in choices])
        return make(depth)

    def line(self, depth: int) -> list[Statement]:
        return [self.draw(self.r.choice(LINES), 2)]

    def make_view(self, depth: int) -> list[Statement]:
        self.serial += 1
        name, part = f"r{self.serial}", self.draw(VIEWS)
        self.views.append(name)
        return [f"{name} = {part}", self.fill(f"{name} {{op}} {{vector_bound}}({{V}})")]

    def branch(self, depth: int) -> list[Statement]:
        made: list[Statement] = [(self.fill("if {C}:"), self.block(self.r.randint(1, 3), depth + 1))]
        if self.chance(0.3):
            made.append((self.fill("elif {C}:"), self.block(self.r.randint(1, 2), depth + 1)))
        if self.chance(0.5):
            made.append(("else:", self.block(self.r.randint(1, 2), depth + 1)))
        return made

    def loop(self, depth: int) -> list[Statement]:
        self.serial += 1
        header, first, view = self.r.choice(LOOPS)
        index, element = f"i{self.serial}", f"e{self.serial}"
        header = self.fill(header.replace("INDEX", index).replace("ELEMENT", element))
        kept = list(self.views), list(self.indices)
        self.views += [element] if view else []
        self.indices += [index] if index in header else []
        body = self.inner(depth)
        if first:
            body.insert(0, self.fill(first.replace("ELEMENT", element)))
        self.views, self.indices = kept
        return [(header, body)]

    def inner(self, depth: int) -> list[Statement]:
        self.loops += 1
        body = self.block(self.r.randint(1, 3), depth + 1)
        self.loops -= 1
        return body

    def repeat(self, depth: int) -> list[Statement]:
        self.serial += 1
        index = f"i{self.serial}"
        self.indices.append(index)
        body = self.inner(depth)
        self.indices.pop()
        test = self.draw(WHILE).replace("INDEX", index)
        return [f"{index} = -1", (f"while {test}:", [f"{index} += 1", *body])]

    def jump(self, depth: int) -> list[Statement]:
        return [(self.fill("if {C}:"), [self.r.choice(("break", "continue", RETURN))])]


RETURN = "return @"
RESULTS = (
    "p + np.sum(a * c)", "(p, a, w)", "np.sum(w) * q + z", "a * p + b", "(z, (b, c), {'w': w, 'q': q})", "w @ a",
)  # fmt: skip
ATOMS = (
    "p", "q", "z", "s", "t", "{a}[{i}]", "{a}[{i}]", "u[{i}]", "{w}[{i}, {i}]", "m[{i}, {i}]", "{number}",
    "0.1 * {index}", "0.3 * n",
)  # fmt: skip
SCALARS = (
    "{S} + {S}", "{S} - {S}", "({S}) * ({S})", "({S}) * ({S})", "({S}) / (2.0 + ({S}) ** 2)", "math.sin({S})", "-({S})",
    "math.tanh({S})", "0.5 * ({S})", "np.cos({S})", "({S} if {C} else {S})", "blend({S}, {S})", "({S}) ** 2",
    "np.sum({V})", "({V}) @ ({V})", "np.mean({M})",
)  # fmt: skip
VECTOR_ATOMS = ("{a}", "{a}", "{a}", "u", "v", "{w}[{i}]", "{w}[:, {i}]", "{a}[::-1]", "{a}[k]", "m[{i}]")
VECTORS = (
    "{V} + {V}", "({V}) * ({V})", "({V}) * ({S})", "np.sin({V})", "np.tanh({V} - ({V}))", "np.where({mask}, {V}, {V})",
    "{w} @ ({V})", "np.roll({V}, 1)", "np.cumsum({V})", "rotate({V}, {S})", "({V}) / (1.5 + ({V}) ** 2)", "{V} - ({S})",
    "np.concatenate((({V})[1:], ({V})[:1]))", "{w}.T @ ({V})", "np.mean({M}, axis={axis})",
)  # fmt: skip
MATRIX_ATOMS = ("{w}", "{w}", "m", "{w}.T")
MATRICES = (
    "{M} + {M}", "({M}) * ({M})", "({M}) @ ({M})", "np.outer({V}, {V})", "({M}) * ({V})", "({M}) + ({V})[:, None]",
    "({M}) * ({S})",
)  # fmt: skip
EXPRESSIONS = {"S": (ATOMS, SCALARS), "V": (VECTOR_ATOMS, VECTORS), "M": (MATRIX_ATOMS, MATRICES)}
TEMPLATES = {
    "atom": ATOMS,
    "C": (
        "D({atom} > {atom})", "D({atom} < {number})", "D(n > 1)", "D({index} % 2 == 0)", "D({a}[{i}] > {number})",
        "(D({atom} > {number}) and D(q < {number}))", "(D({atom} > {number}) or not D({index} > 1))",
    ),
    "mask": ("D({a} > 0.1)", "D({a} < {V})", "D(u > -0.3)"),
}  # fmt: skip
PLACES = ("0", "-1", "{place}", "k[{place}]")
INDEX_PLACES = ("{index}", "{index}", "{index}", "({index} + 1) % {N}", "{index} - 1", "{last} - {index}",
                "k[{index}]")  # fmt: skip
WORDS = {
    "p": "pqz", "w": "wg", "bound": ("np.sin", "np.tanh", "math.sin", "math.tanh"),
    "vector_bound": ("np.sin", "np.tanh"),
    "axis": "01", "op": ("+=", "*=", "-="), "grow": ("+=", "*="), "set": ("=", "=", "+=", "*=", "-="),
}  # fmt: skip
LINES = (
    ("{p} = {bound}({S})", "{p} {grow} {bound}({S})", "{p} = 0.5 * {p} + 0.3 * ({S})", "{p} = {a}[{i}]"),
    ("a = {vector_bound}({V})", "b = {vector_bound}({V})", "c = {vector_bound}({V})"),
    ("{a}[{i}] {set} {bound}({S})", "{a}[{i}] {set} {bound}({S})", "{w}[{i}, {i}] {set} {bound}({S})"),
    ("{a}[{i}] {set} {bound}({S})", "{a}[{i}], {a}[{i}] = {a}[{i}], {a}[{i}]"),
    (
        "{a}[1:] {set} {a}[:-1]", "{a}[:-1] = np.sin({a}[1:])", "{a}[::-1] = np.tanh({V})", "{a}[::2] {op} {S}",
        "{a}[{mask}] = {bound}({S})", "{a}[:] = np.sin({V})", "{a}[k] {set} np.sin({V})", "{a}[{mask}] *= 0.5",
        "{a}[{i}:] *= 0.7", "{a}[1:-1] += 0.2 * ({a}[2:] - {a}[:-2])", "np.add.at({a}, k, np.sin({V}))",
    ),
    (
        "{w}[{i}] {set} np.sin({V})", "{w}[:, {i}] {set} np.tanh({V})", "w = np.sin({M})",
        "{w}[1:, :-1] = {w}[:-1, 1:]", "{w}[k] = np.tanh({M})", "{w}.T[{i}] = np.sin({V})", "{w}[{i}, ::2] *= {S}",
        "{w} {grow} np.tanh({M})",
    ),
    ("{a} {grow} {vector_bound}({V})", "{a} -= np.sin({V})"),
    ("{p} = bump({a}, {i}, {S})", "{p} = bump({w}[{i}], {i}, {S})", "smooth({a}, {S})", "smooth({w}[:, {i}], {S})"),
    ("a, b = b, a", "p, q = q, p", "a, b, c = c.copy(), a, b", "z, p = p * 0.5, {S}"),
)  # fmt: skip
VIEWS = ("{w}[{i}]", "{w}[:, {i}]", "{a}[::-1]", "{a}", "{w}.T[{i}]")
LOOPS = (
    ("for INDEX in range(n):", "", False),
    ("for INDEX in range(n):", "", False),
    ("for INDEX in range({N}):", "", False),
    ("for INDEX in range(len(a) - 1, -1, -1):", "", False),
    ("for INDEX in range(1, {N}, 2):", "", False),
    ("for INDEX in range({last}, 0, -2):", "", False),
    ("for INDEX in range({index}):", "", False),
    ("for INDEX in k % {N}:", "", False),
    ("for INDEX, ELEMENT in enumerate(b):", "q = math.sin(q * ELEMENT + {S})", False),
    ("for ELEMENT in w:", "p = np.sin(p + ELEMENT[{i}])", True),
    ("for ELEMENT, INDEX in zip(m, k % {N}):", "z = np.tanh(z * ELEMENT[{i}])", False),
)
"""Headers, what the body starts with, and whether the element is a view that may be written."""
WHILE = ("INDEX + 1 < n", "INDEX + 1 < {last}", "INDEX + 1 < n and {C}", "{C} and INDEX < 1")


def with_returns(program: Generated) -> Generated:
    """Early returns give what the end gives."""
    return replace(program, body=_replaced(program.body, f"return {program.result}"))


def _replaced(body: list[Statement], text: str) -> list[Statement]:
    return [(text if s == RETURN else s) if isinstance(s, str) else (s[0], _replaced(s[1], text)) for s in body]


def load(program: Generated, folder: Path) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The function of a program, and its decisions: ``decisions(*args)`` lists what each condition gave."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = []
    for recorded in (False, True):
        path = folder / f"random_{program.seed}_{len(list(folder.iterdir()))}.py"
        path.write_text(program.source(recorded))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    plain, recorder = modules

    def decisions(*args: Any) -> list[bytes]:
        found: list[bytes] = []

        def record(value: Any) -> Any:
            found.append(np.asarray(value).tobytes())
            return value

        recorder.D = record
        recorder.f(*args)
        return found

    return plain.f, decisions


def smaller(body: list[Statement]) -> Iterator[list[Statement]]:
    """The same statements with one left out, or replaced by what it holds."""
    for k, statement in enumerate(body):
        yield body[:k] + body[k + 1 :]
        if not isinstance(statement, str):
            if not statement[0].startswith(("el", "while")):
                yield body[:k] + statement[1] + body[k + 1 :]
            for inner in smaller(statement[1]):
                yield [*body[:k], (statement[0], inner), *body[k + 1 :]]


def shrink(program: Generated, fails: Callable[[Generated], bool]) -> Generated:
    """A program that still fails and of which no statement can be left out."""
    while True:
        found = next((p for p in _candidates(program) if fails(p)), None)
        if found is None:
            return program
        program = found


def _candidates(program: Generated) -> Iterator[Generated]:
    for body in smaller(program.body):
        yield replace(program, body=body)
    for result in ("p", "np.sum(a)", "a", "w"):
        if result != program.result and len(result) < len(program.result):
            yield replace(program, result=result)

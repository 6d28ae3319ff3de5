"""Random programs of the accepted language: loops, branches, jumps, in-place updates, views, aliases, helpers.

`generate(seed)` is the source of a module with ``program(x, y, n)``: ``x`` has 5 elements, ``y`` is 3 × 4, ``n`` is an
int from 0 to 4. All values stay bounded, all indices in range, and the arguments are not written.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LENGTH, ROWS, COLUMNS = 5, 3, 4


@dataclass
class Scope:
    """The names that a statement may use."""

    scalars: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)  # vectors that are only read
    vectors: list[str] = field(default_factory=list)
    matrices: list[str] = field(default_factory=list)
    parts: list[tuple[str, int]] = field(default_factory=list)  # views with their lengths
    ints: dict[str, tuple[int, int]] = field(default_factory=dict)  # with the range of their values

    def copy(self) -> Scope:
        """The scope of an inner block."""
        lists = (self.scalars, self.read, self.vectors, self.matrices, self.parts)
        return Scope(*(list(names) for names in lists), dict(self.ints))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Helper:
    """A generated function: how many vectors it takes, and what it returns."""

    name: str
    vectors: int
    matrix: bool
    result: str


class Writer:
    """Writes the statements of one module."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.indent = 0
        self.count = 0
        self.loops = 0
        self.deepest = 3 if self.chance(0.1) else 2
        self.jumps = False  # inside a loop, where break and continue may stand
        self.helpers: list[Helper] = []
        self.result = "float"
        self.budget = 0
        self.scope = Scope()

    # -- small things -------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def pick(self, *options: Callable[[], str]) -> str:
        return self.random.choice(options)()

    def constant(self) -> str:
        return f"{self.random.uniform(-0.9, 0.9):.2f}"

    def positive(self) -> str:
        return f"{self.random.uniform(0.2, 0.9):.2f}"

    def index(self, size: int) -> str:
        """An index in range: a constant, a variable, or arithmetic of variables."""
        fits = [name for name, (low, high) in self.scope.ints.items() if low >= -size and high < size]
        rolls = [name for name, (low, _) in self.scope.ints.items() if low >= 0]
        kind = self.random.random()
        if fits and kind < 0.55:
            return self.random.choice(fits)
        if rolls and kind < 0.7:
            return f"({self.random.choice(rolls)} + {self.random.randint(0, 3)}) % {size}"
        if rolls and kind < 0.78:
            name = self.random.choice(rolls)
            if self.scope.ints[name][1] < size:
                return f"{size - 1} - {name}"
        return str(self.random.randint(-size, size - 1))

    def cut(self, size: int) -> str:
        """A split point from 0 to ``size``."""
        fits = [name for name, (low, high) in self.scope.ints.items() if low >= 0 and high <= size]
        return self.random.choice(fits) if fits and self.chance(0.6) else str(self.random.randint(0, size))

    # -- expressions --------------------------------------------------------------------------------------------

    def scalar(self, depth: int = 2) -> str:
        s = self.scope
        leaves: list[Callable[[], str]] = [self.constant, self.element, self.element]
        if s.scalars:
            leaves += [lambda: self.random.choice(s.scalars)] * 3
        if s.parts:
            leaves += [self.part_element] * 2
        if depth <= 0:
            return self.pick(*leaves)
        inner = depth - 1
        return self.pick(
            *leaves,
            lambda: f"np.sin({self.scalar(inner)})",
            lambda: f"math.cos({self.scalar(inner)})",
            lambda: f"({self.scalar(inner)} {self.random.choice('+-*')} {self.scalar(inner)})",
            lambda: f"{self.scalar(inner)} / (1.5 + {self.scalar(0)} ** 2)",
            lambda: f"np.sum({self.vector(inner)})",
            lambda: f"np.mean({self.matrix(inner)})",
            lambda: f"np.dot({self.vector(inner)}, {self.vector(inner)})",
            lambda: f"({self.part(4, inner)} @ {self.part(4, inner)})",
            lambda: f"np.max({self.vector(inner)})",
            lambda: f"max({self.scalar(inner)}, {self.scalar(inner)})",
            lambda: f"abs({self.scalar(inner)} + 0.31)",
            lambda: f"({self.scalar(inner)} if {self.condition(0)} else {self.scalar(inner)})",
            self.of_index,
        )

    def of_index(self) -> str:
        names = list(self.scope.ints)
        return f"0.1 * {self.random.choice(names)}" if names else self.constant()

    def element(self) -> str:
        s = self.scope
        if s.matrices and self.chance(0.4):
            name = self.random.choice([*s.matrices, "y"] if "x" in s.read else s.matrices)
            return f"{name}[{self.index(ROWS)}, {self.index(COLUMNS)}]"
        name = self.random.choice(s.vectors + s.read)
        return f"{name}[{self.index(LENGTH)}]"

    def part_element(self) -> str:
        name, size = self.random.choice(self.scope.parts)
        return f"{name}[{self.index(size)}]"

    def name(self) -> str:
        return self.random.choice(self.scope.vectors * 2 + self.scope.read)

    def vector(self, depth: int = 2) -> str:
        """An expression of 5 elements."""
        if depth <= 0:
            return self.name()
        inner = depth - 1
        return self.pick(
            self.name,
            self.name,
            lambda: f"np.sin({self.vector(inner)})",
            lambda: f"np.tanh({self.vector(inner)})",
            lambda: f"({self.vector(inner)} {self.random.choice('+-*')} {self.vector(inner)})",
            lambda: f"({self.scalar(inner)} * {self.vector(inner)})",
            lambda: f"np.where({self.name()} > {self.scalar(0)}, {self.vector(inner)}, {self.vector(inner)})",
            lambda: f"np.maximum({self.vector(inner)}, {self.vector(inner)})",
            lambda: f"np.roll({self.vector(inner)}, {self.random.randint(-3, 3)})",
            lambda: f"{self.name()}[::-1]",
            self.glued,
            lambda: f"np.append({self.part(4, inner)}, {self.scalar(inner)})",
            lambda: f"np.full(5, {self.scalar(inner)})",
            lambda: f"np.array([{', '.join(self.scalar(0) for _ in range(LENGTH))}])",
            lambda: f"0.3 * np.cumsum({self.vector(inner)})",
            lambda: f"{self.name()}[np.array([{', '.join(self.picks(LENGTH, LENGTH))}])]",
            lambda: f"{self.name()}.copy()",
            lambda: f"np.sort({self.vector(inner)})",
        )

    def glued(self) -> str:
        cut = self.cut(LENGTH)
        return f"np.concatenate(({self.name()}[:{cut}], {self.name()}[{cut}:]))"

    def picks(self, count: int, size: int) -> list[str]:
        return [str(self.random.randint(-size, size - 1)) for _ in range(count)]

    def part(self, size: int, depth: int = 1) -> str:
        """An expression of ``size`` elements, from 1 to 5."""
        s = self.scope
        options = [self.section(size)]
        options += [name for name, length in s.parts if length == size] * 2
        if size == COLUMNS and s.matrices:
            options.append(f"{self.random.choice(s.matrices)}[{self.index(ROWS)}]")
        if size == ROWS and s.matrices:
            options.append(f"{self.random.choice(s.matrices)}[:, {self.index(COLUMNS)}]")
            options.append(f"({self.random.choice(s.matrices)} @ {self.section(4)})")
        if depth > 0:
            inner = self.part(size, depth - 1)
            options += [f"np.sin({inner})", f"({self.scalar(0)} * {inner})", f"({inner} + {self.section(size)})"]
        return self.random.choice(options)

    def section(self, size: int) -> str:
        return f"{self.name()}[{self.slice(size, LENGTH)}]"

    def slice(self, size: int, length: int) -> str:
        """A slice of ``size`` out of ``length``, written in one of several ways."""
        start = self.random.randint(0, length - size)
        stop = start + size
        options = [f"{start}:{stop}", f"{start - length}:{stop}"]
        options.append(f"{stop - 1}:{start - 1 if start else ''}:-1")
        if stop == length:
            options += [f"{start}:", f"-{size}:"]
        else:
            options.append(f":{stop - length}" if start == 0 else f"{start}:{stop - length}")
        if 2 * size - 1 <= length:
            options.append("::2" if 2 * size >= length else f":{2 * size - 1}:2")
            options.append(f"{2 * size - 2}::-2")
        if size == length:
            options += [":", "::-1"]
        return self.random.choice(options)

    def matrix(self, depth: int = 2) -> str:
        """An expression of 3 × 4 elements."""
        names = self.scope.matrices
        name = lambda: self.random.choice(names)
        outer = lambda: f"np.outer({self.part(3)}, {self.part(4)})"
        if not names:
            return outer()
        if depth <= 0:
            return name()
        inner = depth - 1
        return self.pick(
            name,
            name,
            outer,
            lambda: f"np.sin({self.matrix(inner)})",
            lambda: f"({self.matrix(inner)} {self.random.choice('+-*')} {self.matrix(inner)})",
            lambda: f"({self.scalar(inner)} * {self.matrix(inner)})",
            lambda: f"({self.matrix(inner)} + {self.part(4)})",
            lambda: f"({self.matrix(inner)} * {self.part(3)}[:, None])",
            lambda: f"(0.5 * {name()}.T).T",
            lambda: f"{name()}[::-1]",
            lambda: f"np.where({name()} > {self.scalar(0)}, {self.matrix(inner)}, {self.matrix(inner)})",
            lambda: f"np.roll({self.matrix(inner)}, {self.random.randint(-2, 2)}, axis={self.random.randint(0, 1)})",
        )

    def condition(self, depth: int = 1) -> str:
        sign = lambda: self.random.choice(["<", ">", "<=", ">="])
        options = [lambda: f"{self.scalar(1)} {sign()} {self.scalar(0)}"] * 2
        if self.scope.ints:
            name = self.random.choice(list(self.scope.ints))
            options.append(lambda: f"{name} {self.random.choice(['<', '>', '==', '!='])} {self.random.randint(0, 3)}")
            options.append(lambda: f"{name} % 2 == {self.random.randint(0, 1)}")
        if depth > 0:
            word = self.random.choice(["and", "or"])
            options.append(lambda: f"{self.condition(0)} {word} {self.condition(0)}")
            options.append(lambda: f"not {self.condition(0)}")
        return self.pick(*options)

    # -- blocks -------------------------------------------------------------------------------------------------

    @contextmanager
    def block(self, jumps: bool | None = None) -> Iterator[None]:
        outer, before = self.scope, self.jumps
        self.scope = outer.copy()
        self.jumps = before if jumps is None else jumps
        self.indent += 1
        yield
        self.indent -= 1
        self.scope, self.jumps = outer, before

    def statements(self, count: int) -> None:
        written = len(self.lines)
        for _ in range(count):
            if self.budget > 0:
                self.statement()
        if len(self.lines) == written:
            self.assign()

    def statement(self) -> None:
        self.budget -= 1
        simple = [self.assign, self.store, self.store, self.slices, self.slices, self.whole, self.integers]
        simple += [self.masked, self.gathered, self.view, self.view, self.alias, self.rebind, self.rebind]
        simple += [self.call, self.call, self.rows] if self.helpers else [self.rows]
        if self.jumps:
            simple += [self.jump, self.jump]
        elif self.chance(0.15):
            simple.append(self.leave)
        if self.loops < self.deepest and self.chance(0.45):
            simple = [self.loop, self.loop, self.loop, self.branch, self.branch, self.repeat, self.over]
        elif self.chance(0.15):
            simple = [self.branch]
        self.random.choice(simple)()

    def assign(self) -> None:
        scalars = self.scope.scalars
        if scalars and self.chance(0.7):
            name = self.random.choice(scalars)
            if self.chance(0.3):
                self.put(f"{name} {self.random.choice(['+=', '-='])} 0.3 * np.tanh({self.scalar()})")
            else:
                self.put(f"{name} = np.sin({self.scalar()})")
            if len(scalars) > 1 and self.chance(0.2):
                first, second = self.random.sample(scalars, 2)
                self.put(f"{first}, {second} = {second}, np.tanh({first} + {self.scalar(1)})")
            return
        name = self.fresh("s")
        self.put(f"{name} = np.tanh({self.scalar()})")
        scalars.append(name)

    def update(self, target: str, right: Callable[[], str], wrap: bool = True) -> None:
        value = right()
        op = self.random.choice(["=", "=", "+=", "-=", "*="])
        bounded = f"np.{self.random.choice(['sin', 'tanh'])}({value})" if wrap or op != "=" else value
        self.put(f"{target} {op} {'0.4 * ' if op in ('+=', '-=') else ''}{bounded}")

    def store(self) -> None:
        s = self.scope
        options = [lambda: f"{self.random.choice(s.vectors)}[{self.index(LENGTH)}]"] * 2
        if s.matrices:
            options.append(lambda: f"{self.random.choice(s.matrices)}[{self.index(ROWS)}, {self.index(COLUMNS)}]")
            options.append(lambda: f"{self.random.choice(s.matrices)}[{self.index(ROWS)}][{self.index(COLUMNS)}]")
            options.append(lambda: f"{self.random.choice(s.matrices)}.T[{self.index(COLUMNS)}, {self.index(ROWS)}]")
        if s.parts:
            options += [self.part_element] * 2
        self.update(self.pick(*options), self.scalar)

    def slices(self) -> None:
        name = self.random.choice(self.scope.vectors)
        if self.chance(0.3):
            cut, other = self.cut(LENGTH), self.name()
            target, right = self.random.choice(
                [
                    (f"{name}[{cut}:]", f"{other}[{cut}:]"),
                    (f"{name}[:{cut}]", f"{other}[5 - {cut}:]"),
                    (f"{name}[{cut}:]", f"{other}[:5 - {cut}][::-1]"),
                    (f"{name}[:{cut}]", self.scalar(1)),
                    (f"{name}[{cut}::2]", f"{other}[{cut}::2]"),
                ]
            )
            self.update(target, lambda: right, wrap=self.chance(0.5))
            return
        size = self.random.randint(1, LENGTH)
        same = f"{name}[{self.slice(size, LENGTH)}]"
        right = lambda: self.random.choice([same, same, self.part(size), self.scalar(1)])
        self.update(f"{name}[{self.slice(size, LENGTH)}]", right, wrap=self.chance(0.5))

    def rows(self) -> None:
        """Updates of rows, columns and blocks of a matrix, or of a view."""
        s = self.scope
        if s.parts and self.chance(0.5):
            name, size = self.random.choice(s.parts)
            if self.chance(0.5):
                self.update(f"{name}[:]", lambda: self.part(size)) if self.chance(0.5) else self.put(
                    f"{name} {self.random.choice(['+=', '*='])} np.sin({self.part(size)})"
                )
            else:
                count = self.random.randint(1, size)
                right = f"{name}[{self.slice(count, size)}]"
                self.update(f"{name}[{self.slice(count, size)}]", lambda: right, wrap=self.chance(0.5))
            return
        if not s.matrices:
            self.slices()
            return
        a, b = self.random.choice(s.matrices), self.random.choice(s.matrices)
        row, column = self.slice(2, ROWS), self.slice(3, COLUMNS)
        target, right = self.random.choice(
            [
                (f"{a}[{self.index(ROWS)}]", self.part(4)),
                (f"{a}[{self.index(ROWS)}, {self.slice(3, COLUMNS)}]", f"{b}[{self.index(ROWS)}, {column}]"),
                (f"{a}[:, {self.index(COLUMNS)}]", self.part(3)),
                (f"{a}[{row}]", f"{b}[{self.slice(2, ROWS)}]"),
                (f"{a}[{row}, {column}]", f"{b}[{self.slice(2, ROWS)}, {self.slice(3, COLUMNS)}]"),
                (f"{a}[1:, {self.slice(2, COLUMNS)}]", self.part(2)),
                (f"{a}.T[{self.index(COLUMNS)}]", self.part(3)),
                (f"{a}[...]", self.part(4)),
            ]
        )
        self.update(target, lambda: right, wrap=self.chance(0.6))

    def whole(self) -> None:
        s = self.scope
        if s.matrices and self.chance(0.35):
            name = self.random.choice(s.matrices)
            self.put(f"{name} {self.random.choice(['+=', '-=', '*='])} 0.7 * np.sin({self.matrix()})")
            return
        name = self.random.choice(s.vectors)
        self.pick(
            lambda: self.put(f"{name} {self.random.choice(['+=', '-=', '*='])} 0.7 * np.tanh({self.vector()})"),
            lambda: self.update(f"{name}[:]", self.vector),
            lambda: self.put(f"{name} /= 1.5 + {self.scalar(1)} ** 2"),
            lambda: self.put(f"np.copyto({name}, np.sin({self.vector()}))"),
            lambda: self.put(f"np.multiply({name}, {self.scalar(0)}, out={name})"),
        )

    def masked(self) -> None:
        s = self.scope
        name = self.random.choice(s.vectors)
        mask = f"{self.name()} {self.random.choice('<>')} {self.constant()}"
        if s.matrices and self.chance(0.3):
            name, mask = self.random.choice(s.matrices), f"{self.random.choice(s.matrices)} > {self.constant()}"
        if self.chance(0.5):
            self.update(f"{name}[{mask}]", self.scalar)
            return
        keep = self.fresh("mask")
        self.put(f"{keep} = {mask}")
        other = self.random.choice(s.vectors if name in s.vectors else s.matrices)
        self.update(f"{name}[{keep}]", lambda: f"{other}[{keep}]")

    def gathered(self) -> None:
        name = self.random.choice(self.scope.vectors)
        picks = self.picks(3, LENGTH)
        if self.chance(0.25):
            self.put(f"np.add.at({name}, np.array([{', '.join(picks)}]), 0.3 * np.sin({self.part(3)}))")
            return
        self.update(f"{name}[np.array([{', '.join(picks)}])]", lambda: self.part(3))

    def integers(self) -> None:
        ints = self.scope.ints
        states = [name for name in ints if name.startswith("p")]
        value = self.pick(
            lambda: str(self.random.randint(0, 2)),
            lambda: f"int({self.scalar(1)} > {self.constant()})",
            lambda: f"({self.random.choice(list(ints))} + {self.random.randint(1, 9)}) % 3" if ints else "1",
            lambda: f"(2 if {self.condition(0)} else 0)",
            lambda: f"int(np.argmax({self.name()}[:3]))",
        )
        if states and self.chance(0.6):
            self.put(f"{self.random.choice(states)} = {value}")
            return
        name = self.fresh("p")
        self.put(f"{name} = {value}")
        ints[name] = (0, 2)

    def view(self) -> None:
        """A view, with an update through it or of what it sees."""
        s = self.scope
        name = self.fresh("view")
        options = [self.viewed_vector]
        if s.matrices:
            options += [self.viewed_matrix, self.viewed_matrix]
        base, size = self.random.choice(options)()
        self.put(f"{name} = {base}")
        s.parts.append((name, size))
        self.rows() if self.chance(0.5) else self.store()

    def viewed_vector(self) -> tuple[str, int]:
        size = self.random.randint(2, LENGTH)
        return f"{self.random.choice(self.scope.vectors)}[{self.slice(size, LENGTH)}]", size

    def viewed_matrix(self) -> tuple[str, int]:
        name = self.random.choice(self.scope.matrices)
        return self.random.choice(
            [
                (f"{name}[{self.index(ROWS)}]", COLUMNS),
                (f"{name}[:, {self.index(COLUMNS)}]", ROWS),
                (f"{name}.T[{self.index(COLUMNS)}]", ROWS),
                (f"{name}[{self.index(ROWS)}, 1:]", 3),
                (f"{name}[::-1, {self.index(COLUMNS)}]", ROWS),
                (f"{name}.reshape(4, 3)[{self.index(4)}]", 3),
                (f"{name}.ravel()[2:7]", 5),
            ]
        )

    def alias(self) -> None:
        s = self.scope
        if self.loops and self.chance(0.7):
            self.swap()
            return
        name = self.fresh("alias")
        if s.matrices and self.chance(0.4):
            self.put(f"{name} = {self.random.choice(s.matrices)}")
            s.matrices.append(name)
        else:
            self.put(f"{name} = {self.random.choice(s.vectors)}")
            s.vectors.append(name)
        self.store()

    def swap(self) -> None:
        s = self.scope
        names = s.matrices if len(s.matrices) > 1 and self.chance(0.3) else s.vectors
        names = [name for name in names if not name.startswith("alias")]
        if len(names) > 1:
            first, second = self.random.sample(names, 2)
            self.put(f"{first}, {second} = {second}, {first}")
        else:
            self.whole()

    def rebind(self) -> None:
        s = self.scope
        if s.matrices and self.chance(0.3):
            self.put(f"{self.random.choice(s.matrices)} = np.tanh({self.matrix()})")
        else:
            self.put(f"{self.random.choice(s.vectors)} = np.sin({self.vector()})")

    def call(self) -> None:
        s = self.scope
        helper = self.random.choice(self.helpers)
        args = [self.random.choice(s.vectors) for _ in range(helper.vectors)]
        if helper.matrix:
            if not s.matrices:
                return self.whole()
            args.append(self.random.choice(s.matrices))
        call = f"{helper.name}({', '.join([*args, self.scalar(1), f'({self.index(3)}) % 3'])})"
        if helper.result == "none":
            self.put(call)
        elif helper.result == "float":
            name = self.fresh("s")
            self.put(f"{name} = {call}")
            s.scalars.append(name)
        elif self.chance(0.6):
            self.put(f"{self.random.choice(s.vectors)}[:] = np.tanh({call})")
        else:
            self.put(f"{self.random.choice(s.vectors)} = {call}")

    # -- control ------------------------------------------------------------------------------------------------

    def branch(self) -> None:
        self.put(f"if {self.condition()}:")
        with self.block():
            self.statements(self.random.randint(1, 3))
        while self.chance(0.25):
            self.put(f"elif {self.condition()}:")
            with self.block():
                self.statements(self.random.randint(1, 2))
        if self.chance(0.5):
            self.put("else:")
            with self.block():
                self.statements(self.random.randint(1, 2))

    def loop(self) -> None:
        name = self.fresh("i")
        text, low, high = self.range()
        self.put(f"for {name} in range({text}):")
        self.loops += 1
        with self.block(jumps=True):
            self.scope.ints[name] = (low, high)
            self.statements(self.random.randint(1, 4))
        self.loops -= 1
        self.otherwise()
        if text.isdigit():  # runs at least once
            self.scope.ints[name] = (low, high)

    def range(self) -> tuple[str, int, int]:
        outer = [name for name, (low, high) in self.scope.ints.items() if low >= 0 and high <= 4 and name != "n"]
        options = [("n", 0, 3), ("3", 0, 2), ("4", 0, 3), ("1, n", 1, 3), ("n, 0, -1", 1, 4), ("0, n, 2", 0, 3)]
        options += [("4, -1, -2", 0, 4), ("n - 1, -1, -1", 0, 3), ("-2, 1", -2, 0), ("5, 5", 0, 4)]
        if "n" not in self.scope.ints:
            options = [option for option in options if "n" not in option[0]]
        if outer:
            name = self.random.choice(outer)
            options += [(name, 0, 3), (f"{name}, 3", 0, 2), (f"{name} + 1", 0, 4), (f"{name}, -1, -1", 0, 4)]
            if "n" in self.scope.ints:
                options += [(f"{name}, n", 0, 3), (f"0, n - {name}", 0, 3)]
        return self.random.choice(options)

    def repeat(self) -> None:
        name, most = self.fresh("c"), self.random.randint(2, 4)
        self.put(f"{name} = 0")
        self.put(f"while {name} < {most} and {self.condition(0)}:" if self.chance(0.8) else f"while {name} < {most}:")
        self.loops += 1
        with self.block(jumps=True):
            self.put(f"{name} += 1")
            self.scope.ints[name] = (1, most)
            self.statements(self.random.randint(1, 4))
        self.loops -= 1
        self.otherwise()
        self.scope.ints[name] = (0, most)

    def over(self) -> None:
        """A loop over an array."""
        s, element = self.scope, self.fresh("e")
        kind = self.random.choice(["rows", "elements", "enumerate", "zip", "tuple"])
        scalars, parts, ints = [element], [], {}
        if kind == "rows" and s.matrices:
            head, scalars, parts = f"{element} in {self.random.choice(s.matrices)}", [], [(element, COLUMNS)]
        elif kind == "enumerate":
            head, ints = f"k{element}, {element} in enumerate({self.name()})", {f"k{element}": (0, 4)}
        elif kind == "zip":
            head, scalars = f"{element}, f{element} in zip({self.name()}, {self.name()})", [element, f"f{element}"]
        elif kind == "tuple":
            head = f"{element} in (0.3, -0.7)"
        else:
            head = f"{element} in {self.name()}"
        self.put(f"for {head}:")
        self.loops += 1
        with self.block(jumps=True):
            self.scope.scalars += scalars
            self.scope.parts += parts
            self.scope.ints |= ints
            self.statements(self.random.randint(1, 3))
        self.loops -= 1

    def otherwise(self) -> None:
        if self.chance(0.1):
            self.put("else:")
            with self.block():
                self.statements(1)

    def jump(self) -> None:
        self.put(f"if {self.condition()}:")
        with self.block():
            if self.chance(0.4):
                self.statements(1)
            if self.chance(0.2):
                self.exit()
            else:
                self.put(self.random.choice(["break", "continue"]))

    def leave(self) -> None:
        self.put(f"if {self.condition()}:")
        with self.block():
            self.exit()

    def exit(self) -> None:
        if self.result == "float":
            self.put(f"return np.sin({self.scalar()})")
        else:
            self.put("return" if self.result == "none" else f"return {self.vector()}")

    # -- functions ----------------------------------------------------------------------------------------------

    def helper(self) -> None:
        count, matrix = self.random.randint(1, 2), self.chance(0.4)
        helper = Helper(self.fresh("helper"), count, matrix, self.random.choice(["none", "none", "float", "vector"]))
        vectors = ["a", "b"][:count]
        self.scope = Scope(["s"], [], vectors, ["m"] if matrix else [], [], {"i": (0, 2)})
        self.result = helper.result
        self.put(f"def {helper.name}({', '.join([*vectors, *self.scope.matrices, 's', 'i'])}):")
        self.indent += 1
        self.budget = 3
        self.loops = self.deepest - 1  # one more loop at most
        self.statements(self.random.randint(1, 3))
        if helper.result != "none":
            self.exit()
        self.loops = 0
        self.indent -= 1
        self.lines += ["", ""]
        self.helpers.append(helper)

    def program(self) -> None:
        self.put("def program(x, y, n):")
        self.indent += 1
        vectors = ["u", "v", "w"][: self.random.randint(1, 3)]
        matrices = ["m", "k"][: self.random.randint(0, 2)]
        self.scope = Scope(["r"], ["x"], vectors, matrices, [], {"n": (0, 4)})
        self.result = "float"
        self.put("r = 0.5")
        for name in vectors:
            self.put(f"{name} = {self.random.choice(['x.copy()', '0.7 * x', 'np.sin(x)', 'np.append(y[1], 0.4)'])}")
        for name in matrices:
            self.put(f"{name} = {self.random.choice(['y.copy()', 'np.cos(y)', 'np.outer(x[:3], x[1:])'])}")
        self.budget = self.random.randint(3, 8)
        while self.budget > 0:
            self.statement()
        terms = ["r", *(f"np.sum({name} * x)" for name in vectors)]
        terms += [f"np.sum({name} * y)" for name in matrices]
        self.put(f"return {' + '.join(terms)}")
        self.indent -= 1


def generate(seed: int) -> str:
    """The source of a random module with ``program(x, y, n)``."""
    writer = Writer(seed)
    writer.lines += ["import math", "", "import numpy as np", "", ""]
    for _ in range(writer.random.randint(0, 2)):
        writer.helper()
    writer.program()
    return "\n".join(writer.lines) + "\n"

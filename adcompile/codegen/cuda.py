"""Writes a host program with launches (`adcompile.lower.kernels`) as a Python module for numba.cuda.

A kernel with independent iterations runs over them in a grid-stride loop; every number in it has the dtype of the
operation it takes part in, so that a float32 kernel has no float64 in it. Sums are added up by each thread, then by its
block, and once per block to the result. A check that fails notes its number and ends the thread; the host raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from adcompile.codegen import products
from adcompile.codegen.device import FUNCTIONS, ThreadWriter, numpy_name
from adcompile.codegen.python import ATOMIC, UNARY, Source, Text, Writer, bare, wrap
from adcompile.ir import Array, Atom, Block, Eqn, Scalar, Trace, Type, Value
from adcompile.ir.core import walk

CHECKS = ("check_index", "check_nonzero", "check_true")
_HOST = ("blocks", "box", "clear", "copied", "empty_array", "no_failure", "tiles")
"""What generated modules import from `adcompile.backend.cuda.host`."""
_SIZES = ("THREADS", "TILE", "PITCH", "NEAR", "FEW")
RESERVED = frozenset({"cuda", "failed", "raise_failure", *_SIZES, *FUNCTIONS, *_HOST})


@dataclass(frozen=True)
class Kernel:
    """A kernel of a module: its name and the types of its parameters."""

    name: str
    params: tuple[Type, ...]


@dataclass(frozen=True)
class Module(Source):
    """A generated module: its kernels, and the checks in them, by their number from 1."""

    kernels: tuple[Kernel, ...] = ()
    checks: tuple[Eqn, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """The sizes of a generated module.

    Attributes
    ----------
    threads : of a block.
    tile : rows and columns of a block of a product.
    near : how many elements of an array a block adds to in shared memory; the rest is added to directly.
    few : how many blocks a kernel has whose blocks all add to one array: two for each multiprocessor of a large GPU.
    """

    threads: int = 128
    tile: int = 16
    near: int = 512
    few: int = 264


def emit(trace: Trace, sizes: Sizes | None = None) -> Module:
    """The module of a host program.

    Parameters
    ----------
    trace : what `adcompile.lower.kernels.kernels` made.
    sizes : of blocks and their shared memory.
    """
    host = _Host(trace, sizes or Sizes())
    body = host.function(trace)
    parts = [host.preamble(body.text), *(text for text, _ in host.texts), body]
    text, lines, offset = "", {}, 0
    for source in parts:
        text += source.text
        lines.update({offset + k: loc for k, loc in source.lines.items()})
        offset += source.text.count("\n")
    kernels = tuple(kernel for _, kernel in host.texts if kernel)
    return Module(trace.name, text, lines, kernels, tuple(host.checks))


# -- the host ---------------------------------------------------------------------------------------------------------


class _Host(Writer):
    """The host's function; collects the kernels it launches."""

    def __init__(self, trace: Trace, sizes: Sizes):
        super().__init__(RESERVED)
        self.sizes = sizes
        self.texts: list[tuple[Source, Kernel | None]] = []
        self.checks: list[Eqn] = []
        self.written: set[str] = set()
        self.checked = any(e.op in CHECKS for e in _in_kernels(trace.block))

    def preamble(self, body: str) -> Source:
        """Imports and the sizes of blocks."""
        names = sorted({f for source, _ in self.texts for f in _helpers_in(source.text)})
        device = f"from adcompile.backend.cuda.device import {', '.join(names)}\n" if names else ""
        names = {word for source, _ in self.texts for word in re.findall(r"\b[A-Z]+\b", source.text)}
        sizes = f"THREADS = {self.sizes.threads}\n"
        if "TILE" in names:
            sizes += f"TILE = {self.sizes.tile}\nPITCH = TILE + 1  # neighbouring rows begin in different banks\n"
        used = [n for n in _HOST if re.search(rf"\b{n}\(", body)]
        host = f"from adcompile.backend.cuda.host import {', '.join(used)}\n" if used else ""
        if "NEAR" in names:
            sizes += f"NEAR = {self.sizes.near}  # elements of an array that a block adds to in shared memory\n"
            sizes += f"FEW = {self.sizes.few}  # blocks of a kernel whose blocks all add to one array\n"
        return Source(
            "", f"import math\n\nimport numpy as np\nfrom numba import cuda\n\n{device}{host}\n{sizes}\n\n", {}
        )

    def give_back(self, results: Sequence[Atom]) -> None:
        """Raise what a kernel found, then return."""
        if self.checked:
            self.write(1, "raise_failure(failed)")
        super().give_back(results)

    def block(self, block: Block, depth: int, live_out: set[Value]) -> None:
        """The function begins with a place for failures."""
        if self.checked and depth == 1:
            self.write(1, "failed = no_failure()")
        super().block(block, depth, live_out)

    def expression(self, eqn: Eqn) -> Text:
        """New arrays are the device's."""
        if eqn.op == "empty":
            sizes = ", ".join(self.read(a).text for a in eqn.args)
            shape = f"({sizes},)" if len(eqn.args) == 1 else f"({sizes})"
            return Text(f"empty_array({shape}, np.{numpy_name(eqn.outs[0])})", ATOMIC)
        if eqn.op == "copy":
            return Text(f"copied({self.read(eqn.args[0]).text})", ATOMIC)
        return super().expression(eqn)

    def in_place(self, eqn: Eqn, depth: int) -> None:
        """A product of matrices is a launch; no other update is left to the host."""
        c, a, b = (self.read(x).text for x in eqn.args)
        source = products.kernel(eqn)
        types = tuple(x.type for x in (*eqn.args[1:], eqn.args[0]))
        self.add(source, Kernel(source.name, types))
        strips = f", {a}.shape[0]" if products.in_strips(eqn) else ""
        if strips and not eqn.attrs["accumulate"]:
            self.write(depth, f"clear({c})", eqn.loc)
        self.write(depth, f"{source.name}[tiles({c}, TILE{strips}), (TILE, TILE)]({a}, {b}, {c})", eqn.loc)
        self.names.take(eqn.outs[0], c)

    def add(self, source: Source, kernel: Kernel | None) -> None:
        """A function of the module, once."""
        if source.name not in self.written:
            self.written.add(source.name)
            self.texts.append((source, kernel))

    def launch(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """A kernel, and the lines that launch it."""
        texts = [self.read(a).text for a in eqn.args]
        boxes = self.boxes(eqn, depth)
        writer = _Kernel(eqn, texts, boxes, len(self.checks))
        source = writer.kernel()
        for function in writer.functions:
            self.add(function, None)
        self.checks += writer.checks
        self.add(source, Kernel(eqn.attrs["name"], writer.types))
        flag = ["failed"] if writer.checks else []
        grid = self.grid(eqn, texts)
        self.write(depth, f"{eqn.attrs['name']}[{grid}]({', '.join([*texts, *boxes.values(), *flag])})", eqn.loc)
        for out, home in zip(eqn.outs, eqn.attrs["homes"], strict=True):
            if home is not None:
                self.names.take(out, texts[home])
        self.fetch(boxes, depth)

    def boxes(self, eqn: Eqn, depth: int) -> dict[Value, str]:
        """A one-element array for each scalar that comes back."""
        boxes = {}
        operations = dict(eqn.attrs["parallel"].sums) if eqn.attrs["parallel"] else {}
        for k, out in enumerate(eqn.outs):
            if isinstance(out.type, Scalar):
                name = self.names.give(Value(out.type), set(), f"{out.name or 'number'}_out")
                start = "0" if operations.get(k) == "add" else "None"
                self.write(depth, f"{name} = box({start}, np.{numpy_name(out)})")
                boxes[out] = name
        return boxes

    def grid(self, eqn: Eqn, texts: Sequence[str]) -> str:
        """How many blocks of how many threads."""
        known = eqn.attrs["parallel"]
        if known is None:
            return "1, 1"
        if any(operation != "add" for _, operation in known.sums):
            return "1, THREADS"
        (loop,) = eqn.regions[0].eqns
        places = dict(zip(eqn.regions[0].params, texts, strict=True))
        bounds = [Text(places[a], ATOMIC) if isinstance(a, Value) else self.constant(a) for a in loop.args[:3]]
        over = super().range(loop, bounds)
        count = over.removeprefix("range(").removesuffix(")")
        few = ", FEW" if eqn.attrs["gathered"] else ""
        return f"blocks({count if ',' not in count else f'len({over})'}, THREADS{few}), THREADS"

    def fetch(self, boxes: Mapping[Value, str], depth: int) -> None:
        """Scalars come to the host, unless a check failed."""
        if boxes and self.checked:
            self.write(depth, "raise_failure(failed)")
        for out, name in boxes.items():
            self.write(depth, f"{self.names.give(out, set())} = {name}[0]")

    CONTROL: ClassVar[Mapping[str, str]] = {**Writer.CONTROL, "launch": "launch"}


def _in_kernels(block: Block) -> Iterator[Eqn]:
    """The equations inside launches."""
    for eqn in walk(block):
        if eqn.op == "launch":
            yield from walk(eqn.regions[0])


def _helpers_in(text: str) -> list[str]:
    return [n for n in FUNCTIONS if re.search(rf"\b{n}\(", text)]


# -- kernels ----------------------------------------------------------------------------------------------------------


class _Kernel(ThreadWriter):
    """One kernel; its parameters have the names of the host's arguments."""

    def __init__(self, eqn: Eqn, texts: Sequence[str], boxes: Mapping[Value, str], checks: int):
        super().__init__(RESERVED)
        self.eqn, self.known = eqn, eqn.attrs["parallel"]
        (self.region,) = eqn.regions
        self.texts, self.boxes = texts, boxes
        self.first, self.checks = checks, list[Eqn]()
        self.functions: list[Source] = []
        self.added: set[Value] = set()
        self.near: dict[Value, str] = {}
        flag = (Array("int64", (3,)),) if any(e.op in CHECKS for e in walk(self.region)) else ()
        boxed = tuple(Array(out.type.dtype, (1,)) for out in boxes)
        self.types = (*(p.type for p in self.region.params), *boxed, *flag)
        self.flagged = bool(flag)

    def kernel(self) -> Source:
        """The kernel's text."""
        params = self.region.params
        hints = [t if t.isidentifier() else p.name for p, t in zip(params, self.texts, strict=True)]
        names = [self.names.give(p, set(), hint) for p, hint in zip(params, hints, strict=True)]
        outs = [self.names.give(Value(out.type), set(), name) for out, name in self.boxes.items()]
        self.write(0, "@cuda.jit")
        self.write(0, f"def {self.eqn.attrs['name']}({', '.join([*names, *outs, *['failed'] * self.flagged])}):")
        if self.known:
            self.parallel(outs)
        else:
            self.serial(outs)
        places = {k: loc for k, (_, loc) in enumerate(self.lines, 1) if loc}
        return Source(self.eqn.attrs["name"], "\n".join(self.with_places()) + "\n\n\n", places)

    def parallel(self, outs: Sequence[str]) -> None:
        """A grid-stride loop, then the sums."""
        (loop,) = self.region.eqns
        gathered = [self.region.params[k] for k in sorted(self.eqn.attrs["gathered"])]
        for param in gathered:
            self.begin_near(param)
        self.loop(loop, 1, set(self.region.params), set())
        if gathered:
            self.write(1, "cuda.syncthreads()")
        for param in gathered:
            self.end_near(param)
        for (k, operation), out in zip(self.known.sums, outs, strict=True):
            part, dtype = self.names.of[loop.outs[k]], loop.outs[k].type.dtype
            if self.flagged:
                self.write(1, f"cuda.atomic.add({out}, 0, {part})")
            else:
                function = products.reduction(operation, dtype)
                self.functions.append(function)
                self.write(1, f"{function.name}({out}, {part})")

    def begin_near(self, param: Value) -> None:
        """Shared memory for what the block adds to an array, as far as it goes."""
        name = self.names.of[param]
        near = self.near[param] = self.names.give(Value(param.type), set(), f"{name}_near")
        self.write(1, f"{near} = cuda.shared.array(NEAR, np.{param.type.dtype})")
        self.write(1, "for e in range(cuda.threadIdx.x, NEAR, THREADS):")
        self.write(2, f"{near}[e] = np.{param.type.dtype}(0)")
        self.write(1, "cuda.syncthreads()")

    def end_near(self, param: Value) -> None:
        """One step for each element that the block has added to."""
        function = products.flush(param.type.dtype, param.type.rank)
        self.functions.append(function)
        self.write(1, f"{function.name}({self.names.of[param]}, {self.near[param]})")

    def add_near(self, target: str, near: str, rank: int, where: str, value: str) -> str:
        """An addition in the block's shared memory."""
        dtype = next(p.type.dtype for p, n in self.near.items() if n == near)
        function = products.nearby(dtype, rank)
        self.functions.append(function)
        return f"{function.name}({target}, {near}, {where}, {value})"

    def serial(self, outs: Sequence[str]) -> None:
        """The equations as they are, by one thread."""
        self.block(self.region, 1, set(self.region.params))
        scalars = [r for r in self.region.results if isinstance(r.type, Scalar)]
        for out, result in zip(outs, scalars, strict=True):
            self.write(1, f"{out}[0] = {self.typed(result, result.type.dtype).text}")

    def range(self, eqn: Eqn, bounds: Sequence[Text]) -> str:
        """Threads take turns over the iterations of the kernel's loop."""
        if not (self.known and eqn is self.region.eqns[0]):
            return super().range(eqn, bounds)
        start, stop, step = (wrap(b, UNARY) for b in bounds)
        first, stride = "cuda.grid(1)", "cuda.gridsize(1)"
        if step != "1":
            first, stride = ("-" + t if step == "-1" else f"{step} * {t}" for t in (first, stride))
            first = f"{start} - cuda.grid(1)" if step == "-1" else f"{start} + {first}"
        elif start != "0":
            first = f"{start} + {first}"
        return f"range({first}, {stop}, {stride})"

    def body(self, body: Block, names: Sequence[str], depth: int, live_out: set[Value]) -> None:
        """Inside the kernel's loop, additions to what other iterations add to are atomic."""
        if self.known and body is self.region.eqns[0].regions[0]:
            self.added = {body.params[1 + k] for k in self.known.added}
            starts = self.region.eqns[0].args[3:]
            self.near |= {p: self.near[a] for p, a in zip(body.params[1:], starts, strict=True) if a in self.near}
        super().body(body, names, depth, live_out)

    def loop(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """What a loop carries on is added to as before it."""
        (body,) = eqn.regions
        pairs = list(zip(eqn.args[3:], body.params[1:], eqn.outs, strict=True))
        self.added |= {v for start, param, out in pairs if start in self.added for v in (param, out)}
        self.near |= {v: self.near[s] for s, param, out in pairs if s in self.near for v in (param, out)}
        super().loop(eqn, depth, dead, live)

    def carried_name(self, param: Value, init: Atom, dead: set[Value]) -> str:
        """A carried array is in place: it keeps its name."""
        if isinstance(init, Value) and isinstance(param.type, Array):
            return self.names.take(param, self.names.of[init])
        return super().carried_name(param, init, dead)

    def repeat(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """The same for ``while``."""
        for region in eqn.regions:
            pairs = zip(eqn.args, region.params, eqn.outs, strict=True)
            self.added |= {v for start, param, out in pairs if start in self.added for v in (param, out)}
        super().repeat(eqn, depth, dead, live)

    def branch(self, eqn: Eqn, depth: int, dead: set[Value], live: set[Value]) -> None:
        """The same for ``if``: its result is one array, whichever branch is taken."""
        super().branch(eqn, depth, dead, live)
        self.added |= {o for k, o in enumerate(eqn.outs) if any(r.results[k] in self.added for r in eqn.regions)}

    # -- equations ------------------------------------------------------------------------------------------------

    def update(self, eqn: Eqn, texts: Sequence[str], where: str) -> str:
        """An addition is one step where other threads may add too."""
        target, name, value = eqn.args[0], texts[0], bare(texts[1])
        if target in self.near:
            self.near[eqn.outs[0]] = self.near[target]
            return self.add_near(name, self.near[target], len(eqn.args) - 2, where, value)
        if target in self.added:
            self.added.add(eqn.outs[0])
            return f"cuda.atomic.add({name}, {where if len(eqn.args) == 3 else f'({where})'}, {value})"
        return super().update(eqn, texts, where)

    def check(self, eqn: Eqn, depth: int) -> None:
        """Note the number of a failed check, and end the thread."""
        self.checks.append(eqn)
        texts = [self.read(a) for a in eqn.args]
        good = _CHECKS[eqn.op](*(wrap(t, 8.1) if eqn.op != "check_true" else t.text for t in texts))
        details = [t.text for t in texts] if eqn.op == "check_index" else ["0", "0"]
        self.write(depth, f"if {good}:", eqn.loc)
        self.write(depth + 1, f"fail(failed, {self.first + len(self.checks)}, {', '.join(details)})")
        self.write(depth + 1, "return")

    require = check

    def effect(self, eqn: Eqn, depth: int) -> None:
        """Checks."""
        self.check(eqn, depth)


_CHECKS: dict[str, Callable[..., str]] = {
    "check_index": lambda i, n: f"not -{n} <= {i} < {n}",
    "check_nonzero": lambda n: f"{n} == 0",
    "check_true": lambda condition: f"not ({condition})",
}

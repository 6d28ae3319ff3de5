"""The pipeline: a function and a transform → trace → derivative trace → compiled program → call.

The only module that imports every stage. A `Transform` object is what `adcompile.grad` and its siblings return:
callable, inspectable, and itself traceable, so that transforms nest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from adcompile import recall
from adcompile.dispatch import Flatten, canonical, flattener, overlap
from adcompile.errors import InvalidArgument, UnsupportedAlias, UnsupportedDtype
from adcompile.frontend.calls import INLINE
from adcompile.frontend.dependencies import watch
from adcompile.frontend.trace import Inner, Results, Signature, Traced, signature_of, splice, trace, trace_inner
from adcompile.frontend.tracer import Tracer, is_on_device
from adcompile.frontend.values import Closure, Method
from adcompile.ir import Array, Scalar, Trace, is_float
from adcompile.modes import Mode, Program
from adcompile.positions import leaf_positions
from adcompile.transform.simplify import simplify
from adcompile.tree import flatten

if TYPE_CHECKING:
    from adcompile.inspect import Graph, Subject, Table

BACKENDS = ("llvm", "numba", "python", "cuda")
_SERIAL = {
    "numba": 'Use backend="llvm", or leave parallel out and call the njit function in a prange loop of your own.',
    "python": 'Use backend="llvm", or leave parallel out.',
    "cuda": "Leave parallel out: on a GPU every independent loop is a kernel.",
}
"""What to do instead of parallel=True on a backend."""


@dataclass(frozen=True)
class Options:
    """How to compile.

    Attributes
    ----------
    backend : "llvm" (the default), "numba", "python" (the generated source in CPython), or "cuda" (an NVIDIA GPU).
    parallel : share the iterations of loops among threads, as many as `adcompile.get_num_threads` says (llvm only).
    fastmath : let LLVM reorder floating-point arithmetic; on a GPU, approximate functions.
    cache : keep compiled programs on disk, and use those that are there.
    """

    backend: str = "llvm"
    parallel: bool = False
    fastmath: bool = False
    cache: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """The options that a user gave by keyword."""
        names = [f.name for f in fields(cls)]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InvalidArgument(f"unknown option {unknown[0]!r}", remedy=f"Options: {', '.join(names)}.")
        return cls(**given)

    def __post_init__(self):
        if self.backend not in BACKENDS:
            raise InvalidArgument(f"unknown backend {self.backend!r}", remedy=f"Use one of {', '.join(BACKENDS)}.")
        if not isinstance(self.parallel, bool):
            raise InvalidArgument(
                f"parallel is {self.parallel!r}, neither True nor False",
                remedy="Choose the number of threads with adcompile.set_num_threads.",
            )
        if self.parallel and self.backend != "llvm":
            raise InvalidArgument(f"the {self.backend} backend has no parallel loops", remedy=_SERIAL[self.backend])


@dataclass(frozen=True, eq=False)
class Compiled:
    """One specialisation: how to call it, and whether what it was compiled with has changed.

    Attributes
    ----------
    run : from flat arguments to flat results.
    flatten, rebuild : from the arguments of a call, and to what the user gets.
    captures : how the captured arrays are taken, with their labels; they are the first params.
    names, written : of the params, and the positions of those whose array the function writes into.
    look : the traces; a program that comes from disk is traced when somebody asks for them.
    """

    signature: Signature
    run: Callable[..., tuple[Any, ...]]
    flatten: Flatten | None
    rebuild: Callable[[Sequence[Any]], Any]
    captures: tuple[tuple[Callable[[], Any], str], ...]
    names: tuple[str, ...]
    written: tuple[int, ...]
    stale: Callable[[], bool]
    look: Callable[[], tuple[Traced, Program]]

    @property
    def primal(self) -> Traced:
        """The function as it was traced."""
        return self.look()[0]

    @property
    def program(self) -> Program:
        """What was asked of it."""
        return self.look()[1]


class Transform:
    """A function and what is asked of it; see `adcompile.grad`."""

    def __init__(self, function: Callable[..., Any], mode: Mode, options: Options):
        if not callable(function) and not isinstance(function, Closure | Method):
            raise InvalidArgument(f"{function!r} is not a function")
        self.function, self.mode, self.options = function, mode, options
        self.compiled: dict[Signature, Compiled] = {}
        self.last: Compiled | None = None
        self.fast: Compiled | None = None
        if not isinstance(function, Closure | Method):
            functools.update_wrapper(self, function, updated=())

    def __adcompile_state__(self) -> tuple[Any, ...]:
        return self.function, self.mode, self.options

    def __repr__(self) -> str:
        return f"<adcompile.{self.mode.name} of {getattr(self.function, '__name__', self.function)}>"

    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind to an instance, as a function in a class does."""
        return self if instance is None else functools.partial(self, instance)

    # -- calling ----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Compile for the types of the arguments, unless that was done before, and run."""
        fast = self.fast
        if fast is not None and not keywords and not fast.stale():
            flat = args if fast.flatten is None else fast.flatten(args)
            found = NotImplemented if flat is None else fast.run(*flat)
            if found is not NotImplemented:
                return fast.rebuild(found)
        return self.apply(args, keywords, ())

    def apply(self, args: Sequence[Any], keywords: dict[str, Any], seeds: Sequence[Any]) -> Any:
        """Run on arguments, with ``seeds`` (tangents or cotangents, flat) as further parameters of the program."""
        signature, leaves = self._signature(args, keywords)
        compiled = self._specialise(signature, args, keywords)
        found = compiled.run(*self._flat(compiled, leaves), *map(canonical, seeds))
        if found is NotImplemented:
            raise InvalidArgument("a seed does not have the dtype and shape of what it belongs to")
        return compiled.rebuild(found)

    def _signature(self, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[Signature, list[Any]]:
        """The signature of a call and its leaves, or an error that names the argument."""
        try:
            return signature_of(args, keywords)
        except UnsupportedDtype as error:
            names = argument_names(self.function, args, keywords)
            for name, value in zip(names, [*args, *(v for _, v in sorted(keywords.items()))], strict=True):
                try:
                    signature_of((value,), {})
                except UnsupportedDtype as found:
                    raise UnsupportedDtype(f"argument {name!r}: {found.fact}", None, found.remedy) from None
            raise error

    def _flat(self, compiled: Compiled, leaves: Sequence[Any]) -> list[Any]:
        captured = [canonical(get()) for get, _ in compiled.captures]
        given = [canonical(leaves[k]) for k in compiled.signature.dynamic]
        flat = captured + given
        if self.options.backend != "cuda" and any(map(is_on_device, flat)):
            raise InvalidArgument(
                f"an argument is on a GPU, and the {self.options.backend} backend computes on the CPU",
                remedy='Use backend="cuda", or copy it to the host.',
            )
        for k in compiled.written:
            self._refuseoverlap(compiled, flat, k)
        return flat

    def _refuseoverlap(self, compiled: Compiled, flat: Sequence[Any], k: int) -> None:
        for j, other in enumerate(flat):
            if j != k and overlap(other, flat[k]):
                names = compiled.names
                raise UnsupportedAlias(
                    f"arguments {names[j]} and {names[k]} share memory and {names[k]} is written", None, "Pass copies."
                )

    def _specialise(self, signature: Signature, args: Sequence[Any], keywords: dict[str, Any]) -> Compiled:
        compiled = self.compiled.get(signature)
        if compiled is None or compiled.stale():
            compiled = self._compile(signature, args, keywords)
            self.compiled[signature] = compiled
        self.last = compiled
        plain = not compiled.captures and not compiled.written and not keywords
        self.fast = compiled if plain and self.options.backend == "llvm" else None
        return compiled

    def _compile(self, signature: Signature, args: Sequence[Any], keywords: dict[str, Any]) -> Compiled:
        """The program from disk, where what is there was made of the same; else traced, compiled, and kept there."""
        names = argument_names(self.function, args, keywords)
        question = None
        if self.options.cache and self.options.backend == "llvm":
            question = recall.ask(self.function, self.mode, self.options, signature, names)
        if question is not None and (found := self._recalled(question, signature, names)) is not None:
            return found
        traced, program = found = self._differentiate(signature, names)
        code = compile_program(program.trace, self.options)
        params = tuple(p.name for p in traced.trace.params)
        rebuild = program.results.rebuild
        answer = recall.Answer(traced.dependencies, traced.arrays, rebuild, params, traced.written, code.linkage)
        if question is not None:
            recall.keep(question, answer, len(program.trace.results))
        return _compiled(signature, answer, code.run, lambda: found)

    def _recalled(self, question: recall.Question, signature: Signature, names: Sequence[str]) -> Compiled | None:
        from adcompile.backend.llvm import linking

        answer = recall.find(question)
        run = None if answer is None else linking.recall(answer.linkage)
        if answer is None or run is None:
            return None
        return _compiled(signature, answer, run, functools.cache(lambda: self._differentiate(signature, names)))

    def _differentiate(self, signature: Signature, names: Sequence[str]) -> tuple[Traced, Program]:
        """The trace of the function, and the program of what is asked of it."""
        traced = trace(self.function, signature, names)
        self._refuse_writes(traced)
        positions = leaf_positions(signature, names, len(traced.captures))
        program = self.mode.program(traced.trace, traced.results, positions)
        return traced, replace(program, trace=simplify(program.trace, final=True))

    def _refuse_writes(self, traced: Traced) -> None:
        """``jit`` stands for the function, which would change its arguments; compiled code does not."""
        if traced.written and self.mode.name == "jit":
            name = traced.trace.params[traced.written[0]].name
            raise UnsupportedAlias(
                f"{traced.trace.name} writes into its argument {name!r}, which jit would not show", None,
                "Work on a copy (a.copy()) and return it.",
            )  # fmt: skip

    # -- inside a traced function -----------------------------------------------------------------------------

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit this transform's program into a trace in progress."""
        return self.inline(t, args, keywords, lambda inner: ())

    def inline(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any], seeds: Callable[[Inner], Any]) -> Any:
        """The same, with further parameters made from the inner trace."""
        inner: Inner = trace_inner(t, self.function, args, keywords)
        argnames = argument_names(self.function, args, keywords)
        positions = leaf_positions(inner.signature, argnames, len(inner.captured))
        program = self.mode.program(inner.trace, inner.results, positions)
        return program.results.rebuild(splice(t, program.trace, [*inner.captured, *inner.arguments, *seeds(inner)]))

    def njit(self, *args: Any, **keywords: Any) -> Callable[..., Any]:
        """The program for some arguments as a Numba dispatcher, to be called in njit functions of your own.

        It takes the numbers and arrays of the arguments one after the other (C-contiguous arrays of the same dtypes and
        ranks) and gives the numbers and arrays of the result as a tuple, or the only one itself.
        """
        from adcompile.backend import numba
        from adcompile.lower import executable

        return numba.bare(executable(self._closed(args, keywords)), fastmath=self.options.fastmath)

    def cuda_function(self, *args: Any, **keywords: Any) -> Callable[..., Any]:
        """The program for some arguments as a device function, to be called in ``cuda.jit`` kernels of your own.

        It takes the numbers of the arguments one after the other, and arrays (which it reads), and gives the numbers
        of the result as a tuple, or the only one itself. It makes no arrays, and cannot raise.
        """
        from adcompile.backend import cuda
        from adcompile.lower import lower

        return cuda.function(lower(self._closed(args, keywords), vectors=False))

    def _closed(self, args: Sequence[Any], keywords: dict[str, Any]) -> Trace:
        """The program for some arguments, which must capture nothing."""
        compiled = self.specialisation(*args, **keywords)
        if compiled.captures:
            names = ", ".join(label for _, label in compiled.captures)
            raise InvalidArgument(f"the program captures arrays ({names})", remedy="Pass them as arguments.")
        return compiled.program.trace

    # -- inspection -------------------------------------------------------------------------------------------

    def specialisation(self, *args: Any, **keywords: Any) -> Compiled:
        """The compiled program for some arguments; without arguments, that of the latest call."""
        if not args and not keywords and self.last is not None:
            return self.last
        signature, _ = signature_of(args, keywords)
        return self._specialise(signature, args, keywords)

    def trace(self, *args: Any, **keywords: Any) -> Table:
        """The evaluation trace with the values of a call, as a table; without arguments, formulas only."""
        from adcompile.inspect import table

        return table(self.subject(args, keywords))

    def source(self, *args: Any, **keywords: Any) -> str:
        """The readable Python of the program for the types of some arguments, or of the latest call."""
        from adcompile.inspect import source

        return source(self.subject(args, keywords))

    def stages(self, *args: Any, **keywords: Any) -> dict[str, str]:
        """The text of every stage, from the user's source to assembly (or PTX), by name and in order."""
        from adcompile.inspect import stages

        return stages(self.subject(args, keywords), self.options)

    def graph(self, *args: Any, **keywords: Any) -> Graph:
        """The computational graph of the function; ``jit(grad(f)).graph(…)`` draws that of its gradient."""
        from adcompile.inspect import graph

        return graph(self.subject(args, keywords))

    def subject(self, args: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None) -> Subject:
        """What `adcompile.inspect` looks at: a specialisation, with the values of a call where arguments are given."""
        from adcompile.inspect import Subject

        keywords = dict(keywords or {})
        compiled = self.specialisation(*args, **keywords)
        values = self._flat(compiled, signature_of(args, keywords)[1]) if args or keywords else None
        given, named = compiled.signature.structure.children
        names = argument_names(self.function, given.children, dict.fromkeys(named.keys))
        places = leaf_positions(compiled.signature, names, len(compiled.captures))
        params = compiled.primal.trace.params
        varied = tuple(p for group in places.params for p in group if p is not None and is_float(params[p].type))
        argnums = getattr(self.mode, "argnums", None)
        numbers = (argnums,) if isinstance(argnums, int | str) else argnums
        chosen = varied if numbers is None else tuple(p for a in numbers for p in places.floats(a))
        return Subject(self.function, self.mode, compiled.primal.trace, compiled.program.trace, chosen, varied, values)


def _compiled(
    signature: Signature, answer: recall.Answer, run: Callable[..., Any], look: Callable[[], tuple[Traced, Program]]
) -> Compiled:
    flatten = None if signature.is_flat else flattener(signature)
    captures = tuple((get, label) for _, get, label in answer.arrays)
    stale = watch(answer.dependencies)
    return Compiled(signature, run, flatten, answer.rebuild, captures, answer.names, answer.written, stale, look)


assert INLINE == "__adcompile_inline__"


@dataclass(frozen=True)
class Code:
    """A compiled program: from flat arguments to a tuple of flat results, and how it is linked where it is kept."""

    run: Callable[..., tuple[Any, ...]]
    linkage: list[Any]


def compile_program(program: Trace, options: Options) -> Code:
    """The code of a program, from the backend that the options name."""
    if options.backend == "python":
        from adcompile.backend import python

        return Code(python.compile(program), [])
    from adcompile.lower import executable, lower

    if options.backend == "numba":
        from adcompile.backend import numba

        return Code(numba.compile(executable(program), fastmath=options.fastmath), [])
    if options.backend == "cuda":
        from adcompile.backend import cuda

        return Code(cuda.compile(lower(program, vectors=False), fastmath=options.fastmath), [])
    from adcompile.backend import llvm

    lowered = executable(program, threads=options.parallel)
    compiled = llvm.compile(lowered, fastmath=options.fastmath, cache=options.cache)
    return Code(compiled.call, compiled.linkage.plain())


def argument_names(function: Any, args: Sequence[Any], keywords: dict[str, Any]) -> list[str]:
    """A name for every positional argument, then the keywords in order."""
    while isinstance(function, Transform):
        function = function.function
    try:
        parameters = list(inspect.signature(getattr(function, "py_func", function)).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    positional = [named[k] if k < len(named) else f"x{k + 1}" for k in range(len(args))]
    return [*positional, *sorted(keywords)]


__all__ = ["Array", "Compiled", "Options", "Results", "Scalar", "Transform", "flatten"]

"""The command line: ``python -m adcompile show FILE:FUNC`` prints what the methods of a transform return."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adcompile import disk
from adcompile.api import Options, Transform
from adcompile.errors import AdcompileError, InvalidArgument
from adcompile.inspect import graph, stages, table
from adcompile.inspect.stages import CUDA_STAGES, STAGES, stage
from adcompile.inspect.subject import Subject
from adcompile.modes import Gradient, Mode, Primal, Pullback, Tangent
from adcompile.tree import flatten

MODES: dict[str, Callable[[Sequence[Any]], Mode]] = {
    "primal": lambda args: Primal(),
    "forward": lambda args: Tangent(),
    "reverse": lambda args: Pullback(),
    "grad": lambda args: Gradient(_float_arguments(args)),
}
TEXTS = tuple(name.replace(" ", "-") for name in {**STAGES, **CUDA_STAGES})
"""What ``--stage`` takes; ``trace`` is the table of the lecture, with values."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        print(_show(options) if options.command == "show" else _cache(options.action))
    except (AdcompileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adcompile", description="Look into a function and its derivatives."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print a stage of a function or of its derivative")
    show.add_argument("target", metavar="FILE:FUNC", help="a Python file and the name of a function in it")
    show.add_argument("--mode", choices=MODES, help="what is asked of the function (default: primal)")
    show.add_argument("--stage", choices=(*TEXTS, "all"), help="what is printed (default: trace, the evaluation trace)")
    given = show.add_mutually_exclusive_group()
    given.add_argument("--args", metavar="VALUES", help='the arguments, as "1.5, np.ones(3)" (default: its defaults)')
    given.add_argument("--types", metavar="TYPES", help='their types only, as "float64[n,n], float"')
    show.add_argument("--graph", metavar="FILE", help="save the computational graph as .svg, .dot or .png")
    kept = commands.add_parser("cache", help="the folder of compiled programs")
    kept.add_argument("action", choices=("path", "clear"), help="print where it is, or empty it")
    return parser


def _cache(action: str) -> str:
    """What ``cache`` prints; ``clear`` deletes the files."""
    return str(disk.folder()) if action == "path" else f"deleted {disk.clear()} files from {disk.folder()}"


def _show(options: argparse.Namespace) -> str:
    """What a command prints."""
    function = load(options.target)
    subject = _subject(function, options)
    parts = []
    if options.graph:
        parts.append(f"wrote {graph(subject).save(options.graph)}")
    if options.stage or not options.graph:
        parts.append(_text(subject, options.stage or "trace"))
    return "\n".join(parts)


def _text(subject: Subject, name: str) -> str:
    if name == "trace":
        return str(table(subject))
    if name != "all":
        return stage(subject, name.replace("-", " ")).rstrip("\n")
    return "\n\n".join(f"==== {title} ====\n{text}".rstrip("\n") for title, text in stages(subject).items())


def _subject(function: Any, options: argparse.Namespace) -> Subject:
    args = _arguments(function, options)
    if options.mode or not isinstance(function, Transform):
        function = Transform(function, MODES[options.mode or "primal"](args), Options(backend="python"))
    if not options.types:
        return function.subject(args)
    function.specialisation(*args)
    return function.subject()


# -- the function -----------------------------------------------------------------------------------------------


def load(target: str) -> Any:
    """The function that ``FILE:FUNC`` names, its file run as a module."""
    file, _, name = target.rpartition(":")
    path = Path(file)
    if not file or not name:
        raise InvalidArgument(f"{target!r} names no function", remedy="Write FILE:FUNC.")
    if not path.is_file():
        raise InvalidArgument(f"there is no file {file!r}")
    spec = importlib.util.spec_from_file_location("__shown__", path)
    if spec is None or spec.loader is None:
        raise InvalidArgument(f"{file!r} is not a Python file", remedy="Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise InvalidArgument(f"{file} has no function {name!r}")
    return found


# -- its arguments ----------------------------------------------------------------------------------------------


def _arguments(function: Any, options: argparse.Namespace) -> tuple[Any, ...]:
    if options.args:
        return _evaluated(options.args)
    if options.types:
        return examples(options.types)
    while isinstance(function, Transform):
        function = function.function
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    missing = [p.name for p in parameters if p.default is p.empty]
    if missing:
        count = len(parameters)
        raise InvalidArgument(
            f"no values for {', '.join(missing)}",
            remedy=f'Give --args "{", ".join(["1.5"] * count)}" or --types "{", ".join(["float"] * count)}".',
        )
    return tuple(p.default for p in parameters)


def _evaluated(text: str) -> tuple[Any, ...]:
    try:
        return eval(f"({text},)", {"np": np})
    except Exception as error:
        raise InvalidArgument(f"cannot evaluate --args {text!r}: {error}", remedy="Use literals and np.….") from error


def examples(text: str) -> tuple[Any, ...]:
    """Arguments of some types: ``float64[n, 1], int`` gives an array of ones and an int; a letter is one size."""
    sizes: dict[str, int] = {}
    return tuple(_example(t.strip(), sizes) for t in re.findall(r"[^,\[\]]+(?:\[[^\]]*\])?", text) if t.strip())


def _example(text: str, sizes: dict[str, int]) -> Any:
    match = re.fullmatch(r"(\w+)\s*(?:\[([\w\s,]*)\])?", text)
    if match is None or match[1] not in (*_PYTHON, *_NUMPY):
        raise InvalidArgument(f"{text!r} is no type", remedy="Use float, int, float32, float64[n, m], ….")
    kind, dims = match[1], match[2]
    if dims is None:
        return _PYTHON[kind] if kind in _PYTHON else np.dtype(kind).type(1)
    shape = [int(d) if d.isdigit() else sizes.setdefault(d, 3 + len(sizes)) for d in map(str.strip, dims.split(","))]
    return np.ones(shape, {"float": "float64", "int": "int64"}.get(kind, kind))


_PYTHON = {"float": 1.0, "int": 1, "bool": True}
_NUMPY = ("float32", "float64", "int32", "int64")


def _float_arguments(args: Sequence[Any]) -> int | tuple[int, ...]:
    """The positions of the arguments that hold floats only."""
    found = tuple(k for k, a in enumerate(args) if all(_is_float(leaf) for leaf in flatten(a)[0]))
    return found[0] if len(found) == 1 else found


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, float) or (isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f")


if __name__ == "__main__":
    raise SystemExit(main())

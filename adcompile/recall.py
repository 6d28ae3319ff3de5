"""Programs on disk: from a function and the types of its arguments to compiled code, without tracing.

A `Question` hashes what is known before a trace: the function, what is asked of it, the types of the arguments, and the
versions of everything that compiles. The answer on disk names the dependencies that a trace had, in the order in which
it met them, with a hash of each value's description (`adcompile.durable`). Where all of them are found again with the
same descriptions, a new trace would be the same, so its object code is linked and called. Anything else is no answer:
the function is traced, and the new answer is kept beside the older ones.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adcompile import disk
from adcompile.durable import Describer, NotDurable
from adcompile.frontend.dependencies import Access, Dependency, Surroundings
from adcompile.primitives.registry import is_extended
from adcompile.tree import LEAF, Structure, flatten

MOST_ANSWERS = 8
"""Kept for one question: a function that is traced with other values of its globals in turn."""
_IMPORTED = time.time()


@dataclass(frozen=True)
class Question:
    """The name of the file with the answers, and the objects that were met in asking."""

    file: str
    describer: Describer


@dataclass(frozen=True, eq=False)
class Answer:
    """What a trace and the compilation of its program gave.

    Attributes
    ----------
    dependencies, arrays : what was taken from outside; see `Surroundings`.
    rebuild : from flat results to what the user gets.
    names, written : of the params, and the positions of those whose array the function writes into.
    linkage : how the object code is linked; see `adcompile.backend.llvm.linking`.
    """

    dependencies: Sequence[Dependency]
    arrays: Sequence[tuple[Any, Callable[[], Any], str]]
    rebuild: Callable[[Sequence[Any]], Any]
    names: tuple[str, ...]
    written: tuple[int, ...]
    linkage: list[Any]


def ask(*about: Any) -> Question | None:
    """The question about a function, a mode, options and a signature; None where there can be no answer."""
    if is_extended():
        return None
    tool = _tool()
    describer = Describer()
    try:
        described = describer.each(about)
    except NotDurable:
        return None
    return None if tool is None else Question(f"{disk.key(tool, _json().dumps(described))}.program", describer)


def find(question: Question) -> Answer | None:
    """The answer that holds now."""
    return next((found for record in _records(question) if (found := _replay(record, question.describer.copy()))), None)


def _records(question: Question) -> list[dict[str, Any]]:
    content = disk.read(question.file)
    return [] if content is None else _json().loads(content)


def _taken(describer: Describer, reference: Any, kind: str, name: str) -> tuple[Access, Any, str] | None:
    """A dependency as it is now, and its mark; None where it cannot be taken, or not be described any more."""
    try:
        access = Access(kind, describer.held(reference), name)
        value = access.getter()()
        return access, value, _mark(describer, value)
    except Exception:  # whatever an import or a property of the user's raises: tracing will, with its place
        return None


def _replay(record: dict[str, Any], describer: Describer) -> Answer | None:
    """Take every dependency again, as the trace did; None at the first that differs."""
    outside = Surroundings()
    for reference, kind, name, label, lasting, mark in record["dependencies"]:
        taken = _taken(describer, reference, kind, name)
        if taken is None or taken[2] != mark:
            return None
        access, value, _ = taken
        if lasting:
            outside.depend(value, access, label, lasting)
        else:
            list(outside.take(value, access, label))
    rebuild = _rebuilder(_structure(record["results"][0], describer), record["results"][1])
    names, written = tuple(record["names"]), tuple(record["written"])
    dependencies, arrays = tuple(outside.dependencies.values()), tuple(outside.arrays.values())
    return Answer(dependencies, arrays, rebuild, names, written, record["linkage"])


def keep(question: Question, answer: Answer, count: int) -> None:
    """Write an answer, of a program with so many results, where every part of it means the same in another process."""
    try:
        record = _record(answer, count, question.describer.copy())
    except NotDurable:
        return
    if any(d.changed() for d in answer.dependencies if not d.lasting):
        return
    older = [r for r in _records(question) if r["dependencies"] != record["dependencies"]]
    disk.write(question.file, _json().dumps([record, *older[: MOST_ANSWERS - 1]]).encode())


def _record(answer: Answer, count: int, describer: Describer) -> dict[str, Any]:
    dependencies = []
    for d in answer.dependencies:
        if d.access.kind != "same":  # follows from the arrays
            reference = describer.refer(d.access.holder)
            mark = _mark(describer, d.value)
            dependencies.append([reference, d.access.kind, d.access.name, d.label, d.lasting, mark])
    return {
        "dependencies": dependencies,
        "results": _template(answer.rebuild, count, describer),
        "names": answer.names,
        "written": answer.written,
        "linkage": answer.linkage,
    }


def _json() -> Any:
    """The module, which is imported with the first program."""
    import json

    return json


def _mark(describer: Describer, value: Any) -> str:
    return disk.key(_json().dumps(describer.describe_taken(value)))


# -- results ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slot:
    """Stands for a flat result."""

    __adcompile_leaf__ = True

    position: int


def _template(rebuild: Callable[[Sequence[Any]], Any], count: int, describer: Describer) -> list[Any]:
    """The structure of what ``rebuild`` makes, and for each leaf the flat result it is, or its known value."""
    leaves, structure = flatten(rebuild([_Slot(k) for k in range(count)]))
    if any(type(leaf) not in (_Slot, *_JSON) for leaf in leaves):
        raise NotDurable("a result that is known while tracing")
    found = [["result", leaf.position] if isinstance(leaf, _Slot) else ["known", leaf] for leaf in leaves]
    return [_written(structure, describer), found]


_JSON = (type(None), bool, int, str)
"""What JSON gives back as it was."""


def _written(structure: Structure, describer: Describer) -> Any:
    if structure.kind is None:
        return None
    if any(type(key) not in _JSON for key in structure.keys):
        raise NotDurable("a key of a result")
    return [describer.refer(structure.kind), structure.keys, [_written(c, describer) for c in structure.children]]


def _structure(written: Any, describer: Describer) -> Structure:
    if written is None:
        return LEAF
    kind, keys, children = written
    return Structure(describer.held(kind), tuple(keys), tuple(_structure(c, describer) for c in children))


def _rebuilder(structure: Structure, leaves: Sequence[tuple[str, Any]]) -> Callable[[Sequence[Any]], Any]:
    """What makes the user's result from the flat ones."""
    if all(source == "result" and value == k for k, (source, value) in enumerate(leaves)):
        return (lambda values: values[0]) if structure is LEAF else structure.build
    return lambda values: structure.build([values[v] if source == "result" else v for source, v in leaves])


# -- what compiles ----------------------------------------------------------------------------------------------


@functools.cache
def _tool() -> str | None:
    """All that compiles, as a text; None where adcompile's own files have changed since it was imported."""
    from adcompile.backend.llvm import engine

    files = sorted(Path(__file__).parent.rglob("*.py"))
    if max(file.stat().st_mtime for file in files) > _IMPORTED:
        return None
    own = disk.key(*(file.read_text(encoding="utf-8") for file in files))
    return "\n".join([own, sys.version, sys.platform, np.__version__, engine.version(), *engine.host()])

"""What a subscript is: the static ``spec`` beside the dynamic parts of ``index``, ``store`` and ``accumulate``.

See `adcompile.primitives.indexing` for its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = tuple[tuple, ...]
FULL = ("slice", False, False, 1)


def split(spec: Spec, args: Sequence[Any]) -> list[tuple[tuple, tuple]]:
    """Pair every entry of ``spec`` with the arguments it consumes."""
    pairs, rest = [], list(args)
    for entry in spec:
        count = {"int": 1, "array": 1, "new": 0}.get(entry[0], sum(entry[1:3]) if entry[0] == "slice" else 0)
        pairs.append((entry, tuple(rest[:count])))
        rest = rest[count:]
    return pairs


def undone(spec: Spec, args: Sequence[Any], dims: Sequence[Any]) -> Spec | None:
    """The subscript that undoes one which only adds or drops dimensions of size 1 (its ints are 0); else None."""
    back: list[tuple] = []
    axis = 0
    for entry, given in split(spec, args):
        drops = entry[0] == "int" and dims[axis] == 1 and getattr(given[0], "value", None) in (0, -1)
        if not (entry == FULL or entry[0] == "new" or drops):
            return None
        back.append(FULL if entry == FULL else ("new",) if drops else ("int",))
        axis += entry[0] != "new"
    return tuple(back)


def subscript_text(spec: Spec, texts: Sequence[str]) -> str:
    """``1:-1, i, None``: the subscript as Python writes it."""
    words = []
    for entry, args in split(spec, texts):
        if entry[0] == "slice":
            given = list(args)
            start = given.pop(0) if entry[1] else ""
            stop = given.pop(0) if entry[2] else ""
            words.append(f"{start}:{stop}" + (f":{entry[3]}" if entry[3] != 1 else ""))
        else:
            words.append("None" if entry[0] == "new" else args[0])
    while len(words) > 1 and words[-1] == ":":
        words.pop()
    return ", ".join(words)


def advanced_position(spec: Spec) -> int | None:
    """Where the broadcast dimensions of array subscripts go among the kept ones; None without array subscripts."""
    kinds = [e[0] for e in spec]
    if "array" not in kinds:
        return None
    advanced = [i for i, k in enumerate(kinds) if k in ("int", "array")]
    contiguous = advanced[-1] - advanced[0] + 1 == len(advanced)
    return sum(k in ("slice", "new") for k in kinds[: advanced[0]]) if contiguous else 0


def assembled(spec: Spec, kept: Sequence[Any], advanced: Sequence[Any]) -> tuple:
    """What belongs to the kept and the broadcast dimensions, in the order of the result's dimensions."""
    position = advanced_position(spec)
    if position is None:
        return tuple(kept)
    return (*kept[:position], *advanced, *kept[position:])

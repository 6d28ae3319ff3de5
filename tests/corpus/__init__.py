"""The programs that every backend must differentiate right; grows with every bug."""

from tests.corpus import (
    branches,
    control,
    functions,
    helpers,
    inplace,
    loops,
    physics,
    straight,
    sweeps,
    updates,
    values,
)
from tests.corpus.program import PROGRAMS, Program

__all__ = [
    "PROGRAMS",
    "Program",
    "branches",
    "control",
    "functions",
    "helpers",
    "inplace",
    "loops",
    "physics",
    "straight",
    "sweeps",
    "updates",
    "values",
]

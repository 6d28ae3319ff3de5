"""One record per primitive, the algebra that rules are written in, and NumPy's names for them.

Importing this package registers everything.
"""

from adcompile.primitives import array, buffer, indexing, scalar
from adcompile.primitives.algebra import Emitter, Handle
from adcompile.primitives.registry import EXPANSIONS, PRIMITIVES, Primitive, define, expansion, find

__all__ = [
    "EXPANSIONS",
    "PRIMITIVES",
    "Emitter",
    "Handle",
    "Primitive",
    "array",
    "buffer",
    "define",
    "expansion",
    "find",
    "indexing",
    "scalar",
]

"""One record per primitive, the algebra that rules are written in, and NumPy's names for them.

Importing this package registers everything.
"""

from adcompile.primitives import array, assembly, buffer, indexing, reductions, scalar
from adcompile.primitives.algebra import Emitter, Handle
from adcompile.primitives.numpy_names import (
    ATTRIBUTES,
    METHODS,
    VIEWS,
    resolve_subscript,
    store_subscript,
    subscript,
)
from adcompile.primitives.registry import EXPANSIONS, PRIMITIVES, Primitive, define, expansion, find

__all__ = [
    "ATTRIBUTES",
    "EXPANSIONS",
    "METHODS",
    "PRIMITIVES",
    "VIEWS",
    "Emitter",
    "Handle",
    "Primitive",
    "array",
    "assembly",
    "buffer",
    "define",
    "expansion",
    "find",
    "indexing",
    "reductions",
    "resolve_subscript",
    "scalar",
    "store_subscript",
    "subscript",
]

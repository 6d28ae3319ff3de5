"""NumPy's names, and those of ``math``, Python and SciPy: importing this module registers every expansion.

A table of contents, split by idea: what each name expands into is in the module named here.
"""

from adcompile.primitives import (
    linear_algebra,
    math_names,
    numpy_calculus,
    numpy_creation,
    numpy_elementwise,
    numpy_products,
    numpy_rearranging,
    numpy_reductions,
    numpy_shapes,
    numpy_statistics,
    scipy_names,
)
from adcompile.primitives.method_names import ATTRIBUTES, METHODS, VIEWS
from adcompile.primitives.subscripts import resolve_subscript, store_subscript, subscript

__all__ = [
    "ATTRIBUTES",
    "METHODS",
    "VIEWS",
    "linear_algebra",
    "math_names",
    "numpy_calculus",
    "numpy_creation",
    "numpy_elementwise",
    "numpy_products",
    "numpy_rearranging",
    "numpy_reductions",
    "numpy_shapes",
    "numpy_statistics",
    "resolve_subscript",
    "scipy_names",
    "store_subscript",
    "subscript",
]

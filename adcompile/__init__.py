"""adcompile: source-transformation automatic differentiation of NumPy-style Python."""

from adcompile.errors import (
    AdcompileError,
    InvalidArgument,
    InvalidTrace,
    MissingRule,
    NotDifferentiable,
    ShapeMismatch,
    SourceUnavailable,
    StaticValueRequired,
    UnsupportedAlias,
    UnsupportedDtype,
    UnsupportedSyntax,
)
from adcompile.functions import (
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jit,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)

__version__ = "0.1.0"
__all__ = [
    "AdcompileError",
    "InvalidArgument",
    "InvalidTrace",
    "MissingRule",
    "NotDifferentiable",
    "ShapeMismatch",
    "SourceUnavailable",
    "StaticValueRequired",
    "UnsupportedAlias",
    "UnsupportedDtype",
    "UnsupportedSyntax",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]

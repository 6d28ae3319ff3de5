"""adcompile: source-transformation automatic differentiation of NumPy-style Python."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from adcompile.checkpointing import checkpoint, checkpointed
from adcompile.custom import custom_jvp, custom_vjp
from adcompile.errors import (
    AdcompileError,
    InvalidArgument,
    InvalidTrace,
    MissingDevice,
    MissingRule,
    NotDifferentiable,
    ShapeMismatch,
    SourceUnavailable,
    StaticValueRequired,
    UnsupportedAlias,
    UnsupportedDtype,
    UnsupportedSyntax,
)
from adcompile.fixed_points import fixed_point
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
    vmap,
)

if TYPE_CHECKING:
    from adcompile.symbolic import verify
    from adcompile.testing import check_grads

__version__ = "0.1.0"
__all__ = [
    "AdcompileError",
    "InvalidArgument",
    "InvalidTrace",
    "MissingDevice",
    "MissingRule",
    "NotDifferentiable",
    "ShapeMismatch",
    "SourceUnavailable",
    "StaticValueRequired",
    "UnsupportedAlias",
    "UnsupportedDtype",
    "UnsupportedSyntax",
    "check_grads",
    "checkpoint",
    "checkpointed",
    "custom_jvp",
    "custom_vjp",
    "fixed_point",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "verify",
    "vjp",
    "vmap",
]

_LAZY = {"verify": "adcompile.symbolic", "check_grads": "adcompile.testing"}
"""Names whose modules are imported on first use: SymPy takes half a second."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'adcompile' has no attribute {name!r}")

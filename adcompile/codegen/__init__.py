"""Trace → readable Python source with a line map."""

from adcompile.codegen.python import Source, emit

__all__ = ["Source", "emit"]

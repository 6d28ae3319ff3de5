"""Trace → Trace: forward tangents, reverse adjoints, Jacobians, and the clean-up after them."""

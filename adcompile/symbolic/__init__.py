"""Proofs with SymPy: of every elementwise derivative record, and of the programs generated from them.

The only importer of SymPy; nothing in adcompile imports this package before `adcompile.verify` or a proof is asked for.
"""

from adcompile.symbolic.proofs import Proof, RefutedPartial, proof_table, prove_partials, prove_primitive
from adcompile.symbolic.report import Finding, Report
from adcompile.symbolic.verify import verify

__all__ = [
    "Finding",
    "Proof",
    "RefutedPartial",
    "Report",
    "proof_table",
    "prove_partials",
    "prove_primitive",
    "verify",
]

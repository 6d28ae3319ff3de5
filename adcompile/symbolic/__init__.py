"""Proofs with SymPy: of every elementwise derivative record, and of the programs generated from them.

"""

from adcompile.symbolic.proofs import Proof, proof_table, prove_partials, prove_primitive


"""The programs that every backend must differentiate right; grows with every bug."""

from tests.corpus import loops, straight, updates
from tests.corpus.program import PROGRAMS, Program

__all__ = ["PROGRAMS", "Program", "loops", "straight", "updates"]

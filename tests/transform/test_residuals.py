"""How much the adjoint of nested loops and branches records: counted in equations."""

import itertools

import numpy as np
import pytest

import adcompile
from adcompile.ir.core import walk
from tests.corpus.checks import difference

KNOTS = 8


def nested(tmp_path, depth):
    """A function of loops and branches, in turn, to some depth; each changes an element and a number."""
    lines, indent = ["import numpy as np", "def f(x, n):", "    a = x.copy()", "    p = 0.5"], "    "
    for level in range(depth):
        lines.append(indent + (f"if a[{level}] > 0.1:" if level % 2 else f"for i{level} in range(n):"))
        indent += "    "
        lines.append(f"{indent}a[{level}] = np.sin(a[{level}] * p + a[{level + 1}])")
        lines.append(f"{indent}p = np.tanh(p + a[{level}])")
    lines.append("    return p + np.sum(a)")
    path = tmp_path / f"nested_{depth}.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    space = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space["f"]

"""The lecture's example, y = [sin(x1/x2) + x1/x2 - exp(x2)] * [x1/x2 - exp(x2)] at (1.5, 0.5), by both modes.

Prints the three tables, compares the Jacobian with the derivatives by hand, draws the computational graph, and checks
every number of the lecture's slides. The slides compute with numbers rounded to four decimals, so the last decimal may
differ by one: 2.0167 there is 2.0166 here, and -13.7239 is -13.7240.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import adcompile

POINT = (1.5, 0.5)
DECIMALS = 4
OUTPUT = Path(__file__).parent / "output"

PRIMAL = [
    ("x1", 1.5), ("x2", 0.5), ("v1", 3.0), ("v2", 0.1411), ("v3", 1.6487), ("v4", 1.3513), ("v5", 1.4924),
    ("v6", 2.0167), ("y", 2.0167),
]  # fmt: skip
FORWARD = [
    ("x1_dot", 1.0), ("x2_dot", 0.0), ("v1_dot", 2.0), ("v2_dot", -1.98), ("v3_dot", 0.0), ("v4_dot", 2.0),
    ("v5_dot", 0.02), ("v6_dot", 3.0118), ("y_dot", 3.0118),
]  # fmt: skip
REVERSE = [
    ("y_bar", 1.0), ("v6_bar", 1.0), ("v5_bar", 1.3513), ("v4_bar", 1.4924), ("v4_bar", 2.8437), ("v2_bar", 1.3513),
    ("v3_bar", -2.8437), ("v1_bar", 2.8437), ("x2_bar", -4.6884), ("v1_bar", 1.5059), ("x2_bar", -13.7239),
    ("x1_bar", 3.0118),
]  # fmt: skip


def f(x1, x2):
    return (np.sin(x1 / x2) + (x1 / x2 - np.exp(x2))) * (x1 / x2 - np.exp(x2))


def by_hand(x1, x2):
    """Both partial derivatives of ``f``, by the product and chain rules."""
    quotient, power = x1 / x2, math.exp(x2)
    left, right = math.sin(quotient) + quotient - power, quotient - power
    in_x1 = (math.cos(quotient) + 1) / x2 * right + left / x2
    in_x2 = -((math.cos(quotient) + 1) * quotient / x2 + power) * right - left * (quotient / x2 + power)
    return in_x1, in_x2


def check(what: str, found: Sequence[float], expected: Sequence[float], tolerance: float) -> bool:
    """Print whether all numbers agree."""
    good = len(found) == len(expected) and all(
        math.isclose(a, b, rel_tol=0.0, abs_tol=tolerance) for a, b in zip(found, expected, strict=True)
    )
    print(f"{'OK ' if good else 'OFF'} {what}")
    return good


def check_table(what: str, table, expected: list[tuple[str, float]]) -> bool:
    """Compare the rows of a table whose names the lecture has, in the lecture's order."""
    names = {name for name, _ in expected}
    rows = [row for row in table.rows if row.name in names]
    same_order = [row.name for row in rows] == [name for name, _ in expected]
    found, printed = ([round(v * 10**DECIMALS) for v in values] for values in (_values(rows), [v for _, v in expected]))
    return check(f"{what}: {len(expected)} numbers", found if same_order else [], printed, 1)


def _values(rows) -> list[float]:
    return [float(row.value) for row in rows]


def main() -> int:
    primal, forward, reverse = (
        t.trace(*POINT) for t in (adcompile.jit(f), adcompile.jacfwd(f), adcompile.grad(f, (0, 1)))
    )
    print(primal, forward, reverse, sep="\n\n", end="\n\n")

    by_columns = adcompile.jacfwd(f, (0, 1))(*POINT)
    by_rows = adcompile.jacrev(f, (0, 1))(*POINT)
    print(f"Jacobian by columns (forward) {by_columns[0]:.10f} {by_columns[1]:.10f}")
    print(f"Jacobian by rows (reverse)    {by_rows[0]:.10f} {by_rows[1]:.10f}")
    print("Jacobian by hand              {:.10f} {:.10f}\n".format(*by_hand(*POINT)))

    OUTPUT.mkdir(exist_ok=True)
    graph = adcompile.jit(f).graph(*POINT)
    for suffix in ("png", "svg"):
        print(f"wrote {graph.save(OUTPUT / f'evaluation_trace.{suffix}')}")

    outcomes = [
        check_table("evaluation trace", primal, PRIMAL),
        check_table("forward mode, primal rows", forward, PRIMAL),
        check_table("forward mode, tangent rows", forward, FORWARD),
        check_table("reverse mode, primal rows", reverse, PRIMAL),
        check_table("reverse mode, adjoint rows", reverse, REVERSE),
        check("forward mode against the derivatives by hand", by_columns, by_hand(*POINT), 1e-12),
        check("reverse mode against the derivatives by hand", by_rows, by_hand(*POINT), 1e-12),
    ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())

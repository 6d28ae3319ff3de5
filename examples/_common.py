"""What the examples share: the fast setting, colours, saving a picture, and a check that exits on failure."""

import os
import sys
from pathlib import Path

import matplotlib

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the products here are small: a second thread only waits
matplotlib.use("Agg")
import matplotlib.pyplot as plt

FAST = "--quick" in sys.argv or os.environ.get("ADCOMPILE_EXAMPLE_FAST") == "1"
OUTPUT = Path(__file__).parent / "output"

# The colour-blind safe palette of Okabe and Ito (2008).
BLACK, ORANGE, SKY, GREEN, BLUE, RED = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"

plt.rcParams.update(
    {
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "figure.dpi": 100,
        "savefig.dpi": 150,
        "figure.constrained_layout.use": True,
    }
)


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure to ``examples/output/<name>.png`` and say so."""
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / f"{name}.png")
    plt.close(figure)
    print(f"picture: examples/output/{name}.png")


def check(what: str, passed: bool) -> None:
    """Print one line with the verdict; end the program with exit code 1 where a check fails."""
    print(f"{'ok    ' if passed else 'FAILED'} {what}")
    if not passed:
        sys.exit(1)

"""What the tests of checkpointing share."""

import numpy as np
import pytest

SNAPSHOTS = pytest.mark.parametrize("k", [1, 2, 3, 5])


U = np.array([0.0, 0.4, -0.9, 1.3])


def counting_step(u):
    """An iteration whose first element counts the iterations before it."""
    v = np.sin(u)
    v[0] = u[0] + 1.0
    return v

"""What the tests of changed surroundings share."""

import numpy as np

import adcompile

RATE = 2.0


class Checked:
    """The transforms of a function of one argument, and a comparison of all of them with what is expected."""

    def __init__(self, function, backend="llvm", at=2.0):
        self.at = at
        self.jit = adcompile.jit(function, backend=backend)
        self.grad = adcompile.grad(function, backend=backend)
        self.both = adcompile.value_and_grad(function, backend=backend)

    def gives(self, value, gradient):
        """Every transform gives the value and the gradient, twice in a row: as recompiled and as compiled."""
        for _ in range(2):
            np.testing.assert_allclose(self.jit(self.at), value, rtol=1e-14)
            np.testing.assert_allclose(self.grad(self.at), gradient, rtol=1e-14)
            found = self.both(self.at)
            np.testing.assert_allclose(found[0], value, rtol=1e-14)
            np.testing.assert_allclose(found[1], gradient, rtol=1e-14)

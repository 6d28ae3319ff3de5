"""What the tests of batches share."""

import numpy as np

from adcompile.tree import flatten

FAST = ("python", "llvm")


R = np.random.default_rng(4)


XS = R.uniform(0.3, 1.5, (3, 4))


def in_loop(function, *columns):
    """The results of single calls, stacked."""
    return np.stack([function(*elements) for elements in zip(*columns, strict=True)])


def assert_stacked(found, singles, rtol):
    """A batch of results against the results of the calls, leaf by leaf."""
    got, structure = flatten(found)
    wanted = [flatten(s) for s in singles]
    assert all(s == structure for _, s in wanted)
    for leaf, column in zip(got, zip(*(w for w, _ in wanted), strict=True), strict=True):
        if column[0] is None or isinstance(column[0], str):
            assert leaf == column[0]
            continue
        want = np.stack(column)
        assert np.shape(leaf) == want.shape
        scale = rtol * max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(np.asarray(leaf, float), np.asarray(want, float), rtol=rtol, atol=scale)

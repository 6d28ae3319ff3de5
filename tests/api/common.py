"""Functions and data that the tests of the public transforms share."""

import dataclasses
from collections import namedtuple

import numpy as np

BACKENDS = ("python", "llvm")


def product(x, y, n=2):
    return x * y**n


def read_only(x):
    y = x.copy()
    y.flags.writeable = False
    return y


Pair = namedtuple("Pair", "w n")


P = np.array([0.5, -1.0, 2.0])


ALL_BACKENDS = ("python", "llvm", "numba")


def cubes(x, y):
    return np.sum(x**3 * y[0]) + y[1] ** 2 * x[0]


@dataclasses.dataclass
class Weights:
    w: np.ndarray
    b: float


def as_dict(p):
    return np.sum(p["z"]) * p["a"]

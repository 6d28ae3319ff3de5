"""A function of numbers whose gradient kernels call."""

import math


def wave(x, y):
    return math.sin(x * y) ** 2

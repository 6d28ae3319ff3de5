"""Loops that end at run time, jumps, branches on active values."""

import math

import numpy as np

from tests.corpus.program import add, positives, program


def array_and(*rest, n=6):
    """An array of n, then inactive values."""
    return lambda r: (r.normal(size=n), *rest)


def steps(*counts):
    """A float and some ints."""
    return lambda r: (r.normal(), *counts)


# -- while, break, continue, return -----------------------------------------------------------------------------


@program(lambda r: (r.uniform(1.0, 1.5),))
def while_loop(x):
    y = x
    while y < 20.0:
        y = y * x + 1.0
    return y


@program(lambda r: (r.uniform(1.0, 1.5), 0))
def while_zero_trips(x, n):
    k = 0
    while k < n:
        x = x * 2.0
        k += 1
    return x


@program(lambda r: (r.normal(size=6), 4))
def while_counted(x, n):
    k, s = 0, 0.1
    while k < n:
        s = math.sin(s + x[k]) * x[k + 1]
        k = k + 1
    return s


@program(positives(()))
def newton_sqrt(a):
    x = a
    while abs(x * x - a) > 1e-10:
        x = 0.5 * (x + a / x)
    return x


@program(lambda r: (r.uniform(0.2, 0.6, size=7),))
def loop_break(x):
    s = 0.0
    for k in range(len(x)):
        s += x[k] * x[k]
        if s > 0.5:
            break
        s = s * 1.1
    return s


@program(array_and(n=7))
def loop_continue(x):
    s = 0.1
    for v in x:
        if v < 0:
            continue
        s = s * v + math.sin(v)
    return s


@program(array_and(n=7))
def loop_return(x):
    s = 0.1
    for k in range(len(x)):
        s = s + x[k] ** 2
        if s > 2.0:
            return s * x[0]
    return s


@program(array_and(2))
def loop_return_tuple(x, n):
    y = x * 2.0
    for k in range(len(x)):
        y[k] = math.sin(y[k])
        if k == n:
            return y[k] * x[0], (y * x, x)
    return x[1], (x, y * 2.0)


@program(lambda r: (r.normal(size=(3, 4)),))
def nested_break(a):
    s = 0.0
    for i in range(3):
        for j in range(4):
            if a[i, j] > 0.8:
                break
            s += a[i, j] * (j + 1) * s + a[i, 0]
        s = s * 0.5
    return s


@program(lambda r: (r.uniform(0.3, 0.9),))
def while_true_break(x):
    y = 1.0
    while True:
        y = y * x
        if y < 0.1:
            break
    return y


@program(array_and(n=6))
def break_else(x):
    s = 1.0
    for v in x:
        if v > 50.0:
            break
        s = s * math.cos(v)
    else:
        s = s + x[0]
    return s


@program(array_and(n=6))
def continue_and_break(x):
    s = 0.0
    k = 0
    while True:
        k += 1
        if k % 2 == 0:
            continue
        if k > 5:
            break
        s += x[k] * s + x[k]
    return s


@program(lambda r: (r.uniform(0.5, 1.0, size=5), 3))
def nested_while(x, n):
    s = 0.0
    for k in range(n):
        y = x[k]
        while y < 3.0:
            y = y * 1.5 + x[k + 1] * 0.1
        s += y * y
    return s


# -- branches ---------------------------------------------------------------------------------------------------


def branch_scalar(x, y):
    if x > y:
        z = x * y
    elif x > -100.0:
        z = math.sin(x) + y
    else:
        z = y
    return z * x


add("branch_scalar_then", branch_scalar, lambda r: (1.5, 0.3))
add("branch_scalar_else", branch_scalar, lambda r: (0.3, 1.5))


@program(array_and())
def branch_in_loop(x):
    s = 0.2
    for k in range(len(x)):
        if x[k] > 0:
            s = s * x[k]
        else:
            s -= x[k] ** 3
    return s


@program(array_and(3))
def branch_on_index(x, n):
    s = 0.2
    for k in range(6):
        if k < n:
            s = s * x[k] + 1
        elif k == 4:
            s = s + x[k] * x[0]
    return s


@program(array_and())
def branch_on_array(x):
    if np.sum(x) > -100.0:
        x = np.sin(x)
    y = x if x[0] > 100.0 else x * x
    return y


@program(array_and())
def conditional_expression(x):
    s = x[0] if x[1] > 0 else x[2] * x[3]
    return s * (x[4] if s > 0 else -x[5])


def early_return(x, y):
    if x < 0:
        return -x * y
    z = x + y
    if z > 1.0:
        return z * z
    return math.sin(z)


add("early_return_first", early_return, lambda r: (-0.7, 0.4))
add("early_return_second", early_return, lambda r: (0.8, 0.6))
add("early_return_last", early_return, lambda r: (0.3, 0.2))


@program(lambda r: (-0.5, 1.3))
def untaken_branch_is_nan(x, y):
    if x > 0.0:
        z = math.log(x) / x
    else:
        z = y
    return z * y


@program(lambda r: (np.array([-1.0, -0.5, 2.0]),))
def guarded_sqrt(x):
    s = 0.0
    for v in x:
        if v > 0:
            s += math.sqrt(v)
    return s


@program(array_and())
def branch_both_assign_arrays(x):
    if x[0] > 0:
        y, s = x * x, 2.0
    else:
        y, s = np.cos(x), x[1]
    return y * s


@program(array_and())
def boolean_operators(x):
    s = 0.0
    for k in range(1, len(x) - 1):
        if (x[k] > x[k - 1] and x[k] > x[k + 1]) or not x[k] > -0.5:
            s += x[k] ** 2
    return s


@program(lambda r: (r.normal(), r.normal(size=3), True, None))
def static_branches(x, v, flag, nothing):
    if flag:
        x = x * 2
    if nothing is None:
        v = v + 1
    if isinstance(v, np.ndarray) and v.ndim == 1:
        x = x + v[0]
    return x * v


@program(positives(()))
def piecewise_sequence(x):
    y = 0.0 if x < 0.1 else x
    y = min(y, 10.0) * max(x, 0.01)
    return y if y > 1e-3 else 0.0


@program(array_and(n=5))
def maximum_by_hand(x):
    best = x[0]
    for v in x:
        if v > best:
            best = v
    return best * best


@program(array_and(n=5))
def argmax_by_hand(x):
    place = 0
    for k in range(1, len(x)):
        if x[k] > x[place]:
            place = k
    return x[place] ** 2


@program(array_and(n=5))
def argmax_index(x):
    return x[np.argmax(x)] * x[np.argsort(x)[0]] + x[int(np.argmin(np.abs(x)))]


@program(array_and(3))
def helper_with_loop(x, n):
    def smooth(v, m):
        for _ in range(m):
            v = 0.5 * v + 0.25 * (np.roll(v, 1) + np.roll(v, -1)) * v
        return v

    s = 0.0
    for k in range(n):
        s += np.sum(smooth(x, k) ** 2)
    return s


@program(steps(5))
def recursion_on_static_depth(x, n):
    def horner(depth):
        return 1.0 if depth == 0 else 1.0 + x * horner(depth - 1) / depth

    return horner(4) * n

"""Loops and branches that return one float: what exits where, what is carried, what is only sometimes set."""

import math

import numba
import numpy as np

from tests.corpus.program import add, scalar


def points(*shapes, low=0.4, high=1.4, extra=()):
    """Numbers and arrays away from zero, then inactive values."""
    return lambda r: (*(r.uniform(low, high) if s == () else r.uniform(low, high, size=s) for s in shapes), *extra)


def run_time_bounds(x, start, stop, step):
    s = 0.3
    for i in range(start, stop, step):
        for j in range(i, stop, step):
            s = math.sin(s + x[i] * x[j])
        s += x[start] * i
    return s * x[0]


for _place, _bounds in enumerate([(0, 5, 2), (5, 0, -1), (4, -1, -3), (3, 3, 1), (2, 4, -1), (0, 6, 7)]):
    add(f"run_time_bounds_{_place}", run_time_bounds, points(6, extra=_bounds), argnums=0)


@scalar(points((4, 4), extra=(4,)), 0)
def triangular_three_deep(a, n):
    s = 0.1
    for i in range(n):
        for j in range(i, n):
            t = a[i, j]
            for k in range(i - 1, -1, -1):
                t -= a[k, i] * a[k, j] * 0.3
            s += t * t
            if j == i + 1:
                s = s * math.cos(t)
    return s


@scalar(points((3, 4), 3), (0, 1))
def over_arrays_together(a, x):
    s, last = 0.0, np.zeros(4)
    for k, (row, v) in enumerate(zip(a, x), start=1):
        s += v * np.sum(row * last) + k * v
        last = row * v + last
        for w in row[::-2]:
            s += math.sin(w * v)
    return s


@scalar(points(6))
def over_tuples_and_dicts(x):
    s = 0.0
    for k, f in zip((0, 2, 5), (math.sin, math.cos, math.exp)):
        for name, c in {"a": 1.5, "bc": -0.5}.items():
            s = f(x[k] * c) + s * len(name) * x[k - 1]
    return s


@scalar(points(6, extra=(5,)), 0, "numba")
def prange_sum(x, n):
    s = 0.0
    for i in numba.prange(n):
        s += x[i] * math.sin(x[i + 1])
    return s


@scalar(points((), ()), (0, 1), "numba")
def while_of_two_kinds(x, y):
    k, s = 0, x
    while True:
        k += 1
        s = s * 0.7 + y
        if k >= 9:
            break
        if k % 3 == 0:
            continue
        s += math.sin(s) * x
    while s > 1.0:
        s = s * 0.5
        y = y * 1.1 + s
    return s * y


@scalar(points(6, extra=(6,)))
def while_in_for_with_return(x, n):
    total = x[0]
    for i in range(n):
        j = i
        while j > 0:
            total += x[j] * x[i - j] * 0.1
            j -= 2
            if total > 1e6:
                return total
        if total > 3.1 and i > 3:
            return total * x[i]
    return total**2


@scalar(points((4, 4), extra=(2.0,)))
def break_of_inner_and_outer(a, limit):
    s = 0.0
    for i in range(4):
        t = 0.0
        for j in range(4):
            if j > i + 1:
                break
            if (i + j) % 3 == 2:
                continue
            t += a[i, j] * a[j, i]
        else:
            s += 10.0 * t * a[0, 0]
        s += t
        if s > limit * 2.3:
            break
    else:
        s = s * a[3, 3]
    return s * s


@scalar(points(5, extra=(3,)))
def while_else(x, n):
    s, k = x[0], 0
    while k < n:
        s *= x[k] + 0.5
        k += 1
        if s > 1e9:
            break
    else:
        s += x[4] ** 3
    return s


def grades(x, y):
    if x > 1.0:
        z = x * y
    elif x > 0.0 and y > 0.0:
        z = math.log(x) * y
        if y > 1.0:
            z = z * z
        else:
            z = z - x
    elif x < -5.0 or y / x > 3.0:
        return x * y * y
    else:
        z = math.sin(x * y)
    return z * x + y


for _place, _point in enumerate([(1.5, 0.4), (0.5, 1.3), (0.5, 0.7), (-6.0, 0.3), (-0.1, -0.9), (-0.4, 0.7)]):
    add(f"grades_{_place}", grades, lambda r, point=_point: point, argnums=(0, 1))


@scalar(points(8))
def short_circuit_guards_index(x):
    s, i = 0.0, 0
    while i < len(x) and x[i] < 100.0:
        if (i + 2 < len(x) and x[i] < x[i + 2]) or i == 0:
            s += x[i] ** 2
        if not (i < 3 or x[i - 3] < x[i]):
            s *= 0.9
        i += 1
    return s


@scalar(points(6))
def chained_comparisons(x):
    s = 0.0
    for i in range(6):
        if 0.5 < x[i] <= 1.1 != x[0] and 1 <= i < 5:
            s += x[i] ** 3
        elif 0.0 < x[i] < x[i - 1] < 9.0:
            s += x[i - 1] * x[i]
    return s


def matching(x, n, kind):
    match n % 4:
        case 0:
            y = x * x
        case 1 | 2 if x[0] > 0.0:
            y = np.sin(x)
        case _:
            y = np.exp(-x)
    match kind:
        case "sum":
            return np.sum(y)
        case "mean" | "average":
            return np.mean(y) * x[1]
        case _:
            return y[0]


for _place, (_number, _kind) in enumerate([(4, "sum"), (2, "mean"), (7, "other")]):
    add(f"matching_{_place}", matching, points(3, extra=(_number, _kind)), argnums=0)


@scalar(points(4, extra=(3,)))
def checks_not_triggered(x, n):
    assert n > 0, "n must be positive"
    s = 0.0
    for i in range(n):
        if x[i] <= 0.0:
            raise ValueError(f"element {i} is not positive")
        s += math.log(x[i]) * x[i + 1]
        assert s < 1e6 and not math.isnan(s)
    return s


@scalar(points(6, extra=(4,)))
def variables_of_some_iterations(x, n):
    best, where, previous = x[0], 0, 0.0
    for i in range(n):
        current = x[i] * x[i + 1]
        if current > best:
            best, where = current, i
        if i > 0:
            best += 0.1 * previous
        previous = current
    return best * x[where]


@scalar(points(5, extra=(3,)))
def arrays_rebound_in_branches(x, n):
    u, v = x, x * 2.0
    for i in range(n):
        if u[i] < 0.9:
            u = u * 1.3
        elif i % 2:
            u, v = v, np.cos(u)
        else:
            v = np.roll(v, 1) * u
    return np.sum(u * v)


@scalar(points((), 4, extra=(5,)), (0, 1))
def containers_carried(s, x, n):
    state = {"pair": (s, x), "count": 0}
    for i in range(n):
        a, v = state["pair"]
        state = {"pair": (a * 0.5 + v[i % 4], v * math.cos(a)), "count": state["count"] + i}
    a, v = state["pair"]
    return a * state["count"] + np.sum(v)


@scalar(points(4, extra=(4,)))
def sizes_that_change(x, n):
    s = 0.0
    for i in range(n):
        head, tail = x[: i + 1], x[i:]
        s += np.sum(head[::-1] * head) * np.mean(tail)
        s = s + np.max(np.outer(head, tail))
    return s


@scalar(points((), extra=(0, 3)))
def zero_trips_everywhere(x, zero, n):
    s = x
    for i in range(zero):
        s = s * i
    for i in range(n):
        for j in range(zero, i - 5):
            s += j * x
        while s > 1e9:
            s *= 0.5
        s = s * x + 1
    return s


@scalar(points((3, 3), 3, extra=(np.array([3, 0, 2]), np.array([True, False, True]))), (0, 1))
def counts_and_flags_from_arrays(a, x, counts, flags):
    s = 0.0
    for i in range(3):
        if flags[i] and counts[i] > 1:
            for j in range(counts[i]):
                s += a[i, j] * x[j] * s + x[i]
        elif not flags[i]:
            s -= a[i, i] ** 2
    return s


@scalar(lambda r: (np.float32(0.8), r.uniform(0.5, 1.5, 4).astype(np.float32)), (0, 1), "float32")
def float32_carried(s, x):
    for v in x:
        s = s * v + np.float32(0.5)
        if s > 1.0:
            s = s * np.float32(0.5)
    return s

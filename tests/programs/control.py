"""Loops, branches and jumps."""

import numba
import numpy as np


def counted(x, n):
    s = 0
    for i in range(n):
        s += x[i] * x[i]
    return s


def no_trips(x, n):
    s = x[0]
    for i in range(n, 0):
        s = s * x[i]
    return s


def backwards(x, n):
    s = 1.0
    for i in range(n, 0, -1):
        s = s * x[i] + np.sin(s)
    return s


def strided(x, n):
    s = 1.0
    for i in range(0, n + 2, 2):
        s = s + x[i] * s
    return s


def run_time_step(x, n):
    s = 1.0
    for i in range(0, 6, n - 2):
        s = s * np.cos(x[i])
    return s


def multiplies(x, n):
    s = 1.0
    for i in range(n):
        s = s + np.sin(s * x[i]) * x[i]
    return s


def triangular(x, n):
    s = 0.0
    for i in range(n):
        for j in range(i + 1):
            s += x[i] * x[j] * np.sin(s)
            s += x[j]
    return s


def branch_in_loop(x, n):
    s = 0.0
    for i in range(n):
        s += x[i] * x[i]
        if s > 0.6:
            s = s * 0.5
    return s


def else_if(x, n):
    s = 0.0
    for i in range(6):
        if x[i] < 0.6:
            s += x[i]
        elif x[i] < 0.8:
            s += x[i] ** 2
        else:
            s *= x[i]
    return s


def chained(x, n):
    s = 0.0
    for i in range(6):
        if 0.55 < x[i] < 0.9 and i != 2:
            s += x[i] ** 3
    return s


def short_circuit(x, n):
    s = 0.0
    for i in range(8):
        if i < 6 and x[i] > 0.55:
            s += x[i] ** 2
    return s


def conditional(x, n):
    return sum(v * v if v > 0.7 else np.sin(v) for v in [x[0], x[1], x[2], x[3]])


def breaks(x, n):
    s = 0.1
    for i in range(n):
        if s > 1.5:
            break
        s = s + x[i] * x[i] * s + x[i]
    return s * x[0]


def continues(x, n):
    s = 0.0
    for i in range(n):
        if x[i] > 0.7:
            continue
        s += x[i] ** 2
    return s


def returns_inside(x, n):
    s = 0.0
    for i in range(n):
        s += x[i] ** 2
        if s > 1.0:
            return s * x[i]
    return s * s


def jumps_nested(x, n):
    s = 0.0
    for i in range(n):
        for j in range(i + 1):
            if j > 2:
                break
            if x[j] * s > 3.0:
                return s * x[j]
            s += x[i] * x[j]
        else:
            s = s * 1.1
    return s


def newton(x, n):
    y = x[0]
    while abs(y * y - x[0]) > 1e-12:
        y = 0.5 * (y + x[0] / y)
    return y * x[1]


def grows(x, n):
    i = 0
    s = 1.0
    while i < n and s < 10:
        s = s * (1 + x[i])
        i += 1
    return s


def many_iterations(x, n):
    s = x[0]
    k = 0
    while k < 100:
        s = s + 0.01 * np.sin(s) * x[1]
        k += 1
    return s


def relaxation(x, n):
    u = x.copy()
    error = 1.0
    while error > 1e-3:
        v = u.copy()
        v[1:-1] = 0.45 * (u[2:] + u[:-2])
        error = np.max(np.abs(v - u))
        u = v
    return np.sum(u * u)


def early(x, n):
    if x[0] > 0.9:
        return x[1] * 2
    if n < 0:
        raise ValueError("negative")
    assert n < 100
    return x[2] * np.sin(x[3])


def matches(x, n):
    s = 0.0
    for i in range(6):
        match i % 3:
            case 0:
                s += x[i]
            case 1 | 2:
                s *= x[i]
            case _:
                s += 100.0
    return s


def over_array(x, n):
    s = 0.0
    for v in x:
        s += v * v * s + v
    return s


def over_rows(x, n):
    s = 0.0
    for row in x.reshape(2, 3):
        s += np.sum(row * row) * row[0]
    return s


def enumerated(x, n):
    s = 0.0
    for i, v in enumerate(x):
        s += v**2 * i
    return s


def zipped(x, n):
    s = 0.0
    for a, b in zip(x[:-1], x[1:], strict=True):
        s += a * b * b
    return s


def parallel(x, n):
    s = 0.0
    for i in numba.prange(6):
        s += x[i] ** 3
    return s


def over_tuple(x, n):
    s = x[0]
    for w in (2.0, 3.0, 4.0):
        s = np.tanh(w * s * x[1])
    return s


def unused_branch(x, n):
    y = np.where(x > 2.0, np.sqrt(x - 2.0), x * x)
    return np.sum(y * x)


def branch_of_arrays(x, n):
    if x[0] > 0.1:
        y = x * x
    else:
        y = np.sin(x)
    return np.sum(y * x)


def state_in_tuple(x, n):
    s = (x[0], x[1])
    for _ in range(n):
        s = (s[0] + 0.1 * s[1], s[1] - 0.1 * np.sin(s[0]))
    return s[0] ** 2 + s[1]


def state_in_dict(x, n):
    state = {"u": x * 1.0, "v": np.zeros(x.shape[0])}
    for _ in range(n):
        state = {"u": state["u"] + 0.1 * state["v"], "v": state["v"] - 0.1 * np.sin(state["u"])}
    return np.sum(state["u"] ** 2)


def _returns_early(a, n):
    if n < 100:
        if a[0] > 10.0:
            return
    a[1] = 5.0 * a[0]


def nested_early_returns(x, n):
    u = x.copy()
    _returns_early(u, n)
    if n < 100:
        if x[0] > 10.0:
            return x[1]
    return u[1] * x[2]


def rebound_in_branch(x, n):
    u = x * 1.0
    for i in range(n):
        u[1:-1] *= 0.9
        if not i > 0:
            u = np.sin(u * 2)
    return np.sum(u * x)


def operands_of_and_or(x, n):
    return (x[0] and x[1]) * x[2] + (x[3] or x[4]) + (0.0 * x[5] or x[1])

"""Arrays under several names, decided at run time: CPython's result or a located refusal, never another number.

Each program ends by writing through one name and reading through another.
"""

import numpy as np
import pytest

import adcompile
from adcompile.errors import UnsupportedAlias, UnsupportedSyntax

X = np.array([0.5, -0.7, 0.95, 0.6, 0.8])
CAPTURED = np.ones(5)


# -- accepted: no write can be missed -------------------------------------------------------------------------------


def swap_in_a_branch(x, n):
    a, b = x * 1.0, x * 2.0
    if n > 1:
        a, b = b, a
    a[0] = 5.0
    return np.sum(a * x) + 2 * np.sum(b)


def swap_in_a_branch_seen_by_a_closure(x, n):
    a, b = x * 1.0, x * 2.0

    def total():
        return np.sum(a)

    if n > 1:
        a, b = b, a
    a[0] = 5.0
    return total() + 2 * np.sum(b)


def swap_in_a_loop(x, n):
    a, b = x * 1.0, x * 2.0
    for _ in range(n):
        a, b = b, a
    b[0] = 9.0
    return np.sum(b * x) + 2 * np.sum(a)


def swap_of_written_arrays_in_a_loop(x, n):
    a, b = x * 1.0, x * 2.0
    for i in range(n):
        a[i] += 0.5
        a, b = b, a
    a[0] = 9.0
    return np.sum(b) + 3 * np.sum(a * x)


def rotation_in_a_branch_of_a_loop(x, n):
    a, b, c = x * 1.0, x * 2.0, x * 3.0
    for i in range(n):
        if i % 2 == 0:
            a, b, c = c.copy(), a, b
        b[0] += 1.0
        c[1] *= 2.0
    return np.sum(a) + 2 * np.sum(b) + 3 * np.sum(c * x)


def rebound_in_a_branch_of_a_loop(x, n):
    u = x.copy()
    for i in range(n):
        u[1:-1] *= 0.5
        if u[0] > 0.1:
            u = np.sin(np.concatenate((u[:3], u[3:])))
        u[i] += 0.3
    return np.sum(u * u)


def source_chosen_in_a_loop(x, n):
    a, b, c = x * 1.0, x * 2.0, x * 3.0
    for i in range(n):
        if i % 2 == 0:
            source = a
        else:
            source = b
        c = c + source
        a[0] = c[1]
    return np.sum(c * x)


def returned_from_the_loop_that_writes_it(x, n):
    y = x.copy()
    for k in range(n):
        y[k] = 3.0 * np.sin(y[k])
        if y[k] > 1.0:
            return y
    return y * 2.0


def solve(a, n):
    y = a * 2.0
    for k in range(n):
        y[k] *= 1.5
        if y[k] > 1.0:
            return y
    return y


def own_array_of_a_helper_returned_from_a_loop(x, n):
    y = solve(x, n)
    y[0] = 4.0
    return np.sum(y * x)


def fill_until(a, limit):
    for i in range(3):
        a[i] = limit
        if np.mean(a) < limit:
            return


def bare_return_in_a_loop_of_a_helper(x, n):
    u = x.copy()
    fill_until(u, 0.4)
    return np.sum(u * x)


def first_above(x, limit, n):
    c = x.copy()
    for k in range(n):
        if c[0] > limit:
            return c, {"k": 2.0 * x[k], "c": c[1:] * 1.0}
        i = -1
        while i + 1 < n:
            i += 1
            if c[i] > 0.9:
                return c, {"k": x[i], "c": c[1:] * 1.0}
            c[:-1] = np.sin(c[1:])
    return c, {"k": x[0], "c": c[1:] * 1.0}


def containers_returned_from_nested_loops(x, n):
    c, more = first_above(x, 0.7, n)
    return np.sum(c) * more["k"] + np.sum(more["c"] ** 2)


def returns_in_unrolled_and_rolled_loops(x, n):
    r = 0.5
    for e in (0.3, -0.7):
        if n < 2:
            for _ in range(3):
                if e > r:
                    return r
    return r * x[0]


def variables_after_a_loop_that_runs(x, n):
    for i in range(3):
        t = x * (i + 1)
        t[0] += 1.0
    return np.sum(t * t) * i


def variables_after_a_loop_inside_a_loop(x, n):
    s = 0.0
    for j in range(n):
        for i in range(3):
            t = (x[i] * j, x[i + 1])
        s += t[0] * t[1]
    return s


def reshaped_in_fortran_order(x, n):
    y = np.sin(np.outer(x, x + n).T)
    flat = y.reshape(-1)
    flat[1] = 3.0
    return np.sum(y * x)


ACCEPTED = [
    swap_in_a_branch, swap_in_a_branch_seen_by_a_closure, swap_in_a_loop, swap_of_written_arrays_in_a_loop,
    rotation_in_a_branch_of_a_loop, rebound_in_a_branch_of_a_loop, source_chosen_in_a_loop,
    containers_returned_from_nested_loops,
    own_array_of_a_helper_returned_from_a_loop, bare_return_in_a_loop_of_a_helper,
    returns_in_unrolled_and_rolled_loops, variables_after_a_loop_that_runs, variables_after_a_loop_inside_a_loop,
]  # fmt: skip


# -- dangerous: a write could be missed -----------------------------------------------------------------------------


def two_names_for_what_a_loop_made(x, n):
    u, w = x * 1.0, x * 2.0
    for _ in range(2):
        u = np.sin(x)
        w = u
    u[0] = 5.0
    return np.sum(w)


def a_view_of_what_a_loop_made(x, n):
    u, w = x * 1.0, x * 2.0
    for _ in range(2):
        u = np.sin(x)
        w = u[1:]
    u[1] = 5.0
    return np.sum(w)


def older_array_in_a_loop(x, n):
    w, a = x * 2.0, x * 3.0
    for _ in range(n):
        w = a
    a[0] = 7.0
    return np.sum(w)


def older_array_written_after_a_loop(x, n):
    w, a = x * 2.0, x * 3.0
    for _ in range(n):
        w = a
    w[0] = 7.0
    return np.sum(a)


def two_names_on_both_paths(x, n):
    u = x * 1.0
    if n > 1:
        w = np.sin(u)
        u = w
    else:
        w = np.cos(u)
        u = w
    u[0] = 4.0
    return np.sum(w)


def two_names_on_one_path(x, n):
    u, w = x * 1.0, x * 2.0
    if n > 1:
        w = np.sin(u)
        u = w
    u[0] = 4.0
    return np.sum(w)


def twice(a, n):
    b = np.sin(a) if n > 1 else np.cos(a)
    if n > 1:
        c = b * 2.0
        return c, c
    d = b * 3.0
    return d, d


def a_pair_of_one_array(x, n):
    u, v = twice(x, n)
    v[0] = 3.0
    return np.sum(u)


def itself_or_a_copy(a, n):
    for i in range(n):
        if a[i] > 0.0:
            return a
    return a * 2.0


def argument_returned_from_a_loop(x, n):
    u = x * 1.0
    v = itself_or_a_copy(u, n)
    v[0] = 3.0
    return np.sum(u)


def swap_with_a_third_name(x, n):
    u, v = x * 1.0, x * 2.0
    w = v
    for _ in range(n):
        u, v = v, u
    u[0] = 9.0
    return np.sum(w)


def one_start_two_names(x, n):
    u = x * 1.0
    v = u
    for _ in range(n):
        u, v = np.sin(x), np.cos(x)
    v[0] = 9.0
    return np.sum(u)


def chosen_before_the_write(x, n):
    a, b, c = x * 1.0, x * 2.0, x * 3.0
    source = b
    for i in range(n):
        c = c + source
        if i % 2 == 0:
            source = a
        else:
            source = b
        a[0] = c[1]
    return np.sum(c)


def view_chosen_at_run_time(x, n):
    a = x * 1.0
    if n > 1:
        w = a[1:]
    else:
        w = a[:-1]
    a[1] = 7.0
    return np.sum(w)


def captured_or_new(x, n):
    u = CAPTURED
    if n > 1:
        u = np.sin(x)
    u[0] = 9.0
    return np.sum(CAPTURED * x)


def follower(x, n):
    u, v = x * 1.0, x * 2.0
    for _ in range(n):
        v = np.sin(v)
        u = v
    v[0] = 9.0
    return np.sum(u)


def chain_of_followers(x, n):
    u, v, w = x * 1.0, x * 2.0, x * 3.0
    for _ in range(n):
        w = u
        u = v
        v = v * 1.0 if x[0] > 100.0 else v
    v[0] = 9.0
    return np.sum(u) + np.sum(w)


def same_on_both_paths_and_moved_on_one(x, n):
    a, w = x * 1.0, x * 2.0
    if n > 1:
        w = a
        a = np.sin(x)
    else:
        w = a
    a[0] = 7.0
    return np.sum(w) + 2 * np.sum(a)


def both_names_for_one_on_a_path(x, n):
    a, b = x * 1.0, x * 2.0
    if n > 1:
        a, b = b, b
    a[0] = 5.0
    return np.sum(a) + 2 * np.sum(b)


def swap_seen_by_a_view(x, n):
    a, b = x * 1.0, x * 2.0
    w = a[1:]
    if n > 1:
        a, b = b, a
    a[1] = 5.0
    return np.sum(a) + 2 * np.sum(b) + 3 * np.sum(w)


def swap_seen_by_a_list(x, n):
    a, b = x * 1.0, x * 2.0
    pair = [a, b]
    if n > 1:
        a, b = b, a
    a[1] = 5.0
    return np.sum(pair[0]) + 2 * np.sum(pair[1])


def swap_seen_by_a_default(x, n):
    a, b = x * 1.0, x * 2.0

    def total(kept=a):
        return np.sum(kept)

    if n > 1:
        a, b = b, a
    a[1] = 5.0
    return total()


def swap_and_set(p, q, n):
    if n > 1:
        p, q = q, p
    p[0] = 5.0


def swap_in_a_helper(x, n):
    a, b = x * 1.0, x * 2.0
    swap_and_set(a, b, n)
    return np.sum(a) + 2 * np.sum(b)


def older_array_after_a_loop_that_runs(x, n):
    u = x * 1.0
    for _ in range(3):
        t = u
    t[0] = 5.0
    return np.sum(u)


def two_names_after_a_loop_that_runs(x, n):
    u = x * 1.0
    for _ in range(3):
        t = np.sin(u)
        w = t
    t[0] = 5.0
    return np.sum(w)


DANGEROUS = [f for name, f in list(globals().items()) if getattr(f, "__module__", "") == __name__
             and f not in ACCEPTED and f.__code__.co_varnames[:2] == ("x", "n")]  # fmt: skip


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("function", ACCEPTED)
def test_accepted(function, n):
    expected = function(X, n)
    for backend in ("python", "llvm"):
        np.testing.assert_allclose(adcompile.jit(function, backend=backend)(X, n), expected, rtol=1e-13)


@pytest.mark.parametrize("function", ACCEPTED)
def test_gradients_of_the_accepted(function):
    step = 1e-6
    ends = [(X + step * unit, X - step * unit) for unit in np.eye(X.size)]
    expected = [(function(above, 3) - function(below, 3)) / (2 * step) for above, below in ends]
    np.testing.assert_allclose(adcompile.grad(function)(X, 3), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("function", DANGEROUS)
def test_never_another_number(function, n):
    try:
        found = adcompile.jit(function, backend="python")(X, n)
    except (UnsupportedAlias, UnsupportedSyntax) as error:
        assert error.loc is not None
    else:
        expected = function(X, n)
        CAPTURED[:] = 1.0
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_the_dangerous_are_found():
    assert len(DANGEROUS) == 25


def test_variables_that_a_loop_may_leave_unset_are_refused():
    def on_one_path(x):
        for i in range(3):
            if x[i] > 0.0:
                t = x[i]
        return t

    def of_no_certain_trip(x, n):
        for i in range(n):
            t = x[i]
        return t

    for function, args in ((on_one_path, (X,)), (of_no_certain_trip, (X, 2))):
        with pytest.raises(UnsupportedSyntax, match="'t' is set"):
            adcompile.jit(function, backend="python")(*args)

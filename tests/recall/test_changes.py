"""What changes between two processes: the second one gives what the function gives now, and traces only where it must.

Each case is a module before and after a change; ``f`` is differentiated at 2.0.
"""

import math

import numpy as np
import pytest

import adcompile

BEFORE_AND_AFTER = {
    "body": ("def f(x): return x * x", "def f(x): return x * x * x", 4.0, 12.0),
    "constant of a body": ("def f(x): return 3.0 * x", "def f(x): return 4.0 * x", 3.0, 4.0),
    "helper": (
        "def h(x): return 2.0 * x\ndef f(x): return h(x) * x",
        "def h(x): return x * x\ndef f(x): return h(x) * x",
        8.0,
        12.0,
    ),
    "name of a helper": (
        "h = np.sin\ndef f(x): return h(x)",
        "h = np.cos\ndef f(x): return h(x)",
        np.cos(2),
        -np.sin(2),
    ),
    "global": ("R = 2.0\ndef f(x): return R * x", "R = 3.0\ndef f(x): return R * x", 2.0, 3.0),
    "int for float": ("R = 5.0\ndef f(x): return (R / 2) * x", "R = 4\ndef f(x): return (R / 2) * x", 2.5, 2.0),
    "bool for int": (
        "R = 1\ndef f(x): return x if R is True else 2.0 * x",
        "R = True\ndef f(x): return x if R is True else 2.0 * x",
        2.0,
        1.0,
    ),
    "numpy for python": (
        "R = 2\ndef f(x): return x if isinstance(R, int) else 3.0 * x",
        "R = np.int64(2)\ndef f(x): return x if isinstance(R, int) else 3.0 * x",
        1.0,
        3.0,
    ),
    "sign of zero": (
        "R = 0.0\ndef f(x): return x * np.copysign(1.0, R)",
        "R = -0.0\ndef f(x): return x * np.copysign(1.0, R)",
        1.0,
        -1.0,
    ),
    "not a number": (
        "R = float('nan')\ndef f(x): return x if R != R else 2.0 * x",
        "R = 1.0\ndef f(x): return x if R != R else 2.0 * x",
        1.0,
        2.0,
    ),
    "word": (
        "W = 'a'\ndef f(x): return x if W == 'a' else -x",
        "W = 'b'\ndef f(x): return x if W == 'a' else -x",
        1.0,
        -1.0,
    ),
    "contents of a dict": (
        "T = {'a': [1.0, 2.0]}\ndef f(x): return T['a'][1] * x",
        "T = {'a': [1.0, 5.0]}\ndef f(x): return T['a'][1] * x",
        2.0,
        5.0,
    ),
    "default": (
        "def h(x, r=2.0, *, s=1.0): return r * s * x\ndef f(x): return h(x)",
        "def h(x, r=2.0, *, s=4.0): return r * s * x\ndef f(x): return h(x)",
        2.0,
        8.0,
    ),
    "closure": (
        "def make(r):\n    def f(x): return r * x\n    return f\nf = make(2.0)",
        "def make(r):\n    def f(x): return r * x\n    return f\nf = make(3.0)",
        2.0,
        3.0,
    ),
    "decorator": (
        "def d(g):\n    def w(x): return 2.0 * g(x)\n    return w\n@d\ndef f(x): return x * x",
        "def d(g):\n    def w(x): return 5.0 * g(x)\n    return w\n@d\ndef f(x): return x * x",
        8.0,
        20.0,
    ),
    "order of lambdas": (
        "a, b = (lambda x: x), (lambda y: 2.0 * y)\ndef f(x): return a(x)",
        "b, a = (lambda x: x), (lambda y: 2.0 * y)\ndef f(x): return a(x)",
        1.0,
        2.0,
    ),
    "attribute of an object": (
        "class M:\n    def __init__(self): self.r = 2.0\nm = M()\ndef f(x): return m.r * x",
        "class M:\n    def __init__(self): self.r = 3.0\nm = M()\ndef f(x): return m.r * x",
        2.0,
        3.0,
    ),
    "attribute of a class": (
        "class M:\n    r = 2.0\ndef f(x): return M.r * x",
        "class M:\n    r = 3.0\ndef f(x): return M.r * x",
        2.0,
        3.0,
    ),
    "method": (
        "class M:\n    def a(self, x): return 2.0 * x\nm = M()\ndef f(x): return m.a(x)",
        "class M:\n    def a(self, x): return x * x\nm = M()\ndef f(x): return m.a(x)",
        2.0,
        4.0,
    ),
    "method of a base": (
        "class B:\n    def a(self, x): return 2.0 * x\nclass M(B): pass\nm = M()\ndef f(x): return m.a(x)",
        "class B:\n    def a(self, x): return x * x\nclass M(B): pass\nm = M()\ndef f(x): return m.a(x)",
        2.0,
        4.0,
    ),
    "dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    r: float\n    def a(self, x): return self.r * x\n"
        "p = P(2.0)\ndef f(x): return p.a(x)",
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    r: float\n    def a(self, x): return -self.r * x\n"
        "p = P(2.0)\ndef f(x): return p.a(x)",
        2.0,
        -2.0,
    ),
    "default of a dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: float\n    r: float = 2.0\n"
        "def f(x): return P(x).r * x",
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: float\n    r: float = 7.0\n"
        "def f(x): return P(x).r * x",
        2.0,
        7.0,
    ),
    "property": (
        "class M:\n    @property\n    def r(self): return 2.0\nm = M()\ndef f(x): return m.r * x",
        "class M:\n    @property\n    def r(self): return 3.0\nm = M()\ndef f(x): return m.r * x",
        2.0,
        3.0,
    ),
    "attribute that appears": (
        "class M: pass\nm = M()\ndef f(x): return x if hasattr(m, 'r') else 2.0 * x",
        "class M: pass\nm = M()\nm.r = None\ndef f(x): return x if hasattr(m, 'r') else 2.0 * x",
        2.0,
        1.0,
    ),
    "name that hides a builtin": (
        "def f(x): return abs(x) * x",
        "def f(x): return abs(x) * x\ndef abs(x): return 1.0",
        4.0,
        1.0,
    ),
    "custom rule": (
        "@adcompile.custom_vjp\ndef h(x): return x * x\nh.defvjp(lambda x: (x * x, x), lambda r, b: (10.0 * b,))\n"
        "def f(x): return h(x)",
        "@adcompile.custom_vjp\ndef h(x): return x * x\nh.defvjp(lambda x: (x * x, x), lambda r, b: (20.0 * b,))\n"
        "def f(x): return h(x)",
        10.0,
        20.0,
    ),
    "inner transform": (
        "s = adcompile.grad(lambda x: x**3)\ndef f(x): return s(x)",
        "s = adcompile.grad(adcompile.grad(lambda x: x**3))\ndef f(x): return s(x)",
        12.0,
        6.0,
    ),
    "bound argument": (
        "import functools\nh = functools.partial(lambda r, x: r * x, 2.0)\ndef f(x): return h(x)",
        "import functools\nh = functools.partial(lambda r, x: r * x, 3.0)\ndef f(x): return h(x)",
        2.0,
        3.0,
    ),
    "bound array": (
        "import functools\nh = functools.partial(lambda w, x: np.sum(w * x), np.array([1.0, 2.0]))\n"
        "def f(x): return h(x)",
        "import functools\nh = functools.partial(lambda w, x: np.sum(w * x), np.array([1.0, 5.0]))\n"
        "def f(x): return h(x)",
        3.0,
        6.0,
    ),
    "one object or two": (
        "class M: pass\na = b = M()\ndef f(x): return x if a is b else 2.0 * x",
        "class M: pass\na, b = M(), M()\ndef f(x): return x if a is b else 2.0 * x",
        1.0,
        2.0,
    ),
    "patched NumPy": (
        "def f(x): return np.tanh(x)",
        "def f(x): return np.tanh(x)\nnp.tanh = lambda x: 5.0 * x",
        1.0 - np.tanh(2.0) ** 2,
        5.0,
    ),
    "array of another type": (
        "W = np.array([1.0, 2.0])\ndef f(x): return np.sum(W // 2.0 * x)",
        "W = np.array([[3, 4]])\ndef f(x): return np.sum(W // 2.0 * x)",
        1.0,
        3.0,
    ),
    "contents of an array": (
        "W = np.array([1.0, 2.0])\ndef f(x): return np.sum(W * x)",
        "W = np.array([3.0, 4.0])\ndef f(x): return np.sum(W * x)",
        3.0,
        7.0,
    ),
    "one array or two": (
        "V = W = np.array([1.0, 2.0])\ndef f(x): return np.sum(V * W * x)",
        "V, W = np.array([1.0, 2.0]), np.array([3.0, 5.0])\ndef f(x): return np.sum(V * W * x)",
        5.0,
        13.0,
    ),
}


@pytest.mark.parametrize("case", BEFORE_AND_AFTER)
def test_a_change_is_seen(case, load, monkeypatch):
    before, after, old, new = BEFORE_AND_AFTER[case]
    tanh = np.tanh
    for text, expected in ((before, old), (before, old), (after, new), (before, old), (after, new)):
        monkeypatch.setattr(np, "tanh", tanh)
        np.testing.assert_allclose(adcompile.grad(load(text).f)(2.0), expected, rtol=1e-14)


@pytest.mark.parametrize("case", [case for case in BEFORE_AND_AFTER if case != "patched NumPy"])
def test_what_did_not_change_is_not_traced(case, load, traces):
    for text, *_, expected in (BEFORE_AND_AFTER[case][::2], BEFORE_AND_AFTER[case][1::2]):
        first = adcompile.grad(load(text).f)(2.0)
        count = len(traces)
        second = adcompile.grad(load(text).f)
        assert second(2.0) == first == pytest.approx(expected)
        assert len(traces) == count, "traced again"
        assert second(2.0) == first
        assert "def" in second.source()
        assert len(traces) == count + 1, "looking at a program traces it"


def test_a_module_of_another_version(load, traces):
    text = "import helper\ndef f(x): return helper.h(x)"
    for rate in (2.0, 3.0, 2.0):
        helper = f"def h(x):\n    return {rate} * x"
        assert adcompile.grad(load(text, helper).f)(1.0) == rate
    assert len(traces) == 2


def test_names_imported_in_the_function(load, traces):
    text = "def f(x):\n    from helper import R\n    return R * x"
    for rate in (2.0, 3.0, 3.0):
        assert adcompile.grad(load(text, f"R = {rate}").f)(1.0) == rate
    assert len(traces) == 2


def test_a_change_after_a_recalled_program(load):
    """What was found on disk is watched as what was traced is."""
    text = "R = 2.0\nW = np.array([1.0, 2.0])\ndef f(x): return R * np.sum(W) * x"
    adcompile.grad(load(text).f)(1.0)
    module = load(text)
    gradient = adcompile.grad(module.f)
    assert gradient(1.0) == 6.0
    module.R = 3.0
    assert gradient(1.0) == 9.0
    module.W[0] = 2.0
    assert gradient(1.0) == 12.0
    module.W = np.array([5, 5])
    assert gradient(1.0) == 30.0


def test_static_arguments(load, traces):
    text = "def f(x, how, g): return g(x) if how == 'g' else 2.0 * x\ndef g(x): return x * x"
    for _ in range(2):
        module = load(text)
        gradient = adcompile.grad(module.f)
        assert gradient(3.0, "g", module.g) == 6.0
        assert gradient(3.0, "h", module.g) == 2.0
        assert gradient(3.0, "g", np.sin) == math.cos(3.0)
    assert len(traces) == 3


def test_what_is_asked_is_part_of_the_question(load, traces):
    text = "def f(x, y): return x * y * y"
    for _ in range(2):
        f = load(text).f
        assert adcompile.grad(f)(2.0, 3.0) == 9.0
        assert adcompile.grad(f, 1)(2.0, 3.0) == 12.0
        assert adcompile.grad(f, (1,))(2.0, 3.0) == (12.0,)
        assert adcompile.grad(f, "y")(2.0, 3.0) == 12.0
        assert adcompile.value_and_grad(f)(2.0, 3.0) == (18.0, 9.0)
        assert adcompile.hessian(f, 1)(2.0, 3.0) == 4.0
        assert adcompile.grad(f)(np.float32(2), np.float32(3)).dtype == np.float32
        assert adcompile.vmap(f)(np.ones(2), np.ones(2)).tolist() == [1.0, 1.0]
    assert len(traces) == 8


def test_every_structure_of_results_comes_back(load, traces):
    text = """
import collections, dataclasses
P = collections.namedtuple("P", "a b")
@dataclasses.dataclass
class Q:
    w: float
    n: int
def f(p, q, flag): return {"v": P(p.a * p.b, [q.w * p.a]), "k": flag, "n": q.n}
def g(p, q, flag): return p.a * p.b * q.w
"""
    for _ in range(2):
        m = load(text)
        p, q = m.P(2.0, 3.0), m.Q(5.0, 7)
        found = adcompile.jit(m.f)(p, q, True)
        assert found == {"v": m.P(6.0, [10.0]), "k": True, "n": 7}
        assert type(found["v"]) is m.P
        assert adcompile.grad(m.g)(p, q, True) == m.P(15.0, 10.0)
        assert adcompile.vjp(m.g, p, m.Q(5.0, 7), None)[1](1.0) == (m.P(15.0, 10.0), m.Q(6.0, None), None)
    assert len(traces) == 4


def test_run_time_errors_point_to_the_line(load, traces):
    text = "def f(x, k):\n    y = np.zeros(3)\n    return y[k] * x"
    for _ in range(2):
        with pytest.raises(IndexError, match=r'(?s)user\.py", line 5, in f.*return y\[k\] \* x'):
            adcompile.grad(load(text).f)(1.0, 5)
    assert len(traces) == 1


def test_arguments_that_overlap_are_refused(load, traces):
    text = "def f(a, b):\n    a[0] = b[1]\n    return np.sum(a * b)"
    a = np.ones(3)
    for _ in range(2):
        gradient = adcompile.grad(load(text).f)
        assert gradient(a.copy(), a).tolist() == [0.0, 1.0, 1.0]
        with pytest.raises(adcompile.UnsupportedAlias, match="share memory and a is written"):
            gradient(a, a)
    assert len(traces) == 1

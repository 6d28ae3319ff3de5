"""What another process could not recognise: such programs are not kept, and trace anew."""

import functools
import linecache

import numpy as np
import pytest

import adcompile
from adcompile.durable import Describer, NotDurable
from adcompile.primitives.registry import EXPANSIONS

NOT_KEPT = {
    "hash of a word": "def f(x): return x if hash('a') > 0 else x",
    "address of an object": "def f(x): return x if id(f) else 2.0 * x",
    "abstract class": (
        "import abc\nclass A(abc.ABC): pass\nA.register(int)\nn = 1\n"
        "def f(x): return x if isinstance(n, A) else 2.0 * x"
    ),
    "state of NumPy": "def f(x): return x if np.geterr()['divide'] == 'warn' else 2.0 * x",
    "operator of a class": (
        "class V:\n    def __eq__(self, other): return True\nv = V()\ndef f(x): return x if v == 1 else 2.0 * x"
    ),
    "method behind a constructor": (
        "import dataclasses\n@dataclasses.dataclass\nclass Q:\n    k: float\n"
        "    def __post_init__(self): self.k *= 2.0\ndef f(x): return Q(x).k"
    ),
    "property of a dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass Q:\n    k: float\n"
        "    @property\n    def r(self): return 2.0\nq = Q(1.0)\ndef f(x): return q.r * x"
    ),
    "enumeration": "import enum\nclass E(enum.Enum):\n    A = 1\ndef f(x): return x if E.A is not None else 2.0 * x",
}


@pytest.mark.parametrize("case", NOT_KEPT)
def test_not_kept(case, load, traces):
    for _ in range(2):
        assert adcompile.grad(load(NOT_KEPT[case]).f)(1.0) in (1.0, 2.0)
    assert len(traces) == 2


def test_a_function_without_source_is_refused_every_time(traces):
    for _ in range(2):
        space = {}
        exec("def f(x): return x", space)
        with pytest.raises(adcompile.SourceUnavailable):
            adcompile.grad(space["f"])(1.0)


def test_a_function_that_stands_in_no_file(traces, monkeypatch):
    """A cell of a notebook: its text is known, its file is named after the process."""
    text = "def f(x): return x * x"
    monkeypatch.setitem(linecache.cache, "<cell 1>", (len(text), None, [text + "\n"], "<cell 1>"))
    for _ in range(2):
        space = {}
        exec(compile(text, "<cell 1>", "exec"), space)
        assert adcompile.grad(space["f"])(3.0) == 6.0
    assert len(traces) == 2


def test_without_cache(load, traces, programs_on_disk):
    for _ in range(2):
        adcompile.grad(load("def f(x): return x").f, cache=False)(1.0)
    assert len(traces) == 2
    assert not programs_on_disk.exists()


def test_nothing_is_kept_while_functions_are_registered_by_others(load, traces, monkeypatch):
    monkeypatch.setitem(EXPANSIONS, "a callable", lambda op: None)
    for _ in range(2):
        adcompile.grad(load("def f(x): return x").f)(1.0)
    assert len(traces) == 2


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        iter([1]),
        np.random.default_rng(0),
        np.array([None]),
        np.ma.masked_array([1.0]),
        np.datetime64(0, "s"),
        type("Word", (str,), {})("a"),
        type("Meta", (type,), {}),
        object.__eq__,
        open,
        memoryview(b""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_not_durable(value):
    with pytest.raises(NotDurable):
        Describer().describe(value if not isinstance(value, type) else value("Made", (), {}))


@pytest.mark.parametrize(
    "pair", [(0.0, -0.0), (1, True), (1, 1.0), ("1", 1), (np.float64(1), 1.0), ((1,), [1]), (np.sin, np.cos)]
)
def test_descriptions_differ(pair):
    one, two = (Describer().describe(value) for value in pair)
    assert one != two


def test_descriptions_say_which_objects_are_one():
    item = [1.0]
    assert Describer().describe((item, item)) != Describer().describe((item, [1.0]))
    assert Describer().describe((item, [1.0])) == Describer().describe(([1.0], [1.0]))


def test_arrays_are_told_apart_by_content_unless_they_are_parameters():
    one, two = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    assert Describer().describe(functools.partial(abs, one)) != Describer().describe(functools.partial(abs, two))
    assert Describer().describe_taken([one]) == Describer().describe_taken([two])

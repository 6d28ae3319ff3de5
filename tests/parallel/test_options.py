"""The option ``parallel``, and the number of threads."""

import os

import numpy as np
import pytest

import adcompile
from adcompile import threads


@pytest.mark.parametrize("backend", ["numba", "python", "cuda"])
def test_other_backends_refuse(backend):
    with pytest.raises(adcompile.InvalidArgument, match=f"the {backend} backend has no parallel loops"):
        adcompile.grad(np.sin, backend=backend, parallel=True)


def test_the_option_is_a_bool():
    with pytest.raises(adcompile.InvalidArgument, match=r"(?s)parallel is 4.*set_num_threads"):
        adcompile.grad(np.sin, parallel=4)


@pytest.mark.parametrize("n", [0, -1, 1025, 2.0, True, "2"])
def test_numbers_of_threads_are_checked(n):
    before = adcompile.get_num_threads()
    with pytest.raises(adcompile.InvalidArgument, match="Use an integer from 1 to 1024"):
        adcompile.set_num_threads(n)
    assert adcompile.get_num_threads() == before


@pytest.mark.parametrize("text, expected", [("3", 3), (" 12 ", 12), ("1024", 1024)])
def test_the_environment_chooses_the_first_number(monkeypatch, text, expected):
    monkeypatch.setenv("ADCOMPILE_NUM_THREADS", text)
    monkeypatch.setattr(threads, "COUNT", type(threads.COUNT)(0))
    assert adcompile.get_num_threads() == expected


@pytest.mark.parametrize("text", ["0", "two", "1.5", "-2", "2000"])
def test_nonsense_in_the_environment_is_refused(monkeypatch, text):
    monkeypatch.setenv("ADCOMPILE_NUM_THREADS", text)
    monkeypatch.setattr(threads, "COUNT", type(threads.COUNT)(0))
    with pytest.raises(adcompile.InvalidArgument, match="ADCOMPILE_NUM_THREADS is"):
        adcompile.get_num_threads()


def test_without_a_choice_there_is_a_thread_per_processor(monkeypatch):
    monkeypatch.delenv("ADCOMPILE_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "COUNT", type(threads.COUNT)(0))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert adcompile.get_num_threads() == available

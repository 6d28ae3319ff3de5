"""Corpus programs in batches against stacked single calls."""

import numpy as np
import pytest

import adcompile
from adcompile.tree import flatten, unflatten
from tests.corpus import PROGRAMS
from tests.corpus import checks as c
from tests.vmap.common import assert_stacked

RAGGED = {
    "mask_of_varying_size", "store_mask", "store_mask_of_values", "reads_of_all_kinds",
    "rows_until_a_return_in_nested_loops", "set_before_a_break",
}  # fmt: skip
"""Corpus programs whose arrays have another size in every call: refused with a located error.

The last two take an array out of a loop that first makes it: until a call leaves, its array is empty.
"""


RAGGED_TAPES = {"arrays_rebound_in_branches"}
"""Corpus programs whose adjoint reads sizes from a tape, where every call would have its own."""


def batch_of(args, count=3):
    """Perturbed arguments, the same in one batch, and the axes of it; None where no leaf is a float."""
    found, structure = flatten(args)
    mapped = [c.is_float(leaf) for leaf in found]
    if not any(mapped):
        return None
    columns = [
        np.stack([np.asarray(x * (1.0 + 1e-3 * k)).astype(np.asarray(x).dtype) for k in range(count)]) if m else x
        for x, m in zip(found, mapped, strict=True)
    ]
    each = [
        unflatten(structure, [x[k] if m else x for x, m in zip(columns, mapped, strict=True)]) for k in range(count)
    ]
    return each, unflatten(structure, columns), unflatten(structure, [0 if m else None for m in mapped])


def check_program(program, transform, backend, refused):
    """vmap of a transform of a corpus program against its single calls."""
    batch = batch_of(program.arguments())
    if batch is None:
        return
    each, stacked, axes = batch
    single = transform(program.function, backend=backend)
    mapped = adcompile.vmap(transform(program.function), axes, backend=backend)
    with np.errstate(all="ignore"):
        if program.name in refused:
            with pytest.raises(adcompile.MissingRule) as caught:
                mapped(*stacked)
            assert caught.value.loc is not None
            assert caught.value.remedy
            return
        singles = [single(*c.fresh(args)) for args in each]
        assert_stacked(mapped(*stacked), singles, 2e-4 if "float32" in program.tags else 1e-9)


READING = [p for p in PROGRAMS if "writes" not in p.tags]


SAMPLE = READING[::12]


@pytest.mark.parametrize("program", [p for p in READING if p.argnums is None], ids=lambda p: p.name)
def test_corpus_values(program):
    check_program(program, adcompile.jit, "python", RAGGED)


@pytest.mark.parametrize("program", [p for p in READING if p.argnums is not None], ids=lambda p: p.name)
def test_corpus_values_and_gradients(program):
    def transform(function, **options):
        return adcompile.value_and_grad(function, program.argnums, **options)

    check_program(program, transform, "python", RAGGED | RAGGED_TAPES)


@pytest.mark.parametrize("program", SAMPLE, ids=lambda p: p.name)
def test_corpus_compiled(program):
    check_program(program, adcompile.jit, "llvm", RAGGED)

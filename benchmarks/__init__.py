"""Timed comparisons of adcompile with JAX, PyTorch and hand-written adjoints: ``python -m benchmarks``.

One module per workload; `harness` times, `report` prints. Nothing here asserts a time: losing rows stay in the table.
"""

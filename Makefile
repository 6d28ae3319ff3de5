# `make demo` and `make test` do everything on a fresh machine: they create .venv and install what they need.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
THREADS := OPENBLAS_NUM_THREADS=1

CUDA_STAMP := .venv/.installed-cuda

.PHONY: demo test test-cuda lint docs bench examples clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test,examples]'
	touch $(STAMP)

# NVIDIA's compiler (208 MB of wheels, no driver and no GPU), where there are wheels of it: tests say what they miss.
$(CUDA_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[cuda-test]' || echo "no CUDA wheels: tests of PTX will be skipped"
	touch $(CUDA_STAMP)

demo: $(STAMP)
	$(BIN)/python examples/evaluation_trace.py
	$(BIN)/python examples/classification.py

test: $(STAMP) $(CUDA_STAMP)
	$(THREADS) $(BIN)/python -m pytest -n 2 -rs

test-cuda: $(STAMP) $(CUDA_STAMP)
	$(THREADS) $(BIN)/python -m pytest -n 2 -rs tests/cuda tests/backend/test_cuda.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

examples: $(STAMP)
	for example in examples/*.py; do $(BIN)/python $$example || exit 1; done

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m benchmarks --json benchmarks.json --plot benchmarks.svg

clean:
	rm -rf .venv build dist site .pytest_cache .ruff_cache

# Every target works on a fresh machine with Python >= 3.11: it first makes .venv as needed.

PYTHON ?= python3
OUT ?= demo

# One thread a test worker: with more, they fight over the cores.
test test-slow zoo golden certify: export OMP_NUM_THREADS = 1

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test test-slow zoo golden certify lint format bench wheel clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(READY)  ## Train, inspect and move a small network; writes demo/index.html
	$(BIN)/paramsym demo --out $(OUT) --force

test: lint  ## Lint, type check, and run the tests (what CI runs)
	$(BIN)/python -m pytest -n auto

test-slow: $(READY)  ## Run the slow tests too
	$(BIN)/python -m pytest -n auto -m ""

zoo: $(READY)  ## Hold every real architecture to its own function
	$(BIN)/python -m pytest -n auto -m "" tests/zoo

golden: $(READY)  ## Write anew what the zoo yields (tests/zoo/golden.json)
	$(BIN)/python -m tests.zoo.golden

certify: $(READY)  ## Count the flat directions of small real architectures, and what explains them
	$(BIN)/python -m tests.certification.table

lint: $(READY)  ## Lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY)  ## Mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## Time the library side by side with what it would replace
	$(BIN)/python -m benchmarks

wheel: $(READY)  ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean:  ## Remove what the targets made, results excepted
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "paramsym needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." \
	         "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

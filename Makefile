# Every command that a newcomer needs. Each target brings its own set-up; a set-up that is done already costs nothing.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
# Workers of pytest; a worker imports PyTorch, so more than eight cost more than they save.
PYTEST_WORKERS ?= auto

# One thread: on small and shared machines more threads make these small tensors slower, not faster.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS

# The targets install the peers, so a missing peer is a broken set-up and no reason to skip.
test test-all wheel-check: export SDPO_REF_REQUIRE_PEERS = 1

BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
STUDY := $(VENV)/.installed-study
PYTEST := $(BIN)/python -m pytest --numprocesses=$(PYTEST_WORKERS) --maxprocesses=8 --dist=loadfile
# --no-compile: half of the installation's time went into byte code of modules that nothing imports.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help verify selftest study test test-all bench lint format wheel-check constraints clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

verify: $(RUN) ## install, then check the bundled reference, levels 0 to 3
	$(BIN)/sdpo-ref verify --level 3

test: $(DEV) ## install with all that development needs, then run the tests that are quick; says what it leaves out
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: $(DEV) ## every test: what `make test` runs, and whole runs of the suite, the study, the peers and the wheel
	$(PYTEST) $(PYTEST_ARGS)

selftest: $(DEV) ## run the suite on every known-wrong and known-right implementation; a few minutes
	$(BIN)/sdpo-ref selftest --check

study: $(STUDY) ## run the simulation study at five seeds, a few minutes on two cores, and write study-report/
	$(BIN)/sdpo-ref study run --seeds 5
	$(BIN)/sdpo-ref study report --seeds 5

bench: $(DEV) ## measure cost and accuracy of the optimised variants, a few minutes, and compare with what is kept
	$(BIN)/python -m pytest benchmarks --benchmark-only
	$(BIN)/python -m benchmarks compare benchmarks/results/cpu.json .benchmarks/results.json

lint: $(DEV) ## format, style, types and layers; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## rewrite the code in the project's format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

wheel-check: $(DEV) ## build the wheel, and run `sdpo-ref verify` from it in an empty folder
	$(BIN)/python -m pytest tests/test_wheel.py $(PYTEST_ARGS)

constraints: ## rewrite constraints.txt with the newest versions that pyproject.toml admits
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --quiet --disable-pip-version-check '.[dev,peers,study,bench,lm]'
	grep '^#' constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze --exclude sdpo-ref | sed 's/+[a-z0-9.]*$$//' >> build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove the virtual environment, caches and build output
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sdpo-ref into $(VENV); PyTorch is large, so the first time takes a minute or more"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(STUDY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sdpo-ref with what the study needs into $(VENV); a minute or more the first time"
	@$(PIP_INSTALL) --editable '.[study]'
	@touch $(RUN) $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sdpo-ref with its development tools and peers into $(VENV); a minute or more the first time"
	@$(PIP_INSTALL) --editable '.[dev,peers,study,bench,lm]'
	@touch $(RUN) $(STUDY) $@

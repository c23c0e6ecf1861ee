# Needs python3 (>= 3.11) and make; everything else is installed into .venv, locked with hashes.
#   make demo [ARGS=--exit]   make test [ARGS="-k name"]   make bench [ARGS=--json]   make profile   make sweep   make hammer   make soak   make ha-test   make lint   make proto   make lock
PYTHON ?= python3
ARGS ?=
AGAINST ?= HEAD
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test bench profile sweep hammer soak ha-test lint proto lock clean help
.DEFAULT_GOAL := help

help:
	@sed -n '2p' Makefile | cut -c5-

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Regie needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV)

# What runs. The console script `regie` is in .venv/bin afterwards.
$(VENV)/.run: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing what runs ..." >&2
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# What tests and checks need on top.
$(VENV)/.dev: requirements-dev.txt tests/foreign/witness.txt $(VENV)/.run
	@echo "installing what tests need ..." >&2
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@rm -rf $(VENV)/foreign
	@$(PIP) install --require-hashes --no-deps --ignore-requires-python --target $(VENV)/foreign -r tests/foreign/witness.txt
	@touch $@

demo: $(VENV)/.run
	@$(BIN)/regie demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.dev
	@GRPC_VERBOSITY=error $(BIN)/python -m tests.bench $(ARGS)

# Which function of which party takes the processor's time while batches are sent (docs/performance.md).
profile: $(VENV)/.dev
	@$(BIN)/python -m tests.bench.profile $(ARGS)

# Kill and fail the ledger at each of its system calls, and cut its power; needs strace (docs/crash-matrix.md).
sweep: $(VENV)/.dev
	@$(BIN)/python -m tests.ledger_faults.sweep $(ARGS)

# Two replicas of the ledger over PostgreSQL, 64 callers, random kills, for ten minutes (ARGS="--seconds 60").
hammer: $(VENV)/.dev
	@$(BIN)/python -m tests.hammer $(ARGS)

# Memory of every role, each in a process of its own, over an hour at half load: MINUTES=20, ARGS=--json (docs/performance.md).
MINUTES ?= 60
soak: $(VENV)/.dev
	@$(BIN)/python -m tests.memory --minutes $(MINUTES) $(ARGS)

# Three database machines (etcd, Patroni, PostgreSQL: deploy/ha) that lose their leader six times under traffic; needs Debian's
# packages and says which (docs/operations.md, section 10). ARGS="--rounds 1", ARGS=--json
ha-test: $(VENV)/.dev
	@$(BIN)/python -m tests.ha $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check
	$(BIN)/python proto/generate.py --lint
	$(BIN)/python proto/generate.py --breaking $(AGAINST)

proto: $(VENV)/.dev
	$(BIN)/python proto/generate.py

# Locks hold for every Python from 3.11 on, with hashes and without index addresses.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra build pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra build --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

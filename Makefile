# Everything that a developer types, and all that CI runs. Needs Python 3.11 or newer (with venv), git and make;
# the rest comes into .venv by itself, and again whenever pyproject.toml has changed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is new enough; `make PYTHON=/path/to/python` chooses.
PYTHON := python3.13 python3.12 python3.11 python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Each worker starts servers of its own; a file stays on one worker, which starts only those that it needs.
WORKERS := auto
PYTEST_ARGS :=
# Only some: start, one, rounds, many, tags, thousand, large, twenty, far. The page is written where all ran.
BENCHMARKS :=

.PHONY: help demo test bench check lint types docs reference pictures dist format reliability soak fuzz clean

help: ## Show this list.
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

demo: $(READY) ## Promote a small application from dev to prod and back, on disk, in ./demo.
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo/demo.sh demo

test: $(READY) ## Run the tests; those that need a server which is not installed say so.
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

bench: $(READY) ## Measure, beside the tools on the PATH that move images; writes docs/benchmarks.md.
	$(BIN)/python -m benchmarks $(BENCHMARKS)

check: lint types test docs ## Run all that CI runs: formatting, lint, types, tests, documentation.

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)
	$(BIN)/mypy

docs: $(VENV)/.docs ## Build the documentation as a site, in ./site; every link and anchor is checked.
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

reference: $(READY) ## Write the pages that are made from the code: commands, keys of the policy.
	$(BIN)/python tools/reference.py

pictures: $(READY) ## Make the pictures of the README from real runs.
	$(BIN)/python tools/pictures.py

dist: $(READY) ## Build the source archive and the wheel into ./dist, and try them in a fresh environment.
	$(BIN)/python tools/dist.py

format: $(READY) ## Format the code and mend what can be mended.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

reliability: $(READY) ## Run each command in each storm, and write docs/reliability.md (some minutes).
	$(BIN)/python -m tests.reliability

soak: $(READY) ## Run 10,000 random releases under faults, and write docs/reliability.md (half an hour or so).
	$(BIN)/python -m tests.reliability.long

fuzz: $(READY) ## Feed the parsers with far more nonsense than the tests do.
	TAGFLOW_FUZZ=50 $(BIN)/pytest -n $(WORKERS) -m fuzz $(PYTEST_ARGS)

clean: ## Remove everything that was made here: .venv, ./demo, caches.
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	[ ! -e demo/.made-by-demo ] || rm -rf demo
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@for python in $(PYTHON); do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Setting up $(VENV) with $$("$$python" --version)"; \
	  "$(BIN)/python" -c '' 2>/dev/null || "$$python" -m venv --clear $(VENV) || exit 1; \
	  "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-input --editable '.[dev]' || exit 1; \
	  touch $@; exit 0; \
	done; \
	echo "tagflow needs Python 3.11 or newer with its venv module; tried: $(PYTHON)." >&2; \
	echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Elsewhere: https://www.python.org/downloads/" >&2; \
	exit 1

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --editable '.[docs]'
	touch $@

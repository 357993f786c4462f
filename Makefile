# Everything that a developer types, and all that CI runs. Needs Python 3.11 or newer (with venv), git and make;
# the rest comes into .venv by itself, and again whenever pyproject.toml has changed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is new enough; `make PYTHON=/path/to/python` chooses.
PYTHON ?= python3.14 python3.13 python3.12 python3.11 python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Another registry than distribution, with an environment of its own: its dependencies are not ours.
PULP := .venv-pulp
PULP_VERSION := 2.30.0
# Each worker starts servers of its own; a file stays on one worker, which starts only those that it needs. One more than
# there are processors: tests wait for servers, too.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST_ARGS :=
# The versions with which all of this is known to work; `make CONSTRAINTS=` takes the newest that pyproject.toml allows.
CONSTRAINTS := constraints.txt
# Only some: start, one, rounds, many, hundred, tags, fifty, thousands, verify, signed, large, tls, twenty, far. The page is
# written where all ran; crane, skopeo, regctl and ab come in where they are on the PATH.
BENCHMARKS :=

.PHONY: help demo compiled test test-all pulp coverage bench check lint types docs reference pictures dist format hooks \
	constraints reliability interleave race soak fuzz clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

demo: $(READY) ## Promote a small application from dev to prod and back, on disk, in ./demo.
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo/demo.sh demo

# The tests start tagflow thousands of times, and several processes load them: where PYTHONDONTWRITEBYTECODE is set, as in
# many images, each would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE
compiled: $(READY)
	@$(BIN)/python -m compileall -q src tests

test: $(READY) compiled ## Run the tests (five minutes); those that need a server which is not installed say so.
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not long" $(PYTEST_ARGS)

test-all: $(READY) compiled pulp ## Run what `make test` leaves out: long races, whole matrices, second registries, all examples.
	TAGFLOW_ALL_EXAMPLES=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "long or property" $(PYTEST_ARGS)

pulp: $(PULP)/.ready ## Install Pulp for the tests, where PostgreSQL and nginx are there for it (200 MB).

coverage: $(READY) compiled ## Measure which branches of the rooms that decide are tested; fails below the bound in pyproject.toml.
	TAGFLOW_ALL_EXAMPLES=1 $(BIN)/pytest --cov -n $(WORKERS) --dist loadfile -m "not long and not registry and not engine" $(PYTEST_ARGS) \
	  tests/cli tests/config tests/domain tests/flows tests/interleave tests/trust

bench: $(READY) ## Measure, beside the tools on the PATH that move images; writes docs/benchmarks.md.
	$(BIN)/python -m benchmarks $(BENCHMARKS)

check: lint types docs test test-all coverage demo dist ## Run all that CI runs.

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

hooks: $(READY) ## Let git run the formatter, the linter and the type checker before each commit.
	$(BIN)/pre-commit install

constraints: $(READY) $(VENV)/.docs ## Write the versions that are installed here into constraints.txt.
	$(BIN)/python tools/constraints.py

format: $(READY) ## Format the code and mend what can be mended.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

reliability: $(READY) ## Run each command in each storm, and write docs/reliability.md (some minutes).
	$(BIN)/python -m tests.reliability

interleave: $(READY) ## Play commands against each other in every order, and write docs/reliability.md (an hour).
	$(BIN)/python -m tests.interleave

race: $(READY) ## Race processes fifty times, on a real registry and on layouts, and write docs/reliability.md (an hour).
	$(BIN)/python -m tests.race

soak: $(READY) ## Run 10,000 random releases under faults, and write docs/reliability.md (half an hour or so).
	$(BIN)/python -m tests.reliability.long

fuzz: $(READY) ## Feed the parsers with far more nonsense than the tests do.
	TAGFLOW_FUZZ=50 $(BIN)/pytest -n $(WORKERS) -m fuzz $(PYTEST_ARGS)

clean: ## Remove everything that was made here: .venv, ./demo, caches.
	rm -rf $(VENV) $(PULP) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	[ ! -e demo/.made-by-demo ] || rm -rf demo
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Where an index does not have one of those versions, the newest allowed ones are better than nothing; it is told.
pip = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
install = { $(pip) $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable '$(1)' || { \
	echo "The versions of constraints.txt cannot be had here; taking the newest that pyproject.toml allows." >&2; \
	$(pip) --editable '$(1)'; }; }

$(READY): pyproject.toml $(wildcard constraints.txt)
	@for python in $(PYTHON); do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Setting up $(VENV) with $$("$$python" --version)"; \
	  "$(BIN)/python" -c '' 2>/dev/null || "$$python" -m venv --clear $(VENV) || exit 1; \
	  $(call install,.[dev]) || exit 1; \
	  touch $@; exit 0; \
	done; \
	echo "tagflow needs Python 3.11 or newer with its venv module; tried: $(PYTHON)." >&2; \
	echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Elsewhere: https://www.python.org/downloads/" >&2; \
	exit 1

$(PULP)/.ready: $(READY) Makefile
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && command -v nginx >/dev/null; then \
	  echo "Setting up $(PULP) with pulp-container $(PULP_VERSION)"; \
	  $(BIN)/python -m venv --clear $(PULP) && \
	  $(PULP)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	    pulp-container==$(PULP_VERSION) && touch $@; \
	else echo "No Pulp: PostgreSQL and nginx are not installed; its tests will say so." >&2; fi

$(VENV)/.docs: $(READY)
	$(call install,.[docs])
	touch $@

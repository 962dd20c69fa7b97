# Every target sets up its own virtual environment first, once; see tools/setup.py.
#
#   PYTHON=/path/to/python   which Python (3.11 or later) makes the environment
#   ARGS="..."               further arguments of the command that a target runs
#   OUT=directory            where `make reproduce` writes
#   WORKERS=n                test processes

OUT     ?= reproduction
WORKERS ?= 2
ARGS    ?=
bin     := .venv/bin
setup   := exec env PYTHON="$(PYTHON)" sh tools/setup

# Commands are started with exec, so that a signal to make reaches them and not a shell in between.

# Somebody else's packages must not leak in; matplotlib's font cache must not need a home.
unexport PYTHONPATH PYTHONHOME
export MPLCONFIGDIR ?= $(CURDIR)/.venv/matplotlib
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test reproduce test lint types contracts check lock clean

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'

reproduce: setup ## recompute the figures and the audit into reproduction/ (ARGS="--effort paper")
	@exec $(bin)/spinodal reproduce --out "$(OUT)" $(ARGS)

test: setup-test ## run the tests (ARGS="-k words")
	@exec $(bin)/python -m pytest -n $(WORKERS) $(ARGS)

lint: setup-test ## check style and formatting
	@$(bin)/ruff check
	@$(bin)/ruff format --check --quiet --diff

types: setup-test ## check types in src, tests and tools
	@$(bin)/pyright

contracts: setup-test ## check which layer imports which
	@$(bin)/lint-imports --no-cache

check: test lint types contracts ## all of these four

lock: setup ## pin the newest versions that pyproject.toml allows
	@$(bin)/python tools/lock.py

clean: ## remove everything that make has made here, results excepted
	rm -rf .venv .venv.lock build dist .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

setup:
	@$(setup) core

setup-test:
	@$(setup) test

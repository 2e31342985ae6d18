# One chore, one target, the same for people and CI. Needs only make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Further arguments, as in: make test ARGS="tests/attention -k causal"
ARGS ?=
BENCHMARKS ?= $(sort $(wildcard benchmarks/*_speed.py))

# The tests' tensors are small: a second thread would only wait. Benchmarks and the demo take every core.
test browser: export OMP_NUM_THREADS := $(or $(OMP_NUM_THREADS),1)
# pyright comes complete from the package index; it need not look for a newer one at each run.
check: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help setup demo test browser check bench format clean
.DELETE_ON_ERROR:

help:  ## say what each target does
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; done

setup: $(READY)  ## make .venv with Regard and the tools in it (quick when nothing changed)
	@:

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Regard needs Python 3.11 or newer, but '$(PYTHON)' is $$("$(PYTHON)" -V 2>/dev/null || echo missing):" \
			"name another, as in 'make setup PYTHON=python3.12'." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV) || { \
		echo "'$(PYTHON) -m venv $(VENV)' failed: install the venv package of that Python" \
			"(on Debian and Ubuntu python3-venv) and try again." >&2; exit 1; }
	@echo "Installing Regard and its tools into $(VENV) (the first time, PyTorch takes a while) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## learn English pronunciation in about three minutes and see the attention
	@$(BIN)/regard demo $(ARGS)

test: setup  ## run the tests
	@$(BIN)/python -m pytest -q $(ARGS)

# Debian's chromium, or whatever CHROMIUM names.
browser: setup  ## run the tests of pages and pictures in headless Chromium
	@command -v "$${CHROMIUM:-chromium}" >/dev/null 2>&1 || { \
		echo "These tests need Chromium: install it (on Debian 'apt-get install chromium') or name one in CHROMIUM." >&2; exit 1; }
	@$(BIN)/python -m pytest -q -o addopts="--import-mode=importlib --strict-markers --strict-config -ra" tests/browser $(ARGS)

check: setup  ## lint, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright

bench: setup  ## measure speed against other programs, in turn, on this machine
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

format: setup  ## put the code into the house's form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean:  ## remove .venv and what tools left behind (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

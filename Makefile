# Two commands on a machine with Python >= 3.11, make and a package index:
#
#   make demo   from simulated animals to annotated NWB files and a report, in demo-output/
#   make test   linting, types, tests and coverage
#
# Each makes an environment of its own, with the exact versions of constraints.txt, and makes it anew only when
# pyproject.toml or constraints.txt change. Where pip finds packages is the machine's own setting.

PYTHON ?= python3
OUT ?= demo-output
WORKERS ?= 2

# Ranges belong to pyproject.toml, exact versions to constraints.txt. Older pip hands the first variable to the isolated
# builds of our own two distributions too, newer pip the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PROJECTS := pyproject.toml extensions/ndx-mivae/pyproject.toml
REQUIREMENTS := $(PROJECTS) constraints.txt
SOURCES := $(shell find nwb_mivae extensions/ndx-mivae -type f ! -name '*.pyc' ! -path '*/tests/*' 2>/dev/null)

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test lint types tests clean

help:
	@echo "make demo    simulate animals, train, evaluate, attribute, annotate and report into $(OUT)/"
	@echo "make test    ruff, mypy, then all tests with branch coverage"
	@echo "make lint    ruff and mypy only"
	@echo "make clean   remove the two environments, build products and the demo's output"
	@echo
	@echo "PYTHON=$(PYTHON)  the interpreter the environments are made from, 3.11 or later"
	@echo "OUT=$(OUT)  where the demo writes"
	@echo "WORKERS=$(WORKERS)  test processes side by side, each with one thread"

# --- environments -------------------------------------------------------------------------------------------------

define make_environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "nwb_mivae needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another interpreter, for example: make $@ PYTHON=python3.12" >&2; exit 1; }
	@echo "Making the environment $(1) with $$($(PYTHON) --version)."
	rm -rf $(1)
	@$(PYTHON) -m venv $(1) || { \
	  echo "'$(PYTHON) -m venv' does not work here; on Debian and Ubuntu install python3-venv." >&2; exit 1; }
	$(1)/bin/python -m pip install --quiet torch
endef

.venv-demo/environment: $(REQUIREMENTS)
	$(call make_environment,.venv-demo)
	touch $@

# The demo runs what is installed, as a user would, so a changed source file is installed again.
.venv-demo/installed: .venv-demo/environment $(SOURCES)
	@echo "Installing nwb_mivae into .venv-demo; the first time this takes a few minutes."
	.venv-demo/bin/python -m pip install --quiet ./extensions/ndx-mivae ".[simulation]"
	touch $@

.venv-test/environment: $(REQUIREMENTS)
	$(call make_environment,.venv-test)
	touch $@

.venv-test/installed: .venv-test/environment
	@echo "Installing nwb_mivae into .venv-test; the first time this takes a few minutes."
	.venv-test/bin/python -m pip install --quiet -e ./extensions/ndx-mivae -e ".[pynapple,simulation,test,zarr]"
	touch $@

# --- commands -----------------------------------------------------------------------------------------------------

# The demo refuses a folder that holds something; only its own default folder is made anew without asking.
demo: .venv-demo/installed
	@if [ "$(OUT)" = demo-output ]; then rm -rf demo-output; fi
	.venv-demo/bin/nwb-mivae demo "$(OUT)"

test: lint tests

lint: .venv-test/installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

# One thread per process: several test processes with several threads each are ten times slower than that.
tests: .venv-test/installed
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 DANDI_NO_ET=1 .venv-test/bin/python -m pytest -n $(WORKERS) \
	  --cov --cov-report=term:skip-covered

clean:
	rm -rf .venv-demo .venv-test build dist demo-output htmlcov .coverage .coverage.* \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis extensions/ndx-mivae/dist
	find nwb_mivae tests extensions -name __pycache__ -type d -prune -exec rm -rf {} +

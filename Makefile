# Each target works on a machine that has Python >= 3.11 and make: it sets up .venv first, from the pinned versions.
PYTHON ?= python3
BACKENDS ?= tensorflow jax torch
# More than CI's two cores: a process of tests waits a third of its time, for threads, files and other processes.
JOBS ?= 3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# --dist loadfile: what a file's tests share (a compiled model, a data set) is made once.
PYTEST := $(BIN)/python -m pytest --quiet
PARALLEL := -n $(JOBS) --dist loadfile
ONCE := tests/house tests/pure tests/render tests/comparison tests/docs tests/browser

# TensorFlow's C++ code reports its instruction sets at every start.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# The package that pip builds must not pick up a bytecode cache or a plain checkout from the caller's path.
unexport PYTHONPATH

.PHONY: demo test test-once test-lower-bound test-long lint bench docs docs-pictures wheel clean
.NOTPARALLEL:

demo: $(READY)
	@$(BIN)/onecycle demo

test: test-once test-lower-bound
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Keras on $$backend"; \
	  KERAS_BACKEND=$$backend $(PYTEST) $(PARALLEL) tests --ignore-glob='tests/house/*' --ignore-glob='tests/pure/*' --ignore-glob='tests/render/*' --ignore-glob='tests/comparison/*' --ignore-glob='tests/docs/*' --ignore-glob='tests/browser/*'; \
	done

test-once: $(READY)
	@echo "== What no backend changes"
	@$(PYTEST) $(PARALLEL) $(wildcard $(ONCE))

# The lowest Keras that pyproject.toml allows, laid before the pinned one on the path.
LOWEST_KERAS = $(shell sed -n 's/^dependencies = .*"keras>=\([0-9.]*\)".*/\1/p' pyproject.toml)
LOWEST := $(VENV)/lowest-keras

$(LOWEST)/$(LOWEST_KERAS): pyproject.toml $(READY)
	@rm -rf $(LOWEST)
	@$(BIN)/pip install --quiet --no-deps --target $(LOWEST) keras==$(LOWEST_KERAS)
	@touch $@

test-lower-bound: $(LOWEST)/$(LOWEST_KERAS)
	@echo "== Keras $(LOWEST_KERAS), the lowest, on jax"
	@PYTHONPATH=$(LOWEST) KERAS_BACKEND=jax ONECYCLE_KERAS=$(LOWEST_KERAS) \
	  $(PYTEST) tests -m 'lower_bound and not long' -W ignore::DeprecationWarning -W ignore::FutureWarning

test-long: $(READY)
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Keras on $$backend, the long tests"; \
	  KERAS_BACKEND=$$backend $(PYTEST) tests -m long; \
	done

lint: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@echo "lint: all good"

bench: $(READY)
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Benchmarks, Keras on $$backend"; \
	  KERAS_BACKEND=$$backend $(BIN)/python -m benchmarks; \
	done
	@echo "== What a start takes"
	@$(BIN)/python -m benchmarks.start

# Warnings are errors: a link that leads nowhere, a name that the library does not have.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "docs: site/index.html"

# From real runs on the digits, some minutes; the pictures are committed.
docs-pictures: $(READY)
	@KERAS_BACKEND=jax $(BIN)/python docs/pictures.py

wheel: $(READY)
	@$(BIN)/python -m hatchling build --target wheel

clean:
	rm -rf $(VENV) dist build site

# The stamp comes last, so that an install that was interrupted is done again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("onecycle needs Python >= 3.11; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV): TensorFlow, JAX, PyTorch and the tools, some minutes the first time ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

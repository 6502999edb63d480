# Every target needs only Python >= 3.11 and make. It sets up .venv with the pinned versions first.
PYTHON ?= python3
BACKENDS ?= tensorflow jax torch
# One more than the two cores of CI, because a test process is idle for a third of its time.
JOBS ?= 3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# --dist loadfile: fixtures that the tests of a file share, such as compiled models, are made once.
PYTEST := $(BIN)/python -m pytest --quiet
PARALLEL := -n $(JOBS) --dist loadfile
ONCE := tests/house tests/pure tests/render tests/cli tests/comparison tests/clients tests/docs tests/browser

# Without this, TensorFlow logs its instruction sets at every start.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# With the caller's PYTHONPATH, pip and the tests could use another checkout or its bytecode cache.
unexport PYTHONPATH

.PHONY: demo test test-once test-lower-bound test-long lint bench bench-peers docs docs-pictures wheel clean
.NOTPARALLEL:

demo: $(READY)
	@$(BIN)/onecycle demo

test: test-once test-lower-bound
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Keras on $$backend"; \
	  KERAS_BACKEND=$$backend $(PYTEST) $(PARALLEL) tests/keras; \
	done

test-once: $(READY)
	@echo "== Tests that do not depend on the backend"
	@$(PYTEST) $(PARALLEL) $(wildcard $(ONCE))

# The lowest Keras that pyproject.toml allows. PYTHONPATH puts it before the pinned version.
LOWEST_KERAS = $(shell sed -n 's/^dependencies = .*"keras>=\([0-9.]*\)".*/\1/p' pyproject.toml)
LOWEST := $(VENV)/lowest-keras

$(LOWEST)/$(LOWEST_KERAS): pyproject.toml $(READY)
	@rm -rf $(LOWEST)
	@$(BIN)/pip install --quiet --no-deps --target $(LOWEST) keras==$(LOWEST_KERAS)
	@touch $@

test-lower-bound: $(LOWEST)/$(LOWEST_KERAS)
	@echo "== Keras $(LOWEST_KERAS), the lowest supported version, on jax"
	@PYTHONPATH=$(LOWEST) KERAS_BACKEND=jax ONECYCLE_KERAS=$(LOWEST_KERAS) \
	  $(PYTEST) tests --ignore-glob='tests/clients/*' -m 'lower_bound and not long' -W ignore::DeprecationWarning -W ignore::FutureWarning

test-long: $(READY)
	@echo "== Long tests that do not depend on the backend"
	@$(PYTEST) $(wildcard $(ONCE)) -m long
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Keras on $$backend, long tests"; \
	  KERAS_BACKEND=$$backend $(PYTEST) tests/keras -m long; \
	done

lint: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@echo "lint: no problems found"

bench: $(READY)
	@set -e; for backend in $(BACKENDS); do \
	  echo "== Benchmarks, Keras on $$backend"; \
	  KERAS_BACKEND=$$backend $(BIN)/python -m benchmarks; \
	done
	@echo "== Start-up time"
	@$(BIN)/python -m benchmarks.start

PEERS := $(VENV)/peers

# torchvision comes with fastai, for a PyTorch with CUDA; nothing here needs it.
$(PEERS)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet --constraint constraints.txt --editable ".[jax,torch]" tensorflow-cpu \
	  optax fastai torch-lr-finder lightning
	@$(PEERS)/bin/pip uninstall --quiet --yes torchvision
	@touch $@

bench-peers: $(PEERS)/.installed
	@$(PEERS)/bin/python -m benchmarks.peers

# Warnings, such as broken links and unknown names, are errors.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "docs: site/index.html"

# Makes the pictures from real runs on the digits, which takes some minutes. The pictures are committed.
docs-pictures: $(READY)
	@KERAS_BACKEND=jax $(BIN)/python docs/pictures.py

wheel: $(READY)
	@$(BIN)/python -m hatchling build
	@$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) dist build site

# Without their dependencies, among which are both tensorflow and tensorflow-cpu in one place. `dev` has the others.
KERAS_HUB := keras-hub tensorflow-text

# The stamp is written last, so that an interrupted installation is repeated.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("onecycle needs Python >= 3.11; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) with TensorFlow, JAX, PyTorch and the tools. This takes some minutes the first time ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(KERAS_HUB) || echo "The tests with KerasHub will be skipped."
	@touch $@

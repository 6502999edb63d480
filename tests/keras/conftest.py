"""What the tests that train share. They run once for each backend, chosen by KERAS_BACKEND."""

import atexit
import os
import shutil
import tempfile

import pytest

# Many tests compile the same step of the same small model: JAX compiles it once a session. Before keras loads JAX.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-jax-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
# Compiling is most of what JAX's tests take; code that is optimised less is made in two thirds of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import keras


@pytest.fixture(scope="session")
def backend():
    """The name of the Keras backend under test."""
    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _seeded():
    """Every test draws the same random numbers, whichever ran before it."""
    keras.utils.set_random_seed(0)

"""The documents' code runs once, on JAX: what it shows is the same on every backend."""

import atexit
import os
import shutil
import tempfile

# The same few steps are compiled again and again.
os.environ.setdefault("KERAS_BACKEND", "jax")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-jax-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

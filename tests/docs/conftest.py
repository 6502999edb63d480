"""Settings of the tests of the documentation, whose code runs on one backend, JAX."""

import atexit
import os
import shutil
import tempfile

# The blocks compile the same few steps many times.
os.environ.setdefault("KERAS_BACKEND", "jax")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-jax-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

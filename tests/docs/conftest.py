"""Settings of the tests of the documentation, whose code runs on one backend, JAX."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

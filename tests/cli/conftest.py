"""Settings of the tests of the command line that do not depend on the backend. They run once, on JAX."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

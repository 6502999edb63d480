"""Importing Keras without the lines that its backends write to standard error."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

# The notice of absl, then lines with a level, a date, the number of the process and a place in the code. Checked on
# TensorFlow 2.21.
LOG_LINE = re.compile(rb"WARNING: All log messages before absl|[IWEF]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\]")


def import_keras(*, seeded: bool = False) -> None:
    """Import Keras on the backend of `KERAS_BACKEND`, without log lines.

    Args:
        seeded: Whether a seed will be set. `keras.utils.set_random_seed` imports TensorFlow on every backend where it
            is installed, which is then done here.
    """
    with without_log_lines():
        import keras  # noqa: F401

        if seeded and find_spec("tensorflow") is not None:
            import tensorflow  # noqa: F401


@contextmanager
def without_log_lines() -> Iterator[None]:
    """Hide the log lines that TensorFlow writes to standard error from C++ while it is imported.

    No setting of its log level turns them off. Other lines are written at the end, and if an exception ends it, all
    lines are.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured:
        original = os.dup(2)
        os.dup2(captured.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            os.write(2, b"".join(line for line in captured if failed or not LOG_LINE.match(line)))

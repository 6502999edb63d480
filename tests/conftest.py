"""Fixtures of all tests. Nothing here imports keras, so that the tests that need none start quickly."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PREPARE = ROOT.parent / "shared" / "data" / "prepare.py"

# Set before the imports: matplotlib needs no display, and TensorFlow does not log its instruction sets.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Many tests, and processes that they start, compile the same step of the same small model. With this cache JAX compiles
# it once per session. (That of TensorFlow makes programs whose results differ in the last bit.) The variables must be
# set before keras imports JAX.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
# Compilation takes most of the time. With fewer optimizations it takes two thirds as long on JAX.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")


def pytest_report_header(config):
    """Return the tested version of Keras and the backend."""
    try:
        return f"keras {version('keras')} on {os.environ.get('KERAS_BACKEND', 'its default backend')}"
    except PackageNotFoundError:
        return "keras is not installed"


@pytest.fixture(scope="session")
def root():
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Return the folder with the real data sets: ONECYCLE_DATA, or one made from the shared copies; else skip."""
    if directory := os.environ.get("ONECYCLE_DATA"):
        return Path(directory)
    if not PREPARE.is_file():
        pytest.skip("needs real data: set ONECYCLE_DATA to a folder with the tasks' .npz files")
    directory = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, PREPARE, directory], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="session")
def python(root):
    """Return a function that runs a short program with arguments in a new interpreter."""

    def run(program, *arguments, check=True, **environment):
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(root / "src"), **environment},
            capture_output=True,
            text=True,
            check=check,
        )

    return run

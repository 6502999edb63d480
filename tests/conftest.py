"""What every room's tests share. Nothing here imports keras: the pure tests start in a blink."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PREPARE = ROOT.parent / "shared" / "data" / "prepare.py"

# Before anything imports them: no display, no report of TensorFlow's instruction sets.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_report_header(config):
    """Say which Keras is tested, and on which backend."""
    try:
        return f"keras {version('keras')} on {os.environ.get('KERAS_BACKEND', 'its default backend')}"
    except PackageNotFoundError:
        return "keras is not installed"


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """The folder with the real data sets: ONECYCLE_DATA, else made from the shared copies, else the test is skipped."""
    if directory := os.environ.get("ONECYCLE_DATA"):
        return Path(directory)
    if not PREPARE.is_file():
        pytest.skip("needs real data: set ONECYCLE_DATA to a folder with the tasks' .npz files")
    directory = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, PREPARE, directory], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="session")
def python(root):
    """Runs a short program in a fresh interpreter and returns what it did; its arguments follow the program."""

    def run(program, *arguments, check=True, **environment):
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(root / "src"), **environment},
            capture_output=True,
            text=True,
            check=check,
        )

    return run

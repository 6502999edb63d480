"""The wheel and the sdist: their files, their metadata, and the package installed from the wheel elsewhere."""

import os
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """A folder with the wheel and the sdist, built from the checkout with the pinned hatchling."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    """The wheel."""
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder in which only the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def run(installed, *arguments):
    """Run Python outside the checkout, with the installed wheel first on its path; return standard output."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=installed, env=environment, check=True, capture_output=True, text=True).stdout


def test_metadata_is_fit_for_an_index(built):
    """twine finds no fault in the wheel and the sdist, a README that an index cannot show included."""
    files = sorted(built.iterdir())
    assert [path.suffix for path in files] == [".whl", ".gz"]
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_wheel_files(wheel, root):
    """The wheel has every file of the package, py.typed and the license, and no test, example or benchmark."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = root / "src"
    paths = [path for path in (source / "onecycle").rglob("*") if path.is_file() and path.suffix != ".pyc"]

    assert {str(path.relative_to(source)) for path in paths} <= names
    assert "onecycle/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"onecycle"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    folders = {folder for name in names for folder in name.split("/")[:-1]}
    assert not folders & {"tests", "examples", "benchmarks", "studies"}


def test_wheel_metadata(wheel):
    """The metadata of the wheel has the license, the Python version, the two dependencies and the extras."""
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]

    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert sorted(line.split()[1].split(">")[0] for line in required) == ["keras", "numpy"]
    for extra in ("tensorflow", "jax", "torch", "plot", "report", "cli", "demo", "studies", "ray", "all"):
        assert f"Provides-Extra: {extra}\n" in metadata


def test_wheel_imports(installed):
    """The package is imported from the folder where the wheel is installed, with its version."""
    program = "import onecycle; print(onecycle.__file__, onecycle.__version__)"
    path, version = run(installed, "-c", program).split()

    assert path == str(installed / "onecycle" / "__init__.py")
    assert (installed / f"onecycle-{version}.dist-info").is_dir()


def test_wheel_command(installed):
    """`python -m onecycle` and the script `onecycle` run from the installed wheel."""
    assert "find" in run(installed, "-m", "onecycle", "--help")
    assert "demo" in run(installed, installed / "bin" / "onecycle", "--help")

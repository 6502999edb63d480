"""What is installed is the wheel, so the wheel is built and tried, far from the checkout."""

import os
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """The wheel, built from the checkout by the pinned hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=root,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel installed in it, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def run(installed, *arguments):
    """Run Python away from the checkout, with the installed wheel first on its path."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=installed, env=environment, check=True, capture_output=True, text=True).stdout


def test_wheel_holds_the_package_and_nothing_else(wheel, root):
    """The wheel has every file of the package, py.typed and the licence, and no test, example or benchmark."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = root / "src"
    ours = {str(path.relative_to(source)) for path in (source / "onecycle").rglob("*") if path.suffix != ".pyc"}
    ours = {name for name in ours if (source / name).is_file()}

    assert ours <= names
    assert "onecycle/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"onecycle"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test_" in name or "benchmark" in name]


def test_wheel_says_what_it_is(wheel):
    """The wheel's metadata name the licence, the Python, the two dependencies and the extras."""
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]

    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert sorted(line.split()[1].split(">")[0] for line in needed) == ["keras", "numpy"]
    for extra in ("tensorflow", "jax", "torch", "plot", "cli", "studies", "all"):
        assert f"Provides-Extra: {extra}\n" in metadata


def test_wheel_imports(installed):
    """The installed wheel imports from where it lies, with its version."""
    program = "import onecycle; print(onecycle.__file__, onecycle.__version__)"
    place, version = run(installed, "-c", program).split()

    assert place == str(installed / "onecycle" / "__init__.py")
    assert (installed / f"onecycle-{version}.dist-info").is_dir()


def test_wheel_has_the_command(installed):
    """`python -m onecycle --help` and the script `onecycle` work from the wheel."""
    assert "find" in run(installed, "-m", "onecycle", "--help")
    assert "demo" in run(installed, installed / "bin" / "onecycle", "--help")

"""What importing onecycle costs, and what it offers."""

import re

import pytest

import onecycle

HEAVY = ("keras", "matplotlib", "tensorflow", "jax", "torch", "sklearn", "scipy")
LOADED = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"


def test_import_is_light(python):
    """`import onecycle` loads neither keras, nor a backend, nor matplotlib."""
    assert python(f"import onecycle; {LOADED}").stdout.strip() == "[]"


def test_pure_rooms_are_light(python):
    """Results, suggestions, plots and the names of the tasks are there without keras or matplotlib."""
    program = f"import onecycle as o; o.load; o.suggestions; o.results; o.plot; o.tasks.NAMES; {LOADED}"

    assert python(program).stdout.strip() == "[]"


def test_help_is_light(python):
    """`onecycle --help` shows the commands and loads neither keras, nor a backend, nor matplotlib."""
    done = python(f"from onecycle.__main__ import main; code = main(['--help']); {LOADED}; raise SystemExit(code)")

    assert done.stdout.splitlines()[-1] == "[]"
    assert all(command in done.stdout for command in ("demo", "find", "fit"))


def test_command_line_without_its_extra(python):
    """Without typer the command says in one line what to install, and exits with 2."""
    program = "import sys; sys.modules['typer'] = None; from onecycle.__main__ import main; sys.exit(main(['--help']))"
    done = python(program, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'onecycle[cli]'" in done.stderr


def test_comparisons_without_their_extra(python):
    """Without scipy `onecycle.compare` says what to install."""
    program = "import sys; sys.modules['scipy'] = None; import onecycle; onecycle.compare"
    done = python(program, check=False, KERAS_BACKEND="torch")  # JAX itself needs scipy

    assert done.stderr.splitlines()[-1].endswith("Install them with: pip install 'onecycle[studies]'")


@pytest.mark.parametrize("command", ["reproduce", "compare"])
def test_commands_of_comparisons_without_their_extra(command, python, tmp_path):
    """Without scipy they say in one line what to install, and exit with 2."""
    (tmp_path / "mine.py").write_text("def parts(): return 1, 2, 3")
    subject = {"reproduce": "boston-housing", "compare": f"{tmp_path / 'mine.py'}:parts"}[command]
    lacking = "import sys; sys.modules['scipy'] = None; from onecycle.__main__ import main; "
    done = python(f"{lacking}sys.exit(main({[command, subject]!r}))", check=False, KERAS_BACKEND="torch")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: This needs scipy: pip install 'onecycle[studies]'."


def test_every_public_name_is_there():
    """Every name in `__all__` can be had, is in `dir`, and knows where it lives."""
    assert sorted(onecycle.__all__) == onecycle.__all__
    for name in onecycle.__all__:
        assert getattr(onecycle, name) is not None
        assert name in dir(onecycle)


def test_unknown_names_are_refused():
    """A name that onecycle does not have is an AttributeError that says so."""
    assert not hasattr(onecycle, "one_cycle")


def test_no_module_has_a_functions_name(root):
    """No submodule bears the name of a public function, which importing it would hide."""
    modules = {path.stem for path in (root / "src" / "onecycle").iterdir()}

    assert not modules & set(onecycle.__all__)


def test_version_is_that_of_the_package(root):
    """`onecycle.__version__` is the version in pyproject.toml."""
    written = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)

    assert onecycle.__version__ == written[1]

"""`import onecycle` loads no heavy package, and its public names exist."""

import json
import re

import pytest

import onecycle

HEAVY = ("keras", "matplotlib", "tensorflow", "jax", "torch", "sklearn", "scipy")
LOADED = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"


def test_import_is_light(python):
    """`import onecycle` loads neither Keras, nor a backend, nor matplotlib."""
    assert python(f"import onecycle; {LOADED}").stdout.strip() == "[]"


def test_packages_without_keras_are_light(python):
    """Results, suggestions, plots and the names of the tasks need neither Keras nor matplotlib."""
    program = f"import onecycle as o; o.load; o.suggestions; o.results; o.plot; o.tasks.NAMES; {LOADED}"

    assert python(program).stdout.strip() == "[]"


def test_import_of_the_command_line_is_light(python):
    """`import onecycle.cli` loads neither Keras nor rich: each command imports what it needs."""
    program = "import onecycle.cli, sys; print(sorted({'keras', 'numpy', 'rich'} & set(sys.modules)))"

    assert python(program).stdout.strip() == "[]"


def test_help_is_light(python):
    """`onecycle --help` lists the commands and loads neither Keras, nor a backend, nor matplotlib."""
    done = python(f"from onecycle.__main__ import main; code = main(['--help']); {LOADED}; raise SystemExit(code)")

    assert done.stdout.splitlines()[-1] == "[]"
    assert all(command in done.stdout for command in ("demo", "find", "fit"))


LIGHT = [
    "preview",
    "preview fastai --json",
    "preview --shape round",
    "preview fastai --shape cosine",
    "find nowhere.py:make",
    "find nowhere:make --seed 0",
    "find mine --num-steps 20",
    "race mine.py:make",
    "fit mine.py:make --max-learning-rate large",
    "fit mine.py:make --save nowhere/run.json",
    "fit nowhere.py:make",
    "compare mine.py:arms --mode sideways",
    "compare nowhere.py:arms",
    "report nowhere.json",
    "reproduce digits",
    "demo --seed -1",
]


def test_previews_and_wrong_usage_are_light(python):
    """Previews and wrong usage answer at once, since neither Keras nor a backend is imported for them."""
    program = f"""
import contextlib, io, json, sys
from onecycle.__main__ import main
codes = {{}}
for line in {LIGHT!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        codes[line] = [main(line.split()), sorted(set({HEAVY!r}) & set(sys.modules))]
print(json.dumps(codes))
"""
    codes = json.loads(python(program).stdout)
    expected = {line: [0 if line in ("preview", "preview fastai --json") else 2, []] for line in LIGHT}

    assert codes == expected


def test_command_line_without_its_packages(python):
    """Without typer, `onecycle` prints one line that says what to install, and exits with 2."""
    program = "import sys; sys.modules['typer'] = None; from onecycle.__main__ import main; sys.exit(main(['--help']))"
    done = python(program, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install typer rich" in done.stderr


def test_comparisons_without_their_packages(python, tmp_path):
    """Without scipy, `onecycle.compare` and the commands of comparisons say what to install."""
    (tmp_path / "mine.py").write_text("def parts(): return 1, 2, {}")
    program = f"""
import sys
sys.modules["scipy"] = None
from onecycle.__main__ import main
print([main(["reproduce", "boston-housing"]), main(["compare", {str(tmp_path / "mine.py:parts")!r}])])
import onecycle
onecycle.compare
"""
    done = python(program, check=False, KERAS_BACKEND="torch")  # JAX itself needs scipy
    command = "Error: This command needs scipy. Install it with: pip install scipy joblib cloudpickle"

    assert done.stdout.strip() == "[2, 2]"
    assert done.stderr.splitlines().count(command) == 2
    assert done.stderr.splitlines()[-1].endswith("Install them with: pip install scipy joblib cloudpickle")


def test_the_module_of_the_user_chooses_the_backend(python, tmp_path):
    """The commands import the user's module before Keras, so that it can set `KERAS_BACKEND`."""
    module = tmp_path / "mine.py"
    module.write_text("import sys\nassert 'keras' not in sys.modules\ndef make(): sys.exit(3)")
    commands = [[name, f"{module}:make"] for name in ("find", "fit", "race --epochs 2", "compare")]
    program = f"""
import os
from onecycle.__main__ import main
os.environ.pop("KERAS_BACKEND", None)
print([main([*command[0].split(), command[1]]) for command in {commands!r}])
"""
    done = python(program)

    assert done.stdout.strip() == "[1, 1, 1, 1]"
    assert done.stderr.count("ended the process with sys.exit(3)") == 4


def test_public_names_exist():
    """Every name in `__all__` exists and is in `dir(onecycle)`."""
    assert sorted(onecycle.__all__) == onecycle.__all__
    for name in onecycle.__all__:
        assert getattr(onecycle, name) is not None
        assert name in dir(onecycle)


def test_unknown_name():
    """An unknown name of `onecycle` raises an AttributeError."""
    with pytest.raises(AttributeError, match="module 'onecycle' has no attribute 'one_cycle'"):
        onecycle.one_cycle  # noqa: B018


def test_no_module_hides_a_public_name(root):
    """No module or package of `onecycle` has the name of a public function or class, which importing it would hide."""
    modules = {path.stem for path in (root / "src" / "onecycle").iterdir()}

    assert not modules & set(onecycle.__all__)


def test_version(root):
    """`onecycle.__version__` is the version in pyproject.toml."""
    match = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)

    assert onecycle.__version__ == match[1]

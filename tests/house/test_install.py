"""Each documented line that installs onecycle works in a fresh environment, from the checkout and from the wheel."""

import os
import re
import subprocess
import sys
import venv

import pytest

PAGES = ("README.md", "docs/*.md", "examples/*.ipynb")
COMMAND = re.compile(r"pip install '\.\[([a-z,]+)\]'")
BACKENDS = ("tensorflow", "jax", "torch")
# What a user would run next, for each extra.
PROGRAMS = {
    "plot": "import onecycle.plot as plot, onecycle; plot.plot_schedule(onecycle.OneCycle(0.1, 100))",
    "report": "from onecycle.report.page import plotly_js; plotly_js()",
    "cli": "from onecycle.__main__ import main; "
    "assert main('preview one-cycle --max-learning-rate 0.1 --total-steps 100'.split()) == 0",
    "demo": "from onecycle.__main__ import main; assert main(['demo']) == 0",
    "studies": "import onecycle; onecycle.compare; onecycle.tasks.load_task('digits').data",
    "ray": "import ray",
}


def documented_extras(root):
    """Return the extras of each documented install line, sorted and without repetition."""
    texts = [path.read_text() for page in PAGES for path in root.glob(page)]
    return sorted({match for text in texts for match in COMMAND.findall(text)})


def test_extras_of_documented_lines_exist(root):
    """Install lines are found, and name extras of the package only."""
    found = documented_extras(root)
    assert len(found) >= 3
    assert {extra for extras in found for extra in extras.split(",")} <= {*BACKENDS, *PROGRAMS, "all"}


@pytest.mark.long
@pytest.mark.parametrize("source", ["checkout", "wheel"])
def test_documented_lines_install_what_they_promise(source, root, tmp_path):
    """After each line, a backend included, what its extras are for runs outside the checkout without an error."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("does not depend on the backend: runs once")
    for number, extras in enumerate(documented_extras(root)):
        python = _fresh_environment(tmp_path / str(number))
        # A line without a backend is for those who have one.
        names = extras.split(",")
        backend = next((name for name in names if name in BACKENDS), "jax")
        _install(python, source, root, ",".join(dict.fromkeys([backend, *names])), tmp_path)
        for name in names:
            _run(python, PROGRAMS.get(name, "import keras, onecycle; onecycle.OneCycleScheduler"), tmp_path, backend)


def _fresh_environment(folder):
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def _install(python, source, root, extras, folder):
    package = root
    if source == "wheel":
        dist = folder / "dist"
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", dist]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
        package = next(dist.glob("*.whl"))
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", f"{package}[{extras}]"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def _run(python, program, folder, backend):
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "KERAS_BACKEND")}
    done = subprocess.run(
        [python, "-c", program], cwd=folder, env={**kept, "KERAS_BACKEND": backend}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

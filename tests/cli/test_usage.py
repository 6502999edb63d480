"""Wrong command lines: the exit code, one line that names what is wrong, and no training before it."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import onecycle
from onecycle.__main__ import main

CODE = """
import sys

import keras
import numpy as np

x, y = np.ones((64, 4), "float32"), np.ones((64, 1), "float32")


def model(inputs=4):
    model = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def make():
    return model(), x, y


def other_shape():
    return model(3), x, y


def other_length():
    return model(), x, y[:5]


def frozen():
    made = model()
    made.trainable = False
    return made, x, y


def ends():
    sys.exit(0)


def arms():
    return model, ((x, y), (x, y)), {"plain": {}, "other": {}}


def arms_of_other_lengths():
    return model, ((x, y), (x, y[:5])), {"plain": {}, "other": {}}


def arms_of_no_model():
    return dict, ((x, y), (x, y)), {"plain": {}, "other": {}}


def one_arm():
    return model, ((x, y), (x, y)), {"plain": {}}


def arms_with_lr():
    return model, ((x, y), (x, y)), {"plain": {"lr": 0.1}}
"""
FILES = {
    "mine.py": CODE,
    "bad_syntax.py": "def make(:\n",
    "imports_bad_syntax.py": "import bad_syntax\n",
    "ends_early.py": "import sys\n\nsys.exit(0)\n",
    "needs_more.py": "import a_module_that_does_not_exist\n",
    "divides.py": "1 / 0\n",
    "a_file": "",
}
# A folder in which not even root can make a file.
UNWRITABLE = "/proc" if Path("/proc/self").is_dir() else "a_file"

LINES = [
    # command line, exit code, a part of the message
    ("find bad_syntax:make", 2, "bad_syntax.py, line 1, is not valid Python: invalid syntax."),
    ("race bad_syntax.py:make --epochs 9", 2, "bad_syntax.py, line 1, is not valid Python"),
    ("compare imports_bad_syntax:arms", 2, "bad_syntax.py, line 1, is not valid Python"),
    ("find ends_early:make", 1, "ends_early ended the process with sys.exit(0)"),
    ("fit ends_early.py:make", 1, "ends_early.py ended the process with sys.exit(0)"),
    ("find mine:ends", 1, "mine:ends ended the process with sys.exit(0)"),
    ("find needs_more:make", 1, "No module named 'a_module_that_does_not_exist'"),
    ("find divides:make", 1, "ZeroDivisionError: division by zero"),
    ("find ..:make", 2, "without a dot at the start"),
    ("find no_module:make", 2, "There is no module 'no_module'"),
    ("find mine:other_shape", 1, "expected axis -1 of input shape to have value 3"),
    ("fit mine:other_shape", 1, "expected axis -1 of input shape to have value 3"),
    ("find mine:other_length", 1, "'x' sizes: 64 'y' sizes: 5"),
    ("race mine:other_length --epochs 60", 1, "'x' sizes: 64 'y' sizes: 5"),
    ("fit mine:frozen", 1, "`model` must have trainable weights"),
    ("find mine:make --plot a.xyz", 2, "Option --plot must end in .png, .svg or .pdf"),
    (f"fit mine:make --save {UNWRITABLE}/a.json", 2, "Option --save"),
    (f"fit mine:make --model {UNWRITABLE}/a.keras", 2, "Option --model"),
    (f"race mine:make --epochs 9 --plot {UNWRITABLE}/a.png", 2, "Option --plot"),
    (f"find mine:make --save {'a' * 300}.json", 2, "Option --save names a place that cannot be written"),
    (
        "find mine:make --max-learning-rate inf",
        2,
        "Option --max-learning-rate must be a finite number. Received: --max",
    ),
    ("fit mine:make --max-learning-rate inf", 2, "Received: --max-learning-rate inf"),
    ("fit mine:make --max-learning-rate 1e300", 2, "Option --max-learning-rate must be between"),
    ("find mine:make --min-learning-rate nan", 2, "Option --min-learning-rate must be a finite number"),
    ("find mine:make --seed 18446744073709551616", 2, "--seed"),
    ("demo --seed -1", 2, "--seed"),
    ("demo --output a_file/plots", 2, "Option --output must be a folder"),
    ("compare mine:arms --mode sideways", 2, 'Option --mode must be "auto", "max" or "min"'),
    ("compare mine:arms --target nan", 2, "Option --target must be a finite number"),
    ("compare mine:arms --margin -1", 2, "Option --margin must be > 0"),
    ("compare mine:arms --directory a_file/runs", 2, "Option --directory must be a folder"),
    ("compare mine:arms --metric val_auc --seeds 2 --epochs 1", 2, "val_auc"),
    ("compare mine:arms_of_other_lengths", 1, "'x' sizes: 64 'y' sizes: 5"),
    ("compare mine:arms_of_no_model", 2, "must be a function that returns a compiled keras.Model"),
    ("compare mine:one_arm", 2, "`arms` must have at least two arms"),
    ("compare mine:arms_with_lr", 2, "Did you mean `max_learning_rate`?"),
    ("reproduce boston-housing --data-dir nowhere", 2, "There is no folder nowhere"),
    ("reproduce boston-housing --directory a_file", 2, "is a file"),
    ("preview --max-learning-rate 1e300", 2, "limits of float32"),
    ("preview --plot a.xyz", 2, "Option --plot must end in"),
    (f"report mine.py -o {UNWRITABLE}/a.html", 2, "Option --output"),
]


@pytest.fixture
def _user_folder(tmp_path, monkeypatch):
    """The current folder, with the user's code."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.usefixtures("_user_folder")
@pytest.mark.parametrize(("line", "code", "message"), LINES, ids=[line[:60] for line, *_ in LINES])
def test_wrong_command_lines(line, code, message, capsys, monkeypatch):
    """The exit code is 2 for wrong usage and 1 for a fault in the user's code. Nothing is trained or written."""
    trained = []
    monkeypatch.setattr(keras.optimizers.Optimizer, "apply", lambda *args, **kwargs: trained.append(args))
    files = sorted(path.name for path in Path().iterdir())
    assert main(line.split()) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert trained == []
    assert sorted(path.name for path in Path().iterdir() if path.name != "__pycache__") == files


def test_long_schedules_are_previewed_at_some_steps(capsys, tmp_path):
    """A curve has as many points as a plot can show, its ends, its peak and the ends of its phases among them."""
    total = 300_000_000
    options = ["--total-steps", str(total), "--max-learning-rate", "0.5"]
    assert main(["preview", *options, "--json", "--plot", str(tmp_path / "curve.png")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["steps"]) == len(facts["learning_rates"]) == len(facts["momenta"]) < 2100
    schedule = onecycle.OneCycle(0.5, total)
    corners = {round(end) for phase in schedule.phases for end in (phase.start, phase.stop)}
    assert corners <= set(facts["steps"])
    assert (facts["steps"][0], facts["steps"][-1]) == (0, total - 1)
    assert max(facts["learning_rates"]) == 0.5
    assert facts["learning_rates"] == [schedule.value_at(step) for step in facts["steps"]]
    assert main(["preview", *options]) == 0
    text = capsys.readouterr().out
    assert f"step {total - 1}" in text
    assert "0.05 to 0.5" in text


def test_long_schedules_are_plotted_at_some_steps():
    """The plot of a schedule has few points, and a momentum given as an array is read at the same steps."""
    schedule = onecycle.OneCycle(0.5, 1_000_000)
    momenta = np.linspace(0.95, 0.85, 1_000_000)
    ax = onecycle.plot.plot_schedule(schedule, momenta)
    (line,) = ax.lines
    steps = line.get_xdata().astype(int)
    assert len(steps) < 2100
    assert line.get_ydata().max() == 0.5
    twin = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(twin.lines[0].get_ydata(), momenta[steps])

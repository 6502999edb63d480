"""The commands on a user's model: exit codes, one-line errors, JSON output and the files they write."""

import json
import subprocess
import sys

import keras
import matplotlib.figure
import numpy as np
import pytest

import onecycle
from onecycle.__main__ import main
from onecycle.cli.environment import PLOT_SUFFIXES

pytestmark = pytest.mark.one_backend

CODE = """
import keras
import numpy as np

rng = np.random.default_rng(0)
x = rng.normal(size=(256, 4)).astype("float32")
y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")


def make():
    print("output of the user's code")
    # Seeded initializers, because a new process must also work if nothing has touched the global random state.
    first, second = (keras.initializers.GlorotUniform(seed=seed) for seed in (0, 1))
    hidden = keras.layers.Dense(8, activation="relu", kernel_initializer=first)
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1, kernel_initializer=second)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model, x, y


def uncompiled():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), x, y


def unseeded():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model, x, y


def model_only():
    return make()[0]


def arrays():
    return x, y


def broken():
    return x / undefined
"""

FAILING = """

def with_nan():
    model, x, y = make()
    x = x.copy()
    x[9] = np.nan
    return model, x, y


def classifier():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, x, (y[:, 0] > 0).astype("int32")
"""

FIND = ("--num-steps", "60", "--batch-size", "32", "--seed", "0")


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """The current folder, with the user's code in mine.py."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mine", None)


def failure(capsys, *arguments):
    """Run a command that must fail; return the exit code and standard error."""
    code = main(arguments)
    output = capsys.readouterr()
    assert output.out in ("", "output of the user's code\n")
    assert "Traceback" not in output.err
    return code, output.err


def test_version(capsys):
    """`--version` prints the version and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{onecycle.__version__}\n"


def test_find(user_folder, capsys):
    """`find` prints the summary and writes the result and the plot."""
    code = main(["find", "mine:make", *FIND, "--save", "found.json", "--plot", "found.png"])
    result = onecycle.load(user_folder / "found.json")

    assert code == 0
    assert result.summary() in capsys.readouterr().out
    assert (user_folder / "found.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.lower_bound
def test_find_with_json(user_folder, capsys):
    """With `--json`, standard output is one JSON object, and what the user's code prints goes to standard error."""
    code = main(["find", "mine.py:make", *FIND, "--save", "found.json", "--json"])
    output = capsys.readouterr()
    facts = json.loads(output.out)

    assert code == 0
    assert "output of the user's code" in output.err
    assert facts["learning_rate"] == onecycle.load(user_folder / "found.json").learning_rate
    assert facts["steps"] <= 60
    assert facts["suggestions"][facts["rule"]] == facts["learning_rate"]


def test_race(user_folder, capsys):
    """`race` prints JSON, writes the result, the plot and the trained model, and its result is a peak for `fit`."""
    options = ["--epochs", "3", "--candidates", "2", "--seed", "0", "--save", "race.json", "--plot", "race.png"]
    assert main(["race", "mine:make", *options, "--model", "raced.keras", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    result = onecycle.load(user_folder / "race.json")
    assert facts["learning_rate"] == result.learning_rate
    assert facts["candidates"] == len(result.learning_rates)
    assert (user_folder / "race.png").read_bytes().startswith(b"\x89PNG")
    assert int(keras.saving.load_model(user_folder / "raced.keras").optimizer.iterations) > 0
    assert main(["fit", "mine:make", "--epochs", "1", "--max-learning-rate", "race.json"]) == 0
    assert "Picked by a race" in capsys.readouterr().out


def test_race_ends_with_the_next_step(user_folder, capsys):
    """Without `--model`, the trained network is lost, and the command says how it is kept."""
    assert main(["race", "mine:make", "--epochs", "3", "--candidates", "2", "--seed", "0"]) == 0
    assert "`--model trained.keras`, which keeps the trained model" in capsys.readouterr().out


def test_find_without_a_suggestion(user_folder, capsys):
    """If the range test suggests no learning rate, `find` prints null with the reason and exits with 1."""
    code = main(["find", "mine:make", *FIND, "--max-learning-rate", "2e-6", "--json"])
    facts = json.loads(capsys.readouterr().out)

    assert code == 1
    assert facts["learning_rate"] is None
    assert facts["reason"]


@pytest.mark.lower_bound
def test_fit(user_folder, capsys):
    """`fit` trains with the given peak, lowers the loss, and writes the result, the plot and the model."""
    options = ["--epochs", "4", "--max-learning-rate", "0.02", "--seed", "0", "--json"]
    files = ["--save", "run.json", "--plot", "run.png", "--model", "run.keras"]
    code = main(["fit", "mine:make", *options, *files])
    facts = json.loads(capsys.readouterr().out)

    assert code == 0
    report = onecycle.load(user_folder / "run.json")
    assert (report.max_learning_rate, report.steps) == (0.02, 32)
    assert report.history["loss"] == tuple(facts["history"]["loss"])
    assert (facts["max_learning_rate"], facts["reason"]) == (0.02, "set with --max-learning-rate")
    assert (facts["epochs"], facts["epochs_asked"]) == (4, 4)
    assert facts["history"]["loss"][-1] < facts["history"]["loss"][0]
    assert (user_folder / "run.png").is_file()
    assert keras.saving.load_model(user_folder / "run.keras").input_shape == (None, 4)


def test_fit_runs_a_range_test(user_folder, capsys):
    """Without `--max-learning-rate`, `fit` prints the peak it found; there is no progress bar without a terminal."""
    assert main(["fit", "mine:make", "--epochs", "1", "--seed", "0"]) == 0

    output = capsys.readouterr().out
    assert "Maximum learning rate" in output
    assert "Picked by a range test" in output
    assert "/300" not in output


def test_seed_sets_the_initial_weights(user_folder, capsys):
    """With `--seed`, a function that sets no seed gives the same losses each time."""
    for name in ("first.json", "second.json"):
        assert main(["find", "mine:unseeded", *FIND, "--save", name]) in (0, 1)

    first, second = (onecycle.load(name).losses for name in ("first.json", "second.json"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["find", "mine"], "must have the form MODULE:FUNCTION or FILE.py:FUNCTION. Received: 'mine'"),
        (["find", "nowhere:make"], "There is no module 'nowhere'."),
        (["find", "nowhere.py:make"], "There is no file nowhere.py."),
        (
            ["find", "mine:maker"],
            "There is no function 'maker' in mine. Its functions are: arrays, broken, make, model_only, uncompiled,",
        ),
        (["find", "mine:uncompiled"], "must return a compiled model"),
        (["fit", "mine:model_only"], "or (model, train, validation). Received: Sequential"),
        (["compare", "mine:make"], "must return (build, data, arms), with a dict of arms"),
        (["fit", "mine:arrays"], "with a Keras model. Received: ndarray"),
        (["find", "mine:make", "--min-learning-rate", "1", "--max-learning-rate", "0.1"], "than --max-learning-rate"),
        (["fit", "mine:make", "--max-learning-rate", "-1"], "must be > 0"),
        (["find", "mine:make", "--save", "nowhere/found.json"], "There is no folder"),
        (["find", "mine:make", "--plot", "found.gif"], "must end in .png, .svg or .pdf. Received: --plot found.gif"),
        (["fit", "mine:make", "--model", "model.h5"], "must end in .keras. Received: --model model.h5"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(user_folder, capsys, arguments, expected):
    """Wrong usage exits with 2 and prints one line that names what is wrong."""
    code, message = failure(capsys, *arguments)

    assert code == 2
    assert expected in message
    assert message.startswith("Error: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", "mine:make", "--num-steps", "3"],
        ["fit", "mine:make", "--epochs", "0"],
        ["find", "mine:make", "--backend", "theano"],
        ["find"],
        ["train", "mine:make"],
    ],
    ids=" ".join,
)
def test_invalid_options(user_folder, capsys, arguments):
    """An unknown command, a missing argument or an option out of its range exits with 2."""
    assert failure(capsys, *arguments)[0] == 2


def test_plots_have_the_suffixes_that_plot_writes(tmp_path):
    """`save_figure` writes each of the suffixes that `--plot` accepts."""
    figure = matplotlib.figure.Figure()
    for suffix in PLOT_SUFFIXES:
        onecycle.plot.save_figure(figure, tmp_path / f"plot{suffix}")
        assert (tmp_path / f"plot{suffix}").stat().st_size > 0


def test_backend_cannot_change(capsys, user_folder, backend):
    """`--backend` with another backend than the one Keras runs on is wrong usage."""
    other = next(name for name in ("tensorflow", "jax", "torch") if name != backend)
    code, message = failure(capsys, "find", "mine:make", "--backend", other)

    assert code == 2
    assert f"Keras already runs on {backend}" in message


def test_exception_in_the_users_function(user_folder, capsys):
    """An exception in the user's function exits with 1 and prints the function and the exception in one line."""
    code, message = failure(capsys, "find", "mine:broken")

    assert code == 1
    assert message.startswith("Error: mine:broken raised NameError: name 'undefined' is not defined")
    assert message.count("\n") == 1


def test_debug_prints_the_traceback(user_folder, capsys):
    """`--debug` prints the traceback, with the line of the user's code."""
    assert main(["find", "mine:broken", "--debug"]) == 1
    assert "return x / undefined" in capsys.readouterr().err


def test_python_m_onecycle(user_folder):
    """`python -m onecycle find` in a new process prints JSON, and a wrong name exits with 2."""
    command = [sys.executable, "-m", "onecycle", "find"]
    right = subprocess.run([*command, "mine:make", *FIND, "--json"], capture_output=True, text=True, cwd=user_folder)
    wrong = subprocess.run([*command, "nowhere:make"], capture_output=True, text=True, cwd=user_folder)

    assert right.returncode == 0, right.stderr + right.stdout
    assert json.loads(right.stdout)["learning_rate"] > 0
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_example(root, user_folder, capsys, data_dir, monkeypatch):
    """`find` runs examples/boston.py, given by the path of its file."""
    monkeypatch.setenv("ONECYCLE_DATA", str(data_dir))
    code = main(["find", str(root / "examples" / "boston.py") + ":make", "--seed", "0", "--json"])

    assert code == 0
    assert 1e-5 < json.loads(capsys.readouterr().out)["learning_rate"] < 0.1


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("make", ("--max-learning-rate", "1e30"), "Training diverged"),
        ("classifier", ("--max-learning-rate", "1e30"), "Training diverged"),
        ("with_nan", ("--max-learning-rate", "0.01"), "`x` has NaN in 1 of 256 rows, first in row 9"),
        ("with_nan", (), "`x` has NaN in 1 of 256 rows, first in row 9"),
    ],
)
@pytest.mark.filterwarnings("ignore:DivergenceGuard:UserWarning")
def test_fit_that_fails(user_folder, capsys, function, arguments, expected):
    """`fit` exits with 1 and a sentence if training diverged, and still writes its files, or if the data has NaN."""
    (user_folder / "mine.py").write_text(CODE + FAILING)
    files = ("--save", "out.json", "--model", "out.keras")
    assert main(["fit", f"mine.py:{function}", "--epochs", "2", *files, *arguments]) == 1
    output = capsys.readouterr()
    assert expected in output.err
    assert "Traceback" not in output.err
    assert (user_folder / "out.json").exists() == (function != "with_nan")
    assert (user_folder / "out.keras").exists() == (function != "with_nan")


@pytest.mark.parametrize("command", [("find",), ("race", "--epochs", "20")])
def test_other_commands_with_nan(user_folder, capsys, command):
    """`find` and `race` exit with 1 and name NaN in the data."""
    (user_folder / "mine.py").write_text(CODE + FAILING)
    assert main([*command, "mine.py:with_nan"]) == 1
    assert "`x` has NaN in 1 of 256 rows, first in row 9" in capsys.readouterr().err


def test_check_prints_the_findings(user_folder, capsys):
    """`check` has the exit code 0 where nothing is found; else it prints the findings and has the exit code 1."""
    assert main(["check", "mine:make"]) == 0
    assert "\nNothing was found in 11 checks.\n" in capsys.readouterr().out
    assert main(["check", "mine:make", "--learning-rate", "1e6", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["name"] == "unstable learning rate"
    assert finding["remedy"]

"""The command line: exit codes, sentences instead of tracebacks, and JSON alone on standard output."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import onecycle
from onecycle.__main__ import main

CODE = """
import keras
import numpy as np

rng = np.random.default_rng(0)
x = rng.normal(size=(256, 4)).astype("float32")
y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")


def make():
    print("a person's own code prints")
    # Seeded by themselves: a process of its own must work on global random states that nobody has touched.
    start = [keras.initializers.GlorotUniform(seed=seed) for seed in (0, 1)]
    hidden = keras.layers.Dense(8, activation="relu", kernel_initializer=start[0])
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1, kernel_initializer=start[1])])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model, x, y


def raw():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), x, y


def unseeded():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model, x, y


def model_alone():
    return make()[0]


def numbers():
    return x, y


def broken():
    return x / undefined
"""

FIND = ("--num-steps", "60", "--batch-size", "32", "--seed", "0")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A person's folder, with their code in mine.py; the current folder."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mine", None)


def wrong(capsys, *arguments):
    """Run the command, which must fail, and return its exit code and what it says on standard error."""
    code = main(arguments)
    said = capsys.readouterr()
    assert said.out == "" or "own code" in said.out
    assert "Traceback" not in said.err
    return code, said.err


def test_version(capsys):
    """`--version` prints the version and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{onecycle.__version__}\n"


def test_find_for_people(here, capsys):
    """`find` prints the summary with the rate, and writes the result and the picture."""
    code = main(["find", "mine:make", *FIND, "--save", "found.json", "--plot", "found.png"])
    result = onecycle.load(here / "found.json")

    assert code == 0
    assert result.summary() in capsys.readouterr().out
    assert (here / "found.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.lower_bound
def test_find_for_programs(here, capsys):
    """With `--json` standard output is one JSON object, though the person's own code prints."""
    code = main(["find", "mine.py:make", *FIND, "--save", "found.json", "--json"])
    said = capsys.readouterr()
    facts = json.loads(said.out)

    assert code == 0
    assert "own code prints" in said.err
    assert facts["learning_rate"] == onecycle.load(here / "found.json").learning_rate
    assert facts["steps"] <= 60
    assert facts["suggestions"][facts["rule"]] == facts["learning_rate"]


def test_sweep(here, capsys):
    """`sweep` picks a peak for so many epochs, prints JSON alone, and writes the result and the picture."""
    options = ("--epochs", "30", "--budget", "0.6", "--seed", "0", "--save", "swept.json", "--plot", "swept.png")
    code = main(["sweep", "mine:make", *options, "--json"])
    facts = json.loads(capsys.readouterr().out)
    result = onecycle.load(here / "swept.json")

    assert code == 0
    assert facts["learning_rate"] == result.learning_rate
    assert facts["cost"] <= 0.6
    assert facts["total_steps"] == 30 * 8
    assert (here / "swept.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_needs_room(here, capsys):
    """A budget that is none is wrong use, one too small for a sweep a failure that names the remedy."""
    assert wrong(capsys, "sweep", "mine:make", "--epochs", "3", "--budget", "0")[0] == 2
    code, said = wrong(capsys, "sweep", "mine:make", "--epochs", "3", "--budget", "0.1")
    assert code == 1
    assert "larger `budget`" in said


def test_no_suggestion_is_a_failure(here, capsys):
    """Where the range test suggests nothing, `find` says why, gives null, and exits with 1."""
    code = main(["find", "mine:make", *FIND, "--max-learning-rate", "2e-6", "--json"])
    facts = json.loads(capsys.readouterr().out)

    assert code == 1
    assert facts["learning_rate"] is None
    assert facts["reason"]


@pytest.mark.lower_bound
def test_fit(here, capsys):
    """`fit` trains at the given peak, lowers the loss, and writes the history, the picture and the model."""
    options = ["--epochs", "4", "--max-learning-rate", "0.02", "--seed", "0", "--json"]
    files = ["--save", "run.json", "--plot", "run.png", "--model", "run.keras"]
    code = main(["fit", "mine:make", *options, *files])
    facts = json.loads(capsys.readouterr().out)

    assert code == 0
    assert facts == json.loads((here / "run.json").read_text())
    assert (facts["max_learning_rate"], facts["epochs"]) == (0.02, 4)
    assert facts["history"]["loss"][-1] < facts["history"]["loss"][0]
    assert (here / "run.png").is_file()
    assert keras.saving.load_model(here / "run.keras").input_shape == (None, 4)


def test_fit_finds_the_rate_itself(here, capsys):
    """Without `--max-learning-rate`, `fit` finds one first and says why it took it; no bar where no terminal is."""
    assert main(["fit", "mine:make", "--epochs", "1", "--seed", "0"]) == 0

    said = capsys.readouterr().out
    assert "Maximum learning rate" in said
    assert "/300" not in said


def test_a_seed_settles_the_model_too(here, capsys):
    """With `--seed`, a function that seeds nothing itself gives the same losses each time."""
    for name in ("one.json", "two.json"):
        assert main(["find", "mine:unseeded", *FIND, "--save", name]) in (0, 1)

    one, two = (onecycle.load(name).losses for name in ("one.json", "two.json"))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["find", "mine"], "Name your code as MODULE:FUNCTION"),
        (["find", "nowhere:make"], "There is no module 'nowhere' here"),
        (["find", "nowhere.py:make"], "There is no file nowhere.py"),
        (
            ["find", "mine:maker"],
            "There is no function 'maker' in mine: it has broken, make, model_alone, numbers, raw",
        ),
        (["find", "mine:raw"], "must return a compiled model"),
        (["fit", "mine:model_alone"], "must return (model, x, y) or (model, dataset). Received: Sequential"),
        (["fit", "mine:numbers"], "the first a Keras model. Received: ndarray"),
        (["find", "mine:make", "--min-learning-rate", "1", "--max-learning-rate", "0.1"], "below --max-learning-rate"),
        (["fit", "mine:make", "--max-learning-rate", "-1"], "must be above 0"),
        (["find", "mine:make", "--save", "nowhere/found.json"], "There is no folder"),
        (["fit", "mine:make", "--model", "model.h5"], "must end in .keras"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use(here, capsys, arguments, sentence):
    """Wrong use exits with 2 and says, in one line, what is wrong and what to do."""
    code, said = wrong(capsys, *arguments)

    assert code == 2
    assert sentence in said
    assert said.startswith("Error: ")
    assert said.count("\n") == 1


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
def test_bad_options(here, capsys, arguments):
    """An option or a command that does not exist, or is out of range, exits with 2."""
    assert wrong(capsys, *arguments)[0] == 2


def test_another_backend_than_the_one_in_use(capsys, here, backend):
    """A backend cannot be changed once keras is imported, and the command says so."""
    other = next(name for name in ("tensorflow", "jax", "torch") if name != backend)
    code, said = wrong(capsys, "find", "mine:make", "--backend", other)

    assert code == 2
    assert f"Keras runs on {backend} already" in said


def test_failure_in_a_persons_code(here, capsys):
    """An error in a person's own function exits with 1, names the function and the error, and shows no traceback."""
    code, said = wrong(capsys, "find", "mine:broken")

    assert code == 1
    assert "mine:broken raised NameError: name 'undefined' is not defined" in said


def test_debug_shows_the_traceback(here, capsys):
    """With `--debug` the traceback is shown as well, down to the person's own line."""
    assert main(["find", "mine:broken", "--debug"]) == 1
    assert "return x / undefined" in capsys.readouterr().err


def test_as_a_process(here, root):
    """`python -m onecycle find` in a process of its own prints JSON alone, and a wrong name ends it with 2."""
    command = [sys.executable, "-m", "onecycle", "find"]
    right = subprocess.run([*command, "mine:make", *FIND, "--json"], capture_output=True, text=True, cwd=here)
    wrong = subprocess.run([*command, "nowhere:make"], capture_output=True, text=True, cwd=here)

    assert right.returncode == 0, right.stderr + right.stdout
    assert json.loads(right.stdout)["learning_rate"] > 0
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_example(root, here, capsys, data_dir, monkeypatch):
    """The example in examples/boston.py is found by the path of its file."""
    monkeypatch.setenv("ONECYCLE_DATA", str(data_dir))
    code = main(["find", str(root / "examples" / "boston.py") + ":make", "--seed", "0", "--json"])

    assert code == 0
    assert 1e-5 < json.loads(capsys.readouterr().out)["learning_rate"] < 0.1

"""What is left of a long command when one of its last steps fails, and what ends a command early."""

import re
import sys

import keras
import pytest

import onecycle
from onecycle.__main__ import main

pytestmark = pytest.mark.one_backend

CODE = """
import sys

import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
y = keras.utils.to_categorical(x[:, 0] > 0, 2)


def build(metrics=None):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "categorical_crossentropy", metrics=metrics)
    return model


def per_class():
    return build(["accuracy", keras.metrics.F1Score()]), (x[:64], y[:64]), (x[64:], y[64:])


def compared(arms=None):
    return lambda: per_class()[0], ((x[:64], y[:64]), (x[64:], y[64:])), arms or {"plain": {}, "again": {}}


def dollars():
    return compared({"plain $x": {}, "1cycle $\\\\eta_{max$ 0.1": {"max_learning_rate": 0.1}})


class Unsaved(keras.Model):
    def __init__(self, helper):
        super().__init__()
        self.helper, self.dense = helper, keras.layers.Dense(2, "softmax")

    def call(self, inputs):
        return self.dense(inputs)


def unsaved():
    model = Unsaved(object())
    model.compile(keras.optimizers.SGD(momentum=0.9), "categorical_crossentropy")
    return model, x, y


class Ending(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 2:
            sys.exit(0)
        return x[:32], y[:32]


def ending():
    return build(), Ending()


def good():
    model = build()
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    return model, x, model.predict(x, verbose=0) + np.float32(1e-4)
"""
RACE = ("--epochs", "8", "--seed", "0", "--model", "m.keras", "--save", "r.json")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with the user's code in mine.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("mine", None)


def test_fit_with_a_metric_that_has_a_value_for_each_class(folder):
    """The model and the result are written; the result has the other metrics."""
    files = ("--model", "m.keras", "--save", "r.json")
    assert main(["fit", "mine:per_class", "--epochs", "2", "--max-learning-rate", "0.1", *files]) == 0
    assert keras.saving.load_model(folder / "m.keras").built
    history = onecycle.load(folder / "r.json").history
    assert len(history["val_accuracy"]) == 2
    assert "val_f1_score" not in history


def test_comparison_with_a_metric_that_has_a_value_for_each_class(folder):
    """Such a metric is left out; of the others, the first one on validation data decides."""
    assert main(["compare", "mine:compared", "--seeds", "1", "--epochs", "1", "--save", "c.json"]) == 0
    assert onecycle.load(folder / "c.json").metric == "val_accuracy"


def test_dollar_signs_in_names_are_drawn(folder):
    """They are no formulas, in the plots of comparisons and trainings, and cost no result."""
    files = ("--plot", "p.svg", "--save", "c.json")
    assert main(["compare", "mine:dollars", "--seeds", "1", "--epochs", "1", *files]) == 0
    assert (folder / "p.svg").stat().st_size > 0
    result = onecycle.load(folder / "c.json")
    onecycle.plot.plot_differences(result).get_figure().savefig(folder / "d.svg")
    onecycle.plot.plot_training_curves({"a $b": {"loss": [1.0, 0.5]}}, "loss").get_figure().savefig(folder / "t.svg")


@pytest.mark.parametrize("command", ["race", "fit"])
def test_model_that_cannot_be_saved_is_refused_before_training(command, folder, capsys):
    """With `--model`, and the file that was there stays."""
    (folder / "m.keras").write_bytes(b"a model")
    assert main([command, "mine:unsaved", *RACE]) == 2
    assert "models that Keras can save" in capsys.readouterr().err
    assert (folder / "m.keras").read_bytes() == b"a model"


def test_race_is_kept_where_its_model_is_not_written(folder, capsys, monkeypatch):
    """After an error in saving the model, the result is there, and so is the model that the file had before."""

    def save(*args, **kwargs):
        raise OSError("No space left")

    (folder / "m.keras").write_bytes(b"a model")
    monkeypatch.setattr(keras.Model, "save", save)
    assert main(["race", "mine:per_class", "--candidates", "2", *RACE]) == 1
    assert "No space left" in capsys.readouterr().err
    assert onecycle.load(folder / "r.json").learning_rate > 0
    assert (folder / "m.keras").read_bytes() == b"a model"


def test_fit_is_kept_where_its_model_is_not_written(folder, capsys, monkeypatch):
    """After an error in saving the model, the other files are written and the summary is printed."""

    def save(*args, **kwargs):
        raise OSError("No space left")

    monkeypatch.setattr(keras.Model, "save", save)
    backup = ("--backup-dir", "backup")
    assert main(["fit", "mine:per_class", "--max-learning-rate", "0.1", *RACE, *backup]) == 1
    output = capsys.readouterr()
    assert "No space left" in output.err
    assert "Trained 8 epochs" in output.out
    assert onecycle.load(folder / "r.json").max_learning_rate == 0.1
    assert any((folder / "backup").iterdir())


def test_exit_in_a_data_set_is_a_failure(capsys):
    """A `sys.exit()` in the user's code never looks like success. TensorFlow makes an error of it."""
    assert main(["fit", "mine:ending", "--epochs", "1", "--max-learning-rate", "0.1"]) == 1
    assert re.search(r"sys\.exit\(0\)|SystemExit: 0", capsys.readouterr().err)


def test_good_model_that_stays_good_has_not_diverged(capsys):
    """A loss that rises from almost nothing to almost nothing is no failure."""
    assert main(["fit", "mine:good", "--epochs", "2", "--max-learning-rate", "0.9"]) == 0


def test_data_in_another_encoding_is_not_called_invalid_python(folder, capsys):
    """A module that fails to read its data is named as an error of the user's code, not of its syntax."""
    (folder / "data.csv").write_bytes("é\n".encode("latin-1"))
    (folder / "mine.py").write_text("import pathlib\n\npathlib.Path('data.csv').read_text(encoding='utf-8')\n")
    assert main(["find", "mine:make"]) == 1
    error = capsys.readouterr().err
    assert "not valid Python" not in error
    assert "can't decode byte" in error


@pytest.mark.parametrize("option", [("--cluster", "bogus"), ("--mode", "upwards")])
def test_wrong_options_of_a_race_are_named(option, capsys):
    """With exit code 2, before the user's code is imported."""
    assert main(["race", "mine:per_class", *option]) == 2
    assert f"Option {option[0]}" in capsys.readouterr().err

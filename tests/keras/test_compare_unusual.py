"""Comparisons with unusual numbers, metrics, callbacks and names."""

import keras
import numpy as np
import pytest
from oracles.comparisons import build, compared, data_of

from onecycle import compare
from onecycle.comparison.runs import finder_cost

pytestmark = pytest.mark.one_backend


class EverySecondEpoch(keras.callbacks.Callback):
    """Records a metric after every second epoch only."""

    def on_epoch_end(self, epoch, logs=None):
        """Record the number of the epoch, which grows."""
        if epoch % 2:
            logs["val_rare"] = float(epoch)


def test_metric_of_some_epochs_counts_the_epochs():
    """A callback's metric after epochs 2 and 4 reaches its target in epoch 4, and not at its second value."""
    arms = {name: {"callbacks": lambda: [EverySecondEpoch()]} for name in ("one", "two")}
    result = compared(arms, epochs=4, metric="val_rare", mode="max", target=3.0)
    run = result.of("one")[0]
    assert np.isnan(run["history"]["val_rare"]).tolist() == [True, False, True, False]
    assert (run["epochs_to_target"], run["steps_to_target"]) == (4, run["steps"][3])
    assert run["final"] == 3.0


def test_cost_of_a_range_test_counts_batches():
    """With gradient accumulation, the steps before training are those of the training: batches, not updates."""

    def accumulating():
        model = build()
        model.optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=4)
        return model

    arms = {"plain": {}, "found": {"max_learning_rate": "range test"}}
    result = compare(accumulating, data_of(), arms, seeds=1, epochs=2, verbose=0)
    assert result.of("found")[0]["finder"]["steps"] >= 4 * 50
    assert finder_cost(None, 0.0) == {}


def test_numbers_of_numpy_are_those_of_python(tmp_path):
    """They train, and the records are those of a comparison with plain numbers."""
    arm = {"batch_size": np.int64(16), "epochs": np.int64(1), "max_learning_rate": np.float64(0.1)}
    options = {"epochs": np.int64(2), "batch_size": np.int64(32), "target": np.float32(0.5), "margin": np.float32(0.25)}
    first = compared({"plain": {}, "cycle": arm}, directory=tmp_path, **options)
    plain = {"batch_size": 16, "epochs": 1, "max_learning_rate": 0.1}
    again = compared({"plain": {}, "cycle": plain}, directory=tmp_path, epochs=2, target=0.5, margin=0.25)
    assert again.problems == ()
    assert [run["seconds"] for run in first.runs] == [run["seconds"] for run in again.runs]


@pytest.mark.parametrize("made", [None, keras.callbacks.TerminateOnNaN(), [1]])
def test_callbacks_that_are_no_list_are_named(made):
    """The error says what the function of the arm must return."""
    with pytest.raises(RuntimeError, match="must be a function that returns a list of Keras callbacks"):
        compared({"plain": {}, "other": {"callbacks": lambda: made}})


def test_names_do_not_break_the_table():
    """A bar or a line break in a name of an arm stays in its cell."""
    table = compared({"one|two": {}, "three\nfour": {}}, epochs=1).table()
    assert r"| one\|two " in table
    assert "| three four " in table
    assert len({line.replace(r"\|", "").count("|") for line in table.splitlines()}) == 1


def test_folder_that_cannot_be_written_costs_no_run(tmp_path, monkeypatch):
    """The error comes before the first training."""
    trained = []
    monkeypatch.setattr("onecycle.comparison.runs.train_run", lambda *args: trained.append(args))
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _no_permission)
    with pytest.raises(PermissionError):
        compared({"plain": {}, "again": {}}, directory=tmp_path / "runs")
    assert trained == []


def _no_permission(*args, **kwargs):
    raise PermissionError("no files here")

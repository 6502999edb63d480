"""Training beside Keras' `BackupAndRestore`: damaged backups, and what its backups lack."""

import keras
import numpy as np
import pytest
from oracles import killed

from onecycle import OneCycleScheduler


class Crash(Exception):
    """The error that ends a run."""


class CrashAt(keras.callbacks.Callback):
    """Raises Crash when an epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Crash


def crash(folder):
    """Train until the fourth epoch."""
    with pytest.raises(Crash):
        killed.train_beside_backup_and_restore(folder, CrashAt(3))


@pytest.fixture(scope="module")
def uninterrupted():
    """Return the state of an uninterrupted run, with a shuffled order and dropout."""
    model = killed.build()
    options = {"epochs": killed.EPOCHS, "batch_size": killed.BATCH_SIZE, "verbose": 0}
    model.fit(*killed.data(), callbacks=[OneCycleScheduler(0.05)], **options)
    return killed.state(model)


def assert_same(model, state):
    """Check that a model and its optimizer have the same bits."""
    for value, expected in zip(killed.state(model), state, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_shuffled_order_and_dropout_continue(uninterrupted, tmp_path):
    """A run that Keras resumes ends with the bits of an uninterrupted one, in spite of shuffling and dropout."""
    crash(tmp_path)
    assert_same(killed.train_beside_backup_and_restore(tmp_path), uninterrupted)


def test_weights_of_the_epoch_after(uninterrupted, tmp_path):
    """If the process ended between Keras' two files, the run continues with the epoch that the weights belong to."""
    crash(tmp_path)
    (tmp_path / "training_metadata.json").write_text('{"epoch": 2, "batch": 0}')
    assert_same(killed.train_beside_backup_and_restore(tmp_path), uninterrupted)


def with_fit_one_cycle(folder):
    """Train with `fit_one_cycle` and a BackupAndRestore."""
    return killed.train(None, keras.callbacks.BackupAndRestore(str(folder)))


@pytest.mark.parametrize("train", [killed.train_beside_backup_and_restore, with_fit_one_cycle])
@pytest.mark.parametrize("name", ["latest.weights.h5", "training_metadata.json"])
def test_damaged_backup_is_named(tmp_path, train, name):
    """A damaged file of a BackupAndRestore is named before training, with the remedy."""
    crash(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: -len(file.read_bytes()) // 3])
    with pytest.raises(ValueError, match=rf"backup of BackupAndRestore is damaged.*{name}.*Delete the folder"):
        train(tmp_path)


def test_intact_copy_is_left_to_keras(tmp_path):
    """A damaged file is no error if Keras can restore the copy before it."""
    backup = keras.callbacks.BackupAndRestore(str(tmp_path), double_checkpoint=True)
    with pytest.raises(Crash):
        killed.train(None, backup, CrashAt(3))
    file = tmp_path / "latest.weights.h5"
    file.write_bytes(file.read_bytes()[:1000])
    model = killed.build()
    again = keras.callbacks.BackupAndRestore(str(tmp_path), double_checkpoint=True)
    report = killed.fit(model, None, again).onecycle
    assert (report.steps, report.total_steps) == (30, 30)

"""A cycle that was interrupted is gone on with, from a backup or from a saved model."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import STEPS, apart, compiled, fit, scheduled

import onecycle
from onecycle import OneCycleScheduler, unschedule_hyperparameters

EPOCHS = 4
T = EPOCHS * STEPS


class Crash(Exception):
    """What ends the first run."""


class CrashAt(keras.callbacks.Callback):
    """Raises at a batch of an epoch, or (batch None) at the epoch's end."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Crash

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            raise Crash


@pytest.fixture
def backup(tmp_path):
    """Makes another `BackupAndRestore` on the same folder each time, as a new process would."""

    def make(**options):
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), **options)

    return make


@pytest.fixture(scope="module")
def whole():
    """The model at the end of an uninterrupted run."""
    model = compiled("Adam")
    fit(model, OneCycleScheduler(0.1), epochs=EPOCHS)
    return model


def run(model, *callbacks, **arguments):
    """Train for the whole four epochs."""
    return fit(model, *callbacks, **{"epochs": EPOCHS, **arguments})


def crash(model, *callbacks, **arguments):
    """Train until a callback raises."""
    with pytest.raises(Crash):
        run(model, *callbacks, **arguments)


@pytest.mark.parametrize("backup_first", [True, False])
def test_new_model_resumes(whole, backup, backup_first):
    """A rebuilt model goes on with the original cycle, whichever callback comes first."""
    order = 1 if backup_first else -1
    crash(compiled("Adam"), *[backup(), OneCycleScheduler(0.1)][::order], CrashAt(1))
    model = compiled("Adam")
    report = run(model, *[backup(), OneCycleScheduler(0.1)][::order]).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (0, T, T)
    assert apart(model, whole) < 1e-6


@pytest.mark.parametrize("between", ["nothing", "unschedule", "plain fit and compile"])
def test_same_model_resumes(whole, backup, between):
    """The same model resumes too, wherever its step counter is by then and however the cycle was taken out."""
    model = compiled("Adam")
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(2, batch=3))
    if between == "unschedule":
        unschedule_hyperparameters(model)
    elif between != "nothing":
        fit(model)
        model.compile(keras.optimizers.Adam(0.01), "mse")
    report = run(model, OneCycleScheduler(0.1), backup()).onecycle
    assert (report.start_step, report.total_steps) == (0, T)
    assert apart(model, whole) < 1e-6
    assert not [name for name in vars(model) if name.startswith("_onecycle")]


def test_interrupted_twice_in_a_later_cycle(backup):
    """A second cycle that is interrupted twice is one whole cycle, begun where it had begun first."""
    model, by_hand = compiled(), compiled()
    fit(model)
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(0))
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(2, batch=1))
    report = run(model, OneCycleScheduler(0.1), backup()).onecycle
    begun = 3 * STEPS
    assert (report.start_step, report.total_steps) == (begun, T)
    fit(by_hand)
    # Keras writes the backup of an epoch before or after the crash at its end, by the order of the callbacks.
    run(scheduled(by_hand, steps=T, start=begun))
    assert apart(model, by_hand) < 1e-6


def test_initial_epoch(whole, backup):
    """With `initial_epoch` the original cycle had the epochs from there on, and so has the resumed one."""
    crash(compiled("Adam"), backup(), OneCycleScheduler(0.1), CrashAt(2), initial_epoch=1, epochs=5)
    model = compiled("Adam")
    report = run(model, backup(), OneCycleScheduler(0.1), initial_epoch=1, epochs=5).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (0, T, T)
    assert apart(model, whole) < 1e-6


@pytest.mark.parametrize("epoch", [0, 1])
def test_backup_in_mid_epoch(backup, epoch):
    """From a backup in mid-epoch, whose epoch begins anew, the cycle stays as long; then the last rate is held."""
    crash(compiled(), backup(save_freq=3), OneCycleScheduler(0.1), CrashAt(epoch, batch=3))
    model = compiled()
    report = run(model, backup(save_freq=3), OneCycleScheduler(0.1)).onecycle
    assert (report.start_step, report.total_steps) == (0, T)
    assert report.steps > T
    assert "OneCycle(max_learning_rate=0.1, total_steps=20)" in report.summary()


def test_run_after_a_finished_one_is_new(backup):
    """A run after a resumed and finished one has a cycle of its own."""
    model = compiled()
    crash(model, backup(), OneCycleScheduler(0.1), CrashAt(1, batch=2))
    run(model, backup(), OneCycleScheduler(0.1))
    history = run(model, backup(), OneCycleScheduler(0.1))
    # Keras begins at the epoch of the last restoration again: `BackupAndRestore` never resets it.
    assert history.onecycle.start_step == T
    assert history.onecycle.steps == history.onecycle.total_steps == len(history.epoch) * STEPS


def test_saved_model_goes_on(whole, tmp_path):
    """A model that ModelCheckpoint saved in mid-cycle goes on under the rest of the cycle, put in by hand."""
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    run(compiled("Adam"), OneCycleScheduler(0.1), checkpoint)
    model = keras.saving.load_model(tmp_path / "2.keras")
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.01)
    run(scheduled(model, steps=T), initial_epoch=2)
    assert apart(model, whole) < 1e-6


def test_fresh_process_resumes(python, backup, tmp_path, whole):
    """A run that crashed is gone on with by another process, and ends as one that never crashed."""
    crash(compiled("Adam"), OneCycleScheduler(0.1), backup(), CrashAt(1))
    program = (
        "import sys, keras, numpy, onecycle\n"
        "from oracles.cycles import compiled, fit\n"
        "model = compiled('Adam')\n"
        "backup = keras.callbacks.BackupAndRestore(sys.argv[1])\n"
        "fit(model, onecycle.OneCycleScheduler(0.1), backup, epochs=4)\n"
        "numpy.savez(sys.argv[2], *model.get_weights())\n"
    )
    folders = Path(networks.__file__).parents[1], Path(onecycle.__file__).parents[1]
    python(program, backup().backup_dir, tmp_path / "end.npz", PYTHONPATH=os.pathsep.join(map(str, folders)))
    with np.load(tmp_path / "end.npz") as end:
        assert networks.distance(end.values(), whole.get_weights()) < 1e-6

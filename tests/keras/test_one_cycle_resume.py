"""Tests of resuming an interrupted cycle from a backup or a saved model."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import STEPS, X, Y, compiled, fit, scheduled, weight_distance

import onecycle
from onecycle import OneCycleScheduler, fit_one_cycle, unschedule_hyperparameters

EPOCHS = 4
T = EPOCHS * STEPS


class Crash(Exception):
    """The error that ends the first run."""


class CrashAt(keras.callbacks.Callback):
    """Raises Crash after a batch of an epoch, or at the end of the epoch if `batch` is None."""

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
    """Return a function that makes a new `BackupAndRestore` for the same folder."""

    def make(**options):
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), **options)

    return make


@pytest.fixture(scope="module")
def uninterrupted():
    """Return the model at the end of an uninterrupted run."""
    model = compiled("Adam")
    fit(model, OneCycleScheduler(0.1), epochs=EPOCHS)
    return model


def run(model, *callbacks, **arguments):
    """Train for four epochs."""
    return fit(model, *callbacks, **{"epochs": EPOCHS, **arguments})


def crash(model, *callbacks, **arguments):
    """Train until a callback raises."""
    with pytest.raises(Crash):
        run(model, *callbacks, **arguments)


@pytest.mark.parametrize("backup_first", [True, False])
def test_new_model_resumes_the_cycle(uninterrupted, backup, backup_first):
    """A new model resumes the original cycle, in either order of the callbacks."""
    order = 1 if backup_first else -1
    crash(compiled("Adam"), *[backup(), OneCycleScheduler(0.1)][::order], CrashAt(1))
    model = compiled("Adam")
    report = run(model, *[backup(), OneCycleScheduler(0.1)][::order]).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (0, T, T)
    assert weight_distance(model, uninterrupted) < 1e-6


@pytest.mark.parametrize("between", ["nothing", "unschedule", "plain fit and compile"])
def test_same_model_resumes_the_cycle(uninterrupted, backup, between):
    """The same model resumes the cycle, whatever its step counter and however the cycle was removed."""
    model = compiled("Adam")
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(2, batch=3))
    if between == "unschedule":
        unschedule_hyperparameters(model)
    elif between != "nothing":
        fit(model)
        model.compile(keras.optimizers.Adam(0.01), "mse")
    report = run(model, OneCycleScheduler(0.1), backup()).onecycle
    assert (report.start_step, report.total_steps) == (0, T)
    assert weight_distance(model, uninterrupted) < 1e-6
    assert not [name for name in vars(model) if name.startswith("_onecycle")]


@pytest.mark.one_backend
def test_later_cycle_resumes_after_two_interruptions(backup):
    """A second cycle that is interrupted twice is one full cycle from its original start."""
    model, by_hand = compiled(), compiled()
    fit(model)
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(0))
    crash(model, OneCycleScheduler(0.1), backup(), CrashAt(2, batch=1))
    report = run(model, OneCycleScheduler(0.1), backup()).onecycle
    start = 3 * STEPS
    assert (report.start_step, report.total_steps) == (start, T)
    fit(by_hand)
    # The order of the callbacks decides whether Keras writes the backup of an epoch before the crash at its end.
    run(scheduled(by_hand, steps=T, start=start))
    assert weight_distance(model, by_hand) < 1e-6


def test_resuming_with_initial_epoch(uninterrupted, backup):
    """With `initial_epoch` the original and the resumed cycle both have the epochs from there on."""
    crash(compiled("Adam"), backup(), OneCycleScheduler(0.1, total_steps=T), CrashAt(2), initial_epoch=1, epochs=5)
    model = compiled("Adam")
    report = run(model, backup(), OneCycleScheduler(0.1), initial_epoch=1, epochs=5).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (0, T, T)
    assert weight_distance(model, uninterrupted) < 1e-6


@pytest.mark.parametrize("epoch", [0, 1])
def test_resuming_from_a_backup_within_an_epoch(backup, epoch):
    """A backup within an epoch restarts that epoch; the cycle keeps its length, and the steps exceed it."""
    crash(compiled(), backup(save_freq=3), OneCycleScheduler(0.1), CrashAt(epoch, batch=3))
    model = compiled()
    report = run(model, backup(save_freq=3), OneCycleScheduler(0.1)).onecycle
    assert (report.start_step, report.total_steps) == (0, T)
    assert report.steps > T
    assert "OneCycle(max_learning_rate=0.1, total_steps=20)" in report.summary()


@pytest.mark.one_backend
def test_run_after_a_finished_run_has_a_new_cycle(backup):
    """A run after a resumed and finished run has a new cycle."""
    model = compiled()
    crash(model, backup(), OneCycleScheduler(0.1), CrashAt(1, batch=2))
    run(model, backup(), OneCycleScheduler(0.1))
    with pytest.warns(UserWarning, match="new cycle begins"):
        history = run(model, backup(), OneCycleScheduler(0.1))
    # Keras starts at the epoch of the last restoration again, because `BackupAndRestore` never resets it.
    assert history.onecycle.start_step == T
    assert history.onecycle.steps == history.onecycle.total_steps == len(history.epoch) * STEPS


def test_saved_model_continues_with_the_same_schedules(uninterrupted, tmp_path):
    """A model saved during the cycle and loaded continues with the same schedules to the same weights."""
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    run(compiled("Adam"), OneCycleScheduler(0.1), checkpoint)
    model = keras.saving.load_model(tmp_path / "2.keras")
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.01)
    run(scheduled(model, steps=T), initial_epoch=2)
    assert weight_distance(model, uninterrupted) < 1e-6


@pytest.mark.one_backend
def test_new_process_resumes_the_cycle(python, backup, tmp_path, uninterrupted):
    """A crashed run that another process resumes ends with the weights of an uninterrupted run."""
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
        assert networks.distance(end.values(), uninterrupted.get_weights()) < 1e-6


def auto(model, *callbacks, epochs=EPOCHS, **arguments):
    """Call `fit_one_cycle`, which finds the peak with the seed 1."""
    options = {"batch_size": networks.BATCH_SIZE, "shuffle": False, "verbose": 0, "seed": 1, **arguments}
    return fit_one_cycle(model, X, Y, epochs=epochs, callbacks=list(callbacks), **options)


@pytest.mark.one_backend
def test_resumed_run_takes_the_found_peak_from_the_backup(backup):
    """A resumed `fit_one_cycle` has the peak and the range test of the interrupted run, and ends with its weights."""
    finished = compiled("Adam")
    report = auto(finished).onecycle
    with pytest.raises(Crash):
        auto(compiled("Adam"), backup(), CrashAt(1))
    model = compiled("Adam")
    resumed = auto(model, backup(), seed=2).onecycle
    assert resumed.max_learning_rate == report.max_learning_rate
    assert resumed.range_test == report.range_test
    assert (resumed.start_step, resumed.total_steps, resumed.steps) == (0, T, T)
    assert weight_distance(model, finished) < 1e-6
    assert not Path(backup().backup_dir).exists()


@pytest.mark.one_backend
def test_resuming_without_the_found_peak_is_refused(backup):
    """If the interrupted run was given its peak, a resumed run that would search for one is refused before training."""
    with pytest.raises(Crash):
        auto(compiled("Adam"), backup(), CrashAt(1), max_learning_rate=0.1)
    model = compiled("Adam")
    for picker in ("auto", "range test"):
        with pytest.raises(ValueError, match=r"Pass that learning rate as `max_learning_rate`"):
            auto(model, backup(), max_learning_rate=picker)
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0
    assert auto(model, backup(), max_learning_rate=0.1).onecycle.steps == T


@pytest.mark.one_backend
def test_new_process_takes_the_found_peak_from_the_backup(python, backup):
    """Another process that resumes the run has its peak."""
    with pytest.raises(Crash):
        auto(compiled("Adam"), backup(), CrashAt(1))
    kept = onecycle.load(Path(backup().backup_dir) / "onecycle_peak.json")
    program = (
        "import sys, keras, onecycle\n"
        "from oracles.cycles import X, Y, compiled\n"
        "backup = keras.callbacks.BackupAndRestore(sys.argv[1])\n"
        "report = onecycle.fit_one_cycle(\n"
        "    compiled('Adam'), X, Y, epochs=4, batch_size=16, callbacks=[backup], verbose=0\n"
        ").onecycle\n"
        "print(report.max_learning_rate, report.steps)\n"
    )
    folders = Path(networks.__file__).parents[1], Path(onecycle.__file__).parents[1]
    out = python(program, backup().backup_dir, PYTHONPATH=os.pathsep.join(map(str, folders))).stdout
    assert out.split()[-2:] == [str(kept.learning_rate), str(T)]

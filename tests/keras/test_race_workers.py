"""Tests of races whose candidates are trained in other processes, or on a cluster."""

import os
import signal
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support.model_transfer import SentModel
from onecycle.keras_support.portable_state import variables_of

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 8)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] + np.sin(2 * X[:, 2:3])).astype("float32")
X, Y, VALIDATION = X[:96], Y[:96], (X[96:], Y[96:])
PEAKS = (0.001, 0.004, 0.016)
WAIT = 120  # seconds that anything may take before the test fails


class Doubled(keras.layers.Layer):
    """A layer of the user's that Keras does not know: its class is sent along."""

    def call(self, inputs):
        """Return twice the inputs."""
        return 2.0 * inputs


def halved_error(targets, outputs):
    """Return a loss that Keras does not know."""
    return keras.ops.mean(keras.ops.square(targets - outputs), axis=-1) / 2


def linear(total_steps, max_learning_rate):
    """Return a schedule of the user's."""
    return onecycle.WarmupLinearDecay(max_learning_rate, total_steps)


def linear_unless_locked(lock, total_steps, max_learning_rate):
    """Return a schedule; a lock cannot be sent to another process."""
    return None if lock.locked() else linear(total_steps, max_learning_rate)


def new_model(loss=halved_error):
    """Return a model with everything whose state a pause has to keep, always with the same weights."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    body = [layers.Dense(8, "relu"), Doubled(), layers.BatchNormalization(), layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((8,)), *body, layers.Dense(4, "tanh", name="late"), layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.01), loss, metrics=["mae"], jit_compile=False)
    return model


def race(model, **options):
    """Return a race of given peaks, with two cuts in the middle of an epoch."""
    defaults = {"epochs": 3, "batch_size": 16, "validation_data": VALIDATION, "candidates": PEAKS, "seed": 3}
    return onecycle.race_learning_rates(model, X, Y, **{**defaults, "verbose": 0, **options})


def assert_same_race(here, there, model, other):
    """The candidates have the same scores, curves and history, and the models the same weights and optimizer state."""
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-5)
    np.testing.assert_allclose(there.curves, here.curves, rtol=1e-4)
    assert there.reasons == here.reasons
    assert list(there.history) == list(here.history)
    for name, values in here.history.items():
        np.testing.assert_allclose(there.history[name], values, rtol=1e-4)
    values = [variables_of(one) for one in (model, other)]  # with those of the optimizer and the seeds
    for one, another in zip(*values, strict=True):
        one, another = map(keras.ops.convert_to_numpy, (one, another))
        np.testing.assert_allclose(another, one, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def raced_here():
    """Return a race with everything that is sent, made in this process, and its model."""
    model = new_model()
    return race(model, schedule=linear, layer_rates={"late": 0.5}), model


def test_two_processes_race_as_one(raced_here):
    """With dropout, BatchNormalization, classes and functions of the user's, and layer rates."""
    here, model = raced_here
    other = new_model()
    late = other.get_layer("late")
    there = race(other, schedule=linear, layer_rates={late: 0.5}, jobs=2)
    assert_same_race(here, there, model, other)
    assert there.cost == here.cost


@pytest.mark.long
def test_race_on_disk_in_two_processes(raced_here, tmp_path):
    """The folder is that of a race in one process, which finds all cuts in it and trains the winner's last part."""
    here, model = raced_here
    race(new_model(), schedule=linear, layer_rates={"late": 0.5}, jobs=2, directory=tmp_path)
    other = new_model()
    there = race(other, schedule=linear, layer_rates={"late": 0.5}, directory=tmp_path)
    assert_same_race(here, there, model, other)


@pytest.mark.long
def test_killed_process_is_replaced(raced_here):
    """When a process that trains a candidate is killed, its part is trained again in another."""
    here, model = raced_here
    other, killed = new_model(), []

    def kill_one():
        end = time.monotonic() + WAIT
        while not killed and time.monotonic() < end:
            killed.extend(child for child in _children() if "loky" in _command(child))
            time.sleep(0.05)
        time.sleep(2.0)
        os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib warns of leaked files and of the stopped worker
        there = race(other, schedule=linear, layer_rates={"late": 0.5}, jobs=2)
    killer.join()
    assert killed
    assert_same_race(here, there, model, other)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Dask warns of killed workers
def test_dask_replaces_killed_worker(raced_here):
    """The candidates on a Dask cluster, of which a worker is killed, end as in this process; so does the winner."""
    from distributed import LocalCluster

    here, model = raced_here
    other = new_model()
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": "CRITICAL"}
    with LocalCluster(n_workers=2, **options) as cluster:
        worker = next(iter(cluster.workers.values())).process.process.pid

        def kill_one():
            end = time.monotonic() + WAIT
            while not _children(worker) and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(worker, signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        there = race(other, schedule=linear, layer_rates={"late": 0.5}, cluster=address)
        killer.join()
    assert not Path(f"/proc/{worker}").exists()
    assert_same_race(here, there, model, other)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ray_races_as_one_process(raced_here):
    """The candidates on Ray end as in this process, and so does the winner, which is trained to its end there."""
    ray = pytest.importorskip("ray")
    here, model = raced_here
    other = new_model()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        there = race(other, schedule=linear, layer_rates={"late": 0.5}, cluster="ray")
    finally:
        ray.shutdown()
    assert_same_race(here, there, model, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"callbacks": [keras.callbacks.Callback()]}, "Callbacks cannot watch a training in another process"),
        ({"jobs": 0}, "`jobs` must be >= 1"),
        ({"cluster": "slurm://host:1"}, "Pass either `jobs` or `cluster`"),
        ({"cluster": "slurm://host:1", "jobs": 1}, "`cluster` must be"),
        ({"schedule": partial(linear_unless_locked, threading.Lock())}, "sent to other processes"),
    ],
)
def test_what_cannot_be_sent_is_refused(options, message):
    """Before any training."""
    model = new_model()
    with pytest.raises(ValueError, match=message):
        race(model, **{"jobs": 2, **options})
    assert int(model.optimizer.iterations) == 0


def test_model_that_keras_cannot_load_is_refused():
    """The error says what to do."""

    class WithoutConfig(keras.layers.Layer):
        def __init__(self, units, /):
            super().__init__()
            self.units = units

        def call(self, inputs):
            return inputs * self.units()

    model = keras.Sequential([keras.Input((8,)), WithoutConfig(lambda: 1), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="register_keras_serializable"):
        SentModel.of(model)


def _children(parent=None):
    """Return the numbers of the processes that a process has started, their own included."""
    found, waiting = [], [parent or os.getpid()]
    while waiting:
        number = waiting.pop()
        for tasks in Path(f"/proc/{number}/task").glob("*/children"):
            try:
                children = [int(word) for word in tasks.read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found


def _command(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return ""

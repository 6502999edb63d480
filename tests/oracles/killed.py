"""Training processes that end with `kill -9`: the same run, started again and again in one folder until it finishes.

Loading a backend takes seconds, so one process loads it and forks a child for each start, before it has computed
anything.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import onecycle

EPOCHS, BATCH_SIZE = 6, 16


def build():
    """Return the seeded model, with all kinds of state: momentum, BatchNormalization, and the seeds of dropout."""
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def data():
    """Return the training data, whose order `fit` shuffles."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype("float32")
    return x, np.sin(x[:, :1]) + 0.1 * rng.normal(size=(80, 1)).astype("float32")


def train(backup_dir, *callbacks):
    """Return the model after the whole run, or after what a backup leaves of it."""
    model = build()
    fit(model, backup_dir, *callbacks)
    return model


def fit(model, backup_dir, *callbacks, x=None, **arguments):
    """Train the model, by default on the arrays, and return its `History`."""
    options = {"epochs": EPOCHS, "max_learning_rate": 0.05, "verbose": 0, "seed": 1, **arguments}
    if x is None:
        options["batch_size"] = BATCH_SIZE
        x, options["y"] = data()
    return onecycle.fit_one_cycle(model, x, backup_dir=backup_dir, callbacks=list(callbacks), **options)


def train_beside_backup_and_restore(backup_dir, *callbacks):
    """Return the model after a run that Keras backs up."""
    model = build()
    backup = keras.callbacks.BackupAndRestore(str(backup_dir))
    model.fit(
        *data(), epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0,
        callbacks=[backup, onecycle.OneCycleScheduler(0.05), *callbacks],
    )  # fmt: skip
    return model


def state(model):
    """Return the values of all variables of a model and its optimizer."""
    return [keras.ops.convert_to_numpy(one) for one in [*model.variables, *model.optimizer.variables]]


class Announce(keras.callbacks.Callback):
    """Writes a byte to a pipe when training begins."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_epoch_begin(self, epoch, logs=None):
        if self.pipe is not None:
            os.write(self.pipe, b"1")
        self.pipe = None


class Runs:
    """A process that starts runs and kills them.

    Args:
        how: Name of a function of this module that trains.
    """

    def __init__(self, how="train"):
        folders = [Path(__file__).parents[1], Path(onecycle.__file__).parents[1]]
        program = f"from oracles import killed; killed.serve(killed.{how})"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        )  # fmt: skip

    def start(self, folder, end, *, wait=True, delay=None):
        """Start a run, kill it after a delay in seconds if there is one, and return how it ended.

        Args:
            folder: The folder of the backup, or None for a run without one.
            end: The file for the state at the end.
            wait: Whether the delay begins with the training.
            delay: The delay, or None to let the run finish.

        Returns:
            0 for a run that finished, -9 for one that was killed, or the text of its error.
        """
        request = {"folder": None if folder is None else str(folder), "end": str(end), "wait": wait, "delay": delay}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.communicate()


def serve(how):
    """Start and kill the runs that are requested on the standard input."""
    # What a run imports: Keras imports TensorFlow to seed it, on every backend.
    importlib.import_module("onecycle.training.fitting")
    if importlib.util.find_spec("tensorflow"):
        importlib.import_module("tensorflow")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # for `sigtimedwait`
    for line in sys.stdin:
        request = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _run(how, request, write)
        os.close(write)
        if request["wait"]:
            os.read(read, 1)  # at the end of the child too
        status = _killed(child, request["delay"])
        os.close(read)
        error = Path(f"{request['end']}.error")
        print(json.dumps(error.read_text() if status > 0 else status), flush=True)


def _killed(child, delay):
    """Kill a process after a delay, or wait for its end, and return its exit status: -9 if it was killed."""
    if delay is not None:
        signal.sigtimedwait([signal.SIGCHLD], delay)
        os.kill(child, signal.SIGKILL)  # a child that has ended waits for its parent, so the number is still its own
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(how, request, pipe):
    status = 1
    try:
        model = how(request["folder"], Announce(pipe))
        np.savez(request["end"], *state(model))
        status = 0
    except Exception as error:  # noqa: BLE001 - the parent process reports it
        Path(f"{request['end']}.error").write_text(f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)

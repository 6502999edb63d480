"""One run: an arm trained with a seed. It builds and trains its own model, and ends as a record."""

from __future__ import annotations

import inspect
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from onecycle.comparison.arms import Arm
from onecycle.comparison.identity import array_digest, digest, weights_digest
from onecycle.finding.range_test import find_learning_rate
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.optimizers import raw_step
from onecycle.results.comparison import RunRecord
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep

FIRST_TEST: int = inspect.signature(find_learning_rate).parameters["num_steps"].default
RECORD_FORMAT = 1  # part of every identity: raised when the same settings would give another record


@dataclass(frozen=True)
class Setting:
    """What all runs of a comparison share.

    Attributes:
        build: Returns a new compiled model.
        data: `((x, y), (x_val, y_val))`, or a function of the seed that returns that.
        epochs: Epochs of an arm without its own.
        batch_size: Batch size of an arm without its own; None for data sets, which have theirs.
        facts: What is known of model and data before the runs, as plain data; part of every run's identity.
    """

    build: Callable[[], Any]
    data: Any
    epochs: int
    batch_size: int | None
    facts: dict[str, Any]

    def config(self, arm: Arm) -> dict[str, Any]:
        """The settings of an arm's runs, as plain data."""
        return {
            **arm.facts(),
            "epochs": arm.epochs or self.epochs,
            "batch_size": arm.batch_size or self.batch_size,
            "backend": backends.name(),
        }

    def identity(self, arm: Arm, seed: int) -> str:
        """The hash of everything that a run depends on: not the other arms, nor the number of seeds, nor the metric."""
        return digest([RECORD_FORMAT, arm.name, seed, self.config(arm), self.facts])


def train_run(setting: Setting, arm: Arm, seed: int) -> RunRecord:
    """Train one arm with one seed from the beginning, and return the record.

    Everything random is seeded before the data are read, before `build()` and before training: so every arm of a seed
    starts with the same weights and sees the same batches (of its batch size), whatever its finder draws in between.

    Raises:
        RuntimeError: Whatever went wrong, with the arm and the seed.
    """
    try:
        return _trained(setting, arm, seed)
    except Exception as error:
        raise RuntimeError(f"Arm {arm.name!r} with seed {seed}: {type(error).__name__}: {error}") from error


def data_of(data: Any, seed: int) -> Any:
    """((x, y), (x_val, y_val)) of a seed."""
    if not callable(data):
        return data
    keras.utils.set_random_seed(seed)
    return data(seed)


def begun(setting: Setting, arm: Arm, seed: int, data: Any) -> tuple[Any, dict[str, Any]]:
    """A run's model before its training, and the run's settings with the digests of its start and its data."""
    (x, y), validation = data
    model = built(setting.build, seed)
    arm.use_optimizer(model)
    config = setting.config(arm)
    training_data.build(model, x, y, config["batch_size"])
    return model, config | start_facts(model, x, y, validation)


def start_facts(model: Any, x: Any, y: Any, validation: Any) -> dict[str, Any]:
    """The digests of a run's initial weights and of its data; None for data sets, whose rows cannot be seen."""
    data = array_digest((x, y, validation)) if y is not None else None
    return {"initial_weights": weights_digest(model), "data": data}


def recorded(setting: Setting, arm: Arm, seed: int, config: dict[str, Any], history: Any, **measured: Any) -> RunRecord:
    """The record of a run that has just ended here.

    Args:
        history: Name -> numbers, as Keras gives them.
        **measured: The remaining fields.
    """
    return RunRecord(
        arm=arm.name,
        seed=seed,
        identity=setting.identity(arm, seed),
        config=config,
        history={name: [float(value) for value in values] for name, values in history.items()},
        versions=versions(),
        machine=machine(),
        **measured,
    )


def _trained(setting: Setting, arm: Arm, seed: int) -> RunRecord:
    (x, y), validation = data = data_of(setting.data, seed)
    model, config = begun(setting, arm, seed, data)
    keras.utils.set_random_seed(seed)
    watch = EpochWatch(_rows(x))
    history = arm.train(
        model,
        x,
        y,
        seed=seed,
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        validation_data=validation if y is not None else validation[0],
        callbacks=[watch],
        verbose=0,
    )
    report = getattr(history, "onecycle", None)
    evidence = report and (report.sweep or report.range_test)
    return recorded(
        setting, arm, seed, config, history.history,
        steps=watch.steps, samples=watch.samples, seconds=watch.seconds, diverged=watch.diverged,
        # Up to the first epoch of the training proper; what is compiled for the finder is the finder's.
        finder=finder_facts(evidence, watch.before_training),
    )  # fmt: skip


def built(build: Callable[[], Any], seed: int) -> Any:
    """Return a new model of this seed, checked."""
    keras.utils.set_random_seed(seed)
    model = build()
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise ValueError(
            "Argument `build` must be a function that returns a compiled keras.Model. "
            f"Received: build() -> {type(model).__name__}"
        )
    return model


class EpochWatch(keras.callbacks.Callback):
    """Keeps steps, samples and seconds at the end of each epoch, and ends a training whose loss is not finite.

    Per-batch hooks would make JAX wait for each batch, so there are none; a run of NaNs lasts until its epoch's end.
    """

    def __init__(self, rows: int | None) -> None:
        super().__init__()
        self._rows = rows
        self._created = time.perf_counter()
        self.before_training = 0.0
        self.steps: list[int] = []
        self.samples: list[int] = []
        self.seconds: list[float] = []
        self.diverged: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.before_training = time.perf_counter() - self._created

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self.steps:
            self._first_step = raw_step(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        per_epoch = self.params.get("steps")
        made = raw_step(self.model.optimizer) - self._first_step
        epochs = len(self.steps) + 1
        self.steps.append(made if per_epoch is None else epochs * per_epoch)
        if self._rows is not None:
            self.samples.append(epochs * self._rows)
        self.seconds.append(time.perf_counter() - self._created)
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.diverged = epochs
            self.model.stop_training = True


def finder_facts(evidence: RangeTest | Sweep | None, seconds: float) -> dict[str, Any]:
    """What finding the rate cost; empty where none was looked for."""
    if evidence is None:
        return {}
    if isinstance(evidence, Sweep):
        reason, steps = evidence.pick.reason, round(evidence.cost * evidence.total_steps)
    else:
        # Where the first test shows no rate, a longer one is made and kept: the first is counted whole.
        before = 0 if evidence.num_steps == FIRST_TEST else FIRST_TEST
        reason, steps = evidence.suggestion.reason, len(evidence.learning_rates) + before
    return {"learning_rate": evidence.learning_rate, "reason": reason, "steps": steps, "seconds": seconds}


def versions() -> dict[str, str]:
    """Package -> version, of what a run's numbers depend on."""
    own = {"onecycle": version("onecycle"), "python": platform.python_version()}
    return {"keras": keras.__version__, **backends.versions(), "numpy": np.__version__, **own}


def machine() -> dict[str, Any]:
    """What the machine is, without saying whose: no host name, no paths."""
    try:
        devices = keras.distribution.list_devices()
    except (AttributeError, NotImplementedError):  # not every backend can tell
        devices = []
    facts = {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()}
    threads = os.environ.get("OMP_NUM_THREADS")  # a worker's share of the cores
    return facts | {"devices": devices} | ({} if threads is None else {"threads": threads})


def _rows(x: Any) -> int | None:
    if not training_data.is_arrays(x):
        return None
    return int(keras.tree.flatten(x)[0].shape[0])

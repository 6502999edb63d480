"""One run of this study: the training of a launch, with an arm."""

from __future__ import annotations

import time
import warnings
from typing import Any

import keras
import numpy as np
from launches import Launch, tuned
from tasks import BIG_BATCH, BIG_EPOCHS, OPTIMIZERS, TASKS, Arrays, data_of

import onecycle

STEPS_OF_POISON = 0.5  # of the training, after which the poisoned batch comes
WRONG = 1000.0  # factor on the targets of a regression in the batch with wrong ones, as after a mistake of units


class Poisoned(keras.utils.PyDataset):
    """Shuffled batches of arrays, one of which is bad, once in the training.

    Args:
        x: Inputs.
        y: Targets.
        bad_batch: The number of the bad batch, counted through all epochs.
        poison: What is bad in it.
        seed: Of the order of the rows.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, bad_batch: int, poison: str, seed: int) -> None:
        super().__init__()
        self._x, self._y, self._bad_batch, self._poison = x, y, bad_batch, poison
        self._rng, self._epoch = np.random.default_rng(seed), 0
        self._order = self._rng.permutation(len(x))

    def __len__(self) -> int:
        return len(self._x) // 32

    def __getitem__(self, index: int) -> Arrays:
        rows = self._order[32 * index : 32 * index + 32]
        x, y = self._x[rows].copy(), self._y[rows].copy()
        return poisoned(x, y, self._poison) if self._epoch * len(self) + index == self._bad_batch else (x, y)

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._rng.permutation(len(self._x))


def poisoned(x: np.ndarray, y: np.ndarray, poison: str) -> Arrays:
    """Return a batch with something bad in it."""
    if poison == "wrong":
        return (x, y * np.float32(WRONG)) if y.dtype == np.float32 else (x, (y + 1) % 10)
    x[0, 5] = np.nan if poison == "nan" else 1e30
    return x, y


def train(launch: Launch, arm: str, peak: float | None = None) -> dict[str, Any]:
    """Train and return the record of a run.

    Args:
        launch: The launch.
        arm: One of `ARMS`.
        peak: Peak of the cycle, by default that of the launch.
    """
    began = time.process_time()
    task, rates = TASKS[launch.task], None if peak is not None else rates_of(launch)
    if rates is not None:
        peak = launch.peak * rates["limit" if launch.of_limit else "best"]
    (x, y), test = data_of(task.data, "raw" in launch.variant)
    big = "big" in launch.variant
    epochs, batch = (BIG_EPOCHS, BIG_BATCH) if big else (task.epochs, 32)
    steps = epochs * (-(-len(x) // batch))
    model = build(launch, arm)
    guard = onecycle.DivergenceGuard()
    callbacks = [onecycle.OneCycleScheduler(peak), _Steps()]
    callbacks += {"guard": [guard], "TerminateOnNaN": [keras.callbacks.TerminateOnNaN()]}.get(arm, [])
    arguments: dict[str, Any] = {"x": x, "y": y, "batch_size": min(batch, len(x))}
    if launch.poison == "nan-row":
        arguments["x"] = x.copy()
        arguments["x"][len(x) // 3, 5] = np.nan
    elif launch.poison is not None:
        steps = len(x) // 32 * epochs
        arguments = {"x": Poisoned(x, y, int(STEPS_OF_POISON * steps), launch.poison, launch.seed)}
    error = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(**arguments, epochs=epochs, verbose=0, callbacks=callbacks)
        except RuntimeError as raised:
            error = str(raised)
    weights_finite = all(np.isfinite(keras.ops.convert_to_numpy(one.value)).all() for one in model.weights)
    loss = test_loss(model, *test)
    return {
        "peak": peak,
        "steps": steps,
        "steps_made": callbacks[1].count,
        "test_loss": loss if np.isfinite(loss) else None,
        "finite": bool(weights_finite and np.isfinite(loss)),
        "rescues": [[one.step, one.reason, one.learning_rate_factor, one.lost_steps] for one in guard.rescues],
        "error": error,
        "cpu_seconds": round(time.process_time() - began, 2),
    }


def rates_of(launch: Launch) -> dict[str, float]:
    """Return the best rate and the stable limit that the launch's peak is a multiple of."""
    # The rate of batch 32, and of standardized inputs, is what a user has found before.
    return tuned()[f"{launch.task} {launch.optimizer} plain"]


def build(launch: Launch, arm: str) -> keras.Model:
    """Return the compiled model."""
    keras.utils.set_random_seed(launch.seed)
    keras.config.set_dtype_policy(launch.dtype)
    task = TASKS[launch.task]
    model = task.net()
    keras.config.set_dtype_policy("float32")
    options: dict[str, Any] = {"global_clipnorm": 1.0} if arm == "clipnorm" else {}
    if launch.weight_decay is not None:
        options["weight_decay"] = launch.weight_decay
    optimizer = OPTIMIZERS[launch.optimizer](**options)
    if launch.dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, task.loss, jit_compile=keras.backend.backend() == "jax")
    return model


def test_loss(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean loss on the test rows, computed in float64 from the predictions."""
    predicted = keras.ops.convert_to_numpy(model(x, training=False)).astype("float64")
    with np.errstate(all="ignore"):
        if y.dtype == np.float32:
            return float(np.mean((predicted - y) ** 2))
        logits = predicted - predicted.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


class _Steps(keras.callbacks.Callback):
    """Counts the batches that were trained on."""

    count = 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.count += 1

"""`HyperparameterLogger`: the learning rate and momentum that training used, for every tool that reads Keras' logs."""

from __future__ import annotations

import os
from typing import Any

import keras

from onecycle.hyperparameters import current_values
from onecycle.keras_support.callback_list import call_first
from onecycle.keras_support.optimizers import raw_step


class HyperparameterLogger(keras.callbacks.Callback):
    """Put the learning rate, momentum and weight decay into the logs of every epoch.

    They are those of the epoch's last step, as that step used them, and appear in `History`, `CSVLogger`,
    `TensorBoard` and other callbacks that read the epoch's logs (MLflow's, Weights & Biases'), wherever in the list
    they stand. Nothing runs per batch. A value that another callback sets in the middle of an epoch is seen as it is
    at the epoch's end.

    Args:
        log_dir: A folder: the values of every step are written there too, as a TensorBoard event file with one scalar
            each, `hyperparameters/learning_rate` and so on, by the optimizer's step.

    Raises:
        ImportError: With `log_dir` and without the package tensorboard.

    Example:

    ```python
    callbacks = [onecycle.OneCycleScheduler(0.1), onecycle.HyperparameterLogger("logs")]
    history = model.fit(x, y, epochs=10, callbacks=callbacks)
    history.history["learning_rate"]
    ```
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        self._writer: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        call_first(self)
        if self.log_dir is not None:
            self._writer = _writer(self.log_dir)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._first_step = raw_step(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        end = raw_step(optimizer)
        if logs is not None and end > 0:
            logs.update(current_values.values_at(optimizer, end - 1))
        if self._writer is not None:
            self._write(range(self._first_step, end))

    def on_train_end(self, logs: Any = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, steps: range) -> None:
        for step in steps:
            for name, value in current_values.values_at(self.model.optimizer, step).items():
                self._writer.add_scalar(f"hyperparameters/{name}", value, step)
        self._writer.flush()


def _writer(log_dir: str) -> Any:
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise ImportError(
            "HyperparameterLogger writes event files with the package tensorboard: pip install tensorboard, or leave "
            "`log_dir` out."
        ) from error
    return Writer(log_dir)

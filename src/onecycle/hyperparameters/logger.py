"""`HyperparameterLogger`: the hyperparameters that training used, for every tool that reads Keras' logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import keras

from onecycle.hyperparameters import current_values
from onecycle.keras_support.callback_list import call_first
from onecycle.keras_support.optimizers import elapsed_steps, lost_steps, raw_step
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_path

if TYPE_CHECKING:
    from tensorboard.summary import Writer


class HyperparameterLogger(keras.callbacks.Callback):
    """Add the learning rate, momentum and weight decay to the logs of every epoch.

    The values are those of the last step of the epoch. They appear in `History`, `CSVLogger`, `TensorBoard` and other
    callbacks that read the epoch's logs (those of MLflow and Weights & Biases), whatever their order in the list.
    Nothing runs per batch. A value that another callback changes in the middle of an epoch is logged as it is at the
    epoch's end.

    Args:
        log_dir: Folder for a TensorBoard event file with the values of every step. The scalars are named
            `hyperparameters/learning_rate` and so on, and their step is that of the optimizer. By default there is no
            file.

    Raises:
        ImportError: When training begins, if `log_dir` is given and the package tensorboard is missing.

    Example:

    ```python
    callbacks = [onecycle.OneCycleScheduler(0.1), onecycle.HyperparameterLogger("logs")]
    history = model.fit(x, y, epochs=10, callbacks=callbacks)
    history.history["learning_rate"]
    ```
    """

    @suggest_names()
    def __init__(self, log_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.log_dir = None if log_dir is None else str(check_path("log_dir", log_dir))
        self._writer: Writer | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # First in the list, so that the others find the values in the logs.
        call_first(self)
        if self.log_dir is not None:
            self._writer = _make_writer(self.log_dir)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._first_step = elapsed_steps(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        optimizer = self.model.optimizer
        end = raw_step(optimizer)
        # `end` counts completed steps, so the last one had the number `end - 1`.
        if logs is not None and elapsed_steps(optimizer) > 0:
            logs.update(current_values.values_at(optimizer, end - 1))
        if self._writer is not None:
            self._write(self._writer, range(self._first_step, elapsed_steps(optimizer)), lost_steps(optimizer))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, writer: Writer, steps: range, lost: int) -> None:
        """Write the values of the steps that were made; after a rescue, the counter is behind by what was lost."""
        for step in steps:
            for name, value in current_values.values_at(self.model.optimizer, step - lost).items():
                writer.add_scalar(f"hyperparameters/{name}", value, step)
        writer.flush()


def _make_writer(log_dir: str) -> Writer:
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise ImportError(
            "HyperparameterLogger writes event files with the package tensorboard: pip install tensorboard, or leave "
            "`log_dir` out."
        ) from error
    return Writer(log_dir)

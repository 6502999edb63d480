"""A task: one data set, ready to train on, with the one model that goes with it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onecycle.tasks import models
from onecycle.tasks.data import LOADERS, Split

NAMES = tuple(LOADERS)
BATCH_SIZE = 32


@dataclass(frozen=True)
class Task:
    """A data set with its model, the same for everyone who names it.

    Args:
        name: One of `onecycle.tasks.NAMES`.
        data: `((x, y), (x_test, y_test))`; the inputs float32, standardised with the mean and deviation of `x` alone.
        metric: The metric to judge by: "accuracy" (higher is better), or "mae" (lower is better).
        batch_size: Examples in a training step.
    """

    name: str
    data: Split = field(repr=False)
    metric: str
    batch_size: int = BATCH_SIZE

    def build(self, seed: int | None = None, optimizer: Any = None) -> Any:
        """Return a new compiled Keras model.

        Args:
            seed: Seeds Python, NumPy and the backend first (`keras.utils.set_random_seed`), so that the model starts
                with the same weights each time. None leaves them alone.
            optimizer: What `Model.compile` takes. None is SGD with Keras' default rate, 0.01, and momentum 0.9.
        """
        return models.build(self.name, seed=seed, optimizer=optimizer)


def load_task(name: str, data_dir: str | os.PathLike[str] | None = None) -> Task:
    """Read the task's data and return the task.

    Args:
        name: "digits" (comes with scikit-learn), "boston-housing", "fashion-mnist" or "cifar10".
        data_dir: Folder to read `<name>.npz` from instead of downloading. None means the environment variable
            ONECYCLE_DATA, and where that is not set either, `keras.datasets`.

    Raises:
        ValueError: No such task, or a file with another layout.
        FileNotFoundError: The folder has no such file.
    """
    if name not in LOADERS:
        raise ValueError(f"Argument `name` must be one of {', '.join(NAMES)}. Received: name={name!r}")
    directory = data_dir if data_dir is not None else os.environ.get("ONECYCLE_DATA")
    data = LOADERS[name](Path(directory) if directory else None)
    return Task(name=name, data=data, metric=models.METRICS[name])

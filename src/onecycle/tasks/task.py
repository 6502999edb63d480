"""A task: a data set and its model."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onecycle.tasks import models
from onecycle.tasks.data import LOADERS, TrainTestSplit

if TYPE_CHECKING:
    import keras

NAMES = tuple(LOADERS)
BATCH_SIZE = 32


@dataclass(frozen=True)
class Task:
    """A data set and its model.

    Attributes:
        name: One of `onecycle.tasks.NAMES`.
        data: `((x, y), (x_test, y_test))`. The inputs are float32, standardized with the mean and standard deviation
            of `x`.
        metric: The metric to report: "accuracy" (higher is better) or "mae" (lower is better).
        batch_size: Number of examples per training step.
    """

    name: str
    data: TrainTestSplit = field(repr=False)
    metric: str
    batch_size: int = BATCH_SIZE

    def build(self, seed: int | None = None, optimizer: keras.optimizers.Optimizer | str | None = None) -> keras.Model:
        """Return a new compiled Keras model.

        Args:
            seed: Random seed, set with `keras.utils.set_random_seed`, so that the initial weights are reproducible.
                None sets no seed.
            optimizer: The optimizer for `Model.compile`. None means SGD with learning rate 0.01, the default of Keras,
                and momentum 0.9.
        """
        return models.build(self.name, seed=seed, optimizer=optimizer)


def load_task(name: str, data_dir: str | os.PathLike[str] | None = None) -> Task:
    """Load a task: a data set and its model.

    Args:
        name: "digits" (part of scikit-learn), "boston-housing", "fashion-mnist" or "cifar10".
        data_dir: Folder with the file `<name>.npz`. None means the environment variable ONECYCLE_DATA; if that is
            not set either, `keras.datasets` downloads the data.

    Returns:
        A `Task` with the data in memory.

    Raises:
        ValueError: If there is no such task, or the file does not have the expected arrays.
        FileNotFoundError: If the folder has no such file.
        ModuleNotFoundError: If the task "digits" is loaded and scikit-learn is missing.
    """
    if name not in LOADERS:
        raise ValueError(f"Argument `name` must be one of {', '.join(NAMES)}. Received: name={name!r}")
    directory = data_dir if data_dir is not None else os.environ.get("ONECYCLE_DATA")
    data = LOADERS[name](Path(directory) if directory else None)
    return Task(name=name, data=data, metric=models.METRICS[name])

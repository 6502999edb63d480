"""A task's model and data as functions that worker processes can call, each reading the data once."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from onecycle.tasks import load_task, models

# Their source is part of each record's identity: a change makes every run anew.


def task_model(name: str) -> Any:
    """The task's model, compiled with Keras' own SGD."""
    import keras

    return models.build(name, seed=None, optimizer=keras.optimizers.SGD())


def task_split(name: str, seed: int) -> Any:
    """The task's training and test data, the same for every seed."""
    return _data(name)


def held_out_split(name: str, share: float, seed: int) -> Any:
    """The training data alone, a share of it, drawn by the seed, held out."""
    (x, y), _ = _data(name)
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = np.split(order, [round(share * len(x))])
    return (x[kept], y[kept]), (x[held], y[held])


@functools.cache
def _data(name: str) -> Any:
    return load_task(name).data

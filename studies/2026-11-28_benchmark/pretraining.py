"""The weights that fine-tunings start from: trained once, kept in a folder that git ignores."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import onecycle
from onecycle.engine import Member, train_members

if TYPE_CHECKING:
    from tasks import Task

FOLDER = Path(__file__).parent / "pretrained"
PEAKS = {"sgd": 0.1, "adamw": 0.003}
SEED = 4242


@cache
def pretrained_weights(name: str, task: Task) -> list[np.ndarray]:
    """Return the weights of a trained model without those of its last layer; trained if there is no file.

    Args:
        name: Name of the task, in the name of the file.
        task: The task that is trained.
    """
    # With a digest of the data, so that weights of other data are not taken.
    path = FOLDER / f"{name}-{task.load().fingerprint()}.npz"
    if not path.exists():
        weights = trained(task)
        FOLDER.mkdir(exist_ok=True)
        # Written whole, since several processes may come here at once.
        with tempfile.NamedTemporaryFile(dir=FOLDER, suffix=".npz", delete=False) as file:
            np.savez(file, *weights)
        os.replace(file.name, path)  # noqa: PTH105
    with np.load(path) as archive:
        return [archive[key] for key in archive.files]


def trained(task: Task) -> list[np.ndarray]:
    """Train the model of a task with one cycle and return its weights without those of its last layer."""
    model, (x, y) = task.build(SEED), task.load().train
    steps = task.epochs * -(-len(x) // task.batch_size)
    cycle = onecycle.OneCycle(PEAKS[task.optimizer], steps)
    runs = train_members(
        model, x, y, epochs=task.epochs, batch_size=task.batch_size, weights=True, engine="scan",
        members=[Member(cycle, cycle.momentum(), seed=SEED)],
    )  # fmt: skip
    return runs.weights[0][: -len(model.layers[-1].weights)]

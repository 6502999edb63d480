"""Runs of one task: whole cycles, ramps, and the evaluation of weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from data import Data
from tasks import TASKS, Task, data_of

import onecycle
from onecycle.engine import Member, MemberRuns, train_members

EVALUATED_TOGETHER = 500  # rows; a divisor of the numbers of held-out rows, so that one program serves both parts
CURVE_POINTS = 20
Weights = list[np.ndarray]


class Runner:
    """The runs of a task.

    Args:
        name: Name of the task.
        smoke: Whether a run has two steps only.
    """

    def __init__(self, name: str, *, smoke: bool = False) -> None:
        self.name, self.task, self.data = name, TASKS[name], data_of(name)
        self.epochs = 1 if smoke else self.task.epochs
        if smoke:
            self.data = shortened(self.data, 2 * self.task.batch_size)
        self.x, self.y = self.data.train
        self.steps_per_epoch = -(-len(self.x) // self.task.batch_size)
        self.steps = self.epochs * self.steps_per_epoch
        # One model for all calls, so that its compiled programs are reused. Each run starts from its own state.
        self.model = self.task.build(0)
        self._evaluator = self.task.build(0)

    def facts(self) -> dict[str, Any]:
        """Return what all records of the task have in common."""
        task: Task = self.task
        guessing = {part: task.guessing(self.data, part) for part in ("selection", "test")}
        rows = {part: len(getattr(self.data, part)[0]) for part in Data._fields}
        return {
            "task": self.name, "optimizer": task.optimizer, "classes": task.classes, "epochs": self.epochs,
            "batch_size": task.batch_size, "steps": self.steps, "weights": self.model.count_params(),
            "data": self.data.fingerprint(), "start": self._digest_of_start(), "guessing": guessing, "rows": rows,
        }  # fmt: skip

    def _digest_of_start(self) -> str:
        """Return a digest of the pretrained weights, "" without any."""
        if not self.task.pretrained:
            return ""
        digest = hashlib.sha256()
        for array in self.task.build(0).get_weights()[:-2]:
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def new_model(self, seed: int) -> keras.Model:
        """Return a new model with the initial variables of a seed.

        Attention networks have constants besides, the vectors of the positions, which are drawn when a network is made
        and are not trained. All models of a task have the same, so that weights of one can be evaluated in another.
        """
        start, model = self.task.build(seed), self.task.build(0)
        for variable, value in zip(model.variables, start.variables, strict=True):
            variable.assign(value.value)
        return model

    def cycle(self, rate: float, seed: int) -> dict[str, Any]:
        """Train a whole cycle with a peak and return its record."""
        cycle = onecycle.OneCycle(rate, self.steps)
        trained = self.train([Member(cycle, cycle.momentum(), seed=seed, start=self.task.build(seed))])
        return {
            "schedule": "one_cycle", "rate": rate, "seed": seed, "diverged": bool(trained.diverged[0]),
            **self.evaluate(trained.weights[0]), **curve_of(trained.losses[0], self.steps_per_epoch),
        }  # fmt: skip

    def train(self, members: Sequence[Member], engine: str = "scan") -> MemberRuns:
        """Train members, by default one after another, which is faster on one core (see the README)."""
        return train_members(
            self.model, self.x, self.y, epochs=self.epochs, batch_size=self.task.batch_size, members=members,
            weights=True, engine=engine,
        )  # fmt: skip

    def ramp(self, rates: np.ndarray, seed: int) -> list[float]:
        """Return the losses of a ramp of rates, NaN from the first step at which they are not finite."""
        rows = len(rates) * self.task.batch_size
        x, y = self.x[:rows], self.y[:rows]
        epochs = -(-len(rates) // -(-len(x) // self.task.batch_size))
        runs = train_members(
            self.model, x, y, epochs=epochs, batch_size=self.task.batch_size, engine="scan",
            members=[Member(Table(rates), None, seed=seed, start=self.task.build(seed))],
        )  # fmt: skip
        return runs.losses[0, : len(rates)].tolist()

    def evaluate(self, weights: Weights) -> dict[str, float | None]:
        """Return the loss and the error of weights on the selection and the test rows; None where not finite."""
        found: dict[str, float | None] = {}
        self._evaluator.set_weights(weights)
        for part in ("selection", "test"):
            x, y = getattr(self.data, part)
            values = self._evaluator.evaluate(x, y, batch_size=EVALUATED_TOGETHER, verbose=0, return_dict=True)
            metric = values[self.task.error_metric]
            found[f"{part}_loss"] = plain(values["loss"])
            # A diverged classifier still has an accuracy.
            error = (1 - metric if self.task.classes else metric) if math.isfinite(values["loss"]) else math.nan
            found[f"{part}_error"] = plain(error)
        return found


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that reads its values from a table and keeps the last one."""

    def __init__(self, values: np.ndarray) -> None:
        self.table = values.astype("float32")

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(self.table, keras.ops.minimum(step, len(self.table) - 1))


def curve_of(losses: np.ndarray, steps_per_epoch: int) -> dict[str, Any]:
    """Return the mean training loss of the last epoch, and of each twentieth of the run."""
    means = [plain(np.mean(piece)) for piece in np.array_split(losses, min(CURVE_POINTS, len(losses)))]
    return {"train_loss": plain(losses[-steps_per_epoch:].mean()), "curve": means}


def shortened(data: Data, rows: int) -> Data:
    """Return the data with fewer training rows."""
    return data._replace(train=(data.train[0][:rows], data.train[1][:rows]))


def plain(value: float) -> float | None:
    """Return a number with six digits, or None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

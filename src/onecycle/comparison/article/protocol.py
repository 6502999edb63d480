"""Protocols of the article's experiments, fixed before their first run: tasks, arms, epochs, grids and seeds.

J. Quijas, 1Cycle Learning Rate Scheduling with TensorFlow and Keras (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

BASELINE = "SGD 0.01"
CYCLE = "1cycle"
HALF_DECADE = 10**0.5
FIRST_GRID_SEED = 1000  # no comparison uses the same seeds
VALIDATION_SHARE = 0.2  # fraction of the training data used to choose a constant rate; test data is never used for it

ArmOptions: TypeAlias = dict[str, object]  # of one arm, as `compare` takes them


@dataclass(frozen=True)
class Protocol:
    """How one of the article's experiments is repeated.

    Attributes:
        task: Name of the task, which has data, a model and the batch size 32.
        metric: The metric that decides: "loss" (for Boston Housing the mean squared error) or "accuracy".
        margin: Largest difference of the metric that is of no practical interest.
        epochs: Epochs of every arm whose name has no other number.
        cycles: Lengths in epochs of the shorter cycles. The shortest one that reaches a target is searched for.
        seeds: Number of seeds of the main arms: the baseline, the tuned constants and the cycles.
        side_seeds: Number of seeds of the other arms.
        grid: Constant rates tried for SGD without and with momentum. While the best rate is at an end of the grid, the
            grid is extended there by half a decade.
        grid_epochs: Epochs of each run of the grid.
        grid_seeds: Runs of each rate of the grid. Their mean decides.
    """

    task: str
    metric: str
    margin: float
    epochs: int
    cycles: tuple[int, ...]
    seeds: int
    side_seeds: int
    grid: tuple[float, ...]
    grid_epochs: int
    grid_seeds: int = 1

    def shortened(self, *, seeds: int | None, epochs: int | None) -> Protocol:
        """Return the protocol with another number of seeds or epochs.

        Cycles that are no longer shorter than the others are left out.
        """
        epochs = epochs or self.epochs
        return replace(
            self,
            seeds=seeds or self.seeds,
            side_seeds=min(seeds or self.side_seeds, self.side_seeds),
            epochs=epochs,
            grid_epochs=min(self.grid_epochs, epochs),
            cycles=tuple(length for length in self.cycles if length < epochs),
        )

    def main_arms(self, tuned: Mapping[float, float]) -> dict[str, ArmOptions]:
        """Return the baseline, the tuned constants and the cycles.

        Args:
            tuned: Momentum (0.0 or 0.9) -> the constant rate chosen with the grid.
        """
        arms: dict[str, ArmOptions] = {BASELINE: {"optimizer": sgd(0.0)}}
        for momentum, rate in tuned.items():
            arms[constant_name(momentum, rate)] = constant(momentum, rate)
        arms[CYCLE] = {"max_learning_rate": "auto", "optimizer": sgd(0.9)}
        for length in sorted(self.cycles, reverse=True):
            arms[f"{CYCLE}, {length} epochs"] = arms[CYCLE] | {"epochs": length}
        return arms

    def side_arms(self) -> dict[str, ArmOptions]:
        """Return the baseline, Adam with its default rate, and two other schedules with the peak of the range test."""
        found: ArmOptions = {"max_learning_rate": "auto", "optimizer": sgd(0.9)}
        return {
            BASELINE: {"optimizer": sgd(0.0)},
            "Adam 0.001": {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.001}}},
            "warm-up + linear decay": found | {"schedule": "warmup_linear"},
            "PyTorch's cycle": found | {"schedule": "pytorch"},
        }


PROTOCOLS = {
    "boston-housing": Protocol(
        task="boston-housing",
        metric="loss",
        margin=0.5,
        epochs=100,
        cycles=(5, 10, 20, 35, 50),
        seeds=20,
        side_seeds=20,
        grid=tuple(10**power for power in (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5)),
        grid_epochs=100,
        grid_seeds=5,
    ),
    "fashion-mnist": Protocol(
        task="fashion-mnist",
        metric="accuracy",
        margin=0.002,
        epochs=20,
        cycles=(2, 3, 4, 6, 10),
        seeds=5,
        side_seeds=5,
        grid=tuple(10**power for power in (-2.5, -2.0, -1.5, -1.0, -0.5)),
        grid_epochs=10,
    ),
    "cifar10": Protocol(
        task="cifar10",
        metric="accuracy",
        margin=0.005,
        epochs=15,
        cycles=(3, 5, 8),
        seeds=3,
        side_seeds=1,
        grid=tuple(10**power for power in (-2.5, -2.0, -1.5, -1.0, -0.5)),
        grid_epochs=4,
    ),
}


def sgd(momentum: float, rate: float = 0.01) -> dict[str, object]:
    """Return the configuration of Keras' SGD."""
    return {"class_name": "SGD", "config": {"learning_rate": rate, "momentum": momentum}}


def constant(momentum: float, rate: float) -> ArmOptions:
    """Return an arm of SGD with a constant rate."""
    return {"optimizer": sgd(momentum, rate)}


def constant_name(momentum: float, rate: float) -> str:
    """Return the name of an arm of SGD with a tuned constant rate."""
    return f"SGD {rate:.2g}, tuned" if not momentum else f"SGD {rate:.2g}, momentum {momentum:g}, tuned"

"""The article's experiments, laid down before their first run: tasks, arms, epochs, grids, seeds.

J. Quijas, 1Cycle Learning Rate Scheduling with TensorFlow and Keras (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BASELINE = "SGD 0.01"
CYCLE = "1cycle"
HALF_DECADE = 10**0.5
FIRST_GRID_SEED = 1000  # never one of a comparison's
VALIDATION_SHARE = 0.2  # of the training data, for choosing a constant rate; test data choose nothing


@dataclass(frozen=True)
class Protocol:
    """How one of the article's experiments is done again.

    Attributes:
        task: Name of the task: its data, model, batch size 32.
        metric: What decides: "loss" (of Boston Housing the mean squared error) or "accuracy".
        margin: Difference of the metric that is of no practical interest.
        epochs: Epochs of every arm whose name says no other number.
        cycles: Lengths in epochs of the shorter whole cycles, of which the shortest to reach a target is sought.
        seeds: Seeds of the main arms: the baseline, the cycles, the tuned constants.
        side_seeds: Seeds of the other arms.
        grid: Constant rates tried for plain SGD and for SGD with momentum; widened by half a decade while the best is
            at an end.
        grid_epochs: Epochs of each run of the grid.
        grid_seeds: Runs of each rate of the grid, whose mean decides.
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
        """The same with another number of seeds or epochs; cycles that would not be shorter are left out."""
        epochs = epochs or self.epochs
        return replace(
            self,
            seeds=seeds or self.seeds,
            side_seeds=min(seeds or self.side_seeds, self.side_seeds) if seeds else self.side_seeds,
            epochs=epochs,
            grid_epochs=min(self.grid_epochs, epochs),
            cycles=tuple(length for length in self.cycles if length < epochs),
        )

    def main_arms(self, tuned: Mapping[float, float]) -> dict[str, dict[str, Any]]:
        """The baseline, the tuned constants and the cycles.

        Args:
            tuned: Momentum (0.0 or 0.9) -> the constant rate that the grid chose for it.
        """
        arms: dict[str, dict[str, Any]] = {BASELINE: {"optimizer": sgd(0.0)}}
        for momentum, rate in tuned.items():
            arms[constant_name(momentum, rate)] = constant(momentum, rate)
        arms[CYCLE] = {"max_learning_rate": "auto", "optimizer": sgd(0.9)}
        for length in sorted(self.cycles, reverse=True):
            arms[f"{CYCLE}, {length} epochs"] = arms[CYCLE] | {"epochs": length}
        return arms

    def side_arms(self) -> dict[str, dict[str, Any]]:
        """The baseline again, Adam as Keras gives it, and two other shapes of the schedule at the finder's rate."""
        found = {"max_learning_rate": "auto", "optimizer": sgd(0.9)}
        return {
            BASELINE: {"optimizer": sgd(0.0)},
            "Adam 0.001": {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.001}}},
            "warm-up + linear decay": found | {"schedule": "warmup_linear"},
            "PyTorch's cycle": found | {"schedule": "pytorch"},
        }

    def swept_arms(self, tuned: Mapping[float, float]) -> dict[str, dict[str, Any]]:
        """The tuned constant with momentum, the cycle, and the cycle at the peak that a sweep picks."""
        main = self.main_arms(tuned)
        arms = {name: main[name] for name in (constant_name(0.9, tuned[0.9]), CYCLE)}
        return arms | {f"{CYCLE}, swept": main[CYCLE] | {"max_learning_rate": "sweep"}}

    def longer_arms(self) -> dict[str, dict[str, Any]]:
        """The baseline, the cycle, and a longer one."""
        main = self.main_arms({})
        arms = {name: main[name] for name in (BASELINE, CYCLE)}
        return arms | {f"{CYCLE}, {LONGER_EPOCHS} epochs": main[CYCLE] | {"epochs": LONGER_EPOCHS}}


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

# Asked after this task's first results, where the range test picked too low a peak: does a sweep mend it?
SWEPT_TASK = "boston-housing"

# Asked after this task's first seed, whose cycle of 15 epochs ended just below 82 %: does a longer one pass that?
LONGER_TASK, LONGER_EPOCHS = "cifar10", 25

# The article's picture: training loss at rates from far too small to far too large.
PICTURE_TASK, PICTURE_EPOCHS = "cifar10", 2
PICTURE_RATES = tuple(10.0**power for power in range(-6, 2))

# The article's warning: the same rate at batch size 2048.
BATCH_SIZES, BATCH_EPOCHS, BATCH_RATES = (32, 2048), 3, (0.03, 0.3, 3.0)


def sgd(momentum: float, rate: float = 0.01) -> dict[str, Any]:
    """Keras' SGD, as data."""
    return {"class_name": "SGD", "config": {"learning_rate": rate, "momentum": momentum}}


def constant(momentum: float, rate: float) -> dict[str, Any]:
    """An arm of SGD at one rate."""
    return {"optimizer": sgd(momentum, rate)}


def constant_name(momentum: float, rate: float) -> str:
    """The name of such an arm."""
    return f"SGD {rate:.2g}, tuned" if not momentum else f"SGD {rate:.2g}, momentum {momentum:g}, tuned"


def picture_arms() -> dict[str, dict[str, Any]]:
    """SGD with momentum at each rate of the picture."""
    return {f"rate {rate:g}": constant(0.9, rate) for rate in PICTURE_RATES}


def batch_arms() -> dict[str, dict[str, Any]]:
    """1cycle with the same peaks at a small and a large batch."""
    return {
        f"peak {rate:g}, batch {size}": {
            "max_learning_rate": rate,
            "optimizer": sgd(0.9),
            "batch_size": size,
            "epochs": BATCH_EPOCHS,
        }
        for rate in BATCH_RATES
        for size in BATCH_SIZES
    }

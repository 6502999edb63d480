"""Compare scores of averaged weights whose statistics of batch normalization are averaged, or estimated again.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python batch_norm.py [--table]

On the tuning tasks with batch normalization, whole cycles at five multiples of the best rate of the truth, for three
seeds: runs/TASK/batch_norm_EXPONENT_SEED.json. Finished runs are kept. `--table` fills the table of the README instead.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from earlier_study import tables
from grids import SEEDS, as_loss, read_truth
from truth import RUNS, environment, write

from onecycle.comparison.packed import documents

TASKS = ("cifar-dense-bn", "fashion-residual", "oscillations-residual", "fashion-fine-tuning")
EXPONENTS, RATIO = (-2, -1, 0, 1, 2), 2.5
CUTS = (0.1, 0.24, 0.4, 0.7)
KINDS = ("weights not averaged", "averaged", "estimated again")
ROWS = 2000  # training rows, a pass over which estimates the statistics again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="fill the table of the README from the records")
    if parser.parse_args().table:
        tables.fill(Path(__file__).with_name("README.md"), "batch norm", table(RUNS))
        return
    for name in TASKS:
        complete(name, RUNS)


def complete(name: str, runs: Path) -> None:
    """Make the missing runs of a task."""
    import time

    from training import Runner

    runner, truth = Runner(name), read_truth(runs / name)
    for seed in SEEDS[:3]:
        for exponent in EXPONENTS:
            path = runs / name / f"batch_norm_{exponent}_{seed}.json"
            if not documents(path.parent, path.name):
                began = time.process_time()
                rate = float(truth.rates[truth.best("selection_loss")]) * RATIO**exponent
                record = {"task": name, "seed": seed, "exponent": exponent, "rate": rate, **scored(runner, rate, seed)}
                write(path, record | environment(round(time.process_time() - began, 2)))
                print(path.name, name, flush=True)


def scored(runner: Any, rate: float, seed: int) -> dict[str, Any]:
    """Train a whole cycle; return the scores at the cuts in three ways, and the losses at its end."""
    import keras

    import onecycle

    model = runner.new_model(seed)
    keras.utils.set_random_seed(seed)
    scores = scores_callback(runner)
    model.fit(
        runner.x, runner.y, epochs=runner.epochs, batch_size=runner.task.batch_size, verbose=0,
        callbacks=[onecycle.OneCycleScheduler(rate), scores],
    )  # fmt: skip
    return {"scores": scores.found, **runner.evaluate(model.get_weights())}


def scores_callback(runner: Any) -> Any:
    """Return a callback that averages the weights and scores them at the cuts: `found` has a row for each cut."""
    import keras
    from training import plain

    from onecycle.keras_support.step_state import current_weights
    from onecycle.keras_support.weight_average import WeightAverage

    class Scores(keras.callbacks.Callback):
        """Keeps a moving average of the weights, and scores it at the cuts."""

        def __init__(self) -> None:
            super().__init__()
            self.found: list[list[float | None]] = []
            self._cuts = [round(cut * runner.steps) for cut in CUTS]
            self._judged = runner.task.build(0)
            self._step = 0

        def on_train_begin(self, logs: Any = None) -> None:
            self._average = WeightAverage(self.model)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._step += 1
            self._average.update(self._step)
            if self._step in self._cuts:
                self.found.append(self._scores())

        def _scores(self) -> list[float | None]:
            values = [*self.model.trainable_variables, *self.model.non_trainable_variables]
            now = dict(zip([one.path for one in values], map(np.array, current_weights(self.model)), strict=True))
            averaged = dict(zip([one.path for one in self._average._variables], self._average.state()[1], strict=True))
            ordered = [one.path for one in self.model.weights]
            rows = []
            for kept in (now, now | averaged):
                self._judged.set_weights([kept[path] for path in ordered])
                rows.append(self._loss())
            estimate(self._judged, runner.x[:ROWS], runner.task.batch_size)
            return [*rows, self._loss()]

        def _loss(self) -> float | None:
            x, y = runner.data.selection
            return plain(self._judged.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)["loss"])

    return Scores()


def estimate(model: Any, x: np.ndarray, batch_size: int) -> None:
    """Set the statistics of batch normalization to their means over the batches of training rows."""
    import keras

    layers = [one for one in model._flatten_layers() if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for k in range(len(x) // batch_size):
        for layer in layers:
            layer.momentum = k / (k + 1)
        model(x[k * batch_size : (k + 1) * batch_size], training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def table(runs: Path) -> str:
    """Return a row for each task and cut: how far above the best of its candidates the lowest score ends."""
    lines = []
    for name in TASKS:
        truth = read_truth(runs / name)
        of_seed = [documents(runs / name, f"batch_norm_*_{seed}.json").values() for seed in SEEDS[:3]]
        for at, cut in enumerate(CUTS):
            cells = []
            for kind in range(len(KINDS)):
                found = [chosen(truth, list(records), at, kind) for records in of_seed if records]
                cells.append(f"{tables.percent(np.mean([one[0] for one in found]))}, "
                             f"{np.mean([one[1] for one in found]):.2f}")  # fmt: skip
            lines.append((name, f"{cut:g}", *cells))
    return tables.table(("task", "cut", *KINDS), lines)


def chosen(truth: Any, records: list[dict], at: int, kind: int) -> tuple[float, float]:
    """Return how far above the best candidate the one with the lowest score ends, and the rank correlation of both."""
    scores = np.array([as_loss(one["scores"][at][kind] if at < len(one["scores"]) else None) for one in records])
    losses = np.array([as_loss(one["test_loss"]) for one in records])
    from scipy.stats import spearmanr

    # A run that diverged ranks last in both.
    ranks = spearmanr(np.nan_to_num(scores, posinf=1e9), np.nan_to_num(losses, posinf=1e9)).statistic
    return truth.floored(losses[scores.argmin()], losses.min()), float(ranks)


if __name__ == "__main__":
    # As in truth.py.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()

"""Runs the advice, and a grid of batch sizes and learning rates up to a target accuracy, on three tasks."""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import onecycle
from onecycle.comparison.packed import documents
from onecycle.tasks import load_task

RUNS = Path(__file__).parent / "runs"


@dataclass(frozen=True)
class Task:
    """A network with one hidden layer, and what it has to reach.

    Attributes:
        rows: Rows to train on.
        units: Units of the hidden layer.
        target: Accuracy on 2000 held-out rows.
        epochs: Epochs at most.
        batch_sizes: The grid.
        highest_rate: The highest learning rate of the grid, for batch size 32. Each is half of the one before.
        advice_rate: The learning rate with which the noise scale is measured.
        adam: Whether it is trained with Adam. SGD has a momentum of 0.9.
        rates: Number of rates for each batch size.
        seeds: Number of seeds.
    """

    rows: int
    units: int
    target: float
    epochs: int
    batch_sizes: tuple[int, ...]
    highest_rate: float = 0.2
    rates: int = 8
    advice_rate: float = 0.025
    adam: bool = False
    seeds: int = 5

    def rate(self, number: int, batch_size: int) -> float:
        """Return a learning rate of the grid, scaled to a batch size: linearly, or for Adam with its square root."""
        ratio = batch_size / 32
        return self.highest_rate / 2**number * (ratio**0.5 if self.adam else ratio)


SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
TASKS = {
    "digits": Task(1200, 64, 0.95, 20, SIZES[:6]),
    "fashion-mnist": Task(10_000, 100, 0.84, 8, SIZES),
    "cifar10": Task(
        10_000, 200, 0.4, 5, SIZES[1:8], highest_rate=0.004, rates=5, advice_rate=0.001, adam=True, seeds=3
    ),
}
EVALUATE_EVERY = 600  # rows


def data_of(name: str) -> tuple[np.ndarray, ...]:
    """Return x, y, and the held-out rows, flattened."""
    (x, y), (x_val, y_val) = load_task(name).data
    rows = TASKS[name].rows
    return x[:rows].reshape(rows, -1), y[:rows], x_val[:2000].reshape(len(x_val[:2000]), -1), y_val[:2000]


def model_of(name: str, inputs: int, learning_rate: float, seed: int) -> keras.Model:
    """Return a compiled network with one hidden layer."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((inputs,)), keras.layers.Dense(TASKS[name].units, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizers = keras.optimizers
    adam = TASKS[name].adam
    optimizer = optimizers.Adam(learning_rate) if adam else optimizers.SGD(learning_rate, momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def steps_to_target(name: str, batch_size: int, learning_rate: float, seed: int) -> int | None:
    """Return the number of steps until the accuracy on held-out rows reaches the target; None if it does not."""
    x, y, x_val, y_val = data_of(name)
    model = model_of(name, x.shape[1], learning_rate, seed)
    order = np.random.default_rng(seed)
    steps_at_once = max(1, EVALUATE_EVERY // batch_size)
    steps = 0
    while steps * batch_size < TASKS[name].epochs * len(x):
        rows = order.integers(len(x), size=steps_at_once * batch_size)
        model.fit(x[rows], y[rows], batch_size=batch_size, epochs=1, verbose=0, shuffle=False)
        steps += steps_at_once
        accuracy = model.evaluate(x_val, y_val, batch_size=1000, verbose=0)[1]
        if accuracy >= TASKS[name].target:
            return steps
    return None


def main() -> None:
    """Write one record for each advice and each run that has none yet, into a folder for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["advice", "runs"])
    (write_advice if parser.parse_args().kind == "advice" else write_runs)()


def write_advice() -> None:
    """Ask for advice once with each seed. It measures times, so nothing else should run meanwhile."""
    for name, task in TASKS.items():
        done = documents(RUNS / name)
        for seed in range(task.seeds):
            file = f"advice_{seed}.json"
            if file not in done:
                write(RUNS / name / file, {"task": name, "kind": "advice", "seed": seed, **advice(name, seed)})


def write_runs() -> None:
    """Train at each batch size and rate up to the target."""
    for name, task in TASKS.items():
        done = documents(RUNS / name)
        for size, number, seed in itertools.product(task.batch_sizes, range(task.rates), range(task.seeds)):
            file = f"{size}_{task.highest_rate / 2**number:g}_{seed}.json"
            if file not in done:
                rate = task.rate(number, size)
                run = {"task": name, "kind": "run", "batch_size": size, "learning_rate": rate, "seed": seed}
                steps = steps_to_target(name, size, rate, seed)
                write(RUNS / name / file, {**run, "target": task.target, "steps": steps})


def advice(name: str, seed: int) -> dict[str, Any]:
    """Return the advice on a task as JSON values."""
    x, y, *_ = data_of(name)
    task = TASKS[name]
    model = model_of(name, x.shape[1], task.advice_rate, seed)
    found = onecycle.advise_batch_size(model, x, y, batch_sizes=task.batch_sizes, seed=seed, verbose=0)
    return {
        "batch_size": found.batch_size, "noise_scale": found.noise_scale, "interval": found.interval,
        "batch_sizes": found.batch_sizes.tolist(), "step_seconds": found.step_seconds.tolist(),
        "fewest_samples": found.fewest_samples,
    }  # fmt: skip


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(record))
    draft.rename(path)


if __name__ == "__main__":
    main()

"""The first question: range tests of trained models, and runs over a grid of peaks: python rates.py [TASK ...]

Each record is a file when it is made, and what exists is not made again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
from tasks import TASKS, FineTuning, compiled, pretrain, source_model, target_model

import onecycle
from onecycle.comparison.packed import documents
from onecycle.engine import Member, train_members
from onecycle.results.codec import write_atomically

RUNS = Path(__file__).parent / "runs"
SEEDS = 2
PEAKS = {
    "sgd": tuple(10 ** (k / 3 - 4) for k in range(13)),  # 1e-4 to 1
    "adam": tuple(10 ** (k / 3 - 5) for k in range(13)),  # 1e-5 to 1e-1
    "adamw": tuple(10 ** (k / 3 - 5) for k in range(13)),  # 1e-5 to 1e-1
}
HEAD_EPOCHS, HEAD_PEAKS = 1, {"sgd": 0.1, "adam": 0.01, "adamw": 0.01}


def main() -> None:
    for seed in range(SEEDS):
        for name in sys.argv[1:] or TASKS:
            if f"{seed}.json" not in documents(RUNS / name / "rates"):
                study(name, TASKS[name], seed)


def study(name: str, task: FineTuning, seed: int) -> None:
    """Make the record of a task with a seed."""
    source = source_model(task)
    model = target_model(source, task)
    pretrain(source, task, seed)
    if task.new_head:
        train_head(model, task, seed)
    record = {**tested(model, task, seed), "runs": trained(model, task, seed)}
    path = RUNS / name / "rates" / f"{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(record))
    print(name, seed, record["suggestion"], record["val_loss"], flush=True)


def train_head(model: keras.Model, task: FineTuning, seed: int) -> None:
    """Give a model a new head and train it alone, with one cycle. Batch normalization then stays as it is."""
    keras.utils.set_random_seed(2000 + seed)
    head = model.layers[-1]
    head.set_weights([keras.initializers.GlorotUniform()(head.kernel.shape), np.zeros(head.bias.shape)])
    (x, y), _ = task.target()
    # The head sees the features of the frozen layers, which do not change.
    features = keras.Model(model.inputs[0], model.layers[-2].output).predict(x, batch_size=500, verbose=0)
    start = keras.Input(features.shape[1:])
    alone = compiled(keras.Model(start, head(start)), task.optimizer)
    steps = HEAD_EPOCHS * -(-len(x) // task.batch_size)
    cycle = onecycle.OneCycle(HEAD_PEAKS[task.optimizer], steps)
    runs = train_members(
        alone, features, y, epochs=HEAD_EPOCHS, batch_size=task.batch_size, weights=True, engine="fit",
        members=[Member(cycle, cycle.momentum(), seed=seed)],
    )  # fmt: skip
    alone.set_weights(runs.weights[0])
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    if not model.optimizer.built:
        model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])


def tested(model: keras.Model, task: FineTuning, seed: int) -> dict[str, object]:
    """Return the record of a range test, and the loss before training."""
    (x, y), (x_test, y_test) = task.target()
    result = onecycle.find_learning_rate(model, x, y, batch_size=task.batch_size, seed=seed, verbose=0)
    val_loss, val_accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    return {
        "learning_rates": result.learning_rates.tolist(),
        "losses": [float(value) if np.isfinite(value) else None for value in result.losses],
        "stop_reason": result.stop_reason.name,
        "suggestion": result.suggestion.learning_rate,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "guessing": float(np.log(model.output_shape[-1])),
    }


def trained(model: keras.Model, task: FineTuning, seed: int) -> list[dict[str, float | None]]:
    """Return the outcome of one cycle on all weights for each peak."""
    (x, y), test = task.target()
    steps = task.epochs * -(-len(x) // task.batch_size)
    cycles = [onecycle.OneCycle(peak, steps) for peak in PEAKS[task.optimizer]]
    runs = train_members(
        model, x, y, epochs=task.epochs, batch_size=task.batch_size, validation_data=test, engine="scan",
        members=[Member(cycle, cycle.momentum(), seed=seed) for cycle in cycles],
    )  # fmt: skip
    found = []
    for k, peak in enumerate(PEAKS[task.optimizer]):
        numbers = {
            "loss": runs.metrics["loss"][k][-1],
            "val_loss": runs.validation["loss"][k][-1],
            "val_accuracy": runs.validation["accuracy"][k][-1],
        }
        numbers = {key: float(value) if np.isfinite(value) else None for key, value in numbers.items()}
        found.append({"peak": peak, **numbers})
    return found


if __name__ == "__main__":
    main()

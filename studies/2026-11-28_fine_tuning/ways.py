"""The third question: `fine_tune` beside other ways of fine-tuning: python ways.py [TASK ...] [--seeds 5]

Each run is a file in runs/TASK/ways/ when it is made, and what exists is not made again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
from bert import bert_task
from tasks import TASKS, FineTuning, compiled, pretrain, source_model

import onecycle
from onecycle.comparison.packed import documents
from onecycle.results.codec import write_atomically

RUNS = Path(__file__).parent / "runs"
BERT = "bert-modules-adam"
COMPARED = ("cifar-classes-sgd", "fashion-digits-adam", "fashion-classes-adam", "prose-code-adamw", BERT)
FROZEN_EPOCHS = 1
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001, "adamw": 0.001}  # the defaults of Keras, where no peak is found
Run = Callable[[keras.Model, FineTuning, int], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=COMPARED)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        for name in arguments.tasks:
            task = bert_task() if name == BERT else TASKS[name]
            complete(name, task, seed)


def complete(name: str, task: FineTuning, seed: int) -> None:
    """Make the missing runs of a task with a seed."""
    missing = [way for way in WAYS if not documents(RUNS / name / "ways", f"{slug(way)}_{seed}.json")]
    if not missing:
        return
    source = source_model(task)
    pretrain(source, task, seed)
    trained = source.get_weights()
    for way in missing:
        source.set_weights(trained)
        model = with_new_head(source, task, seed)
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peak = WAYS[way](model, task, seed)
        held_out = task.target()[1]
        loss, accuracy = model.evaluate(*held_out, batch_size=500, verbose=0)[:2]
        record = {"way": way, "seed": seed, "peak": peak, "val_loss": loss, "val_accuracy": accuracy,
                  "cpu_seconds": round(time.process_time() - began, 1)}  # fmt: skip
        path = RUNS / name / "ways" / f"{slug(way)}_{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record))
        print(name, way, seed, loss, accuracy, record["cpu_seconds"], flush=True)


def with_new_head(source: keras.Model, task: FineTuning, seed: int) -> keras.Model:
    """Return a model with copies of the layers of another and, where the classes are others, a new head."""
    keras.utils.set_random_seed(2000 + seed)
    copy = keras.models.clone_model(source)
    copy.set_weights(source.get_weights())
    if task.new_head:
        head = keras.layers.Dense(int(task.target()[0][1].max()) + 1, name="new_head")
        copy = keras.Model(copy.inputs, head(copy.layers[-1].input))
    return compiled(copy, task.optimizer)


def fine_tuned(model: keras.Model, task: FineTuning, seed: int, layer_rates: Any = "auto") -> float:
    """Fine-tune with `fine_tune` and return the peak of the second phase."""
    (x, y), _ = task.target()
    options = {"epochs": task.epochs, "frozen_epochs": FROZEN_EPOCHS, "layer_rates": layer_rates,
               "batch_size": task.batch_size, "seed": seed, "verbose": 0}  # fmt: skip
    start = model.get_weights()
    try:
        report = onecycle.fine_tune(model, x, y, **options).onecycle
    except ValueError:  # no peak for the second phase
        model.set_weights(start)
        peaks = ("auto", DEFAULT_RATES[task.optimizer])
        report = onecycle.fine_tune(model, x, y, max_learning_rate=peaks, **options).onecycle
    return float(report.phases[-1].max_learning_rate)


def one_cycle(model: keras.Model, task: FineTuning, seed: int) -> float:
    """Train all layers with one cycle, whose peak the range test finds, and return the peak."""
    (x, y), _ = task.target()
    epochs = task.epochs + FROZEN_EPOCHS
    options = {"epochs": epochs, "batch_size": task.batch_size, "seed": seed, "verbose": 0}
    try:
        report = onecycle.fit_one_cycle(model, x, y, **options).onecycle
    except ValueError:  # no peak
        peak = DEFAULT_RATES[task.optimizer]
        report = onecycle.fit_one_cycle(model, x, y, max_learning_rate=peak, **options).onecycle
    return float(report.max_learning_rate)


def frozen(model: keras.Model, task: FineTuning, seed: int) -> float:
    """Train the head alone with one cycle, and return its peak."""
    for layer in model.layers[:-1]:
        layer.trainable = False
    return one_cycle(compiled(model, task.optimizer), task, seed)


def constant(model: keras.Model, task: FineTuning, seed: int, rate: float) -> float:
    """Train all layers with Adam at a constant rate, and return the rate."""
    (x, y), _ = task.target()
    model.compile(keras.optimizers.Adam(rate), model.loss, metrics=["accuracy"])
    model.fit(x, y, epochs=task.epochs + FROZEN_EPOCHS, batch_size=task.batch_size, verbose=0)
    return rate


def slug(way: str) -> str:
    return way.replace(" ", "-").replace(",", "")


WAYS: dict[str, Run] = {
    "fine_tune": fine_tuned,
    "fine_tune, equal rates": partial(fine_tuned, layer_rates=None),
    "fine_tune, decay": partial(fine_tuned, layer_rates="decay"),
    "one cycle": one_cycle,
    "frozen": frozen,
    "Adam 1e-3": partial(constant, rate=1e-3),
    "Adam 1e-4": partial(constant, rate=1e-4),
    "Adam 1e-5": partial(constant, rate=1e-5),
}


if __name__ == "__main__":
    main()

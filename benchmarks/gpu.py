"""What onecycle costs and gains on a GPU: `KERAS_BACKEND=jax python -m benchmarks.gpu --data DIR`, or torch.

Parts, each written to the file of results when it ends: the cost of a cycle, the range test, many members of a small
net, a race of a small CNN, and a residual net on CIFAR-10. With `--smoke`, everything is tiny, for a machine without a
GPU. All parts take about 4 minutes on a large GPU; with the two backends, one after the other, 8.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import onecycle
from benchmarks.residual_net import residual_net
from benchmarks.subjects import dense
from onecycle.engine import Member, train_members
from onecycle.tasks import models

RESULTS = Path(os.environ.get("OUT") or Path(__file__).parent / "results")
BACKEND = keras.backend.backend()
ROUNDS = 5
ACCURACIES = (0.90, 0.94)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with cifar10.npz; without it, the residual net is left out")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--minutes", type=float, default=4.0, help="no training of the residual net begins later")
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    began = time.perf_counter()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    found: dict[str, Any] = {"date": date, "backend": BACKEND, "card": card(), "keras": keras.__version__}
    for name in arguments.parts:
        started = time.perf_counter()
        arguments.left = lambda: 60 * arguments.minutes - (time.perf_counter() - began)
        found[name] = PARTS[name](arguments)
        found[name]["seconds of the part"] = round(time.perf_counter() - started, 1)
        print(name, json.dumps(found[name]), flush=True)
        if not arguments.smoke:
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{date}_gpu_{BACKEND}.json").write_text(json.dumps(found, indent=1) + "\n")


def card() -> str:
    """Return the name of the GPU, or "none"."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"


def random_data(shape: tuple[int, ...], classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, *shape)).astype("float32"), generator.integers(classes, size=rows)


def compiled(model: keras.Model, rate: float = 0.01, loss: Any = None) -> keras.Model:
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    return model


def net(arguments: argparse.Namespace) -> keras.Model:
    """Return a small CNN, or for `--smoke` a net that compiles at once."""
    if not arguments.smoke:
        return models.fashion_net()
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])


def walls(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Return the wall seconds of the first calls, and of later ones that take turns."""
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(1 + rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            calls[name]()
            taken[name].append(round(time.perf_counter() - start, 4))
    return {name: {"first": seconds[0], "warm": seconds[1:]} for name, seconds in taken.items()}


def cycle(arguments: argparse.Namespace) -> dict[str, Any]:
    """The seconds of each epoch of a bare `fit`, twice, of one with `OneCycleScheduler`, and with the guard too."""
    x, y = random_data((28, 28, 1), 10, 256 if arguments.smoke else 64 * 1000)
    callbacks: dict[str, list[Any]] = {
        "bare": [], "cycle": [onecycle.OneCycleScheduler(0.01)], "bare again": [],
        "guard": [onecycle.OneCycleScheduler(0.01), onecycle.DivergenceGuard()],
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, some in callbacks.items():
        clock = _Clock()
        epochs = 2 if arguments.smoke else 1 + ROUNDS
        compiled(net(arguments)).fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[clock, *some])
        found[name] = np.diff([at for at, _ in clock.points]).round(4).tolist()  # without the first, which compiles
    return found


def range_test(arguments: argparse.Namespace) -> dict[str, Any]:
    """A range test of 300 steps beside a `fit` of 300 steps."""
    steps = 12 if arguments.smoke else 300
    x, y = random_data((28, 28, 1), 10, steps * 32)
    one, other = compiled(net(arguments)), compiled(net(arguments))
    calls = {
        "fit": lambda: one.fit(x, y, batch_size=32, epochs=1, verbose=0),
        "find_learning_rate": lambda: onecycle.find_learning_rate(
            other, x, y, batch_size=32, num_steps=steps, max_learning_rate=1e-3, verbose=0
        ),
    }
    return walls(calls, 1 if arguments.smoke else ROUNDS)


def members(arguments: argparse.Namespace) -> dict[str, Any]:
    """32 rates x 5 seeds of a small net in one call, and a single run. Target: at most 3 times as long."""
    rates, seeds, epochs = (2, 2, 1) if arguments.smoke else (32, 5, 10)
    x = np.random.default_rng(0).normal(size=(128 if arguments.smoke else 8192, 13)).astype("float32")
    model = compiled(dense(13, 64, 64, 1)(), loss="mse")
    many = [Member(float(rate), None, seed) for rate in np.geomspace(1e-4, 1e-1, rates) for seed in range(seeds)]

    def train(chosen: list[Member]) -> Callable[[], Any]:
        return lambda: train_members(model, x, x[:, :1], members=chosen, epochs=epochs, batch_size=32)

    return walls({"one": train(many[:1]), f"{len(many)} members": train(many)}, 1 if arguments.smoke else 3)


def race(arguments: argparse.Namespace) -> dict[str, Any]:
    """A race of 3 candidates of a small CNN, and a single cycle. Target: at most 1.5 times as long."""
    x, y = random_data((28, 28, 1), 10, 320 if arguments.smoke else 20_000)
    data = {"batch_size": 64, "epochs": 2 if arguments.smoke else 5, "validation_data": (x[:64], y[:64]), "verbose": 0}

    def single() -> Any:
        model = compiled(net(arguments))
        return onecycle.fit_one_cycle(model, x, y, max_learning_rate=0.02, **data)

    def raced() -> Any:
        model = compiled(net(arguments))
        return onecycle.race_learning_rates(model, x, y, candidates=[0.008, 0.02, 0.05], seed=0, **data)

    return walls({"one cycle": single, "race of 3": raced}, 1)


def residual(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds and epochs to 90 and 94 % on CIFAR-10: a constant rate, 1cycle after a range test, and a race."""
    if arguments.data is None:
        return {"left out": "no --data"}
    os.environ["ONECYCLE_DATA"] = str(arguments.data)
    (x, y), validation = onecycle.tasks.load_task("cifar10").data
    epochs = 20
    if arguments.smoke:
        x, y, validation, epochs = x[:640], y[:640], (validation[0][:64], validation[1][:64]), 1
    else:
        keras.config.set_dtype_policy("mixed_bfloat16")
    options = {
        "batch_size": 32 if arguments.smoke else 512,
        "epochs": epochs,
        "validation_data": validation,
        "verbose": 0,
    }
    ways: dict[str, Callable[[keras.Model, list[Any]], Any]] = {
        "constant": lambda model, callbacks: model.fit(x, y, callbacks=callbacks, **options),
        "1cycle": lambda model, callbacks: onecycle.fit_one_cycle(model, x, y, callbacks=callbacks, **options),
        "race": lambda model, callbacks: onecycle.race_learning_rates(model, x, y, callbacks=callbacks, **options),
    }
    found: dict[str, Any] = {}
    for name, train in ways.items():
        if arguments.left() < 0:
            found[name] = "left out: no time"
            continue
        keras.utils.set_random_seed(0)
        model = compiled(residual_net(2 if arguments.smoke else 64), 0.05)
        clock = _Clock()
        train(model, [clock])
        found[name] = {"weights": model.count_params(), **clock.found()}
    return found


class _Clock(keras.callbacks.Callback):
    """The accuracy on validation data and the seconds since it was made, after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[float, float]] = []
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        accuracy = float((logs or {}).get("val_accuracy", "nan"))
        self.points.append((time.perf_counter() - self._began, accuracy))

    def found(self) -> dict[str, Any]:
        """Return the seconds and epochs to each accuracy, with what was spent on the search, and all points."""
        reached = {}
        for accuracy in ACCURACIES:
            first = next((k for k, (_, value) in enumerate(self.points) if value >= accuracy), None)
            reached[f"{accuracy:.0%}"] = None if first is None else {
                "seconds": round(self.points[first][0], 1), "epochs": first + 1
            }  # fmt: skip
        return {"reached": reached, "points": [[round(at, 2), round(value, 4)] for at, value in self.points]}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "cycle": cycle, "range test": range_test, "members": members, "race": race, "residual": residual,
}  # fmt: skip

if __name__ == "__main__":
    main()

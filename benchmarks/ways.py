"""Measure the choice of how a range test is trained: `python -m benchmarks.ways` (with KERAS_BACKEND).

`find_learning_rate` trains with a compiled loop, with a loop on the host over a compiled step, or with `fit`. Each way
is forced in turn, on the networks of `benchmarks.peers` and on MobileNetV2, and compared with what it chooses itself.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.engine import timed  # it also takes one core, before the backend counts the cores

import keras  # isort: skip
import numpy as np  # isort: skip

import onecycle  # isort: skip
from benchmarks.peers import nets  # isort: skip
from onecycle.engine import programs, training_program  # isort: skip
from onecycle.finding import range_test  # isort: skip
from onecycle.keras_support import backends  # isort: skip

STEPS = {"fashion-mnist-cnn": 160, "residual-cnn": 160, "mobilenet-v2": 60}
DEFAULT_STEPS, REPEATS, ROUNDS = 300, 5, 3
WAYS = {
    "jax": ("chosen", "loop", "steps", "fit"),
    "tensorflow": ("chosen", "loop", "fit"),
    "torch": ("chosen", "steps", "fit"),
}
TARGET = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=(*nets.NETS, "mobilenet-v2"))
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    test_of("13-64-64-1", *data("13-64-64-1"))(1)  # what is loaded once in a process counts for none of the ways
    rows = {net: measured(net) for net in (*nets.NETS, "mobilenet-v2") if arguments.only in (None, net)}
    for net, row in rows.items():
        print(backend, net, json.dumps({name: row[name] for name in ("chosen / best", "holds", "seconds")}))
    facts = {"steps": STEPS, "default_steps": DEFAULT_STEPS, "repeats": REPEATS, "target": TARGET}
    facts |= {"python": platform.python_version(), "versions": backends.versions(), "rows": rows}
    name = f"{datetime.date.today()}_ways_{backend}{'_' + arguments.only if arguments.only else ''}.json"
    (Path(__file__).parent / "results" / name).write_text(json.dumps(facts, indent=1) + "\n")


def measured(net: str) -> dict[str, Any]:
    """Return the CPU seconds of each way: of a first call, of warm ones, and of one with five repeats."""
    x, y = data(net)
    calls = {way: test_of(net, x, y) for way in WAYS[keras.backend.backend()]}
    taken: dict[str, dict[str, list[float]]] = {way: {"first": [], "warm": [], "repeats": []} for way in calls}
    for turn in range(1 + ROUNDS):
        for way, call in calls.items():
            with forced(way):
                taken[way]["warm" if turn else "first"].append(timed(call, 1).cpu)
    for way, call in calls.items():
        with forced(way):
            taken[way]["repeats"].append(timed(call, REPEATS).cpu)
    # The least time: what other processes do can only add to it.
    least = {way: {kind: round(min(seconds), 3) for kind, seconds in kinds.items()} for way, kinds in taken.items()}
    ratios = {
        kind: round(least["chosen"][kind] / min(one[kind] for way, one in least.items() if way != "chosen"), 3)
        for kind in ("first", "warm", "repeats")
    }
    holds = {kind: ratio <= TARGET for kind, ratio in ratios.items()}
    return {"chosen / best": ratios, "holds": holds, "seconds": least, "raw": taken}


def test_of(net: str, x: np.ndarray, y: np.ndarray) -> Any:
    """Return a function that takes a number of repeats and runs that many range tests of one model."""
    keras.utils.set_random_seed(0)
    model = keras_net(net)
    loss = "mse" if nets.is_regression(net) else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    options = {"num_steps": STEPS.get(net, DEFAULT_STEPS), "min_learning_rate": 1e-7, "max_learning_rate": 1e-5}
    batch = 20 if net == "mobilenet-v2" else nets.BATCH
    return lambda repeats: onecycle.find_learning_rate(
        model, x, y, batch_size=batch, repeats=repeats, seed=0, verbose=0, **options
    )


def data(net: str) -> tuple[np.ndarray, np.ndarray]:
    if net != "mobilenet-v2":
        return nets.data(net)
    random = np.random.default_rng(0)
    return random.normal(size=(1000, 48, 48, 3)).astype("float32"), random.integers(10, size=1000)


def keras_net(net: str) -> keras.Model:
    if net != "mobilenet-v2":
        return nets.keras_net(net)
    return keras.applications.MobileNetV2((48, 48, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None)


@contextlib.contextmanager
def forced(way: str) -> Iterator[None]:
    """Have range tests trained in one way while the block runs."""
    limit = {"loop": math.inf, "steps": -1.0}.get(way)
    with contextlib.ExitStack() as changes:
        if way == "fit":
            changes.enter_context(mock.patch.object(range_test, "_compiled_ramp", return_value=None))
        elif limit is not None:
            for module in (programs, training_program):
                changes.enter_context(mock.patch.object(module, "MAX_CONVOLUTION_OPERATIONS", limit))
            changes.enter_context(mock.patch.object(programs, "_may_convolve", return_value=way == "steps"))
        yield


if __name__ == "__main__":
    main()

"""Measure a race of three candidates against one `fit` of as many steps: `KERAS_BACKEND=jax python -m benchmarks.race`.

On JAX also with its programs turned off, so that `fit` trains the candidates, as on the other backends.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras import layers

import onecycle
from benchmarks.engine import timed
from benchmarks.measure import Ratio, Seconds
from benchmarks.subjects import BATCH, SUBJECTS, Subject, compiled
from onecycle.finding import race_trainers
from onecycle.keras_support import backends

STEPS, EPOCHS, HELD_OUT = {"fashion-mnist-cnn": 20}, 10, 320
DEFAULT_STEPS = 200  # of an epoch
PEAKS = (0.002, 0.005, 0.0125)


def recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((32, 16)), layers.GRU(32), layers.Dense(10)])


NETS = (*SUBJECTS, Subject("gru-32", recurrent, (32, 16), 10, {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", choices=[subject.name for subject in NETS])
    arguments = parser.parse_args()
    rows = {
        subject.name: measured(subject, arguments.rounds)
        for subject in NETS if arguments.only in (None, subject.name)
    }  # fmt: skip
    write_result(rows)


def measured(subject: Subject, rounds: int) -> dict[str, Any]:
    """Return the times of all calls on one net, which take turns in one process, and the ratios of the warm ones."""
    steps = STEPS.get(subject.name, DEFAULT_STEPS)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(steps * BATCH, *subject.shape)).astype("float32")
    y = generator.integers(subject.classes, size=len(x)) if subject.classes else x[:, :1]
    calls = calls_of(subject, x, y)
    taken: dict[str, list[Seconds]] = {name: [] for name in calls}
    for _ in range(1 + rounds):
        for name, call in calls.items():
            taken[name].append(timed(call))
    warm = {name: np.array([one.cpu for one in seconds[1:]]) for name, seconds in taken.items()}
    base = (warm["fit"] + warm["fit again"]) / 2
    return {
        "steps": steps * EPOCHS,
        "first call, CPU seconds": {name: round(seconds[0].cpu, 2) for name, seconds in taken.items()},
        "a_a": asdict(Ratio.of(warm["fit again"], warm["fit"], block=1)),
        "ratios to a fit": {name: asdict(Ratio.of(warm[name], base, block=1)) for name in calls if "race" in name},
        "raw": {name: [asdict(one) for one in seconds] for name, seconds in taken.items()},
    }


def calls_of(subject: Subject, x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what is measured by name; each has its own model, which it trains on."""
    data = {"epochs": EPOCHS, "batch_size": BATCH, "validation_data": (x[:HELD_OUT], y[:HELD_OUT]), "verbose": 0}

    def fitting() -> Callable[[], object]:
        model = compiled(subject)
        return lambda: model.fit(x, y, **data)

    def racing(by_fit: bool) -> Callable[[], object]:
        model = compiled(subject)

        def race() -> object:
            return onecycle.race_learning_rates(model, x, y, candidates=PEAKS, seed=0, **data)

        def race_by_fit() -> object:
            with mock.patch.object(race_trainers, "compiled_trainer", return_value=None):
                return race()

        return race_by_fit if by_fit else race

    races = {"race": racing(False)} | ({"race by fit": racing(True)} if keras.backend.backend() == "jax" else {})
    return {"fit": fitting(), "fit again": fitting(), **races}


def write_result(rows: dict[str, dict[str, Any]]) -> None:
    for net, row in rows.items():
        ratios = ", ".join(
            f"{name} {one['ratio']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            for name, one in row["ratios to a fit"].items()
        )
        print(f"{net}: {ratios}; A/A [{row['a_a']['low']:.2f}, {row['a_a']['high']:.2f}]")
    backend = keras.backend.backend()
    facts = {
        "what": "CPU time of a race of three candidates relative to one fit; see benchmarks/README.md",
        "python": platform.python_version(),
        "versions": backends.versions(),
        "load": os.getloadavg(),
        "rows": rows,
    }
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"{date}_race_{backend}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()

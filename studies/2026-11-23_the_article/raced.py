"""Race the peak of the article's cycles, and train with it: python raced.py TASK ...

For each seed, a race of three candidates on the training data, a fifth of which it holds out, and then a cycle at its
peak on all training data, from the same initial weights and in the same order as the runs of the protocol. Each seed is
recorded in runs/TASK/raced/SEED.json when it ends, and finished seeds are kept.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from onecycle.comparison.article.protocol import PROTOCOLS, Protocol
from onecycle.comparison.packed import documents
from onecycle.results.codec import write_atomically

RUNS = Path(__file__).parent / "runs"


def main() -> None:
    for name in sys.argv[1:] or PROTOCOLS:
        protocol, folder = PROTOCOLS[name], RUNS / name / "raced"
        for seed in range(protocol.seeds):
            if not documents(folder, f"{seed}.json"):
                record = raced(protocol, seed)
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / f"{seed}.json", json.dumps(record))
                print(name, seed, record["peak"], record["cost"], record["winner"], record["last"], flush=True)


def raced(protocol: Protocol, seed: int) -> dict[str, Any]:
    """Race, and train with the peak of the race; return the record."""
    import keras

    import onecycle
    from onecycle.comparison.article.task_runs import task_split

    (x, y), test = task_split(protocol.task, seed)
    model = built(protocol, seed)
    began = time.process_time()
    race = onecycle.race_learning_rates(
        model, x, y, epochs=protocol.epochs, monitor=f"val_{protocol.metric}", batch_size=32, seed=seed, verbose=0
    )
    winner = model.evaluate(*test, verbose=0, return_dict=True)
    model = built(protocol, seed)
    keras.utils.set_random_seed(seed)
    history = onecycle.fit_one_cycle(
        model, x, y, epochs=protocol.epochs, max_learning_rate=race, batch_size=32, seed=seed, validation_data=test,
        guard=False, verbose=0,
    )  # fmt: skip
    values = history.history[f"val_{protocol.metric}"]
    return {
        "seed": seed, "peak": race.learning_rate, "candidates": race.learning_rates.tolist(), "cost": race.cost,
        "scores": [[finite(score) for score in row] for row in race.scores.tolist()],
        "winner": winner[protocol.metric], "last": finite(values[-1]), "history": [finite(one) for one in values],
        "epochs": protocol.epochs, "processor_seconds": round(time.process_time() - began, 1),
        "versions": dict(race.versions),
    }  # fmt: skip


def finite(value: float) -> float | None:
    """Return a number, or None for one that JSON does not have."""
    return value if math.isfinite(value) else None


def built(protocol: Protocol, seed: int) -> Any:
    """Return the model of a run with SGD and momentum, with the initial weights of the runs of the protocol."""
    import keras

    from onecycle.tasks import models

    keras.utils.set_random_seed(seed)
    return models.build(protocol.task, seed=None, optimizer=keras.optimizers.SGD(0.01, momentum=0.9))


if __name__ == "__main__":
    main()

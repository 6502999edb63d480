"""Makes the launches that have no record: KERAS_BACKEND=jax ONECYCLE_DATA=DIR python run.py [--round 2]."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict

import keras
from launches import ARMS, HERE, PAIRS, ROUNDS, Launch, folder_of, in_round, launch, launches
from training import train

from onecycle.comparison.packed import read_packed
from onecycle.results.codec import write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--round", type=int, default=1, choices=ROUNDS)
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.seconds
    backend = keras.backend.backend()
    folder = HERE / "runs" / folder_of(backend, arguments.round)
    packed, _ = read_packed(folder.with_suffix(".jsonl"))
    for one, arm in planned(backend, arguments.round):
        name = f"{one.name}_{arm}.json"
        path = folder / name
        if time.monotonic() > until:
            break
        if name in packed or path.exists():
            continue
        described = asdict(one)
        described["peak_factor"] = described.pop("peak")
        record = {"arm": arm} | described | train(one, arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record))
        print(name, record["test_loss"], record["cpu_seconds"], flush=True)


def planned(backend: str, number: int) -> Iterator[tuple[Launch, str]]:
    """Yield the launches of a backend and a round with each arm, and before them the runs without trouble."""
    mine = [one for one in launches() if one.backend == backend]
    for task, optimizer in PAIRS:
        if any((one.task, one.optimizer) == (task, optimizer) for one in mine):
            for arm in ("bare", "guard"):
                yield in_round(launch(backend, task, optimizer, "reference"), number), arm
    for one in mine:
        for arm in ARMS:
            yield in_round(one, number), arm


if __name__ == "__main__":
    main()

"""Finds the best peak of each task and its stable limit, before the first launch: KERAS_BACKEND=jax python tune.py."""

from __future__ import annotations

import json
from typing import Any

from launches import HERE, PAIRS, VARIANTS, Launch
from training import train

GRID = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(-10, 4))  # half-decades from 1e-5 to 32
FIRST = {"sgd": 1e-2, "adamw": 1e-3, "boston-dense sgd": 1e-4, "raw": 1e-5}  # where the search begins
WORSE = 1.5  # times the best loss: a higher peak that ends worse than this is beyond the stable limit


def main() -> None:
    path = HERE / "tuning.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for task, optimizer in PAIRS:
        for variant in ("plain", *VARIANTS.get((task, optimizer), ())):
            key = f"{task} {optimizer} {variant}"
            if key not in found:
                first = FIRST.get(variant.split()[-1]) or FIRST.get(f"{task} {optimizer}") or FIRST[optimizer]
                found[key] = search(Launch("jax", task, optimizer, "tuning", variant=variant), first)
                path.write_text(json.dumps(found, indent=1) + "\n")
                print(key, found[key], flush=True)


def search(launch: Launch, first: float) -> dict[str, Any]:
    """Train with higher and higher peaks until one ends much worse than the best before."""
    losses: dict[float, float] = {}
    for rate in GRID[GRID.index(first) :]:
        record = train(launch, "bare", rate)
        if losses and not (record["finite"] and record["test_loss"] <= WORSE * min(losses.values())):
            break
        losses[rate] = record["test_loss"]
    best = min(losses, key=losses.__getitem__)
    return {
        "best": best,
        "limit": max(losses),
        "loss": losses[best],
        "losses": {f"{k:g}": v for k, v in losses.items()},
    }


if __name__ == "__main__":
    main()

"""What is run and recorded: the plan, the records, and the choice of the peak from the selection runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RUNS = Path(__file__).parent / "runs"
OPTIMIZERS = ("adam", "adamw")
LENGTHS = (20, 40, 150, 600)
RATES = tuple(0.001 * 2**k for k in range(8))
SELECTION_SEEDS = range(1000, 1010)
SEEDS = {"judging": range(40), "extension": range(2000, 2400)}
EXTENDED = ("boston-dense", "digits-dense", "friedman-dense", "spirals-dense")  # 3 to 5 milliseconds a run
JUDGED, SELECTED = ("plain", "corrected", "rescaled"), ("plain", "corrected")


class Run(NamedTuple):
    """One run: everything that sets it apart from the others of its task."""

    optimizer: str
    steps: int
    purpose: str
    variant: str
    rate: float
    seed: int


Records = dict[Run, tuple[float, float]]  # of each run the held-out loss and error, NaN where there is none


def selection() -> Iterator[Run]:
    """All runs that choose the peak."""
    for optimizer in OPTIMIZERS:
        for steps in LENGTHS:
            for variant in SELECTED:
                for rate in RATES:
                    yield from (Run(optimizer, steps, "selection", variant, rate, seed) for seed in SELECTION_SEEDS)


def compared(records: Records, purpose: str) -> Iterator[Run]:
    """All runs that are compared for a purpose, at the peaks that the records of the selection choose."""
    for optimizer in OPTIMIZERS:
        for steps in LENGTHS:
            rate = chosen(records, optimizer, steps)
            for variant in JUDGED:
                yield from (Run(optimizer, steps, purpose, variant, rate, seed) for seed in SEEDS[purpose])


def chosen(records: Records, optimizer: str, steps: int) -> float:
    """The peak with the lowest mean loss over the selection seeds and over both variants, which favours neither."""

    def mean(rate: float) -> float:
        runs = [Run(optimizer, steps, "selection", variant, rate, seed) for variant in SELECTED
                for seed in SELECTION_SEEDS]  # fmt: skip
        return float(np.mean(np.nan_to_num([records[run][0] for run in runs], nan=np.inf)))

    return min(RATES, key=mean)


def outcomes(records: Records, purpose: str, optimizer: str, steps: int, variant: str) -> np.ndarray:
    """Held-out losses and errors of compared runs, (2, seeds)."""
    rate = chosen(records, optimizer, steps)
    runs = [Run(optimizer, steps, purpose, variant, rate, seed) for seed in SEEDS[purpose]]
    return np.array([records[run] for run in runs]).T


def read(task: str) -> Records:
    """The records of a task, none where there is no file yet."""
    path = RUNS / f"{task}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(_parsed(json.loads(line)) for line in lines)


def write(task: str, records: Records) -> None:
    """Write the records of a task, sorted, one a line."""
    lines = [json.dumps(line, separators=(",", ":")) for line in _lines(task, sorted(records.items()))]
    partial = RUNS / f"{task}.partial"
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(RUNS / f"{task}.jsonl")


def _lines(task: str, items: Iterable[tuple[Run, tuple[float, float]]]) -> Iterator[dict[str, Any]]:
    """A loss that is not finite is null; a regression has no error."""
    for run, (loss, error) in items:
        found = {"loss": _number(loss)} | ({} if np.isnan(error) else {"error": _number(error)})
        yield {"task": task, **run._asdict(), **found}


def _parsed(line: dict[str, Any]) -> tuple[Run, tuple[float, float]]:
    loss, error = (np.nan if line.get(name) is None else line[name] for name in ("loss", "error"))
    return Run(**{name: line[name] for name in Run._fields}), (loss, error)


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None

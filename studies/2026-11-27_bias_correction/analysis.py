"""Makes the tables of README.md and results.md from the records, without training: python analysis.py."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import records
from records import LENGTHS, OPTIMIZERS, RATES, SELECTION_SEEDS, Records, Run
from scipy import stats

HERE = Path(__file__).parent
TASKS = tuple(sorted(path.stem for path in records.RUNS.glob("*.jsonl")))
MARGIN = 1.0  # per cent of the held-out loss
FLIPS = 100_000


@dataclass(frozen=True)
class Cell:
    """The compared runs of one task, optimizer and length.

    Attributes:
        plain: (seeds,) losses; `corrected` and `rescaled` alike.
        errors: (seeds,) differences of the error, corrected minus plain, in percentage points.
    """

    task: str
    optimizer: str
    steps: int
    rate: float
    plain: np.ndarray
    corrected: np.ndarray
    rescaled: np.ndarray
    errors: np.ndarray

    def difference(self, one: str = "corrected", other: str = "plain") -> np.ndarray:
        """The difference of each seed, in per cent of the mean loss of `plain`."""
        return 100 * (getattr(self, one) - getattr(self, other)) / self.plain.mean()

    @property
    def in_deviations(self) -> float:
        """Mean difference in standard deviations of `plain` over the seeds."""
        return float((self.corrected - self.plain).mean() / self.plain.std(ddof=1))


def main() -> None:
    found = {task: records.read(task) for task in TASKS}
    readme, results = HERE / "README.md", HERE / "results.md"
    for purpose, tasks in (("judging", TASKS), ("extension", records.EXTENDED)):
        cells = [cell(found[task], purpose, task, optimizer, steps)
                 for task in tasks for optimizer in OPTIMIZERS for steps in LENGTHS]  # fmt: skip
        adjusted = holm([sign_flip_p(one.difference()) for one in cells])
        verdicts = [verdict(interval(one.difference()), p < 0.05) for one, p in zip(cells, adjusted, strict=True)]
        fill(readme, f"{purpose}: pooled", pooled_table(cells, verdicts, over_tasks=purpose == "judging"))
        fill(readme, f"{purpose}: tasks", task_table(cells))
        fill(readme, f"{purpose}: control", control_table(cells, over_tasks=purpose == "judging"))
        fill(results, f"{purpose}: cells", cell_table(cells, adjusted, verdicts))
    fill(readme, "rates", rate_table(found))
    print(sum(map(len, found.values())), "runs,", diverged(found), "of them diverged")


def cell(found: Records, purpose: str, task: str, optimizer: str, steps: int) -> Cell:
    ends = {variant: records.outcomes(found, purpose, optimizer, steps, variant) for variant in records.JUDGED}
    losses = {variant: loss for variant, (loss, _) in ends.items()}
    errors = 100 * (ends["corrected"][1] - ends["plain"][1])
    return Cell(task, optimizer, steps, records.chosen(found, optimizer, steps), **losses, errors=errors)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean, and the ends of Student's 95 % interval."""
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def sign_flip_p(values: np.ndarray) -> float:
    """Two-sided p of the sign-flip test."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, len(values)))
    as_large = np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-9)
    return float((1 + as_large.sum()) / (1 + FLIPS))


def holm(p: list[float]) -> np.ndarray:
    """p-values adjusted by Holm's method."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def verdict(ends: tuple[float, float, float], certain: bool) -> str:
    mean, low, high = ends
    if low > -MARGIN and high < MARGIN:
        return "no practical difference"
    return ("better" if mean < 0 else "worse") if certain else "cannot tell"


def pooled(cells: list[Cell], steps: int, of: str = "corrected", other: str = "plain") -> tuple[np.ndarray, np.ndarray]:
    """Mean differences of one length: by task, and by seed; the optimizers are averaged."""
    here = [one for one in cells if one.steps == steps]
    table = np.array([one.difference(of, other) for one in here])
    return table.reshape(-1, len(OPTIMIZERS), table.shape[1]).mean(axis=(1, 2)), table.mean(axis=0)


def pooled_table(cells: list[Cell], verdicts: list[str], over_tasks: bool) -> str:
    """One row a length; the verdict follows the interval over tasks, or that over seeds."""
    names = ("better", "worse", "no practical difference", "cannot tell")
    rows = []
    for steps in LENGTHS:
        tasks, seeds = (interval(values) for values in pooled(cells, steps))
        ends = tasks if over_tasks else seeds
        here = [(one, said) for one, said in zip(cells, verdicts, strict=True) if one.steps == steps]
        errors = [one.errors.mean() for one, _ in here if np.isfinite(one.errors).all()]
        deviations = interval(np.array([one.in_deviations for one, _ in here]))
        rows.append([steps, *map(shown, [tasks, seeds]), shown(deviations), f"{np.mean(errors):+.2f}",
                     " / ".join(str(sum(said == name for _, said in here)) for name in names),
                     verdict(ends, certain=ends[1] > 0 or ends[2] < 0)])  # fmt: skip
    head = ["steps", "loss, % (interval over tasks)", "loss, % (interval over seeds)", "in SD (interval over cells)",
            "error, points", "cells better / worse / no practical difference / cannot tell", "verdict"]  # fmt: skip
    return table(head, rows)


def task_table(cells: list[Cell]) -> str:
    """Corrected minus plain by task and length, the two optimizers averaged, with the interval over seeds."""
    rows = []
    for task in dict.fromkeys(one.task for one in cells):
        row: list[object] = [task]
        for steps in LENGTHS:
            both = [one.difference() for one in cells if (one.task, one.steps) == (task, steps)]
            row.append(shown(interval(np.mean(both, axis=0))))
        rows.append(row)
    return table(["task", *(f"{steps} steps" for steps in LENGTHS)], rows)


def control_table(cells: list[Cell], over_tasks: bool) -> str:
    pairs = [("corrected", "plain"), ("rescaled", "plain"), ("corrected", "rescaled")]
    which = 0 if over_tasks else 1
    rows = [[steps, *(shown(interval(pooled(cells, steps, *pair)[which])) for pair in pairs)] for steps in LENGTHS]
    return table(["steps", *(f"{one} − {other}" for one, other in pairs)], rows)


def rate_table(found: dict[str, Records]) -> str:
    """Medians over tasks and optimizers, by the peak relative to the chosen one, from the selection runs."""
    rows = []
    for steps in LENGTHS:
        for what in ("corrected − plain", "plain, against the chosen peak"):
            row: list[object] = [steps, what]
            for shift in range(-3, 4):
                cells = [(found[task], optimizer) for task in TASKS for optimizer in OPTIMIZERS]
                pairs = [_selected(runs, optimizer, steps, shift) for runs, optimizer in cells]
                values = [pair[what.startswith("plain")] for pair in pairs if pair]
                row.append(f"{np.median(values):+.1f}" if values else "–")
            rows.append(row)
    return table(["steps", "difference, %", *(f"peak × {2.0**shift:g}" for shift in range(-3, 4))], rows)


def _selected(found: Records, optimizer: str, steps: int, shift: int) -> tuple[float, float] | None:
    """Relative differences of mean losses of the selection runs, at a peak so many notches off the chosen one."""
    chosen = RATES.index(records.chosen(found, optimizer, steps))
    if not 0 <= chosen + shift < len(RATES):
        return None

    def mean(variant: str, at: int) -> np.floating:
        runs = [Run(optimizer, steps, "selection", variant, RATES[at], seed) for seed in SELECTION_SEEDS]
        return np.mean([found[run][0] for run in runs])

    plain = mean("plain", chosen + shift)
    corrected = mean("corrected", chosen + shift)
    return float(100 * (corrected / plain - 1)), float(100 * (plain / mean("plain", chosen) - 1))


def cell_table(cells: list[Cell], adjusted: Iterable[float], verdicts: list[str]) -> str:
    rows = []
    for one, p, said in zip(cells, adjusted, verdicts, strict=True):
        error = f"{one.errors.mean():+.2f}" if np.isfinite(one.errors).all() else "–"
        rows.append([one.task, one.optimizer, one.steps, f"{one.rate:g}", f"{one.plain.mean():.4f}",
                     f"{100 * one.plain.std(ddof=1) / one.plain.mean():.1f}", shown(interval(one.difference())),
                     f"{sign_flip_p(one.difference()):.5f}", f"{p:.4f}", f"{one.in_deviations:+.2f}", error,
                     said])  # fmt: skip
    head = ["task", "optimizer", "steps", "peak", "loss of plain", "SD, %", "difference, %", "p", "p adjusted", "in SD",
            "error, points", "verdict"]  # fmt: skip
    return table(head, rows)


def diverged(found: dict[str, Records]) -> int:
    return sum(not np.isfinite(loss) for task in TASKS for loss, _ in found[task].values())


def shown(ends: tuple[float, float, float]) -> str:
    return f"{ends[0]:+.2f} ({ends[1]:+.2f} to {ends[2]:+.2f})"


def table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def fill(path: Path, name: str, text: str) -> None:
    """Put a table between its two markers in a page."""
    page = path.read_text()
    marked = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
    path.write_text(re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _: marked, page, flags=re.DOTALL))


if __name__ == "__main__":
    main()

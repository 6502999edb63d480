"""The table of the races: their winners, and cycles at their peaks, beside the arms of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.article.protocol import CYCLE, Protocol
from onecycle.comparison.packed import documents
from onecycle.comparison.statistics import t_interval
from onecycle.results import Comparison


def raced_table(protocol: Protocol, main_runs: Comparison, folder: Path) -> str:
    """Return the results of the races, and the differences of the cycles at their peaks to the arms of full length.

    Args:
        protocol: Protocol of the task.
        main_runs: Comparison of the main arms.
        folder: Folder of the records of the races.
    """
    races: list[Any] = sorted(documents(folder).values(), key=lambda one: one["seed"])
    last, winners, costs = (np.array([one[name] for one in races]) for name in ("last", "winner", "cost"))
    lines = [
        f"{len(races)} of {protocol.seeds} seeds.",
        "",
        f"| | val_{protocol.metric}, mean ± standard deviation | runs |",
        "|---|---|---|",
        f"| winner of the race | {spread(winners)} | {costs.mean():.2f} |",
        f"| cycle at its peak, on all rows | {spread(last)} | {costs.mean() + 1:.2f} |",
        "",
        "| the cycle at the peak of the race, minus | difference, 95 % interval | seeds |",
        "|---|---|---|",
    ]
    for arm in (arm for arm in main_runs.arms if not arm.startswith(f"{CYCLE},")):
        ends = {run["seed"]: run["final"] for run in main_runs.of(arm)}
        pairs = [(one["last"], ends[one["seed"]]) for one in races if np.isfinite(ends[one["seed"]])]
        difference = np.array([own - other for own, other in pairs])
        mean, low, high = t_interval(difference)
        lines.append(f"| {arm} | {mean:.3g} ({low:.3g} to {high:.3g}) | {len(pairs)} |")
    return "\n".join(lines)


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.4g} ± {values.std(ddof=1):.2g}"

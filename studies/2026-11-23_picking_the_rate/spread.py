"""How much a suggestion varies between seeds: writes spread.md from the range tests in runs/.

The pooled deviations of the tuning tasks are the constants of `onecycle.suggestions.spread`. The judged tasks show how
often the interval made from them holds the suggestion of another seed.

python spread.py
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from split import JUDGED, TUNING

from onecycle import load
from onecycle.comparison.packed import documents
from onecycle.suggestions.rules import RULES

HERE = Path(__file__).parent
NORMAL = 1.96  # of a 95 % interval

DESCRIPTION = (
    "Range tests of 300 steps with five seeds, which change initial weights and data order, for each task and "
    "optimizer. Deviation: pooled standard deviation of log10 of the suggestion. Held: how often the interval around "
    "one suggestion, 1.96 times the deviation of the tuning tasks times the square root of 2 to each side, holds that "
    "of another seed."
)

Groups = dict[tuple[str, str], list[float]]


def main() -> None:
    """Write the table."""
    tuning, judged = suggestions(TUNING), suggestions(JUDGED)
    lines = [
        "# Spread of the suggestions",
        "",
        DESCRIPTION,
        "",
        "| rule | deviation, tuning tasks | deviation, judged tasks | held, judged tasks |",
        "|---|---|---|---|",
    ]
    for rule in RULES:
        deviation = pooled_deviation(tuning[rule].values())
        held = share_held(judged[rule].values(), NORMAL * math.sqrt(2) * deviation)
        others = pooled_deviation(judged[rule].values())
        lines.append(f"| {rule} | {deviation:.3f} | {others:.3f} | {100 * held:.0f} % |")
    (HERE / "spread.md").write_text("\n".join(lines) + "\n")


def suggestions(tasks: Iterable[str]) -> dict[str, Groups]:
    """Return rule -> (task, optimizer) -> log10 of the suggestion for each seed that has one."""
    found: dict[str, Groups] = {rule: defaultdict(list) for rule in RULES}
    for task in tasks:
        for optimizer, test in range_tests(task):
            for rule, suggest in RULES.items():
                rate = suggest(test.learning_rates, test.losses).learning_rate
                if rate is not None:
                    found[rule][task, optimizer].append(math.log10(rate))
    return found


def range_tests(task: str) -> Iterator[tuple[str, object]]:
    """Yield (optimizer, range test) of all seeds of a task."""
    for name, record in documents(HERE / "runs" / task, "*_range-test_*.json").items():
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(record, file)
            file.flush()
            yield name.split("_")[0], load(file.name)


def pooled_deviation(groups: Iterable[list[float]]) -> float:
    """Return the standard deviation within groups, around the mean of each group."""
    groups = [group for group in groups if len(group) > 1]
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return math.sqrt(squares / sum(len(group) - 1 for group in groups))


def share_held(groups: Iterable[list[float]], width: float) -> float:
    """Return the share of ordered pairs of one group whose difference is at most `width`."""
    pairs = [abs(a - b) for group in groups for i, a in enumerate(group) for j, b in enumerate(group) if i != j]
    return float(np.mean(np.array(pairs) <= width))


if __name__ == "__main__":
    main()

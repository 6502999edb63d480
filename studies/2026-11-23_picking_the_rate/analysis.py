"""Make the tables and pictures from the records, without training: python analysis.py [--runs runs]

Writes results.md, the pictures, and the tables between the marks of README.md, horizon.md and schedules.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from records import CATASTROPHE, MIN_COST, TIMES_OFF, Grid, grids, picks
from split import JUDGED, TUNING
from tables import fill, percent, table
from variations import horizon_tables, schedule_tables

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    parser.add_argument("--to", type=Path, default=HERE)
    arguments = parser.parse_args()
    parts = []
    for title, names in (("Judged tasks", JUDGED), ("Tuning tasks", TUNING)):
        grids_of_tasks = grids(arguments.runs, names)
        rows = picks(arguments.runs, grids_of_tasks)
        if rows:
            parts += [f"## {title}\n", pickers_table(rows), by_task_table(rows), sensitivity_table(grids_of_tasks)]
            draw(grids_of_tasks, rows, arguments.to / f"{title.split()[0].lower()}.png")
        for optimizer in ("sgd", "adam") if rows else ():
            selected = {name: [row for row in all_ if row["optimizer"] == optimizer] for name, all_ in rows.items()}
            parts += [f"### {title}, {optimizer}\n", pickers_table(selected)]
            if names == JUDGED and optimizer == "sgd":
                fill(HERE / "README.md", "pickers", pickers_table(rows))
    (arguments.to / "results.md").write_text("\n".join(parts) + "\n")
    fill(HERE / "horizon.md", "horizon", horizon_tables(arguments.runs))
    fill(HERE / "schedules.md", "schedules", schedule_tables(arguments.runs))


def pickers_table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return a row for each picker, sorted by mean expected regret, where more than 100 % counts as 100 %."""
    lines = []
    for picker, all_ in rows.items():
        picked = [row for row in all_ if row["regret"] is not None]
        regrets, expected, errors = (column(picked, name) for name in ("regret", "expected_regret", "error_regret"))
        near = [1 / TIMES_OFF <= row["times_best"] <= TIMES_OFF for row in picked]
        cost = np.median([row["cost"] for row in all_])
        lines.append((
            float(np.mean(np.minimum(expected, 1.0))), picker,
            percent(np.median(expected)), percent(high(expected)), catastrophes(expected),
            percent(np.median(regrets)), percent(high(regrets)), catastrophes(regrets),
            percent(np.median(errors)), percent(np.mean(near) if near else np.nan), f"{len(all_) - len(picked)}",
            "–" if np.isnan(cost) else f"{cost:.2f}",
            f"{np.median([row['times_best'] for row in picked]):.2f}" if picked else "–",
        ))  # fmt: skip
    over = f"over {CATASTROPHE:.0%}"
    head = (
        "picker", "median expected regret", "95th percentile", over, "median regret of single runs", "95th percentile",
        over, "median regret in error", "within a factor of 3", "refused", "cost in full runs",
        "median rate / best rate",
    )  # fmt: skip
    return table(head, [line[1:] for line in sorted(lines)])


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """Return the values of a column, or one NaN without rows."""
    return np.array([row[name] for row in rows] or [np.nan])


def high(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.95, method="higher"))


def catastrophes(regrets: np.ndarray) -> str:
    return f"{np.sum(regrets > CATASTROPHE)} of {np.sum(~np.isnan(regrets))}"


def by_task_table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return the median expected regret of each picker on each task."""
    tasks = list(dict.fromkeys((row["task"], row["optimizer"]) for all_ in rows.values() for row in all_))
    lines = []
    for picker, all_ in rows.items():
        cells = []
        for task in tasks:
            of_task = [row for row in all_ if (row["task"], row["optimizer"]) == task]
            regrets = [row["expected_regret"] for row in of_task if row["regret"] is not None]
            cells.append(percent(np.median(regrets)) if regrets else "–")
        lines.append((picker, *cells))
    return table(("median expected regret", *(f"{name} {optimizer}" for name, optimizer in tasks)), lines)


def sensitivity_table(grids_of_tasks: dict[tuple[str, str], Grid]) -> str:
    """Return what a peak three times too low or too high costs on each task."""
    lines = []
    for (name, optimizer), grid in grids_of_tasks.items():
        low, high = grid.cost_of_missing()
        best = grid.rates[int(np.argmin(grid.losses.mean(axis=0)))]
        lines.append((name, optimizer, f"{best:.2g}", percent(low), percent(high),
                      "yes" if max(low, high) >= MIN_COST else "no"))  # fmt: skip
    head = ("task", "optimizer", "best peak", "regret at best / 3", "regret at best × 3", "task counts")
    return table(head, lines)


def draw(grids_of_tasks: dict[tuple[str, str], Grid], rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the expected regrets of each picker as points, on an axis that is linear near 0 and logarithmic above.

    Args:
        grids_of_tasks: Grids of the tasks.
        rows: Picks of each picker.
        path: Path of the picture.
    """
    regrets_of = {
        name: [row["expected_regret"] for row in all_ if row["regret"] is not None] for name, all_ in rows.items()
    }
    names = sorted(regrets_of, key=lambda name: np.median(regrets_of[name]))
    figure = Figure(figsize=(8, 0.34 * len(names) + 1.2), layout="constrained")
    ax = figure.add_subplot()
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        regrets = np.minimum(regrets_of[name], 20.0)
        ours = name.startswith("sweep") or name == "one_cycle"
        spread = k + rng.uniform(-0.25, 0.25, len(regrets))
        ax.plot(regrets, spread, ".", ms=4, alpha=0.5, color="#009E73" if ours else "#767676", mew=0)
        ax.plot(np.median(regrets), k, "|", ms=14, mew=2.5, color="black")
    ax.set_xscale("symlog", linthresh=0.05)
    ax.axvline(CATASTROPHE, color="#D55E00", ls="--", lw=1)
    ax.set_xticks([0, 0.05, 0.2, 0.5, 2, 10], ["0", "5 %", "20 %", "50 %", "200 %", "1000 %"])
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(
        f"expected regret on {len(grids_of_tasks)} pairs of task and optimizer (points: seeds, bars: medians)"
    )
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()

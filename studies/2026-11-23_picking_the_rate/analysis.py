"""Tables and pictures from the records: python analysis.py [--runs runs].

Writes results.md, the pictures, and the tables between the marks of README.md, horizon.md and schedules.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from further import horizon_tables, schedule_tables
from matplotlib.figure import Figure
from records import CATASTROPHE, MATTERS, TIMES_OFF, Grid, grids, picks
from split import JUDGED, TUNING
from tables import fill, percent, table

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    parser.add_argument("--to", type=Path, default=HERE)
    arguments = parser.parse_args()
    parts = []
    for title, names in (("Judged tasks", JUDGED), ("Tuning tasks", TUNING)):
        found = grids(arguments.runs, names)
        rows = picks(arguments.runs, found)
        if rows:
            parts += [f"## {title}\n", pickers_table(rows), by_task_table(rows), matters_table(found)]
            draw(found, rows, arguments.to / f"{title.split()[0].lower()}.png")
        for optimizer in ("sgd", "adam") if rows else ():
            own = {name: [row for row in all_ if row["optimizer"] == optimizer] for name, all_ in rows.items()}
            parts += [f"### {title}, {optimizer}\n", pickers_table(own)]
            if names == JUDGED and optimizer == "sgd":
                fill(HERE / "README.md", "pickers", pickers_table(rows))
    (arguments.to / "results.md").write_text("\n".join(parts) + "\n")
    fill(HERE / "horizon.md", "horizon", horizon_tables(arguments.runs))
    fill(HERE / "schedules.md", "schedules", schedule_tables(arguments.runs))


def pickers_table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """A row for each picker, by mean of the expected regret, of which more than 100 % count as 100 %."""
    lines = []
    for picker, own in rows.items():
        given = [row for row in own if row["regret"] is not None]
        regrets, expected, errors = (column(given, name) for name in ("regret", "expected_regret", "error_regret"))
        near = [1 / TIMES_OFF <= row["times_best"] <= TIMES_OFF for row in given]
        cost = np.median([row["cost"] for row in own])
        lines.append((
            float(np.mean(np.minimum(expected, 1.0))), picker,
            percent(np.median(expected)), percent(high(expected)), catastrophes(expected),
            percent(np.median(regrets)), percent(high(regrets)), catastrophes(regrets),
            percent(np.median(errors)), percent(np.mean(near) if near else np.nan), f"{len(own) - len(given)}",
            "–" if np.isnan(cost) else f"{cost:.2f}",
            f"{np.median([row['times_best'] for row in given]):.2f}" if given else "–",
        ))  # fmt: skip
    over = f"over {CATASTROPHE:.0%}"
    head = (
        "picker", "expected regret, median", "95th percentile", over, "regret of the run, median", "95th percentile",
        over, "in error, median", "within 3 times", "no pick", "cost, full runs", "rate over best, median",
    )  # fmt: skip
    return table(head, [line[1:] for line in sorted(lines)])


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows] or [np.nan])


def high(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.95, method="higher"))


def catastrophes(regrets: np.ndarray) -> str:
    return f"{np.sum(regrets > CATASTROPHE)} of {np.sum(~np.isnan(regrets))}"


def by_task_table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Median expected regret of each picker on each task."""
    tasks = list(dict.fromkeys((row["task"], row["optimizer"]) for own in rows.values() for row in own))
    lines = []
    for picker, own in rows.items():
        cells = []
        for task in tasks:
            its = [row for row in own if (row["task"], row["optimizer"]) == task]
            given = [row["expected_regret"] for row in its if row["regret"] is not None]
            cells.append(percent(np.median(given)) if given else "–")
        lines.append((picker, *cells))
    return table(("expected regret, median", *(f"{name} {optimizer}" for name, optimizer in tasks)), lines)


def matters_table(found: dict[tuple[str, str], Grid]) -> str:
    lines = []
    for (name, optimizer), grid in found.items():
        low, high = grid.cost_of_missing()
        best = grid.rates[int(np.argmin(grid.losses.mean(axis=0)))]
        lines.append((name, optimizer, f"{best:.2g}", percent(low), percent(high),
                      "yes" if max(low, high) >= MATTERS else "no"))  # fmt: skip
    head = ("task", "optimizer", "best peak", "3 times too low costs", "3 times too high costs", "the rate matters")
    return table(head, lines)


def draw(found: dict[tuple[str, str], Grid], rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Expected regrets of each picker, every one a point, on an axis that shows both 1 % and 1000 %."""
    valued = {name: [row["expected_regret"] for row in own if row["regret"] is not None] for name, own in rows.items()}
    names = sorted(valued, key=lambda name: np.median(valued[name]))
    figure = Figure(figsize=(8, 0.34 * len(names) + 1.2), layout="constrained")
    ax = figure.add_subplot()
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        regrets = np.minimum(valued[name], 20.0)
        ours = name.startswith("sweep") or name == "one_cycle"
        spread = k + rng.uniform(-0.25, 0.25, len(regrets))
        ax.plot(regrets, spread, ".", ms=4, alpha=0.5, color="#009E73" if ours else "#767676", mew=0)
        ax.plot(np.median(regrets), k, "|", ms=14, mew=2.5, color="black")
    ax.set_xscale("symlog", linthresh=0.05)
    ax.axvline(CATASTROPHE, color="#D55E00", ls="--", lw=1)
    ax.set_xticks([0, 0.05, 0.2, 0.5, 2, 10], ["0", "5 %", "20 %", "50 %", "200 %", "1000 %"])
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(f"expected regret; {len(found)} tasks × optimizers; a point: a seed, a bar: the median")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()

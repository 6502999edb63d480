"""Make the tables and the picture from the records, without training: python analysis.py [--runs runs] [--to folder]

Writes results.md, regrets.png, and the tables between the marks of README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from admission import admission_of, admitted
from earlier_study import tables
from grids import SEEDS, Truth, as_loss
from matplotlib.figure import Figure
from split import JUDGING, TUNING

from onecycle.comparison.packed import documents

HERE = Path(__file__).parent
CATASTROPHE = 0.5  # regret above which a run is catastrophic
RESAMPLES, LEVEL = 2000, 0.95
MAX_REGRET = 10.0  # stands for that of a run that diverged
MEASURES = ("regret", "points", "deviations", "cost", "refused")
PAIRS = (
    ("race of 3", "sweep"), ("race of 3", "one_cycle"), ("race of 3", "race of 2"), ("race of 4", "race of 3"),
    ("race of 3", "default rate"), ("sweep", "one_cycle"), ("one_cycle", "the article's tenth"),
    ("one_cycle", "fastai valley"), ("one_cycle", "default rate"),
)  # fmt: skip
OURS = ("one_cycle", "sweep", "race of 2", "race of 3", "race of 4")  # green in the picture
LABELS = {"one_cycle": "range test", "the article's tenth": "range test, the article's tenth"}  # in the picture
Rows = dict[str, dict[str, np.ndarray]]  # measure -> task -> (seeds,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    parser.add_argument("--to", type=Path, default=HERE)
    arguments = parser.parse_args()
    parts = []
    for title, names in (("Judging tasks", JUDGING), ("Tuning tasks", TUNING)):
        truths = admitted(arguments.runs, names)
        found = results(arguments.runs, truths)
        if not found:
            continue
        parts += [f"## {title}\n", pickers_table(found), task_table(found, list(truths))]
        if names == JUDGING:
            tables.fill(arguments.to / "README.md", "pickers", pickers_table(found))
            tables.fill(arguments.to / "README.md", "pairs", pairs_table(found))
            tables.fill(arguments.to / "README.md", "limits", limits_table(found, truths))
            draw(found, arguments.to / "regrets.png")
    if parts:
        (arguments.to / "results.md").write_text("\n".join(parts) + "\n")


def results(runs: Path, truths: dict[str, Truth]) -> dict[str, Rows]:
    """Return the measures of each picker on the tasks on which it has a record for every seed."""
    found: dict[str, Rows] = {}
    for name, truth in truths.items():
        by_picker: dict[str, dict[int, dict[str, Any]]] = {}
        for record in documents(runs / name, "judged_*.json").values():
            by_picker.setdefault(record["picker"], {})[record["seed"]] = record
        for picker, of_seed in by_picker.items():
            if set(of_seed) >= set(SEEDS):
                rows = found.setdefault(picker, {measure: {} for measure in MEASURES})
                each = [measures(truth, of_seed[seed]) for seed in SEEDS]
                for measure in MEASURES:
                    rows[measure][name] = np.array([one[measure] for one in each])
    return found


def measures(truth: Truth, record: dict[str, Any]) -> dict[str, float]:
    """Return the regret of a run in three units, and its cost.

    Args:
        truth: The truth of the task.
        record: The record of a picker.
    """
    loss, error, seed = as_loss(record["test_loss"]), as_loss(record["test_error"]), record["seed"]
    reference = truth.reference(seed)
    excess = min(loss - reference, MAX_REGRET * truth.facts["guessing"]["test"])
    return {
        "regret": min(truth.floored(reference + excess, reference), MAX_REGRET),
        # Points of error only where the error is a share of the rows.
        "points": 100 * (min(error, 1.0) - truth.reference(seed, "test_error")) if truth.facts["classes"] else np.nan,
        "deviations": excess / truth.deviation,
        "cost": record["cost"],
        "refused": float(record["refused"]),
    }


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "median": lambda values: float(np.median(values)),
    "mean": lambda values: float(np.mean(values)),
    "95th percentile": lambda values: float(np.quantile(values, 0.95, method="higher")),
}


def pickers_table(found: dict[str, Rows]) -> str:
    """Return a row for each picker, sorted by mean regret."""
    lines = []
    for picker, rows in found.items():
        regrets = np.concatenate(list(rows["regret"].values()))
        within = np.concatenate(list(rows["deviations"].values())) <= 1
        points = np.concatenate(list(rows["points"].values()))
        cells = [with_interval(rows["regret"], statistic) for statistic in STATISTICS.values()]
        lines.append((
            float(regrets.mean()), picker, len(rows["regret"]), f"{cost_of(rows):.2f}", *cells,
            f"{np.sum(regrets > CATASTROPHE)} of {len(regrets)}",
            f"{int(sum(values.sum() for values in rows['refused'].values()))}", tables.percent(float(within.mean())),
            "–" if np.isnan(points).all() else f"{np.nanmedian(points):.2f} / {np.nanmean(points):.2f}",
        ))  # fmt: skip
    head = ("picker", "tasks", "cost in runs", *(f"{name} regret" for name in STATISTICS), "over 50 %",
            "refused", "within one deviation", "error points, median / mean")  # fmt: skip
    return tables.table(head, [line[1:] for line in sorted(lines)])


def pairs_table(found: dict[str, Rows]) -> str:
    """Return a row for each pair of pickers: the difference of their regrets on the same tasks and seeds."""
    lines = []
    for one, other in PAIRS:
        first, second = found[one]["regret"], found[other]["regret"]
        differences = {task: first[task] - second[task] for task in first if task in second}
        values = np.concatenate(list(differences.values()))
        better = sum(float(of_seed.mean()) < 0 for of_seed in differences.values())
        cells = [with_interval(differences, STATISTICS[name]) for name in ("median", "mean")]
        lines.append((f"{one} − {other}", *cells, tables.percent(float((values < 0).mean())),
                      f"{better} of {len(differences)}"))  # fmt: skip
    head = ("difference of regrets", "median", "mean", "runs in which the first is better", "tasks")
    return tables.table(head, lines)


def limits_table(found: dict[str, Rows], truths: dict[str, Truth]) -> str:
    """Return a row for each picker with its regrets where stability limits the rate, and where overfitting does.

    Args:
        found: The measures of each picker.
        truths: Name -> truth of each task.
    """
    overfitted = [name for name, truth in truths.items() if admission_of(truth).overfitted]
    groups = {"stability": [name for name in truths if name not in overfitted], "overfitting": overfitted}
    lines = []
    for picker, rows in found.items():
        if len(rows["regret"]) < len(truths):
            continue  # an optimizer that is compared with one optimizer only
        chosen = [np.concatenate([rows["regret"][name] for name in names]) for names in groups.values()]
        cells = [tables.percent(statistic(values)) for values in chosen for statistic in STATISTICS.values()]
        lines.append((float(np.median(chosen[0])), picker, *cells))
    head = [f"{group} ({len(names)} tasks): {name}" for group, names in groups.items() for name in STATISTICS]
    return tables.table(("picker", *head), [line[1:] for line in sorted(lines)])


def cost_of(rows: Rows) -> float:
    """Return the mean cost of a picker, each task counting once."""
    return float(np.mean([costs.mean() for costs in rows["cost"].values()]))


def with_interval(of_task: dict[str, np.ndarray], statistic: Callable[[np.ndarray], float]) -> str:
    """Return a statistic of all runs and its interval as text."""
    low, high = interval(of_task, statistic)
    value = statistic(np.concatenate(list(of_task.values())))
    return f"{tables.percent(value)} ({tables.percent(low)} to {tables.percent(high)})"


def interval(of_task: dict[str, np.ndarray], statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """Return a bootstrap interval that draws tasks and, in each of them, seeds.

    Args:
        of_task: Task -> (seeds,) values.
        statistic: Function of all values.

    References:
        R. Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice (2021),
        arXiv:2108.13264, section 4: stratified bootstrap over runs. Tasks are drawn here too.
    """
    rng, values = np.random.default_rng(0), np.array(list(of_task.values()))
    drawn = []
    for _ in range(RESAMPLES):
        tasks = rng.integers(len(values), size=(len(values), 1))
        drawn.append(statistic(values[tasks, rng.integers(values.shape[1], size=values.shape)].reshape(-1)))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def task_table(found: dict[str, Rows], tasks: list[str]) -> str:
    """Return the median regret of each picker on each task."""
    lines = []
    for picker, rows in found.items():
        of_task = rows["regret"]
        cells = [tables.percent(float(np.median(of_task[task]))) if task in of_task else "–" for task in tasks]
        lines.append((picker, *cells))
    return tables.table(("median regret", *tasks), lines)


def draw(found: dict[str, Rows], path: Path) -> None:
    """Draw the median regret of each picker with its interval and the mean, and beside it the cost in runs.

    Args:
        found: The measures of each picker.
        path: Path of the picture.
    """
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    ax, costs = figure.subplots(1, 2, sharey=True, width_ratios=(3.4, 1))
    regrets = {picker: 100 * np.concatenate(list(rows["regret"].values())) for picker, rows in found.items()}
    ordered = sorted(found, key=lambda picker: float(np.median(regrets[picker])), reverse=True)
    for y, picker in enumerate(ordered):
        low, high = interval(found[picker]["regret"], STATISTICS["median"])
        color = "#009E73" if picker in OURS else "#767676"
        ax.plot([100 * low, 100 * high], [y, y], color=color, lw=1.5)
        ax.plot(np.median(regrets[picker]), y, "o", color=color)
        ax.plot(np.mean(regrets[picker]), y, "|", color=color, ms=9, mew=1.5)
        costs.barh(y, cost_of(found[picker]), height=0.3, color=color)
    ax.set_yticks(range(len(ordered)), [LABELS.get(picker, picker) for picker in ordered])
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=-0.3)
    ax.set_xticks([0, 1, 3, 10, 30, 100, 300], ["0", "1", "3", "10", "30", "100", "300"])
    ax.set_xlabel("held-out loss above that at the tuned rate, %:\nmedian with its 95 % interval (dot), mean (bar)")
    costs.set_xlabel("total cost, runs")
    for axes in (ax, costs):
        axes.grid(axis="x", color="#e0e0e0", lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()

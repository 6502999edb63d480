"""Tables and pictures from the records: python analysis.py [--runs runs]; writes results.md and pictures beside it."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from records import CATASTROPHE, MATTERS, TIMES_OFF, Grid, grids, numbers, picks, read
from split import FURTHER, JUDGED, TUNING

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
    parts += further_tables(arguments.runs)
    (arguments.to / "results.md").write_text("\n".join(parts) + "\n")
    print("\n".join(parts))


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


def further_tables(folder: Path) -> list[str]:
    """Horizon: the best peak for each number of epochs. Schedule: each at its own best peak."""
    horizon, schedules = [], []
    for name in FURTHER:
        for optimizer in ("sgd", "adam"):
            cells = defaultdict(list)
            for record in read(folder / name, f"{optimizer}_*-epochs_*.json"):
                cells[record["schedule"], record["run_epochs"], record["epochs"]].append(record)
            best = {cell: own_best(own) for cell, own in cells.items()}
            whole = {cell[2] for cell in best}
            if not whole:
                continue
            epochs = whole.pop()
            base = best["one_cycle", epochs, epochs]
            for (schedule, many, _), (rate, loss) in sorted(best.items(), key=lambda item: item[0][1]):
                if schedule == "one_cycle":
                    exponent = f"{np.log(rate / base[0]) / np.log(epochs / many):.2f}" if many != epochs else "–"
                    horizon.append((name, optimizer, many, f"{many / epochs:.3g}", f"{rate:.3g}",
                                    f"{rate / base[0]:.2f}", exponent))  # fmt: skip
                if many == epochs:
                    schedules.append((name, optimizer, schedule, f"{rate:.3g}", f"{rate / base[0]:.2f}",
                                      f"{loss:.4g}", percent(loss / base[1] - 1)))  # fmt: skip
    if not horizon:
        return []
    head = ("task", "optimizer", "epochs", "share", "best peak", "over that of the whole run", "exponent")
    other = ("task", "optimizer", "schedule", "best peak", "over one_cycle's", "loss there", "against one_cycle")
    return ["## Horizon\n", table(head, horizon), "## Schedules\n", table(other, schedules)]


def own_best(records: list[dict[str, Any]]) -> tuple[float, float]:
    """The best peak of a few seeds, between the rates of the grid by a parabola, and the loss there."""
    rates = np.log(records[0]["rates"])
    losses = np.mean([numbers(record["losses"]) for record in records], axis=0)
    k = int(np.argmin(losses))
    around = slice(max(0, k - 1), k + 2)
    if len(rates[around]) < 3 or not np.isfinite(losses[around]).all():
        return float(np.exp(rates[k])), float(losses[k])
    square, slope, _ = np.polyfit(rates[around] - rates[k], losses[around], 2)
    at = float(np.clip(-slope / (2 * square), rates[around][0] - rates[k], rates[around][-1] - rates[k]))
    return float(np.exp(rates[k] + at)), float(losses[k])


def draw(found: dict[tuple[str, str], Grid], rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Expected regrets of each picker, every one a point, on an axis that shows both 1 % and 1000 %."""
    valued = {name: [row["expected_regret"] for row in own if row["regret"] is not None] for name, own in rows.items()}
    names = sorted(valued, key=lambda name: np.median(valued[name]))
    figure = Figure(figsize=(8, 0.34 * len(names) + 1.2), layout="constrained")
    ax = figure.add_subplot()
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        regrets = np.minimum(valued[name], 20.0)
        ours = name.startswith("sweep")
        spread = k + rng.uniform(-0.25, 0.25, len(regrets))
        ax.plot(regrets, spread, ".", ms=4, alpha=0.5, color="#009E73" if ours else "#767676", mew=0)
        ax.plot(np.median(regrets), k, "|", ms=14, mew=2.5, color="black")
    ax.set_xscale("symlog", linthresh=0.05)
    ax.axvline(CATASTROPHE, color="#D55E00", ls="--", lw=1)
    ax.set_xticks([0, 0.05, 0.2, 0.5, 2, 10], ["0", "5 %", "20 %", "50 %", "200 %", "1000 %"])
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(f"expected regret in held-out loss; {len(found)} tasks × optimizers, every seed a point, median a bar")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def percent(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if abs(value) < 100 else "diverged" if np.isinf(value) else f"{100 * value:.0f} %"


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()

"""The tables of the first question: python rates_analysis.py > rates.md

The regret of a rate is how much higher the loss on the judging rows ends than with the best peak of the grid, divided
by that loss or by a twentieth of the loss of guessing, whichever is larger. Between peaks it is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.packed import documents
from onecycle.suggestions import one_cycle, trained_model
from onecycle.suggestions.loss_curve import LossCurve

RUNS = Path(__file__).parent / "runs"
TUNING = ("digits-more-sgd", "fashion-more-sgd", "code-more-adamw")
Record = dict[str, Any]


def main() -> None:
    print(
        "| task | seed | start | guessing | blow-up | best peak | within 5 % | one_cycle | regret | trained | regret |"
    )
    print("|---" * 11 + "|")
    regrets: dict[str, list[float]] = {}
    for task, seed, record in records():
        curve, best = curve_of(record), [run["peak"] for run in record["runs"] if regret(record, run["peak"]) <= 0.05]
        step = curve.blow_up_step()
        numbers = [curve.initial_loss, record["guessing"], np.nan if step is None else curve.all_rates[step]]
        numbers += [min(record["runs"], key=lambda run: regret(record, run["peak"]))["peak"]]
        cells = [f"{number:.3g}" for number in numbers] + [f"{min(best):.2g} to {max(best):.2g}"]
        for rule in (one_cycle, trained_model):
            rate = rule(curve.all_rates, curve.all_losses).learning_rate
            cells += ["none", ""] if rate is None else [f"{rate:.2g}", f"{regret(record, rate):.0%}"]
        rate = trained_model(curve.all_rates, curve.all_losses).learning_rate
        kind = "flat" if curve.no_descent else "falling"
        kind += ", tuning" if task in TUNING else ", judging"
        regrets.setdefault(kind, []).append(np.inf if rate is None else regret(record, rate))
        print(f"| {task} | {seed} | " + " | ".join(cells) + " |")
    print("\n| loss of the test | tests | median regret | highest |\n|---|---|---|---|")
    for kind, found in sorted(regrets.items()):
        print(f"| {kind} | {len(found)} | {np.median(found):.1%} | {max(found):.0%} |")


def records() -> Iterator[tuple[str, int, Record]]:
    """Yield (task, seed, record)."""
    names = sorted({path.name.removesuffix(".jsonl") for path in RUNS.iterdir()})
    for name in names:
        for file, record in sorted(documents(RUNS / name / "rates").items()):
            yield name, int(file.removesuffix(".json")), record


def regret(record: Record, rate: float) -> float:
    """Return the regret of a peak."""
    worst = 5 * record["guessing"]
    losses = np.array([worst if run["val_loss"] is None else min(run["val_loss"], worst) for run in record["runs"]])
    peaks = np.log([run["peak"] for run in record["runs"]])
    excess = float(np.interp(np.log(rate), peaks, losses) - losses.min())
    return excess / max(losses.min(), 0.05 * record["guessing"])


def curve_of(record: Record) -> LossCurve:
    """Return the curve of the range test."""
    losses = [np.nan if loss is None else loss for loss in record["losses"]]
    return LossCurve.from_losses(record["learning_rates"], losses)


if __name__ == "__main__":
    main()

"""Decide which tasks are admitted, by the criteria of README.md: python admission.py [--runs runs]

Reads the truth only, and of it only what the selection rows say: neither a picker nor a test loss has a part in it.
Writes the table of README.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from earlier_study import tables
from grids import FLOOR, HALF_DECADE, PER_DECADE, RATES_BESIDE, SEEDS, Truth, read_truth
from split import JUDGING, TUNING

HERE = Path(__file__).parent
MIN_LOSS, MAX_DEVIATION = 0.10, 0.03  # of the loss of guessing; of the loss
MIN_ROWS = 2000
MIN_COST, MIN_COST_IN_DEVIATIONS = 0.05, 2.0  # of a peak half a decade off, in the direction that costs more
MIN_ADMITTED = 24


@dataclass(frozen=True)
class Admission:
    """What the selection rows say about a task.

    Attributes:
        loss: Mean loss at the best rate, as a share of that of guessing.
        deviation: Standard deviation of the loss over seeds at the best rate, as a share of the loss.
        cost: Regret of a peak half a decade off, in the direction that costs more.
        cost_in_deviations: The same in standard deviations over seeds.
        rows: The smaller number of held-out rows.
        beside: The smaller number of half-decades below or above the best rate.
        overfitted: Whether overfitting limits the rate: half a decade above the best, the training loss is still lower.
    """

    loss: float
    deviation: float
    cost: float
    cost_in_deviations: float
    rows: int
    beside: int
    overfitted: bool

    @property
    def reasons(self) -> list[str]:
        """Why the task is not admitted; empty if it is."""
        checks = {
            f"loss below {MIN_LOSS:.0%} of guessing": self.loss >= MIN_LOSS,
            f"seeds deviate by more than {MAX_DEVIATION:.0%}": self.deviation <= MAX_DEVIATION,
            "the rate hardly matters": self.cost >= MIN_COST and self.cost_in_deviations >= MIN_COST_IN_DEVIATIONS,
            f"fewer than {MIN_ROWS} rows held out": self.rows >= MIN_ROWS,
            "the best rate is near an end of the grid": self.beside >= RATES_BESIDE,
        }
        return [reason for reason, passed in checks.items() if not passed]


def admission_of(truth: Truth) -> Admission:
    """Return what the selection rows say about a task."""
    losses, guessing = truth.values["selection_loss"], truth.facts["guessing"]["selection"]
    means, places = losses.mean(axis=1), np.round(PER_DECADE * np.log10(truth.rates)).astype(int)
    best = int(np.argmin(means))
    deviation = float(losses[best].std(ddof=1))
    off = np.interp(places[best] + np.array([-HALF_DECADE, HALF_DECADE]), places, np.minimum(means, 10 * guessing))
    excess = float(np.max(off) - means[best])
    half_decades = places[places % HALF_DECADE == 0]
    train = np.interp(places[best] + np.array([0, HALF_DECADE]), places, truth.values["train_loss"].mean(axis=1))
    return Admission(
        loss=float(means[best] / guessing),
        deviation=deviation / float(means[best]),
        cost=excess / max(float(means[best]), FLOOR * guessing),
        cost_in_deviations=excess / max(deviation, 1e-12),
        rows=min(truth.facts["rows"][part] for part in ("selection", "test")),
        # A best quarter-decade lies between two half-decades, of which the nearer end counts.
        beside=int(min(np.sum(half_decades <= places[best] - 1), np.sum(half_decades >= places[best] + 1))),
        overfitted=bool(train[1] < train[0]),
    )


def admitted(runs: Path, names: tuple[str, ...]) -> dict[str, Truth]:
    """Return the truth of the admitted ones of some tasks."""
    found = {name: read_truth(runs / name) for name in names}
    return {name: truth for name, truth in found.items() if truth and not admission_of(truth).reasons}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    runs = parser.parse_args().runs
    lines, overfitted = [], []
    for name in TUNING + JUDGING:
        truth = read_truth(runs / name)
        split = "tuning" if name in TUNING else "judging"
        if truth is None:
            lines.append((name, split, *["–"] * 6, "truth not complete"))
            continue
        facts = admission_of(truth)
        overfitted += [] if facts.reasons else [facts.overfitted]
        lines.append((
            name, split, f"{truth.rates[truth.best('selection_loss')]:.2g}", tables.percent(facts.loss),
            tables.percent(facts.deviation), tables.percent(facts.cost), f"{facts.cost_in_deviations:.1f}",
            "overfitting" if facts.overfitted else "stability", "; ".join(facts.reasons) or "yes",
        ))  # fmt: skip
    head = ("task", "split", "best peak", "loss / guessing", "deviation of seeds", "cost of half a decade",
            "in deviations", "limited by", "admitted")  # fmt: skip
    tables.fill(HERE / "README.md", "admission", tables.table(head, lines))
    print(f"{len(overfitted)} of {len(lines)} tasks admitted ({MIN_ADMITTED} wanted, {len(SEEDS)} seeds each), "
          f"{sum(overfitted)} of them limited by overfitting")  # fmt: skip


if __name__ == "__main__":
    main()

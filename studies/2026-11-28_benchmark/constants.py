"""Simulate races of several designs from the records of tuning_runs.py: python constants.py [--runs runs]

Nine candidates of each task and seed were trained to the end, in steps of 2.5, each with its scores on the way. So what
any race among them would have done is known. Fills the table of README.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from admission import admitted
from earlier_study import tables
from grids import SEEDS, Truth, as_loss
from split import TUNING
from tuning_runs import CUTS, EXPONENTS

from onecycle.comparison.packed import documents

HERE = Path(__file__).parent
MAX_REGRET = 10.0


@dataclass(frozen=True)
class Design:
    """A race; candidates are exponents of 2.5.

    Attributes:
        start: The first candidates.
        added: Number of candidates that are added at most.
        first: The first cut, after which two are left.
        last: The second cut.
        trend_from: The cut from which a straight line is drawn to the first cut and on to the second; 0 for none.
        keeps_lowest: Whether the best by its trend and the one with the lowest loss itself are left, or the best two.
    """

    start: tuple[int, ...]
    added: int
    first: float
    last: float
    trend_from: float = 0.0
    keeps_lowest: bool = False


WIDE = -2, 0, 2
DESIGNS = {
    "{0.4, 1, 2.5}, cuts 0.4 and 0.7 (before)": Design((-1, 0, 1), 0, 0.4, 0.7),
    "{0.4, 1, 2.5} and 1 added, cuts 0.4 and 0.7": Design((-1, 0, 1), 1, 0.4, 0.7),
    "{0.16, 1, 6.25} and 1 added, cuts 0.25 and 0.7": Design(WIDE, 1, 0.25, 0.7),
    "the same, two by the trend from 0.1": Design(WIDE, 1, 0.25, 0.7, 0.1),
    "the same, one by the trend, and the lowest (chosen)": Design(WIDE, 1, 0.25, 0.7, 0.1, True),
    "the same, trend from 0.15": Design(WIDE, 1, 0.25, 0.7, 0.15, True),
    "the same, last cut at 0.6": Design(WIDE, 1, 0.25, 0.6, 0.1, True),
    "{0.16, 1, 6.25} and 2 added, cuts 0.2 and 0.6, two by the trend": Design(WIDE, 2, 0.2, 0.6, 0.1),
    "{0.4, 1, 2.5} and 1 added, otherwise as chosen": Design((-1, 0, 1), 1, 0.25, 0.7, 0.1, True),
    "{0.064, 0.4, 2.5} and 1 added, otherwise as chosen": Design((-3, -1, 1), 1, 0.25, 0.7, 0.1, True),
    "two: {0.4, 2.5} and 1 added, otherwise as chosen": Design((-1, 1), 1, 0.25, 0.7, 0.1, True),
    "four: {0.064, 0.4, 2.5, 16} and 1 added, as chosen": Design((-3, -1, 1, 3), 1, 0.25, 0.7, 0.1, True),
}


@dataclass(frozen=True)
class Trained:
    """The candidates of a task and seed, in the order of their peaks.

    Attributes:
        scores: (candidates, cuts) loss of the averaged weights on the selection rows; infinite where it diverged.
        regrets: (candidates,) floored regret at the end, on the test rows.
    """

    scores: np.ndarray
    regrets: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    found = read(parser.parse_args().runs)
    middle = EXPONENTS.index(0)
    lines = [
        ("the suggestion itself", "1.00", *statistics([trained.regrets[middle] for trained in found])),
        ("the best of the nine", "9.00", *statistics([trained.regrets.min() for trained in found])),
    ]
    for name, design in DESIGNS.items():
        ends = [race(design, trained) for trained in found]
        costs = [cost for _, cost in ends]
        lines.append((name, f"{np.mean(costs):.2f}", *statistics([regret for regret, _ in ends])))
    head = ("design", "cost in runs, range test apart", "median regret", "mean regret", "95th percentile", "over 50 %")
    tables.fill(HERE / "README.md", "constants", f"{len(found)} pairs of task and seed.\n\n{tables.table(head, lines)}")


def read(runs: Path) -> list[Trained]:
    """Return the candidates of all tuning tasks and seeds that are complete."""
    found = []
    for name, truth in admitted(runs, TUNING).items():
        for seed in SEEDS:
            records = {one["exponent"]: one for one in documents(runs / name, f"candidate_*_{seed}.json").values()}
            if set(records) == set(EXPONENTS):
                found.append(trained_of([records[k] for k in EXPONENTS], truth, seed))
    return found


def trained_of(records: list[dict], truth: Truth, seed: int) -> Trained:
    """Return the candidates of a task and seed from their records."""
    reference = truth.reference(seed)
    regrets = [min(truth.floored(as_loss(one["test_loss"]), reference), MAX_REGRET) for one in records]
    return Trained(np.array([[as_loss(s) for s in one["scores"]] for one in records]), np.array(regrets))


def race(design: Design, trained: Trained) -> tuple[float, float]:
    """Return the regret of the winner of a race, and its cost in runs."""
    expected, middle = expected_scores(design, trained.scores), EXPONENTS.index(0)
    racing = [middle + exponent for exponent in design.start]
    for _ in range(design.added):
        new = beside_best(racing, expected)
        if new is None:
            break
        racing.append(new)
    kept = sorted(racing, key=lambda k: expected[k])
    if design.keeps_lowest:
        lowest = min(racing, key=lambda k: trained.scores[k, CUTS.index(design.first)])
        kept = list(dict.fromkeys([kept[0], lowest, *kept]))
    kept = kept[:2]
    winner = min(kept, key=lambda k: trained.scores[k, CUTS.index(design.last)])
    return trained.regrets[winner], len(racing) * design.first + 2 * (design.last - design.first) + 1 - design.last


def expected_scores(design: Design, scores: np.ndarray) -> np.ndarray:
    """Return (candidates,) the scores that decide at the first cut."""
    score = scores[:, CUTS.index(design.first)]
    if design.trend_from:
        earlier = scores[:, CUTS.index(design.trend_from)]
        with np.errstate(invalid="ignore"):
            score = score + (score - earlier) * (design.last - design.first) / (design.first - design.trend_from)
    return np.where(np.isfinite(score), score, np.inf)


def beside_best(racing: list[int], expected: np.ndarray) -> int | None:
    """Return the candidate to be added: beyond the end if the best is there, else in a gap beside it."""
    best = min(racing, key=lambda k: expected[k])
    lower, higher = [k for k in racing if k < best], [k for k in racing if k > best]
    if not lower or not higher:
        new = best - 1 if not lower else best + 1
        return new if 0 <= new < len(EXPONENTS) else None
    gaps = [(expected[max(lower)], best - 1)] if max(lower) < best - 1 else []
    gaps += [(expected[min(higher)], best + 1)] if min(higher) > best + 1 else []
    return min(gaps)[1] if gaps else None


def statistics(regrets: list[float]) -> tuple[str, ...]:
    """Return the cells of a row."""
    percentile = float(np.quantile(regrets, 0.95, method="higher"))
    numbers = (float(np.median(regrets)), float(np.mean(regrets)), percentile)
    return (*map(tables.percent, numbers), f"{sum(regret > 0.5 for regret in regrets)}")


if __name__ == "__main__":
    main()

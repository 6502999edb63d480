"""Say which peak looks best at which point of a run, from the records of tuning_runs.py: python horizons.py

Fills a table of README.md: the suggestions of two range tests, and the candidate with the lowest held-out loss on the
way and at the end, as multiples of the best rate of the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from admission import admission_of, admitted
from earlier_study import tables
from grids import SEEDS, Truth, as_loss
from split import TUNING
from tuning_runs import CUTS, EXPONENTS, RANGE_TEST_STEPS

from onecycle.comparison.packed import documents

HERE = Path(__file__).parent
SHOWN = (0.1, 0.25, 0.5, 0.7)  # of the run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    runs = parser.parse_args().runs
    lines = []
    for name, truth in admitted(runs, TUNING).items():
        found = [multiples for seed in SEEDS if (multiples := multiples_of(runs / name, truth, seed)) is not None]
        limited = "overfitting" if admission_of(truth).overfitted else "stability"
        lines.append((name, truth.facts["optimizer"], limited, *map(spread, zip(*found, strict=True))))
    lines.sort(key=lambda line: line[2], reverse=True)
    suggestions = [f"suggested in {steps} steps" for steps in RANGE_TEST_STEPS]
    head = ("task", "optimizer", "limited by", *suggestions, *(f"best at {cut:g}" for cut in SHOWN), "best at the end")
    tables.fill(HERE / "README.md", "horizons", tables.table(head, lines))


def multiples_of(folder: Path, truth: Truth, seed: int) -> list[float] | None:
    """Return the suggestions and the best candidates of a seed, as multiples of the best rate; NaN for none."""
    records = {one["exponent"]: one for one in documents(folder, f"candidate_*_{seed}.json").values()}
    if set(records) != set(EXPONENTS):
        return None
    best, ordered = truth.rates[truth.best()], [records[k] for k in EXPONENTS]
    suggested = []
    for steps in RANGE_TEST_STEPS:
        (test,) = documents(folder, f"range_test_{steps}_{seed}.json").values()
        suggested.append(np.nan if test["picks"]["one_cycle"] is None else test["picks"]["one_cycle"])
    losses = [[as_loss(one["scores"][CUTS.index(cut)]) for one in ordered] for cut in SHOWN]
    losses.append([as_loss(one["test_loss"]) for one in ordered])
    return [rate / best for rate in (*suggested, *(ordered[int(np.argmin(row))]["rate"] for row in losses))]


def spread(values: tuple[float, ...]) -> str:
    """Return the lowest and the highest of some multiples as text."""
    found = [value for value in values if np.isfinite(value)]
    if not found:
        return "none"
    low, high = (f"{value:.2g}" for value in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()

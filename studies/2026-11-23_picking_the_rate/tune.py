"""Compare constants of `onecycle.suggestions.sweep_pick` on the tuning tasks: python tune.py [--runs runs]

Picks again from the recorded sweeps with other constants. The expected regret of each pick is that of the grid.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
from records import grids
from split import TUNING

from onecycle.comparison.packed import documents
from onecycle.finding.sweep_runs import suggested_peak
from onecycle.results import codec
from onecycle.suggestions.sweep_pick import pick

SPREADS = (0.2, 0.3, 0.5, 0.7, 0.9)
WORSTS = (1.0, 2.0)
WEIGHTS = (0.0, 0.35, 0.7, 1.0, 1.4, 2.0, 2.8)
REACHES = (2.0, 3.0, 5.0, 8.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path(__file__).parent / "runs")
    folder = parser.parse_args().runs
    regrets_of = defaultdict(list)
    for (name, optimizer), grid in grids(folder, TUNING).items():
        for file, document in documents(folder / name, f"{optimizer}_sweep-*.json").items():
            budget, seed = file.removesuffix(".json").split("-")[-1].split("_")
            if int(seed) not in grid.seeds:
                continue
            sweep = codec.from_document(document, file)
            for constants in itertools.product(SPREADS, WORSTS, WEIGHTS, REACHES):
                spread, worst, weight, reach = constants
                rate = pick(
                    sweep.learning_rates, sweep.scores, sweep.steps, initial_score=sweep.initial_score,
                    suggested=suggested_peak(sweep.range_test), spread=spread, worst=worst, weight=weight, reach=reach,
                ).learning_rate  # fmt: skip
                # A missing pick counts as a regret of 100 %.
                regrets_of[budget, constants].append(1.0 if rate is None else grid.expected_regret(rate))
    print(
        "budget spread worst weight reach: mean regret (at most 100 % each), median, 95th percentile, number of picks"
    )
    for budget in sorted({key[0] for key in regrets_of}):
        by_constants = {key[1]: np.array(regrets) for key, regrets in regrets_of.items() if key[0] == budget}
        for constants, regrets in sorted(by_constants.items(), key=lambda item: np.minimum(item[1], 1).mean())[:12]:
            mean, median = np.minimum(regrets, 1).mean(), np.median(regrets)
            high = np.quantile(regrets, 0.95)
            print(budget, *constants, f"{mean:.3f} {median:.3f} {high:.3f} {len(regrets)}")


if __name__ == "__main__":
    main()

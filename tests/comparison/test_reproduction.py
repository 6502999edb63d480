"""How `reproduce` chooses constant rates and compares with the cycle, on comparisons made by hand."""

import functools
import math
import re

import pytest
from oracles.records import run

from onecycle.comparison.article import reproduction
from onecycle.comparison.article.protocol import Protocol
from onecycle.comparison.evaluation import comparison_from_records

PROTOCOL = Protocol("boston-housing", "accuracy", 0.1, 2, (), 1, 1, (0.01, 0.1, 1.0), 2, 2)


def fake_compare(build, data, arms, *, seeds, quality, diverges_above, **options):
    """Replace `compare`: the metric of each rate is `quality(rate)`, and too high rates diverge with one seed."""
    records = []
    for arm in arms:
        rate = float(re.search(r"SGD (\S+),", arm).group(1))
        for seed in seeds:
            # Only the last seed diverges, and its metric is better than any before.
            diverges = rate > diverges_above and seed == seeds[-1]
            values = [quality(rate), 1.0 if diverges else 0.0]
            records.append(run(arm, seed, values, diverged=2 if diverges else None))
    return comparison_from_records(records, tuple(arms), tuple(seeds), metric="val_accuracy")


@pytest.fixture
def choose(monkeypatch, tmp_path):
    """Return a function that chooses rates whose comparisons have given results."""

    def choose(quality, diverges_above=math.inf):
        compare = functools.partial(fake_compare, quality=quality, diverges_above=diverges_above)
        monkeypatch.setattr(reproduction, "compare", compare)
        return reproduction.choose_rates(PROTOCOL, tmp_path, {"metric": "val_accuracy"})

    return choose


def test_rate_with_diverged_run_is_never_chosen(choose):
    """A rate with a diverged run is not chosen, however good the run was before and the other runs are."""
    best, _ = choose(lambda rate: 0.5 + 0.1 * math.log10(rate) - 0.01 * abs(math.log10(rate) + 1), diverges_above=0.2)

    assert best == {0.0: 0.1, 0.9: 0.1}


def test_grid_grows_until_best_rate_is_inside(choose):
    """The grid grows by half a decade at a time, at the end where the best rate is."""
    best, grid = choose(lambda rate: 0.5 - 0.1 * abs(math.log10(rate) - 0.5))

    assert best == pytest.approx({0.0: 10**0.5, 0.9: 10**0.5})
    assert len(grid.arms) == 2 * (len(PROTOCOL.grid) + 2)


def test_grid_does_not_grow_forever(choose):
    """A grid whose best rate is always at its end is given up."""
    with pytest.raises(RuntimeError, match="is still at an end of its grid after 6 extensions: 1e"):
        choose(lambda rate: 0.5 + 0.01 * math.log10(rate))


def test_grid_without_finished_runs_is_given_up(choose):
    """If every rate diverges, there is no best rate, and the grid is not extended."""
    with pytest.raises(RuntimeError, match=r"With momentum 0 some run of every constant rate .* diverged"):
        choose(lambda rate: 0.5, diverges_above=0.0)


def test_all_other_arms_of_full_length_are_compared_with_cycle():
    """Main arms are compared with their seeds and side arms with theirs, the baseline once, shorter cycles never."""
    finals = {"SGD 0.01": 0.6, "SGD 0.1, tuned": 0.7, "1cycle": 0.9, "1cycle, 1 epochs": 0.5, "Adam 0.001": 0.95}
    records = {
        (arm, seed): run(arm, seed, [0.1, final + 0.001 * seed * (arm != "1cycle")])
        for arm, final in finals.items()
        for seed in range(8)
    }

    def compared(arms, seeds):
        runs = [records[arm, seed] for arm in arms for seed in seeds]
        return comparison_from_records(runs, arms, tuple(seeds), metric="val_accuracy", margin=0.01)

    main, side = compared(tuple(finals)[:-1], range(8)), compared(("SGD 0.01", "Adam 0.001"), range(6))
    verdicts = reproduction.verdicts_against_cycle(main, side)
    names = [verdict.sentence.partition(" is ")[0] for verdict in verdicts]

    assert names == ["SGD 0.01", "SGD 0.1, tuned", "Adam 0.001"]
    assert [(verdict.kind, verdict.seeds) for verdict in verdicts] == [("worse", 8), ("worse", 8), ("better", 6)]
    assert [verdict.interval_arms for verdict in verdicts] == [2, 2, 1]
    assert all(verdict.margin == 0.01 for verdict in verdicts)
    assert reproduction.verdicts_against_cycle(main, None) == verdicts[:2]

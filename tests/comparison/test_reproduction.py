"""How `reproduce` chooses the baseline's constant rates: on comparisons made by hand, without any training."""

import functools
import math
import re

import pytest
from oracles.records import run

from onecycle.comparison.article import reproduction
from onecycle.comparison.article.protocol import Protocol
from onecycle.comparison.comparing import concluded

PROTOCOL = Protocol("boston-housing", "accuracy", 0.1, 2, (), 1, 1, (0.01, 0.1, 1.0), 2, 2)


def pretended(build, data, arms, *, seeds, quality, lost, **options):
    """In place of `compare`: each rate is as good as `quality` says, and each run above the rate `lost` diverges."""
    records = []
    for arm in arms:
        rate = float(re.search(r"SGD (\S+),", arm).group(1))
        for seed in seeds:
            # Only the second seed diverges, with a number better than any before.
            gone = rate > lost and seed == seeds[-1]
            records.append(run(arm, seed, [quality(rate), 1.0 if gone else 0.0], diverged=2 if gone else None))
    return concluded(records, tuple(arms), tuple(seeds), metric="val_accuracy")


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Chooses the rates where comparisons come out as told."""

    def choose(quality, lost=math.inf):
        monkeypatch.setattr(reproduction, "compare", functools.partial(pretended, quality=quality, lost=lost))
        return reproduction.choose_rates(PROTOCOL, tmp_path, {"metric": "val_accuracy"})

    return choose


def test_a_rate_with_a_run_that_diverged_is_never_chosen(chosen):
    """However good it was before, and in its other runs."""
    best, _ = chosen(lambda rate: 0.5 + 0.1 * math.log10(rate) - 0.01 * abs(math.log10(rate) + 1), lost=0.2)

    assert best == {0.0: 0.1, 0.9: 0.1}


def test_the_grid_grows_until_the_best_is_inside(chosen):
    """By half a decade at a time, at the end where the best is."""
    best, grid = chosen(lambda rate: 0.5 - 0.1 * abs(math.log10(rate) - 0.5))

    assert best == pytest.approx({0.0: 10**0.5, 0.9: 10**0.5})
    assert len(grid.arms) == 2 * (len(PROTOCOL.grid) + 2)


def test_a_grid_whose_best_is_always_at_its_end_is_given_up(chosen):
    """It does not grow for ever."""
    with pytest.raises(RuntimeError, match="is at an end of its grid still, after 6 growths: 1e"):
        chosen(lambda rate: 0.5 + 0.01 * math.log10(rate))


def test_a_grid_of_which_every_rate_diverges_is_given_up(chosen):
    """There is no best, and none is made up by widening the grid."""
    with pytest.raises(RuntimeError, match="With momentum 0 some run of every constant rate diverged"):
        chosen(lambda rate: 0.5, lost=0.0)


def test_every_other_arm_of_full_length_is_held_against_the_cycle():
    """The main arms with their seeds and the side arms with theirs; the baseline once, shorter cycles never."""
    finals = {"SGD 0.01": 0.6, "SGD 0.1, tuned": 0.7, "1cycle": 0.9, "1cycle, 1 epochs": 0.5, "Adam 0.001": 0.95}
    made = {
        (arm, seed): run(arm, seed, [0.1, final + 0.001 * seed * (arm != "1cycle")])
        for arm, final in finals.items()
        for seed in range(8)
    }

    def of(arms, seeds):
        runs = [made[arm, seed] for arm in arms for seed in seeds]
        return concluded(runs, arms, tuple(seeds), metric="val_accuracy", margin=0.01)

    main, side = of(tuple(finals)[:-1], range(8)), of(("SGD 0.01", "Adam 0.001"), range(6))
    found = reproduction.against_cycle(main, side)
    names = [verdict.sentence.partition(" is ")[0] for verdict in found]

    assert names == ["SGD 0.01", "SGD 0.1, tuned", "Adam 0.001"]
    assert [(verdict.kind, verdict.seeds) for verdict in found] == [("worse", 8), ("worse", 8), ("better", 6)]
    assert found[2].p == 2 / 2**6
    assert found[0].p == 2 * 2 / 2**8
    assert all(verdict.margin == 0.01 for verdict in found)
    assert reproduction.against_cycle(main, None) == found[:2]

"""How `reproduce` chooses the baseline's constant rates: on comparisons made by hand, without any training."""

import functools
import math
import re

import pytest
from oracles.records import run

from onecycle.studies import reproduction
from onecycle.studies.article import Protocol
from onecycle.studies.comparing import concluded

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

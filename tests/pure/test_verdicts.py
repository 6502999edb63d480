"""The verdicts on comparisons made by hand and by simulation, runs without a number among them."""

import dataclasses
import math

import numpy as np
import pytest
from oracles.records import run

from onecycle.comparison.measures import measured
from onecycle.comparison.verdicts import verdicts

ARMS = ("plain", "other")
SEEDS, EPOCHS = 8, 60
TIMES = ("steps", "epochs", "samples", "seconds")


@pytest.fixture
def draws():
    """A source of random numbers, the same for every test."""
    return np.random.default_rng(20261123)


def judged(plain, other, *, margin=0.01, target=0.9):
    """The verdicts on records of two arms."""
    runs = [measured(record, "val_accuracy", "max", target) for record in (*plain, *other)]
    return verdicts(runs, ARMS, "max", margin)["other"]


def reaching(arm, times, *, epochs=EPOCHS):
    """Runs that come to the target after so many epochs, if they are as long as that."""
    return [
        run(arm, seed, [0.95 if epoch >= time else 0.5 for epoch in range(1, epochs + 1)])
        for seed, time in enumerate(times)
    ]


def ending(arm, finals, diverged=()):
    """Runs of two epochs that end so; those of the seeds in `diverged` are lost, with a number as good as the rest."""
    return [run(arm, seed, [0.5, final], diverged=2 if seed in diverged else None) for seed, final in enumerate(finals)]


def test_half_the_time_is_never_no_practical_difference(draws):
    """The baseline takes twice as long, and much of it is never seen: cut short, the times look alike and are not."""
    kinds = []
    for _ in range(100):
        # Of 60 epochs the arm needs about 57, the baseline about 114: hardly any of its runs is long enough.
        arm, baseline = np.exp(draws.normal(0.0, 0.1, (2, SEEDS))) * [[57.0], [114.0]]
        told = judged(reaching("plain", baseline), reaching("other", arm))
        kinds += [told[measure].kind for measure in TIMES]
        assert any(told["epochs"].censored)

    assert "no practical difference" not in kinds
    assert "better" in kinds


def test_nothing_is_the_same_where_a_run_has_no_time():
    """One censored pair of eight is enough; where every run came there, equal times make no practical difference."""
    times = [20, 22, 24, 26, 28, 30, 32, 34]
    whole = judged(reaching("plain", times), reaching("other", times))["epochs"]
    told = judged(reaching("plain", times), reaching("other", [*times[:-1], math.inf]), margin=0.01)["epochs"]

    assert whole.kind == "no practical difference"
    assert (whole.low, whole.high) == (1.0, 1.0)
    assert told.kind == "cannot tell"
    assert math.isnan(told.low)
    assert math.isnan(told.high)
    assert "interval 1" not in told.sentence
    assert "(p = 1)" in told.sentence
    assert "its ratio is a bound, the mean has no interval" in told.sentence


def test_a_third_arm_changes_nothing_but_the_adjustment():
    """What is put in the place of a diverged run comes from its pair alone, however bad others are."""
    finals = [0.70, 0.72, 0.71, 0.69, 0.73, 0.70, 0.74, 0.71]
    better = [final + 0.01 + 0.001 * k for k, final in enumerate(finals)]
    records = [*ending("plain", finals, diverged=[2]), *ending("other", better), *ending("bad", [0.1] * SEEDS)]
    runs = [measured(record, "val_accuracy", "max", 0.9) for record in records]
    alone = verdicts(runs[: 2 * SEEDS], ARMS, "max", None)["other"]["final"]
    beside = verdicts(runs, (*ARMS, "bad"), "max", None)["other"]["final"]

    assert alone.kind == beside.kind == "better"
    assert (alone.effect, alone.differences, alone.probability) == (beside.effect, beside.differences, 1.0)
    assert beside.p == 2 * alone.p
    assert alone.differences[2] == math.inf
    assert alone.effect == pytest.approx(0.01 + 0.001 * 26 / 7)
    assert alone.sentence.endswith("0 of 8, and 1 of the baseline; the mean is that of the other 7 seeds.")


@pytest.mark.parametrize("lost", [{3}, {0, 1}, set(range(SEEDS))])
def test_seeds_at_which_both_diverged_are_ties_and_in_no_mean(lost):
    """Neither is better there; the effect is that of the other seeds, as the sentence says, without an interval."""
    finals = [0.70, 0.72, 0.71, 0.69, 0.73, 0.70, 0.74, 0.71]
    other = [final + 0.02 + 0.001 * k for k, final in enumerate(finals)]
    third = [run("third", seed, [0.5, 0.6]) for seed in range(SEEDS)]
    records = [*ending("plain", finals, lost), *ending("other", other, lost), *third]
    runs = [measured(record, "val_accuracy", "max", 0.9) for record in records]
    told = verdicts(runs, (*ARMS, "third"), "max", None)["other"]["final"]
    kept = [0.02 + 0.001 * k for k in range(SEEDS) if k not in lost]

    assert [told.differences[seed] for seed in lost] == [0.0] * len(lost)
    assert told.effect == pytest.approx(np.mean(kept) if kept else math.nan, nan_ok=True)
    assert math.isnan(told.low)
    assert "interval" not in told.sentence
    assert ("no seed has two numbers" in told.sentence) == (not kept)


@pytest.mark.parametrize("measure", ["final", "best", "loss", "steps", "epochs", "samples"])
def test_an_arm_that_always_diverges_is_worse(measure):
    """In every measure: also where it did so in the first epoch, in less time than the baseline needed."""
    baseline = [run("plain", seed, [0.5, 0.6, 0.95]) for seed in range(SEEDS)]
    lost = [run("other", seed, [0.5], diverged=1) for seed in range(SEEDS)]
    told = judged(baseline, lost)[measure]

    assert told.kind == "worse"
    assert told.p == 2 / 2**SEEDS
    assert math.isnan(told.effect)
    assert "no seed has two numbers" in told.sentence
    assert "8 of 8, and 0 of the baseline." in told.sentence


@pytest.mark.parametrize("lost", ARMS)
def test_nothing_is_the_same_where_a_run_diverged(lost):
    """In either arm: what counts as the worst is no measurement, and here it is no worse than the rest."""
    finals = [0.7] * SEEDS
    diverged = {name: [3] if name == lost else [] for name in ARMS}
    told = judged(ending("plain", finals, diverged["plain"]), ending("other", finals, diverged["other"]))

    assert judged(ending("plain", finals), ending("other", finals))["final"].kind == "no practical difference"
    assert told["final"].kind == "cannot tell"
    assert told["best"].kind == "cannot tell"


def test_other_arms_are_judged_as_ever():
    """An arm whose runs all have a number is not held up by one that diverged."""
    records = [*ending("plain", [0.7] * SEEDS), *ending("other", [0.7] * SEEDS), *ending("wild", [0.7] * SEEDS, [0])]
    runs = [measured(record, "val_accuracy", "max", 0.9) for record in records]
    told = verdicts(runs, (*ARMS, "wild"), "max", 0.01)

    assert told["other"]["final"].kind == "no practical difference"
    assert told["wild"]["final"].kind == "cannot tell"


def test_where_all_diverged_no_target_is_spoken_of():
    """There is nothing to compare, and the sentence says where and why."""
    finals, everyone = [0.7] * SEEDS, range(SEEDS)
    told = judged(ending("plain", finals, everyone), ending("other", finals, everyone))

    assert {verdict.kind for verdict in told.values()} == {"not measured"}
    assert told["final"].sentence == (
        "other: nothing to compare after the last epoch: no run of any arm has a number there, as where all diverged."
    )
    assert "to the target" in told["epochs"].sentence


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_arms_that_are_alike_are_rarely_told_apart(share, draws):
    """A/A comparisons, whole and with lost and censored runs: false verdicts in at most 6.5 % of them."""
    experiments = 400
    wrong = dict.fromkeys(("final", "epochs"), 0)
    for _ in range(experiments):
        times = np.exp(draws.normal(0.0, 0.5, (2, SEEDS))) * 20
        length = math.ceil(np.quantile(times, 1 - share))
        pair = [reaching(arm, row, epochs=length) for arm, row in zip(ARMS, times, strict=True)]
        for measure, verdict in judged(*([ended(one, draws, share / 2) for one in row] for row in pair)).items():
            if measure in wrong:
                wrong[measure] += verdict.kind in ("better", "worse")

    assert {measure: count for measure, count in wrong.items() if count > 0.065 * experiments} == {}


def ended(record, draws, share):
    """The run with one epoch more, which is below the target, and in which this share is lost."""
    values = [*record.history["val_accuracy"], draws.normal(0.7, 0.02)]
    longer = run(record.arm, record.seed, values)
    return dataclasses.replace(longer, diverged=len(values) if draws.random() < share else None)

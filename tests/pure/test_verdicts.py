"""The verdicts on comparisons made by hand and by simulation, also with runs that have no value."""

import dataclasses
import math

import numpy as np
import pytest
from oracles.records import run
from scipy import stats

from onecycle.comparison.measures import measured_run
from onecycle.comparison.verdicts import MeasureTable, verdicts_by_arm

ARMS = ("plain", "other")
SEEDS, EPOCHS = 8, 60
TIMES = ("steps", "epochs", "samples", "seconds")


@pytest.fixture
def draws():
    """A random generator with the same seed for every test."""
    return np.random.default_rng(20261123)


def verdicts_on(plain, other, *, margin=0.01, target=0.9):
    """Return measure -> verdict on the second of two arms."""
    runs = [measured_run(record, "val_accuracy", "max", target) for record in (*plain, *other)]
    return verdicts_by_arm(runs, ARMS, "max", margin)["other"]


def reaching(arm, times, *, epochs=EPOCHS):
    """Return runs that reach the target after these numbers of epochs, if the runs are long enough."""
    return [
        run(arm, seed, [0.95 if epoch >= time else 0.5 for epoch in range(1, epochs + 1)])
        for seed, time in enumerate(times)
    ]


def ending(arm, finals, diverged=()):
    """Return runs of two epochs with these final values. The runs of some seeds diverged, with no worse values."""
    return [run(arm, seed, [0.5, final], diverged=2 if seed in diverged else None) for seed, final in enumerate(finals)]


def test_censoring_never_hides_half_the_time(draws):
    """If the baseline takes twice as long and is mostly censored, the verdict is never "no practical difference"."""
    kinds = []
    for _ in range(100):
        # Of 60 epochs the arm needs about 57 and the baseline about 114, so hardly any of its runs is long enough.
        arm, baseline = np.exp(draws.normal(0.0, 0.1, (2, SEEDS))) * [[57.0], [114.0]]
        verdicts = verdicts_on(reaching("plain", baseline), reaching("other", arm))
        kinds += [verdicts[measure].kind for measure in TIMES]
        assert any(verdicts["epochs"].censored)

    assert "no practical difference" not in kinds
    assert "better" in kinds


def test_censored_run_rules_out_equivalence():
    """Equal times are no practical difference if all runs reached the target, but not with a censored pair."""
    times = [20, 22, 24, 26, 28, 30, 32, 34]
    whole = verdicts_on(reaching("plain", times), reaching("other", times))["epochs"]
    censored = verdicts_on(reaching("plain", times), reaching("other", [*times[:-1], math.inf]))["epochs"]

    assert whole.kind == "no practical difference"
    # Times are seen at the end of an epoch, the 20th at the earliest, so the spread is not taken to be 0.
    assert whole.high == pytest.approx(math.exp(stats.t.ppf(0.975, 7) * 0.5 * math.log(21 / 20) / math.sqrt(8)))
    assert whole.low == pytest.approx(1 / whole.high)
    assert censored.kind == "cannot tell"
    assert math.isnan(censored.low)
    assert math.isnan(censored.high)
    assert "interval 1" not in censored.sentence
    assert "(p = 1)" in censored.sentence
    assert "in 7 of 8 runs of other and 8 of 8 of plain" in censored.sentence
    assert "its ratio is a bound, and the mean has no interval" in censored.sentence


def test_third_arm_changes_only_the_adjustment():
    """The value in the place of a diverged run depends on its pair alone, however bad other arms are."""
    finals = [0.70, 0.72, 0.71, 0.69, 0.73, 0.70, 0.74, 0.71]
    better = [final + 0.01 + 0.001 * k for k, final in enumerate(finals)]
    records = [*ending("plain", finals, diverged=[2]), *ending("other", better), *ending("bad", [0.1] * SEEDS)]
    runs = [measured_run(record, "val_accuracy", "max", 0.9) for record in records]
    alone = verdicts_by_arm(runs[: 2 * SEEDS], ARMS, "max", None)["other"]["final"]
    beside = verdicts_by_arm(runs, (*ARMS, "bad"), "max", None)["other"]["final"]

    assert alone.kind == beside.kind == "better"
    assert (alone.effect, alone.differences, alone.probability) == (beside.effect, beside.differences, 1.0)
    assert beside.p == 2 * alone.p
    assert alone.differences[2] == math.inf
    assert alone.effect == pytest.approx(0.01 + 0.001 * 26 / 7)
    assert "worse than all others: 0 of 8 runs of other and 1 of 8 of plain." in alone.sentence
    assert alone.sentence.endswith("The mean is over the other 7 seeds.")


@pytest.mark.parametrize("diverged", [{3}, {0, 1}, set(range(SEEDS))])
def test_seeds_at_which_both_runs_diverged_are_ties(diverged):
    """Such a pair is a tie and not part of the mean, which is that of the other seeds and has no interval."""
    finals = [0.70, 0.72, 0.71, 0.69, 0.73, 0.70, 0.74, 0.71]
    other = [final + 0.02 + 0.001 * k for k, final in enumerate(finals)]
    third = [run("third", seed, [0.5, 0.6]) for seed in range(SEEDS)]
    records = [*ending("plain", finals, diverged), *ending("other", other, diverged), *third]
    runs = [measured_run(record, "val_accuracy", "max", 0.9) for record in records]
    verdict = verdicts_by_arm(runs, (*ARMS, "third"), "max", None)["other"]["final"]
    kept = [0.02 + 0.001 * k for k in range(SEEDS) if k not in diverged]

    assert [verdict.differences[seed] for seed in diverged] == [0.0] * len(diverged)
    assert verdict.effect == pytest.approx(np.mean(kept) if kept else math.nan, nan_ok=True)
    assert math.isnan(verdict.low)
    assert "interval" not in verdict.sentence
    assert ("no seed has two values" in verdict.sentence) == (not kept)


@pytest.mark.parametrize("measure", ["final", "best", "loss", "steps", "epochs", "samples"])
def test_arm_that_always_diverges_is_worse(measure):
    """The arm is worse in every measure, even if it diverged in less time than the baseline needed."""
    baseline = [run("plain", seed, [0.5, 0.6, 0.95]) for seed in range(SEEDS)]
    diverged = [run("other", seed, [0.5], diverged=1) for seed in range(SEEDS)]
    verdict = verdicts_on(baseline, diverged)[measure]

    assert verdict.kind == "worse"
    assert verdict.p == 2 / 2**SEEDS
    assert math.isnan(verdict.effect)
    assert "no seed has" in verdict.sentence
    assert "8 of 8 runs of other and 0 of 8 of plain." in verdict.sentence


@pytest.mark.parametrize("arm", ARMS)
def test_diverged_run_rules_out_equivalence(arm):
    """With a diverged run in either arm the verdict is not "no practical difference", since its value is unknown."""
    finals = [0.7] * SEEDS
    diverged = {name: [3] if name == arm else [] for name in ARMS}
    verdicts = verdicts_on(ending("plain", finals, diverged["plain"]), ending("other", finals, diverged["other"]))

    assert verdicts_on(ending("plain", finals), ending("other", finals))["final"].kind == "no practical difference"
    assert verdicts["final"].kind == "cannot tell"
    assert verdicts["best"].kind == "cannot tell"


def test_diverged_run_does_not_affect_other_arms():
    """An arm whose runs all have a value can be equivalent although a run of another arm diverged."""
    records = [*ending("plain", [0.7] * SEEDS), *ending("other", [0.7] * SEEDS), *ending("wild", [0.7] * SEEDS, [0])]
    runs = [measured_run(record, "val_accuracy", "max", 0.9) for record in records]
    verdicts = verdicts_by_arm(runs, (*ARMS, "wild"), "max", 0.01)

    assert verdicts["other"]["final"].kind == "no practical difference"
    assert verdicts["wild"]["final"].kind == "cannot tell"


def test_nothing_is_measured_if_all_runs_diverged():
    """There is nothing to compare, and the sentence says where and why."""
    finals, all_seeds = [0.7] * SEEDS, range(SEEDS)
    verdicts = verdicts_on(ending("plain", finals, all_seeds), ending("other", finals, all_seeds))

    assert {verdict.kind for verdict in verdicts.values()} == {"not measured"}
    assert verdicts["final"].sentence == (
        "other: nothing to compare after the last epoch: no run of any arm has a finite value there, for example "
        "because all of them diverged."
    )
    assert "no epochs to the target to compare" in verdicts["epochs"].sentence


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_false_verdicts_are_rare(share, draws):
    """In A/A comparisons, also with diverged and censored runs, at most 7 % of the verdicts are better or worse."""
    experiments, wrong = 600, {"final": 0, "epochs": 0}
    for _ in range(experiments):
        times = np.exp(draws.normal(0.0, 0.5, (2, SEEDS))) * 20
        length = math.ceil(np.quantile(times, 1 - share))
        pair = [reaching(arm, row, epochs=length) for arm, row in zip(ARMS, times, strict=True)]
        records = [ended(record, draws, share / 2) for row in pair for record in row]
        runs = [measured_run(record, "val_accuracy", "max", 0.9) for record in records]
        for measure in wrong:
            verdict = MeasureTable.from_runs(runs, ARMS, measure, "max", 0.01).verdicts()["other"]
            wrong[measure] += verdict.kind in ("better", "worse")

    assert {measure: count for measure, count in wrong.items() if count > 0.07 * experiments} == {}


def ended(record, draws, share):
    """Return the run with one more epoch, below the target, in which this fraction of the runs diverges."""
    values = [*record.history["val_accuracy"], draws.normal(0.7, 0.02)]
    longer = run(record.arm, record.seed, values)
    return dataclasses.replace(longer, diverged=len(values) if draws.random() < share else None)

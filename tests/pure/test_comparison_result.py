"""The result of a comparison: its table, its summary and its verdicts."""

import dataclasses

import numpy as np
import pytest
from render.sample_comparisons import COMPARISONS, NAN, comparison, record

PRETTY = COMPARISONS["pretty"]


def test_summary_has_the_verdicts():
    """The fast arm is better, the other one makes no practical difference, and both are in the summary."""
    verdicts = PRETTY.verdicts
    assert verdicts["cycle"]["final"].kind == "better"
    assert verdicts["cycle"]["steps"].kind == "better"
    assert verdicts["cycle"]["steps"].effect < 0.7
    assert verdicts["other"]["final"].kind == "no practical difference"
    assert verdicts["other"]["final"].margin == 0.01
    assert "cycle is better than plain: +0.0" in PRETTY.summary().splitlines()[0]
    assert verdicts["other"]["final"].sentence in PRETTY.summary()


def test_summary_has_the_problems():
    """The summary lists problems with stored records."""
    result = dataclasses.replace(PRETTY, problems=("a.json is torn.",))
    assert "Problem: a.json is torn." in result.summary()


def test_baseline_without_finite_values_sets_no_target():
    """The summary says that there is no target, instead of one that is NaN."""
    summary = comparison([record(arm, seed, [NAN]) for arm in "ab" for seed in (0, 1)], target=NAN).summary()
    assert "There is no target and there are no times: a never had a finite val_accuracy." in summary
    assert "nan" not in summary


def test_rows_are_text():
    """Each arm has a dict with the same keys, and every value is text."""
    rows = PRETTY.rows()
    assert [row["arm"] for row in rows] == ["plain", "cycle", "other"]
    assert [row["verdict"] for row in rows] == ["baseline", "better", "no practical difference"]
    assert all(isinstance(value, str) for row in rows for value in row.values())
    assert len({tuple(row) for row in rows}) == 1


def test_mean_time_counts_censored_runs():
    """A mean time counts runs that did not reach the target at their length, and is marked as a lower bound."""
    records = [record("slow", seed, [0.5, 0.6, 0.91 if seed < 1 else 0.6, 0.6]) for seed in range(2)]
    row = comparison(records).rows()[0]
    assert (row["target reached"], row["epochs"], row["steps"]) == ("1 of 2", "> 3.5", "> 35")
    assert PRETTY.rows()[1]["epochs"][0].isdigit()


def test_times_include_the_finder():
    """Steps, epochs and samples to the target include the finder's 12 steps of 10 samples, which are 1.2 epochs."""
    run = PRETTY.of("cycle")[0]
    reached = run["steps"].index(run["steps_to_target"] - 12) + 1
    assert run["epochs_to_target"] == pytest.approx(reached + 1.2)
    assert run["samples_to_target"] == 100 * reached + 120


def test_one_seed_is_too_few():
    """A single pair has no interval and no verdict, and the sentence says how many seeds are needed."""
    verdict = COMPARISONS["one seed"].verdicts["cycle"]["final"]
    assert verdict.kind == "cannot tell"
    assert "1 seed is too few; about 2 more seeds would be needed" in verdict.sentence
    assert "interval" not in verdict.sentence


def test_equal_arms_need_a_margin():
    """Six equal pairs are no practical difference where a margin was given, and undecided without one."""
    assert COMPARISONS["constant"].verdicts["b"]["final"].kind == "no practical difference"
    assert COMPARISONS["no target"].verdicts["b"]["final"].kind == "cannot tell"


def test_target_that_no_run_reaches_is_not_measured():
    """Without any time there is no verdict on times, and the sentence says why."""
    verdict = COMPARISONS["constant"].verdicts["b"]["steps"]
    assert verdict.kind == "not measured"
    assert "no run of any arm reached it" in verdict.sentence
    assert COMPARISONS["no samples"].verdicts["b"]["samples"].kind == "not measured"


def test_censored_runs_count_at_their_length():
    """Runs that did not reach the target are part of the verdict at their length, and the sentence counts them."""
    records = [record("slow", seed, [0.5] * 4 + [0.91 if seed < 2 else 0.6]) for seed in range(6)]
    records += [record("fast", seed, [0.5, 0.95, 0.95, 0.95, 0.95]) for seed in range(6)]
    verdict = comparison(records).verdicts["fast"]["epochs"]
    assert verdict.differences == pytest.approx([2 / 5] * 6)
    assert verdict.censored == (False, False, True, True, True, True)
    assert "reached in 6 of 6 runs of fast and 2 of 6 of slow" in verdict.sentence
    assert verdict.kind == "better"


def test_diverged_run_counts_as_the_worst():
    """A run whose metric became NaN is worse than any other by no certain size, and the sentence counts it."""
    verdict = COMPARISONS["diverged"].verdicts["diverging"]["final"]
    assert verdict.differences[4:] == (-np.inf, -np.inf)
    assert verdict.effect == pytest.approx(np.mean(verdict.differences[:4]))
    assert verdict.censored == (False,) * 4 + (True, True)
    assert "count as worse than all others: 2 of 6 runs of diverging and 0 of 6 of plain" in verdict.sentence

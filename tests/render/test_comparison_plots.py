"""Pictures, table and summary of comparisons, pretty and ugly, without keras."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from onecycle.comparison.measures import mean_curves, measured
from onecycle.comparison.verdicts import verdicts
from onecycle.plot import plot_comparison, plot_differences, save_figure
from onecycle.plot.comparison_info import comparison_picture, differences_picture
from onecycle.results import Comparison, load
from onecycle.results import RunRecord as Record

NAN = float("nan")


def record(arm, seed, values, *, diverged=None, finder=0, samples=True):
    """One run whose metric went so."""
    epochs = range(1, len(values) + 1)
    found = {"steps": finder, "seconds": 0.5, "learning_rate": 0.1, "reason": "Seen."} if finder else {}
    return Record(
        arm=arm,
        seed=seed,
        identity="1",
        config={"batch_size": 10},
        history={"val_accuracy": list(values), "loss": [1 / n for n in epochs]},
        steps=[10 * n for n in epochs],
        samples=[100 * n for n in epochs] if samples else [],
        seconds=[float(n) for n in epochs],
        finder=found,
        diverged=diverged,
        versions={},
        machine={},
    )


def comparison(records, *, mode="max", target=0.9, margin=None):
    """The result of those runs."""
    arms = tuple(dict.fromkeys(one.arm for one in records))
    runs = tuple(measured(one, "val_accuracy", mode, target) for one in records)
    return Comparison(
        arms=arms,
        seeds=tuple(dict.fromkeys(one.seed for one in records)),
        runs=runs,
        verdicts=verdicts(runs, arms, mode, margin),
        metric="val_accuracy",
        mode=mode,
        target=target,
        target_from="given",
        margin=margin,
        curves=mean_curves(runs, arms, "val_accuracy"),
    )


def learned(seed, *, epochs=10, speed=1.0, top=0.95):
    """A metric that rises to its top."""
    draws = np.random.default_rng(seed)
    return (top - 0.5 * np.exp(-speed * np.arange(1, epochs + 1) / 3) + draws.normal(0, 0.002, epochs)).tolist()


def pretty(seeds=8):
    """Three arms: a slow baseline, a fast arm with a finder that is short, and one like the baseline."""
    records = []
    for seed in range(seeds):
        records.append(record("plain", seed, learned(seed)))
        records.append(record("cycle", seed, learned(50 + seed, epochs=6, speed=3), finder=12))
        records.append(record("other", seed, learned(90 + seed)))
    return comparison(records, margin=0.01)


def with_a_diverged_run():
    """One of the second arm's runs ends in NaN, and one was never a number."""
    records = [record("plain", seed, learned(seed)) for seed in range(6)]
    records += [record("wild", seed, learned(seed, speed=2)) for seed in range(4)]
    records += [record("wild", 4, [0.5, 0.6, NAN], diverged=3), record("wild", 5, [NAN], diverged=1)]
    return comparison(records)


COMPARISONS = {
    "pretty": pretty(),
    "one seed": pretty(seeds=1),
    "two seeds": pretty(seeds=2),
    "one arm": comparison([record("plain", seed, learned(seed)) for seed in range(3)]),
    "diverged": with_a_diverged_run(),
    "all NaN": comparison([record(arm, seed, [NAN, NAN], diverged=2) for arm in "ab" for seed in range(6)]),
    "one epoch": comparison([record(arm, seed, [0.5 + seed / 100]) for arm in "ab" for seed in range(6)]),
    "constant": comparison([record(arm, seed, [0.5, 0.5]) for arm in "ab" for seed in range(6)], margin=0.1),
    "no target": comparison([record(arm, seed, learned(seed)) for arm in "ab" for seed in range(6)], target=NAN),
    "no samples": comparison([record(arm, seed, learned(seed), samples=False) for arm in "ab" for seed in range(6)]),
    "falling": comparison(
        [record(arm, seed, [1 / n + seed / 99 for n in range(1, 9)]) for arm in "abcdef" for seed in range(6)],
        mode="min", target=0.3,
    ),
}  # fmt: skip
ALL = pytest.mark.parametrize("result", COMPARISONS.values(), ids=COMPARISONS)
MEASURES = ("final", "loss", "samples")


@ALL
def test_every_comparison_can_be_drawn_told_and_saved(result, tmp_path):
    """Pretty or ugly, without a warning (warnings are errors here), and it comes back whole."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "picture.png")
    if len(result.arms) > 1:
        save_figure(result.plot_differences("steps"), tmp_path / "steps.png")
    for measure in MEASURES if len(result.arms) > 1 else ():
        assert isinstance(result.plot_differences(measure), Axes)
    result.save(tmp_path / "saved.json")
    assert load(tmp_path / "saved.json") == result
    assert all(arm in result.summary() for arm in result.arms)
    assert len(result.table().splitlines()) == 2 + len(result.arms)


def test_it_draws_where_it_is_told():
    """Given Axes it draws there, and returns them."""
    left, right = Figure().subplots(1, 2)
    assert plot_comparison(COMPARISONS["pretty"], left) is left
    assert plot_differences(COMPARISONS["pretty"], "steps", right) is right


def test_the_verdicts_are_what_the_runs_show():
    """The fast arm is better, the other makes no practical difference, each in words."""
    told = COMPARISONS["pretty"].verdicts
    assert told["cycle"]["final"].kind == "better"
    assert told["cycle"]["steps"].kind == "better"
    assert told["cycle"]["steps"].effect < 0.7
    assert told["other"]["final"].kind == "no practical difference"
    assert told["other"]["final"].margin == 0.01
    assert "cycle is better than plain: +0.0" in COMPARISONS["pretty"].summary().splitlines()[0]
    assert "other makes no practical difference to plain (margin 0.01)" in COMPARISONS["pretty"].summary()


def test_one_seed_says_that_it_can_not_tell():
    """No interval and no verdict from a single pair, and how many seeds would be needed at least."""
    verdict = COMPARISONS["one seed"].verdicts["cycle"]["final"]
    assert verdict.kind == "cannot tell"
    assert "1 seed for 2 arms never can; about 6 more seeds would" in verdict.sentence
    assert "interval" not in verdict.sentence


def test_alike_arms_are_called_alike_only_with_a_margin():
    """Six differences of nothing: no practical difference where a margin was given, else nothing can be told."""
    assert COMPARISONS["constant"].verdicts["b"]["final"].kind == "no practical difference"
    assert COMPARISONS["no target"].verdicts["b"]["final"].kind == "cannot tell"


def test_a_target_that_nobody_reaches_is_not_measured():
    """Without a single time there is no verdict on times, and the sentence says why."""
    verdict = COMPARISONS["constant"].verdicts["b"]["steps"]
    assert verdict.kind == "not measured"
    assert "no run of any arm came there" in verdict.sentence
    assert COMPARISONS["no samples"].verdicts["b"]["samples"].kind == "not measured"


def test_a_baseline_without_a_number_sets_no_target():
    """It is said in words, not as a target that is NaN."""
    said = comparison([record(arm, seed, [NAN]) for arm in "ab" for seed in (0, 1)], target=NAN).summary()
    assert "No target, so that there are no times: a never had a val_accuracy that is a number." in said
    assert "nan" not in said


def test_censored_runs_are_kept_and_told_of():
    """Runs that never came to the target take part, as no longer than they were, and the sentence counts them."""
    records = [record("slow", seed, [0.5] * 4 + [0.91 if seed < 2 else 0.6]) for seed in range(6)]
    records += [record("fast", seed, [0.5, 0.95, 0.95, 0.95, 0.95]) for seed in range(6)]
    verdict = comparison(records).verdicts["fast"]["epochs"]
    assert verdict.differences == pytest.approx([2 / 5] * 6)
    assert verdict.censored == (False, False, True, True, True, True)
    assert "6 of 6 runs came there, and 2 of the baseline's" in verdict.sentence
    assert verdict.kind == "better"


def test_the_table_does_not_drop_censored_runs():
    """A mean time with censored runs in it counts them as long as they were, and is marked as a lower bound."""
    records = [record("slow", seed, [0.5, 0.6, 0.91 if seed < 1 else 0.6, 0.6]) for seed in range(2)]
    row = comparison(records).rows()[0]
    assert (row["target reached"], row["epochs"], row["steps"]) == ("1 of 2", "> 3.5", "> 35")
    assert COMPARISONS["pretty"].rows()[1]["epochs"][0].isdigit()


def test_a_diverged_run_counts_as_the_worst():
    """A run whose metric ended as NaN is worse than any other, by no certain size, and is told of."""
    result = COMPARISONS["diverged"]
    verdict = result.verdicts["wild"]["final"]
    assert verdict.differences[4:] == (-np.inf, -np.inf)
    assert verdict.effect == pytest.approx(np.mean(verdict.differences[:4]))
    assert verdict.censored == (False,) * 4 + (True, True)
    assert "count as worse than all others: 2 of 6, and 0 of the baseline" in verdict.sentence


@pytest.mark.parametrize("measure", ["final", "epochs"])
def test_what_has_no_size_stands_at_the_edge(measure):
    """Beyond every other point, on its side, also on the logarithmic axis of ratios, whose infinity is 0 as well."""
    (arm,) = differences_picture(COMPARISONS["diverged"], measure).arms
    beyond = arm.values[arm.infinite]
    assert arm.infinite.tolist() == [False] * 4 + [True] * 2
    assert np.isfinite(arm.values).all()
    assert (
        (beyond < arm.values.min(where=~arm.infinite, initial=0)).all()
        if measure == "final"
        else (beyond > arm.values.max(where=~arm.infinite, initial=1)).all()
    )


def test_the_finder_is_in_the_times():
    """Steps, epochs and samples to the target include the finder's 12 steps of 10 rows, 1.2 epochs."""
    run = COMPARISONS["pretty"].of("cycle")[0]
    reached = run["steps"].index(run["steps_to_target"] - 12) + 1
    assert run["epochs_to_target"] == pytest.approx(reached + 1.2)
    assert run["samples_to_target"] == 100 * reached + 120


def test_the_picture_of_curves_says_when_and_by_how_many():
    """Labels, crossings of the means and diverged runs are data before they are drawn."""
    picture = comparison_picture(COMPARISONS["pretty"])
    assert picture.curves[1].label.startswith("cycle: target after ")
    assert picture.curves[1].label.endswith("finder included")
    epoch, value = picture.curves[1].crossing
    assert value >= 0.9
    assert epoch < picture.curves[0].crossing[0]
    assert [len(curve.mean) for curve in picture.curves] == [10, 6, 10]
    wild = comparison_picture(COMPARISONS["diverged"]).curves[1]
    assert wild.label.endswith("2 diverged")
    assert wild.diverged == ((2, 0.6),)


def test_one_wild_run_does_not_flatten_the_picture():
    """The limits are those of most runs."""
    records = [record(arm, seed, [1 / n for n in range(1, 40)]) for arm in "ab" for seed in range(6)]
    records[3] = record("a", 3, [1.0, 1e30], diverged=3)
    low, high = comparison_picture(comparison(records, mode="min", target=0.1)).limits
    assert low < 0.1
    assert high < 2


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_end_has_half_of_the_picture_at_least(mode):
    """However far away the first epochs are; a metric that hardly moved is shown whole."""
    sign = 1 if mode == "min" else -1
    steep = [
        record(arm, seed, [sign * (1000 if n < 5 else 2 - n / 20) for n in range(20)])
        for arm in "ab"
        for seed in (0, 1)
    ]
    low, high = comparison_picture(comparison(steep, mode=mode, target=sign * 1.0)).limits
    assert high - low < 2.5
    flat = [record(arm, seed, [sign * (2 - n / 20) for n in range(20)]) for arm in "ab" for seed in (0, 1)]
    low, high = comparison_picture(comparison(flat, mode=mode, target=sign * 1.0)).limits
    assert low < min(sign * 1.05, sign * 1.95) < max(sign * 1.05, sign * 1.95) < high


def test_the_picture_of_differences_knows_where_better_is():
    """Differences around 0, ratios around 1, better to the side where it is."""
    result = COMPARISONS["pretty"]
    final, steps = differences_picture(result), differences_picture(result, "steps")
    assert (final.zero, final.ratios, final.better, final.margin) == (0.0, False, "right", (-0.01, 0.01))
    assert (steps.zero, steps.ratios, steps.better) == (1.0, True, "left")
    assert steps.margin == pytest.approx((1 / 1.1, 1.1))
    assert differences_picture(COMPARISONS["falling"]).better == "left"
    assert differences_picture(COMPARISONS["one seed"]).arms[0].interval is None


def test_an_unknown_measure_is_refused():
    """The error lists the measures."""
    with pytest.raises(ValueError, match="must be one of final, best, loss, steps, epochs, samples, seconds"):
        plot_differences(COMPARISONS["pretty"], "speed")


def test_many_runs_are_not_drawn_one_by_one():
    """More than 60 lines would hide the means: 63 runs show three means, and the caption speaks of no thin lines."""
    few, many = pretty(seeds=20).plot(), pretty(seeds=21).plot()
    assert [len(ax.get_lines()) for ax in (few, many)] == [60 + 3 + 1 + 3, 3 + 1 + 3]  # and target, where it is met
    assert ["each seed" in ax.get_title(loc="left") for ax in (few, many)] == [True, False]


def test_arms_differ_in_more_than_colour():
    """For print in black and white each arm has its own line and its own marker."""
    lines = [line for line in COMPARISONS["pretty"].plot().get_lines() if ":" in str(line.get_label())]
    looks = [(line.get_linestyle(), line.get_marker(), to_hex(line.get_color())) for line in lines]
    assert len(lines) == 3
    assert all(len({look[part] for look in looks}) == 3 for part in range(3))


def test_rows_are_text_for_any_table():
    """A dict for each arm, all with the same keys, every value a text."""
    rows = COMPARISONS["pretty"].rows()
    assert [row["arm"] for row in rows] == ["plain", "cycle", "other"]
    assert [row["verdict"] for row in rows] == ["baseline", "better", "no practical difference"]
    assert all(isinstance(value, str) for row in rows for value in row.values())
    assert len({tuple(row) for row in rows}) == 1


def test_problems_are_told():
    """What was wrong with records stands in the summary."""
    result = dataclasses.replace(COMPARISONS["pretty"], problems=("a.json is torn.",))
    assert "Problem: a.json is torn." in result.summary()


def test_one_epoch_is_a_whole_epoch():
    """The axis of a single epoch, or of none, has no fractions."""
    for values, diverged in (([0.5], None), ([NAN], 1)):
        ax = comparison([record(arm, 0, values, diverged=diverged) for arm in ("plain", "cycle")]).plot()
        assert ax.get_xticks().tolist() == [1]


def test_a_long_name_leaves_room_for_the_picture():
    """The names of arms take three lines at most, in the legend and beside the rows."""
    name = "a name that somebody gave without thinking of pictures " * 3
    result = comparison([record(arm, seed, learned(seed)) for arm in ("plain", name) for seed in range(2)])
    legend = [text.get_text() for text in result.plot().get_legend().get_texts()]
    rows = [label.get_text() for label in result.plot_differences().get_yticklabels()]

    assert max(len(line) for text in rows for line in text.splitlines()) <= 22
    assert max(text.count("\n") for text in rows + legend) == 2

"""The plots of comparisons. No keras is needed."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from render.sample_comparisons import COMPARISONS, NAN, comparison, record, rising_curve, three_arms

from onecycle.plot import plot_comparison, plot_differences, save_figure
from onecycle.plot.comparison_info import comparison_picture, differences_picture
from onecycle.results import load
from onecycle.results.runs import finder_epochs

PRETTY = COMPARISONS["pretty"]
EACH = pytest.mark.parametrize("result", COMPARISONS.values(), ids=COMPARISONS)
MEASURES = ("final", "loss", "samples")


@EACH
def test_every_comparison_can_be_drawn_and_saved(result, tmp_path):
    """Every sample is drawn without a warning, and the loaded result equals the saved one."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "plot.png")
    if len(result.arms) > 1:
        save_figure(result.plot_differences("steps"), tmp_path / "steps.png")
    for measure in MEASURES if len(result.arms) > 1 else ():
        assert isinstance(result.plot_differences(measure), Axes)
    result.save(tmp_path / "saved.json")
    assert load(tmp_path / "saved.json") == result
    assert all(arm in result.summary() for arm in result.arms)
    assert len(result.table().splitlines()) == 2 + len(result.arms)


def test_plots_use_the_given_axes():
    """Both functions draw on the Axes they are given and return them."""
    left, right = Figure().subplots(1, 2)
    assert plot_comparison(PRETTY, left) is left
    assert plot_differences(PRETTY, "steps", right) is right


@pytest.mark.parametrize("measure", ["final", "epochs"])
def test_difference_without_a_size_is_drawn_at_the_edge(measure):
    """It lies beyond every other point on its side, also on the logarithmic axis of ratios."""
    (arm,) = differences_picture(COMPARISONS["diverged"], measure).arms
    beyond = arm.values[arm.infinite]
    assert arm.infinite.tolist() == [False] * 4 + [True] * 2
    assert np.isfinite(arm.values).all()
    if measure == "final":
        assert (beyond < arm.values.min(where=~arm.infinite, initial=0)).all()
    else:
        assert (beyond > arm.values.max(where=~arm.infinite, initial=1)).all()


def test_labels_say_when_and_how_often_the_target_was_reached():
    """Labels, crossings of the means and diverged runs are data before they are drawn."""
    picture = comparison_picture(PRETTY)
    assert picture.curves[1].label.startswith("cycle: target after ")
    assert picture.curves[1].label.endswith(" for the search")
    # The epochs of the training itself, as on the axis.
    reached = [run["epochs_to_target"] - finder_epochs(run) for run in PRETTY.of("cycle") if run["reached"]]
    assert f"target after {np.mean(reached):.3g} epochs" in picture.curves[1].label
    assert max(reached) <= 6
    epoch, value = picture.curves[1].crossing
    assert value >= 0.9
    assert epoch < picture.curves[0].crossing[0]
    assert [len(curve.mean) for curve in picture.curves] == [10, 6, 10]
    diverging = comparison_picture(COMPARISONS["diverged"]).curves[1]
    assert diverging.label.endswith("2 diverged")
    assert diverging.diverged == ((2, 0.6),)


def test_diverged_run_does_not_flatten_the_others():
    """The limits are those of most runs."""
    records = [record(arm, seed, [1 / n for n in range(1, 40)]) for arm in "ab" for seed in range(6)]
    records[3] = record("a", 3, [1.0, 1e30], diverged=3)
    low, high = comparison_picture(comparison(records, mode="min", target=0.1)).limits
    assert low < 0.1
    assert high < 2


@pytest.mark.parametrize("mode", ["min", "max"])
def test_later_epochs_fill_at_least_half_of_the_plot(mode):
    """Extreme first epochs do not stretch the axis; a metric that hardly moved is shown as a whole."""
    sign = 1 if mode == "min" else -1

    def limits(curve):
        records = [record(arm, seed, curve) for arm in "ab" for seed in (0, 1)]
        return comparison_picture(comparison(records, mode=mode, target=sign * 1.0)).limits

    low, high = limits([sign * (1000 if n < 5 else 2 - n / 20) for n in range(20)])
    assert high - low < 2.5
    low, high = limits([sign * (2 - n / 20) for n in range(20)])
    assert low < min(sign * 1.05, sign * 1.95) < max(sign * 1.05, sign * 1.95) < high


def test_differences_have_a_better_side():
    """Differences are around 0 and ratios around 1, with an arrow to the side that is better."""
    final, steps = differences_picture(PRETTY), differences_picture(PRETTY, "steps")
    assert (final.zero, final.ratios, final.better, final.margin) == (0.0, False, "right", (-0.01, 0.01))
    assert (steps.zero, steps.ratios, steps.better) == (1.0, True, "left")
    assert steps.margin == pytest.approx((1 / 1.1, 1.1))
    assert (final.better_label, steps.better_label) == ("better →", "← better")
    assert differences_picture(COMPARISONS["falling"]).better == "left"
    assert differences_picture(COMPARISONS["one seed"]).arms[0].interval is None


def test_unknown_measure_is_an_error():
    """The error lists the measures."""
    with pytest.raises(ValueError, match="must be one of final, best, loss, steps, epochs, samples, seconds"):
        plot_differences(PRETTY, "speed")


def test_many_runs_are_not_drawn_one_by_one():
    """More than 60 lines would hide the means: 63 runs are three means, and the caption does not mention thin lines."""
    few, many = three_arms(seeds=20).plot(), three_arms(seeds=21).plot()
    # Runs, means, the target, and a ring where each mean reaches it.
    assert [len(ax.get_lines()) for ax in (few, many)] == [60 + 3 + 1 + 3, 3 + 1 + 3]
    assert ["each seed" in ax.get_title(loc="left") for ax in (few, many)] == [True, False]


def test_arms_differ_in_more_than_colour():
    """For printing in black and white, each arm has its own line and marker."""
    lines = [line for line in PRETTY.plot().get_lines() if ":" in str(line.get_label())]
    looks = [(line.get_linestyle(), line.get_marker(), to_hex(line.get_color())) for line in lines]
    assert len(lines) == 3
    assert all(len({look[part] for look in looks}) == 3 for part in range(3))


def test_single_epoch_has_a_whole_tick():
    """The axis of one epoch, or of none, has no fractions."""
    for values, diverged in (([0.5], None), ([NAN], 1)):
        ax = comparison([record(arm, 0, values, diverged=diverged) for arm in ("plain", "cycle")]).plot()
        assert ax.get_xticks().tolist() == [1]


def test_long_names_are_wrapped_and_cut():
    """The names of arms take at most three lines, in the legend and beside the rows."""
    name = "a name that is far too long for the legend of a plot and for its axis " * 3
    result = comparison([record(arm, seed, rising_curve(seed)) for arm in ("plain", name) for seed in range(2)])
    legend = [text.get_text() for text in result.plot().get_legend().get_texts()]
    rows = [label.get_text() for label in result.plot_differences().get_yticklabels()]

    assert max(len(line) for text in rows for line in text.splitlines()) <= 22
    assert max(text.count("\n") for text in rows + legend) == 2

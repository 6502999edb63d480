"""Plots of range tests, schedules, cycles and training curves: their data, and that any input can be drawn."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from render.sample_cycles import CYCLES
from render.sample_range_tests import LOSSES, RANGE_TESTS

from onecycle.plot import plot_range_test, plot_schedule, plot_training_curves, save_figure
from onecycle.plot.range_test_info import range_test_picture
from onecycle.plot.schedule_info import cycle_picture, schedule_picture
from onecycle.plot.training_info import training_picture

NAN, INF = np.nan, np.inf
EACH_RANGE_TEST = pytest.mark.parametrize("result", RANGE_TESTS.values(), ids=RANGE_TESTS)


def legend(ax):
    """Return the texts of a legend."""
    return [entry.get_text() for entry in ax.get_legend().get_texts()]


@EACH_RANGE_TEST
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_every_range_test_can_be_drawn_and_saved(result, suffix, tmp_path):
    """Every sample is drawn as PNG, SVG and PDF without a warning (warnings are errors here)."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").stat().st_size > 1000


@EACH_RANGE_TEST
def test_loss_axis_shows_the_calm_part(result):
    """The limits are finite and in order, and an explosion does not stretch them."""
    bottom, top = range_test_picture(result).limits
    assert bottom < top
    finite = result.losses[np.isfinite(result.losses)]
    if len(finite):
        assert top - bottom < 30 * max(np.quantile(finite, 0.6) - finite.min(), 0.1)
        assert bottom <= np.median(finite) <= top


def test_legend_lists_each_suggestion():
    """The legend has each rule with its rate, and the rules without a suggestion; the deciding rule comes first."""
    result = RANGE_TESTS["pretty"]
    texts = legend(plot_range_test(result))
    for name, suggestion in result.suggestions.items():
        rate = suggestion.learning_rate
        expected = f"{name} {rate:.3g}" if rate is not None else name
        assert any(expected in text for text in texts)
    assert f"blow-up {result.suggestion.seen_at:.3g}" in texts
    assert range_test_picture(result).marks[0].chosen


def test_marks_lie_on_the_smoothed_curve():
    """The height of each mark is the smoothed loss at its rate."""
    result = RANGE_TESTS["pretty"]
    for mark in range_test_picture(result).marks:
        nearest = np.argmin(np.abs(np.log(result.learning_rates / mark.learning_rate)))
        assert mark.loss == pytest.approx(result.smoothed[nearest], abs=0.1)


def test_plot_without_a_suggestion_says_why():
    """The title says that there is none, and the caption has the reason."""
    picture = range_test_picture(RANGE_TESTS["constant"])
    assert picture.title == "No learning rate suggested"
    assert "constant" in picture.caption
    assert picture.marks == ()


def test_losses_outside_the_plot_are_marked_at_its_edge():
    """The legend mentions an explosion and NaN, and the data count both as outside."""
    assert "above the plot" in legend(plot_range_test(RANGE_TESTS["1e30"]))
    assert "NaN or infinite" in legend(plot_range_test(RANGE_TESTS["NaN tail"]))
    assert range_test_picture(RANGE_TESTS["NaN tail"]).outside.tolist() == [False] * 150 + [True] * 50


def test_repeats_are_a_band_around_their_median():
    """The band spans the repeats that are left at each step."""
    picture = range_test_picture(RANGE_TESTS["repeats"])
    np.testing.assert_allclose(picture.band[1] - picture.band[0], 0.1)
    np.testing.assert_allclose(picture.points[:170], LOSSES[:170])
    assert range_test_picture(RANGE_TESTS["pretty"]).band is None


@pytest.mark.parametrize(("name", "scale"), [("pretty", "log"), ("linear", "linear")])
def test_rate_axis_has_the_scale_of_the_ramp(name, scale):
    """An exponential ramp has a logarithmic axis, a linear ramp a linear one."""
    assert scale == plot_range_test(RANGE_TESTS[name]).get_xscale()


def phases():
    """Return three phases of nine steps."""
    return [SimpleNamespace(name=n, start=a, stop=b) for n, a, b in (("warm-up", 0, 4), ("fall", 4, 8), ("drop", 8, 9))]


def schedule(n=10, named=True):
    """Return an object with the values of a schedule, with or without phases."""
    plain = SimpleNamespace(values=lambda: np.linspace(0.1, 1, n))
    return SimpleNamespace(values=plain.values, phases=phases()) if named else plain


def twin_of(ax):
    """Return the Axes of the momentum."""
    return next(other for other in ax.figure.axes if other is not ax)


def test_schedule_is_drawn_with_phases_and_momentum():
    """The lines hold the values of rate and momentum, and the names of the phases are on the plot."""
    ax = plot_schedule(schedule(), momentum=np.linspace(0.95, 0.85, 10))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.linspace(0.1, 1, 10))
    assert {"warm-up", "fall", "drop"} <= {text.get_text() for text in ax.texts}
    np.testing.assert_array_equal(twin_of(ax).lines[0].get_ydata(), np.linspace(0.95, 0.85, 10))


@pytest.mark.parametrize("n", [0, 1, 2, 100_000])
def test_schedules_of_any_length_can_be_drawn(n, tmp_path):
    """Neither one step nor a hundred thousand gives a warning, with and without phases."""
    for named in (False, True):
        save_figure(plot_schedule(schedule(n, named), schedule(n)), tmp_path / "schedule.png")


def test_momentum_of_another_length_is_an_error():
    """Rate and momentum have one number for each step."""
    with pytest.raises(ValueError, match="one number for each step"):
        schedule_picture([1, 2, 3], [1, 2])


@pytest.mark.parametrize("report", CYCLES.values(), ids=CYCLES)
def test_every_cycle_can_be_drawn_and_saved(report, tmp_path):
    """Every sample is drawn without a warning, and shows how many steps were made."""
    ax = report.plot()
    save_figure(ax, tmp_path / "cycle.png")
    texts = legend(ax) if len(report.steps_shown) else [text.get_text() for text in ax.texts]
    label = cycle_picture(report).label
    assert label.startswith(str(report.steps))
    assert any(label in text for text in texts)


def test_cycle_is_drawn_with_the_steps_made():
    """Rate and momentum are drawn whole, and the part that was made over them."""
    report = CYCLES["short"]
    ax = report.plot()
    for axes, values in ((ax, report.learning_rates), (twin_of(ax), report.momenta)):
        whole, made = axes.lines
        np.testing.assert_array_equal(whole.get_ydata(), values)
        np.testing.assert_array_equal(made.get_xdata(), range(5))
        np.testing.assert_allclose(made.get_ydata(), values[:5])
    assert (ax.patches[0].get_x(), ax.patches[0].get_width()) == (0, 5)


@pytest.mark.parametrize(("steps", "shaded", "last"), [(150, 150, 149), (0, 0, None), (999, 400, 399)])
def test_made_part_ends_at_the_last_step_made(steps, shaded, last):
    """The last step made is interpolated; steps beyond the cycle are not drawn."""
    picture = dataclasses.replace(cycle_picture(CYCLES["range test"]), steps_made=steps)
    made, _ = picture.made(picture.learning_rates)
    assert picture.shaded_until == shaded
    assert (made[-1] if len(made) else None) == last


@pytest.mark.parametrize(
    ("metric", "values", "target", "reached"),
    [
        ("val_accuracy", [0.5, 0.8, 0.9, 0.8], 0.8, 2),
        ("val_accuracy", [0.9, 0.95], 0.8, 1),
        ("loss", [3.0, 1e3, NAN], 1.5, None),
        ("loss", [3.0, 1.5, 1.0], 1.5, 2),
        ("mae", [1.0, NAN, 0.4], 0.5, 3),
        ("score", [0.1, 0.5, 0.9], 0.9, 3),
        ("distance", [9.0, 5.0, 1.0], 5.0, 2),
        ("val_accuracy", [NAN, NAN], 0.8, None),
        ("val_accuracy", [], 0.8, None),
    ],
)
def test_target_is_reached_from_the_right_side(metric, values, target, reached):
    """Accuracies reach it from below, losses from above, other metrics from the side on which they begin."""
    assert reached == training_picture({"run": values}, metric, target).runs[0].reached


def test_legend_says_when_each_arm_reached_the_target():
    """Seeds of one arm share an entry, which counts the runs that reached the target."""
    runs = [("base", [0.1, 0.2]), ("base", [0.1, 0.1]), ("new", [0.1, 0.3]), ("new", [0.3, 0.3]), ("bad", [0, 0])]
    assert legend(plot_training_curves(runs, "accuracy", 0.2)) == [
        "base: target at epoch 2, 1 of 2 runs",
        "new: target at epochs 1-2",
        "bad: target not reached",
        "target 0.2",
    ]


def test_history_is_accepted_and_must_have_the_metric():
    """`History.history` gives the metric; the error lists the metrics there are."""
    picture = training_picture({"run": {"loss": [2, 1]}}, "loss")
    np.testing.assert_array_equal(picture.runs[0].values, [2, 1])
    with pytest.raises(ValueError, match="'run' has no metric 'auc'; it has loss"):
        training_picture({"run": {"loss": [2, 1]}}, "auc")


@pytest.mark.parametrize(
    "runs",
    [
        {},
        {"none": []},
        {"NaN": [NAN, NAN]},
        {"one": [1.0]},
        {"diverged": [3, 1e30, INF], "calm": [3, 2, 1]},
        {f"run {i}": [i, 2 * i] for i in range(12)},
    ],
    ids=["no run", "no epoch", "NaN", "one epoch", "diverged", "many"],
)
def test_any_training_curves_can_be_drawn(runs, tmp_path):
    """Without runs, epochs or finite values there is a plot and no warning."""
    save_figure(plot_training_curves(runs, "loss", 1.5), tmp_path / "curves.png")


def test_diverged_run_does_not_flatten_the_others():
    """The loss axis ends a little above where the runs began."""
    ax = plot_training_curves({"diverged": [3, 1e9, INF], "calm": [3, 2, 1]}, "loss")
    assert ax.get_ylim()[1] < 4


def test_plots_use_the_given_axes():
    """Every function draws on the Axes it is given and returns them."""
    axes = Figure().subplots(4)
    assert axes[0] is RANGE_TESTS["pretty"].plot(ax=axes[0])
    assert axes[1] is plot_schedule(schedule(), ax=axes[1])
    assert axes[2] is plot_training_curves({"run": [1, 2]}, "loss", ax=axes[2])
    assert axes[3] is CYCLES["race"].plot(ax=axes[3])
    assert all(ax.lines for ax in axes)


def test_format_is_that_of_the_suffix_and_bytes_are_reproducible(tmp_path):
    """Each suffix gives its format with the same bytes each time; another suffix is an error."""
    for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        files = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
        for file in files:
            save_figure(plot_schedule(schedule()).figure, file)
        assert files[0].read_bytes().startswith(magic)
        assert files[0].read_bytes() == files[1].read_bytes()
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf.*'plot\.gif'"):
        save_figure(plot_schedule(schedule()), "plot.gif")


def test_plots_need_neither_pyplot_nor_keras():
    """In a new process a plot is drawn without either, so no window can open."""
    program = """
import sys
from onecycle.plot import plot_range_test
from onecycle.results import RangeTest, StopReason
assert "matplotlib" not in sys.modules
plot_range_test(RangeTest.from_losses([1, 2, 3], [1, 2, 3], StopReason.COMPLETED))
assert not {"matplotlib.pyplot", "keras"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)

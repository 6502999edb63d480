"""Pictures: their plain data, and that they can be drawn of anything without showing anything."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onecycle.plot import plot_range_test, plot_schedule, plot_training_curves, save_figure
from onecycle.plot.info import range_test_picture, schedule_picture, training_picture
from onecycle.results import RangeTest, StopReason

NAN, INF = np.nan, np.inf


def fall_and_explosion(n=200, level=0.0, wild=10.0):
    """Rates and losses that fall around 0.01 and explode from 1 on."""
    rates = np.geomspace(1e-6, 10, n)
    place = np.log10(rates)
    losses = level + 0.8 + 1.5 / (1 + np.exp(4 * (place + 2))) + wild * np.maximum(0, place) ** 2
    return rates, losses + 0.05 * np.random.default_rng(0).standard_normal(n)


def record(rates, losses, reason=StopReason.DIVERGED, **facts):
    """The result of a range test."""
    return RangeTest.from_losses(rates, losses, reason, **facts)


RATES, LOSSES = fall_and_explosion()
RANGE_TESTS = {
    "pretty": record(RATES, LOSSES),
    "no steps": record([], [], StopReason.DATA_ENDED),
    "one step": record([1e-3], [NAN], StopReason.NON_FINITE),
    "three points": record([1e-3, 1e-2, 1e-1], [2, 1, 3]),
    "all NaN": record(RATES, np.full(200, NAN), StopReason.NON_FINITE),
    "constant": record(RATES, np.ones(200), StopReason.COMPLETED),
    "zero": record(RATES, np.zeros(200), StopReason.COMPLETED),
    "negative": record(*fall_and_explosion(level=-50)),
    "1e30": record(RATES, np.append(LOSSES[:180], 10.0 ** np.arange(11, 31))),
    "NaN tail": record(RATES, np.append(LOSSES[:150], np.full(50, INF)), StopReason.NON_FINITE),
    "linear": record(np.linspace(1e-3, 1, 200), LOSSES, spacing="linear"),
    "repeats": record(RATES, np.stack([LOSSES, LOSSES + 0.1, np.append(LOSSES[:170], np.full(30, NAN))])),
}
ALL = pytest.mark.parametrize("result", RANGE_TESTS.values(), ids=RANGE_TESTS)


@ALL
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_every_range_test_can_be_drawn_and_saved(result, suffix, tmp_path):
    """Pretty or ugly, as PNG, SVG or PDF, without a warning (warnings are errors here)."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / f"picture{suffix}")
    assert (tmp_path / f"picture{suffix}").stat().st_size > 1000


@ALL
def test_the_loss_axis_shows_the_calm_part(result):
    """The limits are finite, in order, and never stretched by an explosion."""
    bottom, top = range_test_picture(result).limits
    assert bottom < top
    finite = result.losses[np.isfinite(result.losses)]
    if len(finite):
        assert top - bottom < 30 * max(np.quantile(finite, 0.6) - finite.min(), 0.1)
        assert bottom <= np.median(finite) <= top


def test_each_suggestion_has_its_mark_with_its_number():
    """The legend names each rule with its rate, the deciding one first, and those that suggest nothing."""
    result = RANGE_TESTS["pretty"]
    text = [entry.get_text() for entry in plot_range_test(result).get_legend().get_texts()]
    for name, suggestion in result.suggestions.items():
        number = suggestion.learning_rate
        wanted = f"{name} {number:.3g}" if number is not None else name
        assert any(wanted in entry for entry in text)
    assert f"blow-up {result.suggestion.seen_at:.3g}" in text
    assert range_test_picture(result).marks[0].chosen


def test_marks_lie_on_the_smoothed_curve():
    """Each mark's height is the smoothed loss at its rate."""
    result = RANGE_TESTS["pretty"]
    for mark in range_test_picture(result).marks:
        nearest = np.argmin(np.abs(np.log(result.learning_rates / mark.learning_rate)))
        assert mark.loss == pytest.approx(result.smoothed[nearest], abs=0.1)


def test_without_a_suggestion_the_picture_says_why():
    """The title says that there is none, and the caption gives the reason."""
    picture = range_test_picture(RANGE_TESTS["constant"])
    assert picture.title == "No learning rate suggested"
    assert "constant" in picture.caption
    assert picture.marks == ()


def test_losses_outside_the_picture_are_marked_at_its_edge():
    """An explosion and a NaN do not vanish: the legend tells of both."""
    above = [entry.get_text() for entry in plot_range_test(RANGE_TESTS["1e30"]).get_legend().get_texts()]
    broken = [entry.get_text() for entry in plot_range_test(RANGE_TESTS["NaN tail"]).get_legend().get_texts()]
    assert "above the picture" in above
    assert "NaN or infinite" in broken


def test_repeats_become_a_band_around_their_median():
    """The band spans the repeats that are left at each step."""
    picture = range_test_picture(RANGE_TESTS["repeats"])
    np.testing.assert_allclose(picture.band[1] - picture.band[0], 0.1)
    np.testing.assert_allclose(picture.points[:170], LOSSES[:170])
    assert range_test_picture(RANGE_TESTS["pretty"]).band is None


@pytest.mark.parametrize(("name", "scale"), [("pretty", "log"), ("linear", "linear")])
def test_the_rate_axis_follows_the_ramp(name, scale):
    """An exponential ramp has a logarithmic axis, a linear one a linear."""
    assert scale == plot_range_test(RANGE_TESTS[name]).get_xscale()


def phases():
    """Three phases of nine steps."""
    return [SimpleNamespace(name=n, start=a, stop=b) for n, a, b in (("warm-up", 0, 4), ("fall", 4, 8), ("drop", 8, 9))]


def schedule(n=10, named=True):
    """Something with the values of a schedule, and with or without phases."""
    plain = SimpleNamespace(values=lambda: np.linspace(0.1, 1, n))
    return SimpleNamespace(values=plain.values, phases=phases()) if named else plain


def test_a_schedule_is_drawn_with_its_phases_and_momentum():
    """The rate's line holds the values, the phases their names, and the momentum an axis of its own."""
    ax = plot_schedule(schedule(), momentum=np.linspace(0.95, 0.85, 10))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.linspace(0.1, 1, 10))
    assert {"warm-up", "fall", "drop"} <= {text.get_text() for text in ax.texts}
    twin = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(twin.lines[0].get_ydata(), np.linspace(0.95, 0.85, 10))


@pytest.mark.parametrize("n", [0, 1, 2, 100_000])
def test_schedules_of_any_length_are_drawn(n, tmp_path):
    """Neither one step nor a hundred thousand gives a warning, with and without phases."""
    for named in (False, True):
        save_figure(plot_schedule(schedule(n, named), schedule(n)), tmp_path / "schedule.png")


def test_momentum_of_another_length_is_refused():
    """Rate and momentum share their steps."""
    with pytest.raises(ValueError, match="one number a step"):
        schedule_picture([1, 2, 3], [1, 2])


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
def test_the_target_is_reached_from_the_right_side(metric, values, target, reached):
    """Accuracies reach it from below, losses from above, other metrics from the side on which they begin."""
    assert reached == training_picture({"run": values}, metric, target).runs[0].reached


def test_the_legend_tells_when_each_arm_reached_the_target():
    """Seeds of one arm share an entry, which counts those that got there."""
    runs = [("base", [0.1, 0.2]), ("base", [0.1, 0.1]), ("new", [0.1, 0.3]), ("new", [0.3, 0.3]), ("bad", [0, 0])]
    text = [t.get_text() for t in plot_training_curves(runs, "accuracy", 0.2).get_legend().get_texts()]
    assert text == [
        "base: target at epoch 2, 1 of 2 runs",
        "new: target at epochs 1-2",
        "bad: target not reached",
        "target 0.2",
    ]


def test_a_history_is_taken_and_a_missing_metric_refused_by_name():
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
        {"wild": [3, 1e30, INF], "calm": [3, 2, 1]},
        {f"run {i}": [i, 2 * i] for i in range(12)},
    ],
    ids=["no run", "no epoch", "NaN", "one epoch", "diverged", "many"],
)
def test_training_curves_of_anything_are_drawn(runs, tmp_path):
    """No runs, no epochs, no finite value: a picture and no warning."""
    save_figure(plot_training_curves(runs, "loss", 1.5), tmp_path / "curves.png")


def test_a_diverged_run_does_not_flatten_the_others():
    """The loss axis ends a little above where the runs began."""
    ax = plot_training_curves({"wild": [3, 1e9, INF], "calm": [3, 2, 1]}, "loss")
    assert ax.get_ylim()[1] < 4


def test_a_given_axes_is_drawn_on_and_returned():
    """All three draw on the Axes that they are given."""
    axes = Figure().subplots(3)
    assert axes[0] is RANGE_TESTS["pretty"].plot(ax=axes[0])
    assert axes[1] is plot_schedule(schedule(), ax=axes[1])
    assert axes[2] is plot_training_curves({"run": [1, 2]}, "loss", ax=axes[2])
    assert all(ax.lines for ax in axes)


def test_a_figure_is_saved_by_its_suffix_and_twice_the_same(tmp_path):
    """Each suffix gives its format, the same bytes each time; another suffix is refused."""
    for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        files = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
        for file in files:
            save_figure(plot_schedule(schedule()).figure, file)
        assert files[0].read_bytes().startswith(magic)
        assert files[0].read_bytes() == files[1].read_bytes()
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf.*'picture\.gif'"):
        save_figure(plot_schedule(schedule()), "picture.gif")


def test_drawing_needs_neither_pyplot_nor_keras():
    """In a fresh process a picture is drawn without either, so no window can open."""
    program = """
import sys
from onecycle.plot import plot_range_test
from onecycle.results import RangeTest, StopReason
assert "matplotlib" not in sys.modules
plot_range_test(RangeTest.from_losses([1, 2, 3], [1, 2, 3], StopReason.COMPLETED))
assert not {"matplotlib.pyplot", "keras"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)

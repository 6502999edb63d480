"""Sweeps: their plot, their summary, and how they are saved and loaded."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from render.sample_sweeps import SWEEPS

from onecycle.plot import plot_sweep, save_figure
from onecycle.plot.sweep_info import sweep_picture
from onecycle.results import load

EACH = pytest.mark.parametrize("result", SWEEPS.values(), ids=SWEEPS)


@EACH
def test_every_sweep_can_be_drawn_and_saved(result, tmp_path):
    """Every sample is drawn without a warning, and the loaded result equals the saved one."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "plot.png")
    result.save(tmp_path / "sweep.json")
    assert load(tmp_path / "sweep.json") == result


@EACH
def test_summary_has_pick_cost_and_runs(result):
    """The text holds the pick or that there is none, its reason, the cost, the held-out data, and every run."""
    summary = result.summary()
    rate = result.pick.learning_rate
    assert ("no learning rate" if rate is None else f"{rate:.3g}") in summary.splitlines()[0]
    for part in (result.pick.reason, "0.5 of such a run", result.held_out):
        assert part in summary
    *_, heading, table = summary.partition("     peak    steps  held-out loss\n")
    assert heading
    assert len(table.splitlines()) == len(result.steps)


@EACH
def test_limits_show_the_better_half(result):
    """The limits are finite and include the better half of the runs, however extreme the others are."""
    bottom, top = sweep_picture(result).limits
    finite = result.scores[np.isfinite(result.scores)]
    assert bottom < top
    if len(finite):
        assert bottom <= finite.min() <= np.median(finite) <= top or top < 1e21


def test_runs_outside_the_plot_are_marked_at_its_edge():
    """A run that ended above the plot and a run that diverged have marks of their own."""
    extreme = SWEEPS["extreme"]
    picture = sweep_picture(dataclasses.replace(extreme, scores=[1e30, *extreme.scores[1:-1], np.nan]))
    assert picture.above.tolist() == [extreme.learning_rates[0]]
    assert picture.diverged.tolist() == [extreme.learning_rates[-1]]
    texts = [entry.get_text() for entry in plot_sweep(SWEEPS["pretty"]).get_legend().get_texts()]
    assert f"picked {SWEEPS['pretty'].learning_rate:.3g}" in texts
    assert {"20 steps", "60 steps"} <= set(texts)


@EACH
def test_only_runs_that_diverged_are_called_so(result):
    """The plot and the text say "diverged" of a run if, and only if, it has no finite score."""
    diverged = bool(np.isnan(result.scores).any())
    texts = [entry.get_text() for entry in plot_sweep(result).get_legend().get_texts()]
    assert ("diverged" in texts) == diverged
    assert sum("diverged" in row["loss"] for row in result.rows()) == np.isnan(result.scores).sum()


@EACH
def test_legend_covers_no_curve(result):
    """The legend is below the axes."""
    ax = plot_sweep(result)
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0


def test_arrays_that_do_not_match_are_an_error():
    """Arrays of different lengths are an error with their shapes."""
    with pytest.raises(ValueError, match=r"learning_rates \(n,\)"):
        dataclasses.replace(SWEEPS["pretty"], scores=[1.0, 2.0])

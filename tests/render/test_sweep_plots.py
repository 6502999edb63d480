"""A sweep's picture: its plain data, and that it can be drawn of anything; the record itself."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from render.test_plots import RANGE_TESTS

from onecycle.plot import plot_sweep, save_figure
from onecycle.plot.sweep_info import sweep_picture
from onecycle.results import Sweep, load
from onecycle.suggestions import sweep_pick

NAN = np.nan


def record(rates, scores, steps, *, initial_score=3.0, total_steps=500):
    """The result of runs with these scores; diverged ones end early."""
    steps = np.broadcast_to(steps, len(rates))
    curves = np.full((len(rates), 20), NAN)
    for row, score, length in zip(curves, scores, steps, strict=True):
        here = int(min(length, 20) if np.isfinite(score) else 3)
        row[:here] = np.linspace(initial_score, score if np.isfinite(score) else 1e9, here)
    return Sweep(
        learning_rates=rates,
        scores=scores,
        steps=steps,
        curves=curves,
        pick=sweep_pick.pick(rates, scores, steps, initial_score=initial_score),
        cost=0.5,
        range_test=RANGE_TESTS["pretty"],
        total_steps=total_steps,
        initial_score=initial_score,
        held_out="Judged on 100 of 500 training rows.",
        seed=3,
        config={"epochs": 10, "budget": 0.5, "momentum": (0.95, 0.85), "batch_size": 32, "optimizer": "SGD"},
        engines=("20 steps, engine scan.",),
        versions={"keras": "3.15.1"},
    )


COARSE, FINE = [0.001, 0.01, 0.1, 1.0], [0.01, 0.02, 0.04, 0.08]
SWEEPS = {
    "pretty": record(COARSE + FINE, [2.0, 1.0, 1.2, NAN, 0.7, 0.5, 0.6, 0.9], [20] * 4 + [60] * 4),
    "one length": record(COARSE, [2.0, 1.0, 1.2, 2.9], 20),
    "one run": record([0.1], [1.0], 20),
    "all diverged": record(COARSE, [NAN] * 4, 20),
    "wild": record(COARSE, [2.0, 1.0, 1e20, 1e30], 20),
    "constant": record(COARSE, [2.0] * 4, 20),
    "negative": record(COARSE, [-2.0, -3.0, -2.5, NAN], 20, initial_score=0.0),
    "at an end": record(COARSE, [1.0, 1.5, 2.0, 2.5], 20),
    "three lengths": record(COARSE, [2.0, 1.0, 0.9, 0.8], [20, 30, 40, 40]),
    "unknown start": record(COARSE, [2.0, 1.0, 1.2, NAN], 20, initial_score=NAN),
}
ALL = pytest.mark.parametrize("result", SWEEPS.values(), ids=SWEEPS)


@ALL
def test_every_sweep_can_be_drawn_and_saved(result, tmp_path):
    """Pretty or ugly, as a picture and as a record that comes back whole, without a warning."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "picture.png")
    result.save(tmp_path / "sweep.json")
    assert load(tmp_path / "sweep.json") == result


@ALL
def test_the_summary_says_what_is_known(result):
    """The pick or that there is none, why, the cost, what judged, and a line for each run."""
    told = result.summary()
    rate = result.pick.learning_rate
    assert ("no learning rate" if rate is None else f"{rate:.3g}") in told.splitlines()[0]
    for part in (result.pick.reason, "0.5 of such a run", result.held_out):
        assert part in told
    assert told.count(" steps  ") == len(result.steps)


@ALL
def test_the_limits_are_finite_and_show_the_better_half(result):
    """However wild the others are."""
    bottom, top = sweep_picture(result).limits
    finite = result.scores[np.isfinite(result.scores)]
    assert bottom < top
    if len(finite):
        assert bottom <= finite.min() <= np.median(finite) <= top or top < 1e21


def test_what_cannot_be_shown_stands_at_the_edge():
    """Runs that diverged, or ended above the picture, are counted as leavers."""
    picture = sweep_picture(SWEEPS["wild"])
    assert picture.leavers(picture.lines[0]).tolist() == [False, False, False, True]
    texts = [entry.get_text() for entry in plot_sweep(SWEEPS["pretty"]).get_legend().get_texts()]
    assert "diverged or above the picture" in texts
    assert f"picked {SWEEPS['pretty'].learning_rate:.3g}" in texts
    assert {"20 steps", "60 steps"} <= set(texts)


def test_a_sweep_that_does_not_fit_is_refused():
    """Arrays of different lengths: an error with their shapes."""
    with pytest.raises(ValueError, match=r"learning_rates \(n,\)"):
        dataclasses.replace(SWEEPS["pretty"], scores=[1.0, 2.0])

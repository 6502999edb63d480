"""Races: their plot, their summary, and how they are saved and loaded."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from render.sample_races import RACES

from onecycle.plot import plot_race, save_figure
from onecycle.plot.race_info import race_picture
from onecycle.results import load

EACH = pytest.mark.parametrize("result", RACES.values(), ids=RACES)


@EACH
def test_every_race_can_be_drawn_and_saved(result, tmp_path):
    """Every sample is drawn without a warning, and the loaded result equals the saved one."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "plot.png")
    result.save(tmp_path / "race.json")
    assert load(tmp_path / "race.json") == result


@EACH
def test_summary_has_winner_cost_and_candidates(result):
    """The text holds the winner, why it won, the cost, the held-out data, and a line for each candidate."""
    summary = result.summary()
    assert f"{result.learning_rate:.3g} won" in summary.splitlines()[0]
    for part in (result.reason, "2.15 runs", result.held_out, *result.reasons):
        assert part in summary
    assert len(result.table().splitlines()) == 1 + len(result.learning_rates)
    assert [line[0] for line in result.table().splitlines()[1:]].index("*") == result.winner
    assert repr(result).startswith(f"Race({result.learning_rate:.3g}, ")


@EACH
def test_limits_show_the_winner(result):
    """The limits are finite and hold the last losses of the winner, however extreme the others are."""
    bottom, top = race_picture(result).limits
    assert np.isfinite([bottom, top]).all()
    last = result.curves[result.winner][-1]
    assert bottom < top
    assert np.isnan(last) or bottom <= last <= top


def test_a_winner_at_an_end_is_said_to_be_there():
    """The reason says at which end of the candidates the winner lies, since a better rate may lie outside."""
    assert RACES["highest"].at_end == "highest"
    assert "It was the highest candidate, so a higher peak may be better still." in RACES["highest"].reason
    assert "It was the lowest candidate, so a lower peak may be better still." in RACES["diverged"].reason
    assert RACES["pretty"].at_end is None


def test_lines_say_what_became_of_each_candidate():
    """The legend names each peak with its fate, and the cuts are drawn."""
    ax = plot_race(RACES["diverged"])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["0.04, won", "0.1, dropped at 70%", "0.25, diverged"]
    assert [text.get_text() for text in ax.texts if "cut" in text.get_text()] == ["cut at 40%", "cut at 70%"]


def test_inconsistent_race_is_refused():
    """Arrays of other lengths, and a winner that is no candidate, are errors."""
    with pytest.raises(ValueError, match="A race needs learning_rates"):
        dataclasses.replace(RACES["pretty"], scores=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="Argument `winner`"):
        dataclasses.replace(RACES["pretty"], winner=3)

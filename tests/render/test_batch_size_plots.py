"""Batch size advices: their text, their plot, and how they are saved and loaded."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from render.sample_batch_sizes import BATCH_SIZES, advice

from onecycle.plot import save_figure
from onecycle.results import load

EACH = pytest.mark.parametrize("result", BATCH_SIZES.values(), ids=BATCH_SIZES)


@EACH
def test_advices_can_be_drawn_and_saved(result, tmp_path):
    """Every sample is drawn without a warning, and the loaded result equals the saved one."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    save_figure(ax, tmp_path / "plot.png")
    result.save(tmp_path / "advice.json")
    assert load(tmp_path / "advice.json") == result


@EACH
def test_the_summary_has_the_advice_and_each_size(result):
    """The text has the verdict, the reason, and a line for each batch size."""
    lines = result.summary().splitlines()
    assert lines[:2] == [result.verdict, result.reason]
    assert len(lines) == 5 + len(result.batch_sizes)


def test_the_largest_of_the_fast_sizes_is_advised():
    """With steps of 1 ms + 1 ms per 64 rows and a noise scale of 200, 128 rows need the least time, and 256 16 % more.

    8 rows need the fewest samples.
    """
    result = BATCH_SIZES["pretty"]
    times = 1e-3 * (1 + result.batch_sizes / 64) * (1 + 200 / result.batch_sizes)
    assert result.batch_sizes[times.argmin()] == 128
    assert result.batch_size == 256
    np.testing.assert_allclose(result.relative_times, times / times.min())
    assert result.fewest_samples == 16  # within 5 % of the samples with 8, and faster


@pytest.mark.parametrize("case", ["wide", "unbounded", "no noise"])
def test_a_wide_interval_gives_no_advice(case):
    """Where the interval is too wide, there is no advice, and the reason is given."""
    result = BATCH_SIZES[case]
    assert result.batch_size is result.fewest_samples is None
    assert result.verdict.startswith("Cannot tell")
    assert "too wide" in result.reason


def test_the_rate_changes_with_the_optimizer():
    """The factors are those of the batch size, or their square roots."""
    np.testing.assert_allclose(advice(sizes=(8, 128)).rate_factors, [0.25, 4.0])
    np.testing.assert_allclose(advice(sizes=(8, 128), scaling="square root").rate_factors, [0.5, 2.0])

"""The sections of a report as data, and what notebooks show of them."""

import base64
import dataclasses
import re
import sys

import numpy as np
import pytest
from render.html_page import Page
from render.sample_comparisons import COMPARISONS
from render.sample_cycles import CYCLES
from render.sample_range_tests import RANGE_TESTS
from render.sample_results import RESULTS, hostile_results

from onecycle.report import markup
from onecycle.report.history import history_figure
from onecycle.report.parts import DataTable
from onecycle.report.sections import sections_of
from onecycle.results import RangeTest, RangeTestLoop, StopReason
from onecycle.schedules import curves

EACH = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)


@EACH
def test_every_figure_has_a_table_and_a_description(result):
    """Users who cannot see a figure get the same information."""
    for section in sections_of(result):
        for figure in section.figures:
            assert figure.tables
            assert figure.description
            assert figure.title


def test_drawn_points_are_exact():
    """The data of a figure are not rounded, and None where there is no number."""
    figure = sections_of(RANGE_TESTS["NaN tail"])[0].figures[0]
    points = next(trace for trace in figure.views[0].traces if trace["meta"]["keys"] == ["points"])
    assert points["y"][:150] == RANGE_TESTS["NaN tail"].losses[:150].tolist()
    assert points["y"][150:] == [None] * 50


def test_cycle_is_drawn_with_the_steps_made():
    """Each curve is drawn whole, and again up to the last step made, which is the end of the shaded part."""
    view = sections_of(CYCLES["short"])[0].figures[0].views[0]
    whole, made, *momentum = view.traces
    assert whole["y"] == CYCLES["short"].learning_rates.tolist()
    assert made["x"] == [0, 1, 2, 3, 4]
    assert [trace["yaxis"] for trace in momentum] == ["y2", "y2"]
    assert [(shape["x0"], shape["x1"]) for shape in view.layout["shapes"]] == [(0, 5)]


def test_metrics_of_a_training_are_drawn():
    """A training's metrics have a figure with a view for each, which has those of the validation data too."""
    (section,) = sections_of(CYCLES["with history"])
    _, figure = section.figures
    assert [(view.label, [trace["name"] for trace in view.traces]) for view in figure.views] == [
        ("loss", ["training loss", "validation loss"])
    ]
    assert figure.tables[0].rows == [(1, 0.9, 0.8), (2, 0.4, 0.5), (3, 0.2, 0.3)]
    assert history_figure({"learning_rate": (0.1,)}) is None
    assert [view.label for view in history_figure({"loss": (1.0, 0.5), "val_auc": (0.7,)}).views] == ["loss", "val_auc"]


def test_cycle_without_a_curve_has_no_figure():
    """The table holds what is known of it, and its evidence would have a separate section."""
    (section,) = sections_of(CYCLES["no curve"])
    assert section.figures == ()
    assert section.code == ()
    assert dict(section.main_table.rows)["optimizer's step at the start"] == 30


@pytest.mark.parametrize("start", ["", ", start_step=30"])
def test_code_repeats_a_cycle(start):
    """The call has the schedule and the momentum, without the step at which the cycle began."""
    report = dataclasses.replace(CYCLES["range test"], schedule=f"OneCycle(0.2, 400{start})")
    (call,) = sections_of(report)[0].code
    assert call == (
        "model.fit(x, y, epochs=..., callbacks=[onecycle.OneCycleScheduler("
        "schedule=onecycle.OneCycle(0.2, 400), momentum=(0.95, 0.85))])"
    )


def test_code_repeats_rates_of_layers():
    """The calls name the layers as they were named, and the command, which cannot, is left out."""
    rates = {"encoder/*": 0.01, "pooler, norm": 0.1}
    section = sections_of(CYCLES["layer rates"])[0]
    assert "momentum=(0.95, 0.85), layer_rates={'encoder/*': 0.01, ('pooler', 'norm'): 0.1})" in section.code[0]
    assert dict(section.main_table.rows)["factors of layers"] == "encoder/* 0.01; pooler, norm 0.1"
    losses, settings = np.linspace(2, 1, 120), {"num_steps": 120, "backend": "jax", "layer_rates": rates}
    result = RangeTest.from_losses(np.geomspace(1e-6, 1, 120), losses, StopReason.COMPLETED, **settings)
    section = sections_of(result)[0]
    assert "layer_rates={'encoder/*': 0.01, ('pooler', 'norm'): 0.1}" in section.code[-1]
    assert section.settings["factors of layers"] == "encoder/* 0.01; pooler, norm 0.1"


def test_code_repeats_a_range_test():
    """The ends of the ramp are computed from the rates, even of a test that stopped early."""
    rates = curves.Curve(curves.range_ramp(1e-6, 10.0, 300)).values(np.arange(120))
    losses, settings = np.linspace(2, 1, 120), {"num_steps": 300, "seed": 3, "backend": "jax"}
    result = RangeTest.from_losses(rates, losses, StopReason.DIVERGED, **settings)
    call, command = sections_of(result)[0].code
    assert "min_learning_rate=1e-06, max_learning_rate=10.0, num_steps=300, seed=3" in call
    assert command == (
        "onecycle find MODULE:FUNCTION --min-learning-rate 1e-06 --max-learning-rate 10.0 --num-steps 300 --seed 3"
    )


def test_code_repeats_a_range_test_in_an_own_loop():
    """There is no command for a loop of the user's own, and its call is that of the loop."""
    test = RangeTestLoop(1e-4, 1.0, 40, spacing="linear")
    for _, loss in zip(test, np.linspace(2, 1, 30), strict=False):
        test.record(loss)
    (call,) = sections_of(test.result())[0].code
    arguments = "min_learning_rate=0.0001, max_learning_rate=1.0, num_steps=40, spacing='linear', rule='one_cycle'"
    assert call == f"onecycle.results.RangeTestLoop({arguments})"


def test_verdict_of_a_comparison_is_one_sentence():
    """It names the baseline, the metric, the seeds, and each arm with its effect."""
    verdict = sections_of(COMPARISONS["pretty"])[0].verdict
    level = "95 % interval for both arms together"
    assert verdict.startswith(f"Against plain, in val_accuracy after the last epoch over 8 seeds ({level}): cycle (")
    assert "is better; other (" in verdict
    assert verdict.endswith("makes no practical difference.")
    assert "nothing to compare it with" in sections_of(COMPARISONS["one arm"])[0].verdict


def test_long_table_is_thinned_and_says_so():
    """Of more than 500 rows, evenly chosen ones and the last are shown, and the caption says so."""
    text = markup.table_html(DataTable("Steps", ("step",), [(n,) for n in range(10_001)]))
    shown = [int(value) for value in re.findall(r'<data value="(\d+)"', text)]
    assert len(shown) <= 500
    assert (shown[0], shown[-1]) == (0, 10_000)
    assert "(one row in 21 and the last of 10001" in text


@pytest.mark.parametrize(
    ("result", "text"),
    [(RANGE_TESTS["pretty"], "Suggested learning rate"), (CYCLES["race"], "500 steps of a cycle of 500")],
)
def test_notebook_shows_verdict_plot_and_table(result, text):
    """The plot is inside the HTML, which has no script."""
    shown = result._repr_html_()
    assert text in shown
    assert "<table>" in shown
    plot = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert base64.b64decode(plot[1]).startswith(b"\x89PNG")
    assert "<script" not in shown


def test_notebook_without_matplotlib_shows_the_rest(monkeypatch):
    """The verdict and the table need no extra, and names are text there too."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for result in hostile_results():
        shown = result._repr_html_()
        assert "<table>" in shown
        assert "<img" not in shown
        assert "<script" not in shown


@EACH
def test_notebook_shows_every_result(result):
    """Every sample gives valid HTML with a table."""
    assert Page(result._repr_html_()).tables

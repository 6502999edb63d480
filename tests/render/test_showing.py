"""Tests of `Result.plot` in and outside notebooks, and of the `repr` of results."""

from types import SimpleNamespace

import IPython
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from render.sample_cycles import CYCLES
from render.sample_range_tests import RANGE_TESTS
from render.sample_results import RESULTS

RESULT = RANGE_TESTS["pretty"]


@pytest.fixture
def shell(monkeypatch):
    """Return a stand-in for the shell of a notebook, which records what is displayed."""
    shell = SimpleNamespace(kernel=object(), execution_count=1, displayed=[])
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", shell.displayed.append)
    return shell


def test_notebook_shows_the_plot(shell):
    """In a notebook, `plot` displays a picture of the new figure, and returns its Axes."""
    ax = RESULT.plot()

    (picture,) = shell.displayed
    assert picture.data.startswith(b"\x89PNG")
    assert picture.alt == repr(RESULT)
    assert ax.get_xlabel() == "learning rate"


def test_value_of_the_same_cell_does_not_show_the_plot_again(shell):
    """The HTML of a result leaves out the plot that its cell has just shown, and has it in later cells."""
    RESULT.plot()

    assert "<img" not in RESULT._repr_html_()
    assert "<img" in RANGE_TESTS["constant"]._repr_html_()
    shell.execution_count += 1
    assert "<img" in RESULT._repr_html_()


def test_show_and_axes_decide(shell):
    """Nothing is displayed with `show=False`, or on Axes that the user gives; `show=True` displays them as well."""
    RESULT.plot(show=False)
    RESULT.plot(Figure().add_subplot())
    assert shell.displayed == []

    RESULT.plot(RESULT.plot(show=False), show=True)
    assert len(shell.displayed) == 1


def test_terminal_of_ipython_is_no_notebook(shell):
    """Without a kernel there is no front end that shows pictures."""
    del shell.kernel

    RESULT.plot()
    assert shell.displayed == []


def test_script_shows_a_window(monkeypatch):
    """In a script, `show=True` passes the figure to pyplot and has it shown; the default shows nothing."""
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))

    RESULT.plot()
    assert shown == []
    ax = RESULT.plot(show=True)
    assert shown == [[ax.figure.number]]
    RESULT.plot(ax, show=True)
    assert len(shown[-1]) == 1  # a figure of pyplot is not passed to it again
    plt.close("all")


@pytest.mark.parametrize("name", RESULTS)
def test_repr_is_one_short_line(name):
    """The `repr` names the class and the main numbers, and leaves out the arrays."""
    text = repr(RESULTS[name])

    assert text.startswith(f"{type(RESULTS[name]).__name__}(")
    assert len(text) < 160
    assert "\n" not in text


def test_repr_of_range_test_and_cycle():
    """A range test shows its suggestion, its rule and its steps; a cycle its schedule and its steps."""
    rate, steps = RESULT.learning_rate, len(RESULT.learning_rates)
    cycle = next(iter(CYCLES.values()))

    assert repr(RESULT) == f"RangeTest({rate:.3g}, rule one_cycle, {steps} steps)"
    assert repr(cycle) == f"CycleReport({cycle.schedule}, {cycle.steps} of {cycle.total_steps} steps)"

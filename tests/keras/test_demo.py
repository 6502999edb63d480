"""`onecycle demo` on the digits of scikit-learn."""

import re

import matplotlib.pyplot as plt
import pytest

import onecycle
from onecycle.__main__ import main
from onecycle.cli import demo_runs

pytestmark = pytest.mark.one_backend

PLOTS = ("range_test.png", "training_curves.png")


@pytest.fixture
def few_epochs(monkeypatch):
    """Shorten the training runs of the demo."""
    monkeypatch.setattr(demo_runs, "UNITS", (32,))
    monkeypatch.setattr(demo_runs, "EPOCHS", 2)
    monkeypatch.setattr(demo_runs, "GUESSES", (0.001, 1.0))


@pytest.mark.lower_bound
def test_demo(few_epochs, tmp_path, capfd, backend):
    """`demo` prints a table of all runs and what they show, and writes two plots, a report and the range test."""
    folder = tmp_path / "demo"
    code = main(["demo", "--output", str(folder), "--backend", backend])
    output, errors = capfd.readouterr()
    result = onecycle.load(folder / "range_test.json")

    assert code == 0
    assert errors == ""
    assert "guess 0.001" in output
    assert f"found {result.learning_rate:.2g}, one cycle" in output
    assert re.search(r"2 guesses: \d+ %, (\d+ %|diverged)\. No guess: \d+ %\.", output)
    assert "<!DOCTYPE html>" in (folder / "report.html").read_text()[:100]
    for name in PLOTS:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    plt.close("all")


@pytest.mark.parametrize(("target", "epoch"), [(0.5, 1), (0.9, 3), (0.95, None)])
def test_epochs_to_target(target, epoch):
    """Epochs to a target are counted from 1; a run that does not reach it has None."""
    assert demo_runs.DemoRun(0.1, (0.5, 0.7, 0.9, 0.8)).epochs_to(target) == epoch

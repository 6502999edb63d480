"""`onecycle demo` on the digits of scikit-learn."""

import matplotlib.pyplot as plt
import pytest

import onecycle
from onecycle.__main__ import main
from onecycle.cli import demo

PLOTS = ("range_test.png", "schedule.png", "training_curves.png")


@pytest.fixture
def few_epochs(monkeypatch):
    """Shorten the training runs of the demo."""
    monkeypatch.setattr(demo, "BASELINE_EPOCHS", 3)
    monkeypatch.setattr(demo, "CYCLE_EPOCHS", 2)


@pytest.mark.lower_bound
def test_demo(few_epochs, tmp_path, capsys, backend):
    """`demo` prints the learning rate it found and a table of both runs, and writes three plots and the range test."""
    folder = tmp_path / "demo"
    code = main(["demo", "--output", str(folder), "--backend", backend])
    output = capsys.readouterr().out
    result = onecycle.load(folder / "range_test.json")

    assert code == 0
    assert f"Found learning rate: {result.learning_rate:.3g}" in output
    assert "plain SGD" in output
    assert "1cycle" in output
    for name in PLOTS:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    plt.close("all")


@pytest.mark.parametrize(("target", "epoch"), [(0.5, 1), (0.9, 3), (0.95, None)])
def test_epochs_to_target(target, epoch):
    """Epochs to a target are counted from 1; a run that does not reach it has None."""
    assert demo.DemoRun("run", 0.1, (0.5, 0.7, 0.9, 0.8), 1.0).epochs_to(target) == epoch

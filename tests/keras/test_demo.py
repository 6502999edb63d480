"""The demo does what it says, on the bundled digits."""

import matplotlib.pyplot as plt
import pytest

import onecycle
from onecycle import demo
from onecycle.__main__ import main

PICTURES = ("range_test.png", "schedule.png", "training_curves.png")


@pytest.fixture
def short(monkeypatch):
    """A demo of few epochs."""
    monkeypatch.setattr(demo, "BASELINE_EPOCHS", 3)
    monkeypatch.setattr(demo, "CYCLE_EPOCHS", 2)


@pytest.mark.lower_bound
def test_demo(short, tmp_path, capsys, backend):
    """`onecycle demo` prints the found rate and a table of both runs, and writes three pictures and the range test."""
    code = main(["demo", "--output", str(tmp_path / "shown"), "--backend", backend])
    said = capsys.readouterr().out
    result = onecycle.load(tmp_path / "shown" / "range_test.json")

    assert code == 0
    assert f"Found learning rate: {result.learning_rate:.3g}" in said
    assert "plain SGD" in said
    assert "1cycle" in said
    for name in PICTURES:
        assert (tmp_path / "shown" / name).read_bytes().startswith(b"\x89PNG")
    plt.close("all")


@pytest.mark.parametrize(("target", "epoch"), [(0.5, 1), (0.9, 3), (0.95, None)])
def test_epochs_to_a_target(target, epoch):
    """A run's epochs to a target are counted from 1, and are None where it was never reached."""
    assert demo.Run("run", 0.1, (0.5, 0.7, 0.9, 0.8), 1.0).epochs_to(target) == epoch

"""The command line: `preview`."""

import json

import numpy as np
import pytest

import onecycle
from onecycle.__main__ import main


def test_preview_shows_the_values_of_the_schedule(capsys, tmp_path):
    """`preview` gives the values and phases of the schedule, draws a chart and writes the plot."""
    assert main(["preview", "--total-steps", "50", "--max-learning-rate", "0.2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    schedule = onecycle.OneCycle(0.2, 50)
    np.testing.assert_allclose(facts["learning_rates"], schedule.values(), rtol=1e-12)
    np.testing.assert_allclose(facts["momenta"], schedule.momentum(high=0.95, low=0.85).values(), rtol=1e-12)
    assert [phase["name"] for phase in facts["phases"]] == ["warm-up", "decay", "final drop"]
    assert main(["preview", "pytorch", "--total-steps", "50", "--plot", str(tmp_path / "curve.png")]) == 0
    output = capsys.readouterr().out
    assert "warm-up" in output
    assert "█" in output
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        (["one-cycle", "--warmup-fraction", "0.3", "--shape", "cosine"], {"warmup_fraction": 0.3, "shape": "cosine"}),
        (["one-cycle", "--final-fraction", "0", "--initial-divisor", "3", "--final-divisor", "7"],
         {"final_fraction": 0.0, "initial_divisor": 3.0, "final_divisor": 7.0}),
        (["pytorch"], lambda peak, steps: onecycle.OneCycle.pytorch(peak, steps)),
        (["fastai"], lambda peak, steps: onecycle.OneCycle.fastai(peak, steps)),
        (["optax"], lambda peak, steps: onecycle.OneCycle.optax(steps, peak)),
        (["warmup-linear"], onecycle.WarmupLinearDecay),
        (["warmup-linear", "--warmup-fraction", "0.4"],
         lambda peak, steps: onecycle.WarmupLinearDecay(peak, steps, warmup_fraction=0.4)),
        (["warmup-stable"], onecycle.WarmupStableDecay),
        (["warmup-stable", "--final-fraction", "0.5"],
         lambda peak, steps: onecycle.WarmupStableDecay(peak, steps, decay_fraction=0.5)),
        (["cyclical"], lambda peak, steps: onecycle.CyclicalLearningRate(peak / 10, peak, max(1, steps // 8))),
    ],
)  # fmt: skip
def test_preview_shows_what_the_schedule_does(options, schedule, steps, capsys):
    """The curves, which are made without Keras, are those of the schedules, with their momentum."""
    assert main(["preview", *options, "--total-steps", str(steps), "--max-learning-rate", "0.2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    made = onecycle.OneCycle(0.2, steps, **schedule) if isinstance(schedule, dict) else schedule(0.2, steps)
    np.testing.assert_allclose(facts["learning_rates"], made.values(steps), rtol=1e-12)
    momenta = made.momentum(high=0.95, low=0.85).values(steps) if hasattr(made, "momentum") else []
    np.testing.assert_allclose(facts["momenta"], momenta, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["one-cycle", "pytorch", "fastai", "optax", "warmup-linear", "warmup-stable", "cyclical"]
)
@pytest.mark.parametrize("steps", ["1", "2", "7", "100"])
def test_every_schedule_can_be_previewed(name, steps, capsys):
    """`preview` shows every schedule at any length, with one value per step, and the momentum of every cycle."""
    assert main(["preview", name, "--total-steps", steps, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["learning_rates"]) == int(steps)
    assert len(facts["momenta"]) == (0 if name.startswith("warmup") else int(steps))
    assert main(["preview", name, "--total-steps", steps]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--warmup-fraction", "2"], "warmup_fraction"),
        (["fastai", "--shape", "cosine"], "The schedule fastai has no option --shape"),
        (["--max-learning-rate", "-1"], "max_learning_rate"),
        (["--plot", "nowhere/at/all.png"], "There is no folder"),
        (["--low-momentum", "1.5"], "`low` must be"),
        (["--shape", "exponential"], "`shape` must be one of"),
    ],
)
def test_wrong_usage_of_preview(arguments, expected, capsys):
    """Wrong usage exits with 2 and prints one line that names the option."""
    assert main(["preview", *arguments]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1

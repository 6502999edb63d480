"""Races for plots and reports: a usual one, and many with missing or extreme values."""

import numpy as np
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import Race

NAN = np.nan
POINTS = np.arange(10, 201, 10)


def race(rates, ends, scores, *, winner, cuts=(0.4, 0.7), **fields):
    """Return a race whose candidates ended at these steps; a score of infinity stands for one that diverged."""
    curves = np.full((len(rates), len(POINTS)), NAN)
    for k, end in enumerate(ends):
        shown = end // 10
        curves[k, :shown] = np.geomspace(3.0 + k, 0.5 + 0.1 * k, len(POINTS))[:shown]
    reasons = [
        f"Won: val_loss {scores[k][-1]:.4g} at 70 %, against 0.9." if k == winner
        else f"Diverged: its loss was not finite after {end} steps." if np.isinf(scores[k][0])
        else f"Dropped at {end / 200:.0%}: val_loss {scores[k][0]:.4g}, where the best had 0.8."
        for k, end in enumerate(ends)
    ]  # fmt: skip
    scores = np.where(np.isfinite(scores), scores, NAN)
    return Race(
        **{
            "learning_rates": rates, "scores": scores, "cuts": cuts, "winner": winner, "steps": ends,
            "reasons": tuple(reasons), "curves": curves, "curve_steps": POINTS, "monitor": "loss", "mode": "min",
            "history": {"loss": (1.0, 0.6), "val_loss": (1.1, 0.7)}, "cost": 2.15,
            "range_test": RANGE_TESTS["pretty"], "total_steps": 200, "held_out": "Judged on `validation_data`.",
            "seed": 3, "config": {"epochs": 10, "momentum": (0.95, 0.85), "batch_size": 32, "optimizer": "SGD"},
            "versions": {"keras": "3.15.1"}, **fields,
        }
    )  # fmt: skip


RATES = [0.04, 0.1, 0.25]
RACES = {
    "pretty": race(RATES, [80, 200, 140], [[1.2, NAN], [0.8, 0.7], [0.9, 0.9]], winner=1),
    "highest": race(RATES, [80, 140, 200], [[1.2, NAN], [0.9, 0.9], [0.8, 0.7]], winner=2, note="The budget is used."),
    "diverged": race(RATES, [200, 140, 20], [[0.8, 0.7], [0.9, 0.9], [np.inf, NAN]], winner=0),
    "two": race(RATES[1:], [200, 140], [[0.7], [0.9]], winner=0, cuts=(0.7,)),
    "given": race(RATES, [80, 200, 140], [[1.2, NAN], [0.8, 0.7], [0.9, 0.9]], winner=1, range_test=None),
    "accuracy": race(
        RATES, [80, 200, 140], [[0.2, NAN], [0.8, 0.9], [0.7, 0.8]], winner=1, monitor="accuracy", mode="max"
    ),
    "no curves": race(
        RATES, [80, 200, 140], [[1.2, NAN], [0.8, 0.7], [0.9, 0.9]], winner=1, curves=np.full((3, 20), NAN)
    ),
    "extreme": race(
        RATES, [80, 200, 140], [[1.2, NAN], [0.8, 0.7], [0.9, 0.9]], winner=1,
        curves=np.stack([np.full(20, 1e30), np.linspace(3, 1, 20), np.linspace(-3, 1e9, 20)]),
    ),
}  # fmt: skip

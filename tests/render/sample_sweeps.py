"""Sweeps for plots and reports: a usual one, and many with missing or extreme values."""

import numpy as np
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import Sweep
from onecycle.suggestions import sweep_pick

NAN = np.nan


def sweep(rates, scores, steps, *, initial_score=3.0, total_steps=500):
    """Return the sweep of runs with these scores. The curves of diverged runs end early."""
    steps = np.broadcast_to(steps, len(rates))
    curves = np.full((len(rates), 20), NAN)
    for row, score, length in zip(curves, scores, steps, strict=True):
        parts = int(min(length, 20) if np.isfinite(score) else 3)
        row[:parts] = np.linspace(initial_score, score if np.isfinite(score) else 1e9, parts)
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
        held_out="Scored on 100 of 500 training rows.",
        seed=3,
        config={"epochs": 10, "budget": 0.5, "momentum": (0.95, 0.85), "batch_size": 32, "optimizer": "SGD"},
        engines=("20 steps, engine scan.",),
        versions={"keras": "3.15.1"},
    )


COARSE, FINE = [0.001, 0.01, 0.1, 1.0], [0.01, 0.02, 0.04, 0.08]
SWEEPS = {
    "pretty": sweep(COARSE + FINE, [2.0, 1.0, 1.2, NAN, 0.7, 0.5, 0.6, 0.9], [20] * 4 + [60] * 4),
    "one length": sweep(COARSE, [2.0, 1.0, 1.2, 2.9], 20),
    "one run": sweep([0.1], [1.0], 20),
    "all diverged": sweep(COARSE, [NAN] * 4, 20),
    "extreme": sweep(COARSE, [2.0, 1.0, 1e20, 1e30], 20),
    "constant": sweep(COARSE, [2.0] * 4, 20),
    "negative": sweep(COARSE, [-2.0, -3.0, -2.5, NAN], 20, initial_score=0.0),
    "at an end": sweep(COARSE, [1.0, 1.5, 2.0, 2.5], 20),
    "three lengths": sweep(COARSE, [2.0, 1.0, 0.9, 0.8], [20, 30, 40, 40]),
    "unknown initial score": sweep(COARSE, [2.0, 1.0, 1.2, NAN], 20, initial_score=NAN),
}

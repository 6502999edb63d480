"""Which engine trains the members: what was measured decides, and the reason says what that was."""

import numpy as np
import pytest

from onecycle.engine.batch_order import Order, Plan
from onecycle.engine.choice import Trial, chosen


def trials(**seconds):
    """Trials of these seconds a step, and a list of what was tried."""
    tried = []

    def trial(engine):
        tried.append(engine)
        return Trial(seconds[engine], compiling=2.0)

    return trial, tried


@pytest.mark.parametrize(
    ("members", "steps", "seconds", "engine", "expected"),
    [
        (1, 1000, {"scan": 1e-5}, "scan", ["scan"]),
        (64, 10, {"scan": 1e-5}, "scan", ["scan"]),  # over before another program was compiled
        (64, 100_000, {"scan": 1e-5, "vmap": 2e-5}, "scan", ["scan", "vmap"]),
        (64, 100_000, {"scan": 1e-5, "vmap": 5e-6}, "vmap", ["scan", "vmap"]),
        (4, 10_000, {"scan": 0.05, "vmap": 0.2, "fit": 0.01}, "fit", ["scan", "vmap", "fit"]),
        (1, 10_000, {"scan": 0.05, "fit": 0.049}, "scan", ["scan", "fit"]),  # not worth it
    ],
)
def test_the_fastest_of_what_is_worth_trying(members, steps, seconds, engine, expected):
    """Another engine is tried only where it could save more than it costs, and the reason has every time."""
    trial, tried = trials(**seconds)
    choice = chosen(members, steps, trial)
    assert (choice.engine, tried) == (engine, expected)
    assert choice.reason.count("µs") == len(expected)


def test_a_refusal_leads_to_fit():
    """A program that would be slow is not even compiled."""
    choice = chosen(8, 100, lambda engine: Trial(float("inf"), 0.0, "convolutions are slow in a loop"))
    assert (choice.engine, choice.reason) == ("fit", "Convolutions are slow in a loop.")


def test_the_order_is_that_of_numpys_global_generator():
    """Permutation after permutation, as Keras draws them once an epoch; the short batch is filled up."""
    plan, reference = Plan(rows=7, batch_size=3), np.random.RandomState(5)
    found = Order(plan, seed=5).take(6)
    for epoch in range(2):
        rows = reference.permutation(7)
        assert found[3 * epoch : 3 * epoch + 3].ravel()[:7].tolist() == rows.tolist()
    assert Order(plan, seed=5, shuffle=False).take(3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]


def test_segments_end_where_epochs_do():
    """Whole batches, then the short one; a block may begin and end within an epoch."""
    plan = Plan(rows=7, batch_size=3)  # steps 0, 1 whole, 2 short, and again
    segments = plan.segments(1, 7)
    assert segments.starts.tolist() == [0, 2, 5]
    assert segments.stops.tolist() == [1, 4, 7]
    assert segments.short.tolist() == [True, True, False]
    assert segments.fresh.tolist() == [False, True, True]
    assert plan.sizes(5).tolist() == [3, 3, 1, 3, 3]
    assert [len(column) for column in segments.padded(5)] == [5, 5, 5, 5]

"""Tests of the engine's choice between programs and `fit`, and of the row order of its batches."""

import numpy as np
import pytest

from onecycle.engine.batch_order import BatchPlan, RowOrder
from onecycle.engine.choice import EngineTrial, choose_engine


def trials(**seconds):
    """Return a function that reports these seconds per step, and the list of the engines it was called with."""
    tried = []

    def try_engine(engine):
        tried.append(engine)
        return EngineTrial(seconds[engine], compile_seconds=2.0)

    return try_engine, tried


@pytest.mark.parametrize(
    ("members", "steps", "seconds", "engine", "expected"),
    [
        (1, 1000, {"scan": 1e-5}, "scan", ["scan"]),
        (64, 10, {"scan": 1e-5}, "scan", ["scan"]),  # training ends before a second program could be compiled
        (64, 100_000, {"scan": 1e-5, "vmap": 2e-5}, "scan", ["scan", "vmap"]),
        (64, 100_000, {"scan": 1e-5, "vmap": 5e-6}, "vmap", ["scan", "vmap"]),
        (4, 10_000, {"scan": 0.05, "vmap": 0.2, "fit": 0.01}, "fit", ["scan", "vmap", "fit"]),
        (1, 10_000, {"scan": 0.05, "fit": 0.049}, "scan", ["scan", "fit"]),  # `fit` is not clearly faster
    ],
)
def test_the_fastest_engine_worth_trying_is_chosen(members, steps, seconds, engine, expected):
    """An engine is tried only if it may save more than its trial costs, and the reason states every time measured."""
    try_engine, tried = trials(**seconds)
    choice = choose_engine(members, steps, try_engine)
    assert (choice.engine, tried) == (engine, expected)
    assert choice.reason.count("µs") == len(expected)


def test_a_refused_program_leads_to_fit():
    """If the program for one member is refused, `fit` is chosen without another trial."""
    choice = choose_engine(8, 100, lambda engine: EngineTrial(float("inf"), 0.0, "convolutions are slow in a loop"))
    assert (choice.engine, choice.reason) == ("fit", "Convolutions are slow in a loop.")


def test_row_order_equals_that_of_numpys_global_generator():
    """Each epoch draws one permutation, as Keras does, and a short batch is padded with row 0."""
    plan, reference = BatchPlan(rows=7, batch_size=3), np.random.RandomState(5)
    found = RowOrder(plan, seed=5).take(6)
    for epoch in range(2):
        rows = reference.permutation(7)
        assert found[3 * epoch : 3 * epoch + 3].ravel()[:7].tolist() == rows.tolist()
    assert RowOrder(plan, seed=5, shuffle=False).take(3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]


def test_segments_end_with_epochs():
    """A segment has full batches and then the short one, and a block may begin and end within an epoch."""
    plan = BatchPlan(rows=7, batch_size=3)  # steps 0 and 1 are full, step 2 is short
    segments = plan.segments(1, 7)
    assert segments.starts.tolist() == [0, 2, 5]
    assert segments.stops.tolist() == [1, 4, 7]
    assert segments.has_short_batch.tolist() == [True, True, False]
    assert segments.starts_epoch.tolist() == [False, True, True]
    assert plan.batch_sizes(5).tolist() == [3, 3, 1, 3, 3]
    assert [len(column) for column in segments.padded(5)] == [5, 5, 5, 5]

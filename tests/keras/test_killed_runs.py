"""Runs that are killed with `kill -9` at random moments, and end as an uninterrupted run."""

import numpy as np
import pytest
from oracles import killed

SECONDS = 0.4  # in which the training is killed, after its beginning: it takes about as long


@pytest.fixture(scope="module")
def runs():
    """Return the process that starts the runs."""
    process = killed.Runs()
    yield process
    process.close()


@pytest.fixture(scope="module")
def uninterrupted():
    """Return the state at the end of an uninterrupted run without a backup."""
    return killed.state(killed.train(None))


def kill_and_finish(runs, folder, rng, kills, **options):
    """Kill a run and start it again, until it was killed `kills` times; return the file of its end, and the kills."""
    end = folder.with_suffix(".npz")
    made = 0
    while made < kills:
        status = runs.start(folder, end, delay=rng.uniform(0, SECONDS), **options)
        assert status in (0, -9), status
        made += 1
        if status == 0:
            return end, made
    assert runs.start(folder, end) == 0
    return end, made


def assert_same_end(end, uninterrupted):
    """Check that a run ended with the same bits."""
    with np.load(end) as values:
        for value, expected in zip(values.values(), uninterrupted, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_run_killed_three_times_ends_as_an_uninterrupted_one(runs, uninterrupted, tmp_path):
    """A run with `backup_dir` that is killed three times ends with the bits of an uninterrupted run."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    end, _ = kill_and_finish(runs, tmp_path / "run", np.random.default_rng(seed), 3)
    assert_same_end(end, uninterrupted)

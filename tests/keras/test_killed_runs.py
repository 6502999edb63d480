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
def uninterrupted(runs, tmp_path_factory):
    """Return the state at the end of an uninterrupted run without a backup."""
    end = tmp_path_factory.mktemp("uninterrupted") / "end.npz"
    assert runs.start(None, end, wait=False) == 0
    with np.load(end) as values:
        return list(values.values())


def kill_and_finish(runs, folder, rng, kills, expected, *, wait=True, seconds=SECONDS):
    """Kill a run and start it again, until it was killed `kills` times, and check its end."""
    end, number, made = folder.with_suffix(".npz"), 0, 0
    while made < kills:
        status = runs.start(f"{folder}_{number}", end, delay=rng.uniform(0, seconds), wait=wait)
        assert status in (0, -9), status
        made += status == -9
        if status == 0:  # it was quicker than the delay
            assert_same_end(end, expected)
            number += 1
    assert runs.start(f"{folder}_{number}", end) == 0
    assert_same_end(end, expected)


def assert_same_end(end, uninterrupted):
    """Check that a run ended with the same bits."""
    with np.load(end) as values:
        for value, expected in zip(values.values(), uninterrupted, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_run_killed_three_times_ends_as_an_uninterrupted_one(runs, uninterrupted, tmp_path):
    """A run with `backup_dir` that is killed three times ends with the bits of an uninterrupted run."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    kill_and_finish(runs, tmp_path / "run", np.random.default_rng(seed), 3, uninterrupted)


@pytest.mark.long
def test_thirty_kills(runs, uninterrupted, tmp_path):
    """Runs that are killed thirty times, also before training begins, end with the bits of an uninterrupted one."""
    rng = np.random.default_rng(1)
    for number in range(10):
        kill_and_finish(runs, tmp_path / f"during_{number}", rng, 2, uninterrupted)
        kill_and_finish(runs, tmp_path / f"any_{number}", rng, 1, uninterrupted, wait=False, seconds=3.0)


@pytest.mark.long
def test_thirty_kills_beside_backup_and_restore(tmp_path):
    """With Keras' backups, such a run ends with the same bits, unless its backup is damaged, which an error says."""
    expected = killed.state(killed.train_beside_backup_and_restore(tmp_path / "whole"))
    process, rng, kills, damaged = killed.Runs("train_beside_backup_and_restore"), np.random.default_rng(2), 0, 0
    folder, end = tmp_path / "run_0", tmp_path / "end.npz"
    while kills < 30:
        status = process.start(folder, end, delay=rng.uniform(0, SECONDS))
        kills += status == -9
        if status == 0:
            assert_same_end(end, expected)
        if isinstance(status, str):
            assert "The backup of BackupAndRestore is damaged" in status
            damaged += 1
        if status != -9:
            folder = tmp_path / f"run_{kills}_{damaged}"
    process.close()
    print(f"{damaged} damaged backups of {kills} kills")

"""The training of the runs: in this process, in others, or on a Dask or Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onecycle.comparison.arms import Arm
from onecycle.comparison.compiled_runs import train_compiled_runs
from onecycle.comparison.runs import RunKey, SharedSettings, train_run
from onecycle.comparison.store import Store
from onecycle.results.runs import RunRecord
from onecycle.workers.pool import WorkerTask, run_tasks
from onecycle.workers.sending import pickled


@dataclass(frozen=True)
class ComparisonSetup:
    """What the runs of a comparison need.

    Attributes:
        settings: The settings that all runs share.
        arms: Name -> arm.
        store: Where each run writes its record when it ends, or None.
    """

    settings: SharedSettings
    arms: Mapping[str, Arm]
    store: Store | None


def make_runs(setup: ComparisonSetup, keys: Sequence[RunKey], *, jobs: int, cluster: str | None) -> Iterator[RunRecord]:
    """Train runs and yield the record of each when it ends, in any order.

    Args:
        setup: What the runs need.
        keys: The runs to train.
        jobs: Number of processes on this machine. With 1, the runs are trained in this process.
        cluster: None, "dask://host:port", "ray" or "ray://host:port".

    Raises:
        RuntimeError: If a run fails, or worker processes are killed repeatedly.
    """
    if not keys:
        return iter(())
    if cluster is None and jobs == 1:
        return _in_this_process(setup, keys)
    return _in_workers(setup, keys, jobs, cluster)


def _in_this_process(setup: ComparisonSetup, keys: Sequence[RunKey]) -> Iterator[RunRecord]:
    for record in _trained(setup, keys):
        if setup.store is not None:
            setup.store.write(record)
        yield record


def _trained(setup: ComparisonSetup, keys: Sequence[RunKey]) -> Iterator[RunRecord]:
    """Train all seeds of an arm in one compiled program where possible, and the remaining runs one by one."""
    finished = set()
    for record in train_compiled_runs(setup.settings, setup.arms, keys):
        finished.add((record.arm, record.seed))
        yield record
    for arm, seed in keys:
        if (arm, seed) not in finished:
            yield train_run(setup.settings, setup.arms[arm], seed)


def _in_workers(setup: ComparisonSetup, keys: Sequence[RunKey], jobs: int, cluster: str | None) -> Iterator[RunRecord]:
    directory = None if setup.store is None else setup.store.directory
    payload = pickled(partial(_train_and_write, setup.settings, setup.arms, directory), _user_functions(setup))
    tasks = [WorkerTask((arm, seed), f"Arm {arm!r} with seed {seed}", (arm, seed)) for arm, seed in keys]
    for _, record in run_tasks(payload, tasks, jobs=jobs, cluster=cluster, recovered=partial(_written, setup)):
        # A worker on another machine may have written its record to a folder that is not this one.
        if setup.store is not None and not setup.store.path(record.arm, record.seed).exists():
            setup.store.write(record)
        yield record


def _train_and_write(
    settings: SharedSettings, arms: Mapping[str, Arm], directory: Path | None, arm: str, seed: int
) -> RunRecord:
    """Train one run in a worker, write its record if there is a folder, and return the record."""
    record = train_run(settings, arms[arm], seed)
    if directory is not None:
        Store(directory).write(record)
    return record


def _written(setup: ComparisonSetup, keys: Sequence[RunKey]) -> Iterator[tuple[RunKey, RunRecord]]:
    """Yield the records that processes wrote before they died."""
    if setup.store is None:
        return
    for arm, seed in keys:
        record = setup.store.read(arm, seed, setup.settings.identity(setup.arms[arm], seed))
        if record is not None:
            yield (arm, seed), record


def _user_functions(setup: ComparisonSetup) -> list[Callable[..., object]]:
    values: list[object] = [setup.settings.build, setup.settings.data]
    for arm in setup.arms.values():
        values += [arm.schedule, arm.optimizer, arm.callbacks]
    return [value for value in values if callable(value)]

"""The training of the runs: in this process, in others, or on a Dask or Ray cluster through joblib."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from onecycle.comparison.arms import Arm
from onecycle.comparison.compiled_runs import train_compiled_runs
from onecycle.comparison.environment import backend_variables, device_variables, thread_variables
from onecycle.comparison.errors import SettingError
from onecycle.comparison.runs import RunKey, SharedSettings, train_run
from onecycle.comparison.store import Store
from onecycle.comparison.worker import WorkerSetup, keras_settings, run_in_subprocess, run_in_worker
from onecycle.results.runs import RunRecord

MOST_BROKEN_POOLS = 3  # in a row, without a run that ended; our choice


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


def check_cluster(cluster: object) -> None:
    """Check the argument `cluster`.

    Raises:
        SettingError: If it is not the address of a cluster.
    """
    kind, _, address = cluster.partition("://") if isinstance(cluster, str) else ("", "", "")
    if not (kind == "ray" or (kind == "dask" and address)):
        raise SettingError(
            f'Argument `cluster` must be "dask://host:port", "ray" or "ray://host:port". Received: cluster={cluster!r}'
        )


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
    if cluster is not None:
        return _on_cluster(setup, keys, cluster)
    return _in_processes(setup, keys, jobs) if jobs != 1 else _in_this_process(setup, keys)


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


def _in_processes(setup: ComparisonSetup, keys: Sequence[RunKey], jobs: int) -> Iterator[RunRecord]:
    """Train runs in processes on this machine, with a new pool of processes whenever one of them is killed."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    finished: set[RunKey] = set()
    broken_pools = 0
    while missing := [key for key in keys if key not in finished]:
        before = len(finished)
        try:
            for record in _in_pool(setup, missing, jobs):
                finished.add((record.arm, record.seed))
                yield record
        except BrokenProcessPool as error:
            # Joblib gives up the whole pool, and with it records that were written but not returned yet.
            for record in _written(setup, [key for key in missing if key not in finished]):
                finished.add((record.arm, record.seed))
                yield record
            broken_pools = 0 if len(finished) > before else broken_pools + 1
            if broken_pools == MOST_BROKEN_POOLS:
                raise RuntimeError(
                    f"The worker processes were killed {MOST_BROKEN_POOLS} times in a row before any run ended, "
                    f"perhaps because memory ran out. Try fewer processes than jobs={jobs}."
                ) from error


def _in_pool(setup: ComparisonSetup, keys: Sequence[RunKey], jobs: int) -> Iterator[RunRecord]:
    from joblib import parallel_config

    # Each process would otherwise start a thread per core.
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = backend_variables() | thread_variables(threads) | device_variables(jobs)
    with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=threads):
        yield from _distributed(run_in_worker, setup, keys, environment)


def _written(setup: ComparisonSetup, keys: Sequence[RunKey]) -> Iterator[RunRecord]:
    """Yield the records that processes wrote before they died."""
    if setup.store is None:
        return
    for arm, seed in keys:
        record = setup.store.read(arm, seed, setup.settings.identity(setup.arms[arm], seed))
        if record is not None:
            yield record


def _on_cluster(setup: ComparisonSetup, keys: Sequence[RunKey], cluster: str) -> Iterator[RunRecord]:
    with _joblib_cluster(cluster) as streams:
        for record in _distributed(run_in_subprocess, setup, keys, backend_variables(), streams=streams):
            # A worker on another machine may have written its record to a folder that is not this one.
            if setup.store is not None and not setup.store.path(record.arm, record.seed).exists():
                setup.store.write(record)
            yield record


def _distributed(
    run: Callable[[NDArray[np.uint8], str, int, WorkerSetup], RunRecord],
    setup: ComparisonSetup,
    keys: Sequence[RunKey],
    environment: dict[str, str],
    *,
    streams: bool = True,
) -> Iterator[RunRecord]:
    """Have joblib train the runs, and yield their records.

    Args:
        run: Function that trains one run in a worker.
        setup: What the runs need.
        keys: The runs to train.
        environment: Environment variables for the workers.
        streams: Whether joblib's backend can return each result when it is ready, rather than all at the end.
    """
    from joblib import Parallel, delayed

    # Pickled once for all runs, since the setup may contain large arrays.
    payload = np.frombuffer(_pickled(setup), dtype=np.uint8)
    directory = None if setup.store is None else str(setup.store.directory)
    worker = WorkerSetup(environment, keras_settings(), directory)
    # Batches of one run, so that each record is returned as soon as its run ends.
    parallel = Parallel(return_as="generator_unordered" if streams else "list", batch_size=1, pre_dispatch="all")
    yield from parallel(delayed(run)(payload, arm, seed, worker) for arm, seed in keys)


@contextmanager
def _joblib_cluster(cluster: str) -> Iterator[bool]:
    """Make joblib use the cluster, and yield whether it can return each result when it is ready."""
    from joblib import parallel_config

    kind, _, address = cluster.partition("://")
    if kind == "dask":
        from distributed import Client

        with Client(f"tcp://{address}"), parallel_config(backend="dask", n_jobs=-1):
            yield True
    else:
        import ray
        from ray.util.joblib import register_ray

        if not ray.is_initialized():
            ray.init(address=cluster if address else None, log_to_driver=False)
        register_ray()
        with parallel_config(backend="ray", n_jobs=-1):
            yield False  # joblib's Ray backend cannot return results one by one


def _pickled(setup: ComparisonSetup) -> bytes:
    """Return the settings and arms as bytes that a process can load without the user's modules."""
    import cloudpickle

    modules = {_user_module(function) for function in _user_functions(setup)} - {None}
    # By reference, the default, a process would have to import the module, which may not be on its path.
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps((setup.settings, setup.arms)))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _user_functions(setup: ComparisonSetup) -> list[Callable[..., object]]:
    values: list[object] = [setup.settings.build, setup.settings.data]
    for arm in setup.arms.values():
        values += [arm.schedule, arm.optimizer, arm.callbacks]
    # The function inside a `functools.partial` is the one whose module matters.
    return [getattr(value, "func", value) for value in values if callable(value)]


def _user_module(function: Callable[..., object]) -> ModuleType | None:
    """Return the module that defines a function, or None if it is an installed one or `__main__`."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__" or module.__name__.startswith("onecycle."):
        return None
    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    return None if any(Path(file).is_relative_to(path) for path in installed) else module

"""Tasks spread over processes of this machine, or over a Dask or Ray cluster, by joblib."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from onecycle.workers.environment import backend_variables, device_variables, thread_variables
from onecycle.workers.process import WorkerSetup, keras_settings, run_in_subprocess, run_in_worker

MOST_FAILURES = 3  # in a row, without a task that ended; our choice


@dataclass(frozen=True)
class WorkerTask:
    """A call of a function in another process.

    Attributes:
        key: Distinguishes it from the other tasks.
        name: What errors call it.
        arguments: The arguments of the function.
    """

    key: Hashable
    name: str
    arguments: tuple[Any, ...]


Results = Iterator[tuple[Any, Any]]  # pairs (key of the task, what the function returned)


def run_tasks(
    payload: bytes,
    tasks: Sequence[WorkerTask],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    recovered: Callable[[Sequence[Any]], Results] = lambda keys: iter(()),
) -> Results:
    """Call a function in other processes, and yield the key of each task and its result when it ends, in any order.

    Args:
        payload: The function, as `sending.pickled` returned it.
        tasks: Its calls.
        jobs: Number of processes on this machine.
        cluster: None, "dask://host:port", "ray" or "ray://host:port"; then `jobs` has no effect.
        recovered: Returns what is known of tasks, by their keys, whose processes were killed.

    Raises:
        RuntimeError: If a call fails, or worker processes are killed repeatedly.
    """
    if cluster is None:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        # Joblib gives up a whole pool when one of its processes is killed.
        attempt, lost, advice = partial(_in_pool, payload, jobs=jobs), BrokenProcessPool, f"fewer than {jobs} jobs"
    elif cluster.startswith("dask"):
        from distributed.client import FutureCancelledError

        # So does Dask, where the killed worker was the only one that held what the tasks share.
        attempt, lost, advice = partial(_on_cluster, payload, cluster=cluster), FutureCancelledError, "fewer workers"
    else:
        return _on_cluster(payload, tasks, cluster)
    return _repeated(attempt, tasks, lost, advice, recovered)


def _repeated(
    attempt: Callable[[Sequence[WorkerTask]], Results],
    tasks: Sequence[WorkerTask],
    lost: type[BaseException],
    advice: str,
    recovered: Callable[[Sequence[Any]], Results],
) -> Results:
    """Run tasks, and those that are lost with a killed process once more.

    Args:
        attempt: Runs tasks.
        tasks: The tasks.
        lost: The exception with which an attempt then ends.
        advice: What to try if that happens repeatedly.
        recovered: As in `run_tasks`.
    """
    finished: set[Hashable] = set()
    failures = 0
    while missing := [task for task in tasks if task.key not in finished]:
        before = len(finished)
        try:
            for key, result in attempt(missing):
                finished.add(key)
                yield key, result
        except lost as error:
            # Some results may have been written that were not returned yet.
            for key, result in recovered([task.key for task in missing if task.key not in finished]):
                finished.add(key)
                yield key, result
            failures = 0 if len(finished) > before else failures + 1
            if failures == MOST_FAILURES:
                raise RuntimeError(
                    f"The worker processes were killed {MOST_FAILURES} times in a row before any training ended, "
                    f"perhaps because memory ran out. Try {advice}."
                ) from error


def _in_pool(payload: bytes, tasks: Sequence[WorkerTask], jobs: int) -> Results:
    from joblib import parallel_config

    # Each process would otherwise start a thread per core.
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = backend_variables() | thread_variables(threads) | device_variables(jobs)
    with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=threads):
        yield from _distributed(_keyed_in_worker, payload, tasks, environment)


def _on_cluster(payload: bytes, tasks: Sequence[WorkerTask], cluster: str) -> Results:
    with _joblib_cluster(cluster) as streams:
        yield from _distributed(_keyed_in_subprocess, payload, tasks, backend_variables(), streams=streams)


def _distributed(
    run: Callable[..., Any],
    payload: bytes,
    tasks: Sequence[WorkerTask],
    environment: dict[str, str],
    *,
    streams: bool = True,
) -> Results:
    """Have joblib run the tasks, and yield their results.

    Args:
        run: Function that runs one task in a worker.
        payload: The function of the tasks.
        tasks: The tasks.
        environment: Environment variables for the workers.
        streams: Whether joblib's backend can return each result when it is ready, rather than all at the end.
    """
    from joblib import Parallel, delayed

    # Sent once for all tasks, since it may contain large arrays.
    shared = np.frombuffer(payload, dtype=np.uint8)
    setup = WorkerSetup(environment, keras_settings())
    # Batches of one task, so that each result is returned as soon as its task ends.
    parallel = Parallel(return_as="generator_unordered" if streams else "list", batch_size=1, pre_dispatch="all")
    yield from parallel(delayed(run)(shared, task, setup) for task in tasks)


def _keyed_in_worker(payload: Any, task: WorkerTask, setup: WorkerSetup) -> tuple[Any, Any]:
    return task.key, run_in_worker(payload, task.arguments, setup)


def _keyed_in_subprocess(payload: Any, task: WorkerTask, setup: WorkerSetup) -> tuple[Any, Any]:
    return task.key, run_in_subprocess(payload, task.name, task.arguments, setup)


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

"""Where the runs of a comparison are made: in this process, in others, on a Dask or a Ray cluster; all by joblib."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.arms import Arm
from onecycle.comparison.joint_training import trained_together
from onecycle.comparison.runs import Setting, train_run
from onecycle.comparison.store import Store
from onecycle.comparison.worker import Surroundings, keras_settings, work, work_apart
from onecycle.keras_support import backends
from onecycle.results.comparison import RunRecord

Task = tuple[str, int]  # arm, seed
PASSED_ON = ("ONECYCLE_DATA", "TF_CPP_MIN_LOG_LEVEL", "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_X64")


@dataclass(frozen=True)
class Job:
    """The runs to make.

    Attributes:
        setting: What all runs share.
        arms: Name -> arm.
        store: Where each run writes its record as it ends, or None.
    """

    setting: Setting
    arms: dict[str, Arm]
    store: Store | None


def make_runs(job: Job, tasks: Sequence[Task], *, jobs: int, cluster: str | None) -> Iterator[RunRecord]:
    """Make the runs and yield each one's record as it ends, in any order, each once.

    Args:
        job: What to do.
        tasks: The runs that are missing.
        jobs: Number of processes on this machine; 1 is this process itself.
        cluster: None, "dask://host:port", "ray" or "ray://host:port".
    """
    if not tasks:
        return iter(())
    if cluster is not None:
        return _on_cluster(job, tasks, cluster)
    return _in_processes(job, tasks, jobs) if jobs != 1 else _here(job, tasks)


def _here(job: Job, tasks: Sequence[Task]) -> Iterator[RunRecord]:
    for record in _made_here(job, tasks):
        if job.store is not None:
            job.store.write(record)
        yield record


def _made_here(job: Job, tasks: Sequence[Task]) -> Iterator[RunRecord]:
    made = set()
    for record in trained_together(job.setting, job.arms, tasks):
        made.add((record.arm, record.seed))
        yield record
    for arm, seed in tasks:
        if (arm, seed) not in made:
            yield train_run(job.setting, job.arms[arm], seed)


def _in_processes(job: Job, tasks: Sequence[Task], jobs: int) -> Iterator[RunRecord]:
    """Processes of this machine. Where one is killed, joblib gives all of them up: what is missing is begun anew."""
    from joblib import parallel_config
    from joblib.externals.loky.process_executor import BrokenProcessPool

    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = _environment() | _threads(threads) | _devices(jobs)
    done: set[Task] = set()
    pauses = 0
    while missing := [task for task in tasks if task not in done]:
        before = len(done)
        try:
            with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=threads):
                for record in _spread(work, job, missing, environment):
                    done.add((record.arm, record.seed))
                    yield record
        except BrokenProcessPool as error:
            for record in _written(job, [task for task in missing if task not in done]):
                done.add((record.arm, record.seed))
                yield record
            pauses = 0 if len(done) > before else pauses + 1
            if pauses == 3:
                raise RuntimeError(
                    f"The processes were killed three times over without ending a run, perhaps for lack of memory: try "
                    f"fewer than jobs={jobs}."
                ) from error


def _written(job: Job, tasks: Sequence[Task]) -> Iterator[RunRecord]:
    """The records that were written by processes which died before they could hand them over."""
    if job.store is None:
        return
    for arm, seed in tasks:
        record = job.store.read(arm, seed, job.setting.identity(job.arms[arm], seed))
        if record is not None:
            yield record


def _on_cluster(job: Job, tasks: Sequence[Task], cluster: str) -> Iterator[RunRecord]:
    with _cluster(cluster) as streams:
        for record in _spread(work_apart, job, tasks, _environment(), streams=streams):
            # The workers' folder may be another machine's.
            if job.store is not None and not job.store.path(record.arm, record.seed).exists():
                job.store.write(record)
            yield record


def _spread(
    do: Callable[..., Any], job: Job, tasks: Sequence[Task], environment: dict[str, str], *, streams: bool = True
) -> Iterator[RunRecord]:
    from joblib import Parallel, delayed

    payload = np.frombuffer(_packed(job), dtype=np.uint8)
    around = Surroundings(environment, keras_settings(), None if job.store is None else str(job.store.directory))
    return_as = "generator_unordered" if streams else "list"
    # One by one, so that each record is there as soon as its run has ended.
    parallel = Parallel(return_as=return_as, batch_size=1, pre_dispatch="all")
    yield from parallel(delayed(do)(payload, arm, seed, around) for arm, seed in tasks)


@contextmanager
def _cluster(cluster: str) -> Iterator[bool]:
    """Joblib's backend for that cluster; yields whether it hands over each result as it comes."""
    from joblib import parallel_config

    kind, _, address = cluster.partition("://")
    if kind == "dask" and address:
        from distributed import Client

        with Client(f"tcp://{address}"), parallel_config(backend="dask", n_jobs=-1):
            yield True
    elif kind == "ray":
        import ray
        from ray.util.joblib import register_ray

        if not ray.is_initialized():
            ray.init(address=cluster if address else None, log_to_driver=False)
        register_ray()
        with parallel_config(backend="ray", n_jobs=-1):
            yield False
    else:
        raise ValueError(
            f'Argument `cluster` must be "dask://host:port", "ray" or "ray://host:port". Received: cluster={cluster!r}'
        )


def _packed(job: Job) -> bytes:
    """The job as bytes that a process can read which has none of the person's own modules."""
    import cloudpickle

    own = {_module(function) for function in _functions(job)} - {None}
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps((job.setting, job.arms)))
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _functions(job: Job) -> list[Any]:
    given = [job.setting.build, job.setting.data]
    for arm in job.arms.values():
        given += [arm.schedule, arm.optimizer, arm.callbacks]
    return [getattr(one, "func", one) for one in given if callable(one)]


def _module(function: Callable[..., Any]) -> Any:
    """The module that a function is from, if it is a person's own and not an installed one."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__" or module.__name__.startswith("onecycle."):
        return None
    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    return None if any(Path(file).is_relative_to(path) for path in installed) else module


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"KERAS_BACKEND": backends.name(), **passed_on}


def _threads(threads: int) -> dict[str, str]:
    """The variables that tell the backends how many threads to use; joblib sets those of the numeric libraries."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        "NPROC": count,  # XLA's pool on a CPU
    }


def _devices(jobs: int) -> dict[str, str]:
    """The machine's GPUs, of which each process takes its own; where they share one, none may take all its memory."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = _gpus() if visible is None else visible.split(",")
    if not devices or devices == [""]:
        return {}
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {"ONECYCLE_DEVICES": ",".join(devices), **(shared if jobs > len(devices) else {})}


def _gpus() -> list[str]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    found = subprocess.run(
        [command, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return found.stdout.split() if found.returncode == 0 else []

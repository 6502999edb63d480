"""What of a comparison is there already: the records in its folder that are of these very runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onecycle.comparison.execution import Job, Task
from onecycle.comparison.runs import Setting, machine, versions
from onecycle.comparison.sample_run import Example
from onecycle.results.comparison import RunRecord

START = {"data": "data", "initial_weights": "initial weights"}  # as a record's config has them, and in words


def found(job: Job, tasks: Sequence[Task], starts: Mapping[int, Mapping[str, Any]]) -> dict[Task, RunRecord]:
    """Returns the records of the folder that these runs need not be made for; what is another's is moved aside.

    The identity of a record holds the source of `build` and of `data`, but not what else they read: a global, a file.
    So the data and the initial weights that they give now are held against those of the records, for the first seed
    that has any. Where these are others, every seed is looked at.

    Args:
        job: What is to be made.
        tasks: The runs, in order.
        starts: Seed -> its start, as far as it is known already.
    """
    if job.store is None:
        return {}
    read = {task: job.store.read(*task, job.setting.identity(job.arms[task[0]], task[1])) for task in tasks}
    records = {task: record for task, record in read.items() if record is not None}
    for task, changed in _changed(job.setting, records, starts).items():
        if _made_as_here(records[task]):
            job.store.set_aside(*task, f"was made from other {changed} than there are now.")
            del records[task]
        else:  # the last bits of initial weights need not be the same there
            job.store.problems.append(
                f"{job.store.path(*task).name} was made with other versions, or on another machine, and from other "
                f"{changed} than there are here now; it is used."
            )
    job.store.note_strangers({job.store.path(*task) for task in tasks})
    return records


def _changed(
    setting: Setting, records: Mapping[Task, RunRecord], starts: Mapping[int, Mapping[str, Any]]
) -> dict[Task, str]:
    """What was another when a record was made, in words, for those of which that is true."""
    changed: dict[Task, str] = {}
    for seed in dict.fromkeys(seed for _, seed in records):
        start = starts[seed] if seed in starts else _start(setting, seed)
        different = {task: _different(records[task].config, start) for task in records if task[1] == seed}
        if any(different.values()):
            # What is another at every call says nothing of the records; that the runs are no pairs is told elsewhere.
            unsteady = _different(start, _start(setting, seed))
            different = {task: [name for name in names if name not in unsteady] for task, names in different.items()}
        if not any(different.values()):
            break
        changed |= {task: " and ".join(START[name] for name in names) for task, names in different.items() if names}
    return changed


def _start(setting: Setting, seed: int) -> dict[str, Any]:
    return Example.read(setting.build, setting.data, seed, setting.batch_size).start


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in START if one.get(name) != other.get(name)]


def _made_as_here(record: RunRecord) -> bool:
    return dict(record.machine) == machine() and dict(record.versions) == versions()

"""`compare`: several ways to train, run by run from the same starts, and what can be said of them.

compare(build, data, arms, *, seeds, epochs, batch_size=32, metric=None, mode="auto", target=None, margin=None,
        directory=None, jobs=1, cluster=None, verbose="auto") -> Comparison

comparison = compare(build, data, {"plain": {}, "1cycle": {"max_learning_rate": "auto"}}, seeds=10, epochs=20)
print(comparison.summary())
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from onecycle.comparison.arms import read_arms
from onecycle.comparison.execution import Job, Task, make_runs
from onecycle.comparison.identity import data_facts, model_facts
from onecycle.comparison.measures import (
    best_of_baseline,
    choose_metric,
    choose_mode,
    mean_curves,
    measured,
    shared_names,
)
from onecycle.comparison.resuming import found
from onecycle.comparison.runs import Setting, versions
from onecycle.comparison.sample_run import Example
from onecycle.comparison.store import Store
from onecycle.comparison.verdicts import verdicts
from onecycle.results.comparison import Comparison, RunRecord
from onecycle.suggestions.arguments import count, number


def compare(
    build: Callable[[], keras.Model],
    data: Any,
    arms: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int | Sequence[int],
    epochs: int,
    batch_size: int = 32,
    metric: str | None = None,
    mode: str = "auto",
    target: float | None = None,
    margin: float | None = None,
    directory: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    verbose: int | str = "auto",
) -> Comparison:
    """Compare ways to train a model, in pairs: for one seed every arm has the same start, data order and split.

    Before each run everything random is seeded with the run's seed, `build()` makes the model anew, and everything is
    seeded once more: Keras shuffles from the global random states, and the finder leaves them as they were, so every
    arm of a seed sees the same batches (arms of another batch size the same rows in another grouping).

    Args:
        build: Takes nothing and returns a new compiled model; called after seeding.
        data: `((x, y), (x_val, y_val))`, or a function of the seed that returns that, for a split of its own for each
            seed or for data that worker processes had better read themselves. Data sets that hold their targets go
            with None: `((train, None), (validation, None))`; their order is their own affair.
        arms: Name -> dict, the baseline first. A dict may have `schedule`, `max_learning_rate`, `optimizer`,
            `batch_size`, `momentum`, `epochs` and `callbacks` (see `onecycle.studies.arms.Arm`); an empty one is a
            plain `fit` of the model as it is compiled.
        seeds: How many (n is 0 ... n-1), or which. Below 6 no difference can be significant.
        epochs: Epochs of each run, for arms that do not have their own.
        batch_size: Rows of a batch, for arms that do not have their own. Data sets come in batches of their own.
        metric: What to compare, a key of `History.history`; by default the first one on validation data that is not
            the loss. The main verdict is on its value after the last epoch, what training leaves one with. Which there
            are is seen before the runs, on one batch of the validation data, but for those that callbacks add.
        mode: "max" where higher is better, "min" where lower is, "auto" to tell by the name.
        target: Value of the metric that steps, epochs, samples and seconds are counted to, the finder's included. By
            default the mean over seeds of the baseline's best, of its runs that do not diverge if there are any. A run
            that never reaches it is censored, not dropped: it counts as no longer than it was. One
            that diverges is worse than any that reaches it.
        margin: Difference of the metric that does not matter, given before the runs. Without it nothing is ever found
            to make "no practical difference".
        directory: Folder for the records, one file a run, written as it ends. Started again with the same folder, only
            what is missing is run. Without a folder nothing is kept but the result.
        jobs: Processes on this machine, each with its share of the cores and, where there are GPUs, its own; 1 is this
            process alone. `build`, `data` and the arms' functions travel to them with their module, not with what that
            module imports.
        cluster: "dask://host:port", "ray" or "ray://host:port", in place of `jobs`: a cluster whose workers have
            onecycle and the backend installed. Each run has a process of its own there. With a folder that the workers
            share, a run is kept even if this process is killed meanwhile.
        verbose: 0 for silence, 1 for a progress bar, "auto" for 1.

    Returns:
        A `Comparison`.

    Raises:
        TypeError, ValueError: For bad arguments, before any run.
        RuntimeError: If a run fails, with its arm and seed; the records of those that ended are kept.

    Warns:
        UserWarning: For each file in the folder that stands in a record's place and is torn, another run's, or made
            from other data or initial weights than there are now. It is moved aside, and used only if these are
            what is asked for again.

    Example:

    ```python
    arms = {"plain": {}, "1cycle": {"max_learning_rate": "auto"}}
    comparison = compare(build, data, arms, seeds=10, epochs=20, margin=0.002, directory="runs")
    print(comparison.summary())
    ```
    """
    read = {arm.name: arm for arm in read_arms(arms)}
    chosen = _seeds(seeds)
    _check(build, data, epochs, batch_size, mode, target, margin, jobs, cluster)
    example = Example.read(build, data, chosen[0], batch_size)
    rows = example.batch_size(batch_size, read.values())
    facts = {"model": model_facts(example.model), "data": data_facts(data)}
    expected, starts = example.expected(rows, read.values()), {chosen[0]: example.start}
    expected.settled((), metric, mode)
    example.try_arms(read.values(), epochs, rows)
    del example  # a model takes room that the runs may need
    setting = Setting(build, data, epochs, rows, facts)
    store = None if directory is None else Store(Path(directory))
    job = Job(setting, read, store)
    tasks = [(name, seed) for seed in chosen for name in read]  # a seed's arms together, so that pairs end early
    records = found(job, tasks, starts)
    metric, mode = expected.settled(records.values(), metric, mode)
    records = _all_records(job, tasks, records, jobs, cluster, verbose)
    settings = {"epochs": epochs, "batch_size": rows, "arms": {n: setting.config(arm) for n, arm in read.items()}}
    problems = [*(store.problems if store is not None else ()), *unpaired(records, read, chosen)]
    return concluded(
        [records[name, seed] for name in read for seed in chosen],
        tuple(read), chosen, metric=metric, mode=mode, target=target, margin=margin, config=settings, problems=problems,
    )  # fmt: skip


def concluded(
    records: Sequence[RunRecord],
    arms: tuple[str, ...],
    seeds: tuple[int, ...],
    *,
    metric: str | None = None,
    mode: str = "auto",
    target: float | None = None,
    margin: float | None = None,
    config: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
) -> Comparison:
    """Returns the result of a comparison whose runs are all there."""
    metric = choose_metric(shared_names(records), metric)
    mode = choose_mode(metric, mode)
    target_from = "given before the runs"
    if target is None:
        target, target_from = best_of_baseline([record for record in records if record.arm == arms[0]], metric, mode)
    runs = tuple(measured(record, metric, mode, target) for record in records)
    return Comparison(
        arms=arms,
        seeds=seeds,
        runs=runs,
        verdicts=verdicts(runs, arms, mode, margin),
        metric=metric,
        mode=mode,
        target=target,
        target_from=target_from,
        margin=margin,
        curves=mean_curves(runs, arms, metric),
        config=dict(config or {}),
        problems=tuple(problems),
        versions=versions(),
    )


def unpaired(records: Mapping[Task, RunRecord], arms: Mapping[str, Any], seeds: Sequence[int]) -> list[str]:
    """Returns a sentence for each seed whose arms did not have the same start, and for records of other versions."""
    problems = []
    for seed in seeds:
        for what, told in (
            ("initial_weights", "initial weights: `build` is not settled by the seed"),
            ("data", "data"),
        ):
            if len({records[name, seed].config[what] for name in arms}) > 1:
                problems.append(f"With seed {seed} the arms did not have the same {told}, so they are no fair pairs.")
    different = {tuple(sorted(record.versions.items())) for record in records.values()}
    if len(different) > 1:
        problems.append(
            f"The runs were made with {len(different)} different sets of versions; each record tells its own."
        )
    if len({"trained" in record.config for record in records.values()}) > 1:
        problems.append(
            "Some runs were trained together in one program and others one by one: their seconds cannot be compared."
        )
    return problems


def _all_records(
    job: Job,
    tasks: Sequence[Task],
    records: dict[Task, RunRecord],
    jobs: int,
    cluster: str | None,
    verbose: int | str,
) -> dict[Task, RunRecord]:
    """The records of all runs: those that are there, and the others made now."""
    bar = keras.utils.Progbar(len(tasks), unit_name="run") if verbose else None
    missing = [task for task in tasks if task not in records]
    if bar is not None and records:
        bar.update(len(records))
    for record in make_runs(job, missing, jobs=jobs, cluster=cluster):
        records[record.arm, record.seed] = record
        if bar is not None:
            bar.update(len(records))
    return records


def _seeds(seeds: Any) -> tuple[int, ...]:
    if isinstance(seeds, numbers.Integral):
        return tuple(range(count("seeds", seeds)))
    given: list[Any] = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes) else [None]
    whole = all(isinstance(seed, numbers.Integral) and not isinstance(seed, bool) for seed in given)
    if not given or not whole or min(given) < 0 or len(set(given)) < len(given):
        raise ValueError(f"Argument `seeds` must be a number >= 1, or different seeds >= 0. Received: seeds={seeds!r}")
    return tuple(sorted(map(int, given)))


def _check(
    build: Any, data: Any, epochs: int, batch_size: int, mode: str, target: Any, margin: Any, jobs: int, cluster: Any
) -> None:
    """Raise for bad arguments before anything is built or read."""
    if not callable(build):
        raise TypeError(f"Argument `build` must be a function that returns a compiled model. Received: build={build!r}")
    if mode not in ("auto", "max", "min"):
        raise ValueError(f'Argument `mode` must be "auto", "max" or "min". Received: mode={mode!r}')
    count("epochs", epochs)
    count("batch_size", batch_size)
    count("jobs", jobs)
    if target is not None:
        number("target", target)
    if margin is not None:
        number("margin", margin, above=0)
    if cluster is not None and jobs != 1:
        raise ValueError(f"Give either `jobs` or `cluster`. Received: jobs={jobs}, cluster={cluster!r}")

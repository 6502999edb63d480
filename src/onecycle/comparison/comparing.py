"""`compare`: a paired comparison of several ways to train one model."""

from __future__ import annotations

import numbers
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import keras

from onecycle.comparison.arms import read_arms
from onecycle.comparison.dry_run import DryRun
from onecycle.comparison.errors import SettingError
from onecycle.comparison.evaluation import comparison_from_records, pairing_problems
from onecycle.comparison.execution import ComparisonSetup, make_runs
from onecycle.comparison.resuming import reusable_records
from onecycle.comparison.runs import RunKey, SharedSettings
from onecycle.comparison.splits import Data, checked_data
from onecycle.comparison.store import Store
from onecycle.comparison.verdict_sentences import plan_sentence
from onecycle.keras_support.identity import data_identity, model_identity
from onecycle.results.comparison import Comparison
from onecycle.results.metrics import check_mode
from onecycle.results.runs import RunRecord
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import MAX_SEED, check_integer, check_number, check_path, check_verbose, described
from onecycle.workers.arguments import check_workers


@suggest_names()
def compare(
    build: Callable[[], keras.Model],
    data: Data,
    arms: Mapping[str, Mapping[str, object]],
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
    """Compare ways to train a model in pairs: for one seed, all arms have the same start, data order and split.

    All random generators are seeded with the run's seed before the data is loaded, before `build()` and before the
    training. Keras shuffles with the global random state, and the range test restores that state, so every arm of a
    seed sees the same batches. For arms with another batch size, the same order of rows is divided into other batches.

    Args:
        build: Function without arguments that returns a new compiled model. It is called after seeding.
        data: `((x, y), (x_val, y_val))`, or a function of the seed that returns that. Use a function for another split
            with each seed, and for data that worker processes should read themselves. Each array may be of any kind
            that `fit` takes. A model that needs no targets has `((x,), (x_val,))`. Data sets that contain their targets
            stand alone: `(train, validation)`; `compare` does not control their order.
        arms: Name -> dict, the baseline first and at least one other arm. A dict may have the keys `schedule`,
            `max_learning_rate`, `optimizer`, `batch_size`, `momentum`, `epochs` and `callbacks`, see
            `onecycle.comparison.arms.Arm`. An empty dict is a plain `fit` of the model as it was compiled.
        seeds: The number of seeds (n stands for 0 ... n-1), or the seeds. With fewer than 3 there is no verdict and no
            interval.
        epochs: Epochs of each run, for arms that do not set their own.
        batch_size: Batch size, for arms that do not set their own. It has no effect on data sets.
        metric: The metric to compare, a key of `History.history`. The default is the first one on validation data that
            is not the loss. The main verdict is on its value after the last epoch, which is what the trained model has.
            Before the runs, one batch of the validation data shows which metrics there are, except for those that
            callbacks add.
        mode: "max" where a higher metric is better, "min" where a lower one is, or "auto" to infer it from the name.
        target: Value of the metric that the times to the target are measured to: steps, epochs, samples and seconds,
            including those of the range test. The default is the mean over seeds of the baseline's best value, without
            runs that diverged if there are others. A run that never reaches the target is censored at its length, not
            dropped. A run that diverged is worse than any that reached the target.
        margin: Largest difference of the metric that is of no practical interest, > 0, chosen before the runs. Without
            it the verdict is never "no practical difference".
        directory: Folder for the records, one file per run, written when the run ends. If the comparison is started
            again with the same folder, only the missing runs are trained. Without a folder, only the result is kept.
        jobs: Number of processes on this machine, each with its share of the cores and, if there are GPUs, with a GPU.
            With 1, the runs are trained in this process. `build`, `data` and the functions of the arms are sent to the
            processes with the module that defines them, but without the modules which that module imports.
        cluster: "dask://host:port", "ray" or "ray://host:port" instead of `jobs`: a cluster whose workers have onecycle
            and the backend installed. Each run uses a separate process there. With a folder that the workers share, a
            run is kept even if this process is killed.
        verbose: 0 for no output, 2 for one line before the first run, which says how large a difference these seeds can
            show, and 1 for that line and a progress bar. "auto" is 1.

    Returns:
        A `Comparison`.

    Raises:
        TypeError, ValueError: For invalid arguments, before any run.
        RuntimeError: If a run fails. The message names its arm and seed, and the records of finished runs are kept.

    Warns:
        UserWarning: For each record in the folder that is damaged, belongs to another run, or was made from other data
            or initial weights. The file is moved aside, and used again only by a comparison to which it belongs.

    Example:

    ```python
    arms = {"plain": {}, "1cycle": {"max_learning_rate": "auto"}}
    comparison = compare(build, data, arms, seeds=10, epochs=20, margin=0.002, directory="runs")
    print(comparison.summary())
    ```
    """
    parsed_arms = {arm.name: arm for arm in read_arms(arms)}
    all_seeds = _seeds(seeds)
    _check_options(build, mode)
    target = None if target is None else check_number("target", target)
    margin = None if margin is None else check_number("margin", margin, above=0)
    epochs, batch_size = check_integer("epochs", epochs), check_integer("batch_size", batch_size)
    _check_workers(jobs, cluster)
    check_verbose(verbose)
    folder = None if directory is None else check_path("directory", directory)
    data = checked_data(data)
    # One model and one batch of validation data show most errors before hours of training.
    dry_run = DryRun.start(build, data, all_seeds[0], batch_size)
    rows = dry_run.resolve_batch_size(batch_size, parsed_arms.values())
    identities = {"model": model_identity(dry_run.model), "data": data_identity(data)}
    history, digests = dry_run.history_keys(rows, parsed_arms.values()), {all_seeds[0]: dry_run.digests}
    history.resolve_metric((), metric, mode)
    dry_run.check_arms(parsed_arms.values(), epochs, rows)
    del dry_run  # its model takes memory that the runs may need
    settings = SharedSettings(build, data, epochs, rows, identities)
    store = None if folder is None else Store(folder)
    setup = ComparisonSetup(settings, parsed_arms, store)
    # Seed by seed, so that pairs are complete early.
    keys = [(name, seed) for seed in all_seeds for name in parsed_arms]
    records = reusable_records(setup, keys, digests)
    # Once more: existing records may lack a metric that the dry run found.
    metric, mode = history.resolve_metric(records.values(), metric, mode)
    records |= _missing_records(setup, keys, records, jobs=jobs, cluster=cluster, verbose=verbose)
    arm_configs = {name: settings.config(arm) for name, arm in parsed_arms.items()}
    config = {"epochs": epochs, "batch_size": rows, "arms": arm_configs}
    problems = [*(store.problems if store is not None else ()), *pairing_problems(records, parsed_arms, all_seeds)]
    return comparison_from_records(
        [records[name, seed] for name in parsed_arms for seed in all_seeds], tuple(parsed_arms), all_seeds,
        metric=metric, mode=mode, target=target, margin=margin, config=config, problems=problems,
    )  # fmt: skip


def _missing_records(
    setup: ComparisonSetup,
    keys: Sequence[RunKey],
    records: Mapping[RunKey, RunRecord],
    *,
    jobs: int,
    cluster: str | None,
    verbose: int | str,
) -> dict[RunKey, RunRecord]:
    """Train the runs that have no record yet, show the progress, and return the records.

    Before the first run, the number of seeds can still be changed, so the output begins with what it will show.
    """
    if verbose and len(records) < len(keys):
        sys.stdout.write(plan_sentence(len({seed for _, seed in keys}), len(setup.arms) - 1) + "\n")
        sys.stdout.flush()
    bar = keras.utils.Progbar(len(keys), unit_name="run") if verbose and verbose != 2 else None
    if bar is not None and records:
        bar.update(len(records))
    made: dict[RunKey, RunRecord] = {}
    for record in make_runs(setup, [key for key in keys if key not in records], jobs=jobs, cluster=cluster):
        made[record.arm, record.seed] = record
        if bar is not None:
            bar.update(len(records) + len(made))
    return made


def _seeds(seeds: object) -> tuple[int, ...]:
    if isinstance(seeds, numbers.Integral):
        return tuple(range(check_integer("seeds", seeds)))
    # Iterating over a string would give its characters.
    given = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes) else []
    integers = all(isinstance(seed, numbers.Integral) and not isinstance(seed, bool) for seed in given)
    if not given or not integers or min(given) < 0 or max(given) > MAX_SEED or len(set(given)) < len(given):
        raise ValueError(
            f"Argument `seeds` must be a number >= 1, or a sequence of different seeds from 0 to {MAX_SEED}. "
            f"Received: seeds={described(seeds)}"
        )
    return tuple(sorted(map(int, given)))


def _check_options(build: object, mode: str) -> None:
    if not callable(build):
        raise TypeError(f"Argument `build` must be a function that returns a compiled model. Received: build={build!r}")
    check_mode(mode)


def _check_workers(jobs: int, cluster: str | None) -> None:
    try:
        check_workers(jobs, cluster)
    except ValueError as error:
        raise SettingError(str(error)) from None

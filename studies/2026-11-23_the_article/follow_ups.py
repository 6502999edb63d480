"""Follow-up experiments, outside the protocol: the article's figures, a swept peak and a longer cycle."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from onecycle.comparison import compare
from onecycle.comparison.article.protocol import (
    BASELINE,
    CYCLE,
    PROTOCOLS,
    ArmOptions,
    Protocol,
    constant,
    constant_name,
    sgd,
)
from onecycle.comparison.article.reproduction import CompareOptions, choose_rates, copy_records
from onecycle.comparison.article.task_runs import task_model, task_split
from onecycle.results import Comparison

# The range test picked too low a peak for this task. Does a sweep pick a better one?
SWEPT_TASK = "boston-housing"

# With the first seed, the cycle of 15 epochs ended just below 82 %. Does a longer one exceed that?
LONGER_TASK, LONGER_EPOCHS = "cifar10", 25

# The article's figure: training loss at constant learning rates from far too low to far too high.
PICTURE_TASK, PICTURE_EPOCHS = "cifar10", 2
PICTURE_RATES = tuple(10.0**power for power in range(-6, 2))

# The article's warning: the same peaks with batch size 2048.
BATCH_SIZES, BATCH_EPOCHS, BATCH_RATES = (32, 2048), 3, (0.03, 0.3, 3.0)


def extras(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> dict[str, Comparison]:
    """Reproduce the article's figure of training losses at eight rates, and check its warning about batch size 2048.

    Args:
        directory: Folder for the records.
        jobs: Number of processes.
        verbose: As in `compare`.
    """
    name = PICTURE_TASK
    build, data = functools.partial(task_model, name), functools.partial(task_split, name)
    arms = {"picture": (picture_arms(), PICTURE_EPOCHS), "batch-size": (batch_arms(), BATCH_EPOCHS)}
    return {
        experiment: compare(
            build, data, options, seeds=1, epochs=epochs, metric="loss", jobs=jobs, verbose=verbose,
            directory=Path(directory) / name / experiment,
        )
        for experiment, (options, epochs) in arms.items()
    }  # fmt: skip


def swept(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """Compare main arms of a task, whose runs exist, with a cycle at the peak that a sweep picks.

    Args:
        directory: Folder for the records.
        jobs: Number of processes.
        verbose: As in `compare`.
    """
    protocol = PROTOCOLS[SWEPT_TASK]
    folder, options = Path(directory) / SWEPT_TASK, compare_options(protocol, jobs, verbose)
    tuned, _ = choose_rates(protocol, folder / "grid", options)
    return with_new_arm(protocol, swept_arms(protocol, tuned), folder, "swept", options)


def longer(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """Compare main arms of a task, whose runs exist, with a longer cycle.

    Args:
        directory: Folder for the records.
        jobs: Number of processes.
        verbose: As in `compare`.
    """
    protocol = PROTOCOLS[LONGER_TASK]
    options = compare_options(protocol, jobs, verbose)
    return with_new_arm(protocol, longer_arms(protocol), Path(directory) / LONGER_TASK, "longer", options)


def swept_arms(protocol: Protocol, tuned: Mapping[float, float]) -> dict[str, ArmOptions]:
    """Return the tuned constant with momentum, the cycle, and the cycle at the peak that a sweep picks.

    Args:
        protocol: Protocol of the task.
        tuned: Momentum -> the constant rate chosen with the grid.
    """
    main = protocol.main_arms(tuned)
    arms = {name: main[name] for name in (constant_name(0.9, tuned[0.9]), CYCLE)}
    return arms | {f"{CYCLE}, swept": main[CYCLE] | {"max_learning_rate": "sweep"}}


def longer_arms(protocol: Protocol) -> dict[str, ArmOptions]:
    """Return the baseline, the cycle, and a longer cycle."""
    main = protocol.main_arms({})
    arms = {name: main[name] for name in (BASELINE, CYCLE)}
    return arms | {f"{CYCLE}, {LONGER_EPOCHS} epochs": main[CYCLE] | {"epochs": LONGER_EPOCHS}}


def picture_arms() -> dict[str, ArmOptions]:
    """Return SGD with momentum at each learning rate of the figure."""
    return {f"rate {rate:g}": constant(0.9, rate) for rate in PICTURE_RATES}


def batch_arms() -> dict[str, ArmOptions]:
    """Return 1cycle with the same peaks at a small and a large batch size."""
    return {
        f"peak {rate:g}, batch {size}": {
            "max_learning_rate": rate,
            "optimizer": sgd(0.9),
            "batch_size": size,
            "epochs": BATCH_EPOCHS,
        }
        for rate in BATCH_RATES
        for size in BATCH_SIZES
    }


def compare_options(protocol: Protocol, jobs: int, verbose: int | str) -> CompareOptions:
    """Return the arguments of `compare` that do not depend on the experiment.

    Args:
        protocol: Protocol of the task.
        jobs: Number of processes.
        verbose: As in `compare`.
    """
    return CompareOptions(metric=f"val_{protocol.metric}", jobs=jobs, verbose=verbose)


def with_new_arm(
    protocol: Protocol, arms: Mapping[str, ArmOptions], folder: Path, experiment: str, options: CompareOptions
) -> Comparison:
    """Compare main arms with a new arm, using the records of the main arms.

    Args:
        protocol: Protocol of the task.
        arms: The main arms and, last, the new arm.
        folder: Folder of the task.
        experiment: Name of the experiment and of its folder.
        options: Other arguments of `compare`.
    """
    copy_records(list(arms)[:-1], folder / "main", folder / experiment, protocol.seeds)
    build, data = functools.partial(task_model, protocol.task), functools.partial(task_split, protocol.task)
    return compare(
        build, data, arms, seeds=protocol.seeds, epochs=protocol.epochs, margin=protocol.margin,
        directory=folder / experiment, **options,
    )  # fmt: skip

"""What the study of the article runs beside the protocol: its pictures, and what was asked after the first results."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onecycle.comparison.article.protocol import (
    BATCH_EPOCHS,
    LONGER_TASK,
    PICTURE_EPOCHS,
    PICTURE_TASK,
    PROTOCOLS,
    SWEPT_TASK,
    Protocol,
    batch_arms,
    picture_arms,
)
from onecycle.comparison.article.reproduction import choose_rates, lend
from onecycle.comparison.article.task_runs import task_model, task_split
from onecycle.comparison.comparing import compare
from onecycle.results.comparison import Comparison


def extras(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> dict[str, Comparison]:
    """The article's picture of training losses at eight rates, and its warning about batch size 2048, one seed each."""
    name = PICTURE_TASK
    build, data = functools.partial(task_model, name), functools.partial(task_split, name)
    arms: dict[str, tuple[Callable[[], dict[str, Any]], int]] = {
        "picture": (picture_arms, PICTURE_EPOCHS),
        "batch-size": (batch_arms, BATCH_EPOCHS),
    }
    return {
        what: compare(
            build, data, make(), seeds=1, epochs=epochs, metric="loss", jobs=jobs, verbose=verbose,
            directory=Path(directory) / name / what,
        )
        for what, (make, epochs) in arms.items()
    }  # fmt: skip


def swept(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """A task once more, whose main arms have been run, with a cycle at the peak that a sweep picks."""
    protocol = PROTOCOLS[SWEPT_TASK]
    folder, options = _asked(protocol, directory, jobs, verbose)
    tuned, _ = choose_rates(protocol, folder / "grid", options)
    return _once_more(protocol, protocol.swept_arms(tuned), folder, "swept", options)


def longer(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """A task once more, whose main arms have been run, with a cycle longer than the protocol's."""
    protocol = PROTOCOLS[LONGER_TASK]
    folder, options = _asked(protocol, directory, jobs, verbose)
    return _once_more(protocol, protocol.longer_arms(), folder, "longer", options)


def _asked(
    protocol: Protocol, directory: str | os.PathLike[str], jobs: int, verbose: int | str
) -> tuple[Path, dict[str, Any]]:
    """The task's folder, and what `compare` is told."""
    options = {"metric": f"val_{protocol.metric}", "jobs": jobs, "verbose": verbose}
    return Path(directory) / protocol.task, options


def _once_more(
    protocol: Protocol, arms: Mapping[str, Any], folder: Path, what: str, options: Mapping[str, Any]
) -> Comparison:
    """The main arms among these, whose records are there, and the last one, which is new."""
    lend(list(arms)[:-1], folder / "main", folder / what, protocol.seeds)
    build, data = functools.partial(task_model, protocol.task), functools.partial(task_split, protocol.task)
    return compare(
        build, data, arms, seeds=protocol.seeds, epochs=protocol.epochs, margin=protocol.margin,
        directory=folder / what, **options,
    )  # fmt: skip

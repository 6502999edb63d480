"""What the study of the article runs beside the protocol: its pictures, and what was asked after the first results."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onecycle._comparison import Comparison
from onecycle.studies import article
from onecycle.studies.article import Protocol
from onecycle.studies.comparing import compare
from onecycle.studies.reproduction import choose_rates, lend
from onecycle.studies.task_runs import task_model, task_split


def extras(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> dict[str, Comparison]:
    """The article's picture of training losses at eight rates, and its warning about batch size 2048, one seed each."""
    name = article.PICTURE_TASK
    build, data = functools.partial(task_model, name), functools.partial(task_split, name)
    arms: dict[str, tuple[Callable[[], dict[str, Any]], int]] = {
        "picture": (article.picture_arms, article.PICTURE_EPOCHS),
        "batch-size": (article.batch_arms, article.BATCH_EPOCHS),
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
    protocol = article.PROTOCOLS[article.SWEPT_TASK]
    folder, options = _asked(protocol, directory, jobs, verbose)
    tuned, _ = choose_rates(protocol, folder / "grid", options)
    return _once_more(protocol, protocol.swept_arms(tuned), folder, "swept", options)


def longer(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """A task once more, whose main arms have been run, with a cycle longer than the protocol's."""
    protocol = article.PROTOCOLS[article.LONGER_TASK]
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

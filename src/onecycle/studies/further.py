"""What the study of the article runs beside the protocol: its pictures, and what was asked after the first results."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onecycle._comparison import Comparison
from onecycle.studies import article
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
    options: dict[str, Any] = {"metric": f"val_{protocol.metric}", "jobs": jobs, "verbose": verbose}
    tuned, _ = choose_rates(protocol, Path(directory) / protocol.task / "grid", options)
    return _once_more(article.SWEPT_TASK, "swept", protocol.swept_arms(tuned), Path(directory), options)


def longer(directory: str | os.PathLike[str], *, jobs: int = 1, verbose: int | str = "auto") -> Comparison:
    """A task once more, whose main arms have been run, with a cycle longer than the protocol's."""
    protocol = article.PROTOCOLS[article.LONGER_TASK]
    options: dict[str, Any] = {"metric": f"val_{protocol.metric}", "jobs": jobs, "verbose": verbose}
    return _once_more(article.LONGER_TASK, "longer", protocol.longer_arms(), Path(directory), options)


def _once_more(
    name: str, what: str, arms: Mapping[str, Any], directory: Path, options: Mapping[str, Any]
) -> Comparison:
    """The main arms among these, whose records are there, and the last one, which is new."""
    protocol, folder = article.PROTOCOLS[name], directory / name
    lend(list(arms)[:-1], folder / "main", folder / what, protocol.seeds)
    build, data = functools.partial(task_model, name), functools.partial(task_split, name)
    return compare(
        build, data, arms, seeds=protocol.seeds, epochs=protocol.epochs, margin=protocol.margin,
        directory=folder / what, **options,
    )  # fmt: skip

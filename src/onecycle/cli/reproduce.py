"""`onecycle reproduce`: the article's experiments on their own data."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from onecycle.commands.setting import told_what_to_install


class Task(StrEnum):
    """The article's data sets."""

    boston_housing = "boston-housing"
    fashion_mnist = "fashion-mnist"
    cifar10 = "cifar10"


def reproduce(
    task: Task,
    *,
    directory: Path,
    data_dir: Path | None,
    seeds: int | None,
    epochs: int | None,
    jobs: int,
    save: Path | None,
    verbose: int | str,
) -> Any:
    """Make the runs that are missing in the folder, write the comparison if asked, and return the `Reproduction`."""
    if data_dir is not None:
        os.environ["ONECYCLE_DATA"] = str(data_dir.resolve())  # worker processes read it too
    with told_what_to_install():
        from onecycle.comparison.article import reproduction

        found = reproduction.reproduce(
            task.value, directory=directory, seeds=seeds, epochs=epochs, jobs=jobs, verbose=verbose
        )
    if save is not None:
        found.main.save(save)
    return found

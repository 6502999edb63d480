"""The race in a call of `fit_one_cycle`: its winner is the trained model."""

from __future__ import annotations

import shutil
from typing import Any

import keras

from onecycle.finding.race_request import RaceRequest, can_be_kept
from onecycle.finding.race_run import run_race
from onecycle.keras_support.types import Nested
from onecycle.training.backups.run_backup import RunBackup
from onecycle.training.cycle_spec import CycleSpec


def train_by_race(
    model: keras.Model, x: Nested, y: Nested, spec: CycleSpec, backup: RunBackup | None, **settings: Any
) -> keras.callbacks.History:
    """Train the winner of a race, and return its history.

    Args:
        model: The compiled model.
        x: Training data, as `fit` takes it.
        y: Targets, or None.
        spec: The specification of the cycles.
        backup: The backup of the run, or None.
        **settings: Other arguments of a `RaceRequest`.
    """
    folder = None
    if backup is not None:
        backup.prepare(None, 0, ())
        # Otherwise, an interrupted race starts again from its beginning.
        folder = backup.path / "race" if can_be_kept(settings) else None
    race = RaceRequest(
        momentum=spec.momentum, schedule=spec.schedule, layer_rates=spec.layer_rates, decay=spec.decay,
        directory=folder, **settings,
    )  # fmt: skip
    history = run_race(model, x, y, race)[1]
    if backup is not None:
        backup.keep_end(history)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return history


def refuse_in_race(**arguments: object) -> None:
    """Check that arguments which a race does not have were left out.

    Args:
        **arguments: The arguments by name.

    Raises:
        ValueError: For the first one that is not None.
    """
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"Argument `{name}` is not for a race, whose cycles are as long as the training. Leave it out, or pass "
                f'the peak. Received: {name}={value!r} with max_learning_rate="race"'
            )

"""The data of a race: what its candidates are trained on, and what they are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from onecycle.finding.held_out import HELD_OUT_SHARE, RandomOrder, number_held_out
from onecycle.keras_support import training_data
from onecycle.keras_support.data_sharding import evenly_divided_rows
from onecycle.keras_support.held_out_batches import hold_out_batches
from onecycle.keras_support.kept_rows import kept_rows
from onecycle.keras_support.model_state import fixed_batch_size
from onecycle.keras_support.types import Nested
from onecycle.results.metrics import check_mode, metric_direction


@dataclass(frozen=True)
class RaceData:
    """The data of a race.

    Attributes:
        x: Training data, as `fit` takes it.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        validation: The data on which the candidates are judged.
        description: A sentence on these.
    """

    x: Nested
    y: Nested
    sample_weight: Nested
    validation: Nested
    description: str


def race_data(
    model: keras.Model,
    x: Nested,
    y: Nested,
    sample_weight: Nested,
    *,
    validation_data: Nested,
    validation_split: float,
    random: RandomOrder,
) -> RaceData:
    """Return the data, with a part of the rows held out where no validation data is given.

    Args:
        model: The model.
        x: Training data, as `fit` takes it.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        validation_data: As in `fit`, or None.
        validation_split: As in `fit`: the last rows are held out; 0 for random ones.
        random: Draws the rows that are held out.

    Raises:
        ValueError: If nothing is held out of a data set, or of too few rows.
    """
    if validation_data is not None:
        return RaceData(x, y, sample_weight, validation_data, "Judged on `validation_data`.")
    if training_data.has_own_fit(model):
        x, y, sample_weight = training_data.lists_as_arrays((x, y, sample_weight))
    if not training_data.is_arrays(x):
        parts = hold_out_batches(x, HELD_OUT_SHARE, random)
        if parts is None:
            raise ValueError(
                "A race judges its candidates on held-out data, and none can be held out of this data set: its length "
                "is unknown, it has few batches, or it shuffles its rows anew in each epoch. Pass `validation_data`. "
                f"Received: validation_data=None, x of type {type(x).__name__}"
            )
        train, held_out, description = parts
        return RaceData(train, y, sample_weight, held_out, description)
    rows = training_data.count_rows(x)
    kept: slice | np.ndarray
    out: slice | np.ndarray
    if validation_split:
        number, how = rows - int(rows * (1 - validation_split)), "the last of the training rows"
        kept, out = slice(rows - number), slice(rows - number, rows)
    else:
        order, number, how = random.permutation(rows), number_held_out(rows), "training rows, drawn at random"
        # In their own order, for a `fit` that does not shuffle them.
        kept, out = np.sort(order[number:]), np.sort(order[:number])
    fixed = fixed_batch_size(model)
    train, held = (evenly_divided_rows(kept_rows((x, y, sample_weight), part), fixed) for part in (kept, out))
    validation = tuple(part for part in held if part is not None)
    description = f"Judged on {number} of {rows} {how}; no candidate was trained on them."
    return RaceData(train[0], train[1], train[2], validation, description)


class Judge:
    """Judges a model on the held-out data.

    Args:
        model: The model.
        validation: The data, as `validation_data` of `fit`.
        monitor: Name of a metric, with or without the prefix `val_`.
        mode: "min", "max", or "auto" for what the name says.
        batch_size: Rows per batch of arrays, or None for the default.
        steps: Number of batches, or None for all.

    Attributes:
        monitor: The name without the prefix.
        mode: "min" or "max".

    Raises:
        ValueError: For a mode that is none of these, or a metric whose direction is unknown.
    """

    def __init__(
        self,
        model: keras.Model,
        validation: Nested,
        *,
        monitor: str,
        mode: str,
        batch_size: int | None,
        steps: int | None,
    ) -> None:
        self._model, self._validation = model, validation
        self._arguments = {"batch_size": batch_size, "steps": steps, "verbose": 0, "return_dict": True}
        self.monitor, self.mode = monitor.removeprefix("val_"), monitor_mode(monitor, mode)

    def score(self) -> float:
        """Return the metric of the model as it is.

        Raises:
            ValueError: If the model has no such metric.
        """
        return float(self._scores()[self.monitor])

    def check(self) -> None:
        """Raise a ValueError if the model has no such metric. This evaluates the model."""
        found = self._scores()
        if self.monitor not in found:
            names = ", ".join(f'"val_{name}"' for name in found)
            raise ValueError(
                f"Argument `monitor` must be one of {names}, the metrics of the compiled model. "
                f'Received: monitor="val_{self.monitor}"'
            )

    def key(self, score: float) -> float:
        """Return a number that is lower for a better score, and infinite for one that is not finite."""
        if not np.isfinite(score):
            return np.inf
        return score if self.mode == "min" else -score

    def _scores(self) -> Mapping[str, float]:
        data = self._validation
        if not isinstance(data, tuple | list):
            return self._model.evaluate(data, **{**self._arguments, "batch_size": None})
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
        arguments = self._arguments if training_data.is_arrays(x) else {**self._arguments, "batch_size": None}
        return self._model.evaluate(x, y, sample_weight=sample_weight, **arguments)


def monitor_mode(monitor: str, mode: str) -> str:
    """Return "min" or "max", whichever is better for a metric.

    Args:
        monitor: Name of the metric.
        mode: "min", "max", or "auto" for what the name says.

    Raises:
        ValueError: If the name does not say it.
    """
    if not isinstance(monitor, str):
        raise ValueError(f'Argument `monitor` must be the name of a metric, such as "val_loss". Received: {monitor!r}')
    direction = metric_direction(monitor) if check_mode(mode) == "auto" else mode
    if direction is None:
        raise ValueError(
            f'Whether a higher `monitor` is better does not follow from its name: pass `mode="max"` or `mode="min"`. '
            f"Received: monitor={monitor!r}"
        )
    return direction

"""The loss of some rows, computed outside `fit` without a compiled function. The model is left unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np

from onecycle.keras_support.data_adapters import is_arrays, select_rows
from onecycle.keras_support.first_batch import first_batch
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.train_function import overridden_method, training_arrays
from onecycle.keras_support.training_data import count_rows

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

ClassWeight: TypeAlias = Mapping[int, float]

SAMPLE_ROWS = 256


def sample_loss(model: keras.Model, x: Nested, y: Nested = None) -> float | None:
    """Return the loss of a few rows of the training data: the first rows of arrays, the first batch of a data set.

    Args:
        model: A compiled model that has its weights. It is left unchanged.
        x: Inputs, as `Model.fit` takes them.
        y: Targets, or None.

    Returns:
        None for a generator, and for a model with its own training step, whose loss is known only there.
    """
    sample_weight = None
    if not is_arrays((x, y)):
        x, y, sample_weight = first_batch(x)
    if x is None or overridden_method(model) is not None:
        return None
    rows = range(min(SAMPLE_ROWS, count_rows(x)))
    return loss_of_rows(model, {"x": x, "y": y, "sample_weight": sample_weight}, rows)


def loss_of_rows(
    model: keras.Model, data: Mapping[str, Nested], rows: Sequence[int], class_weight: ClassWeight | None = None
) -> float:
    """Return the loss of a batch of these rows.

    Args:
        model: A compiled model that has its weights. It is left unchanged.
        data: The arrays `x`, `y` and `sample_weight`, in any nesting; None for those not given.
        rows: Which rows, increasing.
        class_weight: Weights of the classes, or None.
    """
    index = np.array(rows)
    parts = {name: select_rows(part, index) for name, part in data.items()}
    x, y, weights = training_arrays(parts["x"], parts["y"], parts["sample_weight"], class_weight)

    def loss() -> float:
        value = model.compute_loss(x=x, y=y, y_pred=model(x, training=False), sample_weight=weights)
        return float(keras.ops.convert_to_numpy(keras.ops.mean(value)))

    return preserving(model, loss)

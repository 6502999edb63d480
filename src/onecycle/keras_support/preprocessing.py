"""Models whose own `fit` preprocesses the data, as that of KerasHub's tasks does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.keras_support.data_adapters import count_rows, is_arrays, select_rows
from onecycle.keras_support.training_data import lists_as_arrays

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def preprocesses_in_fit(model: keras.Model) -> bool:
    """Return whether `fit` is that of KerasHub, which differs from Keras' only in what it does to the data before."""
    owner = next(kind for kind in type(model).__mro__ if "fit" in vars(kind))
    return owner.__module__.partition(".")[0] == "keras_hub" and hasattr(model, "preprocess_samples")


def preprocessed(
    model: keras.Model, x: Nested, y: Nested, sample_weight: Nested, *, rows: int
) -> tuple[Nested, Nested, Nested] | None:
    """Return the data as the layers of a model with such a `fit` see it, or None for data that is not in arrays.

    Args:
        model: The model.
        x: Inputs, also strings, in arrays, lists or dictionaries of them.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        rows: Number of rows that are needed. Of more, a random part is taken, always the same one.
    """
    data = lists_as_arrays((x, y, sample_weight))
    if not is_arrays(data):
        return None
    count = count_rows(data)
    if count > rows:
        chosen = np.sort(np.random.RandomState(0).permutation(count)[:rows])
        data = select_rows(data, chosen)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(model.preprocess_samples(*data))
    arrays: tuple[Nested, Nested, Nested] = keras.tree.map_structure(
        np.asarray, (x, y, sample_weight), none_is_leaf=False
    )
    return arrays

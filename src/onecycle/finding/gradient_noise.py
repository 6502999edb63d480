"""The gradients of several batches at the same weights, and their products with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.data_adapters import first_batch_of_fit, select_rows
from onecycle.keras_support.gradients import Gradients
from onecycle.keras_support.types import Nested

GradientFunction: TypeAlias = Callable[[Nested], Gradients]

# Longer gradients are folded with random signs, which keeps their products on average: the deviation is at most
# sqrt(2 / MAX_LENGTH) of the norms.
MAX_LENGTH = 2**21


def gradient_products(
    gradients: GradientFunction,
    data: tuple[Nested, Nested, Nested],
    class_weight: Nested,
    *,
    batches: int,
    rows: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the products of the gradients of batches of different rows, (n, n).

    It has to be called where everything is restored afterwards.

    Args:
        gradients: Returns the gradients of a model with weights and a compiled loss, as `gradient_function` makes it.
        data: (x, y, sample_weight) as arrays.
        class_weight: Weights of the classes, or None.
        batches: Number of batches.
        rows: Rows of each.
        seed: Seed of the choice of rows.
    """
    random = np.random.default_rng(seed)
    total = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(data[0]) if leaf is not None)
    chosen = random.permutation(total)[: batches * rows].reshape(batches, rows)
    vectors = []
    for numbers in chosen:
        x, y, sample_weight = (select_rows(part, np.sort(numbers)) for part in data)
        found = gradients(first_batch_of_fit(x, rows, y, sample_weight, class_weight))
        vectors.append(_folded(_joined(found), np.random.default_rng(seed)))
    table = np.stack(vectors).astype(np.float64)
    return np.asarray(table @ table.T)


def _joined(gradients: Gradients) -> NDArray[np.float32]:
    arrays = [keras.ops.convert_to_numpy(keras.ops.cast(one, "float32")) for one in gradients if one is not None]
    return np.concatenate([array.ravel() for array in arrays])


def _folded(vector: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Return the sum of the parts of a vector, each with random signs; the vector itself if it is short enough."""
    if len(vector) <= MAX_LENGTH:
        return vector
    total = np.zeros(MAX_LENGTH, dtype=np.float32)
    for start in range(0, len(vector), MAX_LENGTH):
        part = vector[start : start + MAX_LENGTH]
        # The same signs for each gradient, as the generator is made anew.
        total[: len(part)] += part * (2.0 * random.integers(0, 2, len(part), dtype=np.int8) - 1.0).astype(np.float32)
    return total

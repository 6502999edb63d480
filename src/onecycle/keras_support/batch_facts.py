"""A few numbers on each training batch, computed inside the step: bad values, and where its targets lie.

They show afterwards whether a batch had NaN in it, and whether the batches came in the order of their targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

ARGUMENTS = ("x", "y", "sample_weight")
MAX_TARGETS = 3  # arrays of targets that are followed; a model rarely has more outputs
# Numbers for each batch: bad values in each argument, non-zero weights, rows, and two for each array of targets.
WIDTH = len(ARGUMENTS) + 2 + 2 * MAX_TARGETS


@dataclass(frozen=True)
class BatchFacts:
    """What is known about the batches of a run, of which the arrays hold one row each.

    Attributes:
        bad_values: Argument of `compute_loss` -> (n,) number of values that are NaN or infinite.
        weights: (n,) number of weights that are not zero; -1 without weights.
        rows: (n,) number of rows.
        means: (n, targets) mean over the rows of one number made from the targets of a row.
        variances: (n, targets) its variance within the batch.
    """

    bad_values: Mapping[str, NDArray[np.float64]]
    weights: NDArray[np.float64]
    rows: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def from_table(cls, table: NDArray[np.float64], replicas: int = 1) -> BatchFacts:
        """Return the facts from the rows that `batch_facts` computed, summed over replicas."""
        n, end = len(ARGUMENTS), len(ARGUMENTS) + 2
        means, variances = table[:, end::2] / replicas, table[:, end + 1 :: 2] / replicas
        known = (variances >= 0).any(axis=0)
        return cls(
            bad_values={name: table[:, k] for k, name in enumerate(ARGUMENTS)},
            weights=table[:, n],
            rows=table[:, n + 1],
            means=means[:, known],
            variances=variances[:, known],
        )


def batch_facts(arguments: Mapping[str, Nested]) -> keras.KerasTensor:
    """Return (WIDTH,) the numbers on a batch, as float32.

    Args:
        arguments: The arguments of `compute_loss` by name.
    """
    leaves = {name: _dense(arguments.get(name)) for name in ARGUMENTS}
    # Without targets, as for an autoencoder, the inputs show the order.
    targets = leaves["y"] or leaves["x"]
    weights = leaves["sample_weight"]
    numbers = [_total([_count(keras.ops.logical_not(keras.ops.isfinite(leaf))) for leaf in _floats(leaves[name])])
               for name in ARGUMENTS]  # fmt: skip
    numbers.append(_total([_count(leaf) for leaf in weights]) if weights else keras.ops.convert_to_tensor(-1.0))
    numbers.append(keras.ops.cast(keras.ops.shape(targets[0])[0] if targets else 0, "float32"))
    for leaf in targets[:MAX_TARGETS]:
        numbers += _position(leaf)
    # A variance below 0 stands for no array.
    numbers += [keras.ops.convert_to_tensor(-1.0)] * (WIDTH - len(numbers))
    return keras.ops.stack([keras.ops.cast(number, "float32") for number in numbers])


def _dense(nested: Nested) -> list[keras.KerasTensor]:
    leaves = [leaf for leaf in keras.tree.flatten(nested) if leaf is not None and backends.holds_all_values(leaf)]
    tensors = [keras.ops.convert_to_tensor(leaf) for leaf in leaves]
    return [leaf for leaf in tensors if len(leaf.shape) and keras.backend.standardize_dtype(leaf.dtype) != "string"]


def _floats(leaves: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    return [leaf for leaf in leaves if keras.backend.is_float_dtype(keras.backend.standardize_dtype(leaf.dtype))]


def _count(leaf: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.sum(keras.ops.cast(keras.ops.cast(leaf, "bool"), "float32"))


def _total(counts: list[keras.KerasTensor]) -> keras.KerasTensor:
    return sum(counts, start=keras.ops.convert_to_tensor(0.0))


def _position(leaf: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return the mean and the variance over the rows of a weighted sum of each row, in which classes differ."""
    ops = keras.ops
    rows = ops.reshape(ops.cast(ops.stop_gradient(leaf), "float32"), (ops.shape(leaf)[0], -1))
    # Equal weights would give every one-hot row the same sum.
    weights = ops.cos(ops.cast(ops.arange(ops.shape(rows)[1]), "float32"))
    sums = ops.sum(rows * weights, axis=1)
    mean = ops.mean(sums)
    return [mean, ops.mean((sums - mean) ** 2)]

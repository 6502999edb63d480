"""A few numbers on each training batch, computed inside the step: bad values, and where its targets lie.

They show afterwards whether a batch had NaN in it, and whether the batches came in the order of their targets.
"""

from __future__ import annotations

import functools
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
NO_TARGET = -1.0  # in place of mean and variance, which is never below 0


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


def batch_facts(arguments: Mapping[str, Nested], loss: keras.KerasTensor | None = None) -> Nested:
    """Return (WIDTH,) the numbers on a batch, as a tensor of float32, or on PyTorch's CPU as a list.

    Args:
        arguments: The arguments of `compute_loss` by name.
        loss: The loss of the batch, a number. Where it is finite, bad values are not counted, but taken to be 0.
    """
    leaves = {name: _dense(arguments.get(name)) for name in ARGUMENTS}
    if backends.runs_eagerly() and all(map(_is_on_host, keras.tree.flatten(leaves))):
        return _facts_of_arrays({name: list(map(_array, leaves[name])) for name in ARGUMENTS}, loss)
    return _facts_of_tensors({name: list(map(keras.ops.convert_to_tensor, leaves[name])) for name in ARGUMENTS}, loss)


def _facts_of_tensors(
    leaves: Mapping[str, list[keras.KerasTensor]], loss: keras.KerasTensor | None
) -> keras.KerasTensor:
    ops = keras.ops

    def total(counts: list[keras.KerasTensor]) -> keras.KerasTensor:
        return sum((ops.sum(ops.cast(one, "float32")) for one in counts), start=ops.convert_to_tensor(0.0))

    def count_bad() -> keras.KerasTensor:
        floats = [[one for one in leaves[name] if keras.backend.is_float_dtype(one.dtype)] for name in ARGUMENTS]
        return ops.stack([total([ops.logical_not(ops.isfinite(one)) for one in part]) for part in floats])

    # Without targets, as for an autoencoder, the inputs show the order.
    targets, weights = leaves["y"] or leaves["x"], leaves["sample_weight"]
    numbers = [total([ops.cast(leaf, "bool") for leaf in weights]) if weights else -1.0]
    numbers.append(ops.shape(targets[0])[0] if targets else 0)
    for leaf in targets[:MAX_TARGETS]:
        rows = ops.reshape(ops.cast(ops.stop_gradient(leaf), "float32"), (ops.shape(leaf)[0], -1))
        # Equal weights would give every one-hot row the same sum.
        sums = ops.sum(rows * ops.cos(ops.cast(ops.arange(ops.shape(rows)[1]), "float32")), axis=1)
        mean = ops.mean(sums)
        numbers += [mean, ops.mean((sums - mean) ** 2)]
    numbers += [NO_TARGET] * (WIDTH - len(ARGUMENTS) - len(numbers))
    # On PyTorch, a condition would wait for the device.
    if loss is None or backends.runs_eagerly():
        bad = count_bad()
    else:
        bad = ops.cond(ops.isfinite(loss), lambda: ops.zeros(len(ARGUMENTS), "float32"), count_bad)
    return ops.concatenate([bad, ops.stack([ops.cast(number, "float32") for number in numbers])])


def _facts_of_arrays(leaves: Mapping[str, list[NDArray[np.generic]]], loss: keras.KerasTensor | None) -> list[float]:
    """Return the same with NumPy, which takes a fifth of the time of PyTorch for so few numbers."""
    targets, weights = leaves["y"] or leaves["x"], leaves["sample_weight"]
    numbers = [0.0] * len(ARGUMENTS)
    if loss is None or not np.isfinite(loss.item()):
        floats = [[one for one in leaves[name] if one.dtype.kind == "f"] for name in ARGUMENTS]
        numbers = [float(sum(np.count_nonzero(~np.isfinite(one)) for one in part)) for part in floats]
    numbers += [float(sum(map(np.count_nonzero, weights))) if weights else -1.0, len(targets[0]) if targets else 0.0]
    for leaf in targets[:MAX_TARGETS]:
        rows = leaf.reshape(len(leaf), -1).astype("float32")
        sums = rows @ _weights(rows.shape[1])
        numbers += [float(sums.mean()), float(sums.var())]
    return numbers + [NO_TARGET] * (WIDTH - len(numbers))


@functools.lru_cache(maxsize=8)
def _weights(width: int) -> NDArray[np.float32]:
    return np.cos(np.arange(width, dtype="float32"))


def _dense(nested: Nested) -> list[Nested]:
    leaves = [leaf for leaf in keras.tree.flatten(nested) if leaf is not None and backends.holds_all_values(leaf)]
    return [leaf for leaf in leaves if len(leaf.shape) and keras.backend.standardize_dtype(leaf.dtype) != "string"]


def _is_on_host(leaf: Nested) -> bool:
    return isinstance(leaf, np.ndarray) or leaf.device.type == "cpu"


def _array(leaf: Nested) -> NDArray[np.generic]:
    if isinstance(leaf, np.ndarray):
        return leaf
    # NumPy has no bfloat16.
    return keras.ops.convert_to_numpy(leaf) if leaf.dtype.itemsize == 2 else leaf.detach().numpy()

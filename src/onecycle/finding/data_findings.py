"""Findings on the values of the data: NaN, raw scales, constant features, their order, and a last batch of one row."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.data_hints import REMEDY as ORDER_REMEDY
from onecycle.finding.data_hints import noticed_order
from onecycle.finding.data_order import Order
from onecycle.finding.look import Look, NotChecked
from onecycle.finding.spread_batches import facts_of
from onecycle.keras_support import training_data
from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.data_adapters import as_numpy, select_rows
from onecycle.keras_support.data_faults import DataFault, check_data_values
from onecycle.keras_support.input_scaling import SCALING_REMEDY, unscaled_inputs
from onecycle.keras_support.model_state import flattened_layers
from onecycle.keras_support.types import Nested
from onecycle.keras_support.value_scan import chunks
from onecycle.results.findings import Finding

CONSTANT_INPUTS = "constant inputs"  # all of them
SAMPLE_ROWS = 1024  # in which a feature has to be constant before all rows are read
MIN_ROWS = 32  # fewer rows may agree by chance
# A value that is that frequent in the other features is the background of an image, or means "absent".
BACKGROUND_SHARE = 0.01
# Neighbors among pixels or points of time are alike, much more than columns of a table.
MIN_GRID_FEATURES, NEIGHBORS_ALIKE, NEIGHBORS_EXCESS = 16, 0.2, 1.5
MIN_PADDING = 3  # constant features at one end that may be padding
CERTAIN = math.log(1e9)  # one chance in so many
BLOCKS = 32  # parts in which the order of arrays is looked at, if fewer than the batches


def bad_values(look: Look) -> Finding | None:
    """Return a finding on values from which the loss becomes NaN or infinite."""
    if look.x is None:
        raise NotChecked("its batches hold other data than numbers")
    try:
        check_data_values(look.model, look.x, look.y, look.sample_weight, look.class_weight)
    except DataFault as fault:
        return Finding("bad values", fault.description, fault.remedy)
    return None


def raw_inputs(look: Look) -> Finding | None:
    """Return a finding on inputs that are clearly not standardized."""
    description = None if look.x is None else unscaled_inputs(look.model, look.x)
    return None if description is None else Finding("unscaled inputs", description, SCALING_REMEDY)


def constant_features(look: Look) -> Finding | None:
    """Return a finding on features that have the same value in all rows.

    Absent categories, words and pixels of the background are no such features, and neither are indices that the model
    embeds.
    """
    if look.x is None or any(isinstance(layer, keras.layers.Embedding) for layer in flattened_layers(look.model)):
        return None
    leaves = keras.tree.flatten_with_path(look.x)
    columns_only = all(_is_column(leaf) for _, leaf in leaves)
    found, whole = [], True
    for path, leaf in leaves:
        constant, total = _constant_features(leaf)
        # A whole input may be constant on purpose, such as a first state, unless it is a column of a table.
        if len(constant) and (len(constant) < total or columns_only or len(leaves) == 1):
            name = f"`x{''.join(f'[{key!r}]' for key in path)}`"
            numbers = ", ".join(map(str, constant[:5])) + (", ..." if len(constant) > 5 else "")
            whole = whole and len(constant) == total
            found.append(name if total == 1 else f"{len(constant)} of the {total} features of {name} ({numbers})")
    if not found:
        return None
    return Finding(
        CONSTANT_INPUTS if whole and len(found) == len(leaves) else "constant features",
        f"The same value is in all rows of {' and '.join(found)}. Such a feature tells the model nothing, is often a "
        "mistake in the preparation of the data, and becomes NaN when it is divided by its deviation.",
        "Leave it out, or find out why it does not vary.",
    )


def sorted_data(look: Look) -> Finding | None:
    """Return a finding on data that comes in the order of its targets and is not shuffled."""
    if look.shuffled:
        return None
    order = noticed_order(facts_of(_batches_in_order(look)))
    if order is Order.CONSTANT:
        order = None
    if order is None and _is_sorted(look):
        order = Order.SORTED
    if order is None:
        return None
    description = (
        f"{order.value} The model forgets the first targets while it learns the last ones, and the loss of a batch "
        "says little about the others."
    )
    return Finding("sorted data", description, ORDER_REMEDY)


def batch_of_one_row(look: Look) -> Finding | None:
    """Return a finding on a batch of one row, of which a `BatchNormalization` without further axes makes zeros."""
    names = [
        layer.name
        for layer in flattened_layers(look.model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and _has_no_other_axes(layer)
    ]
    if not names:
        return None
    if look.dataset is None:
        rows = training_data.count_rows(look.x)
        sizes = [look.batch_size] * (rows // look.batch_size) + [rows % look.batch_size]
    else:
        sizes = [training_data.count_rows(batch) for batch in look.batches if training_data.is_arrays(batch)]
    if 1 not in sizes:
        return None
    which = "Every batch" if set(sizes) <= {0, 1} else "The last batch of an epoch"
    return Finding(
        "batch of one row",
        f"{which} has one row, whose variance is 0. `{names[0]}` makes the same output of any such row, nothing is "
        "learned from it, and the moving variance with which the model is evaluated shrinks.",
        "Choose a batch size that leaves no single row, or drop the last batch (in `tf.data`: `drop_remainder=True`; "
        "in a `DataLoader`: `drop_last=True`).",
    )


def _is_column(leaf: Nested) -> bool:
    return leaf is not None and math.prod(leaf.shape[1:]) == 1


def _constant_features(leaf: Nested) -> tuple[list[int], int]:
    """Return the numbers of the constant features along the last axis of an array, and the number of all features."""
    sample = None if leaf is None else numeric_rows(leaf, slice(SAMPLE_ROWS))
    if sample is None or sample.dtype.kind == "b" or len(sample) < MIN_ROWS or not sample.size:
        return [], 0
    # A table of numbers and other things, which Keras refuses.
    if sample.shape[1:] != tuple(leaf.shape[1:]) or as_numpy(select_rows(leaf, slice(1))) is None:
        return [], 0
    sample = _features(sample)
    sample = sample[np.isfinite(sample).all(axis=1)]
    total = sample.shape[1]
    if not len(sample):
        return [], total
    constant = np.flatnonzero((sample == sample[0]).all(axis=0))
    values = sample[0, constant]
    for _, rows in chunks(leaf) if len(constant) else ():
        kept = (_features(rows)[:, constant] == values).all(axis=0)
        constant, values = constant[kept], values[kept]
    if not len(constant) or len(constant) == total:
        return constant.tolist(), total
    others = np.delete(sample, constant, axis=1)
    if _is_grid(others):
        return [], total
    if _is_padding(constant, values, total):
        return [], total
    background = [np.mean(others == value) > BACKGROUND_SHARE for value in values]
    return constant[~np.array(background)].tolist(), total


def _features(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return (n, features), with the other axes, such as those of pixels and points of time, among the rows."""
    last = rows.shape[-1] if rows.ndim > 1 else 1
    return rows.reshape(-1, last).astype(np.float64)


def _is_grid(features: NDArray[np.float64]) -> bool:
    """Return whether neighboring features are alike, as pixels and points of time are."""
    if features.shape[1] < MIN_GRID_FEATURES:
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.abs(np.corrcoef(features, rowvar=False))
    neighbors = float(np.nanmean(np.diagonal(alike, 1)))
    return neighbors > max(NEIGHBORS_ALIKE, NEIGHBORS_EXCESS * float(np.nanmean(alike[np.triu_indices_from(alike, 1)])))


def _is_padding(constant: NDArray[np.intp], values: NDArray[np.float64], total: int) -> bool:
    """Return whether the constant features are one value at the beginning or at the end, as of padded sequences."""
    together = len(constant) >= MIN_PADDING and constant[-1] - constant[0] == len(constant) - 1
    return together and bool((values == values[0]).all()) and (constant[0] == 0 or constant[-1] == total - 1)


def _batches_in_order(look: Look) -> list[Nested]:
    """Return the batches in the order in which `fit` reads them."""
    if look.dataset is not None:
        return list(look.batches)
    rows = training_data.count_rows(look.x)
    starts = range(0, rows, min(look.batch_size, max(1, rows // BLOCKS)))
    size = starts.step
    arrays = (look.x, look.y, look.sample_weight)
    return [tuple(select_rows(part, slice(start, start + size)) for part in arrays) for start in starts]


def _is_sorted(look: Look) -> bool:
    """Return whether the targets never fall from row to row, or never rise, where chance would not do that."""
    leaves = [leaf for leaf in keras.tree.flatten(look.y) if leaf is not None]
    targets = numeric_rows(leaves[0], slice(None)) if len(leaves) == 1 else None
    if targets is None or not len(targets):
        return False
    targets = targets.reshape(len(targets), -1)
    labels = targets[:, 0] if targets.shape[1] == 1 else targets.argmax(axis=1)
    _, counts = np.unique(labels, return_counts=True)
    # The number of orders in which these targets can come.
    orders = math.lgamma(len(labels) + 1) - sum(math.lgamma(count + 1) for count in counts.tolist())
    steps = np.diff(labels.astype(np.float64))
    return bool(orders > CERTAIN and ((steps >= 0).all() or (steps <= 0).all()))


def _has_no_other_axes(layer: keras.layers.BatchNormalization) -> bool:
    spec = layer.input_spec
    return spec is not None and not isinstance(spec, list) and spec.ndim == 2

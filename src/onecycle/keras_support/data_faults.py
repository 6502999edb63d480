"""Values with which no model trains, found before training: NaN, infinite values, and weights that are all zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.data_adapters import is_arrays
from onecycle.keras_support.first_batch import first_batch
from onecycle.keras_support.loss_outside_fit import ClassWeight, loss_of_rows
from onecycle.keras_support.train_function import overridden_method
from onecycle.keras_support.value_scan import ValueScan, scan_values

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


class DataFault(ValueError):
    """Data with which no model trains.

    Args:
        description: What is wrong.
        remedy: What to do, or "" where the description says it.
    """

    def __init__(self, description: str, remedy: str = "") -> None:
        super().__init__(f"{description} {remedy}".rstrip())
        self.description, self.remedy = description, remedy


def check_data_values(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    sample_weight: Nested = None,
    class_weight: ClassWeight | None = None,
    *,
    read: bool = False,
    part_of: str | None = None,
) -> None:
    """Check that the values of the data allow training.

    Some models handle NaN themselves: a layer masks it, or a loss skips missing targets. So NaN and infinite values are
    refused only if the loss of a batch with such a row is not finite. If the model has its own training step, nothing
    is known before training, and nothing is refused.

    Args:
        model: A compiled model that has its weights. It is left unchanged.
        x: Inputs, as `Model.fit` takes them.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.
        read: Whether to read the first batch of a data set and check it. By default, only arrays are checked.
        part_of: Name of the argument that these arrays are parts of, for the message; None for training data.

    Raises:
        DataFault: For data with which no model trains. The message names the argument and the rows.
    """
    if not is_arrays((x, y, sample_weight)):
        if not read:
            return
        x, y, sample_weight = first_batch(x)
    else:
        _check_weights(sample_weight, class_weight)
    data = {"x": x, "y": y, "sample_weight": sample_weight}
    faults = {name: scan for name, scan in _scans(data).items() if scan.first}
    if not faults or overridden_method(model) is not None:
        return
    rows = [[row, *scan.good_rows] for scan in faults.values() for row in scan.first.values()]
    if any(not math.isfinite(loss_of_rows(model, data, sorted(some), class_weight)) for some in rows):
        raise _fault(faults, part_of)


def first_batch_fault(dataset: Nested) -> DataFault:
    """Return the error for a data set whose first batch has a loss that is not finite, with the fault if it is found.

    Args:
        dataset: The data set. Of a generator, whose batch is gone, nothing is read.
    """
    scans = _scans(dict(zip(("x", "y", "sample_weight"), first_batch(dataset), strict=True)))
    faults = {name: scan for name, scan in scans.items() if scan.first}
    if faults:
        return _fault(faults)
    return DataFault(
        "The loss of the first batch is NaN or infinite.",
        "Look for such values in the inputs, the targets and the sample weights, and in the weights of the model.",
    )


def has_zero_weights(dataset: Nested) -> bool:
    """Return whether the sample weights in the first batch of a data set are all zero. A generator is not read."""
    leaves = [leaf for leaf in keras.tree.flatten(first_batch(dataset)[2]) if leaf is not None]
    scans = [scan_values(leaf) for leaf in leaves]
    return bool(scans) and all(scan is not None and scan.all_zero for scan in scans)


def _fault(faults: Mapping[str, ValueScan], part_of: str | None = None) -> DataFault:
    owner = "" if part_of is None else f" of `{part_of}`"
    found = "; ".join(f"{name}{owner} has {scan.description}" for name, scan in faults.items())
    return DataFault(
        f"The data must not have values from which the loss becomes NaN or infinite. Received: {found}. One such batch "
        "makes all weights NaN.",
        "Leave these rows out, or replace the values, for example with `np.nan_to_num`.",
    )


def _check_weights(sample_weight: Nested, class_weight: ClassWeight | None) -> None:
    if class_weight and not all(math.isfinite(weight) for weight in class_weight.values()):
        raise DataFault(f"Argument `class_weight` must have finite values. Received: class_weight={class_weight}")
    if class_weight and not any(class_weight.values()):
        raise DataFault(f"Argument `class_weight` must have a weight above 0. Received: class_weight={class_weight}")
    scans = [scan_values(leaf) for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    # The weights of a single output may be zero, and rows that were not read may have others.
    if scans and all(scan is not None and scan.all_zero and scan.complete for scan in scans):
        raise DataFault(
            "Argument `sample_weight` must have a weight above 0, since the loss does not depend on the data "
            f"otherwise. Received: zero in all {sum(scan.rows for scan in scans if scan)} weights"
        )


def _scans(data: Mapping[str, Nested]) -> dict[str, ValueScan]:
    """Return name of an array -> what was found in it."""
    scans = {}
    for argument, nested in data.items():
        for path, leaf in keras.tree.flatten_with_path(nested):
            scan = None if leaf is None else scan_values(leaf)
            if scan is not None:
                scans[f"`{argument}{''.join(f'[{key!r}]' for key in path)}`"] = scan
    return scans

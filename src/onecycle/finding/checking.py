"""`check`: a look at the model, the data and the settings before training."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

import keras

from onecycle.finding import data_findings, gradient_findings, loss_findings
from onecycle.finding.look import Look, NotChecked, look_at
from onecycle.finding.rate_findings import unstable_rate
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.model_checks import check_model, check_trainable
from onecycle.keras_support.origin import origin_of
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.types import Nested
from onecycle.results.findings import FOUND, NOTHING_FOUND, Finding, Findings
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_learning_rate

# In this order: what follows makes no sense after some of the first ones.
CHECKS: Mapping[str, Callable[[Look], Finding | None]] = {
    "trainable weights": gradient_findings.no_trainable_weights,
    "values": data_findings.bad_values,
    "labels": loss_findings.labels_out_of_range,
    "logits and probabilities": loss_findings.logits_and_probabilities,
    "shapes": loss_findings.shapes_that_broadcast,
    "gradients": gradient_findings.dead_layers,
    "scale of the inputs": data_findings.raw_inputs,
    "constant features": data_findings.constant_features,
    "batches of one row": data_findings.batch_of_one_row,
    "order of the data": data_findings.sorted_data,
}
RATE = "learning rate"
# With one of these, gradients and losses say nothing about the model.
SPOILING = ("bad values", "labels out of range", "no trainable weights")
SPOILED = ("gradients", RATE)

Outcomes: TypeAlias = dict[str, Finding | str]  # name of a check -> what it found, or its outcome in words


@suggest_names()
def check(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    learning_rate: float | None = None,
    shuffle: bool = True,
) -> Findings:
    """Look for faults of the model, the data and the settings before training.

    These are: weights that are all frozen; NaN and infinite values; labels that the loss does not take; probabilities
    taken for logits, and the reverse; targets and predictions whose shapes broadcast; layers that no gradient reaches;
    inputs that are not standardized; constant features; batches of one row under `BatchNormalization`; data that comes
    in the order of its targets and is not shuffled; and a learning rate at which training diverges with this batch
    size, for which short range tests are run.

    A finding is only reported where it is sure. The model is left unchanged, as by `find_learning_rate`: a model that
    had no weights stays built. Of a data set, at most 128 batches are read, from all over it where its kind allows.

    Args:
        model: A compiled model.
        x: Training data, as `Model.fit` takes it, except generators, which would lose the batches that are looked at.
        y: Targets, as in `fit`.
        batch_size: As in `fit`.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        learning_rate: The rate that you plan, such as the peak of a cycle; that of the optimizer by default.
        shuffle: As in `fit`, which shuffles the rows of arrays, but not those of data sets.

    Returns:
        `Findings`, which are empty where nothing was found. Each `Finding` has a name, a description that says what it
        costs to ignore it, and a remedy. `checks` says which checks could not be made, and why.

    Raises:
        TypeError, ValueError: For invalid arguments, for data that `fit` does not take, and for generators.

    Example:

    ```python
    findings = onecycle.check(model, x, y)
    print(findings.summary())
    ```
    """
    check_model(model, x)
    if learning_rate is not None:
        check_learning_rate("learning_rate", learning_rate)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    training_data.check_data(model, x, y, **data)
    if training_data.is_one_shot(x):
        raise ValueError(
            "The check would use up the first batches of this generator, and they would be missing in training. Pass "
            f"data that can be read again. Received: x of type {type(x).__name__}"
        )
    if _can_be_built(model):
        build_model(model, x, y, **data)
    outcomes = outcomes_without_training(model, x, y, shuffle=shuffle, **data)
    outcomes |= _outcome(RATE, lambda: unstable_rate(model, {"x": x, "y": y, **data}, learning_rate), outcomes)
    return Findings(
        findings=found_in(outcomes),
        checks={name: FOUND if isinstance(outcome, Finding) else outcome for name, outcome in outcomes.items()},
        versions=backends.versions(),
        origin=origin_of(model),
    )


def outcomes_without_training(
    model: keras.Model, x: Nested, y: Nested = None, *, without: Collection[str] = (), **arguments: Nested
) -> Outcomes:
    """Return the outcomes of all checks that train nothing.

    Args:
        model: A compiled model, which is left unchanged.
        x: Training data that can be read again.
        y: Targets, or None.
        without: Names of checks that are left out.
        **arguments: The arguments `batch_size`, `sample_weight`, `class_weight` and `shuffle` of `fit`.
    """
    checks = {name: find for name, find in CHECKS.items() if name not in without}
    return preserving(model, lambda: _outcomes(look_at(model, x, y, **arguments), checks), data=x)


def found_in(outcomes: Outcomes) -> tuple[Finding, ...]:
    """Return the findings among the outcomes of checks."""
    return tuple(outcome for outcome in outcomes.values() if isinstance(outcome, Finding))


def _outcomes(look: Look, checks: Mapping[str, Callable[[Look], Finding | None]]) -> Outcomes:
    outcomes: Outcomes = {}
    with warnings.catch_warnings():
        # Of Keras, on what is a finding here, and which `fit` will repeat.
        warnings.simplefilter("ignore")
        for name, find in checks.items():
            outcomes |= _outcome(name, functools.partial(find, look), outcomes)
    return outcomes


def _outcome(name: str, find: Callable[[], Finding | None], before: Outcomes) -> Outcomes:
    spoiled = next((one.name for one in found_in(before) if one.name in SPOILING), None)
    if spoiled is not None and name in SPOILED:
        return {name: f"the data or the model has a fault that comes first ({spoiled})"}
    try:
        return {name: find() or NOTHING_FOUND}
    except NotChecked as reason:
        return {name: str(reason)}
    except Exception as error:  # noqa: BLE001 - of the model, the loss or the data, which are the user's
        # What `fit` raises in the same place it says better.
        return {name: f"it raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def _can_be_built(model: keras.Model) -> bool:
    try:
        check_trainable(model)
    except ValueError:
        return False
    return True

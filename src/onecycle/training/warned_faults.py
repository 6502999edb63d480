"""The one warning of `fit_one_cycle`: what a look at the data and the model found, and what the search noticed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import keras

from onecycle.finding.checking import found_in, outcomes_without_training
from onecycle.finding.data_findings import CONSTANT_INPUTS
from onecycle.keras_support import training_data
from onecycle.keras_support.types import Nested
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.training.fit_arguments import FitArguments

REFUSED = ("trainable weights", "values")  # by `fit_one_cycle`, with an error
CALL_OF_USER = 5  # frames up from where the warning is raised: the line that called `fit_one_cycle`


def faults_of_fit(
    model: keras.Model,
    x: Nested,
    y: Nested,
    *,
    batch_size: int | None,
    sample_weight: Nested,
    class_weight: dict[int, float] | None,
    arguments: FitArguments,
    validation_split: float,
) -> list[str]:
    """Return the faults of the model and the data that `fit` would train on, each with its remedy.

    Data sets are not read, since their next epoch might then come in another order.

    Args:
        model: The model.
        x: Inputs.
        y: Targets, or None.
        batch_size: Rows per batch, or None for the default.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.
        arguments: Other arguments of `fit`.
        validation_split: Part of the rows of arrays that is held out.
    """
    if not training_data.is_arrays(x):
        return []
    x, y, sample_weight = training_data.without_validation_split((x, y, sample_weight), validation_split)
    outcomes = outcomes_without_training(
        model, x, y, without=REFUSED, batch_size=batch_size, sample_weight=sample_weight, class_weight=class_weight,
        shuffle=bool(arguments.get("shuffle", True)),
    )  # fmt: skip
    # Where no input varies at all, the data is a placeholder, as in a trial of a program.
    return [finding.text for finding in found_in(outcomes) if finding.name != CONSTANT_INPUTS]


def with_one_warning(faults: Sequence[str], find: Callable[[], RangeTest | Race | None]) -> RangeTest | Race | None:
    """Return what a search for the peak finds, and warn once of all faults: those given and those that it noticed.

    Args:
        faults: The faults that are known before the search.
        find: The search.
    """
    try:
        evidence = find()
    except Exception:
        _warn(faults)
        raise
    _warn([*faults, *(() if evidence is None else evidence.hints)])
    return evidence


def _warn(faults: Sequence[str]) -> None:
    faults = list(dict.fromkeys(faults))
    if faults:
        numbered = faults if len(faults) == 1 else [f"({number}) {fault}" for number, fault in enumerate(faults, 1)]
        warnings.warn(" ".join(numbered), stacklevel=CALL_OF_USER)

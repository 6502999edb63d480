"""Checks on the values of an arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.comparison.arm_schedules import PLAIN, SCHEDULES
from onecycle.suggestions.argument_names import advice_on_name
from onecycle.suggestions.arguments import check_choice, check_integer, check_learning_rate, described
from onecycle.training.cycle_spec import SEARCHES, checked_momentum, removed_search


def check_keys(name: object, options: object, keys: Iterable[str]) -> None:
    """Check the name of an arm and the keys of its dict.

    Args:
        name: The name.
        options: The dict.
        keys: The keys that it may have.

    Raises:
        TypeError: If the name is not a string or is empty, or the options are not a dict.
        ValueError: If the dict has an unknown key.
    """
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"The name of an arm must be a string that is not empty. Received: {name!r}")
    if not isinstance(options, Mapping):
        raise TypeError(f"Arm {name!r} must be a dict. Received: {options!r}")
    keys = tuple(keys)
    unknown = [key for key in options if key not in keys]
    if unknown:
        advice = advice_on_name(str(unknown[0]), keys)
        raise ValueError(
            f"Arm {name!r} can have the keys {', '.join(keys)}. Received: {', '.join(map(repr, unknown))}. {advice}"
        )


def checked_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values of an arm, by the names of its attributes, with numbers as those of Python.

    Raises:
        TypeError, ValueError: For an invalid value, or values that cannot be combined.
    """
    schedule, rate, callbacks = values["schedule"], values["max_learning_rate"], values["callbacks"]
    _check_schedule(schedule)
    # None means the value of the comparison.
    counts = {name: check_integer(name, values[name]) for name in ("batch_size", "epochs") if values[name] is not None}
    rates = {} if rate is None else {"max_learning_rate": _checked_rate(rate, schedule)}
    if callbacks is not None and not callable(callbacks):
        raise TypeError(
            "Argument `callbacks` must be a function that returns a list, since each run needs new callbacks. "
            f"Received: callbacks={callbacks!r}"
        )
    _check_optimizer(values["optimizer"])
    _check_momentum(values["momentum"], schedule)
    return {**values, **counts, **rates}


def checked_list_of_callbacks(made: object) -> list[keras.callbacks.Callback]:
    """Return what the function `callbacks` of an arm has returned.

    Raises:
        TypeError: If it is no list of callbacks.
    """
    if not isinstance(made, list | tuple) or not all(isinstance(one, keras.callbacks.Callback) for one in made):
        raise TypeError(
            "Argument `callbacks` must be a function that returns a list of Keras callbacks. "
            f"Received: callbacks() -> {described(made)}"
        )
    return list(made)


def _check_schedule(schedule: object) -> None:
    if isinstance(schedule, str):
        check_choice("schedule", schedule, (PLAIN, *SCHEDULES))
    elif not callable(schedule):
        raise TypeError(
            "Argument `schedule` must be a name, a keras LearningRateSchedule or a callable "
            f"(total_steps, max_learning_rate) -> schedule. Received: schedule={schedule!r}"
        )


def _checked_rate(rate: object, schedule: object) -> float | str:
    received = f"Received: schedule={schedule!r}, max_learning_rate={rate!r}"
    if schedule == PLAIN:
        raise ValueError(
            "Argument `max_learning_rate` has no effect on a plain `fit`. "
            f'Use schedule="constant", or leave one of the two out. {received}'
        )
    if isinstance(schedule, LearningRateSchedule):
        raise ValueError(
            f"A schedule already defines the learning rates. Pass either `schedule` or `max_learning_rate`. {received}"
        )
    if isinstance(rate, str) and rate in SEARCHES:
        return rate
    if isinstance(rate, str):
        raise ValueError(
            f'Argument `max_learning_rate` must be a number, "auto" or "range test".{removed_search(rate)} '
            f"Received: max_learning_rate={rate!r}"
        )
    checked = check_learning_rate("max_learning_rate", rate)
    # A number of Python stays as it is, since it is part of the identity of records.
    return rate if type(rate) in (int, float) else checked  # type: ignore[return-value]


def _check_optimizer(optimizer: object) -> None:
    if optimizer is None or callable(optimizer) or isinstance(optimizer, keras.optimizers.Optimizer):
        return
    if not isinstance(optimizer, str | dict):
        raise TypeError(
            "Argument `optimizer` must be a name, a keras optimizer or a function that returns one. "
            f"Received: optimizer={optimizer!r}"
        )
    keras.optimizers.get(optimizer)  # raises for an unknown name


def _check_momentum(momentum: object, schedule: object) -> None:
    checked_momentum(momentum)
    if schedule in (PLAIN, "constant") and momentum not in (None, "auto"):
        raise ValueError(
            f"Argument `momentum` is the pair of a cycle, and schedule={schedule!r} has no cycle. Set the momentum of "
            "the optimizer instead, for example optimizer=keras.optimizers.SGD(momentum=0.9). "
            f"Received: momentum={momentum!r}"
        )

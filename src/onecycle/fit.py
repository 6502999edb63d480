"""`fit_one_cycle`: find the rate and train with one cycle, in one line."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from onecycle import batches
from onecycle.callbacks import OneCycleScheduler
from onecycle.hyperparameters import require_compiled
from onecycle.range_test import find_learning_rate
from onecycle.results import RangeTest

Schedule = keras.optimizers.schedules.LearningRateSchedule


def fit_one_cycle(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    max_learning_rate: float | str = "auto",
    momentum: str | tuple[float, float] | None = "auto",
    schedule: Schedule | Callable[[int, float], Schedule] | None = None,
    batch_size: int | None = None,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    verbose: int | str = "auto",
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    seed: int | None = None,
    **fit_arguments: Any,
) -> keras.callbacks.History:
    """Train a compiled model with one cycle of learning rate and momentum.

    With `max_learning_rate="auto"` a range test picks the peak first; it leaves no trace in the model.

    Args:
        model: A compiled model.
        x: Training data, whatever `Model.fit` takes. `"auto"` refuses a one-shot generator, since the range test
            would use up its first batches.
        y: Targets, as in `fit`.
        epochs: Number of epochs, the length of the cycle.
        max_learning_rate: The peak, or `"auto"`.
        momentum: As in `OneCycleScheduler`.
        schedule: In place of the article's cycle: a schedule (then `max_learning_rate` must not be given), or a
            callable `(total_steps, max_learning_rate) -> schedule`, for example
            `lambda steps, peak: onecycle.WarmupLinearDecay(peak, steps)`.
        batch_size: As in `fit`; the range test uses the same.
        validation_data: As in `fit`.
        callbacks: More callbacks, as in `fit`.
        verbose: As in `fit`; 0 silences the range test too.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        seed: Seed of the range test's data order. The training draws from the global random states, as `fit` does.
        **fit_arguments: Anything else that `fit` takes, such as `validation_split` or `steps_per_epoch`.

    Returns:
        Keras' `History`. Its `onecycle` is a `CycleReport`: what was picked, and with `"auto"` the `RangeTest` that
        picked it.

    Raises:
        ValueError: For bad arguments; with `"auto"` also where the range test suggests no rate (with the reason).

    Warns:
        UserWarning: Where the inputs are plainly not standardised.

    Example:

    ```python
    history = onecycle.fit_one_cycle(model, x, y, epochs=10)
    print(history.onecycle.summary())
    ```
    """
    require_compiled(model)
    batches.check(x, y, batch_size)
    _check(x, max_learning_rate, schedule)
    trouble = batches.not_standardised(model, x)
    if trouble:
        warnings.warn(trouble, stacklevel=2)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    range_test = None
    if max_learning_rate == "auto" and not isinstance(schedule, Schedule):
        range_test = find_learning_rate(model, x, y, **data, seed=seed, verbose=verbose)
        max_learning_rate = range_test.learning_rate
    history = model.fit(
        x,
        y,
        **data,
        epochs=epochs,
        validation_data=validation_data,
        verbose=verbose,
        callbacks=[*(callbacks or ()), _scheduler(max_learning_rate, momentum, schedule)],
        **fit_arguments,
    )
    return _with_evidence(history, max_learning_rate, range_test)


def _check(x: Any, max_learning_rate: Any, schedule: Any) -> None:
    if isinstance(schedule, Schedule):
        if max_learning_rate != "auto":
            raise ValueError(
                "A schedule has its own learning rates: give either `schedule` or `max_learning_rate`. "
                f"Received: schedule={schedule!r}, max_learning_rate={max_learning_rate}"
            )
        return
    if schedule is not None and not callable(schedule):
        raise TypeError(
            "Argument `schedule` must be a keras LearningRateSchedule, or a callable "
            f"(total_steps, max_learning_rate) -> schedule. Received: schedule={schedule!r}"
        )
    if isinstance(max_learning_rate, str) and max_learning_rate != "auto":
        raise ValueError(
            f'Argument `max_learning_rate` must be a number or "auto". Received: max_learning_rate={max_learning_rate!r}'
        )
    if max_learning_rate == "auto" and batches.is_one_shot(x):
        raise ValueError(
            'With `max_learning_rate="auto"` a range test would use up the first batches of this generator, and they '
            "would be missing from the training. Pass data that can be read again, or a number."
        )


def _scheduler(max_learning_rate: Any, momentum: Any, schedule: Any) -> OneCycleScheduler:
    if schedule is None:
        return OneCycleScheduler(max_learning_rate, momentum=momentum)
    if isinstance(schedule, Schedule):
        return OneCycleScheduler(schedule=schedule, momentum=momentum)
    return OneCycleScheduler(schedule=lambda steps: schedule(steps, max_learning_rate), momentum=momentum)


def _with_evidence(history: Any, max_learning_rate: Any, range_test: RangeTest | None) -> Any:
    peak = None if isinstance(max_learning_rate, str) else float(max_learning_rate)
    history.onecycle = dataclasses.replace(history.onecycle, max_learning_rate=peak, range_test=range_test)
    return history

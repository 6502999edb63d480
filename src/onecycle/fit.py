"""`fit_one_cycle`: find the rate and train with one cycle, in one line."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle import batches
from onecycle._schedule_base import count, number
from onecycle.callbacks import OneCycleScheduler
from onecycle.callbacks.rivals import refuse_rivals
from onecycle.hyperparameters import require_compiled, require_momentum
from onecycle.range_test import find_learning_rate
from onecycle.results import RangeTest

# A noisy curve needs more steps to be believed, an unusually scaled one other limits.
_SECOND_TRY: dict[str, Any] = {"min_learning_rate": 1e-8, "max_learning_rate": 1e3, "num_steps": 900}


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

    With `max_learning_rate="auto"` a range test picks the peak first; it leaves no trace in the model. Where it shows
    no rate it is made once more, wider and longer.

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
    count("epochs", epochs)
    callbacks = keras.tree.flatten(callbacks) if callbacks else []
    _check(model, x, max_learning_rate, momentum, schedule, callbacks)
    trouble = batches.not_standardised(model, x)
    if trouble:
        warnings.warn(trouble, stacklevel=2)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    range_test = None
    if max_learning_rate == "auto" and not isinstance(schedule, Schedule):
        range_test = _range_test(model, x, y, **data, seed=seed, verbose=verbose)
        max_learning_rate = range_test.learning_rate
    history = model.fit(
        x,
        y,
        **data,
        epochs=epochs,
        validation_data=validation_data,
        verbose=verbose,
        callbacks=[*callbacks, _scheduler(max_learning_rate, momentum, schedule)],
        **fit_arguments,
    )
    return _with_evidence(history, max_learning_rate, range_test)


def _range_test(model: Any, x: Any, y: Any, **options: Any) -> RangeTest:
    """The range test; where it shows no rate, once more with wider limits and three times the steps."""
    found = find_learning_rate(model, x, y, **options)
    if found.suggestion.learning_rate is None:
        found = find_learning_rate(model, x, y, **options, **_SECOND_TRY)
    return found


def _check(model: Any, x: Any, max_learning_rate: Any, momentum: Any, schedule: Any, callbacks: Sequence[Any]) -> None:
    """Raise for bad arguments before the range test takes its time."""
    if isinstance(schedule, Schedule) and max_learning_rate != "auto":
        raise ValueError(
            "A schedule has its own learning rates: give either `schedule` or `max_learning_rate`. "
            f"Received: schedule={schedule!r}, max_learning_rate={max_learning_rate}"
        )
    if isinstance(max_learning_rate, str) and max_learning_rate != "auto":
        raise ValueError(
            'Argument `max_learning_rate` must be a number or "auto". '
            f"Received: max_learning_rate={max_learning_rate!r}"
        )
    peak = 1.0 if max_learning_rate == "auto" else number("max_learning_rate", max_learning_rate, above=0)
    scheduler = _scheduler(peak, momentum, schedule)
    refuse_rivals(scheduler, callbacks)
    if isinstance(scheduler.momentum, tuple):
        require_momentum(model.optimizer)
    if max_learning_rate == "auto" and not isinstance(schedule, Schedule) and batches.is_one_shot(x):
        raise ValueError(
            'With `max_learning_rate="auto"` a range test would use up the first batches of this generator, and they '
            "would be missing from the training. Pass data that can be read again, or a number."
        )


def _scheduler(max_learning_rate: Any, momentum: Any, schedule: Any) -> OneCycleScheduler:
    if schedule is None:
        return OneCycleScheduler(max_learning_rate, momentum=momentum)
    if isinstance(schedule, Schedule) or not callable(schedule):
        return OneCycleScheduler(schedule=schedule, momentum=momentum)
    return OneCycleScheduler(schedule=lambda steps: schedule(steps, max_learning_rate), momentum=momentum)


def _with_evidence(history: Any, max_learning_rate: Any, range_test: RangeTest | None) -> Any:
    report = getattr(history, "onecycle", None)  # none where a resumed run had no epoch left
    if report is not None:
        peak = None if isinstance(max_learning_rate, str) else float(max_learning_rate)
        history.onecycle = dataclasses.replace(report, max_learning_rate=peak, range_test=range_test)
    return history

"""`fit_one_cycle`: find the rate and train with one cycle, in one line."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.keras_support import training_data
from onecycle.keras_support.input_scaling import not_standardised
from onecycle.keras_support.optimizers import require_compiled
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions.arguments import count
from onecycle.training.peak import Wish


def fit_one_cycle(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    max_learning_rate: float | str | RangeTest | Sweep = "auto",
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

    The peak may be picked first, which leaves no trace in the model. A range test (`"range test"`, and what `"auto"`
    stands for) takes some hundred steps; where it shows no rate it is made once more, wider and longer. A sweep
    (`"sweep"`) takes half as many steps as the training itself and comes nearer to the best rate. It never looks at
    `validation_data` or at what `validation_split` cuts off, but holds out a part of the rest, so that they stay
    untouched; for other settings, such as its budget, make it yourself and hand over the result.

    Args:
        model: A compiled model.
        x: Training data, whatever `Model.fit` takes. A one-shot generator is refused where the peak is to be picked,
            since that would use up its first batches.
        y: Targets, as in `fit`.
        epochs: Number of epochs, the length of the cycle.
        max_learning_rate: The peak; `"auto"`, `"range test"` or `"sweep"` to have it picked; or the result of
            `find_learning_rate` or of a sweep, which History then carries along.
        momentum: As in `OneCycleScheduler`.
        schedule: In place of the article's cycle: a schedule (then `max_learning_rate` must not be given), or a
            callable `(total_steps, max_learning_rate) -> schedule`, for example
            `lambda steps, peak: onecycle.WarmupLinearDecay(peak, steps)`.
        batch_size: As in `fit`; the range test uses the same.
        validation_data: As in `fit`.
        callbacks: More callbacks, as in `fit`.
        verbose: As in `fit`; 0 silences the picking too.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        seed: Seed of the range test's or the sweep's data order. The training draws from the global random states, as
            `fit` does.
        **fit_arguments: Anything else that `fit` takes, such as `validation_split` or `steps_per_epoch`.

    Returns:
        Keras' `History`. Its `onecycle` is a `CycleReport`: what was picked, why, at what cost, and the `RangeTest` or
        `Sweep` that picked it.

    Raises:
        ValueError: For bad arguments; also where no rate could be picked (with the reason).

    Warns:
        UserWarning: Where the inputs are plainly not standardised.

    Example:

    ```python
    history = onecycle.fit_one_cycle(model, x, y, epochs=10)
    print(history.onecycle.summary())
    ```
    """
    require_compiled(model)
    training_data.check(x, y, batch_size)
    count("epochs", epochs)
    callbacks = keras.tree.flatten(callbacks) if callbacks else []
    wish = Wish(max_learning_rate, momentum, schedule)
    wish.check(model, x, callbacks)
    trouble = not_standardised(model, x)
    if trouble:
        warnings.warn(trouble, stacklevel=2)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    evidence = wish.evidence(
        model, x, y, **data, epochs=epochs - fit_arguments.get("initial_epoch", 0),
        validation_split=fit_arguments.get("validation_split", 0.0), seed=seed, verbose=verbose,
    )  # fmt: skip
    peak = max_learning_rate if evidence is None else evidence.learning_rate
    history = model.fit(
        x,
        y,
        **data,
        epochs=epochs,
        validation_data=validation_data,
        verbose=verbose,
        callbacks=[*callbacks, wish.scheduler(peak)],
        **fit_arguments,
    )
    return _with_evidence(history, peak, evidence)


def _with_evidence(history: Any, peak: Any, evidence: RangeTest | Sweep | None) -> Any:
    report = getattr(history, "onecycle", None)  # none where a resumed run had no epoch left
    if report is not None:
        found = {"sweep": evidence} if isinstance(evidence, Sweep) else {"range_test": evidence}
        number = None if isinstance(peak, str) else float(peak)
        history.onecycle = dataclasses.replace(report, max_learning_rate=number, **found)
    return history

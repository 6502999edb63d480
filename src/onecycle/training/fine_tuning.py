"""`fine_tune`: one cycle on the head of a trained model, and then one on all of its layers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import keras

from onecycle.finding.race_request import refuse_guard
from onecycle.finding.race_training import check_length
from onecycle.hyperparameters.current_values import layer_rates_in_effect
from onecycle.hyperparameters.installation import installed
from onecycle.hyperparameters.layer_order import blocks_from_input, layer_groups
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument, resolve_layer_rates
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support import training_data
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.interrupts import finish, undo_unless_finished
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.optimizers import build_optimizer, fresh_copy, inner_optimizers, is_multi_optimizer
from onecycle.keras_support.trainable_state import BorrowedModel
from onecycle.keras_support.types import Nested
from onecycle.results.cycle_report import CycleReport
from onecycle.results.fine_tune_report import FineTuneReport
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_integer, described
from onecycle.training.cycle_spec import CycleSpec, MomentumPair, ScheduleMaker
from onecycle.training.fit_arguments import FitArguments, check_data_and_length, checked_callbacks
from onecycle.training.fitting import fit_one_cycle
from onecycle.training.guard import check_guards
from onecycle.training.heads import Head, HeadArgument, find_head
from onecycle.training.peak import refuse_one_shot
from onecycle.training.phase_callbacks import end_training, with_one_training

Peak: TypeAlias = float | str | RangeTest | Race

# Ours, from the input to the head; milder than 0.01, 0.1 and 1 of fastai, whose networks are deeper.
DEFAULT_RATES = (0.1, 0.3, 1.0)
HEAD_FOLDER, WHOLE_FOLDER = "head", "all_layers"  # of the backups of the phases


@suggest_names(others=FitArguments.__annotations__)
def fine_tune(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    epochs: int,
    frozen_epochs: int = 1,
    head: HeadArgument = None,
    max_learning_rate: Peak | tuple[Peak, Peak] = "auto",
    momentum: str | MomentumPair | None = "auto",
    schedule: ScheduleMaker | None = None,
    layer_rates: LayerRatesArgument = "auto",
    decay: float | None = None,
    batch_size: int | None = None,
    validation_data: Nested = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    guard: bool = True,
    verbose: int | str = "auto",
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    seed: int | None = None,
    backup_dir: str | os.PathLike[str] | None = None,
    **fit_arguments: Unpack[FitArguments],
) -> keras.callbacks.History:
    """Fine-tune a trained model with a new head: one cycle on the head alone, then one on all layers.

    In the first phase, everything before the head is frozen, so that the errors of the new head do not undo what the
    rest has learned. In the second phase all layers are trained, except for those that you froze yourself. The peak of
    each phase is found for that phase, on the model as it then is.

    BatchNormalization before the head runs in inference mode in both phases: it keeps the means and variances that it
    has learned from far more data than the few rows of a fine-tuning, and the layers after it were trained with them.

    Each phase has an optimizer of its own, with the settings of the model's optimizer and no past: the moments of an
    earlier training would be those of other weights. Compiled functions are made again for each phase. Afterwards, and
    after an error or Ctrl-C, `trainable` is for every layer what it was, and the model has its own optimizer again,
    which has made no step. The weights are those of the training so far, as after `fit`.

    Args:
        model: A compiled model, whose layers before the head are trained.
        x: Training data, as `Model.fit` takes it. A one-shot generator is refused if a peak has to be found.
        y: Targets, as in `fit`.
        epochs: Number of epochs of the second phase.
        frozen_epochs: Number of epochs of the first phase, which come before the others; 0 leaves it out.
        head: The new layers: a layer, its name, or a list of these. By default what has weights and comes after the
            last model inside the model; without a model inside, the last layer with weights, for each output.
        max_learning_rate: The peak, as in `fit_one_cycle`, of each phase; or a pair (first phase, second phase).
        momentum: As in `OneCycleScheduler`, for both phases.
        layer_rates: Factors on the learning rate of layers in the second phase, or `"decay"`, as in
            `schedule_hyperparameters`. By default, a third of the layers each has 0.1, 0.3 and 1, from the input to the
            head: what lies near the input fits more tasks, and needs less change. None for the same rate everywhere.
        decay: The ratio for `layer_rates="decay"`.
        schedule: None for the article's cycle, or a callable `(total_steps, max_learning_rate) -> schedule`.
        batch_size: As in `fit`.
        validation_data: As in `fit`.
        callbacks: More callbacks, as in `fit`. To them, both phases are one training, whose epochs are counted on. One
            that stops the training before the end of the first cycle ends all of it; `OneCycleScheduler.finish_early`
            ends the phase.
        guard: Whether a `DivergenceGuard` watches the training, as in `fit_one_cycle`.
        verbose: As in `fit`.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        seed: Seed of the data order in the searches for the peaks, as in `fit_one_cycle`.
        backup_dir: Folder for backups after each epoch, from which the same call continues an interrupted run, as in
            `fit_one_cycle`. Each phase has a folder inside.
        **fit_arguments: Other arguments of `fit`, except `initial_epoch`.

    Returns:
        Keras' `History` of both phases. Its attribute `onecycle` is a `FineTuneReport` with the cycle of each.

    Raises:
        TypeError, ValueError: For invalid arguments, before any training; for a model that is all head, or has nothing
            to train before its head; if no peak was found (with the reason).

    Warns:
        UserWarning: As `fit_one_cycle`.

    Example:

    ```python
    backbone = keras.saving.load_model("trained.keras")
    model = keras.Sequential([backbone, keras.layers.Dense(5)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = onecycle.fine_tune(model, x, y, epochs=5)
    print(history.onecycle.summary())
    ```

    References:
        J. Howard, S. Gugger, fastai: a layered API for deep learning (2020), arXiv:2002.04688: `Learner.fine_tune`.
        F. Chollet, Transfer learning & fine-tuning, the guide of Keras: on BatchNormalization.
    """
    check_model(model, x)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    check_data_and_length(
        model, x, y, epochs=epochs, validation_data=validation_data, arguments=fit_arguments, **data
    )  # fmt: skip
    check_integer("frozen_epochs", frozen_epochs, minimum=0)
    checked = checked_callbacks(callbacks)
    check_guards(guard, checked)
    peaks = _checked_peaks(model, max_learning_rate, momentum, schedule, checked)
    _refuse(model, x, checked, fit_arguments)
    for peak, length in zip(peaks, (frozen_epochs, epochs), strict=True):
        if length:
            _check_search(peak, x, checked, length, batch_size, fit_arguments)
    build_model(model, x, y, **data)
    parts = find_head(model, head)
    rates = _layer_rates(model, layer_rates, decay)
    arguments = {
        **data, **fit_arguments, "x": x, "y": y, "momentum": momentum, "schedule": schedule, "seed": seed,
        "validation_data": validation_data, "guard": guard, "verbose": verbose,
    }  # fmt: skip
    folder = None if backup_dir is None else Path(os.fspath(backup_dir))
    borrowed = BorrowedModel(model)
    tuning = _FineTuning(model, borrowed, parts, checked, arguments, (frozen_epochs, epochs), peaks, rates, folder)
    history = undo_unless_finished(tuning.run, borrowed.give_back)
    finish(borrowed.give_back)
    # A model whose optimizer has no variables yet could be saved, but Keras would warn when it is loaded.
    build_optimizer(model.optimizer, model)
    return history


@dataclass(frozen=True)
class _FineTuning:
    """A fine-tuning whose arguments have been checked.

    Attributes:
        model: The model.
        borrowed: What freezes and unfreezes it.
        parts: The head and what is special before it.
        callbacks: The callbacks of the user.
        arguments: Arguments of `fit_one_cycle` that both phases share.
        epochs: (epochs of the head alone, epochs of all layers).
        peaks: The argument `max_learning_rate` of each phase.
        layer_rates: Factors on the learning rate of layers in the second phase, or None.
        folder: Folder of the backups, or None.
    """

    model: keras.Model
    borrowed: BorrowedModel
    parts: Head
    callbacks: list[keras.callbacks.Callback]
    arguments: Mapping[str, Any]
    epochs: tuple[int, int]
    peaks: tuple[Peak, Peak]
    layer_rates: LayerRates | None
    folder: Path | None

    def run(self) -> keras.callbacks.History:
        """Train both phases, and return the `History` of both."""
        first = self._train_head() if self.epochs[0] else None
        # What a finished backup has given back began no training for the callbacks.
        ran_before = first is not None and first.params is not None
        if first is not None and self._was_stopped(first):
            if ran_before:
                end_training(self.callbacks, first)
            return self._combined(first, None)
        return self._combined(first, self._train_all(ran_before=ran_before))

    def _train_head(self) -> keras.callbacks.History:
        self.borrowed.begin_with_only(self.parts.layers, self._optimizer())
        with warnings.catch_warnings():
            # A backup of this phase that is finished is what the second one continues from.
            warnings.filterwarnings("ignore", message="The run in .* is finished", category=UserWarning)
            return self._fit(HEAD_FOLDER, self.peaks[0], epochs=self.epochs[0], first=True, last=False)

    def _train_all(self, *, ran_before: bool) -> keras.callbacks.History:
        frozen, whole = self.epochs
        self.borrowed.begin(self.parts.normalizations, self._optimizer())
        # The epochs of a race are counted from 0, since its cycles are as long as the training.
        start = 0 if self.peaks[1] == "race" else frozen
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="With `initial_epoch=", category=UserWarning)
            return self._fit(
                WHOLE_FOLDER, self.peaks[1], epochs=start + whole, initial_epoch=start, layer_rates=self.layer_rates,
                first=not ran_before, last=True,
            )  # fmt: skip

    def _fit(self, folder: str, peak: Peak, *, first: bool, last: bool, **others: Any) -> keras.callbacks.History:
        backup_dir = None if self.folder is None else self.folder / folder
        run = partial(
            fit_one_cycle, self.model, **self.arguments, **others, max_learning_rate=peak,
            callbacks=self.callbacks, backup_dir=backup_dir,
        )  # fmt: skip
        return with_one_training(self.callbacks, run, first=first, last=last)

    def _optimizer(self) -> keras.optimizers.Optimizer:
        """Return an optimizer for a phase, with the schedules that the user has installed, apart from the rate's."""
        optimizer = self.borrowed.optimizer
        found = installed(inner_optimizers(optimizer)[0])
        plan = {} if found is None else found.plan
        copied = fresh_copy(optimizer)
        kept = {name: plan.get(name) for name in ("momentum", "weight_decay")}
        if any(value is not None for value in kept.values()):
            schedule_hyperparameters(copied, momentum=kept["momentum"], weight_decay=kept["weight_decay"])
        return copied

    def _was_stopped(self, history: keras.callbacks.History) -> bool:
        """Return whether a callback ended the first phase before its cycle did, or Ctrl-C came."""
        if any(getattr(callback, "interrupts_training", False) for callback in self.callbacks):
            return True
        report = getattr(history, "onecycle", None)
        if not isinstance(report, CycleReport) or report.total_steps is None or report.skipped_steps is None:
            return bool(self.model.stop_training)
        return report.steps + report.skipped_steps < report.total_steps

    def _combined(
        self, first: keras.callbacks.History | None, second: keras.callbacks.History | None
    ) -> keras.callbacks.History:
        """Return one `History` with the epochs of both phases."""
        histories = [history for history in (first, second) if history is not None]
        combined = keras.callbacks.History()
        combined.set_model(self.model)
        combined.params = {**(histories[-1].params or {}), "epochs": sum(self.epochs)}
        combined.epoch, combined.history = [], {}
        for history in histories:
            combined.epoch += [len(combined.epoch) + k for k in range(len(history.epoch))]
            for name, values in history.history.items():
                combined.history.setdefault(name, []).extend(values)
        combined.rescues = tuple(one for history in histories for one in getattr(history, "rescues", ()))
        combined.onecycle = self._report(first, second)
        self.model.history = combined
        return combined

    def _report(self, first: keras.callbacks.History | None, second: keras.callbacks.History | None) -> FineTuneReport:
        return FineTuneReport(
            head_cycle=getattr(first, "onecycle", None),
            cycle=getattr(second, "onecycle", None),
            head=tuple(layer.name for layer in self.parts.layers),
            epochs=self.epochs,
            frozen_normalizations=tuple(layer.name for layer in self.parts.normalizations),
        )


def _layer_rates(model: keras.Model, layer_rates: LayerRatesArgument, decay: float | None) -> LayerRates | None:
    """Return the factors of the second phase, checked before any training."""
    if layer_rates != "auto":
        return resolve_layer_rates(model, layer_rates, decay)
    if decay is not None:
        return resolve_layer_rates(model, "decay", decay)
    given = layer_rates_in_effect(model.optimizer)
    if given is not None:
        return given
    factors = DEFAULT_RATES[-len(blocks_from_input(model)) :]
    groups = layer_groups(model, len(factors))
    return resolve_layer_rates(model, {group: rate for group, rate in zip(groups, factors, strict=True) if rate != 1})


def _checked_peaks(
    model: keras.Model,
    max_learning_rate: object,
    momentum: str | MomentumPair | None,
    schedule: ScheduleMaker | None,
    callbacks: list[keras.callbacks.Callback],
) -> tuple[Peak, Peak]:
    """Return the argument `max_learning_rate` of each phase, checked with the other arguments of the cycles."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        raise ValueError(
            "Each phase has a cycle of its own length. Pass a callable (total_steps, max_learning_rate) -> schedule. "
            f"Received: schedule={described(schedule)}"
        )
    given: Any = max_learning_rate
    pair = tuple(given) if isinstance(given, tuple | list) else (given, given)
    if len(pair) != 2:
        raise ValueError(
            "Argument `max_learning_rate` must be one peak, or a pair (first phase, second phase). "
            f"Received: max_learning_rate={described(max_learning_rate)}"
        )
    for peak in pair:
        CycleSpec(peak, momentum, schedule).check(model, callbacks)
    return pair[0], pair[1]


def _check_search(
    peak: Peak, x: Nested, callbacks: list[keras.callbacks.Callback], epochs: int, batch_size: int | None,
    arguments: FitArguments,
) -> None:  # fmt: skip
    """Raise an error for a search that a phase of so many epochs cannot make, before the first phase trains."""
    refuse_one_shot(CycleSpec(peak), x)
    if peak != "race":
        return
    refuse_guard(callbacks)
    steps = training_data.steps_per_epoch(x, batch_size, arguments.get("steps_per_epoch"))
    if steps is not None:
        check_length(steps * epochs)


def _refuse(model: keras.Model, x: Nested, callbacks: list[keras.callbacks.Callback], arguments: FitArguments) -> None:
    """Raise an error for what cannot be fine-tuned in two calls of `fit`."""
    if arguments.get("initial_epoch"):
        raise ValueError(
            "Argument `initial_epoch` is not for `fine_tune`, which counts the epochs of both phases itself. "
            f"Received: initial_epoch={arguments['initial_epoch']}"
        )
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise ValueError(
            "A BackupAndRestore cannot resume a training of two phases. Pass its folder as `backup_dir` instead."
        )
    if is_multi_optimizer(model.optimizer):
        raise ValueError(
            "A MultiOptimizer chooses its optimizers for the weights that it was built with, and each phase trains "
            "others. Compile the model with one optimizer."
        )
    known = arguments.get("steps_per_epoch") or training_data.fit_knows_length(x)
    if not known and training_data.steps_per_epoch(x, None, None) is None:
        raise ValueError(
            "The length of this data is unknown, and so are the lengths of the cycles. Pass `steps_per_epoch`."
        )

"""An arm: one named way to train the model that `build` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias, TypedDict, Unpack

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.comparison.arm_checks import check_keys, checked_list_of_callbacks, checked_values
from onecycle.comparison.arm_schedules import PLAIN, SCHEDULES, ArmSchedule
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.gradient_sum import without_gradient_sum
from onecycle.keras_support.identity import plain_data
from onecycle.keras_support.optimizers import all_optimizers
from onecycle.keras_support.types import Nested
from onecycle.schedules.description import describe_schedule
from onecycle.suggestions.rules import DEFAULT_RULE
from onecycle.training.cycle_spec import CycleSpec
from onecycle.training.fitting import fit_one_cycle
from onecycle.training.peak import refuse_one_shot

# Part of the identity of arms that search for their rate: raised when the same settings would find another rate.
PICKING_FORMAT = 2

# A name, a configuration, an optimizer, or a function that returns one of these.
ArmOptimizer: TypeAlias = str | Mapping[str, object] | keras.optimizers.Optimizer | Callable[[], object]


class FitOptions(TypedDict):
    """The arguments of `fit` that `Arm.train` passes on."""

    epochs: int
    batch_size: int | None
    validation_data: Nested
    verbose: int


@dataclass(frozen=True)
class Arm:
    """One way to train. An arm that sets nothing but the name is a plain `fit`.

    Attributes:
        name: Name of the arm.
        schedule: "one_cycle" (the default where a rate is given), "none" for a plain `fit` of the model as it was
            compiled, "constant", "pytorch" (its `OneCycleLR`), "warmup_linear", "warmup_stable", a Keras schedule, or a
            callable (total_steps, max_learning_rate) -> schedule.
        max_learning_rate: The peak or the constant rate, or the search that finds it: "auto" or "range test". The
            cost of the search is part of the run.
        optimizer: Replaces the compiled one: a name, an optimizer, of which each run gets a new one with the same
            configuration, or a function that returns a new one.
        batch_size: Replaces the batch size of the comparison.
        momentum: As in `OneCycleScheduler`. None for "constant".
        epochs: Replaces the epochs of the comparison, for a cycle of another length.
        callbacks: A function that returns a list of Keras callbacks. It is called for each run.
    """

    name: str
    schedule: str | LearningRateSchedule | ArmSchedule = PLAIN
    max_learning_rate: float | str | None = None
    optimizer: ArmOptimizer | None = None
    batch_size: int | None = None
    momentum: str | tuple[float, float] | None = "auto"
    epochs: int | None = None
    callbacks: Callable[[], list[keras.callbacks.Callback]] | None = None

    @classmethod
    def from_dict(cls, name: str, options: Mapping[str, object]) -> Arm:
        """Return the arm of this name with the options that the user gave.

        Raises:
            TypeError, ValueError: For an unknown key or an invalid value.
        """
        defaults = {field.name: field.default for field in fields(cls) if field.name != "name"}
        check_keys(name, options, defaults)
        # None means the default, except for the momentum, where it means that there is no cycle of momentum.
        values = {key: value for key, value in options.items() if value is not None or key == "momentum"}
        cycles = "max_learning_rate" in values or values.get("momentum", "auto") not in (None, "auto")
        if "schedule" not in values and cycles:
            values["schedule"] = "one_cycle"
        schedule = values.get("schedule", PLAIN)
        # Every schedule but a Keras schedule needs a peak.
        if schedule != PLAIN and not isinstance(schedule, LearningRateSchedule):
            values.setdefault("max_learning_rate", "auto")
        if schedule == "constant":
            values.setdefault("momentum", None)
        try:
            values = checked_values(defaults | values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Arm {name!r}: {error}") from error
        return cls(name, **values)  # type: ignore[arg-type]  # checked above

    def config(self) -> dict[str, object]:
        """Return the arm as plain data, for records and as part of the identity of its runs."""
        schedule = self.schedule
        return {
            "schedule": (
                describe_schedule(schedule) if isinstance(schedule, LearningRateSchedule) else plain_data(schedule)
            ),
            "max_learning_rate": self.max_learning_rate,
            "optimizer": plain_data(self.optimizer_spec()),
            "momentum": list(self.momentum) if isinstance(self.momentum, tuple) else self.momentum,
            "callbacks": plain_data(self.callbacks),
            **self._picker_config(),
        }

    def _picker_config(self) -> dict[str, object]:
        # Only arms that search for a rate have this key, so the records of others stay valid when the search changes.
        spec = self.cycle_spec
        if spec is None or spec.picker is None:
            return {}
        return {"picker": {"format": PICKING_FORMAT, "rule": DEFAULT_RULE}}

    @property
    def cycle_spec(self) -> CycleSpec | None:
        """The specification of the cycle for `fit_one_cycle`, or None for a plain `fit`."""
        if self.schedule == PLAIN:
            return None
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        return CycleSpec("auto" if self.max_learning_rate is None else self.max_learning_rate, self.momentum, schedule)

    @property
    def finds_peak(self) -> bool:
        """Whether the runs of the arm search for their peak before training."""
        return self.cycle_spec is not None and self.cycle_spec.finds_peak

    def optimizer_spec(self) -> ArmOptimizer | None:
        """Return the optimizer in a form that makes a new one for each run: an optimizer as its configuration."""
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            return keras.optimizers.serialize(self.optimizer)
        return self.optimizer

    def use_optimizer(self, model: keras.Model) -> None:
        """Give a newly compiled model a new optimizer of this arm.

        Raises:
            ValueError: If the arm's function returns no optimizer, or one that has trained a model.
        """
        spec = self.optimizer_spec()
        if spec is None:
            return
        optimizer = _new_optimizer(spec)
        # With mixed precision `compile` wraps the optimizer.
        scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        if scales and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        # Set as `compile` sets it. Compiling again would need new losses and metrics.
        set_untracked(model, optimizer=optimizer)

    def check(self, model: keras.Model, x: Nested, steps: int | None) -> None:
        """Raise the errors that a run of this arm would raise before training. The model keeps the arm's optimizer.

        Callbacks are not created. A schedule whose peak has yet to be found is tried with another peak and length.

        Args:
            model: The compiled model.
            x: Training data.
            steps: Training steps of a run, or None if unknown.

        Raises:
            TypeError, ValueError: For an invalid optimizer or schedule, or a momentum that the optimizer does not have.
        """
        self.use_optimizer(model)
        self._check_optimizer_function()
        spec = self.cycle_spec
        if spec is not None:
            spec.check(model, ())
            refuse_one_shot(spec, x)
            if steps is None and not spec.has_ready_schedule:
                raise ValueError(
                    "A cycle needs data of known length. Pass a Keras schedule as `schedule`, or data with a length, "
                    "for example by `tf.data.experimental.assert_cardinality`. Received: data of unknown length"
                )
            if not spec.finds_peak:
                spec.schedules(model.optimizer, steps)

    def train(
        self,
        model: keras.Model,
        x: Nested,
        y: Nested,
        *,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback],
        **options: Unpack[FitOptions],
    ) -> keras.callbacks.History:
        """Train the model as this arm specifies, and return the history.

        Args:
            model: The compiled model, with the arm's optimizer.
            x: Training data.
            y: Targets, or None for data sets.
            seed: Seed of the search for a peak.
            callbacks: Callbacks in addition to those of the arm.
            **options: Further arguments of `fit`.
        """
        callbacks = [*callbacks, *([] if self.callbacks is None else checked_list_of_callbacks(self.callbacks()))]
        spec = self.cycle_spec
        if spec is None:
            with without_gradient_sum(*all_optimizers(model)):
                return model.fit(x, y, callbacks=callbacks, **options)
        # Without a guard: that an arm diverges is a result, and runs in compiled programs have none either.
        return fit_one_cycle(model, x, y, **vars(spec), seed=seed, callbacks=callbacks, guard=False, **options)

    def _check_optimizer_function(self) -> None:
        spec = self.optimizer_spec()
        if not callable(spec):
            return
        # A shared optimizer would carry its state from run to run.
        first, second = spec(), spec()
        if first is second and isinstance(first, keras.optimizers.Optimizer):
            raise ValueError(
                "Argument `optimizer` must be a function that returns a new optimizer each time. "
                f"It returned the same {type(first).__name__} twice."
            )


def read_arms(arms: Mapping[str, Mapping[str, object]]) -> tuple[Arm, ...]:
    """Return the arms of a comparison, checked, with the baseline first.

    Raises:
        TypeError, ValueError: If there are fewer than two arms, or an arm is invalid.
    """
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(
            "Argument `arms` must be a dict of name -> dict, the baseline first, with at least two arms. "
            f"Received: arms={arms!r}"
        )
    parsed = tuple(Arm.from_dict(name, options) for name, options in arms.items())
    if len(parsed) == 1:
        raise ValueError(
            "Argument `arms` must have at least two arms: the first one is the baseline of the others. Add a baseline, "
            f"for example {{}} for a plain `fit`. Received: one arm, {parsed[0].name!r}"
        )
    return parsed


def _new_optimizer(spec: ArmOptimizer) -> keras.optimizers.Optimizer:
    made = spec() if callable(spec) else spec
    optimizer = None if made is None else keras.optimizers.get(made)
    if not isinstance(optimizer, keras.optimizers.Optimizer) or optimizer.built:
        what = "None" if optimizer is None else f"{type(optimizer).__name__}, which has been used already"
        raise ValueError(
            "Argument `optimizer` must be a function that returns a new keras optimizer. "
            f"Received: optimizer() -> {what}"
        )
    return optimizer

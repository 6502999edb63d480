"""An arm: one named way to train the model that `build` returns, the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.comparison.identity import described
from onecycle.keras_support.attributes import set_quietly
from onecycle.schedules import OneCycle
from onecycle.schedules.starting_at import told
from onecycle.schedules.warmup import WarmupLinearDecay, WarmupStableDecay
from onecycle.suggestions.arguments import count, number, one_of
from onecycle.suggestions.rules import DEFAULT_RULE
from onecycle.training.fitting import fit_one_cycle
from onecycle.training.peak import AUTO, PICKERS, Wish
from onecycle.training.scheduler import OneCycleScheduler

PLAIN = "none"
# Part of the identity of the arms that pick their rate: raised when the same settings would pick another one.
PICKING_FORMAT = 2
# Each takes (total_steps, max_learning_rate); None stands for what `fit_one_cycle` does by itself.
SCHEDULES: dict[str, Callable[[int, float], Any] | None] = {
    "one_cycle": None,
    "constant": lambda steps, rate: WarmupStableDecay(rate, steps, warmup_fraction=0.0, decay_fraction=0.0),
    "pytorch": lambda steps, peak: OneCycle.pytorch(peak, steps),
    "warmup_linear": lambda steps, peak: WarmupLinearDecay(peak, steps),
    "warmup_stable": lambda steps, peak: WarmupStableDecay(peak, steps),
}


@dataclass(frozen=True)
class Arm:
    """One way to train. The dict that a person gives may have any of these but the name; all empty is a plain `fit`.

    Attributes:
        name: The arm's name.
        schedule: "one_cycle" (where a rate is given and nothing else), "none" for a plain `fit` of the model as it was
            compiled, "constant", "pytorch" (its `OneCycleLR`), "warmup_linear", "warmup_stable", a Keras schedule, or
            a callable (total_steps, max_learning_rate) -> schedule.
        max_learning_rate: The peak, the constant rate, or what picks it, "auto", "range test" or "sweep", whose cost is
            counted.
        optimizer: In place of the compiled one: a name, an optimizer (of which each run gets a fresh one by its
            configuration) or a function that returns one.
        batch_size: In place of the comparison's.
        momentum: As in `OneCycleScheduler`; None for "constant".
        epochs: In place of the comparison's: a whole cycle of another length.
        callbacks: A function that returns a list of Keras callbacks, called anew for each run.
    """

    name: str
    schedule: Any = PLAIN
    max_learning_rate: float | str | None = None
    optimizer: Any = None
    batch_size: int | None = None
    momentum: Any = "auto"
    epochs: int | None = None
    callbacks: Callable[[], list[Any]] | None = None

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> Arm:
        """The arm of this name from what a person gave, checked.

        Raises:
            TypeError, ValueError: For an unknown key or a value that cannot be.
        """
        _check_keys(name, given)
        values = {key: value for key, value in given.items() if value is not None or key == "momentum"}
        cycles = "max_learning_rate" in values or values.get("momentum", "auto") not in (None, "auto")
        if "schedule" not in values and cycles:
            values["schedule"] = "one_cycle"
        schedule = values.get("schedule", PLAIN)
        if schedule != PLAIN and not isinstance(schedule, LearningRateSchedule):
            values.setdefault("max_learning_rate", "auto")
        if schedule == "constant":
            values.setdefault("momentum", None)
        arm = cls(name, **values)
        try:
            _check_values(arm)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Arm {name!r}: {error}") from error
        return arm

    def facts(self) -> dict[str, Any]:
        """The arm as plain data: what its runs depend on, and what their records say of it."""
        return {
            "schedule": told(self.schedule) if _is_schedule(self.schedule) else described(self.schedule),
            "max_learning_rate": self.max_learning_rate,
            "optimizer": described(self.optimizer_setting()),
            "momentum": list(self.momentum) if isinstance(self.momentum, tuple) else self.momentum,
            "callbacks": described(self.callbacks),
            **self._picker(),
        }

    def _picker(self) -> dict[str, Any]:
        """What picks the rate, where something does: the arms that are told theirs keep the identity they had."""
        if self.wish is None or not self.wish.picks:
            return {}
        tests = self.max_learning_rate in ("auto", AUTO)
        return {"picker": {"format": PICKING_FORMAT, **({"rule": DEFAULT_RULE} if tests else {})}}

    def optimizer_setting(self) -> Any:
        """The optimizer as plain data that makes a fresh one, or the function given."""
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            return keras.optimizers.serialize(self.optimizer)
        return self.optimizer

    def use_optimizer(self, model: Any) -> None:
        """Give a model that was only just compiled this arm's own, fresh optimizer."""
        setting = self.optimizer_setting()
        if setting is None:
            return
        fresh = setting() if callable(setting) else setting
        fresh = fresh if fresh is None else keras.optimizers.get(fresh)
        if not isinstance(fresh, keras.optimizers.Optimizer) or fresh.built:
            what = f"{type(fresh).__name__}, which has been used already" if fresh is not None else "None"
            raise ValueError(f"`optimizer` must be a function that returns a new keras optimizer. It returned: {what}")
        scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        if scales and not isinstance(fresh, keras.optimizers.LossScaleOptimizer):
            fresh = keras.optimizers.LossScaleOptimizer(fresh)
        # As `compile` does it; compiling again would need losses and metrics that are not used yet.
        set_quietly(model, optimizer=fresh)

    def try_on(self, model: Any, x: Any, steps: int | None) -> None:
        """Raise what a run of this arm would raise before its training; the model keeps the arm's optimizer.

        Its callbacks are not made, nor a schedule with a peak that is not picked yet.

        Args:
            steps: Training steps of a run, or None where they are not known.
        """
        self.use_optimizer(model)
        setting = self.optimizer_setting()
        if callable(setting):
            one, other = setting(), setting()
            if one is other and isinstance(one, keras.optimizers.Optimizer):
                raise ValueError("`optimizer` must be a function that returns a new optimizer each time, not the same.")
        if self.wish is not None:
            self.wish.check(model, x, ())
            if steps is not None and not self.wish.picks:
                self.wish.scheduler(self.wish.max_learning_rate).schedules(model.optimizer, steps)

    def train(self, model: Any, x: Any, y: Any, *, seed: int, callbacks: list[Any], **options: Any) -> Any:
        """Train the model in this way and return Keras' `History`."""
        callbacks = [*callbacks, *(self.callbacks() if self.callbacks is not None else [])]
        wish = self.wish
        if wish is None:
            return model.fit(x, y, callbacks=callbacks, **options)
        return fit_one_cycle(model, x, y, **vars(wish), seed=seed, callbacks=callbacks, **options)

    @property
    def wish(self) -> Wish | None:
        """What the arm asks of `fit_one_cycle`; None for a plain `fit`."""
        if self.schedule == PLAIN:
            return None
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        return Wish("auto" if self.max_learning_rate is None else self.max_learning_rate, self.momentum, schedule)


def read_arms(arms: Mapping[str, Mapping[str, Any]]) -> tuple[Arm, ...]:
    """The arms of a comparison, checked; the first is the baseline.

    Raises:
        TypeError, ValueError: For none, or for one that is wrong.
    """
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(
            "Argument `arms` must be a dict of name -> dict, the baseline first, with at least one arm. "
            f"Received: arms={arms!r}"
        )
    return tuple(Arm.read(name, given) for name, given in arms.items())


def _is_schedule(schedule: Any) -> bool:
    return isinstance(schedule, LearningRateSchedule)


def _check_keys(name: Any, given: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"The name of an arm must be a text that is not empty. Received: {name!r}")
    if not isinstance(given, Mapping):
        raise TypeError(f"Arm {name!r} must be a dict. Received: {given!r}")
    keys = [field.name for field in fields(Arm) if field.name != "name"]
    unknown = [key for key in given if key not in keys]
    if unknown:
        raise ValueError(f"Arm {name!r} may have {', '.join(keys)}. Received: {', '.join(map(repr, unknown))}")


def _check_values(arm: Arm) -> None:
    if isinstance(arm.schedule, str):
        one_of("schedule", arm.schedule, (PLAIN, *SCHEDULES))
    elif not callable(arm.schedule):
        raise TypeError(
            "Argument `schedule` must be a name, a keras LearningRateSchedule or a callable "
            f"(total_steps, max_learning_rate) -> schedule. Received: schedule={arm.schedule!r}"
        )
    if arm.max_learning_rate is not None:
        _check_rate(arm)
    if arm.batch_size is not None:
        count("batch_size", arm.batch_size)
    if arm.epochs is not None:
        count("epochs", arm.epochs)
    if arm.callbacks is not None and not callable(arm.callbacks):
        raise TypeError(
            "Argument `callbacks` must be a function that returns a list, since each run needs its own. "
            f"Received: callbacks={arm.callbacks!r}"
        )
    if isinstance(arm.optimizer, str | dict):
        keras.optimizers.get(arm.optimizer)
    elif not (
        arm.optimizer is None or callable(arm.optimizer) or isinstance(arm.optimizer, keras.optimizers.Optimizer)
    ):
        raise TypeError(
            "Argument `optimizer` must be a name, a keras optimizer or a function that returns one. "
            f"Received: optimizer={arm.optimizer!r}"
        )
    _check_momentum(arm)


def _check_rate(arm: Arm) -> None:
    if arm.schedule == PLAIN:
        raise ValueError(
            'Argument `max_learning_rate` says nothing to a plain `fit`: use schedule="constant", or leave one out. '
            f"Received: schedule={arm.schedule!r}, max_learning_rate={arm.max_learning_rate!r}"
        )
    if _is_schedule(arm.schedule):
        raise ValueError(
            "A schedule has its own learning rates: give either `schedule` or `max_learning_rate`. "
            f"Received: schedule={arm.schedule!r}, max_learning_rate={arm.max_learning_rate!r}"
        )
    if arm.max_learning_rate not in PICKERS:
        if isinstance(arm.max_learning_rate, str):
            raise ValueError(
                'Argument `max_learning_rate` must be a number or "auto", "range test" or "sweep". '
                f"Received: max_learning_rate={arm.max_learning_rate!r}"
            )
        number("max_learning_rate", arm.max_learning_rate, above=0)


def _check_momentum(arm: Arm) -> None:
    OneCycleScheduler(1.0, momentum=arm.momentum)
    if arm.schedule in (PLAIN, "constant") and arm.momentum not in (None, "auto"):
        raise ValueError(
            f"Argument `momentum` is a cycle's pair, and schedule={arm.schedule!r} has no cycle: give the optimizer "
            f"its momentum, for example optimizer=keras.optimizers.SGD(momentum=0.9). Received: {arm.momentum!r}"
        )

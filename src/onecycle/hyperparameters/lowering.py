"""A learning rate that is lowered, and schedules that are moved on, in the middle of a training."""

from __future__ import annotations

from numbers import Real

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.evaluation import NumberOrSchedule, evaluate
from onecycle.hyperparameters.installation import InstalledState, install, installed
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers, learning_rate_setting
from onecycle.keras_support.train_function import remake_train_function


class LoweredRate:
    """The hyperparameters of a model's optimizer after its state was set back, perhaps with a lower learning rate.

    Schedules continue where the training is, although the step counter went back with the state. Without schedules, the
    optimizer's learning rate is set.

    Args:
        model: The compiled model, whose `fit` runs, with the schedules that it then has.

    Attributes:
        factor: Factor on the learning rate.
        lost: Number of steps by which the step counter is behind.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.factor, self.lost = 1.0, 0
        self._before = InstalledState(model.optimizer)
        self._parts = [_Part(inner) for inner in inner_optimizers(model.optimizer)]

    def rate(self, step: int) -> float:
        """Return the learning rate of a step without any lowering, the largest one of several optimizers.

        Args:
            step: The step, as the counter would be if it had never gone back.
        """
        return max(part.rate(step, self.factor) for part in self._parts)

    def numbers(self) -> list[float | None]:
        """Return the learning rates that are numbers, which a state has too; None for schedules."""
        return [part.number() for part in self._parts]

    def apply(self, factor: float, lost: int, numbers: list[float | None]) -> None:
        """Continue with another factor, after the state was set back.

        Args:
            factor: Factor on the learning rate without any lowering.
            lost: Number of steps by which the step counter is behind.
            numbers: What `numbers` returned before the state was set back.
        """
        for part, number in zip(self._parts, numbers, strict=True):
            part.update(self.factor, self.lost)
            if number is not None:
                part.set_number(number, factor / self.factor)
        changed = (factor, lost) != (self.factor, self.lost)
        self.factor, self.lost = factor, lost
        if not changed:
            return
        installed_any = [part.install(factor, lost) for part in self._parts]
        if any(installed_any):
            remake_train_function(self._model)

    def reapply(self) -> None:
        """Lower a learning rate that a callback has raised again, such as `LearningRateScheduler`."""
        for part in self._parts:
            part.lower_again(self.factor)

    def undo(self) -> None:
        """Give the optimizer the hyperparameters of before. What was removed in the meantime stays removed."""
        if any(part.is_installed for part in self._parts):
            self._before.restore_where_installed()
        for part in self._parts:
            part.give_back(self.factor)
        self.factor, self.lost = 1.0, 0


class _Part:
    """What `LoweredRate` knows of one optimizer.

    Args:
        optimizer: An optimizer that is no wrapper around others.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._optimizer = optimizer
        self._mine: dict[str, NumberOrSchedule] = {}
        # Name -> a value, and the factor and the lost steps that it has in it.
        self._plan: dict[str, tuple[NumberOrSchedule, float, int]] = {}
        self.update(1.0, 0)
        setting = learning_rate_setting(optimizer)
        if "learning_rate" not in self._plan and not hasattr(setting, "assign"):
            self._plan["learning_rate"] = (_as_schedule(setting), 1.0, 0)
        self._given = self._set = self.number()
        self._is_given = True

    @property
    def is_installed(self) -> bool:
        """Whether hyperparameters of this class are installed."""
        return bool(self._mine)

    def update(self, factor: float, lost: int) -> None:
        """Take over what someone else has installed since, as where a cycle ends early."""
        installation = installed(self._optimizer)
        for name, value in (installation.plan if installation else {}).items():
            if value is not self._mine.get(name):
                self._plan[name] = (value, factor, lost)

    def rate(self, step: int, factor: float) -> float:
        """Return the learning rate of a step without any lowering."""
        if "learning_rate" in self._plan:
            value, before, lost = self._plan["learning_rate"]
            return float(evaluate(value, step - lost)) / before
        return float(backends.to_numpy(learning_rate_setting(self._optimizer))) / factor

    def number(self) -> float | None:
        """Return the learning rate if it is a number."""
        if "learning_rate" in self._plan:
            return None
        return float(backends.to_numpy(learning_rate_setting(self._optimizer)))

    def set_number(self, number: float, factor: float) -> None:
        """Set the learning rate to a number times a factor."""
        self._is_given = self._is_given and number == self._set
        setting = learning_rate_setting(self._optimizer)
        setting.assign(number * factor)
        self._set = float(backends.to_numpy(setting))

    def lower_again(self, factor: float) -> None:
        """Multiply a number by the factor that is higher than the one which was set."""
        now = self.number()
        if now is None or self._set is None or now == self._set:
            return
        self._is_given = False
        if now > self._set and factor != 1:
            self.set_number(now, factor)
        self._set = self.number()

    def install(self, factor: float, lost: int) -> bool:
        """Install the hyperparameters as they are with a factor and lost steps; return whether there are any."""
        if not self._plan:
            return False
        before = installed(self._optimizer)
        self._mine = {
            name: _moved(value, factor / own_factor if name == "learning_rate" else 1.0, lost - own_lost)
            for name, (value, own_factor, own_lost) in self._plan.items()
        }
        install(self._optimizer, self._mine)
        now = installed(self._optimizer)
        if now is not None and before is not None:
            now.fit_scope = before.fit_scope
        return True

    def give_back(self, factor: float) -> None:
        """Set the learning rate that a number had at first, or has without the factor if a callback has changed it."""
        now = self.number()
        if now is None or self._given is None or factor == 1:
            return
        given = self._given if self._is_given and now == self._set else now / factor
        learning_rate_setting(self._optimizer).assign(given)
        self._given = self._set = None


class ContinuedSchedule(LearningRateSchedule):
    """A schedule times a factor, at the steps that the counter would have if it had never gone back.

    It exists only while it is installed, so it is never saved.

    Args:
        schedule: The schedule.
        factor: The factor.
        lost: The number of steps by which the counter is behind.
    """

    def __init__(self, schedule: LearningRateSchedule, factor: float, lost: int) -> None:
        self.schedule, self.factor, self.lost = schedule, factor, lost

    def __call__(self, step: keras.Variable | keras.KerasTensor) -> keras.KerasTensor:
        """Return the value at the counter's `step` as a tensor."""
        return self.factor * self.schedule(keras.ops.convert_to_tensor(step) + self.lost)

    def value_at(self, step: int) -> float:
        """Return the value at one step of the counter, computed on the host."""
        return self.factor * float(evaluate(self.schedule, step + self.lost))


class _CalledRate(LearningRateSchedule):
    """A learning rate that a function without arguments returns, as Keras takes it."""

    def __init__(self, function: object) -> None:
        self._function = function

    def __call__(self, step: keras.Variable | keras.KerasTensor) -> keras.KerasTensor:
        return self._function()  # type: ignore[operator]


def _as_schedule(setting: object) -> LearningRateSchedule:
    return setting if isinstance(setting, LearningRateSchedule) else _CalledRate(setting)


def _moved(value: NumberOrSchedule, factor: float, lost: int) -> NumberOrSchedule:
    if isinstance(value, Real):
        return float(value) * factor
    return ContinuedSchedule(value, factor, lost)

"""The losses of a running `fit`, read from the device every few steps, without changing the compiled step if possible.

Keras reports the mean loss of the epoch so far. The loss of a batch is the difference of two such sums. That is exact
enough to see an explosion, costs nothing in the step, and cannot change its result. Where this mean does not exist, or
would stay NaN after a batch that loss scaling skips, a `LossRecorder` records each loss inside the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import skips_updates
from onecycle.keras_support.recorded_losses import RecordedLosses
from onecycle.keras_support.train_function import has_own_step

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

STEPS_BETWEEN_READS = 4  # so that a loss is seen within 5 steps
LAG = 1  # steps that are left for the next read, so that the device has work while Python waits for a loss


@dataclass(frozen=True)
class Loss:
    """The mean loss of a few consecutive batches.

    Attributes:
        value: The loss.
        step: The last of the batches, counted from 0 at the start of the `fit`.
        batches: Number of batches.
    """

    value: float
    step: int
    batches: int = 1


@dataclass(frozen=True)
class Position:
    """Where in the training a state was: what is needed to go on reading from there.

    Attributes:
        step: Number of steps since the start of the `fit`.
        epoch: The epoch.
        batches: Number of batches of the epoch.
        mean: Keras' mean loss of these batches.
    """

    step: int
    epoch: int
    batches: int
    mean: float


class LossStream:
    """Reads the losses of the calls of the training function.

    Args:
        model: The model whose `fit` runs.
        steps_per_epoch: Batches per epoch, or None if unknown.
        reads_each_step: Whether every loss is read at once.

    Attributes:
        from_own_step: Whether the model has its own `train_step`.
        recorded: The losses that are recorded inside the step, where that is necessary.
        healthy_logs: The newest logs whose loss was read and is finite; empty at first.
    """

    def __init__(self, model: keras.Model, *, steps_per_epoch: int | None, reads_each_step: bool) -> None:
        self._model, self._steps_per_epoch = model, steps_per_epoch
        self._calls_per_epoch = None if steps_per_epoch is None else -(-steps_per_epoch // model.steps_per_execution)
        self.from_own_step = has_own_step(model)
        self._per_call = model.steps_per_execution
        records = self.from_own_step or self._per_call > 1 or skips_updates(model.optimizer)
        self.recorded = RecordedLosses(model, STEPS_BETWEEN_READS + 2 * self._per_call, active=records)
        self._functional = backends.is_functional()
        self._number = backends.scalar_reader()
        self._reads_each_step = reads_each_step
        # The newest losses are left for the next time, so that no step waits for them.
        self._lag = 0 if reads_each_step or records else LAG
        self._every = STEPS_BETWEEN_READS + 1 - max(self._lag, 1)
        self._logs: list[dict[str, Nested]] = []
        self._skimmed: list[tuple[float, int, int]] = []
        self._each, self._above, self._look_at = True, -math.inf, 0
        self._skim_until: float = 0
        self.epoch, self._start_of_epoch, self._calls_read = -1, 0, 0
        self._batches, self._mean = 0, 0.0
        self.healthy_logs: dict[str, Nested] = {}
        self._plan()

    def watching(
        self,
        compiled: Callable[..., Nested],
        prepared: Callable[[tuple[Nested, ...]], tuple[Nested, ...]],
        look: Callable[[Nested], Nested],
    ) -> Callable[..., Nested]:
        """Return the training function with as little as possible around it in each step.

        Args:
            compiled: The training function.
            prepared: What its arguments become.
            look: Called with its result when losses should be read; returns what the function then returns.
        """
        compiled, logs, append = self.recorded.recording(compiled), self._logs, self._logs.append
        is_functional = self._functional

        def watching(*args: Nested) -> Nested:
            result = compiled(*prepared(args))
            append(result[0] if is_functional else result)
            return result if len(logs) < self._most_waiting else look(result)

        return watching

    def begin_epoch(self) -> None:
        """Begin an epoch, in which Keras' mean begins anew."""
        self._start_of_epoch = self.steps
        self.epoch += 1
        self._calls_read = self._batches = 0
        self._mean = 0.0
        self._logs.clear()
        self._plan()

    @property
    def steps(self) -> int:
        """The number of steps since the start of the `fit`."""
        batches = (self._calls_read + len(self._logs)) * self._per_call
        if self._steps_per_epoch is not None:
            batches = min(batches, self._steps_per_epoch)
        return self._start_of_epoch + batches

    @property
    def waiting(self) -> bool:
        """Whether there are losses that have not been read."""
        return bool(self._logs)

    @property
    def ends_epoch(self) -> bool:
        """Whether the last call was the last of the epoch."""
        return self._calls_read + len(self._logs) == self._calls_per_epoch

    def plan(self, *, each: bool, above: float, look_at: int) -> None:
        """Set when losses are read.

        Args:
            each: Whether the next losses are read at once.
            above: A loss that is above this is suspicious.
            look_at: The step at which `skim` leaves the losses to `read`.
        """
        self._each, self._above, self._look_at = each, above, look_at
        self._plan()

    def skim(self) -> bool:
        """Read one of the last losses and return whether all is well; if not, nothing has changed."""
        # It runs after every few steps, so it makes no call that is not necessary.
        logs = self._logs
        count = len(logs) - self._lag
        calls = self._calls_read + count
        if calls >= self._skim_until or count < 1:
            return False
        newest, batches = logs[count - 1], self._batches + count
        mean = self._number(newest["loss"])
        loss = (batches * mean - self._batches * self._mean) / count
        if not loss <= self._above:  # also for NaN
            return False
        self._skimmed.append((loss, self._start_of_epoch + calls - 1, count))
        self._calls_read, self._batches, self._mean, self.healthy_logs = calls, batches, mean, newest
        del logs[:count]
        if self._calls_per_epoch is not None and self._calls_per_epoch - calls < self._most_waiting:
            self._plan()
        return True

    def read(self, result: Nested) -> list[Loss]:
        """Return all losses that have not been returned yet, single ones where there may be a high one.

        Args:
            result: What the training function has just returned; None when the epoch has ended.
        """
        skimmed, self._skimmed = [Loss(*one) for one in self._skimmed], []
        losses = self._read_recorded(result) if self.recorded.active else self._read_means()
        self._plan()
        return skimmed + losses

    def position(self) -> Position:
        """Return where the training is. All losses must have been read."""
        self.recorded.mark()
        return Position(self.steps, self.epoch, self._batches, self._mean)

    def restored(self, position: Position) -> None:
        """Go on after a state was restored: its mean continues if it is of this epoch, and begins anew otherwise."""
        same = position.epoch == self.epoch
        self._batches, self._mean = (position.batches, position.mean) if same else (0, 0.0)
        self._calls_read += len(self._logs)
        self._logs.clear()
        self._skimmed.clear()
        self.recorded.forget()
        self._plan()

    def record_batches(self) -> None:
        """Record each loss in the step from now on, and on TensorFlow bad values. The step has to be traced again."""
        self.recorded.start()
        self._every, self._lag = STEPS_BETWEEN_READS, 0
        self._plan()

    def _plan(self) -> None:
        """Set how many calls there are until the next look, and up to which call of the epoch it is a short one."""
        if self._each or self._reads_each_step:
            self._most_waiting, self._skim_until = 1, 0
            return
        end = math.inf if self._calls_per_epoch is None else self._calls_per_epoch - self._lag
        self._skim_until = min(self._look_at - self._start_of_epoch, end) if self._lag else 0
        self._most_waiting = max(1, self._every // self._per_call) + self._lag
        if self._calls_per_epoch is not None:
            self._most_waiting = min(self._most_waiting, max(1, self._calls_per_epoch - self._calls_read))

    def _read_means(self) -> list[Loss]:
        logs, count = list(self._logs), len(self._logs)
        if not count:
            return []
        first, before, mean = self.steps - count, self._batches, self._mean
        self._logs.clear()
        self._calls_read += count
        self._batches, self._mean = before + count, self._number(logs[-1]["loss"])
        loss = (self._batches * self._mean - before * mean) / count
        if loss <= self._above:  # not for NaN
            self.healthy_logs = logs[-1]
            return [Loss(loss, first + count - 1, count)]
        means = [mean, *(self._number(one["loss"]) for one in logs[:-1]), self._mean]
        return [Loss((before + k + 1) * means[k + 1] - (before + k) * means[k], first + k) for k in range(count)]

    def _read_recorded(self, result: Nested) -> list[Loss]:
        new = self.recorded.new(result)
        logs, last = list(self._logs), self.steps - 1
        self._logs.clear()
        self._calls_read += len(logs)
        self._batches += len(logs) * self._per_call
        if not new:
            # A `train_step` that computes its loss without `compute_loss` may still report it.
            new = [self._number(one["loss"]) for one in logs[-1:] if "loss" in one]
        if logs and all(math.isfinite(loss) for loss in new):
            self.healthy_logs = logs[-1]
        return [Loss(loss, max(0, last - len(new) + 1 + k)) for k, loss in enumerate(new)]

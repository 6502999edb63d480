"""A candidate of a race: one training of the model, which is paused and goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.keras_support.partial_fit import BatchSkipper, EpochStart, Paused, PausedFit, RestorableVariables
from onecycle.keras_support.weight_average import AverageState, WeightAverage, is_update
from onecycle.training.cycle_spec import CycleSchedules

Logs = Mapping[str, float]

CHECKED_STEPS = 20  # at most, until a loss that is not finite is noticed; reading it waits for the device


class RaceMember:
    """One candidate.

    Args:
        learning_rate: Its peak.
        schedules: The schedules of its cycle, from step 0.
        callbacks: The user's callbacks, or None.

    Attributes:
        average: The step and the values of the moving average of its weights.
        marked_average: The same at an earlier step, to be judged at the next cut; None for no such step.
        steps: Number of steps trained.
        paused: The state in which it waits, or None before its first step and after its last.
        finished: Whether its training has ended, as a callback may have it do early.
        final: The state of the model at the end of such a training.
        scores: Cut -> the score of its averaged weights there.
        dropped: Why it was dropped, as a sentence, or "".
        history: Metric name -> its value after each epoch.
        curve: (step, mean training loss of the steps since the point before) for each point.
        epoch_sums: Batches of the running epoch and the sum of their losses, at the last point of the curve.
    """

    def __init__(
        self,
        learning_rate: float,
        schedules: CycleSchedules,
        callbacks: keras.callbacks.CallbackList | None,
    ) -> None:
        self.learning_rate, self.schedules = learning_rate, schedules
        self.average: AverageState = (0, [])
        self.marked_average: AverageState | None = None
        self.callbacks = callbacks
        self.steps = 0
        self.paused: PausedFit | None = None
        self.finished = False
        self.final: RestorableVariables | None = None
        self.scores: dict[float, float] = {}
        self.dropped = ""
        self.history: dict[str, list[float]] = {}
        self.curve: list[tuple[int, float]] = []
        self.epoch_sums = (0, 0.0)

    def release(self) -> None:
        """Free the memory of a candidate that will not go on."""
        self.paused, self.final, self.average, self.marked_average = None, None, (0, []), None

    @property
    def diverged(self) -> bool:
        """Whether its loss was not finite."""
        return bool(self.curve) and not math.isfinite(self.curve[-1][1])

    def hyperparameters(self, step: int) -> dict[str, float]:
        """Return the values of its schedules at a step by name."""
        return {name: float(evaluate(schedule, step)) for name, schedule in self.schedules.by_name.items()}


class Leg(keras.callbacks.Callback):
    """Trains a candidate in one call of `fit`, from where it was paused up to a later step.

    Args:
        member: The candidate.
        data: The data, as `fit` takes it, also nested.
        until: The step before which to pause; the last step of all for no pause.
        steps_per_epoch: Steps of an epoch.
        start: The states with which every candidate begins its first epoch; None for the first candidate.
        portable: Whether the states of pauses can be saved in a file.
        average: The average of the weights, in the state in which the candidate left it.
        average_from: The step from which the weights are averaged.
        average_every: Steps between two updates of the average.
        marked: The step at which the average is kept for the next cut; 0 for none.
        progress: Called with the candidate when its loss was read.
    """

    def __init__(
        self,
        member: RaceMember,
        data: object,
        *,
        until: int,
        steps_per_epoch: int,
        start: EpochStart | None,
        portable: bool,
        average: WeightAverage,
        average_from: int,
        average_every: int,
        marked: int,
        progress: Callable[[RaceMember], None],
    ) -> None:
        super().__init__()
        self.start = start
        self._member, self._data, self._until = member, data, until
        self._steps_per_epoch = steps_per_epoch
        self._portable, self._average = portable, average
        self._average_from, self._average_every, self._marked = average_from, average_every, marked
        self._progress = progress
        self._resumed = member.paused
        self._skipper: BatchSkipper | None = None
        self._epoch_start: EpochStart | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self._resumed is None:
            self._forward("on_train_begin", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        if self._resumed is None or not self._resumed.batches:
            self._member.epoch_sums = (0, 0.0)
        if self._resumed is not None:
            self._resume(self._resumed)
        elif self._member.steps >= self._until:
            self._pause(epoch, 0, EpochStart.now(self._data, portable=self._portable))
        elif self._member.steps == 0:
            if self.start is None:
                self.start = EpochStart.now(self._data, portable=self._portable)
            self.start.restore()
        if self._skipper is None:
            self._forward("on_epoch_begin", epoch, logs)
            if epoch * self._steps_per_epoch < self._until < (epoch + 1) * self._steps_per_epoch:
                self._epoch_start = EpochStart.now(self._data, portable=self._portable)
        self._resumed = None

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if not self._is_skipping:
            self._forward("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._skipper is not None:
            self._skipper.end_batch()
            if not self._skipper.is_skipping:
                self._skipper = None
            return
        batches = min(batch + 1, self._steps_per_epoch)
        member = self._member
        before, member.steps = member.steps, self._epoch * self._steps_per_epoch + batches
        ends = batches == self._steps_per_epoch or member.steps >= self._until
        if member.steps // CHECKED_STEPS > before // CHECKED_STEPS or ends:
            self._read_loss(batches, logs)
        if member.steps >= self._average_from and is_update(before, member.steps, self._average_every):
            self._average.update(member.steps)
        if before < self._marked <= member.steps:
            member.marked_average = self._average.state()
        self._forward("on_train_batch_end", batch, logs)
        # The end of an epoch belongs to it, with its validation.
        if member.steps >= self._until and batches < self._steps_per_epoch:
            self._pause(self._epoch, batches, self._epoch_start)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        logs.update(self._member.hyperparameters(self._member.steps - 1))
        for name, value in logs.items():
            self._member.history.setdefault(name, []).append(value)
        self._forward("on_epoch_end", epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._member.finished, self._member.paused = True, None
        self._forward("on_train_end", logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._forward("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._forward("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._forward("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._forward("on_test_batch_end", batch, logs)

    def close(self) -> None:
        """Leave the training function as it was, also after an exception."""
        if self._skipper is not None:
            self._skipper.close()

    @property
    def _is_skipping(self) -> bool:
        return self._skipper is not None

    def _resume(self, paused: PausedFit) -> None:
        # Keras has just reset the metrics, which go on in the middle of an epoch.
        paused.variables.restore(metrics=bool(paused.batches))
        paused.epoch_start.restore()
        if paused.batches:
            self._skipper = BatchSkipper(self.model, paused.batches, paused.random.restore)
            self._epoch_start = paused.epoch_start

    def _pause(self, epoch: int, batches: int, epoch_start: EpochStart | None) -> None:
        assert epoch_start is not None
        self._member.paused = PausedFit.now(self.model, epoch, batches, epoch_start, portable=self._portable)
        raise Paused

    def _read_loss(self, batches: int, logs: Logs | None) -> None:
        """Add a point to the curve, and end training if the loss is not finite."""
        if not logs or "loss" not in logs:
            return
        # Keras reports the mean over the epoch so far.
        total = float(logs["loss"]) * batches
        member = self._member
        before, sum_before = member.epoch_sums
        member.epoch_sums = (batches, total)
        member.curve.append((member.steps, (total - sum_before) / max(batches - before, 1)))
        self._progress(member)
        if not math.isfinite(total):
            raise Paused

    def _forward(self, hook: str, *arguments: object) -> None:
        if self._member.callbacks is not None:
            getattr(self._member.callbacks, hook)(*arguments)

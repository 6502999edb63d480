"""Trains the candidates of a race one after the other, each from the same state, with pauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras

from onecycle.engine.fit_schedules import FitSchedules
from onecycle.engine.member_schedules import shift_schedule
from onecycle.engine.members import Member
from onecycle.finding.race_member import Leg, RaceMember
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.callback_list import copied_callback, take_state
from onecycle.keras_support.data_checks import batches_required
from onecycle.keras_support.fit_start import build_metrics
from onecycle.keras_support.optimizers import build_optimizer, raw_step
from onecycle.keras_support.partial_fit import EpochStart, Paused
from onecycle.keras_support.running_fit import without_data_warnings
from onecycle.keras_support.snapshot import RandomSnapshot, StateSnapshot
from onecycle.keras_support.types import Nested
from onecycle.keras_support.weight_average import AverageState, WeightAverage
from onecycle.training.cycle_spec import CycleSchedules

AVERAGE_UPDATES = 1000  # in a whole run; more do not change the average noticeably


class RaceFits:
    """Trains the candidates of a race with calls of `fit`. Use it within `preserved_installation`.

    Args:
        model: The compiled model, with its weights.
        arguments: The arguments of `fit`, `epochs` and the data among them.
        schedules: Makes the schedules of a peak.
        total_steps: Steps of a whole run.
        average_from: The step from which the weights are averaged.
        keep_averaging: Whether they are averaged to the end, not to the last cut only.
        builds_metrics: Whether to create the metrics first, as the first `fit` does.
        portable: Whether the states of pauses can be saved in a file.
        callbacks: The user's callbacks.
        progress: Called with the candidate that is being trained.

    Attributes:
        model: The model.
        data: The data whose state is kept, as `fit` takes it, nested.
        average: The moving average of the weights of the candidate that is being trained.
        schedules: Makes the schedules of a peak.
        average_every: Steps between two updates of the average.
        epoch_start: The states with which every candidate begins its first epoch; None before the first one.
    """

    def __init__(
        self,
        model: keras.Model,
        arguments: Mapping[str, Nested],
        schedules: Callable[[float], CycleSchedules],
        *,
        total_steps: int,
        average_from: int,
        keep_averaging: bool,
        builds_metrics: bool,
        portable: bool,
        callbacks: Sequence[keras.callbacks.Callback],
        progress: Callable[[RaceMember], None],
    ) -> None:
        self.model, self._arguments, self.schedules = model, arguments, schedules
        self._total_steps, self._average_from = total_steps, average_from
        self._steps_per_epoch = total_steps // int(arguments["epochs"])
        self.average_every = max(1, total_steps // AVERAGE_UPDATES)
        self.portable = portable
        self.epoch_start: EpochStart | None = None
        self._keep_averaging = keep_averaging
        self._callbacks, self._progress = callbacks, progress
        self.data = (arguments["x"], arguments.get("validation_data"))
        if builds_metrics:
            names = ("x", "y", "batch_size", "sample_weight", "class_weight")
            shuffle = bool(arguments.get("shuffle", True))
            build_metrics(model, **{name: arguments.get(name) for name in names}, shuffle=shuffle)
        build_optimizer(model.optimizer, model)
        # The start must not include the variable that holds the learning rates.
        self._start, self._random = StateSnapshot(model), RandomSnapshot()
        self.average = WeightAverage(model)
        # Only where it is needed, since its variable would become part of what is compiled elsewhere. A candidate that
        # was read from a file brings the steps that it has made.
        self._installer = _Installer(model, schedules(1.0), total_steps) if portable else None
        self._history: keras.callbacks.History | None = None

    def new_member(self, learning_rate: float) -> RaceMember:
        """Return a candidate with this peak."""
        callbacks = None
        if self._callbacks:
            callbacks = keras.callbacks.CallbackList(
                [copied_callback(one, self.model) for one in self._callbacks],
                model=self.model, epochs=self._arguments["epochs"], steps=self._steps_per_epoch, verbose=0,
            )  # fmt: skip
        return RaceMember(learning_rate, self.schedules(learning_rate), callbacks)

    def train(self, member: RaceMember, until: int, marked: int = 0) -> None:
        """Train a candidate up to a step, and then pause it. A candidate whose loss is not finite stops before.

        Args:
            member: The candidate.
            until: The step.
            marked: The step whose average is kept too; 0 for none.
        """
        # With `steps_per_execution`, a pause may come later than it was asked for.
        if member.steps >= until:
            return
        if self._installer is None:
            self._installer = _Installer(self.model, self.schedules(1.0), self._total_steps)
        self.restore(member)
        self._installer.install(member.schedules)
        self.average.set_state(member.average)
        leg = Leg(
            member, self.data, until=until, steps_per_epoch=self._steps_per_epoch, start=self.epoch_start,
            portable=self.portable, average=self.average, average_from=self.first_average(until),
            average_every=self.average_every, marked=marked, progress=self._progress,
        )  # fmt: skip
        first = 0 if member.paused is None else member.paused.epoch
        try:
            with without_data_warnings(), batches_required(self._arguments["x"]):
                self._history = self.model.fit(**self._arguments, verbose=0, callbacks=[leg], initial_epoch=first)
        except Paused:
            pass
        finally:
            leg.close()
            self.epoch_start = leg.start
        member.average = self.average.state()
        if member.finished and until < self._total_steps:
            member.final = StateSnapshot(self.model)

    def restore(self, member: RaceMember) -> None:
        """Give the model the state in which a candidate begins or goes on."""
        # A data set that `fit` makes of arrays draws its seeds from these.
        self._random.restore()
        (self._start if member.paused is None else member.paused.variables).restore()

    def first_average(self, until: int) -> int:
        """Return the step from which weights are averaged in a training up to a step: none after the last cut."""
        averages = until < self._total_steps or self._keep_averaging
        return self._average_from if averages else self._total_steps + 1

    def assign_average(self, member: RaceMember, average: AverageState) -> None:
        """Give the model averaged weights of a candidate that waits."""
        state = member.final if member.paused is None else member.paused.variables
        if state is not None:
            state.restore()
        self.average.assign(average)

    def restore_start(self) -> None:
        """Give the model the state in which every candidate begins."""
        self._random.restore()
        self._start.restore()

    def restore_finished(self, member: RaceMember) -> None:
        """Give the model the state of a candidate whose training a callback ended early."""
        if member.final is not None:
            member.final.restore()

    def finish(self, winner: RaceMember) -> keras.callbacks.History:
        """Return the `History` of the candidate that was trained last, as one `fit` would have made it."""
        if winner.callbacks is not None:
            for callback, trained in zip(self._callbacks, winner.callbacks.callbacks, strict=True):
                take_state(callback, trained)
        # After a last leg in another process, there is none of Keras.
        history = self._history or keras.callbacks.History()
        history.set_model(self.model)
        history.set_params({"verbose": 0, "epochs": self._arguments["epochs"], "steps": self._steps_per_epoch})
        history.history = dict(sorted(winner.history.items()))  # the order of Keras
        history.epoch = list(range(max(map(len, winner.history.values()), default=0)))
        set_untracked(self.model, history=history)
        return history

    def close(self) -> None:
        """Remove what was added to the optimizer."""
        if self._installer is not None:
            self._installer.close()


class _Installer:
    """Installs the schedules of a candidate, as far as possible without a new trace."""

    def __init__(self, model: keras.Model, schedules: CycleSchedules, total_steps: int) -> None:
        self._model, self._start_step = model, raw_step(model.optimizer)
        # PyTorch runs the step in Python, and traces nothing.
        self._eager = backends.runs_eagerly()
        members = [Member(schedules.learning_rate, schedules.momentum)]
        self._tables = None if self._eager else FitSchedules(model, members, total_steps)

    def install(self, schedules: CycleSchedules) -> None:
        if self._tables is not None:
            self._tables.install(Member(schedules.learning_rate, schedules.momentum))
            return
        shifted = [None if one is None else shift_schedule(one, self._start_step)
                   for one in (schedules.learning_rate, schedules.momentum)]  # fmt: skip
        schedule_hyperparameters(self._model, learning_rate=shifted[0], momentum=shifted[1])

    def close(self) -> None:
        if self._tables is not None:
            self._tables.close()

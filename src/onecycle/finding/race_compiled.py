"""Trains the candidates of a race with compiled programs, all at once where that is faster (JAX)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from onecycle.engine.averaging import average_rates, with_average
from onecycle.engine.members import Member
from onecycle.engine.resumable_members import MembersPart, PartReport, Rates, ResumableMembers
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.engine.training_state import TrainingState
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import CHECKED_STEPS, RaceMember
from onecycle.finding.race_rounds import CUTS
from onecycle.finding.race_standing import TREND_FROM
from onecycle.finding.race_training import RaceTraining
from onecycle.keras_support import compilation
from onecycle.keras_support.partial_fit import EpochStart, PausedFit


def compiled_trainer(
    training: RaceTraining,
    fits: RaceFits,
    progress: Callable[[RaceMember], None],
    learning_rates: Sequence[float],
) -> CompiledTrainer | None:
    """Return what trains the candidates with compiled programs; None where that is impossible or slower than `fit`.

    Args:
        training: What the candidates share.
        fits: What makes the candidates, and gives the model their states.
        progress: Called with a candidate that was trained for some steps.
        learning_rates: The peaks of the first candidates.
    """
    if training.reason_not_compiled is not None:
        return None
    request, data = training.request, training.data
    arguments = SharedFitArguments(
        x=data.x, y=data.y, batch_size=request.batch_size, sample_weight=data.sample_weight,
        class_weight=request.class_weight, validation_data=tuple(data.validation), validation_freq=1,
        epochs=request.epochs, shuffle=bool(request.fit_arguments.get("shuffle", True)),
    )  # fmt: skip
    members = ResumableMembers(fits.model, arguments)
    trainer = CompiledTrainer(training, fits, members, progress)
    choice = members.choose([_member(fits.new_member(rate)) for rate in learning_rates], trainer.rates(1))
    # A metric with several values, one for each class, fits into no table.
    is_complete = set(fits.model.get_metrics_result()) == set(members.metrics)
    if choice.engine == "fit" or not is_complete:
        return None
    trainer.engine = choice.engine
    return trainer


class CompiledTrainer:
    """Trains candidates with compiled programs; a `RaceTrainer`.

    A candidate waits at a cut in the same state as if `fit` had trained it.

    Args:
        training: What the candidates share.
        fits: What makes the candidates, and gives the model their states.
        members: The programs.
        progress: Called with a candidate that was trained for some steps.
    """

    def __init__(
        self,
        training: RaceTraining,
        fits: RaceFits,
        members: ResumableMembers,
        progress: Callable[[RaceMember], None],
    ) -> None:
        self._training, self.fits, self._members, self._progress = training, fits, members, progress
        self.engine = "scan"

    def rates(self, until: int) -> Rates:
        """Return (steps,) how far the average of the weights moves in each step of a training up to `until`."""
        first = self.fits.first_average(until)
        return average_rates(self._training.total_steps, first=first, every=self.fits.average_every)

    def train(self, members: Sequence[RaceMember], cut: float, step: int) -> Iterator[RaceMember]:
        """Train candidates up to a cut; see `RaceTrainer`.

        Args:
            members: The candidates.
            cut: The cut.
            step: The step of the cycle at which it is made.
        """
        for first in range(0, len(members), self._members.together):
            group = members[first : first + self._members.together]
            trend_step = self._training.trend_step if cut == CUTS[0] else 0
            ends: dict[float | None, int] = {TREND_FROM: trend_step} if trend_step else {}
            ends[cut] = step
            part, epoch_start = self._train(group, ends)
            for member, state in zip(group, part.states(), strict=True):
                if not member.diverged:
                    self._pause(member, state, epoch_start)
            yield from group

    def finish(self, winner: RaceMember) -> None:
        """Train a candidate to its end; see `RaceTrainer`."""
        part, _ = self._train([winner], {None: self._training.total_steps})
        (state,) = part.states()
        self._keep_average(winner, state)
        state.assign_to(self.fits.model)
        optimizer = self.fits.model.optimizer
        optimizer.finalize_variable_values(self.fits.model.trainable_weights)  # as `fit` does when it ends
        winner.finished, winner.paused = True, None

    def _train(self, group: Sequence[RaceMember], ends: Mapping[float | None, int]) -> tuple[MembersPart, EpochStart]:
        """Train candidates that have been trained for the same number of steps, and return the start of the epoch.

        Args:
            group: The candidates.
            ends: Share of the cycle at which they are judged, or None, -> its step, in increasing order.
        """
        fits, until = self.fits, max(ends.values())
        states = [self._state(member) for member in group]
        paused, first = group[0].paused, group[0].steps
        if fits.epoch_start is None:
            fits.epoch_start = EpochStart.now(fits.data)
        start = fits.epoch_start if paused is None else paused.epoch_start
        start.restore()
        part = self._members.part([_member(one) for one in group], states, first, self.rates(until))
        losses = np.empty((len(group), 0))
        for share, end in ends.items():
            for report in part.train(end):
                losses = np.append(losses, report.losses, axis=1)
                for member, row in zip(group, losses, strict=True):
                    self._note_losses(member, row, first, report.step, until)
                if report.metrics:
                    self._note_metrics(group, report)
                    start = EpochStart.now(fits.data)
                if group[0].curve:
                    self._progress(group[0])
                if all(member.diverged for member in group):
                    return part, start
            if share is not None:
                self._judge(group, part, share)
        return part, start

    def _judge(self, group: Sequence[RaceMember], part: MembersPart, share: float) -> None:
        scores = part.averaged_metrics()[self._training.judge.monitor]
        for member, score in zip(group, scores, strict=True):
            if not member.diverged:
                member.scores[share] = float(score)

    def _state(self, member: RaceMember) -> TrainingState:
        self.fits.restore(member)
        return with_average(TrainingState.of(self.fits.model), member.average)

    def _note_losses(self, member: RaceMember, losses: np.ndarray, first: int, step: int, until: int) -> None:
        """Add the points to the curve of a candidate at which a `fit` would have read its losses.

        Args:
            member: The candidate.
            losses: Its losses from step `first` on.
            first: The step with which the present part of the training began.
            step: Number of steps trained in all.
            until: The step before which it ends.
        """
        epoch, read = self._training.steps_per_epoch, member.steps
        ends = {at for every in (CHECKED_STEPS, epoch) for at in range((read // every + 1) * every, step + 1, every)}
        for end in sorted(ends | ({until} if step == until else set())):
            if end > member.steps and not member.diverged:
                member.curve.append((end, float(np.mean(losses[member.steps - first : end - first]))))
                member.steps = end

    def _note_metrics(self, group: Sequence[RaceMember], report: PartReport) -> None:
        """Add what `fit` reports at the end of an epoch to the histories."""
        for k, member in enumerate(group):
            if member.diverged:
                continue
            values = {name: float(column[k]) for name, column in report.metrics.items()}
            for name, value in {**values, **member.hyperparameters(report.step - 1)}.items():
                member.history.setdefault(name, []).append(value)

    def _pause(self, member: RaceMember, state: TrainingState, epoch_start: EpochStart) -> None:
        self._keep_average(member, state)
        state.assign_to(self.fits.model)
        epoch, batches = divmod(member.steps, self._training.steps_per_epoch)
        member.paused = PausedFit.now(self.fits.model, epoch, batches, epoch_start)

    def _keep_average(self, member: RaceMember, state: TrainingState) -> None:
        updates = np.flatnonzero(self.rates(member.steps)[: member.steps])
        if len(updates):
            member.average = (int(updates[-1]) + 1, compilation.to_host(state.average))


def _member(member: RaceMember) -> Member:
    return Member(member.schedules.learning_rate, member.schedules.momentum)

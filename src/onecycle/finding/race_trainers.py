"""What trains the candidates of a race up to a cut: this process, one after the other, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from onecycle.finding.race_compiled import compiled_trainer
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_records import load_member, member_record
from onecycle.finding.race_training import RaceTraining
from onecycle.workers.pool import WorkerTask, run_tasks


class RaceTrainer(Protocol):
    """Trains the candidates.

    Attributes:
        fits: What trains them in this process, and makes them.
        engine: `"vmap"` or `"scan"` if compiled programs train them, else `"fit"`.
    """

    fits: RaceFits
    engine: str

    def train(self, members: Sequence[RaceMember], cut: float, step: int) -> Iterator[RaceMember]:
        """Train candidates up to a cut, judge them there, and yield each when that is done, in any order.

        Args:
            members: The candidates.
            cut: The cut.
            step: The step of the cycle at which it is made.
        """

    def finish(self, winner: RaceMember) -> None:
        """Train a candidate to its end. The model then has its state."""


def trainer_of(
    training: RaceTraining,
    fits: RaceFits,
    payload: bytes | None,
    progress: Callable[[RaceMember], None],
    learning_rates: Sequence[float],
) -> RaceTrainer:
    """Return what trains the candidates: in other processes if there is a payload for them, else here.

    Here, compiled programs train them where that is possible and faster than `fit`.

    Args:
        training: What the candidates share.
        fits: What trains them in this process.
        payload: The race, as `race_worker.sent_race` returned it, or None.
        progress: Called with a candidate that was trained for some steps, or that returns.
        learning_rates: The peaks of the first candidates.
    """
    if payload is None:
        return compiled_trainer(training, fits, progress, learning_rates) or _TrainerHere(training, fits)
    return _TrainerInWorkers(training, fits, payload, progress)


class _TrainerHere:
    """Trains one candidate after the other with `fit`, in this process.

    Args:
        training: What they share.
        fits: What trains them.
    """

    engine = "fit"

    def __init__(self, training: RaceTraining, fits: RaceFits) -> None:
        self._training, self.fits = training, fits

    def train(self, members: Sequence[RaceMember], cut: float, step: int) -> Iterator[RaceMember]:
        """Train candidates up to a cut; see `RaceTrainer`."""
        for member in members:
            self._training.train_and_judge(member, self.fits, step, cut)
            yield member

    def finish(self, winner: RaceMember) -> None:
        """Train a candidate to its end; see `RaceTrainer`."""
        if winner.finished:
            self.fits.restore_finished(winner)
        else:
            self.fits.train(winner, self._training.total_steps)


class _TrainerInWorkers:
    """Trains the candidates in other processes, each of which returns the state of its candidate at the cut.

    On a cluster, the winner is trained to its end there; with processes of this machine, in this one.

    Args:
        training: What they share.
        fits: What trains the winner here.
        payload: The race, as `race_worker.sent_race` returned it.
        progress: Called with each candidate that returns.
    """

    engine = "fit"

    def __init__(
        self, training: RaceTraining, fits: RaceFits, payload: bytes, progress: Callable[[RaceMember], None]
    ) -> None:
        self._training, self.fits, self._payload, self._progress = training, fits, payload, progress

    def train(self, members: Sequence[RaceMember], cut: float, step: int) -> Iterator[RaceMember]:
        """Train candidates up to a cut; see `RaceTrainer`."""
        yield from self._train(members, cut, step)

    def finish(self, winner: RaceMember) -> None:
        """Train a candidate to its end; see `RaceTrainer`."""
        if self._training.request.cluster is None:
            self.fits.train(winner, self._training.total_steps)
            return
        for _ in self._train([winner], None, self._training.total_steps):
            self.fits.restore_finished(winner)

    def _train(self, members: Sequence[RaceMember], cut: float | None, step: int) -> Iterator[RaceMember]:
        request, by_peak = self._training.request, {member.learning_rate: member for member in members}
        tasks = [
            WorkerTask(peak, f"The candidate with peak {peak:.3g}",
                 (peak, step, cut, member_record(member, self.fits) if member.steps else None))
            for peak, member in by_peak.items()
        ]  # fmt: skip
        for peak, record in run_tasks(self._payload, tasks, jobs=request.jobs, cluster=request.cluster):
            member = by_peak[peak]
            load_member(member, record, self.fits)
            self._progress(member)
            yield member

"""What the candidates of a race share: its length, the schedules, what trains them and what judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial

import keras

from onecycle.engine.eligibility import reason_not_compiled, reason_validation_not_compiled
from onecycle.engine.member_schedules import preserved_installation
from onecycle.finding.race_data import Judge, RaceData
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_learning import Baseline
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_request import RaceRequest
from onecycle.finding.race_rounds import CUTS
from onecycle.finding.race_standing import TREND_FROM
from onecycle.hyperparameters.scheduling import install_layer_rates
from onecycle.keras_support import backends, devices, training_data
from onecycle.keras_support.guessing import guessing_loss
from onecycle.keras_support.guessing_targets import guessing_loss_of_targets
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.partial_fit import can_repeat_epoch
from onecycle.keras_support.types import Nested
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec
from onecycle.training.fit_arguments import checked_callbacks

UNKNOWN_LENGTH = (
    "The length of this data set is unknown, and so is that of the cycle. Pass `steps_per_epoch`, arrays, or a data "
    "set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
)
NO_LOSS = (
    "A race reads the loss of each step, and the `train_step` of {kind} returns no `loss` among its metrics. Have it "
    "return one, or call `fit_one_cycle` with a range test."
)
MIN_STEPS = 10  # of a run; in a shorter one, the cuts and the schedule would have no shape
# With fewer held-out rows, scores are too noisy for a trend, which magnifies the noise, or for peaks far from what the
# range test suggests. On the article's Boston Housing (81 rows), both led to peaks that were ten times too low.
MANY_ROWS = 1000


class RaceTraining:
    """The trainings of a race, in this process or in a worker.

    Args:
        model: The compiled model.
        request: The arguments of the race, which have been checked.
        data: Its data.

    Attributes:
        request: The arguments.
        data: The data.
        total_steps: Steps of a whole run.
        spec: The specification of the cycles.
        layer_rates: The rates of layers, or None.
        steps_per_epoch: Steps of an epoch.
        batch_size: Rows per batch of arrays, or None for the default.
        start_step: The optimizer's step at the start of every candidate.
        judge: Judges the candidates.

    Raises:
        ValueError: If the length of a run is unknown or too short.
    """

    def __init__(self, model: keras.Model, request: RaceRequest, data: RaceData) -> None:
        self._model, self.request, self.data = model, request, data
        arguments = request.fit_arguments
        steps = training_data.steps_per_epoch(data.x, request.batch_size, arguments.get("steps_per_epoch"))
        if steps is None:
            raise ValueError(UNKNOWN_LENGTH)
        given = arguments.get("steps_per_epoch")
        made = training_data.steps_of_epochs(data.x, given, request.epochs, batch_size=request.batch_size)
        if made and min(made) < steps:
            raise ValueError(
                f"All epochs of a race must have the same number of steps. The data ends within an epoch of {steps} "
                "steps, and so would the epoch. Pass a `steps_per_epoch` that divides the number of batches, or leave "
                f"it out. Received: steps_per_epoch={given}"
            )
        self.batch_size = training_data.batch_size_of_fit(data.x, request.batch_size, given)
        self.steps_per_epoch, self.start_step = steps, raw_step(model.optimizer)
        self.total_steps = steps * request.epochs
        check_length(self.total_steps)
        self.spec = CycleSpec("race", request.momentum, request.schedule, request.layer_rates, request.decay)
        self.layer_rates = self.spec.layer_rates_of(model)
        self.judge = Judge(
            model, data.validation, monitor=request.monitor, mode=request.mode,
            batch_size=arguments.get("validation_batch_size") or request.batch_size,
            steps=arguments.get("validation_steps"),
        )  # fmt: skip

    @cached_property
    def has_many_rows(self) -> bool:
        """Whether the candidates are judged on many rows; so it is assumed of data sets."""
        validation = self.data.validation
        x = validation[0] if isinstance(validation, tuple | list) else validation
        return not training_data.is_arrays(x) or training_data.count_rows(x) >= MANY_ROWS

    @property
    def trend_step(self) -> int:
        """The step from whose score the trend to the first cut is drawn; 0 for no trend."""
        return max(1, round(TREND_FROM * self.total_steps)) if self.has_many_rows else 0

    @property
    def budget(self) -> float:
        """Training steps in runs up to which candidates are added; 0 for none."""
        if self.request.budget is not None:
            return self.request.budget
        return self.request.default_budget if self.has_many_rows else 0.0

    def cut_steps(self) -> dict[float, int]:
        """Return cut -> step of the cycle."""
        arguments, total, epoch = self.request.fit_arguments, self.total_steps, self.steps_per_epoch
        # With `steps_per_epoch`, an epoch goes on in the data where the one before ended.
        repeats = can_repeat_epoch(self.data.x, shuffle=bool(arguments.get("shuffle", True)))
        repeats = repeats and not arguments.get("steps_per_epoch")
        steps: dict[float, int] = {}
        for cut in CUTS:
            # In a short run, the end of an epoch may lie beyond the next cut.
            step = max(1, round(cut * total), *(before + 1 for before in steps.values()))
            end_of_epoch = -(-step // epoch) * epoch
            steps[cut] = step if repeats or end_of_epoch >= total else end_of_epoch
        return steps

    @contextmanager
    def fits(
        self, *, portable: bool, progress: Callable[[RaceMember], None] = lambda member: None
    ) -> Iterator[RaceFits]:
        """Provide what trains the candidates from the current state of the model.

        Args:
            portable: Whether the states of pauses can be saved in a file, or sent to another process.
            progress: Called with the candidate that is being trained.
        """
        request, model = self.request, self._model
        with preserved_installation(model):
            install_layer_rates(model, self.layer_rates)
            schedules = partial(self._schedules, start_step=raw_step(model.optimizer))
            fits = RaceFits(
                model, self._fit_arguments(), schedules, total_steps=self.total_steps,
                average_from=max(1, round(TREND_FROM * self.total_steps)) // 2, keep_averaging=request.averaged_weights,
                # A pause keeps the metrics of its epoch, and a distributed step is compiled for all variables.
                builds_metrics=portable or devices.is_distributed(model) or self.reason_not_compiled is None,
                portable=portable, callbacks=checked_callbacks(request.callbacks), progress=progress,
            )  # fmt: skip
            try:
                yield fits
            finally:
                fits.close()

    def train_and_judge(self, member: RaceMember, fits: RaceFits, until: int, cut: float | None) -> None:
        """Train a candidate up to a step, and note its score there.

        Args:
            member: The candidate.
            fits: What trains it.
            until: The step.
            cut: The cut that is made there; None for the end of the race, where nothing is judged.
        """
        if not member.finished:
            fits.train(member, until, marked=self.trend_step if cut == CUTS[0] else 0)
            if not member.curve:
                raise ValueError(NO_LOSS.format(kind=type(self._model).__name__))
        if cut is None or member.diverged:
            return
        averages = {TREND_FROM: member.marked_average, cut: member.average}
        scores: dict[float, float] = {}
        for share, average in averages.items():
            if average is not None:
                fits.assign_average(member, average)
                scores[share] = self.judge.score()
        # At once, so that an interrupt leaves a candidate that has been judged or one that has not.
        member.scores |= scores
        member.marked_average = None

    def baseline(self, fits: RaceFits) -> Baseline:
        """Return what a candidate that learns something is better than.

        Args:
            fits: What trains the candidates.
        """

        def start_score() -> float:
            fits.restore_start()
            return self.judge.score()

        model, data = self._model, self.data
        weighted = data.sample_weight is not None or self.request.class_weight is not None or bool(model.losses)
        guessing = 0.0 if weighted else guessing_loss(model) or guessing_loss_of_targets(model, data.y)
        return Baseline(self.judge, guessing, start_score)

    @cached_property
    def reason_not_compiled(self) -> str | None:
        """Why the candidates cannot be trained by compiled programs, as the end of a sentence, or None."""
        request, data = self.request, self.data
        if not backends.is_functional():
            return "on this backend `fit` trains the candidates"
        if request.in_workers or request.directory is not None:
            return "the candidates are sent to other processes or saved in files"
        if request.callbacks or self.layer_rates or set(request.fit_arguments) - {"shuffle"}:
            return "there are callbacks, rates of layers or other arguments of `fit`"
        return reason_not_compiled(self._model, data.x, data.y, data.sample_weight) or reason_validation_not_compiled(
            data.validation
        )

    def _fit_arguments(self) -> dict[str, Nested]:
        request, data = self.request, self.data
        return {
            **request.fit_arguments,
            "x": data.x,
            "y": data.y,
            "sample_weight": data.sample_weight,
            "class_weight": request.class_weight,
            "batch_size": request.batch_size,
            "epochs": request.epochs,
            "validation_data": data.validation,
        }

    def _schedules(self, peak: float, start_step: int) -> CycleSchedules:
        spec, optimizer = self.spec.with_peak(peak), self._model.optimizer
        return spec.schedules(optimizer, self.total_steps, start_step, counts_from_start=True)


def check_length(steps: int) -> None:
    """Raise a ValueError for a training that is too short for a race."""
    if steps < MIN_STEPS:
        raise ValueError(
            f"A race needs a training of at least {MIN_STEPS} steps. Pass more `epochs`, or call `fit_one_cycle`. "
            f"Received: a training of {steps} steps"
        )

"""What is asked of a cycle, and what is settled before its training: the peak, what it rests on, the callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.finding.range_test import find_learning_rate
from onecycle.finding.sweep import sweep_learning_rates
from onecycle.hyperparameters.conflicts import refuse_rivals
from onecycle.hyperparameters.scheduling import require_momentum
from onecycle.keras_support import training_data
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions.arguments import number
from onecycle.training.scheduler import OneCycleScheduler, scheduler_for

AUTO = "range test"  # what "auto" stands for
PICKERS = ("auto", "range test", "sweep")
# A noisy curve needs more steps to be believed, an unusually scaled one other limits.
_SECOND_TRY: dict[str, Any] = {"min_learning_rate": 1e-8, "max_learning_rate": 1e3, "num_steps": 900}


@dataclass(frozen=True)
class Wish:
    """What a person asks of a cycle; the arguments of these names of `fit_one_cycle`."""

    max_learning_rate: Any = "auto"
    momentum: Any = "auto"
    schedule: Any = None

    @property
    def picks(self) -> bool:
        """Whether a peak is to be picked before the training."""
        return isinstance(self.max_learning_rate, str) and not isinstance(self.schedule, Schedule)

    def check(self, model: Any, x: Any, callbacks: Sequence[Any]) -> None:
        """Raise for bad arguments before the picking takes its time."""
        asked = self.max_learning_rate
        if isinstance(asked, str) and asked not in PICKERS:
            raise ValueError(
                'Argument `max_learning_rate` must be a number or "auto", "range test", "sweep", or their result. '
                f"Received: max_learning_rate={asked!r}"
            )
        if isinstance(self.schedule, Schedule) and asked != "auto":
            raise ValueError(
                "A schedule has its own learning rates: give either `schedule` or `max_learning_rate`. "
                f"Received: schedule={self.schedule!r}, max_learning_rate={asked!r}"
            )
        if isinstance(asked, (RangeTest, Sweep)):
            asked = asked.learning_rate
        peak = 1.0 if isinstance(asked, str) else number("max_learning_rate", asked, above=0)
        scheduler = self.scheduler(peak)
        refuse_rivals(scheduler, callbacks)
        if isinstance(scheduler.momentum, tuple):
            require_momentum(model.optimizer)
        if self.picks and training_data.is_one_shot(x):
            raise ValueError(
                f'With `max_learning_rate="{asked}"` the picking would use up the first batches of this '
                "generator, and they would be missing from the training. Pass data that can be read again, or a number."
            )

    def evidence(
        self, model: Any, x: Any, y: Any, *, epochs: int, validation_split: float = 0.0, **options: Any
    ) -> RangeTest | Sweep | None:
        """What the peak rests on: the result given, or that of the picker asked for; None for a number or a schedule.

        Args:
            epochs: Epochs of the training.
            validation_split: As in `fit`; a sweep leaves that part alone.
            **options: Further arguments of both pickers.
        """
        if isinstance(self.max_learning_rate, (RangeTest, Sweep)):
            return self.max_learning_rate
        if not self.picks:
            return None
        if (AUTO if self.max_learning_rate == "auto" else self.max_learning_rate) == "range test":
            return _range_test(model, x, y, **options)
        weights = options.pop("sample_weight", None)
        x, y, weights = training_data.before_split((x, y, weights), validation_split)
        cycle = {"momentum": self.momentum, "schedule": self.schedule}
        return sweep_learning_rates(model, x, y, sample_weight=weights, epochs=epochs, **cycle, **options)

    def scheduler(self, peak: Any) -> OneCycleScheduler:
        """The callback that makes the cycle with this peak, which a ready schedule has in itself."""
        return scheduler_for(peak, self.momentum, self.schedule)


def _range_test(model: Any, x: Any, y: Any, **options: Any) -> RangeTest:
    """The range test; where it shows no rate, once more with wider limits and three times the steps."""
    found = find_learning_rate(model, x, y, **options)
    if found.suggestion.learning_rate is None:
        found = find_learning_rate(model, x, y, **options, **_SECOND_TRY)
    return found

"""The result of training with one cycle: the cycle that was run, and what picked its peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.layer_rates import describe_layer_rates
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.rescue import Rescue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_RESCUES_SHOWN = 8  # in sentences; bad rows in the data may need one in each epoch
MAX_STEPS_SHOWN = 200  # a curve of more points looks the same


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class CycleReport(Result):
    """The cycle of a call of `fit`, which Keras' `History` carries as `history.onecycle`.

    Attributes:
        schedule: Schedule of the learning rate, as the call that creates it.
        momentum: Pair (high, low) of the momentum, or None if it was left unchanged.
        start_step: The optimizer's step counter at the first step of the cycle.
        total_steps: Length of the cycle in steps, or None if it is unknown.
        steps: Steps counted since `start_step`.
        skipped_steps: Batches whose update loss scaling skipped, by which the cycle lags behind the batches. None
            where they cannot be counted.
        max_learning_rate: The peak, or None if the schedule was given.
        evidence: The `RangeTest` or `Race` that picked the peak, or None if the peak was given.
        steps_shown: int64 array, `(k,)`, steps of the cycle for a plot, increasing and counted from 0 at the start of
            the cycle. At most 200, and empty where the curve is unknown.
        learning_rates: float64 array, `(k,)`, learning rate of the schedule at `steps_shown`.
        momenta: float64 array, `(k,)`, momentum at `steps_shown`, or None if it was left unchanged.
        origin: Name -> text: date, model, optimizer, backend and hardware. Empty in results of older versions. Results
            are equal whatever their origin.
        history: Metric name -> its value after each epoch, as in Keras' `History`. Empty where it is unknown.
        rescues: What a `DivergenceGuard` did, each a `Rescue`. The learning rates are those after the rescues.
        layer_rates: Layers -> factor on their learning rate. The learning rates here are those of factor 1.
    """

    schedule: str
    momentum: tuple[float, float] | None
    start_step: int
    total_steps: int | None
    steps: int
    skipped_steps: int | None
    max_learning_rate: float | None = None
    evidence: RangeTest | Race | None = None
    steps_shown: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    learning_rates: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    momenta: NDArray[np.float64] | None = None
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, metadata=codec.OMITTED_IF_EMPTY)
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict, metadata=codec.OMITTED_IF_EMPTY)
    rescues: tuple[Rescue, ...] = field(default=(), metadata=codec.OMITTED_IF_EMPTY)
    layer_rates: Mapping[str, float] = field(default_factory=dict, metadata=codec.OMITTED_IF_EMPTY)

    def __post_init__(self) -> None:
        self._freeze("steps_shown", np.int64)
        self._freeze("learning_rates")
        if self.momenta is not None:
            self._freeze("momenta")
        # The three arrays are the columns of one table.
        shapes = [array.shape for array in (self.steps_shown, self.learning_rates, self.momenta) if array is not None]
        if len(shapes[0]) != 1 or len(set(shapes)) > 1 or shapes[0][0] > MAX_STEPS_SHOWN:
            raise ValueError(
                f"A cycle report needs steps_shown (k,), learning_rates (k,) and momenta (k,) or None, with k at most "
                f"{MAX_STEPS_SHOWN}. Received: shapes {', '.join(map(str, shapes))}"
            )
        if np.any(np.diff(self.steps_shown) <= 0):
            raise ValueError(f"Argument `steps_shown` must increase. Received: steps_shown={self.steps_shown}")

    @property
    def range_test(self) -> RangeTest | None:
        """The `RangeTest` that picked the peak, or None."""
        return self.evidence if isinstance(self.evidence, RangeTest) else None

    @property
    def race(self) -> Race | None:
        """The `Race` that picked the peak, or None."""
        return self.evidence if isinstance(self.evidence, Race) else None

    @property
    def rule(self) -> str | None:
        """What picked the peak: the range test's rule, `"race"`, or None if the peak was given."""
        if self.race:
            return "race"
        return self.range_test.rule if self.range_test else None

    def parameters(self) -> dict[str, str | float]:
        """Return the cycle as names and plain values, as experiment trackers log parameters.

        Returns:
            `schedule`, `total_steps`, `max_learning_rate`, `momentum_high`, `momentum_low`, `rule` and `layer_rates`,
            each where there is one.
        """
        high, low = self.momentum or (None, None)
        found = {
            "schedule": self.schedule,
            "total_steps": self.total_steps,
            "max_learning_rate": self.max_learning_rate,
            "momentum_high": high,
            "momentum_low": low,
            "rule": self.rule,
            "layer_rates": describe_layer_rates(self.layer_rates) or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def reason(self) -> str | None:
        """What picked the peak, at what cost, and why this peak; None if the peak was given."""
        return reason_of_peak(self.evidence)

    @property
    def description(self) -> str:
        """The schedule and the momentum in words."""
        if self.momentum is None:
            return self.schedule
        high, low = self.momentum
        return f"{self.schedule}, momentum {high:g} to {low:g} and back"

    @property
    def verdict(self) -> str:
        """The schedule and how many of its steps were completed, in one sentence."""
        skipped = f", {self.skipped_steps} skipped by loss scaling" if self.skipped_steps else ""
        length = "a cycle of unknown length" if self.total_steps is None else f"a cycle of {self.total_steps}"
        return f"{self.description}; {self.steps} steps of {length}{skipped}."

    def summary(self) -> str:
        """Return the report as a few sentences."""
        rates = describe_layer_rates(self.layer_rates)
        layers = [f"Factors on the learning rate of layers: {rates}."] if rates else []
        return " ".join([self.verdict, *layers, *([] if self.reason is None else [self.reason]), *self.guarded])

    @property
    def guarded(self) -> tuple[str, ...]:
        """What the guard did, as sentences; none if it had nothing to do."""
        shown, more = self.rescues[:MAX_RESCUES_SHOWN], self.rescues[MAX_RESCUES_SHOWN:]
        sentences = [f"Rescued from divergence: {one.description}" for one in shown]
        if more:
            undone = sum(one.lost_steps for one in more)
            sentences.append(f"{len(more)} more rescues, up to step {more[-1].step}, undid {undone} steps.")
        return tuple(sentences)

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_cycle

        return plot_cycle(self, ax)

    def _headline(self) -> str:
        length = "unknown length" if self.total_steps is None else f"{self.total_steps} steps"
        return f"{self.schedule}, {self.steps} of {length}"


def reason_of_peak(evidence: RangeTest | Race | None) -> str | None:
    """Return what picked a peak, at what cost, and why this peak; None if the peak was given."""
    if isinstance(evidence, Race):
        return f"Picked by a race that cost {evidence.cost:.3g} runs. {evidence.reason}"
    if isinstance(evidence, RangeTest):
        steps = len(evidence.learning_rates) * (evidence.gradient_accumulation_steps or 1)
        return f"Picked by a range test of {steps} steps. {evidence.suggestion.reason}"
    return None

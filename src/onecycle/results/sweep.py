"""The result of a learning rate sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.suggestions.sweep_pick import Pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onecycle.results.range_test import RangeTest

# Registered here, since `suggestions` does not import `results`.
codec.storable(Pick)


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Result):
    """A learning rate sweep: short runs at several peaks, each with a whole schedule, judged on held-out data.

    Attributes:
        learning_rates: float64 array, `(n,)`, peaks of the runs: shorter runs first, each length from low to high.
        scores: float64 array, `(n,)`, held-out loss at the end of each run; NaN where it diverged.
        steps: float64 array, `(n,)`, training steps of each run. Scores of different lengths are not comparable.
        curves: float64 array, `(n, parts)`, mean training loss in equal parts of each run, padded with NaN.
        pick: The peak picked for the full run.
        cost: Training steps of the sweep, range test included, divided by those of the full run.
        range_test: The `RangeTest` whose suggestion the peaks surround.
        total_steps: Training steps of the full run.
        initial_score: Held-out loss before training, NaN where it is unknown.
        held_out: A sentence on the data that the scores are measured on.
        seed: The seed given, or None.
        config: Remaining settings: epochs, budget, schedule, momentum, batch_size, optimizer, backend.
        engines: For each length of run, a sentence on how these runs were trained.
        versions: Package name -> version of the packages that made the runs.
        origin: Name -> text: date, model, optimizer, backend and hardware. Empty in results of older versions. Results
            are equal whatever their origin.
    """

    learning_rates: NDArray[np.float64]
    scores: NDArray[np.float64]
    steps: NDArray[np.float64]
    curves: NDArray[np.float64]
    pick: Pick
    cost: float = field(compare=False)
    range_test: RangeTest
    total_steps: int
    initial_score: float
    held_out: str
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    engines: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, metadata=codec.OMITTED_IF_EMPTY)

    def __post_init__(self) -> None:
        for name in ("learning_rates", "scores", "steps", "curves"):
            self._freeze(name)
        n = self.learning_rates.shape
        if len(n) != 1 or self.scores.shape != n or self.steps.shape != n or self.curves.shape[:1] != n:
            raise ValueError(
                "A sweep needs learning_rates (n,), scores (n,), steps (n,), curves (n, parts). Received: "
                f"{self.learning_rates.shape}, {self.scores.shape}, {self.steps.shape}, {self.curves.shape}"
            )
        # Copies, so that later changes of the caller's dicts do not change the result.
        object.__setattr__(self, "config", dict(self.config))
        object.__setattr__(self, "versions", dict(self.versions))
        object.__setattr__(self, "origin", dict(self.origin))

    @property
    def learning_rate(self) -> float:
        """The peak picked for the full run. If there is none, this raises a ValueError with the reason."""
        if self.pick.learning_rate is None:
            raise ValueError(" ".join(["The sweep picks no learning rate.", *self.hints, self.pick.reason]))
        return self.pick.learning_rate

    @property
    def interval(self) -> tuple[float, float] | None:
        """Pair (low, high): according to the scores, a peak between them costs at most 5 % more than the pick."""
        return self.pick.interval

    @property
    def at_end(self) -> str | None:
        """The end of the rates at which the best run lies, "lowest" or "highest", or None if it lies at neither.

        At an end, a better rate may lie outside.
        """
        return self.pick.at_end

    @property
    def hints(self) -> tuple[str, ...]:
        """What is wrong with the data, with the remedy: the hints of the range test."""
        return self.range_test.hints

    @property
    def verdict(self) -> str:
        """The pick in one sentence."""
        if self.pick.learning_rate is None or self.interval is None:
            return "The sweep picks no learning rate."
        low, high = self.interval
        return (
            f"The sweep picks {self.pick.learning_rate:.3g} for {self.total_steps} steps "
            f"(from {low:.3g} to {high:.3g} it makes little difference)."
        )

    def summary(self) -> str:
        """Return the pick and its reason, the cost, the settings and every run as text."""
        settings = [f"{name.replace('_', ' ')} {value}" for name, value in self.config.items() if value is not None]
        lines = [self.verdict, self.pick.reason, f"It cost {self.cost:.3g} of such a run. {self.held_out}"]
        lines += [f"Note: {hint}" for hint in self.hints]
        lines += ["; ".join(settings) + ".", ""] if settings else [""]
        lines.append(f"  {'peak':>9}  {'steps':>7}  held-out loss")
        for row in self.rows():
            mark, note = ("*", " (best)") if row["best"] else (" ", "")
            lines.append(f"{mark} {row['rate']:>9}  {row['steps']:>7}  {row['loss']}{note}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str]]:
        """Return a row of text for each run, with the keys `best`, `rate`, `steps` and `loss`.

        `best` is "best" for the best of the longest runs and "" for the others.
        """
        # A shorter run may have the same rate as the best of the longest.
        longest = float(self.steps.max(initial=0.0))
        return [
            {
                "best": "best" if rate == self.pick.seen_at and steps == longest else "",
                "rate": f"{rate:.3g}",
                "steps": f"{int(steps)}",
                "loss": f"{score:.5g}" if np.isfinite(score) else "diverged",
            }
            for rate, score, steps in zip(self.learning_rates, self.scores, self.steps, strict=True)
        ]

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_sweep

        return plot_sweep(self, ax)

    def _headline(self) -> str:
        rate = self.pick.learning_rate
        picked = "no learning rate" if rate is None else f"{rate:.3g}"
        return f"{picked}, {len(self.learning_rates)} runs, cost {self.cost:.2g} of a run"

"""The result of a race of whole cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec
from onecycle.results.base import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onecycle.results.range_test import RangeTest


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class Race(Result):
    """A race: whole cycles at several peaks, of which the worse ones are dropped on the way.

    Attributes:
        learning_rates: float64 array, `(n,)`, peaks of the candidates, from low to high.
        scores: float64 array, `(n, cuts)`, held-out metric of the averaged weights at each cut; NaN where a candidate
            did not get so far, or was the only one left.
        cuts: float64 array, `(cuts,)`, where they are, as fractions of the cycle.
        winner: Index of the candidate that was trained to the end.
        steps: int64 array, `(n,)`, training steps of each candidate.
        reasons: For each candidate, why it was dropped, or that it won, as a sentence.
        curves: float64 array, `(n, points)`, mean training loss of the steps up to each of `curve_steps`; NaN after a
            candidate stopped.
        curve_steps: int64 array, `(points,)`, steps of the cycle.
        monitor: Name of the metric in `scores`, without the prefix `val_`.
        mode: "min" if a lower value of the metric is better, "max" if a higher one is.
        history: Metric name -> its value after each epoch of the winner, as in Keras' `History`.
        cost: Training steps of the whole race, range test included, divided by those of one run.
        range_test: The `RangeTest` around whose suggestion the candidates lie; None if they were given.
        total_steps: Training steps of one run.
        held_out: A sentence on the data that the scores are measured on.
        note: A sentence on the choice of the candidates.
        seed: The seed given, or None.
        config: Remaining settings: epochs, budget, schedule, momentum, batch_size, optimizer, backend, and layer_rates
            as text where there are any.
        versions: Package name -> version of the packages that made the runs.
        origin: Name -> text: date, model, optimizer, backend and hardware. Results are equal whatever their origin.
    """

    learning_rates: NDArray[np.float64]
    scores: NDArray[np.float64]
    cuts: NDArray[np.float64]
    winner: int
    steps: NDArray[np.int64]
    reasons: tuple[str, ...]
    curves: NDArray[np.float64]
    curve_steps: NDArray[np.int64]
    monitor: str
    mode: str
    history: Mapping[str, tuple[float, ...]]
    cost: float
    range_test: RangeTest | None
    total_steps: int
    held_out: str
    note: str = ""
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, metadata=codec.OMITTED_IF_EMPTY)

    def __post_init__(self) -> None:
        for name in ("learning_rates", "scores", "cuts", "curves"):
            self._freeze(name)
        for name in ("steps", "curve_steps"):
            self._freeze(name, np.int64)
        n = len(self.learning_rates)
        shapes = self.scores.shape, self.steps.shape, self.curves.shape
        if shapes != ((n, len(self.cuts)), (n,), (n, len(self.curve_steps))) or len(self.reasons) != n:
            raise ValueError(
                "A race needs learning_rates (n,), scores (n, cuts), steps (n,), curves (n, points) and n reasons. "
                f"Received: {(n,)}, {shapes[0]}, {shapes[1]}, {shapes[2]} and {len(self.reasons)}"
            )
        if not 0 <= self.winner < n:
            raise ValueError(f"Argument `winner` must be the index of a candidate. Received: winner={self.winner}")
        # Copies, so that later changes of the caller's dicts do not change the result.
        for name in ("config", "versions", "origin", "history"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    @property
    def learning_rate(self) -> float:
        """The peak of the winner."""
        return float(self.learning_rates[self.winner])

    @property
    def at_end(self) -> str | None:
        """The end of the candidates at which the winner lies, "lowest" or "highest", or None if it lies at neither.

        At an end, a better rate may lie outside.
        """
        if self.winner == 0:
            return "lowest"
        return "highest" if self.winner == len(self.learning_rates) - 1 else None

    @property
    def hints(self) -> tuple[str, ...]:
        """What is wrong with the data, with the remedy: the hints of the range test."""
        return () if self.range_test is None else self.range_test.hints

    @property
    def reason(self) -> str:
        """Why the winner won, with a remark if it was the highest or the lowest candidate."""
        if self.at_end is None:
            return self.reasons[self.winner]
        return (
            f"{self.reasons[self.winner]} It was the {self.at_end} candidate, so a {self.at_end[:-3]}er peak may be "
            "better still."
        )

    @property
    def verdict(self) -> str:
        """The winner in one sentence."""
        return (
            f"Of {len(self.learning_rates)} candidates, {self.learning_rate:.3g} won; the model was trained with it "
            f"for {int(self.steps[self.winner])} steps."
        )

    def summary(self) -> str:
        """Return the winner and why it won, the cost, the settings and every candidate as text."""
        settings = [f"{name.replace('_', ' ')} {value}" for name, value in self.config.items() if value is not None]
        lines = [self.verdict, self.reason, f"The race cost {self.cost:.3g} runs. {self.held_out}"]
        lines += [self.note] if self.note else []
        lines += [f"Note: {hint}" for hint in self.hints]
        lines += ["; ".join(settings) + ".", ""] if settings else [""]
        return "\n".join([*lines, self.table()])

    def table(self) -> str:
        """Return a line of text for each candidate: peak, steps, the score at each cut, and why it was dropped."""
        rows = self.rows()
        names = [name for name in rows[0] if name not in ("best", "reason")]
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
        lines = ["  " + "  ".join(f"{name:>{widths[name]}}" for name in names)]
        for row in rows:
            cells = "  ".join(f"{row[name]:>{widths[name]}}" for name in names)
            lines.append(f"{'*' if row['best'] else ' '} {cells}  {row['reason']}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str]]:
        """Return a row of text for each candidate.

        The keys are `best` ("best" for the winner, else ""), `peak`, `steps`, one for each cut, such as `val_loss at
        20 %`, and `reason`.
        """
        columns = [f"val_{self.monitor} at {100 * cut:.0f} %" for cut in self.cuts]
        return [
            {
                "best": "best" if k == self.winner else "",
                "peak": f"{rate:.3g}",
                "steps": f"{int(self.steps[k])}",
                **{
                    name: f"{score:.5g}" if np.isfinite(score) else "-"
                    for name, score in zip(columns, self.scores[k], strict=True)
                },
                "reason": self.reasons[k],
            }
            for k, rate in enumerate(self.learning_rates)
        ]

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_race

        return plot_race(self, ax)

    def _headline(self) -> str:
        return f"{self.learning_rate:.3g}, {len(self.learning_rates)} candidates, cost {self.cost:.2g} runs"

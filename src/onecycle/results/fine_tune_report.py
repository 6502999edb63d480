"""The result of `fine_tune`: the cycle of each phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.cycle_report import CycleReport
from onecycle.results.rescue import Rescue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 3  # names of layers


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class FineTuneReport(Result):
    """What `fine_tune` did, which Keras' `History` carries as `history.onecycle`.

    Attributes:
        head_cycle: Cycle of the first phase, which trained the head alone; None without that phase.
        cycle: Cycle of the second phase, which trained all layers; None if the training was stopped before.
        head: Names of the layers of the head.
        epochs: (epochs of the first phase, epochs of the second phase) that were asked for.
        frozen_normalizations: Names of the BatchNormalization layers before the head, which kept their statistics.
    """

    head_cycle: CycleReport | None
    cycle: CycleReport | None
    head: tuple[str, ...]
    epochs: tuple[int, int]
    frozen_normalizations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("A report of a fine-tuning needs at least one cycle. Received: none")
        for name in ("head", "epochs", "frozen_normalizations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def phases(self) -> tuple[CycleReport, ...]:
        """The cycles that were run, in order."""
        return tuple(cycle for cycle in (self.head_cycle, self.cycle) if cycle is not None)

    @property
    def max_learning_rate(self) -> float | None:
        """The peak of the last phase."""
        return self.phases[-1].max_learning_rate

    @property
    def rescues(self) -> tuple[Rescue, ...]:
        """What a `DivergenceGuard` did in both phases."""
        return tuple(rescue for cycle in self.phases for rescue in cycle.rescues)

    @property
    def verdict(self) -> str:
        """The phases in one sentence."""
        done = [] if self.head_cycle is None else [f"the head alone for {_steps(self.head_cycle)}"]
        done += [] if self.cycle is None else [f"all layers for {_steps(self.cycle)}"]
        return f"Trained {' and then '.join(done)}."

    def sentences(self) -> tuple[str, ...]:
        """Return what each phase did, as sentences."""
        found = []
        if self.head_cycle is not None:
            found.append(f"Phase 1, {_named(self.head)} alone: {self.head_cycle.summary()}")
        if self.cycle is not None:
            found.append(f"Phase 2, all layers: {self.cycle.summary()}{self._normalizations()}")
        else:
            found.append("Phase 2 was not run, since the training was stopped before.")
        return tuple(found)

    def summary(self) -> str:
        """Return what each phase did as a few lines of text."""
        return "\n".join((self.verdict, *self.sentences()))

    def parameters(self) -> dict[str, str | float]:
        """Return the phases as names and plain values, as experiment trackers log parameters.

        Returns:
            The parameters of the second cycle under their names, and those of the first one with `head_` before them.
        """
        first = {} if self.head_cycle is None else self.head_cycle.parameters()
        second = {} if self.cycle is None else self.cycle.parameters()
        return {**{f"head_{name}": value for name, value in first.items()}, **second}

    def _normalizations(self) -> str:
        count = len(self.frozen_normalizations)
        if not count:
            return ""
        layers = "layer" if count == 1 else "layers"
        return (
            f" {count} BatchNormalization {layers} before the head kept {'its' if count == 1 else 'their'} statistics."
        )

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_fine_tuning

        return plot_fine_tuning(self, ax)

    def _headline(self) -> str:
        return ", ".join(f"{cycle.steps} steps" for cycle in self.phases)


def _steps(cycle: CycleReport) -> str:
    peak = cycle.max_learning_rate
    return f"{cycle.steps} steps" + ("" if peak is None else f" with the peak {peak:.3g}")


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the head ({', '.join(names[:SHOWN])}{more})"

"""The record of what a `DivergenceGuard` did."""

from __future__ import annotations

from dataclasses import dataclass

from onecycle.results import codec


@codec.storable
@dataclass(frozen=True)
class Rescue:
    """One time that a `DivergenceGuard` went back to a good state.

    Attributes:
        step: The training step at which the divergence was first seen, counted from 0 at the start of the `fit`.
        reason: What was seen, in words.
        learning_rate_factor: Factor on the learning rate of the rest of the training, relative to what it would be
            without any rescue. 1.0 as long as nothing was lowered, as after a poisoned batch.
        lost_steps: Number of training steps whose updates were undone.
    """

    step: int
    reason: str
    learning_rate_factor: float
    lost_steps: int = 0

    @property
    def description(self) -> str:
        """The rescue in one sentence."""
        if self.learning_rate_factor == 1:
            rate = "the learning rate stays as it was"
        else:
            rate = f"the rest of the training has {self.learning_rate_factor:.3g} times the planned learning rate"
        return f"Step {self.step}: {self.reason}. The last {self.lost_steps} steps were undone, and {rate}."

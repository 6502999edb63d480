"""The rule by which a training's loss has exploded."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from onecycle.suggestions.smoothing import MAD_TO_DEVIATION

SUSTAINED = 3  # ours: one batch of outliers, or two, is no explosion
FIRST = 5  # ours: losses that give the level at the start; their median ignores two odd ones
EXPLOSION_FACTOR = 30.0  # ours: the losses of the healthy runs that were tried stayed far below
OWN_STEP_FACTOR = 100.0  # ours: the losses of a GAN rise far above their start in healthy training
SUSPICION_FACTOR = 2.0  # ours: from here on each loss is read
START_FACTOR = 3.0  # ours: the first loss may be far below the usual one by chance, but not further
RECENT = 32  # losses
# Ours: with a loss that is higher than halfway between the recent level and that of the start, and than the noise, a
# state is none to go back to.
NORMAL_FACTOR, NORMAL_NOISE = 0.5, 4.0
HIGH_STEPS = 100  # ours: noisy starts are shorter
NOISE_FACTOR = 10.0  # as in `DivergenceRule`
FLOAT_RESOLUTION = 1.2e-7  # of float32
MAX_KEPT = 4096  # losses that the noise is estimated from


class ExplosionRule:
    """Decides while a training runs whether its loss has exploded.

    A loss is extreme if it is above the level at the start by more than 30 times the scale of the run, which is the
    largest of the level itself, the descent since then, ten times the batch noise, and the loss of guessing where that
    is known. Three extreme losses in a row are an explosion, and so are 100 in a row that exceed the level by twice the
    scale. Losses that are not finite are an explosion at once, and left to the caller.

    So no single batch counts, nor a start of high losses that fall soon, nor a loss below 0, nor a fine-tuning that
    begins near its best.

    Args:
        guessing: The loss of guessing, such as the logarithm of the number of classes; 0 if it is unknown.
        own_step: Whether the losses are those of a model's own `train_step`, whose rise may be healthy, as in a GAN.
            Only losses above 100 times the scale are then extreme, and no others are an explosion.

    Attributes:
        high_steps: The number of high losses in a row so far.
        suspicious_above: From where on losses are high.
        normal_up_to: Up to where a loss is that of a state which one can go back to.
    """

    def __init__(self, guessing: float = 0.0, *, own_step: bool = False) -> None:
        self._guessing = guessing
        self._factor = OWN_STEP_FACTOR if own_step else EXPLOSION_FACTOR
        self._high_steps = np.inf if own_step else HIGH_STEPS
        self._losses: list[float] = []
        self._steps: list[int] = []
        self._first: float | None = None
        self.high_steps = self._extreme = 0
        self.suspicious_above = self._extreme_above = self.normal_up_to = float("inf")
        self._renew_at = 1

    @property
    def suspects(self) -> bool:
        """Whether the last loss was high, or too few are known, so that each further loss should be added."""
        return self.high_steps > 0 or len(self._losses) < FIRST

    def check(self, loss: float, step: int) -> bool:
        """Add a loss and return whether the loss has exploded.

        Args:
            loss: The finite loss of a batch, or the mean loss of several where it is not above `suspicious_above`.
            step: The step.
        """
        if self._first is None:
            self._first = loss
        if loss <= self.suspicious_above:
            self._extreme = self.high_steps = 0
            self._losses.append(loss)
            self._steps.append(step)
            if len(self._losses) >= self._renew_at:
                self._renew()
            return False
        self.high_steps += 1
        self._extreme = self._extreme + 1 if loss > self._extreme_above else 0
        return self._extreme >= SUSTAINED or self.high_steps >= self._high_steps

    def go_back(self, step: int) -> None:
        """Forget the losses from a step on, since the state before it was restored."""
        kept = bisect_left(self._steps, step)
        del self._losses[kept:], self._steps[kept:]
        self._begin()
        if self._losses:
            self._renew()

    def _begin(self) -> None:
        self._extreme = self.high_steps = 0
        self._renew_at = 1
        self.suspicious_above = self._extreme_above = self.normal_up_to = float("inf")

    def _renew(self) -> None:
        """Estimate level and scale again, at first after each loss and later when there are an eighth more."""
        assert self._first is not None
        losses = np.array(self._losses[-MAX_KEPT:])
        # A run that diverges at once has one good loss, its first.
        most = self._first + START_FACTOR * max(abs(self._first), self._guessing)
        initial = min(float(np.median(self._losses[:FIRST])), most)
        noise = MAD_TO_DEVIATION * float(np.median(np.abs(np.diff(losses)))) if len(losses) > FIRST else 0.0
        descent = initial - float(np.quantile(losses, 0.1))
        scale = max(abs(initial), descent, NOISE_FACTOR * noise, self._guessing, FLOAT_RESOLUTION)
        level = max(initial, self._guessing)
        self.suspicious_above = level + SUSPICION_FACTOR * scale
        self._extreme_above = level + self._factor * scale
        start, low = max(self._first, self._guessing), float(np.quantile(losses[-RECENT:], 0.25))
        usual = max(abs(start), start - low)
        self.normal_up_to = min(low, start) + NORMAL_FACTOR * max(start - low, 0.0) + min(NORMAL_NOISE * noise, usual)
        self._renew_at = len(self._losses) + max(1, len(self._losses) // 8)

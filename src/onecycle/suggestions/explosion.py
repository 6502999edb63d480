"""The rule by which a training's loss has exploded."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from onecycle.suggestions.loss_return import LossReturn
from onecycle.suggestions.lost_progress import LEARNED, LostProgress
from onecycle.suggestions.smoothing import MAD_TO_DEVIATION

SUSTAINED = 3  # ours: one batch of outliers, or two, is no explosion
# Ours: the first steps of an optimizer such as Adam may be far too large and harmless, and the level is uncertain then.
EARLY_LOSSES, EARLY_SUSTAINED, EARLY_FACTOR = 16, 16, 1e6
FALLING, FALLING_SUSTAINED = 0.5, 30  # ours: losses below half the highest of those in a row may soon be back
LONGEST = 1 / 16  # ours: of the training; a short one has no time for either
PATIENCE, MIN_PATIENCE = 1 / 8, 16  # ours: of the training, and steps, in which a network should learn something
FIRST = 5  # ours: losses that give the level at the start; their median ignores two odd ones
EXPLOSION_FACTOR = 30.0  # ours: the losses of the healthy runs that were tried stayed far below
OWN_STEP_FACTOR = 100.0  # ours: the losses of a GAN rise far above their start in healthy training
SUSPICION_FACTOR = 2.0  # ours: from here on each loss is read
START_FACTOR = 3.0  # ours: the first loss may be far below the usual one by chance, but not further
RECENT = 32  # losses
# Ours: with a loss that is higher than halfway between the recent level and that of the start, and than the noise, a
# state is none to go back to.
NORMAL_FACTOR, NORMAL_NOISE = 0.5, 4.0
RETURN_FACTOR = 0.67  # ours: of the way from the recent level to guessing, above which a network is damaged
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

    So no single batch counts, nor a loss below 0, nor a fine-tuning that begins near its best. Extreme losses that fall
    get 30 steps, and others 16 at the start, where the level is uncertain and the first steps may be too large.

    After an extreme loss, and after a training has diverged, the losses have to come back (see `LossReturn`). Where the
    loss of guessing is known, a training must not lose what it has learned either (see `LostProgress`).

    Args:
        guessing: The loss of guessing, such as the logarithm of the number of classes or the variance of the targets; 0
            if it is unknown.
        own_step: Whether the losses are those of a model's own `train_step`, whose rise may be healthy, as in a GAN.
            Only losses above 100 times the scale are then extreme, and no others are an explosion.
        total_steps: Length of the training.

    Attributes:
        high_steps: The number of high losses in a row so far.
        suspicious_above: From where on losses are high.
        normal_up_to: Up to where a loss is that of a state which one can go back to.
    """

    def __init__(self, guessing: float = 0.0, *, own_step: bool = False, total_steps: int = 10_000) -> None:
        self._guessing, self._own_step = guessing, own_step
        self._factor = OWN_STEP_FACTOR if own_step else EXPLOSION_FACTOR
        self._losses: list[float] = []
        self._steps: list[int] = []
        self._first: float | None = None
        self._return = LossReturn()
        self._progress = LostProgress(0.0 if own_step else guessing, max(round(PATIENCE * total_steps), MIN_PATIENCE))
        self._longest = max(round(LONGEST * total_steps), SUSTAINED)
        self._extreme = self.high_steps = 0
        self._highest, self._renew_at = -np.inf, 1
        self.suspicious_above = self._extreme_above = self.normal_up_to = float("inf")

    @property
    def suspects(self) -> bool:
        """Whether the last loss was high, or too few are known, so that each further loss should be added."""
        return self.high_steps > 0 or len(self._losses) < FIRST

    @property
    def level(self) -> float:
        """The median of the last few losses; infinity if there is none."""
        return float(np.median(self._losses[-FIRST:])) if self._losses else float("inf")

    @property
    def away_since(self) -> int | None:
        """The first step whose loss should have come back, or stayed low, and has not; None otherwise."""
        away = self._return.away_since
        return self._progress.since if away is None else away

    @property
    def away_reason(self) -> str:
        """What `away_since` has seen, in words."""
        if self._return.away_since is None:
            return self._progress.reason
        return f"the loss stays at {self.level:.3g}, far above that of before"

    @property
    def is_pending(self) -> bool:
        """Whether the losses have not come back yet, so that a state is none to go back to."""
        return self._return.is_pending

    @property
    def learned_below(self) -> float:
        """A loss below this is that of a network that has learned something; infinity if guessing is unknown."""
        return LEARNED * self._guessing if self._guessing and not self._own_step else float("inf")

    @property
    def expects_return(self) -> bool:
        """Whether the losses have to come back."""
        return self._return.level is not None

    def expect_nothing(self) -> None:
        """Accept losses that do not come back."""
        self._return.forget()
        self._progress.ignore()

    def check(self, loss: float, step: int) -> bool:
        """Add a loss and return whether the loss has exploded.

        Args:
            loss: The finite loss of a batch, or the mean loss of several where it is not above `suspicious_above`.
            step: The step.
        """
        if self._first is None:
            self._first = loss
        self._return.add(loss, step)
        self._progress.add(loss, step, high=loss > self.suspicious_above)
        if loss <= self.suspicious_above:
            self._extreme = self.high_steps = 0
            self._losses.append(loss)
            self._steps.append(step)
            if len(self._losses) >= self._renew_at:
                self._renew()
            return False
        self.high_steps += 1
        self._highest = loss if self.high_steps == 1 else max(self._highest, loss)
        self._extreme = self._extreme + 1 if loss > self._extreme_above else 0
        if self._extreme and self._return.level is None and not self._own_step and len(self._losses) >= EARLY_LOSSES:
            self._return.expect(self._level_of_return())
        most = np.inf if self._own_step else HIGH_STEPS
        return self._extreme >= self._most_extreme(loss) or self.high_steps >= most

    def go_back(self, step: int, *, lowered_at: int | None = None) -> None:
        """Forget the losses from a step on, since the state before it was restored.

        Args:
            step: The step.
            lowered_at: The step of now if training has diverged. From now on, its losses have to be those of before.
        """
        kept = bisect_left(self._steps, step)
        del self._losses[kept:], self._steps[kept:]
        self._extreme = self.high_steps = 0
        self.suspicious_above = self._extreme_above = self.normal_up_to = float("inf")
        self._return.restart()
        self._progress.restart()
        self._renew_at = 1
        if self._losses:
            self._renew()
        if lowered_at is not None and not self._own_step:
            self._return.expect(self._level_of_return(), always=True, from_step=lowered_at)

    def _level_of_return(self) -> float:
        """Return up to where a loss is that of a network as good as lately; infinity if it has learned nothing yet.

        It is compared with a median, so that it needs no allowance for noise.
        """
        if len(self._losses) < EARLY_LOSSES:
            return float("inf")
        low = float(np.quantile(self._losses[-RECENT:], 0.25))
        start = self._guessing or self._first
        assert start is not None
        learned = low < start - (1 - LEARNED) * abs(start)
        return low + RETURN_FACTOR * (start - low) if learned else float("inf")

    def _most_extreme(self, loss: float) -> int:
        """Return how many extreme losses in a row are an explosion."""
        is_early = len(self._losses) < EARLY_LOSSES and loss < EARLY_FACTOR * max(abs(self._extreme_above), 1e-30)
        if loss - self._extreme_above < FALLING * (self._highest - self._extreme_above):
            return min(FALLING_SUSTAINED, self._longest)
        return min(EARLY_SUSTAINED, self._longest) if is_early else SUSTAINED

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
        low = float(np.quantile(losses[-RECENT:], 0.25))
        # A loss halfway to that of guessing is no usual one, however high the first was.
        start = self._guessing if low < self._guessing else max(self._first, self._guessing)
        usual = max(abs(start), start - low)
        self.normal_up_to = min(low, start) + NORMAL_FACTOR * max(start - low, 0.0) + min(NORMAL_NOISE * noise, usual)
        self._renew_at = len(self._losses) + max(1, len(self._losses) // 8)

"""Keras' progress bar over the steps of a range test or a race."""

from __future__ import annotations

import keras

from onecycle.finding.ramp import Ramp


class StepProgress:
    """A progress bar over training steps, which is shown at once, or nothing if none is wanted.

    Args:
        total_steps: Largest number of steps.
        verbose: As in `fit`: 1 or "auto" for a bar; 0 or 2 for nothing. With 2, meant for output that is not a
            terminal, `fit` draws no bar either.
    """

    def __init__(self, total_steps: int, verbose: int | str) -> None:
        self._total_steps, self._steps = total_steps, 0
        self._bar = None
        if verbose and verbose != 2:
            self._bar = keras.utils.Progbar(total_steps, stateful_metrics=["loss", "learning_rate"], unit_name="step")
            self._bar.update(0)

    def update(self, steps: int, **metrics: float) -> None:
        """Show the number of steps so far and the latest value of each metric."""
        self._steps = min(steps, self._total_steps)
        if self._bar:
            self._bar.update(self._steps, list(metrics.items()))

    def finish(self) -> None:
        """End the line of a bar that stopped early, so that what is printed next gets its own line."""
        if self._bar and self._steps < self._total_steps:
            self._bar.update(self._steps, finalize=True)


class RampProgress:
    """The progress of one ramp or several, each with the loss and the learning rate of the last step.

    The bar of the first ramp is shown when the block begins, before anything is compiled. The line of the last one is
    ended with the block, also by an exception.
    """

    def __init__(self, ramp: Ramp, verbose: int | str) -> None:
        self._ramp, self._verbose = ramp, verbose
        self._is_new = True

    def __enter__(self) -> RampProgress:
        self._progress = StepProgress(self._ramp.total_steps, self._verbose)
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.finish()

    def begin(self) -> None:
        """Begin the next ramp."""
        if not self._is_new:
            self._progress.finish()
            self._progress = StepProgress(self._ramp.total_steps, self._verbose)
        self._is_new = False

    def update(self, steps: int, loss: float) -> None:
        """Show the number of steps so far and the last loss."""
        rate = self._ramp.value_at(min(steps, self._ramp.total_steps) - 1)
        self._progress.update(steps, loss=loss, learning_rate=float(rate))

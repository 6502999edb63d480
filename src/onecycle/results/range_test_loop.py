"""`RangeTestLoop`: the range test in a training loop of the user's own."""

from __future__ import annotations

from typing import SupportsFloat

from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import as_number, described
from onecycle.suggestions.divergence import DivergenceRule, StopReason
from onecycle.suggestions.ramp import check_ramp, ramp_rates
from onecycle.suggestions.rules import DEFAULT_RULE
from onecycle.suggestions.suggestion import Rule


class RangeTestLoop:
    """A learning rate range test in a training loop of your own, step by step.

    It is an iterator over learning rates: train one step with each, and pass its loss to `record`. The iteration ends
    when the loss has diverged or the ramp is complete. It needs NumPy only, so the loop may be of any library. For a
    compiled Keras model, `find_learning_rate` does all of this.

    The loop trains your model and restores nothing. Test a copy, or keep the weights and put them back before you
    train. The optimizer must be new, or its velocities zero: those of earlier steps would act on the first ones.

    Example:

    ```python
    test = onecycle.results.RangeTestLoop()
    for learning_rate, batch in zip(test, batches):
        optimizer.learning_rate = learning_rate
        test.record(train_step(batch))
    print(test.result().summary())
    ```

    Args:
        min_learning_rate: Learning rate of the first step, above 0.
        max_learning_rate: Learning rate of the last step, above the first.
        num_steps: Number of steps of the ramp, at least 10. A step is an update of the weights. `len` returns it.
        spacing: `"exponential"` (equal ratios) or `"linear"`.
        rule: Name of the rule whose suggestion is `result().learning_rate`, or a function
            `(learning_rates, losses) -> Suggestion`.

    Attributes:
        stop_reason: Why the test ended; None while it runs.

    Raises:
        ValueError: For invalid arguments.
        RuntimeError: From an iteration, if no loss was recorded for the last learning rate.

    References:
        L. N. Smith, Cyclical learning rates for training neural networks (2015), arXiv:1506.01186, section 3.3.
    """

    @suggest_names()
    def __init__(
        self,
        min_learning_rate: float = 1e-6,
        max_learning_rate: float = 10.0,
        num_steps: int = 300,
        *,
        spacing: str = "exponential",
        rule: str | Rule = DEFAULT_RULE,
    ) -> None:
        check_ramp(min_learning_rate, max_learning_rate, num_steps, spacing, rule)
        self.stop_reason: StopReason | None = None
        self._rates = ramp_rates(min_learning_rate, max_learning_rate, num_steps, spacing)
        self._spacing, self._rule = spacing, rule
        self._losses: list[float] = []
        self._divergence = DivergenceRule()
        self._waits_for_loss = False

    def __len__(self) -> int:
        return len(self._rates)

    def __iter__(self) -> RangeTestLoop:
        return self

    def __next__(self) -> float:
        """Return the learning rate of the next step."""
        if self.stop_reason is not None:
            raise StopIteration
        step = len(self._losses)
        if self._waits_for_loss:
            raise RuntimeError(
                f"No loss was recorded for the learning rate {self._rates[step]:.3g} (step {step}). "
                "Call `record(loss)` in each step."
            )
        self._waits_for_loss = True
        return float(self._rates[step])

    def record(self, loss: SupportsFloat) -> StopReason | None:
        """Add the loss of the step that was made with the last learning rate.

        Args:
            loss: Training loss of this step's batch before the update: a number, or an array or tensor without
                dimensions. With gradient accumulation, the mean over the batches of the update. NaN and infinities end
                the test.

        Returns:
            Why the test has ended, or None if it goes on.

        Raises:
            RuntimeError: If a loss was recorded already, or no learning rate has been taken yet.
            TypeError: If `loss` is no number.
        """
        if not self._waits_for_loss:
            raise RuntimeError(
                "`record` takes one loss for each learning rate, and there is none without a loss. With several "
                "batches per learning rate, record the mean of their losses."
            )
        # PyTorch warns about the number of a tensor that has a gradient.
        number = as_number(loss.detach() if hasattr(loss, "detach") else loss)
        if number is None:
            raise TypeError(
                "Argument `loss` must be a number, or an array or tensor without dimensions that has a value "
                f"(not one inside a compiled function). Received: loss={described(loss)}"
            )
        self._waits_for_loss = False
        self._losses.append(float(number))
        self.stop_reason = self._divergence.update(number)
        if self.stop_reason is None and len(self._losses) == len(self._rates):
            self.stop_reason = StopReason.COMPLETED
        return self.stop_reason

    def result(self) -> RangeTest:
        """Return the result so far.

        Raises:
            ValueError: If no loss was recorded.
        """
        steps = len(self._losses)
        if not steps:
            raise ValueError(
                "A range test without a loss has no result: the loop made no step, or never called `record`."
            )
        return RangeTest.from_losses(
            self._rates[:steps],
            self._losses,
            self.stop_reason or StopReason.DATA_ENDED,
            rule=self._rule,
            spacing=self._spacing,
            num_steps=len(self._rates),
            training_steps=steps,
        )

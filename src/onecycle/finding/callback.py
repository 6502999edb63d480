"""`LearningRateFinder`: the range test as a callback in the user's own `fit`."""

from __future__ import annotations

import keras

from onecycle.finding.data_hints import noticed_order, with_hints
from onecycle.finding.ramp import Ramp, range_test_result
from onecycle.finding.ramp_in_fit import RampInFit
from onecycle.finding.trained_models import for_trained_model
from onecycle.hyperparameters.assignments import AssignmentCheck
from onecycle.hyperparameters.conflicts import refuse_conflicting_callbacks
from onecycle.keras_support.callback_list import call_last, on_callback_error, other_callbacks, state_of_copy
from onecycle.keras_support.host_copies import KEPT_IN
from onecycle.keras_support.model_checks import check_training_model
from onecycle.keras_support.optimizers import steps_per_update
from onecycle.keras_support.running_fit import class_weight_of_fit, fit_data
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_choice
from onecycle.suggestions.ramp import MIN_STEPS, check_ramp
from onecycle.suggestions.rules import DEFAULT_RULE
from onecycle.suggestions.suggestion import Rule


class LearningRateFinder(keras.callbacks.Callback):
    """The learning rate range test as a callback in your own call of `fit`.

    From the first step on, the learning rate rises over `num_steps` steps, or over all steps of this `fit` if it has
    fewer. When the loss diverges or the ramp is complete, training ends, and the weights, the optimizer, the seed
    generators and the global random states are restored before any other callback or the validation sees them. The
    result is in `result`. Of an error in reading the data Keras tells no callback, so that only `find_learning_rate`
    restores the weights after one.

    The model must be built (have its weights) before `fit`; `find_learning_rate` builds it if necessary.

    Args:
        min_learning_rate: The first learning rate, above 0.
        max_learning_rate: The last learning rate, above the first.
        num_steps: Number of steps of the ramp, at least 10. With gradient accumulation, a step is an update of the
            weights.
        spacing: `"exponential"` or `"linear"`.
        rule: Name of the rule whose suggestion is `result.learning_rate`, or a function
            `(learning_rates, losses) -> Suggestion`.
        keep: Where the state of the model is kept until the test has ended, as in `find_learning_rate`.

    Attributes:
        result: The `RangeTest` once training has ended; None before.

    Raises:
        ValueError: For invalid arguments. Also before training: for a model without weights, for a `fit` of fewer than
            10 steps, and for another callback that sets the learning rate. During training: if a callback of the user
            set the learning rate.

    Example:

    ```python
    finder = onecycle.LearningRateFinder()
    model.fit(x, y, epochs=5, callbacks=[finder])
    print(finder.result.learning_rate)
    ```

    References:
        L. N. Smith, Cyclical learning rates for training neural networks (2015), arXiv:1506.01186, section 3.3.
    """

    sets_learning_rate = True  # see `refuse_conflicting_callbacks`

    @suggest_names()
    def __init__(
        self,
        min_learning_rate: float = 1e-6,
        max_learning_rate: float = 10.0,
        num_steps: int = 300,
        *,
        spacing: str = "exponential",
        rule: str | Rule = DEFAULT_RULE,
        keep: str = "memory",
    ) -> None:
        super().__init__()
        check_choice("keep", keep, KEPT_IN)
        check_ramp(min_learning_rate, max_learning_rate, num_steps, spacing, rule)
        self.min_learning_rate = min_learning_rate
        self.max_learning_rate = max_learning_rate
        self.num_steps = num_steps
        self.spacing = spacing
        self.rule = rule
        self.keep = keep
        self.result: RangeTest | None = None
        self._run: RampInFit | None = None

    def __getstate__(self) -> dict[str, object]:
        return state_of_copy(self, "_run", "_assignments")

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._assignments = AssignmentCheck(getattr(model, "optimizer", None))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        check_training_model(self.model)
        refuse_conflicting_callbacks("LearningRateFinder", other_callbacks(self))
        if not self.model.built:
            raise ValueError(
                "LearningRateFinder restores the weights, so the model must have them before `fit`. "
                "Call the model on a batch of data first, or use `find_learning_rate`."
            )
        self._run, self.result = None, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._check_assignments()
        if self._run is not None:
            return
        per_epoch = self.params.get("steps")
        batches = steps_per_update(self.model.optimizer)
        available = self.num_steps if per_epoch is None else (self.params["epochs"] - epoch) * per_epoch // batches
        steps = min(self.num_steps, available)
        if steps < MIN_STEPS:
            raise ValueError(
                f"A range test needs at least {MIN_STEPS} steps, and this `fit` has {steps}. Train for more epochs, or "
                "use `find_learning_rate`, which repeats short data."
            )
        ramp = Ramp(self.min_learning_rate, self.max_learning_rate, steps, self.spacing, batches)
        run = RampInFit(self.model, ramp, on_disk=self.keep == "disk")
        # Only errors in the training step reach `run` itself.
        on_callback_error(self, run.abandon)
        self._run, self._steps = run, steps
        run.start()  # last, since no error or interrupt after it would reach this hook

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._check_assignments()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._run is None:
            return
        # Another callback may write weights of the ramp when training ends, as EarlyStopping does.
        call_last(self, keras.callbacks.LambdaCallback(on_train_end=lambda logs, run=self._run: run.stop()))
        self._run.finish()
        result = range_test_result(self.model, [self._run], rule=self.rule, spacing=self.spacing, num_steps=self._steps)
        result = with_hints(result, [self._run], noticed_order(self._run.facts))
        _, y, sample_weight = fit_data(self.model) or (None, None, None)
        self.result = for_trained_model(result, self.model, y, sample_weight, class_weight_of_fit(self.model))
        self._run = None

    def _check_assignments(self) -> None:
        self._assignments.check("LearningRateFinder", other_callbacks(self))

"""`find_learning_rate`: the learning rate range test as a function that leaves no trace."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from onecycle.engine import program_cache
from onecycle.engine.eligibility import unsuited
from onecycle.finding.compiled_ramp import CompiledRamp, CompiledRampRun
from onecycle.finding.ramp import Ramp, check_ramp, measured
from onecycle.finding.ramp_in_fit import RampRun
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.fit_scope import release
from onecycle.keras_support.optimizers import require_compiled
from onecycle.keras_support.snapshot import VariableSnapshot, preserved
from onecycle.keras_support.train_function import set_steps_per_execution, training_arrays
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.arguments import count
from onecycle.suggestions.rules import DEFAULT_RULE, Rule


def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    validation_data: tuple[Any, ...] | None = None,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 300,
    spacing: str = "exponential",
    repeats: int = 1,
    rule: str | Rule = DEFAULT_RULE,
    seed: int | None = None,
    steps_per_execution: int | str | None = "auto",
    verbose: int | str = "auto",
) -> RangeTest:
    """Find a learning rate by a range test: a short training run whose rate rises until the loss diverges.

    The ramp runs inside the compiled training step, and the true loss of every batch is recorded on the device. The
    test trains the model itself, and gives everything back when it ends, however it ends: weights, optimizer,
    BatchNorm and metric state, seed generators, global random states, the compiled functions. (A model that had no
    weights yet stays built. Batches drawn from a one-shot generator are gone.)

    Args:
        model: A compiled model.
        x: Whatever `Model.fit` takes: arrays (also nested), a `tf.data.Dataset`, a `PyDataset`, a PyTorch
            `DataLoader` or a generator. Data shorter than `num_steps` repeats.
        y: Targets, as in `fit`.
        batch_size: Samples per step for data given as arrays; 32 by default, as in `fit`. The right learning rate
            depends on it: use the one you train with.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        validation_data: (x, y) or (x, y, sample_weight) as arrays: where given, the loss of the test is that of this
            data, evaluated after every step (slow: keep it small), in place of the batch's.
        min_learning_rate: Rate of the first step, > 0.
        max_learning_rate: Rate of the last step, above the first.
        num_steps: Steps of the ramp, at least 10; the test stops earlier when the loss diverges.
        spacing: `"exponential"` (equal ratios) or `"linear"`.
        repeats: Number of ramps from the same start with different data order; rules read their median.
        rule: Name of the rule whose suggestion is `learning_rate` (see `onecycle.suggestions`), or a function
            `(learning_rates, losses) -> Suggestion`.
        seed: Makes data order and unseeded layers repeat exactly on the same machine and backend. None leaves the
            global random states in charge.
        steps_per_execution: Steps per call of the compiled function: `"auto"` for what is fastest on this backend (on
            JAX and TensorFlow, with arrays and a model that trains in Keras' own way, a loop inside one compiled
            program, which later tests use again), None for what the model was compiled with, or a number.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.

    Returns:
        A `RangeTest`. `result.learning_rate` is the number; where none is believed it raises an error with the reason.

    Raises:
        ValueError: For bad arguments, a model that is not compiled, data without a batch, or a `train_step` of one's
            own that does not call `compute_loss`.

    Example:

    ```python
    result = onecycle.find_learning_rate(model, x, y)
    print(result.summary())
    result.plot()
    ```

    References:
        L. N. Smith, Cyclical learning rates for training neural networks (2015), arXiv:1506.01186, section 3.3.
        J. Quijas, 1Cycle Learning Rate Scheduling with TensorFlow and Keras (2023): the rule `blow_up`.
    """
    require_compiled(model)
    check_ramp(min_learning_rate, max_learning_rate, num_steps, spacing, rule)
    _check(repeats, x, validation_data, seed)
    training_data.check(x, y, batch_size)
    training_data.build(model, x, y, batch_size)
    ramp = Ramp(min_learning_rate, max_learning_rate, num_steps, spacing)
    fit = {"x": x, "y": y, "batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    runs: list[Any]
    seeds = [None if seed is None else int(seed + repeat) % 2**32 for repeat in range(repeats)]
    with preserved(model):
        compiled = None
        if steps_per_execution == "auto" and validation_data is None:
            compiled = _compiled(model, ramp, fit)
        if compiled is not None:
            runs = [_run_compiled(compiled, ramp, verbose, own_seed) for own_seed in seeds]
        else:
            _choose_steps_per_execution(model, steps_per_execution, validation_data)
            start = VariableSnapshot(model)
            runs = []
            for own_seed in seeds:
                start.restore()
                runs.append(_run(model, ramp, fit, validation_data, _progress(verbose, num_steps), own_seed))
    program_cache.release(model)
    return measured(
        model,
        runs,
        rule=rule,
        spacing=spacing,
        num_steps=num_steps,
        batch_size=training_data.batch_size(x, batch_size),
        seed=seed,
    )


def _check(repeats: int, x: Any, validation_data: Any, seed: int | None) -> None:
    count("repeats", repeats)
    if repeats > 1 and training_data.is_one_shot(x):
        raise ValueError(
            "A generator gives its batches once, so no test on it can be repeated. Pass data that can be read again, "
            f"or `repeats=1`. Received: repeats={repeats}"
        )
    if seed is not None:
        count("seed", seed, least=0)
    if validation_data is not None and not (isinstance(validation_data, tuple) and len(validation_data) in (2, 3)):
        raise ValueError(
            "Argument `validation_data` must be a tuple (x, y) or (x, y, sample_weight) of arrays. "
            f"Received: {type(validation_data).__name__}"
        )


class _RampCallback(keras.callbacks.Callback):
    """Starts the ramp when the first epoch begins, and ends a `fit` that has no data left.

    From a generator that has ended Keras makes further epochs of the two batches that it drew to look at.
    """

    def __init__(self, run: RampRun, *, one_epoch: bool, seed: int | None) -> None:
        super().__init__()
        self._run = run
        self._one_epoch = one_epoch
        self._seed = seed
        self._started = False
        self._calls_before = -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._started:
            _seed(self._seed)  # once more: `fit` draws batches to build what is not built yet
            self._run.start()
            self._started = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._one_epoch or self._run.calls == self._calls_before:
            self.model.stop_training = True
        self._calls_before = self._run.calls

    def on_train_end(self, logs: Any = None) -> None:
        self._run.finish()


def _seed(seed: int | None) -> None:
    if seed is not None:
        keras.utils.set_random_seed(seed)


def _compiled(model: Any, ramp: Ramp, fit: dict[str, Any]) -> CompiledRamp | None:
    """The test as a compiled program, or None where it has to go through `fit`."""
    # Where a model's own `compute_loss` calls itself, `RampRun` is the one that notices.
    if unsuited(model, fit["x"], fit["y"], "compute_loss"):
        return None
    data = training_arrays(fit["x"], fit["y"], fit["sample_weight"], fit["class_weight"])
    compiled = CompiledRamp(model, ramp.values(), data, fit["batch_size"] or training_data.DEFAULT_BATCH_SIZE)
    return None if compiled.refusal else compiled


def _run_compiled(compiled: CompiledRamp, ramp: Ramp, verbose: int | str, seed: int | None) -> CompiledRampRun:
    bar = _progress(verbose, ramp.total_steps)
    _seed(seed)
    run = compiled.run(_shower(bar, ramp))
    _finish(bar, len(run.losses), ramp)
    return run


def _run(model: Any, ramp: Ramp, fit: dict[str, Any], validation_data: Any, bar: Any, seed: int | None) -> RampRun:
    run = RampRun(
        model,
        ramp,
        after_read=_shower(bar, ramp),
        validation_loss=None if validation_data is None else lambda: _evaluate(model, validation_data),
    )
    try:
        with _without_false_alarms():
            # An epoch has at least one step, so that so many epochs are enough; the run ends `fit` itself.
            callback = _RampCallback(run, one_epoch=training_data.is_one_shot(fit["x"]), seed=seed)
            _seed(seed)
            model.fit(**fit, epochs=ramp.total_steps, verbose=0, callbacks=[callback])
    finally:
        release(model)
    if not len(run.losses):
        raise ValueError("Argument `x` must have at least one batch. Received: data without any")
    _finish(bar, len(run.losses), ramp)
    return run


def _evaluate(model: Any, data: tuple[Any, ...]) -> float:
    x, y, *weight = data
    found = model.evaluate(x, y, sample_weight=weight[0] if weight else None, verbose=0, return_dict=True)
    return float(found["loss"])


def _choose_steps_per_execution(model: Any, asked: int | str | None, validation_data: Any) -> None:
    skips_updates = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    if validation_data is not None or skips_updates:
        set_steps_per_execution(model, 1)
    elif asked == "auto":
        fast = backends.fast_steps_per_execution(model)
        set_steps_per_execution(model, max(model.steps_per_execution, fast))
    elif asked is not None:
        set_steps_per_execution(model, count("steps_per_execution", asked))


def _progress(verbose: int | str, num_steps: int) -> Any:
    if not verbose or verbose == 2:  # for 2, which is for outputs that are no terminal, `fit` draws no bar either
        return None
    return keras.utils.Progbar(num_steps, stateful_metrics=["loss", "learning_rate"], unit_name="step")


def _shower(bar: Any, ramp: Ramp) -> Callable[[int, float], None]:
    def show(steps: int, loss: float) -> None:
        rate = float(ramp.value_at(min(steps, ramp.total_steps) - 1))
        bar.update(min(steps, ramp.total_steps), [("loss", loss), ("learning_rate", rate)])

    return show if bar else lambda steps, loss: None


def _finish(bar: Any, steps: int, ramp: Ramp) -> None:
    if bar and steps < ramp.total_steps:
        bar.update(steps, finalize=True)  # else what is printed next stands in the bar's line


@contextmanager
def _without_false_alarms() -> Iterator[None]:
    """Keras warns where data ends before the epochs do, which here is no mistake, and of a default nobody passed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed, but will be ignored")
        yield

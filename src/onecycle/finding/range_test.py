"""`find_learning_rate`: the learning rate range test as a function that leaves the model as it was."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras

from onecycle.engine import program_cache
from onecycle.engine.eligibility import reason_not_compiled
from onecycle.finding.compiled_ramp import CompiledRamp
from onecycle.finding.data_hints import noticed_order, require_good_first_batch, with_hints
from onecycle.finding.data_order import Order
from onecycle.finding.fit_runs import FitData, choose_steps_per_execution, run_in_fit, set_seed
from onecycle.finding.mixed_rows import mixed_rows
from onecycle.finding.progress import RampProgress
from onecycle.finding.ramp import FinishedRamp, Ramp, range_test_result
from onecycle.finding.trained_models import for_trained_model
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument, resolve_layer_rates
from onecycle.hyperparameters.scheduling import install_layer_rates
from onecycle.keras_support import data_faults, training_data
from onecycle.keras_support.data_checks import check_validation_data
from onecycle.keras_support.data_sharding import evenly_divided_rows
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.host_copies import KEPT_IN
from onecycle.keras_support.input_scaling import unscaled_inputs_message
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.optimizers import steps_per_update
from onecycle.keras_support.preprocessing import preprocessed, preprocesses_in_fit
from onecycle.keras_support.snapshot import StateSnapshot, preserving
from onecycle.keras_support.types import Nested
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_choice, check_integer, check_seed, check_verbose
from onecycle.suggestions.ramp import check_ramp
from onecycle.suggestions.rules import DEFAULT_RULE
from onecycle.suggestions.suggestion import Rule


@suggest_names()
def find_learning_rate(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    validation_data: tuple[Nested, ...] | None = None,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 300,
    spacing: str = "exponential",
    repeats: int = 1,
    rule: str | Rule = DEFAULT_RULE,
    layer_rates: LayerRatesArgument | LayerRates = None,
    decay: float | None = None,
    seed: int | None = None,
    steps_per_execution: int | str | None = "auto",
    keep: str = "memory",
    verbose: int | str = "auto",
    plot: bool | str = "auto",
) -> RangeTest:
    """Find a learning rate with a range test: a short run in which the learning rate rises until the loss diverges.

    The learning rate rises inside the compiled training step, and the true loss of every batch is recorded on the
    device. The test trains the model itself and restores everything at the end, even after an exception: weights,
    optimizer, states of metrics and BatchNormalization, seed generators, global random states and compiled functions.
    What remains: a model that had no weights stays built, batches drawn from a generator are gone, a `tf.data` pipeline
    that shuffles is in its next order, and very large NumPy arrays among the attributes of a model are not restored.

    Args:
        model: A compiled model.
        x: Training data, as `Model.fit` takes it: arrays (also nested), a `tf.data.Dataset`, a `PyDataset`, a PyTorch
            `DataLoader` or a generator. Data shorter than `num_steps` is repeated.
        y: Targets, as in `fit`.
        batch_size: Samples per step for arrays; 32 by default, as in `fit`. The right learning rate depends on it, so
            use the batch size of your training.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        validation_data: (x, y) or (x, y, sample_weight) as arrays. If given, the losses of the test are those on
            this data, evaluated after every step, instead of the losses of the batches. This is slow: keep it small.
        min_learning_rate: Learning rate of the first step, above 0.
        max_learning_rate: Learning rate of the last step, above the first.
        num_steps: Number of steps of the ramp, at least 10. The test stops earlier when the loss diverges. With
            gradient accumulation, a step is an update of the weights, all batches of which have the same rate.
        spacing: `"exponential"` (equal ratios) or `"linear"`.
        repeats: Number of ramps from the same start with different data order. The rules use their median.
        rule: Name of the rule whose suggestion is `learning_rate` (see `onecycle.suggestions`), or a function
            `(learning_rates, losses) -> Suggestion`.
        layer_rates: Factors on the learning rate of layers, or `"decay"`, as in `schedule_hyperparameters`. All rates
            rise in proportion. The rates of the result, and its suggestion, are those of layers with factor 1.
        decay: The ratio for `layer_rates="decay"`.
        seed: Makes the data order and unseeded layers reproducible on the same machine and backend. With None, they
            depend on the global random states.
        steps_per_execution: Steps per call of the compiled function: a number; None for that of the compiled model; or
            `"auto"` for the fastest way on this backend. With arrays and a standard `train_step` on JAX and TensorFlow,
            this is a loop inside one compiled program, which later tests reuse. On PyTorch it is a step that is traced
            once, if nothing but code of Keras runs in it.
        keep: Where the state of the model is kept until the test has ended: `"memory"` of the host, or `"disk"`, in
            temporary files, for a model so large that there is no memory for a second copy.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.
        plot: Whether to show the plot: in a notebook inside it, elsewhere in a window of matplotlib. `"auto"` shows it
            in notebooks only, and only where matplotlib is installed.

    Returns:
        A `RangeTest`. `result.learning_rate` is the suggested learning rate. If there is no good suggestion, it raises
        an error with the reason.

    Raises:
        ValueError: For invalid arguments, a model that is not compiled, data without batches, or a custom `train_step`
            that does not call `compute_loss`.

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
    check_model(model, x)
    check_ramp(min_learning_rate, max_learning_rate, num_steps, spacing, rule)
    _check(model, repeats, x, validation_data, seed, keep, plot, verbose)
    data = {"x": x, "y": y, "batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    training_data.check_data(model, **data)
    x, y, sample_weight = evenly_divided_rows((x, y, sample_weight))
    data |= {"x": x, "y": y, "sample_weight": sample_weight}
    build_model(model, **data)
    rates = resolve_layer_rates(model, layer_rates, decay)
    data_faults.check_data_values(model, x, y, sample_weight, class_weight)
    ramp = Ramp(min_learning_rate, max_learning_rate, num_steps, spacing, steps_per_update(model.optimizer))
    # Each repeat has another data order, also with a seed.
    seeds = [None if seed is None else int(seed + repeat) % 2**32 for repeat in range(repeats)]

    def run() -> tuple[Sequence[FinishedRamp], Order | None, str | None]:
        unscaled = unscaled_inputs_message(model, x, read=True)
        install_layer_rates(model, rates)
        ramps = functools.partial(
            _runs, model, ramp, seeds, steps_per_execution=steps_per_execution, validation_data=validation_data,
            verbose=verbose,
        )  # fmt: skip
        runs = ramps(data)
        order = noticed_order(runs[0].facts)
        mixed = mixed_rows(data, order, num_steps)
        return (runs, order, unscaled) if mixed is None else (ramps(mixed), Order.MIXED, unscaled)

    runs, order, unscaled = preserving(model, run, data=(x, validation_data), on_disk=keep == "disk")
    program_cache.limit_memory(model)
    result = range_test_result(
        model, runs, rule=rule, spacing=spacing, num_steps=num_steps, seed=seed,
        batch_size=training_data.known_batch_size(x, batch_size), hints=(unscaled,) if unscaled else (),
        rates_of_layers=rates,
    )  # fmt: skip
    result = for_trained_model(with_hints(result, runs, order), model, y, sample_weight, class_weight)
    require_good_first_batch(result, runs)
    _show(result, plot)
    return result


def _show(result: RangeTest, plot: bool | str) -> None:
    if plot == "auto":
        result.show_in_notebook()
    elif plot:
        result.plot(show=True)


def _runs(
    model: keras.Model,
    ramp: Ramp,
    seeds: Sequence[int | None],
    data: FitData,
    *,
    steps_per_execution: int | str | None,
    validation_data: tuple[Nested, ...] | None,
    verbose: int | str,
) -> Sequence[FinishedRamp]:
    """Run the ramp once for each seed, as a compiled program where that is possible and asked for."""
    with RampProgress(ramp, verbose) as progress:
        compiled = None
        if steps_per_execution == "auto" and validation_data is None:
            compiled = _compiled_ramp(model, ramp, data)
        if compiled is not None:
            return _compiled_runs(model, compiled, progress, seeds)
        choose_steps_per_execution(model, steps_per_execution, validates=validation_data is not None)
        return run_in_fit(model, ramp, data, validation_data, progress, seeds)


def _check(
    model: keras.Model,
    repeats: int,
    x: Nested,
    validation_data: object,
    seed: int | None,
    keep: str,
    plot: bool | str,
    verbose: int | str,
) -> None:
    check_integer("repeats", repeats)
    if repeats > 1 and training_data.is_one_shot(x):
        raise ValueError(
            "A generator gives each batch only once, so the test cannot be repeated on it. Pass data that can be "
            f"read again, or `repeats=1`. Received: repeats={repeats}"
        )
    check_seed(seed)
    check_choice("keep", keep, KEPT_IN)
    if plot != "auto" and not isinstance(plot, bool):
        raise ValueError(f'Argument `plot` must be "auto", True or False. Received: plot={plot!r}')
    if validation_data is not None and not (isinstance(validation_data, tuple) and len(validation_data) in (1, 2, 3)):
        raise ValueError(
            "Argument `validation_data` must be a tuple (x, y) or (x, y, sample_weight) of arrays. "
            f"Received: {type(validation_data).__name__}"
        )
    check_validation_data(model, validation_data)
    check_verbose(verbose)


def _compiled_ramp(model: keras.Model, ramp: Ramp, data: FitData) -> CompiledRamp | None:
    """Return the test as a compiled program, or None if it has to go through `fit`."""
    batch_size = data["batch_size"] or training_data.DEFAULT_BATCH_SIZE
    given, own_fit = (data["x"], data["y"], data["sample_weight"]), preprocesses_in_fit(model)
    if own_fit:
        ready = preprocessed(model, *given, rows=ramp.total_steps * batch_size)
        if ready is None:
            return None
        given = ready
    # A custom `compute_loss` may be called more than once per step, which only `RampInFit` notices.
    if reason_not_compiled(model, *given, methods=("compute_loss",), own_fit=own_fit, any_size=True):
        return None
    compiled = CompiledRamp(model, ramp, given, data["class_weight"], batch_size)
    return None if compiled.refusal else compiled


def _compiled_runs(
    model: keras.Model, compiled: CompiledRamp, progress: RampProgress, seeds: Sequence[int | None]
) -> list[FinishedRamp]:
    """Run the compiled test once for each seed, each from the same state."""
    start = StateSnapshot(model)
    runs: list[FinishedRamp] = []
    for seed in seeds:
        start.restore()
        progress.begin()
        set_seed(seed)
        runs.append(compiled.run(progress.update))
    return runs
